"""What the result of one clip comes to, in numbers: the columns of `clips.csv` after its facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.mechanics.analysis import Plan, analyse
from napari_deepmtj.mechanics.excursion import excursion
from napari_deepmtj.mechanics.positions import Used

if TYPE_CHECKING:
    from napari_deepmtj.mechanics.motion import Side

#: Columns of the excursion, for clips with a scale.
EXCURSION = (
    *("excursion_mm", "excursion_sd_mm", "excursion_raw_mm"),
    *("excursion_reliable", "excursion_reason"),
)
#: Share of positions that are less confident than `confidence_5_percent`.
LOW = 0.05

#: Columns of figures, by their names in `mechanics.analysis`, for clips with a scale, a distal side
#: and times.
FIGURES: dict[str, str] = {
    "cycles": "cycles",
    "cycle excursion, mean": "cycle_excursion_mm_mean",
    "cycle excursion, SD": "cycle_excursion_mm_sd",
    "cycle duration, mean": "cycle_duration_s_mean",
    "peak velocity, distally": "peak_distal_velocity_mm_per_s",
    "peak velocity, proximally": "peak_proximal_velocity_mm_per_s",
}


def measured(trajectory: Trajectory, used: Used, distal: Side | None) -> dict[str, object]:
    """Return the columns of a clip; what cannot be said is left out.

    Parameters
    ----------
    trajectory : Trajectory
        The result as it is on disk.
    used : Used
        Its positions.
    distal : {"left", "right"} or None
        Side of the picture that is distal.
    """
    table, provenance = trajectory.table, trajectory.provenance
    scale = provenance.scale
    times = table["time_s"].to_numpy(dtype=np.float64)
    in_view = table["in_view"].to_numpy(dtype=bool)
    # what a person set has a confidence of 1, which is not the network's
    confidence = table.loc[in_view & ~trajectory.by_hand, "confidence"]
    ran = [op.arguments for op in provenance.operations if op.name == "track"]
    model = ran[-1].get("model") if ran else None
    row: dict[str, object] = {
        "frames": len(table),
        "duration_s": float(times[-1] - times[0]) if len(times) > 1 else np.nan,
        "in_view_percent": 100 * float(in_view.mean()),
        "confidence_median": float(confidence.median()),
        "confidence_5_percent": float(confidence.quantile(LOW)),
        "sd_mm_median": float(table.loc[in_view, "sd_mm"].median()),
        "by_hand": int(trajectory.by_hand.sum()),
        "flagged_percent": 100 * float(used.flagged.mean()),
        "positions": used.how,
        "roi": "" if provenance.roi is None else str(provenance.roi),
        "model": model.get("id", "") if isinstance(model, dict) else "",
    }
    if scale is None:
        return row
    row |= {
        "scale_x_mm_per_px": scale.x_mm,
        "scale_y_mm_per_px": scale.y_mm,
        "scale_source": scale.source,
    }
    return row | _moved(trajectory, used, distal)


def _moved(trajectory: Trajectory, used: Used, distal: Side | None) -> dict[str, object]:
    """Return excursion, cycles and peak velocities in millimetres and seconds."""
    try:
        # The excursion is the same whichever side is distal; all else is not.
        done = analyse(used.trajectory, Plan(distal or "right"))
        far = excursion(trajectory, distal, used=used)
    except ResultError as error:  # a path straight up and down, which has no side
        unknown = (np.nan, np.nan, np.nan, 0, error.message)
        return dict(zip(EXCURSION, unknown, strict=True))
    known = distal is not None and done.motion.time_unit == "s"
    figures: dict[str, object] = {
        FIGURES[each.name]: each.value for each in done.figures if each.name in FIGURES and known
    }
    values = (far.value, far.sd, far.raw, int(far.reliable), far.reason)
    return dict(zip(EXCURSION, values, strict=True)) | figures

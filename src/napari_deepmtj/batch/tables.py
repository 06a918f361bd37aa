"""The tables of a whole batch: every frame, every clip, and excursions by subject and condition.

They are made from the results on disk, one clip after the other, so that they are the same however
often the batch was interrupted, and take the corrections that people made since.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from napari_deepmtj.batch.ledger import Ledger, Line
from napari_deepmtj.batch.plan import Plan, Task
from napari_deepmtj.batch.study import FACTS
from napari_deepmtj.core.jobs import Progress
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import DeepMTJError, ResultError
from napari_deepmtj.io.atomic import atomic_path, atomic_write
from napari_deepmtj.io.exports import read_trajectory
from napari_deepmtj.io.labels import guarded
from napari_deepmtj.io.sidecar import read_sidecar
from napari_deepmtj.tracking.gate import gate
from napari_deepmtj.tracking.mechanics import motion
from napari_deepmtj.tracking.smooth import smooth

#: Names of the tables in a batch's folder.
FRAMES_NAME, CLIPS_NAME, EXCURSIONS_NAME = "frames.csv", "clips.csv", "excursions.csv"

#: Columns of `clips.csv` after `file` and the facts; formulas in docs/batch.md.
CLIP_COLUMNS: tuple[str, ...] = (
    "result",
    "status",
    "reason",
    "same_content_as",
    "frames",
    "duration_s",
    "in_view_percent",
    "confidence_median",
    "sd_mm_median",
    "by_hand",
    "flagged_percent",
    "excursion_mm",
    "peak_distal_velocity_mm_per_s",
    "peak_proximal_velocity_mm_per_s",
    "scale_x_mm_per_px",
    "scale_y_mm_per_px",
    "scale_source",
    "roi",
    "model",
    "notices",
)


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the tables are.

    Parameters
    ----------
    frames, clips, excursions : Path
        One row a frame; one row a clip, failed ones too; one row a subject and condition.
    """

    frames: Path
    clips: Path
    excursions: Path


def write_tables(plan: Plan) -> Generator[Progress, None, Tables]:
    """Write the tables of a batch from its results.

    Yields
    ------
    Progress
        In clips.

    Returns
    -------
    Tables

    Raises
    ------
    ResultError
        If they cannot be written, or the ledger is damaged.
    """
    out = plan.options.out
    ledger = Ledger.of(out)
    rows: list[dict[str, object]] = []
    first_of: dict[str, str] = {}
    with (
        atomic_path(out / FRAMES_NAME) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        header = True
        for number, task in enumerate(plan.tasks, start=1):
            line = ledger.line(task.name)
            row = _about(plan, task, line)
            trajectory = None
            if line is not None and not line.failed:
                row["same_content_as"] = first_of.get(line.sha256, "")
                first_of.setdefault(line.sha256, task.name)
                try:
                    trajectory = read_trajectory(task.result)
                except DeepMTJError as error:
                    row |= {"status": "failed", "reason": str(error)}
            if trajectory is not None:
                row |= _measured(task, trajectory)
                _append_frames(file, plan, task, trajectory, header=header)
                header = False
            rows.append(row)
            yield Progress(number, len(plan.tasks), "clip", "tables")
    clips = pd.DataFrame(rows, columns=["file", *plan.facts, *CLIP_COLUMNS])
    atomic_write(out / CLIPS_NAME, _csv(clips).encode())
    atomic_write(out / EXCURSIONS_NAME, _csv(excursions(clips, plan.facts)).encode())
    return Tables(out / FRAMES_NAME, out / CLIPS_NAME, out / EXCURSIONS_NAME)


def _about(plan: Plan, task: Task, line: Line | None) -> dict[str, object]:
    """Return what is known of a clip without its result."""
    status = "not tracked yet" if line is None else "failed" if line.failed else "done"
    notices = () if line is None else line.facts.get("notices", ())
    return {
        "file": task.clip.as_posix(),
        **{name: task.entry.facts.get(name, "") for name in plan.facts},
        "result": task.name if status == "done" else "",
        "status": status,
        "reason": "" if line is None else line.failed,
        "same_content_as": "",
        "notices": " | ".join(notices),
    }


def _measured(task: Task, trajectory: Trajectory) -> dict[str, object]:
    """Return what a clip's result comes to; NaN where it cannot be said."""
    table, provenance = trajectory.table, trajectory.provenance
    scale = provenance.scale
    times = table["time_s"].to_numpy(dtype=np.float64)
    in_view = table["in_view"].to_numpy(dtype=bool)
    ran = [op.arguments for op in provenance.operations if op.name == "track"]
    model = ran[-1].get("model") if ran else None
    row: dict[str, object] = {
        "frames": len(table),
        "duration_s": float(times[-1] - times[0]) if len(times) > 1 else np.nan,
        "in_view_percent": 100 * float(in_view.mean()),
        "confidence_median": float(table.loc[in_view, "confidence"].median()),
        "sd_mm_median": float(table.loc[in_view, "sd_mm"].median()),
        "by_hand": int(trajectory.by_hand.sum()),
        "roi": "" if provenance.roi is None else str(provenance.roi),
        "model": model.get("id", "") if isinstance(model, dict) else "",
    }
    if scale is not None:
        row |= {
            "scale_x_mm_per_px": scale.x_mm,
            "scale_y_mm_per_px": scale.y_mm,
            "scale_source": scale.source,
        }
    gated = gate(trajectory).trajectory
    row["flagged_percent"] = 100 * float((gated.table["flags"] != "").mean())
    if scale is not None:
        row |= _moved(task, gated)
    return row


def _moved(task: Task, gated: Trajectory) -> dict[str, object]:
    """Return excursion and peak velocities of the gated trajectory, smoothed by default."""
    side = task.entry.distal_side
    if side is None:
        info = read_sidecar(task.clip)
        side = None if info is None else info.distal_side
    try:
        # The excursion is the same whichever side is distal; the signs of velocities are not.
        moved = motion(smooth(gated).trajectory, side or "right")
    except ResultError:  # nothing in view, or a path straight up and down, which has no side
        return {}
    row: dict[str, object] = {"excursion_mm": moved.excursion}
    if side is not None and moved.time_unit == "s":
        distal, proximal = moved.peak_velocity
        row["peak_distal_velocity_mm_per_s"] = distal
        row["peak_proximal_velocity_mm_per_s"] = proximal
    return row


def _append_frames(
    file: IO[str], plan: Plan, task: Task, trajectory: Trajectory, *, header: bool
) -> None:
    table = trajectory.table.copy()
    table["in_view"] = table["in_view"].astype(int)
    facts = {"file": task.clip.as_posix()} | {n: task.entry.facts.get(n, "") for n in plan.facts}
    for place, (name, text) in enumerate(facts.items()):
        table.insert(place, _free(name, trajectory), guarded(text))
    table.to_csv(
        file,
        header=header,
        index=False,
        lineterminator="\n",
        float_format="%.10g",
        quoting=csv.QUOTE_MINIMAL,
    )


def _free(name: str, trajectory: Trajectory) -> str:
    """Return a name for a fact's column that no column of a trajectory has."""
    return f"study_{name}" if name in trajectory.table.columns else name


def excursions(clips: pd.DataFrame, facts: tuple[str, ...]) -> pd.DataFrame:
    """Return the excursions of each subject under each condition.

    Parameters
    ----------
    clips : pandas.DataFrame
        As `clips.csv`.
    facts : tuple of str
        Its columns of facts.

    Returns
    -------
    pandas.DataFrame
        One row a combination of the known facts but `trial`: `clips`, `excursion_mm_mean`,
        `excursion_mm_sd` (n - 1), `_min`, `_max`, over its clips; and `in_view_percent_mean`.
    """
    by = [name for name in FACTS if name in facts and name != "trial"]
    done = clips[clips["excursion_mm"].notna()]
    columns = ["clips", "excursion_mm_mean", "excursion_mm_sd", "excursion_mm_min"]
    columns += ["excursion_mm_max", "in_view_percent_mean"]
    rows = [[*key, *_statistics(group)] for key, group in _groups(done, by) if len(group)]
    return pd.DataFrame(rows, columns=[*by, *columns])


def _groups(
    table: pd.DataFrame, by: list[str]
) -> Iterator[tuple[tuple[object, ...], pd.DataFrame]]:
    if not by:
        yield (), table
        return
    for key, group in table.groupby(by, sort=True, dropna=False):
        yield key if isinstance(key, tuple) else (key,), group


def _statistics(group: pd.DataFrame) -> list[float]:
    values = group["excursion_mm"].astype(float)
    return [
        len(group),
        float(values.mean()),
        float(values.std(ddof=1)) if len(group) > 1 else float("nan"),
        float(values.min()),
        float(values.max()),
        float(group["in_view_percent"].astype(float).mean()),
    ]


def _csv(table: pd.DataFrame) -> str:
    text = io.StringIO()
    safe = table.copy()
    for name in safe.columns:
        if safe[name].dtype == object:
            safe[name] = [guarded(v) if isinstance(v, str) else v for v in safe[name]]
    safe.to_csv(text, index=False, lineterminator="\n", float_format="%.10g")
    return text.getvalue()

"""Taking smoothing away again: back to what the network said, whoever saved the result."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_deepmtj.core.trajectory import Flag, Origin, Trajectory, join_flags
from napari_deepmtj.tracking.series import undone


def unsmooth(trajectory: Trajectory) -> Trajectory:
    """Return a trajectory with its raw positions in use, as if it had never been smoothed.

    Rows that a person made stay, and so do rows refilled by optical flow, and rows without raw
    values that were not filled by smoothing (another program's). Rows that smoothing had filled
    or thrown away have no standard deviation any more: the one that it gave them goes with it,
    and the network's is not kept beside it.

    Parameters
    ----------
    trajectory : Trajectory
        Any; without smoothing nothing changes but the log.

    Raises
    ------
    ResultError
        If the slip of the probe was subtracted.
    """
    undone(trajectory, "taking smoothing away")
    table = trajectory.table
    origin = table["origin"].to_numpy(dtype=object).copy()
    raw = table[["x_raw_px", "y_raw_px"]].to_numpy(dtype=np.float64)
    known = np.isfinite(raw).all(axis=1)
    filled = origin == Origin.INTERPOLATED
    free = ~trajectory.by_hand & (origin != Origin.REFILLED)
    back, gone = free & known, free & ~known & filled
    xy = trajectory.xy_px.copy()
    xy[back], xy[gone] = raw[back], np.nan
    in_view = table["in_view"].to_numpy(dtype=bool).copy()
    in_view[back], in_view[gone] = True, False
    flags = table["flags"].fillna("").to_numpy(dtype=object).copy()
    for row in np.flatnonzero(back | gone):
        kept = {Flag(name) for name in flags[row].split(";") if name} - {Flag.NOT_IN_VIEW}
        kept |= {Flag.NOT_IN_VIEW} if gone[row] else set()
        flags[row] = join_flags(flag for flag in Flag if flag in kept)
    origin[filled & free] = Origin.PREDICTED.value
    columns: dict[str, Any] = {
        "x_px": xy[:, 0],
        "y_px": xy[:, 1],
        "in_view": in_view,
        "origin": origin,
        "flags": flags,
    }
    for name in ("sd_x_px", "sd_y_px", "cov_xy_px2"):
        spread = table[name].to_numpy(dtype=np.float64).copy()
        spread[filled & free] = np.nan
        columns[name] = spread
    return trajectory.changed(
        columns, "unsmooth", restored=int(back.sum()), emptied=int(gone.sum())
    )

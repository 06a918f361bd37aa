"""What is made of a tracked clip on request: smoothed positions, and a video to look at.

Smoothing is `tracking.smooth`, drawing `report.video`; when they are made is `clip`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import pandas as pd

from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.tracking.gate import gate
from napari_deepmtj.tracking.smooth import smooth
from napari_deepmtj.tracking.steps import parse_method


def require_sense(smooth_by: str, *, fuse: bool, subtract_slip: bool) -> None:
    """Refuse a smoothing that cannot be, before anything runs.

    Raises
    ------
    ResultError
        If there is no such method, or it would undo what else is asked for: smoothing begins with
        the raw positions.
    """
    if not smooth_by:
        return
    parse_method(smooth_by)
    if fuse or subtract_slip:
        raise ResultError(
            "smoothing begins with the positions of the network, so it would undo fusion and the "
            "subtraction of the probe's slip; ask for one of them"
        )


def smooth_key(smooth_by: str) -> str:
    """Return what a smoothing's numbers are a function of: the method with all its parameters."""
    return repr(parse_method(smooth_by)) if smooth_by else ""


def smoothed(trajectory: Trajectory, smooth_by: str) -> Generator[Notice, None, Trajectory]:
    """Gate a trajectory with the default limits and smooth it, as `process --gate --smooth` does.

    Yields
    ------
    Notice
        What must be told of either.
    """
    gated = gate(trajectory)
    done = smooth(gated.trajectory, parse_method(smooth_by))
    for text in dict.fromkeys((*gated.notices, *done.notices)):
        yield Notice(text)
    return done.trajectory


def with_rows_by_hand(trajectory: Trajectory, old: Trajectory | None) -> Trajectory:
    """Return a new run with the rows that a person made in the result before.

    So fusion and smoothing go through them, and a video shows them; saving keeps them anyway.

    Parameters
    ----------
    trajectory : Trajectory
        As just tracked.
    old : Trajectory or None
        The result that is there.
    """
    if old is None or old.provenance.clip_sha256 != trajectory.provenance.clip_sha256:
        return trajectory
    hand = old.table[old.by_hand & old.table["frame"].isin(trajectory.frames)]
    if not len(hand):
        return trajectory
    scale = trajectory.provenance.scale
    rest = trajectory.table[~trajectory.table["frame"].isin(hand["frame"])]
    table = pd.concat([part for part in (rest, hand) if len(part)]).sort_values("frame")
    joined = replace(trajectory, table=table.reset_index(drop=True))
    return replace(joined.rescaled(scale), provenance=trajectory.provenance)

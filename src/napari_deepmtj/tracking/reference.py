"""A second point of a clip, clicked once and followed by optical flow, to measure the MTJ from.

A marker's shadow on the skin shows how the probe slips, the calcaneus how the heel moves, fascia
how the tissue does. It is a `Trajectory` like the MTJ's, in a file of the same kind beside the
result; `mechanics.motion` subtracts it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.paths import CSV_SUFFIX, clip_stem
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.trajectory import Flag, FramePrediction, Origin, Trajectory
from napari_deepmtj.errors import DeepMTJError, ResultError
from napari_deepmtj.tracking.series import FloatArray

if TYPE_CHECKING:
    from napari_deepmtj.tracking.flow import BlockMatching, LucasKanade
    from napari_deepmtj.video.opening import VideoSource

#: Frames that are followed between two reports of progress.
BLOCK = 50


def reference_path(beside: str | Path, name: str) -> Path:
    """Return the file of a reference: `<stem>.mtj-reference-<name>.csv` beside clip or result.

    Raises
    ------
    ResultError
        If the name has anything but letters, digits, - and _.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ResultError(f"{name!r} is no name of a reference; use letters, digits, - and _")
    path = Path(beside)
    result = path.name.endswith(CSV_SUFFIX)
    stem = path.name.removesuffix(CSV_SUFFIX) if result else clip_stem(path)
    return path.with_name(f"{stem}.mtj-reference-{name}.csv")


def follow_reference(
    source: VideoSource,
    name: str,
    frame: int,
    xy_px: tuple[float, float],
    *,
    method: LucasKanade | BlockMatching | None = None,
    roi: Roi | None = None,
    scale: Scale | None = None,
) -> Iterator[Progress | Notice | Done[Trajectory] | Failed]:
    """Follow a clicked point to both ends of a clip.

    Parameters
    ----------
    source : VideoSource
        The clip.
    name : str
        What the point is.
    frame : int
        Where it was clicked.
    xy_px : (x, y)
        Where, in frame pixels.
    method : LucasKanade, BlockMatching or None
        None is `LucasKanade()`.
    roi, scale
        Those of the clip's result; None is the clip's own.

    Yields
    ------
    Progress
        In frames.
    Notice
        Where the point was lost.
    Done of Trajectory, or Failed
        MANUAL where it was clicked, REFILLED where it was followed, without a position where it
        was lost; the standard deviations are those of the flow's steps added up, a lower bound.
    """
    try:
        yield from _follow(source, name, frame, xy_px, method, roi, scale)
    except DeepMTJError as error:
        yield Failed(error)


def _follow(
    source: VideoSource,
    name: str,
    frame: int,
    xy_px: tuple[float, float],
    method: LucasKanade | BlockMatching | None,
    roi: Roi | None,
    scale: Scale | None,
) -> Iterator[Progress | Notice | Done[Trajectory]]:
    from napari_deepmtj.tracking.flow import LucasKanade, follow

    method = LucasKanade() if method is None else method
    roi = source.roi if roi is None else roi
    scale = source.scale if scale is None else scale
    n = source.n_frames
    xy, variance = np.full((n, 2), np.nan), np.full((n, 2), np.nan)
    done = 0
    for end in (n - 1, 0):
        at, so_far, here = np.asarray(xy_px, dtype=np.float64), np.zeros(2), frame
        step = 1 if end >= frame else -1
        while True:
            stop = min(here + BLOCK, end) if step == 1 else max(here - BLOCK, end)
            found = follow(source, at, here, stop, method=method, roi=roi, scale=scale)
            xy[found.frames] = found.xy
            variance[found.frames] = so_far + np.cumsum(found.sd**2, axis=0)
            lost = np.flatnonzero(np.isnan(found.xy[:, 0]))
            if len(lost):
                yield Notice(f"{name} was lost at frame {found.frames[lost[0]]}")
                break
            done += abs(stop - here)
            yield Progress(done, n - 1)
            if stop == end:
                break
            at, so_far, here = found.xy[-1], variance[stop], stop
    yield Done(_trajectory(source, name, frame, xy_px, method, roi, scale, xy, variance))


def _trajectory(
    source: VideoSource,
    name: str,
    frame: int,
    xy_px: tuple[float, float],
    method: Any,
    roi: Roi | None,
    scale: Scale | None,
    xy: FloatArray,
    variance: FloatArray,
) -> Trajectory:
    seen = np.isfinite(xy[:, 0])
    rows = [
        FramePrediction(
            i, x, y, np.diag(v), float("nan"), bool(s), () if s else (Flag.NOT_IN_VIEW,)
        )
        for i, ((x, y), v, s) in enumerate(zip(xy, variance, seen, strict=True))
    ]
    said = Provenance(
        source.name,
        source.sha256,
        source.n_frames,
        source.height,
        source.width,
        source.times.source,
        roi=roi,
        scale=scale,
    )
    made = Trajectory.from_predictions(rows, source.times, said)
    made = made.changed(
        {"origin": np.where(seen, Origin.REFILLED.value, Origin.PREDICTED.value).astype(object)},
        "follow reference",
        reference=name,
        frame=frame,
        xy_px=[float(v) for v in xy_px],
        method=type(method).__name__,
        parameters={
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(method).items()
        },
        lost=int((~seen).sum()),
    )
    return made.corrected(frame, xy_px, Origin.MANUAL)

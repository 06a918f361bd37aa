"""Probe slip: how far the whole picture went because the probe moved on the skin.

Estimated from skin and deep fascia, which no calf muscle moves: two bands of the picture, above
and below what does. Where they disagree, the one that moved less is believed: whatever moves one
band besides the probe is not slip.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.trajectory import Flag, Trajectory, join_flags
from napari_deepmtj.errors import DeepMTJError, ResultError, VideoError
from napari_deepmtj.tracking import flow
from napari_deepmtj.tracking.series import BoolArray, FloatArray

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

#: Bands as parts of the region's height: skin and fat, and below the soleus. Choices.
SKIN, DEEP = (0.0, 0.25), (0.8, 1.0)

#: Points of a band along x and y.
POINTS = (24, 5)

#: Bands whose ways differ by less (root mean square) are averaged, mm. A choice.
AGREE_MM = 0.5

#: Slip is large from here, mm: about P20's mean error of 2.55. A choice.
LARGE_MM = 2.0

#: Progress is told every so many frames.
TOLD_EVERY = 10


@dataclass(frozen=True)
class Slip:
    """How far the picture slipped since the first frame.

    Attributes
    ----------
    frames : ndarray of int64, shape (n,)
        Consecutive frames.
    xy : ndarray, shape (n, 2)
        Shift of the tissue in the picture as (x, y), px; 0 in the first frame.
    mm : ndarray, shape (2,)
        Millimetres a pixel along x and y.
    bands : tuple of str
        What it was taken from: "skin", "deep" or both.
    disagreement_mm : float
        Root mean square of the difference between the bands; NaN if one was not seen.
    lost : tuple of int
        Frames across which neither was followed; no slip is counted there.
    """

    frames: npt.NDArray[np.int64]
    xy: FloatArray
    mm: FloatArray
    bands: tuple[str, ...]
    disagreement_mm: float
    lost: tuple[int, ...]

    @property
    def steps(self) -> FloatArray:
        """Slip from each frame to the next, px a frame, shape (n - 1, 2)."""
        steps: FloatArray = np.diff(self.xy, axis=0)
        return steps

    @property
    def distance_mm(self) -> FloatArray:
        """How far from where it was in the first frame, mm, shape (n,)."""
        away: FloatArray = np.linalg.norm(self.xy * self.mm, axis=1)
        return away


def estimate(
    source: VideoSource, trajectory: Trajectory, *, method: flow.LucasKanade | None = None
) -> Generator[Progress | Notice | Done[Slip] | Failed]:
    """Estimate the slip over the frames of a trajectory; a job.

    Parameters
    ----------
    source : VideoSource
        The clip; it stays open.
    trajectory : Trajectory
        Its provenance says region and scale.
    method : LucasKanade or None
        How the points of a band are followed; its `reach_mm` and `points` are not used.

    Yields
    ------
    Progress, Notice
        As it goes; a notice where slip is large, or bands disagree.
    Done of Slip, or Failed
        Last.
    """
    try:
        if not len(trajectory):
            raise ResultError("the trajectory has no frame; track the clip first")
        first, last = int(trajectory.frames[0]), int(trajectory.frames[-1])
        region = trajectory.provenance.roi or Roi.full(source.height, source.width)
        mm = flow.mm_per_px(trajectory.provenance.scale, region.width)
        method = flow.LucasKanade() if method is None else method
        grids = [_grid(region, band) for band in (SKIN, DEEP)]
        steps = np.full((last - first, 2, 2), np.nan)  # frame, band, axis
        before, read = None, 0
        numbered = source.numbered(first, last + 1, roi=region)
        for read, (_, picture) in enumerate(numbered, start=1):
            if before is not None and picture is not None:
                steps[read - 2] = [method.vote(before, picture, g, mm).shift for g in grids]
            before = picture
            if read % TOLD_EVERY == 0:
                yield Progress(read, last - first + 1)
        if read <= last - first:
            raise VideoError("cannot be read", path=source.name, frame=first + read)
        slip = _chosen(np.arange(first, last + 1), steps, mm)
        yield from (Notice(text) for text in _told(slip))
        yield Done(slip)
    except DeepMTJError as error:
        yield Failed(error)


def _grid(region: Roi, band: tuple[float, float]) -> FloatArray:
    x = (np.arange(POINTS[0]) + 0.5) / POINTS[0] * region.width
    low, high = band
    y = (low + (np.arange(POINTS[1]) + 0.5) / POINTS[1] * (high - low)) * region.height
    points: FloatArray = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return points


def _chosen(frames: npt.NDArray[np.int64], steps: FloatArray, mm: FloatArray) -> Slip:
    """Return the slip that the bands tell of together, or the one that moved less."""
    names = np.array(["skin", "deep"])
    found = np.isfinite(steps[..., 0])
    lost = tuple(int(f) for f in frames[1:][~found.any(axis=1)])
    # A band that is there only now and then says nothing of the way as a whole.
    usable = np.asarray(found.sum(axis=0) >= 0.5 * found.any(axis=1).sum())
    together: BoolArray = np.asarray(found.all(axis=1))
    ways = np.cumsum(np.where(together[:, None, None], steps, 0.0), axis=0) * mm
    difference = float("nan")
    if together.any() and usable.all():
        difference = float(np.sqrt(((ways[:, 0] - ways[:, 1]) ** 2).sum(axis=1).mean()))
        if difference > AGREE_MM:
            usable = np.eye(2, dtype=bool)[np.ptp(ways, axis=0).max(axis=1).argmin()]
    counted = found & usable
    total = np.where(counted[..., None], steps, 0.0).sum(axis=1)
    mean = total / np.maximum(counted.sum(axis=1), 1)[:, None]
    xy = np.vstack([np.zeros((1, 2)), np.cumsum(mean, axis=0)])
    return Slip(frames, xy, mm, tuple(names[usable].tolist()), difference, lost)


def _told(slip: Slip) -> list[str]:
    said = []
    most = float(slip.distance_mm.max())
    if most > LARGE_MM:
        at = int(slip.frames[slip.distance_mm.argmax()])
        said.append(
            f"the probe slipped by {most:.1f} mm (frame {at}), judged by {' and '.join(slip.bands)}"
        )
    if len(slip.bands) == 1 and slip.disagreement_mm > AGREE_MM:
        said.append(
            f"skin and deep fascia moved differently ({slip.disagreement_mm:.1f} mm); the slip is "
            f"that of the {slip.bands[0]} band, which moved less"
        )
    if slip.lost:
        said.append(
            f"the slip is unknown at frame {', '.join(str(f) for f in slip.lost)}, and counts as 0"
        )
    return said


def flag(trajectory: Trajectory, slip: Slip) -> Trajectory:
    """Flag the rows in which the probe is far from where it was in the first frame."""
    distance = np.asarray(np.interp(trajectory.frames, slip.frames, slip.distance_mm))
    large: BoolArray = np.greater(distance, LARGE_MM)
    flags = trajectory.table["flags"].fillna("").to_numpy(dtype=object).copy()
    for row in range(len(trajectory)):
        kept = {Flag(name) for name in flags[row].split(";") if name} - {Flag.PROBE_SLIP}
        kept |= {Flag.PROBE_SLIP} if large[row] else set()
        flags[row] = join_flags(f for f in Flag if f in kept)
    return trajectory.changed(
        {"flags": flags},
        "estimate slip",
        bands=list(slip.bands),
        most_mm=round(float(slip.distance_mm.max()), 4),
        disagreement_mm=None if np.isnan(slip.disagreement_mm) else round(slip.disagreement_mm, 4),
        lost=list(slip.lost),
        limit_mm=LARGE_MM,
        flagged=int(large.sum()),
    )


def relative(trajectory: Trajectory, slip: Slip) -> FloatArray:
    """Return positions less the slip, shape (n, 2) px: where they were in the first picture.

    Raises
    ------
    ResultError
        If the slip is not known in all frames of the trajectory.
    """
    frames = trajectory.frames
    if len(frames) and not (slip.frames[0] <= frames[0] and frames[-1] <= slip.frames[-1]):
        raise ResultError(f"the slip is known in frames {slip.frames[0]} to {slip.frames[-1]} only")
    seen: FloatArray = trajectory.xy_px - slip.xy[frames - slip.frames[0]]
    return seen


def subtract(trajectory: Trajectory, slip: Slip) -> Trajectory:
    """Return the trajectory as seen from the skin: `x_px, y_px` less the slip, raw as it was.

    Its positions no longer lie on the junction in the picture, but for the first frame; the log
    has the slip of every frame.

    Raises
    ------
    ResultError
        If a person set rows, which nothing moves: take `relative` instead. If the slip was
        subtracted before, or is not known in all frames.
    """
    if any(done.name == "subtract slip" for done in trajectory.provenance.operations):
        raise ResultError("the slip was subtracted before; track the clip again")
    if trajectory.by_hand.any():
        raise ResultError(
            "was set by a person and is not moved: the slip is subtracted from clips without "
            "corrections only",
            frame=int(trajectory.frames[trajectory.by_hand][0]),
        )
    xy = relative(trajectory, slip)
    rows = slip.xy[trajectory.frames - slip.frames[0]]
    return trajectory.changed(
        {"x_px": xy[:, 0], "y_px": xy[:, 1]},
        "subtract slip",
        slip_px=[[round(float(v), 3) for v in row] for row in rows],
        bands=list(slip.bands),
    )

"""Where tissue went between two frames, and a point followed through a clip by it.

The only module that needs OpenCV (extra `flow`). It says nothing of where the MTJ is: whoever
wants that begins at a position that is known. What is measured in millimetres is that of the
clip's scale; without one, of a region as wide as the published crop (`gate`).

- BO00: Bouguet, Pyramidal implementation of the Lucas Kanade feature tracker, Intel 2000, which
  OpenCV follows.
- K10: Kalal, Mikolajczyk, Matas, Forward-backward error, ICPR 2010, 2756-2759: a grid of points,
  each followed there and back, of which the better half votes.
- L95: Lewis, Fast normalized cross-correlation, Vision Interface 1995, 120-123.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import MissingExtraError, VideoError
from napari_deepmtj.tracking.filters import SD_PER_MAD
from napari_deepmtj.tracking.gate import WIDTH_WITHOUT_SCALE_MM

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

FloatArray = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]

#: Iterations at a level, and the step in px below which they end: OpenCV's own defaults.
ITERATIONS, EPSILON_PX = 30, 0.01

#: Levels above the picture itself, each half as large (BO00: 2 to 4).
LEVELS = 3

#: Least texture of a window, OpenCV's measure (smaller eigenvalue over pixels, in grey levels of
#: 0 to 255 scaled by 1/32^2): its default. A black shadow has none.
LEAST_TEXTURE = 1e-4

#: Points do not agree better than this, px.
LEAST_SPREAD_PX = 0.02

#: Least side of a block that is looked for, px.
LEAST_BLOCK_PX = 5

#: Frames read ahead when going backwards, so that a decoder goes forwards within them.
BLOCK = 32


@dataclass(frozen=True, slots=True)
class Step:
    """Where a point went from one frame to the next.

    Attributes
    ----------
    shift : ndarray, shape (2,)
        (x, y) in px; NaN where it was lost.
    sd : ndarray, shape (2,)
        Standard error of it, px, from what the votes disagree.
    quality : float
        0 (lost) to 1: the part of the votes that agree, or the correlation.
    """

    shift: FloatArray
    sd: FloatArray
    quality: float


#: What a method returns when it finds nothing.
LOST = Step(np.full(2, np.nan), np.full(2, np.nan), 0.0)


class Method(Protocol):
    """A way of finding a point again; its fields are its parameters."""

    def step(self, before: UInt8Array, after: UInt8Array, xy: FloatArray, mm: FloatArray) -> Step:
        """Return where the tissue at `xy` of picture `before` went in `after`.

        Parameters
        ----------
        before, after : ndarray of uint8, shape (H, W)
            Pictures of one region.
        xy : ndarray, shape (2,)
            (x, y) in px of them.
        mm : ndarray, shape (2,)
            Millimetres a pixel along x and y.
        """


@dataclass(frozen=True, slots=True)
class LucasKanade:
    """Pyramidal Lucas-Kanade (BO00) of a grid of points, the better half of which votes (K10).

    Parameters
    ----------
    window_mm : float
        Side of the window around each point: 15 px at P20's 6.46 px/mm (OpenCV's default is 21).
    reach_mm : tuple of float
        The grid reaches so far from the point, along x and y: tissue that moves with it. Muscle
        and tendon go along x together, and skin and soleus above and below do not. Wider than a
        narrow shadow.
    points : tuple of int
        Of the grid along x and y. K10 has 10 x 10.
    most_error_mm : float
        Points that come back further from where they began do not vote: 1 px at 6.46 px/mm.
    least : float
        Lost with a smaller part of the points voting.

    Window and grid were the best of four on ten moving phantom clips with shadows and tilts; the
    rest are choices.
    """

    window_mm: float = 2.4
    reach_mm: tuple[float, float] = (9.0, 1.2)
    points: tuple[int, int] = (19, 3)
    most_error_mm: float = 0.15
    least: float = 0.1

    def step(self, before: UInt8Array, after: UInt8Array, xy: FloatArray, mm: FloatArray) -> Step:
        """Return the mean shift of the points that agree."""
        if not _inside(xy, before.shape):
            return LOST
        grid = _grid(xy, np.asarray(self.reach_mm) / mm, self.points)
        return self.vote(before, after, grid, mm)

    def vote(self, before: UInt8Array, after: UInt8Array, grid: FloatArray, mm: FloatArray) -> Step:
        """Return the mean shift of those points of a grid, shape (n, 2), that agree."""
        inside = _inside(grid, before.shape)
        if not inside.any():
            return LOST
        grid = grid[inside]
        moved, error = displacements(before, after, grid, self.window_mm / mm)
        good = np.isfinite(error) & (error <= self.most_error_mm / mm.min())
        if good.sum() < self.least * len(inside):
            return LOST
        # K10: the half that comes back best; then the mean of those that agree with its median.
        good &= error <= np.median(error[good])
        shifts = (moved - grid)[good]
        away = np.abs(shifts - np.median(shifts, axis=0))
        spread = SD_PER_MAD * np.median(away, axis=0) + LEAST_SPREAD_PX
        agree = (away <= 3 * spread).all(axis=1)
        if not agree.any():
            return LOST
        # Points share their windows' pixels: only windows side by side are independent.
        apart = np.ptp(grid, axis=0) / (self.window_mm / mm) + 1
        independent = max(1.0, float(np.prod(apart)) * agree.sum() / len(inside))
        sd = np.maximum(shifts[agree].std(axis=0), LEAST_SPREAD_PX) / np.sqrt(independent)
        quality = min(1.0, 2.0 * float(agree.sum()) / len(inside))
        return Step(shifts[agree].mean(axis=0), sd, quality)


@dataclass(frozen=True, slots=True)
class BlockMatching:
    """The block around the point is looked for by normalised cross-correlation (L95).

    The place of the peak between pixels is that of a parabola through it and its neighbours.

    Parameters
    ----------
    half_mm : tuple of float
        Half of the block's width and height. A choice: the grid of `LucasKanade` and its window.
    search_mm : tuple of float
        How far it is looked for, along x and y: 125 mm/s at 25 Hz along x. A choice.
    least : float
        Lost with a lower correlation. A choice.
    """

    half_mm: tuple[float, float] = (5.0, 2.5)
    search_mm: tuple[float, float] = (5.0, 2.0)
    least: float = 0.5

    def step(self, before: UInt8Array, after: UInt8Array, xy: FloatArray, mm: FloatArray) -> Step:
        """Return the shift of the block around the point."""
        cv2 = opencv()
        if not _inside(xy, before.shape):
            return LOST
        centre = np.rint(xy).astype(int)
        half = np.rint(np.asarray(self.half_mm) / mm).astype(int)
        search = np.maximum(np.rint(np.asarray(self.search_mm) / mm).astype(int), 2)
        # Near the border of the picture what is left of the block, so that it may go anywhere.
        low = np.maximum(centre - half, search)
        high = np.minimum(centre + half + 1, np.array(before.shape[::-1]) - search)
        if (high - low < LEAST_BLOCK_PX).any():
            return LOST
        block = before[low[1] : high[1], low[0] : high[0]]
        if block.std() < 1.0:
            return LOST
        field = after[
            low[1] - search[1] : high[1] + search[1], low[0] - search[0] : high[0] + search[0]
        ]
        scores = cv2.matchTemplate(field, block, cv2.TM_CCOEFF_NORMED)
        row, column = (int(i) for i in np.unravel_index(int(np.argmax(scores)), scores.shape))
        best = float(scores[row, column])
        bracketed = 0 < row < scores.shape[0] - 1 and 0 < column < scores.shape[1] - 1
        if not (bracketed and best >= self.least):
            return LOST
        between = [_parabola(scores[row, :], column), _parabola(scores[:, column], row)]
        shift = np.array([column, row]) + between - search
        # How wide the peak is at what noise leaves of the correlation.
        sd = np.full(2, 0.1 + 2.0 * (1.0 - best))
        return Step(shift.astype(np.float64), sd, min(1.0, best))


@dataclass(frozen=True)
class Followed:
    """A point through a clip.

    Attributes
    ----------
    frames : ndarray of int64, shape (n,)
        From start to stop, both included, in the direction it was followed.
    xy : ndarray, shape (n, 2)
        (x, y) in frame pixels; NaN once lost.
    quality : ndarray, shape (n,)
        Of the step that led to each frame, 0 to 1; 1 at the start, 0 once lost.
    sd : ndarray, shape (n, 2)
        Standard error of that step, px; 0 at the start, NaN once lost.
    """

    frames: npt.NDArray[np.int64]
    xy: FloatArray
    quality: FloatArray
    sd: FloatArray


def follow(
    source: VideoSource,
    xy: npt.ArrayLike,
    start: int,
    stop: int,
    *,
    method: Method | None = None,
    roi: Roi | None = None,
    scale: Scale | None = None,
) -> Followed:
    """Follow a point from frame to frame; one or two frames are in memory at a time.

    Errors add up: what was followed for long has drifted.

    Parameters
    ----------
    source : VideoSource
        The clip; it stays open.
    xy : array-like, shape (2,)
        (x, y) in frame pixels in frame `start`.
    start, stop : int
        First and last frame, both included; backwards if `stop` is less.
    method : LucasKanade, BlockMatching or None
        None is `LucasKanade()`.
    roi : Roi or None
        The B-mode picture, beyond which nothing is followed; None is the whole frame.
    scale : Scale or None
        None is the clip's.

    Raises
    ------
    MissingExtraError
        Without the extra `flow`.
    VideoError
        If the clip has no such frames.
    """
    opencv()
    for frame in (start, stop):
        if not 0 <= frame < source.n_frames:
            raise VideoError("there is no such frame to follow", path=source.name, frame=frame)
    region = Roi.full(source.height, source.width) if roi is None else roi
    mm = mm_per_px(source.scale if scale is None else scale, region.width)
    n = abs(stop - start) + 1
    found = Followed(
        np.linspace(start, stop, n).round().astype(np.int64),
        np.full((n, 2), np.nan),
        np.zeros(n),
        np.full((n, 2), np.nan),
    )
    found.xy[0], found.quality[0], found.sd[0] = xy, 1.0, 0.0
    way = walk(
        pictures(source, start, stop, region), np.asarray(xy, dtype=float), region, mm, method
    )
    for i, (at, step) in enumerate(way, start=1):
        found.xy[i], found.quality[i], found.sd[i] = at, step.quality, step.sd
    return found


def walk(
    frames: Iterable[UInt8Array],
    xy: FloatArray,
    region: Roi,
    mm: FloatArray,
    method: Method | None = None,
) -> Iterator[tuple[FloatArray, Step]]:
    """Yield (x, y) in frame pixels after each picture of `region` but the first, until lost."""
    method = LucasKanade() if method is None else method
    corner = np.array([region.x, region.y], dtype=np.float64)
    at, before = xy - corner, None
    for picture in frames:
        if before is not None:
            step = method.step(before, picture, at, mm)
            at = at + step.shift
            if not (step.quality > 0 and _inside(at, picture.shape)):
                return
            yield at + corner, step
        before = picture


def pictures(source: VideoSource, start: int, stop: int, region: Roi) -> Iterator[UInt8Array]:
    """Yield the frames from start to stop, both included, in either direction."""
    if start <= stop:
        yield from _all_of(source, start, stop, region)
        return
    for last in range(start, stop - 1, -BLOCK):
        first = max(stop, last - BLOCK + 1)
        yield from reversed(list(_all_of(source, first, last, region)))


def _all_of(source: VideoSource, first: int, last: int, region: Roi) -> Iterator[UInt8Array]:
    """Yield frames from first to last, both included; an unreadable one is an error."""
    for frame, picture in source.numbered(first, last + 1, roi=region):
        if picture is None:
            raise VideoError(
                "cannot be decoded, so that nothing can be followed across it",
                path=source.name,
                frame=frame,
            )
        yield picture


def mm_per_px(scale: Scale | None, width: int) -> FloatArray:
    """Return mm a pixel along x and y, shape (2,), of a region `width` px wide."""
    if scale is not None:
        return np.array([scale.x_mm, scale.y_mm])
    return np.full(2, WIDTH_WITHOUT_SCALE_MM / width)


def displacements(
    before: UInt8Array, after: UInt8Array, points: FloatArray, window_px: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return where points are in the next picture, and how far they miss themselves going back.

    Parameters
    ----------
    before, after : ndarray of uint8, shape (H, W)
        Pictures of one region.
    points : ndarray, shape (n, 2)
        (x, y) in px of `before`.
    window_px : ndarray, shape (2,)
        Size of the window around each point.

    Returns
    -------
    moved : ndarray, shape (n, 2)
        (x, y) in px of `after`.
    error : ndarray, shape (n,)
        Forward-backward error in px (K10); NaN where a point was lost or has no texture.
    """
    cv2 = opencv()
    window = tuple(int(max(5, 2 * round(float(size) / 2) + 1)) for size in window_px)
    # Far from the points nothing matters: a crop that holds all they can reach at the top level.
    reach = np.array(window) * 2 ** (LEVELS - 1) + 2
    low = np.maximum(np.floor(points.min(axis=0) - reach), 0).astype(int)
    high = np.ceil(points.max(axis=0) + reach).astype(int) + 1
    one, two = (
        np.ascontiguousarray(p[low[1] : high[1], low[0] : high[0]]) for p in (before, after)
    )
    options: dict[str, Any] = {
        "winSize": window,
        "maxLevel": LEVELS,
        "criteria": (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, ITERATIONS, EPSILON_PX),
        "minEigThreshold": LEAST_TEXTURE,
    }
    start = (points - low).astype(np.float32)[:, None]
    there, found, _ = cv2.calcOpticalFlowPyrLK(one, two, start, None, **options)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(two, one, there, None, **options)
    error: FloatArray = np.linalg.norm((back - start)[:, 0].astype(np.float64), axis=1)
    error[(found[:, 0] == 0) | (returned[:, 0] == 0)] = np.nan
    moved: FloatArray = there[:, 0].astype(np.float64) + low
    return moved, error


def _grid(xy: FloatArray, reach: FloatArray, points: tuple[int, int]) -> FloatArray:
    """Return points around `xy`, shape (n, 2)."""
    x, y = (np.linspace(-r, r, n) for r, n in zip(reach, points, strict=True))
    offsets: FloatArray = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return xy + offsets


def _inside(points: FloatArray, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return which points, shape (..., 2), lie on a picture."""
    beyond = np.array(shape[::-1]) - 0.5
    return np.asarray(((points >= -0.5) & (points <= beyond)).all(axis=-1))


def _parabola(values: npt.NDArray[np.float32], peak: int) -> float:
    """Return where between pixels the parabola through three values peaks, -0.5 to 0.5."""
    left, top, right = (float(v) for v in values[peak - 1 : peak + 2])
    bend = left - 2 * top + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0


def opencv() -> Any:
    """Return OpenCV, or say which extra brings it."""
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError("following tissue by optical flow", "flow") from error
    return cv2

"""Where the B-mode picture is in a recording of a scanner's screen: `detect_picture`.

What moves is tissue: text, rulers and bars stand still, and what changes among them (a clock, a
trace) is thin and mostly background. A still has only its texture. What is then done with the
region, and what a person may say instead, is in `roi.py`; how its sides are found to the pixel is
in `_sides.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_deepmtj.calibration._sides import Box, refined
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.errors import VideoError

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
UInt8Array = npt.NDArray[np.uint8]

#: Grey levels of change over time, and of texture in a still, above which a pixel is active.
#: Several, because recordings differ in compression noise; the best rectangle wins.
_CHANGES = (0.25, 0.6, 1.5, 4.0)
_TEXTURES = (2.0, 5.0, 10.0)
#: Side of the cells, in pixels, in which the picture is first looked for.
_CELL = 4
#: Part of a cell's pixels that are active in tissue, at least: what moves may be nearly black,
#: while the texture of text is sparse.
_MOVING_DENSITIES = (0.3, 0.08, 0.03)
_STILL_DENSITIES = (0.3,)
#: The smallest side of a picture, as a part of the frame's, and the part of its rectangle that it
#: fills: a sector fills about half.
_NARROWEST = 0.15
_FILLED = 0.4
#: Confidence in what moves below which texture is looked at too, and what texture counts.
_UNSURE = 0.3
_STILL = 0.7
#: Grey levels of change from which a pixel that mostly keeps its value counts as a trace or clock.
_FLASH = 1.0
#: Part of the best confidence from which a rectangle is clear enough.
_CLEAR = 0.55
#: Part of the frame above which the clip counts as cropped to its picture already.
_FULL = 0.93
#: Rectangles whose sides differ by less, in pixels, lead to the same sides.
_ALIKE = 12


@dataclass(frozen=True, slots=True)
class Detection:
    """Where the picture seems to be.

    Parameters
    ----------
    roi : Roi
        The region, source "detected"; the whole frame where the clip is the picture already.
    confidence : float
        0 to 1: how sharply the region differs from what lies beside it, less for a still.
    why : str
        What speaks for it, in one line.
    """

    roi: Roi
    confidence: float
    why: str


def detect_picture(source: VideoSource, n_frames: int = 12) -> Detection | None:
    """Find the B-mode picture in a recording of a scanner's screen.

    Parameters
    ----------
    source : VideoSource
        The clip; a still will do, with less confidence.
    n_frames : int
        How many frames, spread over the clip, are looked at.

    Returns
    -------
    Detection or None
        None where nothing looks like a picture. A trapezoid gives its bounding rectangle.
    """
    frames = spread_frames(source, n_frames)
    return None if frames is None else detect_in(frames)


def spread_frames(source: VideoSource, n_frames: int) -> UInt8Array | None:
    """Return up to `n_frames` frames spread over a clip, shape (n, H, W); None if none is readable.

    Frames that cannot be decoded are passed over: what becomes of them is told by whoever tracks.
    """
    source.wait()  # of a long clip, until then, the number of frames is but a claim
    numbers = np.linspace(0, source.n_frames - 1, max(1, n_frames)).round().astype(int)
    frames = []
    for number in np.unique(numbers):
        try:
            frames.append(source.read(int(number)))
        except VideoError:
            continue
    return np.stack(frames) if frames else None


def detect_in(frames: UInt8Array) -> Detection | None:
    """Find the picture in frames of one clip, shape (n, H, W); see `detect_picture`."""
    still = frames[len(frames) // 2].astype(np.float32)
    found: list[tuple[float, Box, str]] = []
    if len(frames) > 1:
        change = _change(frames)
        boxes = _unlike(_rectangles(change, _CHANGES, _MOVING_DENSITIES))
        found += [(*refined(change, box), "moves") for box in boxes]
        found = [one for one in found if _is_large(one[1], still)]
    if max((confidence for confidence, *_ in found), default=0.0) < _UNSURE:
        for box in _unlike(_rectangles(_texture(still), _TEXTURES, _STILL_DENSITIES)):
            confidence, sides = refined(np.abs(still - _surroundings(still, box)), box)
            found.append((_STILL * confidence, sides, "has the texture of tissue"))
    found = [one for one in found if _is_large(one[1], still)]
    if not found:
        return None
    # Tissue that fades into the depth gives smaller rectangles too: the largest clear one counts.
    clear = _CLEAR * max(confidence for confidence, *_ in found)
    confidence, box, what = max(
        (one for one in found if one[0] >= clear), key=lambda one: _area(one[1])
    )
    left, top, right, bottom = box
    if _is_whole(still, box):
        height, width = still.shape
        return Detection(Roi(0, 0, width, height, "detected"), confidence, f"the frame {what}")
    roi = Roi(left, top, right - left, bottom - top, "detected")
    return Detection(roi, confidence, f"it {what}, what lies around it does not")


def _change(frames: UInt8Array) -> FloatArray:
    """Return the standard deviation of each pixel over time, in grey levels, shape (H, W).

    Zero where a pixel keeps its value most of the time, as under a clock or a trace that runs.
    """
    total = np.zeros(frames.shape[1:], np.float32)
    squares = np.zeros_like(total)
    for frame in frames:
        level = frame.astype(np.float32)
        total += level
        squares += level * level
    mean = total / len(frames)
    change: FloatArray = np.sqrt(np.maximum(squares / len(frames) - mean * mean, 0))
    if len(frames) >= 8:
        few = frames[:, ::2, ::2]
        quarter = len(frames) // 4
        ordered = np.partition(few, (quarter, -1 - quarter), axis=0)
        spread = (ordered[-1 - quarter] - ordered[quarter]).astype(np.float32)
        here = ndimage.uniform_filter(change[::2, ::2], 5)
        flashes = (ndimage.uniform_filter(spread, 5) < 0.25 * here) & (here > _FLASH)
        change[np.repeat(np.repeat(flashes, 2, 0), 2, 1)[: change.shape[0], : change.shape[1]]] = 0
    return change


def _texture(still: FloatArray) -> FloatArray:
    """Return how much each pixel differs from its neighbours, in grey levels, shape (H, W)."""
    across = np.abs(np.diff(still, axis=1, append=still[:, -1:]))
    down = np.abs(np.diff(still, axis=0, append=still[-1:]))
    texture: FloatArray = np.maximum(across, down)
    return texture


def _rectangles(
    activity: FloatArray, thresholds: Iterable[float], densities: Iterable[float]
) -> Iterator[Box]:
    """Yield the rectangles around what is densely active over a large area."""
    height, width = (n // _CELL for n in activity.shape)
    if not height or not width:
        return
    cells = activity[: height * _CELL, : width * _CELL].reshape(height, _CELL, width, _CELL)
    for threshold in thresholds:
        counts = (cells > threshold).sum(axis=3, dtype=np.uint8).sum(axis=1, dtype=np.uint8)
        density = ndimage.uniform_filter(counts / np.float32(_CELL**2), 3, mode="nearest")
        for least in densities:
            dense = np.pad(density > least, 4, mode="edge")
            dense = ndimage.binary_closing(dense, np.ones((3, 3)))
            dense = ndimage.binary_opening(dense, np.ones((7, 7)))[4:-4, 4:-4]
            labels, _ = ndimage.label(dense)
            for number, place in enumerate(ndimage.find_objects(labels), start=1):
                inside = labels[place] == number
                if inside.mean() < _FILLED or inside.sum() < _NARROWEST**2 * dense.size:
                    continue
                # Thin appendages are left out.
                rows = np.flatnonzero(inside.mean(axis=1) > 0.1) + place[0].start
                columns = np.flatnonzero(inside.mean(axis=0) > 0.1) + place[1].start
                yield (
                    int(columns[0]) * _CELL,
                    int(rows[0]) * _CELL,
                    int(columns[-1] + 1) * _CELL,
                    int(rows[-1] + 1) * _CELL,
                )


def _unlike(boxes: Iterable[Box]) -> list[Box]:
    """Return boxes without those close to an earlier one."""
    kept: list[Box] = []
    for box in boxes:
        if all(max(abs(np.subtract(box, other))) > _ALIKE for other in kept):
            kept.append(box)
    return kept


def _surroundings(still: FloatArray, box: Box) -> float:
    """Return the commonest grey level around a box; far from all levels if there is nothing."""
    left, top, right, bottom = box
    around = still[max(0, top - 24) : bottom + 24, max(0, left - 24) : right + 24]
    ring = np.ones(around.shape, bool)
    y, x = top - max(0, top - 24), left - max(0, left - 24)
    ring[max(0, y - 4) : y + bottom - top + 4, max(0, x - 4) : x + right - left + 4] = False
    if not ring.any():
        return -1000.0
    return float(np.bincount(around[ring].astype(np.intp)).argmax())


def _area(box: Box) -> int:
    left, top, right, bottom = box
    return (right - left) * (bottom - top)


def _is_large(box: Box, still: FloatArray) -> bool:
    height, width = still.shape
    left, top, right, bottom = box
    return bool(right - left >= _NARROWEST * width and bottom - top >= _NARROWEST * height)


def _is_whole(still: FloatArray, box: Box) -> bool:
    """Whether a clip is cropped to its picture already, which may fade to black on one side."""
    if _area(box) >= _FULL * still.size:
        return True
    height, width = still.shape
    left, top, right, bottom = box
    margins = (left, top, width - right, height - bottom)
    if sum(margin > 0.02 * max(height, width) for margin in margins) > 1:
        return False
    outside = np.ones(still.shape, bool)
    outside[max(0, top - 8) : bottom + 8, max(0, left - 8) : right + 8] = False
    beyond = still[outside]
    return bool((beyond > 16).mean() < 1e-3) if len(beyond) else True

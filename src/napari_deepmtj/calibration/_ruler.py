"""The ticks of a ruler beside a picture, to a fraction of a pixel: `find_comb`.

How many millimetres lie between two ticks is guessed in `scale.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Roi

FloatArray = npt.NDArray[np.float64]

#: Pixels inside and outside of the picture's sides within which a ruler is looked for.
_INSIDE, _OUTSIDE = 4, 48
#: Grey levels by which a tick stands out from its column.
_CONTRAST = 25.0
#: Thickest tick in pixels: more is a letter or a bar.
_THICKEST = 6
#: Fewest ticks of a ruler, and the part of the picture's side that they span at least.
_FEWEST, _SPAN = 4, 0.5
#: Part of the marks of a column that are ticks, and of the ticks that are there.
_PURE, _COMPLETE = 0.75, 0.8
#: How often a long tick may come.
_MAJORS = (2, 4, 5, 10)
_NOTHING: FloatArray = np.empty(0)


@dataclass(frozen=True, slots=True, eq=False)
class Comb:
    """Evenly spaced ticks.

    Parameters
    ----------
    vertical : bool
        Whether the ruler runs down, beside the picture.
    period_px : float
        Pixels between neighbours, along the ruler.
    ticks : ndarray of float64, shape (n, 2)
        (x, y) in frame pixels.
    major_every : int
        Every how many ticks a longer one comes; 1 where all are alike.
    quality : float
        0 to 1: complete, even and of many ticks.
    """

    vertical: bool
    period_px: float
    ticks: FloatArray
    major_every: int
    quality: float


def find_comb(still: npt.NDArray[np.float32], roi: Roi) -> Comb | None:
    """Return the clearest ruler along a side of a picture, shape (H, W); None if there is none."""
    combs = [
        comb for side in ("left", "right", "top", "bottom") for comb in _combs(still, roi, side)
    ]
    return max(combs, key=lambda comb: (comb.quality, comb.vertical), default=None)


def _combs(still: npt.NDArray[np.float32], roi: Roi, side: str) -> Iterator[Comb]:
    """Yield the comb along one side of the picture, if there is one."""
    height, width = still.shape
    vertical = side in ("left", "right")
    picture = still if vertical else still.T
    low, high = (roi.y, roi.y + roi.height) if vertical else (roi.x, roi.x + roi.width)
    begin, end = max(0, low - 8), min(height if vertical else width, high + 8)
    edge, out = {
        "left": (roi.x, -1),
        "right": (roi.x + roi.width - 1, 1),
        "top": (roi.y, -1),
        "bottom": (roi.y + roi.height - 1, 1),
    }[side]
    columns: dict[int, FloatArray] = {}
    found: list[tuple[int, FloatArray, float]] = []
    for distance in range(-_INSIDE, _OUTSIDE):
        column = edge + out * distance
        if 0 <= column < picture.shape[1]:
            marks = _marks(picture[begin:end, column]) + begin
            columns[column] = marks
            fitted = _fit(marks, (high - low) * _SPAN)
            if fitted is not None:
                found.append((column, *fitted))
    if not found:
        return
    # Long ticks have columns of their own; the short ones tell the period.
    period = min(one[2] for one in found)
    alike = [one for one in found if abs(one[2] - period) < 0.1 * period]
    column, places, _ = max(alike, key=lambda one: len(one[1]))
    number = np.rint((places - places[0]) / period)
    period, start = np.polyfit(number, places, 1)
    unevenness = float(np.std(places - start - period * number))
    # Where short ticks end long ones go on, on either side; numbers come later.
    ends = sorted(one[0] for one in alike)
    beyond = ((ends[0] - 1, ends[0] - 2), (ends[-1] + 1, ends[-1] + 2))
    longer = [
        {_every(columns.get(at, _NOTHING), start, period, len(places)) for at in pair}
        for pair in beyond
    ]
    every = max((one.pop() for one in longer if len(one) == 1), default=1)
    across = np.full_like(places, column)
    quality = (
        len(places)
        / (number[-1] + 1)
        * min(1.0, len(places) / 6)
        * min(1.0, len(alike) / 3)
        / (1 + (unevenness / max(0.5, 0.05 * period)) ** 2)
    )
    ticks = np.stack((across, places) if vertical else (places, across), axis=1)
    yield Comb(vertical, float(period), ticks, every, float(quality))


def _every(marks: FloatArray, start: float, period: float, n: int) -> int:
    """Return every how many of `n` ticks a column has one, as that of long ticks does; else 1."""
    number = np.rint((marks - start) / period)
    if not 2 <= len(marks) < n or np.abs(marks - start - number * period).max() > 1.5:
        return 1
    every = int(np.gcd.reduce(np.diff(number).astype(np.intp)))
    complete = len(marks) >= _COMPLETE * (np.ptp(number) / max(1, every) + 1)
    return every if complete and every in _MAJORS and len(marks) >= n // every else 1


def _marks(column: npt.NDArray[np.float32]) -> FloatArray:
    """Return the centres of the short marks in a column, in rows; empty if there are none."""
    apart = np.abs(column - np.median(column))
    steps = np.diff((apart > _CONTRAST).astype(np.int8), prepend=0, append=0)
    begins, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    short = ends - begins <= _THICKEST
    centres = []
    for begin, end in zip(begins[short], ends[short], strict=True):
        rows = np.arange(max(0, begin - 1), min(len(column), end + 1))
        centres.append(float((rows * apart[rows]).sum() / apart[rows].sum()))
    return np.array(centres)


def _fit(marks: FloatArray, span: float) -> tuple[FloatArray, float] | None:
    """Return the marks that are evenly spaced, and their period; None if most are not."""
    if len(marks) < _FEWEST:
        return None
    gaps = np.diff(marks)
    for guess in np.unique(np.quantile(gaps, (0.5, 0.25, 0.75), method="nearest")):
        if guess < 3:
            continue
        anchor = marks[int(np.abs(gaps - guess).argmin())]
        # Ticks are drawn on whole pixels: only the mean gap is close enough over many of them.
        period = float(gaps[np.abs(gaps - guess) <= 0.3 * guess].mean())
        for _ in range(3):
            number = np.rint((marks - anchor) / period)
            even = np.abs(marks - anchor - period * number) <= max(1.0, 0.15 * period)
            if even.sum() < _FEWEST or np.ptp(number[even]) == 0:
                break
            period, anchor = (float(value) for value in np.polyfit(number[even], marks[even], 1))
        else:
            kept, places = marks[even], np.unique(number[even])
            complete = len(places) >= _COMPLETE * (np.ptp(places) + 1)
            pure = len(kept) >= _PURE * len(marks) and len(kept) == len(places)
            if complete and pure and np.ptp(kept) >= span:
                return kept, period
    return None

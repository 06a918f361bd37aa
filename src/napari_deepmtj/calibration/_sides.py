"""The sides of a rectangle full of activity, to the pixel: `refined`.

Where such a rectangle may be, and what activity is, is the business of `picture.py`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FloatArray = npt.NDArray[np.float32]

#: Left, top, right, bottom in pixels; the last two are exclusive.
Box = tuple[int, int, int, int]

#: How far from where it is expected, in pixels, a side is looked for.
_AROUND = 14
#: How far into the picture, in pixels, one looks for what it is like there.
_DEEP = 40
#: Part of the activity further in at which the picture begins.
_STEP = 0.4
#: Steepest side of a trapezoid, in pixels across for each pixel down.
_STEEPEST = 0.6
#: Activity, in grey levels, that is as good as none.
_NOISE = 0.3


def refined(activity: FloatArray, box: Box) -> tuple[float, Box]:
    """Return the contrast at the sides of what is active, 0 to 1, and its exact box.

    Parameters
    ----------
    activity : ndarray of float32, shape (H, W)
        How much each pixel differs from what is no picture, in grey levels.
    box : Box
        About where the active part is.
    """
    left, top, right, bottom = box
    height, width = activity.shape
    views = (
        (activity[top:bottom], left, right),
        (activity.T[left:right], top, bottom),
        (activity[top:bottom, ::-1], width - right, width - left),
        (activity.T[left:right, ::-1], height - bottom, height - top),
    )
    contrasts, edges = zip(*(_left_side(*view) for view in views), strict=True)
    exact = (edges[0], edges[1], width - edges[2], height - edges[3])
    return float(np.mean(contrasts)), exact


def _left_side(rows: FloatArray, near: int, far: int) -> tuple[float, int]:
    """Find the left side of what is active, which may lean.

    Parameters
    ----------
    rows : ndarray of float32, shape (h, W)
        Activity in the rows along the side.
    near, far : int
        About where the active part begins and ends.

    Returns
    -------
    contrast : float
        0 to 1, of the columns just inside against those just outside.
    edge : int
        First column of the active part, where it reaches out furthest.
    """
    step = 1 + len(rows) // 400  # that many rows are enough
    rows = rows[::step]
    first = max(0, near - _AROUND)
    part = rows[:, first : min(far, near + max(_AROUND, (far - near) // 2))]
    further_in = part[:, -max(4, part.shape[1] // 3) :]
    active = part > min(0.15 * float(np.median(further_in.mean(axis=0))), 2.0)
    ahead = ndimage.uniform_filter1d(
        active.astype(np.float32), 9, axis=1, origin=-4, mode="nearest"
    )
    begins = active & (ahead > 0.3)
    y = np.flatnonzero(begins.any(axis=1))
    if len(y) < 0.2 * len(rows):
        return 0.0, near
    x = begins[y].argmax(axis=1)
    slope, start = _common_line(x, y, len(rows), _STEEPEST * step)

    # The profile of activity across that line, from rows that begin near it.
    line = np.rint(slope * np.arange(len(rows))).astype(np.intp) + start + first
    close = y[np.abs(x + first - line[y]) <= _AROUND]
    columns = line[close, None] + np.arange(-_AROUND - 4, _DEEP)
    exists = (columns >= 0) & (columns < rows.shape[1])
    values = np.take_along_axis(rows[close], columns.clip(0, rows.shape[1] - 1), axis=1)
    profile = (values * exists).sum(axis=0) / np.maximum(exists.sum(axis=0), 1)
    above = profile >= _STEP * np.median(profile[_AROUND + 4 :])
    k = int((above & np.append(above[1:], True)).argmax())
    inner = float(profile[k : k + 4].mean())
    outer = profile[max(0, k - 4) : k][exists.any(axis=0)[max(0, k - 4) : k]]
    out = float(outer.mean()) if len(outer) else 0.0
    contrast = (inner - out) / (inner + out + _NOISE) * len(close) / len(rows)
    edge = int(line[[0, -1]].min()) + k - _AROUND - 4
    return max(0.0, contrast), min(max(0, edge), rows.shape[1] - 1)


def _common_line(
    x: npt.NDArray[np.intp], y: npt.NDArray[np.intp], h: int, steepest: float
) -> tuple[float, int]:
    """Return slope and x at y = 0 of the line that most points lie on, an upright one if it may."""
    votes, slope, start = 0.0, 0.0, 0
    for tilt in np.arange(0, steepest, 2.0 / h):
        for trial in (tilt, -tilt):
            offsets = x - trial * y
            low = int(np.floor(offsets.min()))
            counts = np.bincount(np.rint(offsets - low).astype(np.intp), minlength=2)
            pairs = counts[:-1] + counts[1:]
            best = int(pairs.argmax())
            if pairs[best] > votes:
                votes, slope, start = float(pairs[best]), float(trial), best + low
        if tilt == 0:
            votes *= 1.15
            if votes > 0.6 * len(x):
                break
    return slope, start

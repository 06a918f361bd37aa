"""A curve the size of a few words: where the MTJ is over time, and what is flagged.

Written as SVG by itself, so that a table of thousands needs neither matplotlib nor much room.
"""

from __future__ import annotations

import html

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.report.looks import BLUE, PAPER
from napari_deepmtj.report.timeline import Mark, Timeline, X
from napari_deepmtj.tracking.series import BoolArray, FloatArray

#: Drawn units a column of times is wide, height of the curve, and of the marks below it.
STEP, HEIGHT, MARKS = 3, 30, 5


def spark(trajectory: Trajectory, flagged: BoolArray | None = None, columns: int = 64) -> Markup:
    """Return x over time as a drawing; gaps are gaps, and flagged times are marked below.

    A column of times shows the least and the greatest value in it, so that no jump is lost.

    Parameters
    ----------
    trajectory : Trajectory
        Any with rows.
    flagged : ndarray of bool, shape (n,), or None
        Which rows are marked; None are those that carry a flag.
    columns : int
        Columns of times, about.
    """
    timeline = Timeline.of(trajectory)
    curve = timeline.curves[X]
    marked = timeline.marks[Mark.FLAGGED] if flagged is None else flagged
    column = _columns(timeline.t, columns)
    said = _words(timeline, int(marked.sum()))
    path = _path(curve.values, column, timeline.breaks)
    ticks = "".join(f"M{STEP * a} {HEIGHT + 2}h{STEP * n}" for a, n in _runs(column[marked]))
    width, height = STEP * columns, HEIGHT + MARKS
    return Markup(
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">'
        f"<title>{html.escape(said)}</title>"
        f'<path d="{path}" fill="none" stroke="{BLUE}"/>'
        f'<path d="{ticks}" stroke="{PAPER.marks[Mark.FLAGGED].colour}" stroke-width="4"/></svg>'
    )


def _columns(t: FloatArray, columns: int) -> npt.NDArray[np.int64]:
    """Return in which column every row lies, shape (n,)."""
    span = float(t[-1] - t[0]) or 1.0
    found: npt.NDArray[np.int64] = ((t - t[0]) / span * columns).astype(np.int64)
    return np.minimum(found, columns - 1)


def _path(values: FloatArray, column: npt.NDArray[np.int64], breaks: npt.NDArray[np.int64]) -> str:
    """Return the line through least and greatest value of each column, broken at gaps."""
    seen = np.isfinite(values)
    if not seen.any():
        return ""
    anew = ~seen
    anew[breaks] = True
    rows, part = np.flatnonzero(seen), np.cumsum(anew)[seen]
    low, high = float(values[rows].min()), float(values[rows].max())
    heights = np.rint(1 + (HEIGHT - 2) * (high - values) / (high - low or 1.0))
    lines = []
    for run in np.split(rows, np.flatnonzero(np.diff(part)) + 1):
        points: list[str] = []
        for inside in np.split(run, np.flatnonzero(np.diff(column[run])) + 1):
            x, y = STEP * int(column[inside[0]]) + 1, heights[inside]
            ends = sorted({int(y.argmin()), int(y.argmax())})
            points += [f"{x} {int(y[i])}" for i in ends]
        lines.append("M" + "L".join(points) + ("h1" if len(points) == 1 else ""))
    return "".join(lines)


def _runs(columns: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return first member and length of every run of neighbours."""
    unique = np.unique(columns)
    if not len(unique):
        return []
    starts = np.r_[0, np.flatnonzero(np.diff(unique) > 1) + 1]
    lengths = np.diff(np.r_[starts, len(unique)])
    return [(int(unique[a]), int(n)) for a, n in zip(starts, lengths, strict=True)]


def _words(timeline: Timeline, marked: int) -> str:
    x = timeline.curves[X].values
    seen = np.isfinite(x)
    rows = f"{marked} of {len(x)} rows flagged"
    if not seen.any():
        return f"no position; {rows}"
    unit, span = timeline.length_unit, timeline.t[-1] - timeline.t[0]
    long = f"{span:.2f} s" if timeline.time_unit == "s" else f"{span:.0f} frames"
    return f"x from {x[seen].min():.1f} to {x[seen].max():.1f} {unit} in {long}; {rows}"

"""One curve of one clip in one panel: line, band, raw values, marks.

As many points are drawn as can be seen: long ones are thinned, for the stretch in view, to the
least and greatest value of each column of the picture. No number is computed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.report.looks import Look
from napari_deepmtj.report.timeline import Curve, Mark, Timeline

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]


def thinned(
    t: FloatArray, low: FloatArray, high: FloatArray, first: float, last: float, columns: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the part of a curve that is seen, with at most one interval a column.

    Parameters
    ----------
    t : ndarray, shape (n,)
        Increasing times.
    low, high : ndarray, shape (n,)
        Least and greatest value at each; the same for a line. NaN is a gap; one narrower than a
        column is not seen before it is zoomed into.
    first, last : float
        What is in view; one point on either side comes with it.
    columns : int
        Of the picture.

    Returns
    -------
    t, low, high : ndarray, shape (m,)
        `m` is at most 2 more than `columns`, or that of all points if they are few.
    """
    start = max(int(np.searchsorted(t, first)) - 1, 0)
    stop = min(int(np.searchsorted(t, last, side="right")) + 1, len(t))
    t, low, high = t[start:stop], low[start:stop], high[start:stop]
    if len(t) <= 2 * columns or not last > first:
        return t, low, high
    column = np.clip(np.floor((t - first) / (last - first) * columns), -1, columns)
    begins = np.flatnonzero(np.diff(column, prepend=np.nan) != 0)
    return t[begins], np.fmin.reduceat(low, begins), np.fmax.reduceat(high, begins)


class Trace:
    """One curve of one clip in one panel."""

    def __init__(self, axes: Axes, colour: str, label: str, look: Look) -> None:
        from matplotlib.collections import PolyCollection

        self._band = PolyCollection([], facecolor=colour, alpha=0.22, linewidth=0, zorder=1)
        self._band.set_label("± 1 SD")
        axes.add_collection(self._band, autolim=False)
        style: dict[str, Any] = {"marker": ".", "markeredgewidth": 0}
        (self._raw,) = axes.plot(
            [], [], color=colour, alpha=0.45, linewidth=0.7, markersize=2.5, label="raw", **style
        )
        (self.line,) = axes.plot([], [], color=colour, linewidth=1.4, markersize=3.5, **style)
        self.line.set_label(label)
        self._marks: dict[Mark, Any] = {}
        for order, (mark, symbol) in enumerate(look.marks.items()):
            (self._marks[mark],) = axes.plot(
                [],
                [],
                symbol.marker,
                color=symbol.colour,
                markersize=symbol.size,
                markeredgewidth=1.3 if mark is Mark.FLAGGED else 0.0,
                label=mark.value,
                zorder=3 + 0.1 * order,
            )
        # Flagged rows may have no position, or lie off the range: marked at the border, too.
        (self._rug,) = axes.plot(
            [],
            [],
            "|",
            color=look.marks[Mark.FLAGGED].colour,
            markersize=7,
            markeredgewidth=1.0,
            transform=axes.get_xaxis_transform(),
            label="_rug",
            zorder=4,
        )
        self._drawn: dict[str, FloatArray] = {}
        self._marked: dict[Mark, tuple[FloatArray, FloatArray]] = {}
        self._flagged: FloatArray = np.empty(0)

    def take(self, timeline: Timeline | None, curve: Curve | None) -> None:
        """Take over what is drawn next; None is nothing."""
        nothing = np.empty(0)
        self._drawn = {"t": nothing, "values": nothing}
        self._marked, self._flagged = {}, nothing
        if timeline is None or curve is None:
            return
        by_row = curve.t is timeline.t
        breaks = timeline.breaks if by_row else np.empty(0, dtype=np.int64)
        self._drawn = {"t": _opened(curve.t, breaks), "values": _parted(curve.values, breaks)}
        if curve.spread is not None:
            self._drawn["low"] = _parted(curve.values - curve.spread, breaks)
            self._drawn["high"] = _parted(curve.values + curve.spread, breaks)
        if curve.raw is not None:
            self._drawn["raw"] = _parted(curve.raw, breaks)
        if by_row:
            at = curve.values
            if curve.raw is not None:  # what is flagged is what the network said
                at = np.where(np.isfinite(curve.raw), curve.raw, at)
            for mark, rows in timeline.marks.items():
                y = at if mark is Mark.FLAGGED else curve.values
                seen = rows & np.isfinite(y)
                self._marked[mark] = (timeline.t[seen], y[seen])
            self._flagged = timeline.t[timeline.marks[Mark.FLAGGED]]

    def draw(self, first: float, last: float, columns: int) -> tuple[float, float]:
        """Bring the artists up to date with what is in view; return the range to be seen.

        That of the values and their usual (median) spread; a single row of any spread or an
        outlier among the raw values does not flatten all others.
        """
        t, values = self._drawn["t"], self._drawn["values"]
        seen, low, high = thinned(t, values, values, first, last, columns)
        _set_line(self.line, seen, low, high)
        raw = self._drawn.get("raw", np.full(len(t), np.nan))
        _set_line(self._raw, *thinned(t, raw, raw, first, last, columns))
        polygons: list[FloatArray] = []
        room = 0.0
        if "low" in self._drawn:
            band = thinned(t, self._drawn["low"], self._drawn["high"], first, last, columns)
            polygons = _polygons(*band)
            known = np.isfinite(band[1])
            room = float(np.median((band[2] - band[1])[known])) / 2 if known.any() else 0.0
        self._band.set_verts(polygons)
        for mark, line in self._marks.items():
            at, y = self._marked.get(mark, (np.empty(0), np.empty(0)))
            _set_line(line, *thinned(at, y, y, first, last, columns))
        rug, *_ = thinned(self._flagged, self._flagged, self._flagged, first, last, columns)
        self._rug.set_data(rug, np.full(len(rug), 0.015))
        here = np.isfinite(low) & (seen >= first) & (seen <= last)
        if not here.any():
            return np.nan, np.nan
        return float(low[here].min()) - room, float(high[here].max()) + room

    def artists(self) -> list[Artist]:
        """Return everything that is drawn, from below."""
        return [self._band, self._raw, self.line, *self._marks.values(), self._rug]

    def entries(self) -> list[Any]:
        """Return the artists that a legend names: those that show anything."""
        lines = [self.line, self._raw, *self._marks.values()]
        band = [self._band] if self._band.get_paths() else []
        return (
            [la for la in lines[:1] if len(la.get_xdata())]
            + band
            + [la for la in lines[1:] if np.isfinite(la.get_ydata()).any()]
        )


def _opened(t: FloatArray, breaks: npt.NDArray[np.int64]) -> FloatArray:
    """Put a time into every break, for the NaN that parts the line there."""
    return np.insert(t, breaks, (t[breaks - 1] + t[breaks]) / 2)


def _parted(values: FloatArray, breaks: npt.NDArray[np.int64]) -> FloatArray:
    return np.insert(values, breaks, np.nan)


def _set_line(line: Any, t: FloatArray, low: FloatArray, high: FloatArray) -> None:
    if np.array_equal(low, high, equal_nan=True):
        line.set_data(t, low)
    else:
        line.set_data(np.repeat(t, 2), np.column_stack([low, high]).ravel())


def _polygons(t: FloatArray, low: FloatArray, high: FloatArray) -> list[FloatArray]:
    """Return the outlines of a band, one for each run without gaps, shape (m, 2) each."""
    known = np.isfinite(low) & np.isfinite(high)
    edges = np.flatnonzero(np.diff(np.r_[False, known, False].astype(int)))
    return [
        np.column_stack([np.r_[t[a:b], t[a:b][::-1]], np.r_[low[a:b], high[a:b][::-1]]])
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]

"""Panels over one time axis in a matplotlib figure, for files and for windows alike. Without Qt.

As many points are drawn as can be seen: long trajectories are thinned, for the stretch in view,
to the least and greatest value of each column of the picture. No number is computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.report.looks import PAPER, Look, dress, plain
from napari_deepmtj.report.timeline import CONFIDENCE, VELOCITY, Curve, Mark, Timeline, Y

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

#: Share of the range of values that is left free above and below them.
MARGIN = 0.08


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


class _Trace:
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


class TimePanels:
    """Curves of clips over time, one panel a quantity.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Where to draw; it belongs to the panels.
    look : Look
        Colours, symbols, size of texts.
    """

    def __init__(self, figure: Figure, look: Look = PAPER) -> None:
        self.figure, self.look = figure, look
        self.axes: list[Axes] = []
        self.names: tuple[str, ...] = ()
        #: What could not be shown together with the first clip, one line each.
        self.left_out: tuple[str, ...] = ()
        self._timelines: tuple[Timeline, ...] = ()
        self._traces: list[list[_Trace]] = []
        self._built: tuple[Any, ...] = ()
        self.view: tuple[float, float] = (0.0, 1.0)
        self._whole_view = True

    def show(self, timelines: Sequence[Timeline], names: Sequence[str]) -> bool:
        """Show clips, the first of which sets the units; what is in view stays in view.

        Parameters
        ----------
        timelines : sequence of Timeline
            The clips, each in its colour.
        names : sequence of str
            Curves, a panel each from above; those that no clip has are left out.

        Returns
        -------
        bool
            Whether axes were made anew.
        """
        units = {timelines[0].time_unit} if timelines else set()
        fitting = tuple(t for t in timelines if t.time_unit in units)
        left_out = [
            f"{t.clip} is left out: its times are in another unit"
            for t in timelines
            if t.time_unit not in units
        ]
        self.names = tuple(n for n in names if any(n in t.curves for t in fitting))
        self._timelines = fitting
        built = (self.names, tuple(t.clip for t in fitting))
        anew = built != self._built
        if anew:
            self._build(fitting)
            self._built = built
        for axes, name, traces in zip(self.axes, self.names, self._traces, strict=True):
            unit = next(t.curves[name].unit for t in fitting if name in t.curves)
            for timeline, trace in zip(fitting, traces, strict=True):
                curve = timeline.curves.get(name)
                if curve is not None and curve.unit != unit:
                    left_out.append(f"{name} of {timeline.clip} is in {curve.unit}, not {unit}")
                    curve = None
                trace.take(timeline, curve)
            axes.set_title(
                _titled(name, unit),
                loc="left",
                fontsize=self.look.font_size,
                color=self.look.ink,
                pad=3,
            )
        if self.axes:
            time = "time [s]" if "s" in units else "frame"
            self.axes[-1].set_xlabel(time, fontsize=self.look.font_size)
        self.left_out = tuple(left_out)
        self.redraw()
        return anew

    def whole(self) -> tuple[float, float]:
        """Return first and last time of the clips shown."""
        ends = [t.t[i] for t in self._timelines for i in (0, -1) if len(t.t)]
        if not ends:
            return 0.0, 1.0
        first, last = float(min(ends)), float(max(ends))
        return (first, last) if last > first else (first - 0.5, first + 0.5)

    def show_all(self) -> None:
        """Bring everything into view, also what is added later."""
        first, last = self.whole()
        room = 0.01 * (last - first)
        self.look_at(first - room, last + room)
        self._whole_view = True

    def look_at(self, first: float, last: float, *, same_range: bool = False) -> None:
        """Bring a stretch of time into view; the vertical range follows what is in it.

        Parameters
        ----------
        first, last : float
            The stretch.
        same_range : bool
            Whether the vertical range stays, so that what is beside the curves does too.
        """
        self.view, self._whole_view = (first, last), False
        columns = self.columns()
        for axes, name, traces in zip(self.axes, self.names, self._traces, strict=True):
            ranges = np.array([trace.draw(first, last, columns) for trace in traces])
            axes.set_xlim(first, last)
            if not same_range:
                self._set_range(axes, name, ranges)

    def redraw(self) -> None:
        """Bring curves and ranges up to date with the size of the figure."""
        if self._whole_view:
            self.show_all()
        else:
            self.look_at(*self.view)

    def dragged(self, pixels: float) -> None:
        """Move the view by pixels, to later times if positive; vertical ranges stay."""
        first, last = self.view
        way = pixels * (last - first) / max(self.axes[0].bbox.width, 1.0)
        self.look_at(first + way, last + way, same_range=True)

    def moving(self) -> list[tuple[Axes, Artist]]:
        """Return what moves with the time in view, each with its axes, as it is drawn.

        The curves, and the one time axis that has numbers: axes take longer to draw than curves.
        """
        curves: list[tuple[Axes, Artist]] = [
            (axes, artist)
            for axes, traces in zip(self.axes, self._traces, strict=True)
            for trace in traces
            for artist in trace.artists()
        ]
        return [*((axes, axes.xaxis) for axes in self.axes[-1:]), *curves]

    def zoomed(self, factor: float, about: float) -> None:
        """Show `factor` as much time as now, one time staying where it is."""
        first, last = self.view
        whole = self.whole()
        if factor > 1 and (last - first) * factor >= whole[1] - whole[0]:
            self.show_all()
        elif factor > 1 or (last - first) * factor > 1e-4 * (whole[1] - whole[0]):
            self.look_at(about + (first - about) * factor, about + (last - about) * factor)

    def columns(self) -> int:
        """Return how many columns of pixels the panels have, about."""
        return max(int(self.figure.get_figwidth() * self.figure.dpi), 50)

    def place(self, above: float = 0.0) -> None:
        """Give the panels the room that their texts leave, whatever the size of the figure.

        Parameters
        ----------
        above : float
            Room above them and their titles, in heights of a text.
        """
        width, height = self.figure.get_size_inches() * 72
        em = self.look.font_size
        rows = max(len(self.axes), 1)
        left, bottom = 4.2 * em / width, 3.6 * em / height
        top = 1 - (2.0 + above) * em / height
        panel = (top - bottom) * height / rows
        self.figure.subplots_adjust(
            left=min(left, 0.4),
            right=1 - min(1.2 * em / width, 0.1),
            bottom=min(bottom, 0.4),
            top=max(top, 0.6),
            hspace=2.4 * em / max(panel - 2.4 * em, em),
        )
        for axes in self.axes:
            axes.locator_params("y", nbins=max(int(panel / (2.4 * em)), 2))
            axes.locator_params("x", nbins=max(int(width / (6 * em)), 3))

    def legend(self) -> list[Any]:
        """Return the artists that a legend names, each label once."""
        found: dict[str, Any] = {}
        for traces in self._traces:
            for trace in traces:
                for artist in trace.entries():
                    found.setdefault(artist.get_label(), artist)
        return list(found.values())

    def colours(self) -> list[tuple[str, str]]:
        """Return name and colour of every clip that is shown."""
        return [(t.clip, self.look.colour(i)) for i, t in enumerate(self._timelines)]

    def _build(self, timelines: Sequence[Timeline]) -> None:
        from matplotlib.ticker import MaxNLocator, ScalarFormatter

        self.figure.clear()
        self.figure.set_facecolor(self.look.ground)
        self.axes, self._traces = [], []
        if not self.names:
            return
        self.axes = list(self.figure.subplots(len(self.names), 1, sharex=True, squeeze=False)[:, 0])
        for axes, name in zip(self.axes, self.names, strict=True):
            dress(axes, self.look)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
                axis.set_major_formatter(ScalarFormatter(useOffset=False))
            if name == VELOCITY:
                axes.axhline(0, color=self.look.ink, alpha=0.4, linewidth=0.7)
            labels = [plain(t.clip) if len(timelines) > 1 else "tracked" for t in timelines]
            self._traces.append(
                [
                    _Trace(axes, self.look.colour(i), label, self.look)
                    for i, label in enumerate(labels)
                ]
            )
        self.place()

    def _set_range(self, axes: Axes, name: str, ranges: FloatArray) -> None:
        known = np.isfinite(ranges).all(axis=1)
        low, high = 0.0, 1.0
        if name != CONFIDENCE and known.any():
            low, high = float(ranges[known, 0].min()), float(ranges[known, 1].max())
        room = MARGIN * (high - low) or 0.5
        limits = (low - room, high + room)
        axes.set_ylim(limits[::-1] if name == Y else limits)  # pictures count rows downwards


def _titled(name: str, unit: str) -> str:
    return plain(f"{name} [{unit}]" if unit else name)


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

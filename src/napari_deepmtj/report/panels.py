"""Panels over one time axis in a matplotlib figure, for files and for windows alike. Without Qt.

One curve of one clip is `traces`; what it shows is `timeline`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.report.looks import PAPER, Look, dress, plain
from napari_deepmtj.report.timeline import CONFIDENCE, VELOCITY, Timeline, Y
from napari_deepmtj.report.traces import Trace

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

#: Share of the range of values that is left free above and below them.
MARGIN = 0.08


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
        self._traces: list[list[Trace]] = []
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
                    Trace(axes, self.look.colour(i), label, self.look)
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

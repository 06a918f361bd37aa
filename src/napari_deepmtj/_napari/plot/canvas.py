"""The canvas of the time plot: panels of `report` in napari's colours, a cursor, the mouse.

matplotlib is imported here, so whoever imports this deals with its absence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from qtpy.QtCore import QSize, QTimer

from napari_deepmtj._napari.layers import styles
from napari_deepmtj.report.panels import TimePanels
from napari_deepmtj.report.timeline import Timeline

#: Markers of matplotlib as characters.
GLYPHS = {
    "s": "\N{BLACK SQUARE}",
    "D": "\N{BLACK DIAMOND}",
    "^": "\N{BLACK UP-POINTING TRIANGLE}",
    "x": "\N{MULTIPLICATION X}",
}

#: Width and height in pixels, at least and as wanted.
SMALLEST, WANTED = (260, 110), (380, 160)
#: Pixels that the mouse may move between press and release of a click.
STILL = 4
#: Share of the time in view that a step of the wheel takes away.
ZOOM = 0.8
#: Milliseconds after the last movement of a drag until everything is drawn anew.
SETTLE = 150


class TimeCanvas(FigureCanvasQTAgg):
    """Curves over time with a cursor.

    A click chooses a time, a drag moves through time, the wheel zooms about the mouse, a double
    click shows all. The cursor is drawn over a copy of the rest, so it follows a slider that is
    dragged; during a drag of the plot the curves alone are drawn anew.

    Parameters
    ----------
    theme : str
        Id of napari's theme.
    chosen : callable
        Takes the time that was clicked.
    """

    def __init__(self, theme: str, chosen: Callable[[float], None]) -> None:
        super().__init__(Figure())  # type: ignore[no-untyped-call]
        self._drawing: Any = self  # what matplotlib left without types
        self.panels = TimePanels(self.figure, styles.plot_look(theme))
        self._chosen = chosen
        self._cursors: list[Any] = []
        self._at: float | None = None
        self._background: Any = None
        self._pressed: Any = None
        self._dragged: float | None = None
        self._frozen = False
        self._settle = QTimer(self, singleShot=True, interval=SETTLE)
        self._settle.timeout.connect(self._end_drag)
        self.setMinimumSize(*SMALLEST)
        slots: dict[Any, Any] = {
            "draw_event": self._on_draw,
            "resize_event": self._on_resize,
            "button_press_event": self._on_press,
            "motion_notify_event": self._on_move,
            "button_release_event": self._on_release,
            "scroll_event": self._on_wheel,
        }
        for name, slot in slots.items():
            self.mpl_connect(name, slot)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size that is asked of a dock, not that of matplotlib's figures."""
        return QSize(*WANTED)

    # ----- what is shown ----------------------------------------------------------------------

    def show_timelines(self, timelines: Sequence[Timeline], names: Sequence[str]) -> None:
        """Show clips; what is in view stays in view."""
        if self.panels.show(timelines, names):
            self._make_cursors()
        self._drawing.draw_idle()

    def set_theme(self, theme: str) -> None:
        """Take the colours of another theme; the curves must be shown anew."""
        self.panels = TimePanels(self.figure, styles.plot_look(theme))

    def show_all(self) -> None:
        """Bring everything into view."""
        self.panels.show_all()
        self._drawing.draw_idle()

    def legend(self) -> str:
        """Return the names of what is shown, each with its symbol, as rich text."""
        entries = []
        for artist in self.panels.legend():
            label = escape(str(artist.get_label()).replace(r"\$", "$"))
            is_band = not hasattr(artist, "get_marker")
            glyph = "\N{FULL BLOCK}" if is_band else GLYPHS.get(artist.get_marker(), "\N{EM DASH}")
            drawn = artist.get_facecolor()[0] if is_band else artist.get_color()
            r, g, b, a = to_rgba(drawn, artist.get_alpha())
            colour = f"rgba({r:.0%}, {g:.0%}, {b:.0%}, {a:.0%})"
            entries.append(f'<span style="color:{colour}">{glyph}</span>&nbsp;{label}')
        return " &nbsp; ".join(entries)

    def set_cursor_time(self, t: float | None) -> None:
        """Move the cursor, and nothing else; None hides it."""
        self._at = t
        for line in self._cursors:
            line.set_visible(t is not None)
            if t is not None:
                line.set_xdata([t, t])
        if self._background is not None:
            self._blit(())

    def _make_cursors(self) -> None:
        self._cursors = [
            axes.axvline(0, color=self.panels.look.ink, linewidth=1.2, animated=True, zorder=5)
            for axes in self.panels.axes
        ]
        self.set_cursor_time(self._at)

    # ----- drawing ----------------------------------------------------------------------------

    def _on_draw(self, event: Any) -> None:
        """Keep what was drawn, and put the cursor over it."""
        self._background = self._drawing.copy_from_bbox(self.figure.bbox)
        if not self._frozen:
            self._draw_cursor()

    def _on_resize(self, event: Any) -> None:
        self._background = None
        self.panels.place()
        if self.panels.axes:
            self.panels.redraw()

    def _draw_cursor(self) -> None:
        for axes, line in zip(self.panels.axes, self._cursors, strict=True):
            axes.draw_artist(line)

    def _blit(self, artists: Sequence[tuple[Any, Any]]) -> None:
        """Draw artists, each with its axes, and the cursor over what was kept."""
        self._drawing.restore_region(self._background)
        for axes, artist in artists:
            axes.draw_artist(artist)
        self._draw_cursor()
        self.update()  # not at once, as `blit` does: together with what the slider changes

    # ----- the mouse --------------------------------------------------------------------------

    def _on_press(self, event: Any) -> None:
        if event.inaxes is None or event.button != 1:
            return
        if event.dblclick:
            self._pressed = None
            self.show_all()
            return
        self._pressed = event

    def _on_move(self, event: Any) -> None:
        if self._pressed is None:
            return
        if self._dragged is None:
            if abs(event.x - self._pressed.x) <= STILL:
                return
            self._dragged = self._pressed.x
            self._begin_drag()
        self.panels.dragged(self._dragged - event.x)
        self._dragged = event.x
        self._blit(self.panels.moving())
        self._settle.start()

    def _on_release(self, event: Any) -> None:
        pressed, self._pressed = self._pressed, None
        if self._dragged is not None:
            self._end_drag()
        elif pressed is not None and event.button == 1:
            self._chosen(pressed.xdata)

    def _on_wheel(self, event: Any) -> None:
        if event.inaxes is not None:
            self.panels.zoomed(ZOOM**event.step, event.xdata)
            self._drawing.draw_idle()

    def _begin_drag(self) -> None:
        """Draw what stays where it is while the curves move."""
        self._freeze(True)
        self._drawing.draw()

    def _end_drag(self) -> None:
        """Draw everything anew, once the hand rests or the button is released."""
        self._settle.stop()
        self._dragged = None
        if self._frozen:
            self._freeze(False)
            self.panels.redraw()
            self._drawing.draw_idle()

    def _freeze(self, frozen: bool) -> None:
        """Leave what moves, and the grid, out of the drawing, or take it in again."""
        self._frozen = frozen
        for artist in (*(a for _, a in self.panels.moving()), *(a.xaxis for a in self.panels.axes)):
            artist.set_animated(frozen)

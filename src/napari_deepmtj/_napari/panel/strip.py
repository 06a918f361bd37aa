"""The frames of a queue as a strip of coloured cells; a click goes to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QRectF, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari_deepmtj.annotation.session import AnnotationSession

#: What a frame of the queue is -> colour of its cell; told apart by lightness too.
COLOURS = {
    "open": "#7a7a7a",
    "labelled": "#2ee6c5",
    "not visible": "#6ea8ff",
    "flagged": "#ff9f1c",
}
#: Height of the strip in pixels.
HEIGHT = 18


def states_of(core: AnnotationSession) -> list[str]:
    """Return what each frame of a round's queue is, as `COLOURS` names it."""
    states = []
    for item in core.place.queue.items:
        label = core.label_of(item)
        if core.book.is_flagged(item):
            states.append("flagged")
        elif label is None:
            states.append("open")
        else:
            states.append("labelled" if label.visible else "not visible")
    return states


class QueueStrip(QWidget):
    """A cell for each frame of the queue; emits `chosen` with the place of one that is clicked."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.states: list[str] = []
        self.position = -1
        self.setFixedHeight(HEIGHT)
        legend = ", ".join(f"{name} {colour}" for name, colour in _NAMES.items())
        self.setToolTip(f"The frames of the queue: {legend}. Click one to go there.")

    def show_round(self, core: AnnotationSession | None) -> None:
        """Show the queue of a round; nothing without one."""
        self.states = [] if core is None else states_of(core)
        self.position = -1 if core is None or core.place.beside else core.place.position
        self.setVisible(bool(self.states))
        self.update()

    def cell(self, place: int) -> QRectF:
        """Return where a cell lies."""
        wide = self.width() / max(1, len(self.states))
        return QRectF(place * wide, 1, max(1.0, wide - (1 if wide > 4 else 0)), HEIGHT - 2)

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        """Draw the cells, and a frame around the one that is shown."""
        painter = QPainter(self)
        for place, state in enumerate(self.states):
            painter.fillRect(self.cell(place), QColor(COLOURS[state]))
        if 0 <= self.position < len(self.states):
            painter.setPen(QPen(self.palette().text().color(), 2))
            painter.drawRect(self.cell(self.position).adjusted(0, 0, -1, -1))
        painter.end()

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802
        """Go to the frame of a cell."""
        if self.states:
            place = int(event.position().x() / max(1, self.width()) * len(self.states))
            self.chosen.emit(min(max(place, 0), len(self.states) - 1))


_NAMES = {"open": "grey", "labelled": "turquoise", "not visible": "blue", "flagged": "orange"}

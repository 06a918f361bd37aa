"""One collapsible step of the panel: a head, a line that says how far it is, and what it holds."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFrame, QLabel, QLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget

#: Style of the one button of a step that is to be pressed next.
MAIN = "QPushButton { font-weight: bold; padding: 6px; }"
#: Style of the head of the step that comes next, and of the others.
NEXT = "QToolButton { border: none; font-weight: bold; color: #2ee6c5; text-align: left; }"
NEXT_LIGHT = "QToolButton { border: none; font-weight: bold; color: #00695c; text-align: left; }"
OTHER = "QToolButton { border: none; font-weight: bold; text-align: left; }"


class Fold(QWidget):
    """Widgets below a line that shows and hides them.

    Parameters
    ----------
    text : str
        What stands on the line.
    tip : str
        Explains it.
    """

    toggled = Signal(bool)

    def __init__(self, text: str, tip: str = "") -> None:
        super().__init__()
        self.head = QToolButton()
        self.head.setText(text)
        self.head.setToolTip(tip)
        self.head.setCheckable(True)
        self.head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.head.setStyleSheet(OTHER)
        self.head.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.body = QWidget()
        self.body.setVisible(False)
        self.column = QVBoxLayout(self.body)
        self.column.setContentsMargins(0, 2, 0, 2)
        self.column.setSpacing(4)
        self.outer = QVBoxLayout(self)
        self.outer.setContentsMargins(0, 0, 0, 0)
        self.outer.setSpacing(2)
        self.outer.addWidget(self.head)
        self.outer.addWidget(self.body)
        self.head.toggled.connect(self._show)
        self._show(opened=False)

    def add(self, *things: QWidget | QLayout) -> None:
        """Put widgets and rows of widgets into it, from top to bottom."""
        for thing in things:
            if isinstance(thing, QLayout):
                self.column.addLayout(thing)
            else:
                self.column.addWidget(thing)

    @property
    def is_open(self) -> bool:
        """Whether it shows what it holds."""
        return self.head.isChecked()

    def open(self, opened: bool = True) -> None:
        """Show or hide what it holds."""
        self.head.setChecked(opened)

    def _show(self, opened: bool) -> None:
        self.head.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self.body.setVisible(opened)
        self.toggled.emit(opened)


class Step(Fold):
    """A step of the panel: number and name, a line on how far it is, and what can be done.

    Parameters
    ----------
    number : int
        From 1.
    name : str
        What it is called.
    tip : str
        What it is for.
    """

    def __init__(self, number: int, name: str, tip: str) -> None:
        super().__init__(f"{number}  {name}", tip)
        self.status = QLabel(wordWrap=True)
        self.status.setContentsMargins(20, 0, 0, 0)
        self.outer.insertWidget(1, self.status)
        self.body.setContentsMargins(8, 0, 0, 0)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        line.setFixedHeight(1)
        self.outer.addWidget(line)

    def mark(self, *, is_next: bool, light: bool) -> None:
        """Show whether this is the step that makes most sense now."""
        wanted = (NEXT_LIGHT if light else NEXT) if is_next else OTHER
        if self.head.styleSheet() != wanted:
            self.head.setStyleSheet(wanted)

"""What the forms of the widgets are built of, beyond magicgui's own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, Label
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QFrame,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtWidgets import QHBoxLayout, QLayout, QTableWidget, QWidget


#: Least width of a field in a panel, in pixels.
NARROWEST = 24


def row(*widgets: Any, label: str = " ") -> Container[Any]:
    """Return widgets side by side, as one row of a form."""
    made: Container[Any] = Container(
        widgets=list(widgets), layout="horizontal", labels=False, label=label
    )
    made.margins = (0, 0, 0, 0)
    return made


def widen(label: Label) -> None:
    """Let a text take the width that its row has, no more, and wrap there."""
    from qtpy.QtWidgets import QSizePolicy

    label.native.setWordWrap(True)
    label.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)


def add_lines(form: Container[Any], *labels: Label) -> None:
    """Put texts that may be long under a form, wrapped over its whole width.

    As rows of the form they would be indented, and cut off where they are wrapped.
    """
    layout = form.native.layout()
    for label in labels:
        widen(label)
        layout.addWidget(label.native)
    layout.addStretch()


def narrow(combo: ComboBox) -> None:
    """Keep a choice with a long text from widening the dock."""
    policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    combo.native.setSizeAdjustPolicy(policy)
    combo.native.setMinimumContentsLength(16)


def clear_layout(layout: QLayout) -> None:
    """Take all widgets out of a layout and delete them."""
    while (taken := layout.takeAt(0)) is not None:
        if (widget := taken.widget()) is not None:
            widget.deleteLater()


def shrink(widget: QWidget) -> None:
    """Let the fields in a widget become as narrow as its dock; texts are then cut off or wrap."""
    kinds = (QAbstractButton, QComboBox, QLineEdit, QAbstractSpinBox, QLabel, QProgressBar)
    for kind in kinds:
        for child in widget.findChildren(kind):
            if not child.minimumWidth():
                child.setMinimumWidth(NARROWEST)


class _HideWatch(QObject):
    """Calls back when a widget is hidden by the user, not with its whole window."""

    def __init__(self, widget: QWidget, act: Callable[[], None]) -> None:
        super().__init__(widget)
        self._act = act
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Look at the events of the widget; none is kept from it."""
        if event.type() == QEvent.Type.Hide and not event.spontaneous():
            self._act()
        return False


def on_hide(widget: QWidget, act: Callable[[], None]) -> None:
    """Do something whenever a widget is hidden."""
    _HideWatch(widget, act)


class QuestionBox(QFrame):
    """What the user is asked, with a button for each answer; not there while nothing is asked.

    Parameters
    ----------
    asks : object
        Has a field `question`, its event in `events`, and `answer`: a session or an annotation.
    """

    def __init__(self, asks: Any) -> None:
        super().__init__()
        self._asks = asks
        self.text = QLabel(wordWrap=True)
        self._answers = QVBoxLayout()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 4)
        column.addWidget(self.text)
        column.addLayout(self._answers)
        slots = [(asks.events.question, self._show)]
        for signal, slot in slots:
            signal.connect(slot)
        self.destroyed.connect(partial(leave, slots))
        self._show(asks.question)

    def _show(self, question: Any) -> None:
        self.setVisible(question is not None)
        clear_layout(self._answers)
        if question is None:
            return
        self.text.setText(question.text)
        for text, _ in question.answers:
            made = QPushButton(text)
            made.clicked.connect(lambda _=False, text=text: self._asks.answer(text))
            self._answers.addWidget(made)


def button(text: str, tip: str) -> QPushButton:
    """Return a button of a form that Qt lays out."""
    made = QPushButton(text)
    made.setToolTip(tip)
    return made


def side_by_side(*widgets: QWidget) -> QHBoxLayout:
    """Return Qt's widgets in a row."""
    from qtpy.QtWidgets import QHBoxLayout

    made = QHBoxLayout()
    for widget in widgets:
        made.addWidget(widget)
    return made


def leave(slots: list[tuple[Any, Any]], *_: Any) -> None:
    """Disconnect psygnal's or napari's signals from slots, when their form is gone."""
    for signal, slot in slots:
        signal.disconnect(slot)


def read_only_table() -> QTableWidget:
    """Return an empty table that is only read."""
    from qtpy.QtWidgets import QTableWidget

    table = QTableWidget()
    table.verticalHeader().setVisible(False)
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
    return table


def fill_table(table: QTableWidget, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show rows of texts under a head; rows may be shorter than it."""
    from qtpy.QtWidgets import QTableWidgetItem

    table.clear()
    table.setColumnCount(len(head))
    table.setRowCount(len(rows))
    table.setHorizontalHeaderLabels(list(head))
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            table.setItem(number, column, QTableWidgetItem(text))
    table.resizeColumnsToContents()

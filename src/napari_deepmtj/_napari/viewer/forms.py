"""What the forms of the widgets are built of, beyond magicgui's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, Label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QHBoxLayout, QPushButton, QTableWidget, QWidget


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
    from qtpy.QtWidgets import QComboBox

    policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    combo.native.setSizeAdjustPolicy(policy)
    combo.native.setMinimumContentsLength(16)


def button(text: str, tip: str) -> QPushButton:
    """Return a button of a form that Qt lays out."""
    from qtpy.QtWidgets import QPushButton

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

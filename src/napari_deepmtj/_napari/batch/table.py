"""The table of a batch: thousands of rows, of which only those on the screen are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_deepmtj._napari.batch.rows import NO_SCALE, ORDERS, RUNNING, Row, Rows
from napari_deepmtj._napari.layers import styles

#: Columns, as they are ordered by, and their widths in pixels; the last takes what is left.
COLUMNS = tuple(ORDERS)
WIDTHS = (118, 76, 80, 54, 48)

_Index = QModelIndex


class BatchModel(QAbstractTableModel):
    """Rows of a batch that a filter shows, in an order, in the colours of a theme of napari."""

    def __init__(self, theme: str = "dark") -> None:
        super().__init__()
        self._colours = styles.table_colours(theme)
        self._rows, self._filter = Rows(), "all clips"
        self._order, self._descending = "", False
        self._shown: list[int] = []
        self._lines: dict[int, int] = {}

    # ----- what is shown ----------------------------------------------------------------------

    def show(self, rows: Rows) -> None:
        """Show these rows in the place of others."""
        self._rows = rows
        self._arrange(anew=True)

    def choose(self, shown: str) -> None:
        """Show what another filter of `batch_rows.FILTERS` does."""
        self._filter = shown
        self._arrange(anew=True)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Put the rows in order by a column; by none (-1) in that of the study."""
        self._order = COLUMNS[column] if column >= 0 else ""
        self._descending = order == Qt.SortOrder.DescendingOrder
        self._arrange(anew=True)

    def update(self, places: Iterable[int]) -> None:
        """Show that some rows have changed; they keep their lines unless the filter says no."""
        if self._filter != "all clips":
            self._arrange()
        lines = sorted(self._lines[place] for place in places if place in self._lines)
        if lines:
            last = self.index(lines[-1], len(COLUMNS) - 1)
            self.dataChanged.emit(self.index(lines[0], 0), last)

    def set_theme(self, theme: str) -> None:
        """Take the colours of another theme."""
        self._colours = styles.table_colours(theme)
        last = self.index(self.rowCount() - 1, len(COLUMNS) - 1)
        self.dataChanged.emit(self.index(0, 0), last, [Qt.ItemDataRole.ForegroundRole])

    def place(self, line: int) -> int:
        """Return which row of the batch a line shows."""
        return self._shown[line]

    def line(self, place: int) -> int:
        """Return which line shows a row of the batch, -1 if none does."""
        return self._lines.get(place, -1)

    def _arrange(self, anew: bool = False) -> None:
        shown = self._rows.arranged(self._filter, self._order, self._descending)
        if anew or shown != self._shown:
            self.beginResetModel()
            self._shown = shown
            self._lines = {place: line for line, place in enumerate(shown)}
            self.endResetModel()

    # ----- what Qt asks -----------------------------------------------------------------------

    def rowCount(self, parent: Any = _Index()) -> int:  # noqa: N802, B008 - Qt's name and default
        """Return how many rows are shown."""
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: Any = _Index()) -> int:  # noqa: N802, B008
        """Return how many columns there are."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(  # noqa: N802
        self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the name of a column."""
        across = orientation == Qt.Orientation.Horizontal
        if role == Qt.ItemDataRole.DisplayRole and across:
            return COLUMNS[section]
        return None

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return text, tip or colour of a cell."""
        row, column = self._rows[self._shown[index.row()]], COLUMNS[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return text_of(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return tip_of(row, column)
        if role == Qt.ItemDataRole.ForegroundRole:
            look = look_of(row, column)
            return None if look is None else QColor(self._colours[look])
        return None


def text_of(row: Row, column: str) -> str:
    """Return what a cell says."""
    if column == "clip":
        return row.short
    if column == "state":
        return f"{row.reached} / {row.frames}" if row.state == RUNNING and row.frames else row.state
    if column == "flagged":
        return "" if row.flagged is None else f"{row.flagged} / {row.frames}"
    said = row.note.partition("\n")[0].removeprefix(f"{row.short}: ")
    return said if column == "note" else row.scale


def tip_of(row: Row, column: str) -> str:
    """Return all there is to say of a cell."""
    if column == "clip":
        said = f"region {row.roi}, model {row.model}"
        return "\n".join(filter(None, [row.clip, row.facts, said, f"result {row.name}"]))
    return row.note if column in ("state", "note") else text_of(row, column)


def look_of(row: Row, column: str) -> str | None:
    """Return what a cell stands out as, an entry of `styles.TABLE`; None is not at all."""
    if column == "state" or (column == "note" and row.failed):
        return "bad" if row.failed or row.state == "no file" else "good" if row.has_result else None
    doubtful = row.scale == NO_SCALE if column == "scale" else bool(row.flagged)
    return "doubtful" if doubtful and column in ("scale", "flagged") else None


def batch_table(model: BatchModel) -> QTableView:
    """Return the view of a batch's rows."""
    table = QTableView()
    table.setModel(model)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setWordWrap(False)
    table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
    across, down = table.horizontalHeader(), table.verticalHeader()
    down.setVisible(False)
    # Rows of one height: Qt need not ask thousands of them how tall they are.
    down.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    down.setDefaultSectionSize(table.fontMetrics().height() + 8)
    for column, width in enumerate(WIDTHS):
        table.setColumnWidth(column, width)
    across.setStretchLastSection(True)
    across.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
    across.setSortIndicatorClearable(True)
    table.setSortingEnabled(True)
    return table

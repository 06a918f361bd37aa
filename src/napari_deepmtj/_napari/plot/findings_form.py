"""The table of what the gate found, and the limits it holds rows to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_deepmtj._napari.plot.controller import PlotController
from napari_deepmtj.tracking.gate import Limits
from napari_deepmtj.tracking.series import Duration

HEAD = ("frame", "time [s]", "flag", "value", "limit", "reason")


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit of the gate, as the form shows it.

    Parameters
    ----------
    field : str
        Of `Limits`.
    text, unit : str
        What it says.
    start : float
        Shown when the rule is switched on and has no value yet.
    top, step : float
        Largest value, and that of one press.
    tip : str
        More words.
    """

    field: str
    text: str
    unit: str
    start: float
    top: float
    step: float
    tip: str


RULES = (
    Rule(
        "min_confidence",
        "confidence below",
        "",
        0.5,
        1.0,
        0.05,
        "Off: low_confidence stays as tracking set it.",
    ),
    Rule("max_sd_mm", "SD above", " mm", 5.0, 100.0, 0.5, "Root of the covariance's trace."),
    Rule(
        "max_speed_mm_s",
        "speed above",
        " mm/s",
        500.0,
        1e4,
        50.0,
        "Faster than tissue moves; needs the times of the clip.",
    ),
    Rule(
        "mad_factor",
        "or off the steps around by",
        " MAD",
        5.0,
        100.0,
        1.0,
        "Against what is usual in the clip; a MAD here is 1.4826 of it, an SD of normal noise.",
    ),
    Rule("edge_mm", "nearer to the border than", " mm", 2.0, 50.0, 0.5, "Of the region."),
)


class LimitsForm(QWidget):
    """A line for each rule, which can be switched off."""

    def __init__(self, over_time: PlotController) -> None:
        super().__init__()
        self._over_time = over_time
        self.on: dict[str, QCheckBox] = {}
        self.values: dict[str, QDoubleSpinBox] = {}
        self.least_step = _box(" mm", 100.0, 0.5)
        self.least_step.setToolTip(
            "What ends nearer to where the steps around lead is no jump by the MAD."
        )
        self.excursion = _box(" s", 10.0, 0.05)
        self.excursion.setSpecialValueText("0.2 s, 5 frames")
        self.excursion.setToolTip(
            "Who is back on the path within this time was an outlier, else it is a jump."
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(4, 4, 4, 4)
        grid.setColumnStretch(0, 1)
        for row, rule in enumerate(RULES):
            box = QCheckBox(rule.text)
            value = _box(rule.unit, rule.top, rule.step)
            for widget in (box, value):
                widget.setToolTip(rule.tip)
            grid.addWidget(box, row, 0)
            grid.addWidget(value, row, 1)
            self.on[rule.field], self.values[rule.field] = box, value
        for row, (text, widget) in enumerate(
            (
                ("MAD only beyond", self.least_step),
                ("outlier: back within", self.excursion),
            ),
            len(RULES),
        ):
            grid.addWidget(QLabel(text), row, 0)
            grid.addWidget(widget, row, 1)
        grid.setRowStretch(grid.rowCount(), 1)
        self._show(over_time.limits)
        for field, box in self.on.items():
            box.toggled.connect(self.values[field].setEnabled)
            box.toggled.connect(self._change)
        for value in (*self.values.values(), self.least_step, self.excursion):
            value.valueChanged.connect(self._change)

    def _show(self, limits: Limits) -> None:
        for rule in RULES:
            limit = getattr(limits, rule.field)
            self.on[rule.field].setChecked(limit is not None)
            self.values[rule.field].setEnabled(limit is not None)
            self.values[rule.field].setValue(rule.start if limit is None else limit)
        self.least_step.setValue(limits.least_step_mm)
        excursion = limits.max_excursion
        self.excursion.setValue(0.0 if excursion is None else excursion.value)

    def _change(self, *_: Any) -> None:
        limits = {
            field: self.values[field].value() if box.isChecked() else None
            for field, box in self.on.items()
        }
        seconds = self.excursion.value()
        self._over_time.set_limits(
            replace(
                self._over_time.limits,
                **limits,
                least_step_mm=self.least_step.value(),
                max_excursion=Duration.seconds(seconds) if seconds else None,
            )
        )


class FindingsModel(QAbstractTableModel):
    """A table of the gate's findings, made to texts as they are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self._table = pd.DataFrame()

    def show(self, findings: pd.DataFrame) -> bool:
        """Show findings; return whether they are others than before."""
        if findings.equals(self._table):
            return False
        self.beginResetModel()
        self._table = findings
        self.endResetModel()
        return True

    def frame(self, row: int) -> int:
        """Return the frame of a row."""
        return int(self._table["frame"].iloc[row])

    def rowCount(self, parent: Any = None) -> int:  # noqa: N802
        """Return how many there are."""
        return len(self._table)

    def columnCount(self, parent: Any = None) -> int:  # noqa: N802
        """Return the number of columns."""
        return len(HEAD)

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:  # noqa: N802
        """Return the head of a column."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return HEAD[section]
        return None

    def data(self, index: Any, role: int = 0) -> Any:
        """Return the text of a cell; the reason is its tip, too."""
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        texts = finding_texts(self._table.iloc[index.row()])
        return texts[-1] if role == Qt.ItemDataRole.ToolTipRole else texts[index.column()]


def finding_texts(row: Any) -> tuple[str, ...]:
    """Return a row of findings in words, a text for each of `HEAD`."""

    def number(value: float, form: str) -> str:
        return "" if pd.isna(value) else f"{value:{form}}"

    unit = f" {row['unit']}" if row["unit"] else ""
    value, limit = (number(row[name], ".3g") for name in ("value", "limit"))
    return (
        str(row["frame"]),
        number(row["time_s"], ".3f"),
        str(row["flag"]).replace("_", " "),
        f"{value}{unit}" if value else "",
        f"{limit}{unit}" if limit else "",
        str(row["reason"]),
    )


class FindingsForm(QWidget):
    """What the gate finds in the result that is shown; a row jumps to its frame."""

    def __init__(self, over_time: PlotController) -> None:
        super().__init__()
        self._over_time = over_time
        self.flags = QComboBox()
        self.flags.setToolTip("Show the findings of one flag only.")
        self.model = FindingsModel()
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setToolTip("Click to see the frame; arrow keys go from one to the next.")
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.verticalHeader().setVisible(False)
        self.table.verticalHeader().setDefaultSectionSize(20)
        self.table.setWordWrap(False)
        self.table.setMinimumHeight(90)
        header = self.table.horizontalHeader()
        header.setStretchLastSection(True)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.reason = QLabel(wordWrap=True)
        self.apply = QPushButton("Apply gate")
        self.apply.setToolTip(
            "Write these flags into the result; positions and corrections stay. Smoothing then "
            "leaves outliers out."
        )
        top = QHBoxLayout()
        top.addWidget(self.flags, 1)
        top.addWidget(self.apply)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 4, 4, 4)
        column.addLayout(top)
        column.addWidget(self.table, 1)
        column.addWidget(self.reason)
        self.apply.clicked.connect(lambda: over_time.apply_gate())
        self.flags.currentIndexChanged.connect(self._show_rows)
        self.table.selectionModel().currentRowChanged.connect(self._jump)

    def show_findings(self) -> None:
        """Show what the gate found last."""
        before = self.flags.currentData()
        gated = self._over_time.gated
        self.flags.blockSignals(True)
        self.flags.clear()
        if gated is not None:
            counts = gated.findings["flag"].value_counts()
            self.flags.addItem(f"all findings ({len(gated.findings)})", "")
            for flag, count in counts.items():
                self.flags.addItem(f"{str(flag).replace('_', ' ')} ({count})", flag)
            self.flags.setCurrentIndex(max(self.flags.findData(before), 0))
        self.flags.blockSignals(False)
        self._show_rows()

    def _show_rows(self, *_: Any) -> None:
        gated, flag = self._over_time.gated, self.flags.currentData()
        findings = pd.DataFrame() if gated is None else gated.findings
        if flag:
            findings = findings[findings["flag"] == flag]
        if self.model.show(findings):
            self.reason.setText("")
            for column in range(len(HEAD) - 1):  # the reason takes the rest, and is told below
                self.table.resizeColumnToContents(column)

    def _jump(self, now: QModelIndex, before: QModelIndex) -> None:
        if now.isValid():
            self._over_time.look_at(self.model.frame(now.row()))
            self.reason.setText(self.model.data(now, Qt.ItemDataRole.ToolTipRole))


def _box(unit: str, top: float, step: float) -> QDoubleSpinBox:
    box = QDoubleSpinBox(maximum=top, singleStep=step, suffix=unit, decimals=2)
    box.setKeyboardTracking(False)
    return box

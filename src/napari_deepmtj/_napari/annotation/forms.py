"""The two forms of the Annotate widget: which round of which file, and which frames."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_deepmtj._napari.annotation.label_file import Round
from napari_deepmtj._napari.viewer.settings import read_settings
from napari_deepmtj.annotation.queue import BATCH, Filter, Plan
from napari_deepmtj.annotation.rounds import Mode, Tolerance
from napari_deepmtj.annotation.selection import (
    PAPER_FRAMES,
    ByHand,
    Evenly,
    Every,
    LowestConfidence,
    MostDiverse,
    Random,
    Strategy,
)
from napari_deepmtj.errors import LabelError

CLIP, CLIPS, FOLDER = "the clip shown", "all open clips", "a folder"

#: What is offered -> what is asked: a number of frames (n), a seed, a list.
WAYS = {
    "evenly spread": ("n",),
    "every n-th": ("n",),
    "random": ("n", "seed"),
    "lowest confidence first": ("n",),
    "most diverse": ("n", "seed"),
    "by hand": ("list",),
}

MODES = {
    "label": Mode.LABEL,
    "review": Mode.REVIEW,
    "blinded, in a new order": Mode.BLINDED,
    "adjudicate": Mode.ADJUDICATE,
}


class RoundForm(QWidget):
    """Which label file, who, and which round of what kind."""

    def __init__(self) -> None:
        super().__init__()
        self.path = QLineEdit(placeholderText="label file, *.mtj-labels.csv")
        self.choose = QPushButton("...")
        self.annotator = QLineEdit(read_settings().annotator, placeholderText="your name")
        self.number = _number(1, 1, 99)
        self.mode = _choice(MODES)
        self.of_annotator = QLineEdit(placeholderText="whose; empty is you")
        self.of_round = _number(1, 1, 99)
        self.seed = _number(0, 0, 2**31 - 1)
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.addRow("labels", _side_by_side(self.path, self.choose))
        self._form.addRow("annotator", self.annotator)
        self._form.addRow("round", _side_by_side(self.number, self.mode))
        self._of = _side_by_side(self.of_annotator, self.of_round)
        self._form.addRow("of", self._of)
        self._form.addRow("order's seed", self.seed)
        self.mode.currentTextChanged.connect(self._show)
        self._show()

    def _show(self) -> None:
        mode = MODES[self.mode.currentText()]
        self._form.setRowVisible(self._of, mode in (Mode.REVIEW, Mode.BLINDED))
        self._form.setRowVisible(self.seed, mode is Mode.BLINDED)
        self.number.setEnabled(mode is not Mode.ADJUDICATE)

    def asked(self) -> Round:
        """Return what is asked for.

        Raises
        ------
        LabelError
            If no file is named.
        """
        if not self.path.text().strip():
            raise LabelError("no label file is named; choose one")
        mode = MODES[self.mode.currentText()]
        person = self.annotator.text().strip()
        of = (self.of_annotator.text().strip() or person, self.of_round.value())
        return Round(
            Path(self.path.text().strip()).expanduser(),
            person,
            self.number.value(),
            mode,
            of if mode in (Mode.REVIEW, Mode.BLINDED) else None,
            self.seed.value(),
        )


class QueueForm(QWidget):
    """Which frames of which clips, in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.scope = _choice([CLIP, CLIPS, FOLDER])
        self.folder = QLineEdit(placeholderText="searched with those below it")
        self.choose = QPushButton("...")
        self.way = _choice(WAYS)
        self.n = _number(PAPER_FRAMES, 1, 100_000)
        self.seed = _number(0, 0, 2**31 - 1)
        self.listed = QLineEdit(placeholderText="3, 10-20, 40")
        self.filter = _choice(filter_.value for filter_ in Filter)
        self.tolerance = QDoubleSpinBox(value=10.0, maximum=1e4, decimals=2)
        self.unit = _choice(["px", "mm"])
        self.batch = _number(BATCH, 1, 100_000)
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._folder = _side_by_side(self.folder, self.choose)
        self._tolerance = _side_by_side(self.tolerance, self.unit)
        self._form.addRow("frames of", self.scope)
        self._form.addRow("folder", self._folder)
        self._form.addRow("chosen", self.way)
        self._form.addRow("n, of each clip", self.n)
        self._form.addRow("frames", self.listed)
        self._form.addRow("seed", self.seed)
        self._form.addRow("among", self.filter)
        self._form.addRow("apart by over", self._tolerance)
        self._form.addRow("in batches of", self.batch)
        for box in (self.scope, self.way, self.filter):
            box.currentTextChanged.connect(self._show)
        self._show()

    def _show(self) -> None:
        asks = WAYS[self.way.currentText()]
        for name, field in (("n", self.n), ("seed", self.seed), ("list", self.listed)):
            self._form.setRowVisible(field, name in asks)
        self._form.setRowVisible(self._folder, self.scope.currentText() == FOLDER)
        disagreeing = self.filter.currentText() == Filter.DISAGREEING.value
        self._form.setRowVisible(self._tolerance, disagreeing)

    def asked(self) -> tuple[Plan, str | Path]:
        """Return the plan, and "clip", "clips" or a folder.

        Raises
        ------
        LabelError
            If the list of frames is none, or no folder is named.
        """
        plan = Plan(
            self._strategy(),
            Filter(self.filter.currentText()),
            self.batch.value(),
            Tolerance(self.tolerance.value(), self.unit.currentText()),
        )
        if self.scope.currentText() != FOLDER:
            return plan, "clip" if self.scope.currentText() == CLIP else "clips"
        if not self.folder.text().strip():
            raise LabelError("no folder is named; choose one")
        return plan, Path(self.folder.text().strip()).expanduser()

    def _strategy(self) -> Strategy:
        way, n, seed = self.way.currentIndex(), self.n.value(), self.seed.value()
        made: tuple[Strategy, ...] = (
            Evenly(n),
            Every(n),
            Random(n, seed),
            LowestConfidence(n),
            MostDiverse(n, seed),
        )
        return made[way] if way < len(made) else ByHand.parse(self.listed.text())


def _choice(offered: Iterable[str]) -> QComboBox:
    """Return a box to choose from, which does not widen the dock for a long entry."""
    box = QComboBox()
    box.addItems(list(offered))
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(6)
    return box


def _number(value: int, least: int, most: int) -> QSpinBox:
    box = QSpinBox()
    box.setRange(least, most)
    box.setValue(value)
    return box


def _side_by_side(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return row

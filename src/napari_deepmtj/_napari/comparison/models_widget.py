"""The Compare models widget: a form over the viewer's comparison of models. It computes nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

import napari.viewer
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QLabel, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_deepmtj._napari.comparison.models import LABEL, model_comparison_of
from napari_deepmtj._napari.viewer.forms import (
    button,
    fill_table,
    leave,
    read_only_table,
    side_by_side,
)
from napari_deepmtj._napari.viewer.settings import read_settings
from napari_deepmtj.weights.store import list_models

#: What stands for a model's colour in the table.
DOT = "\N{BLACK CIRCLE} "


class ModelsWidget(QWidget):
    """Compare models on the labelled frames of a clip.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer it works in.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.comparison = comparison = model_comparison_of(viewer)
        self.models = QListWidget()
        self.models.setToolTip("Models that are there; Train MTJ model makes more.")
        self.run = button("Compare", "Let them look at the labelled frames of this clip.")
        self.stop = button("Stop", "Stop; what was shown before stays.")
        self.summary, self.frames = read_only_table(), read_only_table()
        self.frames.setToolTip("Furthest from the label first; double click to see the frame.")
        self.message = QLabel(wordWrap=True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._places: list[int] = []
        column = QVBoxLayout(self)
        column.addWidget(QLabel("models"))
        column.addWidget(self.models, 1)
        column.addLayout(side_by_side(self.run, self.stop))
        column.addWidget(self.message)
        column.addWidget(self.summary, 1)
        column.addWidget(self.frames, 2)
        self._offer_models()
        self._show_result()
        self._show_message()
        self.run.clicked.connect(self._compare)
        self.stop.clicked.connect(lambda: comparison.stop())
        self.models.itemChanged.connect(self._show_message)
        self.frames.cellActivated.connect(self._look_at)
        events = comparison.session.events
        slots: list[tuple[Any, Any]] = [
            (comparison.compared, self._show_result),
            (comparison.told, self._show_message),
            (events.active, self._show_message),
            (events.made_model, self._offer_models),
        ]
        for signal, slot in slots:
            signal.connect(slot)
        # not a method: Qt calls none of an object that is gone
        self.destroyed.connect(partial(leave, slots))

    def chosen(self) -> list[str]:
        """Return the models that are ticked."""
        items = (self.models.item(row) for row in range(self.models.count()))
        return [item.text() for item in items if item.checkState() == Qt.CheckState.Checked]

    def _compare(self) -> None:
        self.comparison.compare(self.chosen(), read_settings().device)

    def _look_at(self, row: int, column: int) -> None:
        self.comparison.look_at(self._places[row])

    def _offer_models(self, *_: Any) -> None:
        """List the models, all ticked at first, later those that were and new ones."""
        there = {self.models.item(row).text() for row in range(self.models.count())}
        wanted = set(self.chosen())
        self.models.blockSignals(True)
        self.models.clear()
        for card in list_models():
            item = QListWidgetItem(card.id)
            ticked = card.id in wanted or card.id not in there
            item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
            self.models.addItem(item)
        self.models.blockSignals(False)
        self._show_message()

    def _show_message(self, *_: Any) -> None:
        comparison = self.comparison
        self.message.setText(comparison.message)
        ready = comparison.session.active is not None and bool(self.chosen())
        self.run.setEnabled(ready and not comparison.running)
        self.stop.setEnabled(comparison.running)

    def _show_result(self) -> None:
        """Show what the models come to, and the frames, the worst first."""
        result, marks = self.comparison.result, self.comparison.marks
        if result is None:
            return
        unit = result.unit
        rows = [
            (
                DOT + one.name,
                f"{one.summary.mean:.2f}",
                f"{one.summary.median:.2f}",
                f"{one.summary.valid:.0f}" if unit == "mm" else "",
                f"{one.summary.missed} of {one.summary.visible}",
            )
            for one in result.evaluations
        ]
        head = ("model", f"mean [{unit}]", f"median [{unit}]", "within 5 mm [%]", "missed")
        fill_table(self.summary, head, rows)
        for row, one in enumerate(result.evaluations):
            if (cell := self.summary.item(row, 0)) is not None:
                cell.setForeground(QColor(self.comparison.colour(one.name)))
        ordered = sorted(
            marks, key=lambda m: max((e for e in m.errors.values() if e == e), default=-1.0)
        )[::-1]
        names = [one.name for one in result.evaluations]
        texts = [
            (
                str(mark.frame),
                "in view" if mark.label else "not in view",
                *(_said(mark, name) for name in names),
            )
            for mark in ordered
        ]
        fill_table(self.frames, ("frame", LABEL, *(f"{n} [{unit}]" for n in names)), texts)
        self._places = [mark.frame for mark in ordered]


def _said(mark: Any, name: str) -> str:
    """Return a model's distance to the label, or what it says of the frame."""
    if mark.points[name] is None:
        return "not in view"
    return f"{mark.errors[name]:.2f}" if mark.label else "in view"

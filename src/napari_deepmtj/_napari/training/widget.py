"""The Train MTJ model widget: a form over the viewer's training. It computes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari.viewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_deepmtj._napari.training.controller import FINETUNE, Choice, training_controller_of
from napari_deepmtj._napari.viewer.forms import button, leave, side_by_side
from napari_deepmtj._napari.viewer.settings import read_settings
from napari_deepmtj.errors import MissingExtraError
from napari_deepmtj.labels.table import SUFFIX
from napari_deepmtj.training.recipes import FrameRecipe, available, load_recipe
from napari_deepmtj.training.split import By
from napari_deepmtj.weights.store import list_models

if TYPE_CHECKING:
    from napari_deepmtj.training.plan import Plan

#: What is kept apart, in a person's words.
SPLITS: dict[str, By | None] = {
    "as the recipe says": None,
    "subjects": "subject",
    "clips only (one subject)": "clip",
    "test by subject, validation by clip (2020 paper)": "paper",
}
#: Size of the curves in pixels, at least.
SMALLEST_PLOT = (260, 250)
EVERYBODY, BY_FOLDER = "everybody", "the clips' folders"


class TrainWidget(QWidget):
    """Train a model on labels, or fine-tune one, and have it at once for tracking.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer it works in.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.training = training = training_controller_of(viewer)
        settings = read_settings()
        self.files = QListWidget()
        self.files.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.files.setToolTip("Label files, and folders that are searched for them.")
        self.add = button("Add files...", "Choose label files; their clips lie beside them.")
        self.folder = button("Add folder...", "All label files in it and in folders below.")
        self.remove = button("Remove", "Take the selected ones off the list.")
        self.recipe, self.start, self.split = QComboBox(), QComboBox(), QComboBox()
        names = [n for n in available() if isinstance(load_recipe(n), FrameRecipe)]
        self.recipe.addItems(sorted(names, key=lambda name: name != FINETUNE))
        self.recipe.setToolTip("finetune goes on from a model; the others learn from nothing.")
        self.start.setToolTip("The model that finetune goes on from.")
        self.split.addItems(list(SPLITS))
        self.split.setToolTip("What validation must not share with training.")
        self.pattern = QLineEdit(placeholderText=BY_FOLDER)
        self.pattern.setToolTip(
            "Whose clip is whose: the name of its folder, or a regular expression for its file's "
            "name with a group named subject, such as (?P<subject>S[0-9]+)_"
        )
        self.annotator = QLineEdit(placeholderText=EVERYBODY)
        self.annotator.setToolTip("Whose labels to learn from, where several people labelled.")
        self.epochs = QSpinBox(maximum=100_000)
        self.epochs.setSpecialValueText("as the recipe says")
        self.name = QLineEdit()
        self.name.setToolTip("Id of the model that is made.")
        self.device = QComboBox()
        self.device.addItems(["auto", "cuda", "mps", "cpu"])
        self.device.setCurrentText(settings.device)
        self.look = button("Look", "Read the labels and say what the run will do.")
        self.run = button("Train", "Do what is said below.")
        self.stop = button("Stop", "Stop; Train goes on where it was.")
        self.summary, self.message = QLabel(wordWrap=True), QLabel(wordWrap=True)
        for label in (self.summary, self.message):
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.bar = QProgressBar()
        self.plot = QWidget()
        QVBoxLayout(self.plot).setContentsMargins(0, 0, 0, 0)
        self._canvas: Any = None
        self._drawn = 0
        self._lay_out()
        self._offer_models(training.session.made_model or training.choice.start)
        self._show_choice()
        self._connect()
        self._suggest()
        self._show_files()
        self._show_plan()
        self._show_curves()
        self._show_message()

    def _lay_out(self) -> None:
        self.files.setMaximumHeight(64)
        form = QFormLayout()
        for label, widget in (
            ("recipe", self.recipe),
            ("start from", self.start),
            ("kept apart", self.split),
            ("subjects by", self.pattern),
            ("labels of", self.annotator),
            ("epochs", self.epochs),
            ("call it", self.name),
            ("device", self.device),
        ):
            if isinstance(widget, QComboBox):
                widget.setSizeAdjustPolicy(
                    QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
                )
            form.addRow(label, widget)
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.addWidget(QLabel("labels"))
        column.addWidget(self.files)
        column.addLayout(side_by_side(self.add, self.folder, self.remove))
        column.addLayout(form)
        column.addLayout(side_by_side(self.look, self.run, self.stop))
        column.addWidget(self.summary)
        column.addWidget(self.bar)
        column.addWidget(self.message)
        column.addWidget(self.plot, 1)
        column.addStretch()
        scroll = QScrollArea(widgetResizable=True)
        scroll.setWidget(inner)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setMinimumWidth(inner.minimumSizeHint().width() + scroll.verticalScrollBar().width())
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)

    def _connect(self) -> None:
        training = self.training
        self.add.clicked.connect(self._add)
        self.folder.clicked.connect(self._add_folder)
        self.remove.clicked.connect(self._remove)
        self.look.clicked.connect(lambda: training.settle())
        self.run.clicked.connect(lambda: training.start())
        self.stop.clicked.connect(lambda: training.stop())
        for choice in (self.recipe, self.start, self.split, self.device):
            choice.currentIndexChanged.connect(self._choose)
        for line in (self.pattern, self.annotator, self.name):
            line.editingFinished.connect(self._choose)
        self.epochs.valueChanged.connect(self._choose)
        slots: list[tuple[Any, Any]] = [
            (training.listed, self._show_files),
            (training.planned, self._show_plan),
            (training.learned, self._show_curves),
            (training.told, self._show_message),
            (training.session.events.active, self._suggest),
            (training.session.events.made_model, self._offer_models),
        ]
        for signal, slot in slots:
            signal.connect(slot)
        # not a method: Qt calls none of an object that is gone
        self.destroyed.connect(partial(leave, slots))

    # ----- actions ----------------------------------------------------------------------------

    def _suggest(self, *_: Any) -> None:
        """Take the labels at hand, as long as there are none."""
        training = self.training
        if not training.files and not training.running and (found := training.at_hand()):
            training.use(found)

    def _add(self) -> None:
        chosen, _ = QFileDialog.getOpenFileNames(
            self, "Label files", str(self._where()), f"Labels (*{SUFFIX})"
        )
        self._more(Path(name) for name in chosen)

    def _add_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of labels", str(self._where()))
        self._more([Path(chosen)] if chosen else [])

    def _more(self, files: Iterable[Path]) -> None:
        self.training.use([*self.training.files, *files])

    def _remove(self) -> None:
        gone = {self.files.row(item) for item in self.files.selectedItems()}
        files = self.training.files
        self.training.use(file for row, file in enumerate(files) if row not in gone)

    def _where(self) -> Path:
        """Return where dialogs start."""
        files = self.training.files
        return files[-1].parent if files else read_settings().folder or Path.cwd()

    def _choose(self, *_: Any) -> None:
        self.start.setEnabled(self.recipe.currentText() == FINETUNE)
        self.training.choose(
            Choice(
                self.recipe.currentText(),
                self.start.currentText(),
                SPLITS[self.split.currentText()],
                self.pattern.text().strip(),
                self.annotator.text().strip(),
                self.epochs.value(),
                self.name.text().strip(),
                self.device.currentText(),
            )
        )

    # ----- what is shown ----------------------------------------------------------------------

    def _offer_models(self, chosen: str) -> None:
        self.start.blockSignals(True)
        self.start.clear()
        self.start.addItems(list(dict.fromkeys([chosen, *(card.id for card in list_models())])))
        self.start.blockSignals(False)

    def _show_choice(self) -> None:
        """Show what was wanted when the form was open before."""
        choice = self.training.choice
        self.recipe.setCurrentText(choice.recipe)
        self.split.setCurrentIndex(list(SPLITS.values()).index(choice.by))
        self.pattern.setText(choice.pattern)
        self.annotator.setText(choice.annotator)
        self.epochs.setValue(choice.epochs)
        self.name.setText(choice.name)
        self._choose()

    def _show_files(self) -> None:
        self.files.clear()
        for path in self.training.files:
            item = QListWidgetItem(path.name)
            item.setToolTip(str(path))
            self.files.addItem(item)
        self._show_message()

    def _show_plan(self) -> None:
        plan = self.training.plan
        self.summary.setText("" if plan is None else describe(plan))
        self.name.setPlaceholderText("" if plan is None else plan.name)
        self._show_message()

    def _show_message(self) -> None:
        training = self.training
        self.message.setText(training.message)
        for widget in (self.add, self.folder, self.remove, self.recipe, self.split, self.name):
            widget.setEnabled(not training.running)
        self.look.setEnabled(not training.running and bool(training.files))
        self.run.setEnabled(not training.running and training.plan is not None)
        self.stop.setEnabled(training.running)

    def _show_curves(self) -> None:
        """Show how far the run is; the curves are drawn anew with each epoch."""
        training = self.training
        progress = training.progress
        self.bar.setMaximum(1 if progress is None else progress.total)
        self.bar.setValue(0 if progress is None else progress.done)
        if progress is not None:
            rate = f", {training.rate:.0f} pictures/s" if training.rate else ""
            self.bar.setFormat(f"%v of %m {progress.unit}s{rate}")
        if len(training.curves) != self._drawn and self._prepare_plot():
            self._drawn = len(training.curves)
            self._draw()

    def _prepare_plot(self) -> bool:
        """Make the canvas when there is something to draw; say so where it cannot be."""
        layout = self.plot.layout()
        if self._canvas is not None or layout is None:
            return self._canvas is not None
        try:
            self._canvas = _canvas()
        except MissingExtraError as error:
            if not layout.count():
                layout.addWidget(QLabel(str(error), wordWrap=True))
            return False
        layout.addWidget(self._canvas)
        return True

    def _draw(self) -> None:
        from napari_deepmtj.report.curves import draw_errors, draw_losses
        from napari_deepmtj.training.events import curves_table

        figure = self._canvas.figure
        figure.clear()
        if self.training.curves:
            table = curves_table(self.training.curves)
            losses, errors = figure.subplots(2, 1, sharex=True)
            draw_losses(losses, table)
            draw_errors(errors, table)
            losses.set_xlabel("")
        self._canvas.draw_idle()


def describe(plan: Plan) -> str:
    """Say what a run will do, a line for each side of the split."""
    lines = [
        f"{side}: {count.used} frames, {count.clips} clips, {count.subjects} subjects"
        for side, count in plan.counts.items()
        if count.clips
    ]
    start = "" if plan.start is None else f", from {plan.start[1].id}"
    return "\n".join(
        [f"{plan.name}: {plan.network.name}{start}", *lines, f"{plan.length}, {plan.steps} steps"]
    )


def _canvas() -> QWidget:
    """Return an empty canvas.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("the plot of the training", "plots") from error
    canvas: QWidget = FigureCanvasQTAgg(Figure(layout="constrained"))  # type: ignore[no-untyped-call]
    canvas.setMinimumSize(*SMALLEST_PLOT)
    return canvas

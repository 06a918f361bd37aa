"""The Compare annotators widget: a form over the viewer's comparison. It computes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    QListWidget,
    QListWidgetItem,
    QMessageBox,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_deepmtj._napari.comparison.annotators import annotator_comparison_of
from napari_deepmtj._napari.viewer.forms import (
    button,
    fill_table,
    leave,
    read_only_table,
    side_by_side,
)
from napari_deepmtj._napari.viewer.settings import read_settings
from napari_deepmtj.errors import MissingExtraError
from napari_deepmtj.labels.table import SUFFIX
from napari_deepmtj.report.agreement import draw_bland_altman
from napari_deepmtj.report.study import earlier_files, table_rows, together_rows, worst_frames

if TYPE_CHECKING:
    from napari_deepmtj.evaluation.agreement import Pair

#: Frames that the list of the worst has at most.
WORST = 100
AXES = {"x, along the picture": "x", "y, depth": "y"}
#: Width and height of the plot in inches, as long as the window has no more room.
PLOT_SIZE = (3.6, 2.8)
#: Below this size, in pixels, matplotlib finds no room for the axes.
SMALLEST_PLOT = (320, 260)


class AgreementWidget(QWidget):
    """Compare annotators, rounds and models on the frames that they share.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer it works in.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.comparison = comparison = annotator_comparison_of(viewer)
        self.files, self.raters = QListWidget(), QListWidget()
        self.files.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.raters.setToolTip(
            "Annotators and rounds of the files, and models that tracked the open clips."
        )
        self.add = button("Add...", "Choose label files.")
        self.beside = button("Beside the clip", "Add all label files in its folder.")
        self.remove = button("Remove", "Take the selected files off the list.")
        self.read = button("Read again", "List who there is, after labelling or tracking.")
        self.compare = button("Compare", "Read everything anew and compare who is ticked.")
        self.save = button("Save...", "Figures and frames as CSV, plots as PNG and SVG.")
        self.pair, self.axis = QComboBox(), QComboBox()
        self.axis.addItems(list(AXES))
        self.plot = QWidget()
        QVBoxLayout(self.plot).setContentsMargins(0, 0, 0, 0)
        self.worst, self.figures = read_only_table(), read_only_table()
        self._places: list[tuple[str, str, int]] = []
        self.worst.setToolTip("Furthest apart first; double click to see the frame.")
        self.message = QLabel(wordWrap=True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._lay_out()
        self._connect()
        self._show_lists()
        self._show_result()
        self._show_message()
        self._suggest(comparison.session.active)

    def _lay_out(self) -> None:
        self.files.setMaximumHeight(60)
        self.raters.setMaximumHeight(80)
        seen = QWidget()
        column = QVBoxLayout(seen)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot, 3)
        column.addWidget(self.worst, 2)
        self.tabs = QTabWidget()
        self.tabs.addTab(seen, "Bland-Altman")
        self.tabs.addTab(self.figures, "Figures")
        choice = QFormLayout()
        choice.addRow("raters", self.pair)
        choice.addRow("axis", self.axis)
        self.pair.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        form = QWidget()
        column = QVBoxLayout(form)
        column.addWidget(QLabel("label files"))
        column.addWidget(self.files)
        column.addLayout(side_by_side(self.add, self.beside, self.remove))
        column.addWidget(QLabel("compare"))
        column.addWidget(self.raters)
        column.addLayout(side_by_side(self.read, self.compare, self.save))
        column.addLayout(choice)
        column.addWidget(self.tabs, 1)
        column.addWidget(self.message)
        scroll = QScrollArea(widgetResizable=True)
        scroll.setWidget(form)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setMinimumWidth(form.minimumSizeHint().width() + scroll.verticalScrollBar().width())
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)

    def _connect(self) -> None:
        comparison = self.comparison
        self.add.clicked.connect(self._add)
        self.beside.clicked.connect(lambda: self._more(comparison.beside()))
        self.remove.clicked.connect(self._remove)
        self.read.clicked.connect(lambda: comparison.read())
        self.compare.clicked.connect(lambda: comparison.compare())
        self.save.clicked.connect(self._save)
        self.raters.itemChanged.connect(self._choose)
        self.pair.currentIndexChanged.connect(self._show_pair)
        self.axis.currentIndexChanged.connect(self._show_plot)
        self.worst.cellActivated.connect(self._look_at)
        slots: list[tuple[Any, Any]] = [
            (comparison.listed, self._show_lists),
            (comparison.compared, self._show_result),
            (comparison.told, self._show_message),
            (comparison.session.events.active, self._suggest),
        ]
        for signal, slot in slots:
            signal.connect(slot)
        # not a method: Qt calls none of an object that is gone
        self.destroyed.connect(partial(leave, slots))

    # ----- actions ----------------------------------------------------------------------------

    def _suggest(self, clip: Any) -> None:
        """Take the label files beside the active clip, as long as there are none."""
        comparison = self.comparison
        if not comparison.files and not comparison.running and (found := comparison.beside()):
            comparison.use(found)

    def _add(self) -> None:
        start = self._folder()
        chosen, _ = QFileDialog.getOpenFileNames(
            self, "Label files", str(start), f"Labels (*{SUFFIX})"
        )
        self._more([Path(name) for name in chosen])

    def _more(self, files: Iterable[Path]) -> None:
        self.comparison.use([*self.comparison.files, *files])

    def _remove(self) -> None:
        gone = {self.files.row(item) for item in self.files.selectedItems()}
        files = self.comparison.files
        self.comparison.use(file for row, file in enumerate(files) if row not in gone)

    def _choose(self, item: QListWidgetItem) -> None:
        self.comparison.choose(item.text(), item.checkState() == Qt.CheckState.Checked)

    def _look_at(self, row: int, column: int) -> None:
        self.comparison.look_at(*self._places[row])

    def _save(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of the study", str(self._folder()))
        if not chosen:
            return
        there = [path.name for path in earlier_files(Path(chosen))]
        if there and not self._may_replace(chosen, there):
            return
        self.comparison.save(Path(chosen))

    def _may_replace(self, folder: str, names: Sequence[str]) -> bool:
        asked = f"Replace {', '.join(names)} in {folder}?"
        answer = QMessageBox.question(self, "A study is there", asked)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _folder(self) -> Path:
        """Return where dialogs start."""
        files = self.comparison.files
        return read_settings().folder or (files[0].parent if files else Path.cwd())

    # ----- what is shown ----------------------------------------------------------------------

    def _show_lists(self) -> None:
        comparison = self.comparison
        self.files.clear()
        for path in comparison.files:
            item = QListWidgetItem(path.name)
            item.setToolTip(str(path))
            self.files.addItem(item)
        self.raters.blockSignals(True)
        self.raters.clear()
        for rater in comparison.raters:
            item = QListWidgetItem(rater.name)
            chosen = rater.name in comparison.chosen
            item.setCheckState(Qt.CheckState.Checked if chosen else Qt.CheckState.Unchecked)
            self.raters.addItem(item)
        self.raters.blockSignals(False)

    def _show_message(self) -> None:
        comparison = self.comparison
        self.message.setText(comparison.message)
        for waiting in (self.add, self.beside, self.remove, self.read):
            waiting.setEnabled(not comparison.running)
        self.compare.setEnabled(not comparison.running and bool(comparison.raters))
        self.save.setEnabled(not comparison.running and comparison.result is not None)

    def _show_result(self) -> None:
        """Offer the pairs of the newest study, and show the one that was shown before."""
        result = self.comparison.result
        before = self.pair.currentText()
        names = [] if result is None else [f"{p.second} minus {p.first}" for p in result.pairs]
        self.pair.blockSignals(True)
        self.pair.clear()
        self.pair.addItems(names)
        self.pair.setCurrentIndex(names.index(before) if before in names else 0)
        self.pair.blockSignals(False)
        self._show_pair()

    def _shown(self) -> Pair | None:
        result, index = self.comparison.result, self.pair.currentIndex()
        return None if result is None or index < 0 else result.pairs[index]

    def _show_pair(self, *_: Any) -> None:
        pair, result = self._shown(), self.comparison.result
        if pair is None or result is None:
            return
        head, *rows = table_rows(pair)
        if result.together:
            together_head, *together = together_rows(result)
            rows += [("all raters together", *together_head[1:]), *together]
        fill_table(self.figures, head, rows)
        found = worst_frames(pair, WORST)
        head = ("clip", "frame", *(f"{name} [{pair.unit}]" for name in ("dx", "dy", "distance")))
        texts = [(row[0], str(row[2]), *(f"{value:.2f}" for value in row[3:])) for row in found]
        fill_table(self.worst, head, texts)
        self._places = [row[:3] for row in found]
        self._show_plot()

    def _show_plot(self, *_: Any) -> None:
        pair, layout = self._shown(), self.plot.layout()
        if pair is None or layout is None:
            return
        while (taken := layout.takeAt(0)) is not None:
            if (old := taken.widget()) is not None:
                old.deleteLater()
        try:
            layout.addWidget(_canvas(pair, AXES[self.axis.currentText()]))
        except MissingExtraError as error:
            layout.addWidget(QLabel(str(error), wordWrap=True))


def _canvas(pair: Pair, axis: str) -> QWidget:
    """Return the plot of a pair.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("the Bland-Altman plot", "plots") from error
    figure = Figure(figsize=PLOT_SIZE, layout="constrained")
    draw_bland_altman(figure.subplots(), pair, axis)
    canvas: QWidget = FigureCanvasQTAgg(figure)  # type: ignore[no-untyped-call]
    canvas.setMinimumSize(*SMALLEST_PLOT)
    return canvas

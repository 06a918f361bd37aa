"""The Batch track widget: a form over the viewer's batch. It computes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import napari.viewer
from qtpy.QtCore import QItemSelectionModel, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QScrollArea,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from napari_deepmtj._napari.batch.controller import batch_controller_of
from napari_deepmtj._napari.batch.entries import TABLES
from napari_deepmtj._napari.batch.form import WantedForm
from napari_deepmtj._napari.batch.rows import FILTERS
from napari_deepmtj._napari.batch.table import BatchModel, batch_table
from napari_deepmtj._napari.viewer.forms import button, leave, side_by_side
from napari_deepmtj._napari.viewer.settings import read_settings
from napari_deepmtj.errors import DeepMTJError


class BatchWidget(QWidget):
    """Track every clip of a study, and look at what came of it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer it works in.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.controller = controller = batch_controller_of(viewer)
        self.clips = QListWidget()
        self.clips.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.clips.setToolTip("Opened layers, files, folders and study tables of this batch.")
        self.clips.setMaximumHeight(72)
        self.add_layers = button(
            "Add layers", "Add all opened clips; where several layers are selected, those."
        )
        self.add_files = button("Files...", "Add clips, or a study table (CSV, XLSX).")
        self.add_folder = button("Folder...", "Add all clips in a folder and in those below it.")
        self.remove = button("Remove", "Take the selected ones off the list.")
        self.form = WantedForm(controller)
        self.look = button("List", "Say what would be done with each clip; nothing is computed.")
        self.run = button("Run", "Track every clip that has no valid result yet.")
        self.hold = button("Pause", "Hold the run; what is loaded stays loaded.")
        self.cancel = button("Cancel", "Stop; finished clips stay, and Run does the rest.")
        self.bar, self.message = QProgressBar(), QLabel(wordWrap=True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.shown = QComboBox()
        for text in FILTERS:
            self.shown.addItem(text, text)
        self.shown.setToolTip("Which rows are shown.")
        self.rows = BatchModel(self.controller.session.viewer.theme)
        self.table = batch_table(self.rows)
        self.table.setToolTip("Double click to open a clip with its result.")
        self.open = button("Open result", "The clip with its result, at the first flagged frame.")
        self.save = button(
            "Save corrections", "Put what you corrected into the results; no rerun overwrites it."
        )
        self.flagged = QListWidget()
        self.flagged.setMaximumHeight(96)
        self.flagged.setToolTip("Frames that the quality gate flags; click to see one.")
        self.before = button("< Flagged", "The flagged frame before this one.")
        self.after = button("Flagged >", "The next flagged frame.")
        self._lay_out()
        self._connect()
        self._show_clips()
        self._show_plan()
        self._show_flagged()

    def _lay_out(self) -> None:
        upper = QWidget()
        column = QVBoxLayout(upper)
        column.addWidget(QLabel("clips"))
        column.addWidget(self.clips)
        column.addLayout(
            side_by_side(self.add_layers, self.add_files, self.add_folder, self.remove)
        )
        column.addWidget(self.form)
        column.addStretch()
        scroll = QScrollArea(widgetResizable=True)
        scroll.setWidget(upper)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setMinimumWidth(upper.minimumSizeHint().width() + scroll.verticalScrollBar().width())
        lower = QWidget()
        column = QVBoxLayout(lower)
        column.addLayout(side_by_side(self.look, self.run, self.hold, self.cancel))
        column.addWidget(self.bar)
        column.addWidget(self.message)
        column.addWidget(self.shown)
        column.addWidget(self.table, 3)
        column.addLayout(side_by_side(self.open, self.before, self.after, self.save))
        column.addWidget(self.flagged)
        parts = QSplitter(Qt.Orientation.Vertical)
        parts.addWidget(scroll)
        parts.addWidget(lower)
        parts.setStretchFactor(1, 1)
        parts.setChildrenCollapsible(False)
        parts.setSizes([upper.sizeHint().height(), 500])
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(parts)

    def _connect(self) -> None:
        controller = self.controller
        self.add_layers.clicked.connect(lambda: controller.add_layers())
        self.add_files.clicked.connect(self._add_files)
        self.add_folder.clicked.connect(self._add_folder)
        self.remove.clicked.connect(self._remove)
        self.look.clicked.connect(self._look)
        self.run.clicked.connect(self._run)
        self.hold.clicked.connect(self._hold)
        self.cancel.clicked.connect(lambda: controller.cancel())
        self.shown.currentIndexChanged.connect(self._filter)
        self.table.doubleClicked.connect(lambda index: self._open())
        self.table.selectionModel().selectionChanged.connect(self._show_message)
        self.rows.modelReset.connect(self._show_message)
        self.open.clicked.connect(self._open)
        self.save.clicked.connect(self._save)
        self.before.clicked.connect(lambda: controller.results.step(forward=False))
        self.after.clicked.connect(lambda: controller.results.step(forward=True))
        self.flagged.currentRowChanged.connect(self._look_at)
        slots: list[tuple[Any, Any]] = [
            (controller.listed, self._show_clips),
            (controller.planned, self._show_plan),
            (controller.changed, self._show_changed),
            (controller.progressed, self._show_progress),
            (controller.told, self._show_message),
            (controller.results.changed, self._show_flagged),
            (controller.session.viewer.events.theme, self._show_theme),
        ]
        for signal, slot in slots:
            signal.connect(slot)
        # not a method: Qt calls none of an object that is gone
        self.destroyed.connect(partial(leave, slots))

    def _show_theme(self, event: Any) -> None:
        self.rows.set_theme(event.value)

    # ----- actions ----------------------------------------------------------------------------

    def _add_files(self) -> None:
        tables = " ".join(f"*{ending}" for ending in TABLES)
        chosen, _ = QFileDialog.getOpenFileNames(
            self, "Clips", str(self._where()), f"All files (*);;Study tables ({tables})"
        )
        self.controller.add_paths(Path(name) for name in chosen)

    def _add_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of clips", str(self._where()))
        self.controller.add_paths([Path(chosen)] if chosen else [])

    def _remove(self) -> None:
        gone = {self.clips.row(item) for item in self.clips.selectedItems()}
        controller = self.controller
        layers, paths = len(controller.layers), controller.paths
        controller.use(
            (la for row, la in enumerate(controller.layers) if row not in gone),
            (path for row, path in enumerate(paths, layers) if row not in gone),
        )

    def _where(self) -> Path:
        """Return where dialogs start."""
        paths = self.controller.paths
        return paths[-1].parent if paths else read_settings().folder or Path.cwd()

    def _look(self) -> None:
        if self._has_folder():
            self.controller.look()

    def _run(self) -> None:
        if self._has_folder():
            self.controller.start()

    def _has_folder(self) -> bool:
        """Ask where results go, if that is not known yet, before anything is done."""
        return self.controller.wanted.out is not None or self.form.ask_folder(self._where())

    def _hold(self) -> None:
        if self.controller.paused:
            self.controller.go_on()
        else:
            self.controller.pause()

    def _filter(self) -> None:
        place = self._place()
        self.rows.choose(self.shown.currentData())
        self._select(place)

    def _open(self, *_: Any) -> None:
        if (place := self._place()) >= 0:
            self.controller.open(place)

    def _save(self) -> None:
        try:
            said = self.controller.save_corrections()
        except DeepMTJError as error:
            said = str(error)
        self.controller.tell(said or "There is no correction in the results that are shown.")

    def _look_at(self, line: int) -> None:
        flagged = self.controller.results.flagged()
        if 0 <= line < len(flagged):
            self.controller.session.go_to(flagged[line].frame)

    # ----- what is shown ----------------------------------------------------------------------

    def _place(self) -> int:
        """Return which row of the batch is selected, -1 if none."""
        chosen = self.table.selectionModel().selectedRows()
        return self.rows.place(chosen[0].row()) if chosen else -1

    def _select(self, place: int) -> None:
        if (line := self.rows.line(place)) >= 0:
            flags = QItemSelectionModel.SelectionFlag
            at = self.rows.index(line, 0)
            self.table.selectionModel().select(at, flags.ClearAndSelect | flags.Rows)

    def _show_clips(self) -> None:
        controller = self.controller
        self.clips.clear()
        named = [(f"layer: {layer.name}", "") for layer in controller.layers]
        named += [(path.name, str(path)) for path in controller.paths]
        for text, tip in named:
            item = QListWidgetItem(text)
            item.setToolTip(tip)
            self.clips.addItem(item)
        self._show_message()

    def _show_plan(self) -> None:
        if self.controller.plan is not None:
            self.rows.show(self.controller.rows)
        self._show_counts()
        self._show_progress()
        self._show_message()

    def _show_changed(self, places: Iterable[int]) -> None:
        chosen = self._place()
        self.rows.update(places)
        if self._place() != chosen:
            self._select(chosen)
        self._show_counts()

    def _show_counts(self) -> None:
        counts = self.controller.rows.counts()
        for line in range(self.shown.count()):
            text = self.shown.itemData(line)
            self.shown.setItemText(line, f"{text} ({counts[text]})")

    def _show_progress(self) -> None:
        progress = self.controller.progress
        self.bar.setMaximum(max(1, progress.total) if progress else 1)
        self.bar.setValue(progress.done if progress else 0)
        rest = f", {progress.note}" if progress and progress.note else ""
        self.bar.setFormat(f"%v of %m clips{rest}" if progress else "")

    def _show_message(self, *_: Any) -> None:
        controller = self.controller
        running = controller.running
        self.message.setText(controller.message)
        self.form.setEnabled(not running)
        for widget in (self.add_layers, self.add_files, self.add_folder, self.remove):
            widget.setEnabled(not running)
        for widget in (self.look, self.run):
            widget.setEnabled(not running and bool(controller.layers or controller.paths))
        self.cancel.setEnabled(running)
        self.hold.setEnabled(controller.can_pause)
        self.hold.setText("Go on" if controller.paused else "Pause")
        place = self._place()
        ready = place >= 0 and controller.rows[place].has_result and not controller.opening
        self.open.setEnabled(ready)

    def _show_flagged(self) -> None:
        flagged = self.controller.results.flagged()
        self.flagged.blockSignals(True)
        self.flagged.clear()
        self.flagged.addItems([f"frame {one.frame}: {one.why}" for one in flagged])
        self.flagged.blockSignals(False)
        self.flagged.setVisible(bool(flagged))
        for widget in (self.before, self.after):
            widget.setEnabled(bool(flagged))

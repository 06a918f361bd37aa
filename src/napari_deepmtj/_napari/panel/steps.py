"""The five steps of the panel, each with one main button over the form of its own widget."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QLineEdit, QProgressBar, QPushButton

from napari_deepmtj._napari.annotation import queue_jobs
from napari_deepmtj._napari.annotation.label_file import Round, open_labels
from napari_deepmtj._napari.annotation.shortcuts import shortcut
from napari_deepmtj._napari.annotation.widget import AnnotateWidget
from napari_deepmtj._napari.calibration.widget import CalibrateWidget
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.panel import docking
from napari_deepmtj._napari.panel.overview import Overview, StepName
from napari_deepmtj._napari.panel.step import MAIN, Fold, Step
from napari_deepmtj._napari.panel.strip import QueueStrip
from napari_deepmtj._napari.tracking import corrections, saving
from napari_deepmtj._napari.tracking.widget import TrackWidget
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.forms import button, side_by_side
from napari_deepmtj._napari.viewer.session import ORDINARY
from napari_deepmtj._napari.viewer.settings import change_setting, read_settings
from napari_deepmtj.annotation.queue import Plan
from napari_deepmtj.annotation.selection import Evenly
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.labels.table import labels_path
from napari_deepmtj.results.formats import FORMATS, default_path

#: Frames that "Start labelling" puts into the queue.
FIRST_FRAMES = 10


class ScaleStep(Step):
    """How many millimetres a pixel is, and where the picture lies."""

    def __init__(self, panel: Any) -> None:
        super().__init__(1, StepName.SCALE, "Positions in millimetres need a scale.")
        self._panel = panel
        self.calibrate = CalibrateWidget(panel.session.viewer)
        self.main = button("", "")
        self.main.setStyleSheet(MAIN)
        self.draw = button(
            "Draw line", "Drag on the picture from one mark of the ruler to another."
        )
        self.hand = button("By hand", "Type the millimetres of a pixel.")
        self.skip = button("Skip", "Go on in pixels; a scale can be given later, too.")
        self.more = Fold("Scale, region and side by hand", "All that is known of the clip.")
        self.calibrate.show_in_panel()
        self.more.add(self.calibrate.native)
        self.add(self.main, side_by_side(self.draw, self.hand, self.skip), self.more)
        self.main.clicked.connect(self._do)
        self.draw.clicked.connect(self._draw)
        self.hand.clicked.connect(lambda: self.more.open())
        self.skip.clicked.connect(panel.skip_scale)
        self.toggled.connect(self._on_toggled)

    def _do(self) -> None:
        if self._panel.session.proposal is None:
            self.calibrate.suggest.changed.emit(True)
        else:
            self.calibrate.apply.changed.emit(True)

    def _draw(self) -> None:
        self.more.open()
        self.calibrate.draw.changed.emit(True)

    def _on_toggled(self, opened: bool) -> None:
        if not opened:
            self.calibrate.disarm()

    def show_overview(self, now: Overview) -> None:
        """Say on the main button what it does now."""
        proposal = self._panel.session.proposal
        if proposal is None:
            self.main.setText("Suggest scale from ruler")
            self.main.setToolTip("Read the depth ruler beside the picture; then Apply.")
        else:
            self.main.setText(f"Apply {proposal.x_mm:.4g} mm/px")
            self.main.setToolTip(f"{clips.describe_scale(proposal)}: give it to the clip.")
        self.main.setEnabled(not self._panel.session.running)
        self.skip.setVisible(now.scale is None)


class LabelStep(Step):
    """Labels, frame by frame: what trains a model, and what it is tested against."""

    def __init__(self, panel: Any) -> None:
        super().__init__(2, StepName.LABEL, "Optional: to train a model, or to test one.")
        self._panel, self._annotation = panel, panel.annotation
        self.form = AnnotateWidget(panel.session.viewer, framed=False)
        self.name = QLineEdit(read_settings().annotator, placeholderText="your name")
        self.name.setToolTip("Who labels; kept for the next time.")
        self.main = button("Start labelling", "Labels are kept in a file beside the clip.")
        self.main.setStyleSheet(MAIN)
        self.strip = QueueStrip()
        self.where = QLabel(wordWrap=True)
        keys = ("Q", "W", "N", "G", "Ctrl+Z", "Shift+G")
        self.keys = {key: self._key_button(key) for key in keys}
        self.results = QCheckBox("Show results")
        self.results.setToolTip(
            "Results, paths and attention of the clip are hidden while it is labelled, so that "
            "they do not lead the eye; in a blinded round they stay hidden."
        )
        self.more = Fold("Rounds, frames and agreement", "Which file, which frames, which round.")
        self.more.add(self.form)
        self.add(
            self.name,
            self.main,
            self.strip,
            self.where,
            side_by_side(self.keys["Q"], self.keys["W"]),
            side_by_side(self.keys["N"], self.keys["G"]),
            side_by_side(self.keys["Ctrl+Z"], self.keys["Shift+G"]),
            self.results,
            self.more,
        )
        self.main.clicked.connect(self._do)
        self.strip.chosen.connect(self._go_to)
        self.results.toggled.connect(self._show_results)

    def _key_button(self, key: str) -> QPushButton:
        found = shortcut(key)
        made = button(f"{found.short}  [{key}]", f"{found.text} ({key})")
        made.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # so that keys keep going to the picture
        made.clicked.connect(lambda: found.act(self._annotation))
        return made

    def _do(self) -> None:
        annotation, session = self._annotation, self._panel.session
        if annotation.core is not None:
            annotation.close()
            return
        clip, name = session.active, self.name.text().strip()
        if not name:
            annotation.message = "Enter your name first: labels say who made them."
            self.name.setFocus()
            return
        path = None if clip is None else clips.source_of(clip).path
        asked = self.form.round.path.text().strip()
        if path is None and not asked:
            annotation.message = "This clip is no file; choose a label file below."
            self.more.open()
            return
        change_setting("annotator", name)
        self.form.round.annotator.setText(name)
        file = Path(asked).expanduser() if asked else labels_path(path)  # type: ignore[arg-type]
        open_labels(annotation, Round(file, name))
        core = annotation.core
        if core is not None and not len(core.place.queue):
            queue_jobs.build(annotation, Plan(Evenly(FIRST_FRAMES)), "clip")

    def _show_results(self, on: bool) -> None:
        core = self._annotation.core
        if core is not None and not core.blind:
            self._panel.session.conceal("" if on else ORDINARY)

    def _go_to(self, place: int) -> None:
        self._annotation.do(lambda session: session.place.move(place))

    def show_overview(self, now: Overview) -> None:
        """Show the queue, and what is done in the frame that is shown."""
        core = self._annotation.core
        self.name.setVisible(core is None)
        self.main.setText("Start labelling" if core is None else "Finish labelling")
        self.strip.show_round(core)
        for made in self.keys.values():
            made.setVisible(core is not None)
        self.results.setVisible(core is not None)
        self.results.setEnabled(core is not None and not core.blind)
        self.results.blockSignals(True)
        self.results.setChecked(not self._panel.session.concealed)
        self.results.blockSignals(False)
        self.where.setVisible(core is not None and core.item is not None)
        if core is None or core.item is None:
            return
        label = core.label_of(core.item)
        state = "click the junction" if label is None else "labelled"
        if label is not None and not label.visible:
            state = "not visible"
        beside = " (beside the queue)" if core.place.beside else ""
        self.where.setText(f"frame {core.item.frame}{beside}: {state}")


class TrackStep(Step):
    """Find the junction in every frame."""

    def __init__(self, panel: Any) -> None:
        super().__init__(3, StepName.TRACK, "Find the junction in every frame.")
        self._panel = panel
        self.form = TrackWidget(panel.session.viewer)
        self.form.show_in_panel()
        self.main = button("Track", "Find the muscle-tendon junction in every frame of the clip.")
        self.main.setStyleSheet(MAIN)
        self.cancel = button("Cancel", "Stop; what is done is kept.")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(10)
        self.phase = QLabel(wordWrap=True)
        self.attention = QCheckBox("Attention")
        self.attention.setToolTip("Show where the network looked.")
        self.more = Fold("Options", "Model, device, region, frames, attention, optical flow.")
        self.more.add(self.form.native)
        self.add(
            self.main,
            self.cancel,
            self.bar,
            self.phase,
            self.attention,
            self.more,
        )
        self.main.clicked.connect(lambda: self.form.start())
        self.cancel.clicked.connect(panel.session.cancel)
        self.attention.toggled.connect(self._show_attention)

    def _layer(self) -> Any:
        clip = self._panel.session.active
        return None if clip is None else self._panel.session.find(clip, Kind.ATTENTION)

    def _show_attention(self, on: bool) -> None:
        """Show the attention; track for it where there is none yet."""
        layer, form = self._layer(), self.form
        if layer is not None:
            layer.visible = on
        elif on and self._panel.session.running:
            self._panel.session.tell("Attention is shown after this run; press it again then.")
        elif on and self._panel.session.active is not None:
            before = form.attention.value
            form.attention.value = next(iter(form.attention.choices))
            if form.attention.value:
                form.show_attention = True
                form.start()
            else:
                self._panel.session.tell(f"{form.model.value} has no attention to show.")
            form.attention.value = before

    def show_progress(self, progress: Any) -> None:
        """Show how far the run is."""
        if progress is not None:
            self.bar.setMaximum(progress.total)
            self.bar.setValue(progress.done)
            self.phase.setText(f"{progress.done} of {progress.total}: {progress.note}")

    def show_overview(self, now: Overview) -> None:
        """Show whether a run goes on, and what came out of it."""
        session = self._panel.session
        running = session.running
        self.main.setVisible(not running)
        self.main.setText("Track again" if now.tracked else "Track")
        self.main.setEnabled(bool(now.n_frames))
        self.cancel.setVisible(running)
        self.bar.setVisible(running)
        self.phase.setVisible(running or bool(now.tracked))
        layer = self._layer()
        self.attention.blockSignals(True)
        self.attention.setChecked(layer is not None and bool(layer.visible))
        self.attention.blockSignals(False)
        self.attention.setVisible(bool(now.tracked))
        if running:
            if session.progress is None:
                self.bar.setMaximum(0)
                self.phase.setText(session.doing)
        elif now.tracked:
            self.phase.setText(self._panel.describe_motion())


class CheckStep(Step):
    """Look at doubtful frames, and drag points where they belong."""

    def __init__(self, panel: Any) -> None:
        super().__init__(
            4, StepName.CHECK, "Look at the doubtful frames; drag a point to correct it."
        )
        self._panel = panel
        self.main = button("Next doubtful frame", "Go to the next frame that has a flag.")
        self.main.setStyleSheet(MAIN)
        self.before = button("Previous", "Go to the doubtful frame before.")
        self.undo = button(
            "Undo", "Take back the last correction, and what was refilled around it."
        )
        self.plot = button("Plot over time", "Positions over time below the picture.")
        self.frame = QLabel(wordWrap=True)
        self.add(self.main, side_by_side(self.before, self.undo, self.plot), self.frame)
        self.main.clicked.connect(lambda: self._step(1))
        self.before.clicked.connect(lambda: self._step(-1))
        self.undo.clicked.connect(self._undo)
        self.plot.clicked.connect(lambda: docking.show_widget(panel.session.viewer, docking.PLOT))

    def _step(self, way: int) -> None:
        """Go to the next or previous doubtful frame, round and round, ready to drag its point."""
        session, layer = self._panel.session, self._panel.result()
        frames = self._panel.overview.doubtful
        if layer is None or not frames:
            return
        at = session.frame()
        ahead = [f for f in frames if f > at] if way > 0 else [f for f in frames if f < at]
        session.go_to((ahead or frames)[0 if way > 0 else -1])
        session.viewer.layers.selection.active = layer
        layer.mode = "select"

    def _undo(self) -> None:
        if (layer := self._panel.result()) is not None:
            corrections.undo(self._panel.session, layer)

    def show_frame(self, *_: Any) -> None:
        """Say what is known of the frame that is shown."""
        layer = self._panel.result()
        if layer is None:
            self.frame.setText("")
            return
        frame = self._panel.session.frame()
        table = convert.trajectory_of(layer).table
        rows = table[table["frame"] == frame]
        if not len(rows):
            self.frame.setText(f"frame {frame}: not tracked")
            return
        flags = str(rows["flags"].fillna("").iloc[0]).replace("_", " ").replace(";", ", ")
        origin = str(rows["origin"].iloc[0]).lower()
        self.frame.setText(f"frame {frame}: {flags or origin}")

    def show_overview(self, now: Overview) -> None:
        """Show whether there is something to look at."""
        self.main.setText("Next doubtful frame" if now.doubtful else "No doubtful frame")
        self.main.setEnabled(bool(now.doubtful))
        self.before.setEnabled(bool(now.doubtful))
        self.undo.setEnabled(bool(now.tracked))
        self.plot.setEnabled(bool(now.tracked))
        self.show_frame()


class SaveStep(Step):
    """Keep the result, and hand it to other programs."""

    def __init__(self, panel: Any) -> None:
        super().__init__(5, StepName.SAVE, "Keep the result, and write it for other programs.")
        self._panel = panel
        self.main = button("Save", "Write the result beside the clip, as .mtj.csv.")
        self.main.setStyleSheet(MAIN)
        self.format = QComboBox()
        for key, form in FORMATS.items():
            self.format.addItem(form.title, key)
        self.format.setToolTip("Format for other programs.")
        self.format.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.export = button("Export...", "Write the result in this format.")
        self.plot = button("Plot over time", "Positions over time below the picture.")
        self.batch = button("Batch...", "Track every clip of a study, with one report on all.")
        self.place = QLabel(wordWrap=True)
        self.add(
            self.main,
            self.place,
            side_by_side(self.format, self.export),
            side_by_side(self.plot, self.batch),
        )
        self.main.clicked.connect(self._save)
        self.export.clicked.connect(self._export)
        for made, name in ((self.plot, docking.PLOT), (self.batch, docking.BATCH)):
            made.clicked.connect(partial(self._show_widget, name))

    def _show_widget(self, name: str, *_: Any) -> None:
        docking.show_widget(self._panel.session.viewer, name)

    def _save(self, *_: Any) -> None:
        session, layer = self._panel.session, self._panel.result()
        if layer is None:
            return
        try:
            session.message = f"Saved {saving.save(session, layer)}{session.which(layer)}"
        except (DeepMTJError, OSError) as error:
            session.message = str(error)

    def _export(self, *_: Any) -> None:
        layer, key = self._panel.result(), self.format.currentData()
        if layer is None:
            return
        clip = clips.source_of(self._panel.session.active).path
        folder = read_settings().folder or (Path.cwd() if clip is None else clip.parent)
        start = default_path(convert.trajectory_of(layer).provenance.clip, key, folder)
        form = FORMATS[key]
        path = self._panel.ask_export(form.title, str(start), f"{form.title} (*{form.suffix})")
        if path is not None:
            self._panel.plot.export(path, key)

    def show_overview(self, now: Overview) -> None:
        """Show whether the result is on disk, and where."""
        layer = self._panel.result()
        self.main.setText("Saved" if now.saved else "Save")
        for made in (self.main, self.export, self.plot):
            made.setEnabled(bool(now.tracked) and not self._panel.session.running)
        path = None if layer is None else saving.path_of(layer)
        self.place.setText("" if path is None else f"{path.name} in {path.resolve().parent.name}")
        self.place.setToolTip("" if path is None else str(path))
        self.place.setVisible(path is not None)

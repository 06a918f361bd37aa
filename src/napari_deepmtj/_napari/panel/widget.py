"""The DeepMTJ panel: one dock that leads from a clip to its result. It owns no state of a clip."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import napari.viewer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFrame,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_deepmtj._napari.annotation.controller import annotation_of
from napari_deepmtj._napari.contributions.commands import choose_clips
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.panel import docking
from napari_deepmtj._napari.panel.overview import Overview, StepName, title_of
from napari_deepmtj._napari.panel.step import MAIN, Step
from napari_deepmtj._napari.panel.steps import CheckStep, LabelStep, SaveStep, ScaleStep, TrackStep
from napari_deepmtj._napari.plot.controller import plot_controller_of
from napari_deepmtj._napari.viewer.forms import QuestionBox, leave, shrink
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.report import timeline

#: Width of the panel in pixels, and the least height that it asks of the window.
WIDTH, LEAST_HEIGHT = 300, 150
#: Milliseconds from a change to its being shown.
SETTLE = 60


class PanelWidget(QWidget):
    """From a clip to its result in five steps.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer it works in.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.session, self.annotation = session_of(viewer), annotation_of(viewer)
        self.plot = plot_controller_of(viewer)
        self.clip = QComboBox()
        self.clip.setToolTip("The clip that is worked on; others are hidden meanwhile.")
        self.clip.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.open = QPushButton("Open ultrasound video...")
        self.open.setToolTip("Open clips and saved results, by their content.")
        self.chips = QLabel(wordWrap=True)
        self.question = QuestionBox(self.session)
        self.message = QLabel(wordWrap=True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.scale = ScaleStep(self)
        self.label = LabelStep(self)
        self.track = TrackStep(self)
        self.check = CheckStep(self)
        self.save = SaveStep(self)
        self.steps: dict[StepName, Step] = {
            StepName.SCALE: self.scale,
            StepName.LABEL: self.label,
            StepName.TRACK: self.track,
            StepName.CHECK: self.check,
            StepName.SAVE: self.save,
        }
        self.overview = Overview()
        self._skipped: set[str] = set()
        self._next: StepName | None = None
        self._lay_out()
        self._settle = QTimer(self, singleShot=True, interval=SETTLE)
        self._settle.timeout.connect(self.refresh)
        self._connect(viewer)
        self.refresh()

    def _lay_out(self) -> None:
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(8, 6, 8, 6)
        column.setSpacing(6)
        self.open.setStyleSheet(MAIN)
        for widget in (self.clip, self.open, self.chips, self.question, *self.steps.values()):
            column.addWidget(widget)
        column.addWidget(self.message)
        column.addStretch()
        self.area = QScrollArea(widgetResizable=True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.area.setWidget(inner)
        shrink(inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.area)
        self.setFixedWidth(WIDTH)
        self.setMinimumHeight(LEAST_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)

    def _connect(self, viewer: Any) -> None:
        session, events, annotation = self.session, self.session.events, self.annotation.events
        self.open.clicked.connect(lambda: choose_clips(session.viewer))
        self.clip.activated.connect(self._choose_clip)
        signals = session.signals
        slots: list[tuple[Any, Any]] = [
            *((getattr(events, name), self._later) for name in ("active", "info", "running")),
            (events.proposal, self._later),
            (events.concealed, self._later),
            (events.progress, self.track.show_progress),
            (events.message, self._show_message),
            (annotation.message, self._show_message),
            (annotation.shown, self._later),
            (annotation.core, self._later),
            (self.plot.changed, self._later),
            (self.plot.told, self._show_message),
            (signals.result_finished, self._later),
            (signals.result_saved, self._later),
            (session.viewer.layers.events.inserted, self._later),
            (session.viewer.layers.events.removed, self._later),
            (session.viewer.dims.events.current_step, self.check.show_frame),
            (session.viewer.events.theme, self._later),
        ]
        for signal, slot in slots:
            signal.connect(slot)
        # not a method: Qt calls none of an object that is gone
        self.destroyed.connect(partial(leave, slots))

    # ----- what the user does -----------------------------------------------------------------

    def _choose_clip(self, row: int) -> None:
        clip = self.clip.itemData(row)
        if clip is not None and clip in self.session.clips():
            self.session.activate(clip)

    def skip_scale(self) -> None:
        """Go on in pixels."""
        if self.session.active is not None:
            self._skipped.add(str(id(self.session.active)))
            self.refresh()

    def ask_export(self, title: str, start: str, kinds: str) -> Path | None:
        """Ask where to write a file; None if nowhere."""
        chosen, _ = QFileDialog.getSaveFileName(self, title, start, kinds)
        return Path(chosen) if chosen else None

    # ----- what is shown ----------------------------------------------------------------------

    def _later(self, *_: Any) -> None:
        self._settle.start()

    def refresh(self) -> None:
        """Show everything as it is now, and open the step that comes next."""
        session = self.session
        if session.viewer is None:
            return
        self._show_clips()
        self.overview = now = Overview.of(session, self.annotation)
        skipped = str(id(session.active)) in self._skipped
        following = now.next_step(skipped_scale=skipped)
        light = docking.is_light(session.viewer)
        self.chips.setText("  \N{MIDDLE DOT}  ".join(now.chips()))
        for name, step in self.steps.items():
            step.status.setText(now.status(name))
            step.mark(is_next=name is following, light=light)
            step.setEnabled(now.n_frames > 0)
        if following is not self._next:
            self._next = following
            for name, step in self.steps.items():
                step.open(name is following)
        for step in (self.scale, self.label, self.track, self.check, self.save):
            step.show_overview(now)
        self._show_message()

    def _show_clips(self) -> None:
        opened = self.session.clips()
        self.clip.blockSignals(True)
        self.clip.clear()
        for clip in opened:
            self.clip.addItem(title_of(clip), clip)
        if self.session.active in opened:
            self.clip.setCurrentIndex(opened.index(self.session.active))
        self.clip.setVisible(bool(opened))
        self.open.setVisible(not opened)
        self.clip.blockSignals(False)

    def _show_message(self, *_: Any) -> None:
        texts = (self.session.message, self.annotation.message, self.plot.message)
        lines = dict.fromkeys(line for text in texts for line in text.split("\n") if line)
        self.message.setText("\n".join(lines))
        self.message.setVisible(bool(lines))

    def result(self) -> Any:
        """Return the layer of the active clip's result that is selected, None without one."""
        clip = self.session.active
        if clip is None or self.session.concealed:
            return None
        return self.session.find(clip, Kind.TRAJECTORY)

    def describe_motion(self) -> str:
        """Return the excursion of the result, or why it is not known."""
        try:
            shown = self.plot.timelines()
        except DeepMTJError as error:
            return str(error)
        return timeline.describe_motion(shown[0], self.plot.excursion()) if shown else ""

    # ----- coming and going ---------------------------------------------------------------------

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Fit the clip into the canvas that is left."""
        super().showEvent(event)
        docking.on_shown(self)

    def hideEvent(self, event: Any) -> None:  # noqa: N802
        """Remember that the user has closed the panel, and give the mouse back to napari."""
        super().hideEvent(event)
        if not event.spontaneous():
            self.scale.calibrate.disarm()
            docking.on_hidden(self)

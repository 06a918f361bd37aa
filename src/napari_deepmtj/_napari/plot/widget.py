"""The MTJ over time widget: curves, findings and smoothing of a viewer. It computes nothing."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari.viewer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_deepmtj._napari.panel.docking import move_to_bottom
from napari_deepmtj._napari.plot.channels_form import ChannelsForm
from napari_deepmtj._napari.plot.controller import NOTHING, plot_controller_of
from napari_deepmtj._napari.plot.findings_form import FindingsForm, LimitsForm
from napari_deepmtj._napari.plot.smoothing_form import SmoothForm
from napari_deepmtj._napari.viewer.forms import leave
from napari_deepmtj._napari.viewer.settings import read_settings
from napari_deepmtj.errors import DeepMTJError, MissingExtraError
from napari_deepmtj.report.timeline import CONFIDENCE, CURVES, Timeline, describe_motion
from napari_deepmtj.results.formats import FORMATS, default_path

if TYPE_CHECKING:
    from napari_deepmtj._napari.plot.canvas import TimeCanvas
    from napari_deepmtj.video.sidecar import DistalSide

#: Milliseconds from a change to its drawing: at most five drawings a second while tracking.
REDRAW = 200
#: Milliseconds from a drawing to the gate's look at it.
LOOK = 300

#: Least height of the dock in pixels.
LEAST_HEIGHT = 220

#: Channels of a file that are shown at first; it may have a hundred.
CHANNELS = 2

SIDES: dict[str, DistalSide | None] = {"not known": None, "left": "left", "right": "right"}


class OverTimeWidget(QWidget):
    """Show, check and smooth the MTJ over time.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer it works in.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.over_time = plot_controller_of(viewer)
        self._session = self.over_time.session
        self._hidden, self._known = {CONFIDENCE}, set(CURVES)
        self._timelines: list[Timeline] = []
        self._stale, self._placed = True, False
        self.canvas, self._missing = self._make_canvas()
        self.curves, self.clips, self.export = (
            _menu("Curves", "Which curves are shown, a panel each."),
            _menu("Clips", "Results of other clips that are shown, too."),
            _menu("Export", "The plot as it is in view, or the result for other programs."),
        )
        self.more = QPushButton("Findings and smoothing")
        self.more.setCheckable(True)
        self.more.setToolTip("Doubtful frames, limits, smoothing, and other devices' channels.")
        self.all = QPushButton("Show all")
        self.all.setToolTip("All of the time; a double click on the plot does the same.")
        self.legend, self.readout = QLabel(wordWrap=True), QLabel(wordWrap=True)
        self.readout.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.side = QComboBox()
        self.side.addItems(list(SIDES))
        self.side.setToolTip("The side of the picture on which the tendon runs to the foot.")
        self.motion = QLabel(wordWrap=True)
        self.findings = FindingsForm(self.over_time)
        self.limits = LimitsForm(self.over_time)
        self.smoothing = SmoothForm(self.over_time)
        self.channels = ChannelsForm(self.over_time)
        self.undo = QPushButton("Undo")
        self.message = QLabel(wordWrap=True)
        for label in (self.motion, self.readout, self.message):
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._redraw = QTimer(self, singleShot=True, interval=REDRAW)
        self._redraw.timeout.connect(self._refresh)
        self._look = QTimer(self, singleShot=True, interval=LOOK)
        self._look.timeout.connect(self.over_time.look)
        self._lay_out()
        self._connect()
        self._show_message()
        self._on_change()

    def _make_canvas(self) -> tuple[TimeCanvas | None, str]:
        try:
            from napari_deepmtj._napari.plot.canvas import TimeCanvas
        except ModuleNotFoundError:
            return None, str(MissingExtraError("the plot over time", "plots"))
        return TimeCanvas(self._session.viewer.theme, self.over_time.jump), ""

    def _lay_out(self) -> None:
        tools = QHBoxLayout()
        for tool in (self.curves, self.clips, self.export):
            tools.addWidget(tool)
        tools.addWidget(self.motion, 1)
        tools.addWidget(self.undo)
        tools.addWidget(self.all)
        tools.addWidget(self.more)
        seen = QWidget()
        column = QVBoxLayout(seen)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(tools)
        column.addWidget(self.canvas or QLabel(self._missing, wordWrap=True), 1)
        column.addWidget(self.legend)
        column.addWidget(self.readout)
        side = QHBoxLayout()
        side.addWidget(QLabel("distal side"))
        side.addWidget(self.side)
        side.addStretch()
        self.tabs = QTabWidget()
        self.tabs.addTab(self.findings, "Findings")
        self.tabs.addTab(self.limits, "Limits")
        self.tabs.addTab(self.smoothing, "Smoothing")
        self.tabs.addTab(self.channels, "Channels")
        done = QWidget()
        column = QVBoxLayout(done)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(side)
        column.addWidget(self.tabs, 1)
        column.addWidget(self.message)
        self.done = QScrollArea(widgetResizable=True)
        self.done.setFrameShape(QFrame.Shape.NoFrame)
        self.done.setWidget(done)
        self.done.setMinimumSize(300, 60)
        self.done.setVisible(False)
        self.splitter = QSplitter(Qt.Orientation.Vertical, childrenCollapsible=False)
        self.splitter.addWidget(seen)
        self.splitter.addWidget(self.done)
        self.splitter.setStretchFactor(0, 3)
        self.splitter.setStretchFactor(1, 2)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(6, 2, 6, 2)
        outer.addWidget(self.splitter)
        self.setMinimumHeight(LEAST_HEIGHT)

    def _connect(self) -> None:
        over_time, session, viewer = self.over_time, self._session, self._session.viewer
        self.all.clicked.connect(self._show_all)
        self.more.toggled.connect(self.done.setVisible)
        self.undo.clicked.connect(lambda: over_time.undo())
        self.side.activated.connect(self._choose_side)
        for menu, fill in (
            (self.curves, self._fill_curves),
            (self.clips, self._fill_clips),
            (self.export, self._fill_export),
        ):
            menu.menu().aboutToShow.connect(fill)
        slots: list[tuple[Any, Any]] = [
            (over_time.changed, self._on_change),
            (over_time.found, self._show_findings),
            (over_time.told, self._show_message),
            (session.events.running, self._on_change),
            (viewer.dims.events.current_step, self._show_cursor),
            (viewer.events.theme, self._show_theme),
        ]
        for signal, slot in slots:
            signal.connect(slot)
        # not a method: Qt calls none of an object that is gone
        self.destroyed.connect(partial(leave, slots))

    # ----- actions ----------------------------------------------------------------------------

    def _show_all(self) -> None:
        if self.canvas is not None:
            self.canvas.show_all()

    def _choose_side(self, *_: Any) -> None:
        self.over_time.set_distal_side(SIDES[self.side.currentText()])

    def _choose_curve(self, name: str, wanted: bool) -> None:
        (self._hidden.discard if wanted else self._hidden.add)(name)
        self._on_change()

    def _save_plot(self) -> None:
        name = Path(self._timelines[0].clip).stem + "-over-time.png"
        start = (read_settings().folder or Path.cwd()) / name
        formats = "PNG (*.png);;SVG (*.svg);;PDF (*.pdf)"
        chosen, _ = QFileDialog.getSaveFileName(self, "Save the plot", str(start), formats)
        if chosen and self.canvas is not None:
            panels = self.canvas.panels
            self.over_time.save_plot(Path(chosen), panels.names, panels.view)

    def _export(self, key: str) -> None:
        form, trajectory = FORMATS[key], self.over_time.trajectory()
        if trajectory is None:
            return
        start = default_path(trajectory.provenance.clip, key, read_settings().folder or Path.cwd())
        chosen, _ = QFileDialog.getSaveFileName(
            self, form.title, str(start), f"{form.title} (*{form.suffix})"
        )
        if chosen:
            self.over_time.export(Path(chosen), key)

    # ----- menus ------------------------------------------------------------------------------

    def _fill_curves(self) -> None:
        menu = self.curves.menu()
        menu.clear()
        found = [name for t in self._timelines for name in t.curves]
        for name in dict.fromkeys([*CURVES, *found]):
            action = menu.addAction(name)
            action.setCheckable(True)
            action.setChecked(name not in self._hidden)
            action.setEnabled(name in found)
            action.toggled.connect(partial(self._choose_curve, name))

    def _fill_clips(self) -> None:
        menu, over_time = self.clips.menu(), self.over_time
        menu.clear()
        shown = over_time.shown()
        for layer in over_time.results():
            action = menu.addAction(layer.name.removeprefix("MTJ "))
            action.setCheckable(True)
            action.setChecked(layer is shown or layer in over_time.overlaid)
            action.setEnabled(layer is not shown)
            action.toggled.connect(partial(over_time.overlay, layer))

    def _fill_export(self) -> None:
        menu = self.export.menu()
        menu.clear()
        action = menu.addAction("Plot as in view...", self._save_plot)
        action.setEnabled(self.canvas is not None and bool(self._timelines))
        menu.addSeparator()
        for form in FORMATS.values():
            action = menu.addAction(f"{form.title}...", partial(self._export, form.key))
            action.setEnabled(bool(self._timelines))

    # ----- what is shown ----------------------------------------------------------------------

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Catch up with what changed while nobody could see it."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            QTimer.singleShot(0, self, lambda: move_to_bottom(self))
        if self._stale:
            self._redraw.start()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """Put plot and forms side by side where the dock is wide, below each other else."""
        super().resizeEvent(event)
        wide = event.size().width() > 1.5 * event.size().height()
        way = Qt.Orientation.Horizontal if wide else Qt.Orientation.Vertical
        if self.splitter.orientation() != way:
            self.splitter.setOrientation(way)

    def _on_change(self, *_: Any) -> None:
        self._stale = True
        if self.isVisible() and not self._redraw.isActive():
            self._redraw.start()

    def _refresh(self) -> None:
        """Show everything as it is now."""
        self._stale = False
        self._show_curves()
        self._show_cursor()
        active = self._session.active
        side = self._session.info.distal_side
        self.side.setEnabled(active is not None)
        self.side.setCurrentText(next(text for text, value in SIDES.items() if value == side))
        self.smoothing.show_state(self.over_time.trajectory())
        self.channels.show_recording()
        self._show_message()
        self._look.start()

    def _show_curves(self) -> None:
        try:
            self._timelines = self.over_time.timelines()
        except DeepMTJError as error:
            self._timelines = []
            self.over_time.tell(str(error))
        first = self._timelines[0] if self._timelines else None
        which = self.over_time.which().strip(" ()")
        motion = NOTHING if first is None else describe_motion(first, self.over_time.excursion())
        self.motion.setText("\n".join(filter(None, (which, motion))))
        if self.canvas is None:
            return
        names = list(dict.fromkeys(n for t in self._timelines for n in t.curves))
        new = [n for n in names if n not in self._known]
        self._hidden.update(new[CHANNELS:])
        self._known.update(new)
        self.canvas.show_timelines(self._timelines, [n for n in names if n not in self._hidden])
        self.legend.setText(self.canvas.legend())

    def _show_cursor(self, event: Any = None) -> None:
        if not self.isVisible():
            return
        if self.canvas is not None:
            self.canvas.set_cursor_time(self.over_time.cursor())
        first = self._timelines[0] if self._timelines else None
        self.readout.setText("" if first is None else _readout(first, self._session.frame()))

    def _show_theme(self, event: Any) -> None:
        if self.canvas is not None:
            self.canvas.set_theme(event.value)
            self._on_change()

    def _show_findings(self) -> None:
        gated = self.over_time.gated
        self.findings.show_findings()
        count = "" if gated is None else f" ({len(gated.findings)})"
        self.tabs.setTabText(self.tabs.indexOf(self.findings), f"Findings{count}")

    def _show_message(self) -> None:
        over_time = self.over_time
        left_out = () if self.canvas is None else self.canvas.panels.left_out
        self.message.setText("\n".join(filter(None, (over_time.message, *left_out))))
        free = not (over_time.running or self._session.running) and bool(self._timelines)
        for button in (self.findings.apply, self.smoothing.apply, self.smoothing.remove):
            button.setEnabled(free)
        what = over_time.undoable()
        self.undo.setEnabled(bool(what) and free)
        self.undo.setToolTip(f"Take back {what}." if what else "There is nothing to undo.")


def _readout(timeline: Timeline, frame: int) -> str:
    """Return the values of a frame in a line."""
    found = timeline.at(frame)
    if not found:
        return f"frame {frame}: not tracked"
    values = [
        f"{name} {value:.2f} {unit}".rstrip().replace("-", "\N{MINUS SIGN}")
        for name, (value, unit) in found.items()
    ]
    marks = ", ".join(timeline.marks_at(frame))
    return f"frame {frame}: " + "   ".join([*values, marks])


def _menu(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setMenu(QMenu(button))
    return button

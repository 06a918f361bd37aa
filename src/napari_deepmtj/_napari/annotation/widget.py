"""The Annotate MTJ widget: a form over the viewer's annotation. It owns no state and no file."""

from __future__ import annotations

from functools import partial
from typing import Any

import napari.viewer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_deepmtj._napari.annotation import queue_jobs as queueing
from napari_deepmtj._napari.annotation.controller import AnnotationController, annotation_of
from napari_deepmtj._napari.annotation.forms import QueueForm, RoundForm
from napari_deepmtj._napari.annotation.label_file import open_labels, pause
from napari_deepmtj._napari.annotation.shortcuts import SHORTCUTS, by_letter
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.forms import QuestionBox, clear_layout
from napari_deepmtj._napari.viewer.jobs import later
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.labels.table import SUFFIX, labels_path

#: Milliseconds without an action that are a pause: then the label file is written, so that other
#: programs see the labels, and it is looked at whether they changed it.
PAUSE = 3000

#: Field of the annotation -> text and explanation of its check box.
TOGGLES = {
    "label_mode": ("click to label", "A click on the picture sets the point (0)."),
    "others": ("labels of others", "Also one's own of earlier rounds (Shift+O)."),
    "predictions": ("predictions", "Propose what was tracked or predicted, to accept or to move."),
    "contrast": ("local contrast", "Only to look at; the clip is not altered (9)."),
}


class AnnotateWidget(QWidget):
    """Label the muscle-tendon junction, frame by frame.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer it works in.
    framed : bool
        Whether it scrolls by itself and has a tab of keys; in the panel it does not.
    """

    def __init__(self, viewer: napari.viewer.Viewer, framed: bool = True) -> None:
        super().__init__()
        self.annotation = annotation = annotation_of(viewer)
        annotation.use_clock(later)
        self.round = RoundForm()
        self.open = QPushButton("Open labels")
        self.queue = QueueForm()
        self.build = QPushButton("Build queue")
        self.predict = QPushButton("Predict the queue")
        self.useful = QPushButton("Next most useful")
        self.useful.setToolTip("The frame that a label would teach most about: doubt x difference.")
        self.cancel = QPushButton("Cancel")
        self.where = QLabel()
        self.progress = QProgressBar()
        self.toggles = {name: QCheckBox(text) for name, (text, _) in TOGGLES.items()}
        for name, (_, tip) in TOGGLES.items():
            self.toggles[name].setToolTip(tip)
        self.advance = QCheckBox("go on after a label")
        self.advance.setChecked(True)
        self.choices = QWidget()
        self._choices = QVBoxLayout(self.choices)
        self.answers = QuestionBox(annotation)
        self.question, self.message = self.answers.text, QLabel(wordWrap=True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._timer = QTimer(self)
        self._timer.timeout.connect(lambda: pause(annotation))
        self._timer.start(PAUSE)
        self._lay_out(framed)
        self._connect()
        if (application := QApplication.instance()) is not None:
            application.installEventFilter(self)  # Qt forgets it with the widget
        self._show_clip(annotation.session.active)
        self._show()

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802
        """Let letters label while a number box has the focus, which has no use for them."""
        if event.type() != QEvent.Type.KeyPress or self.annotation.core is None:
            return bool(super().eventFilter(watched, event))
        focus = QApplication.focusWidget()
        if not (isinstance(focus, QAbstractSpinBox) and focus.window() is self.window()):
            return False
        held = event.modifiers()
        shift = held == Qt.KeyboardModifier.ShiftModifier
        if not (shift or held == Qt.KeyboardModifier.NoModifier):
            return False
        key = QKeySequence(event.key()).toString()
        if (found := by_letter(key, shift=shift)) is None:
            return False
        found.act(self.annotation)
        return True

    def _lay_out(self, framed: bool) -> None:
        form = QWidget()
        column = QVBoxLayout(form)
        for widget in (
            self.round,
            self.open,
            self.queue,
            _row(self.build, self.predict),
            _row(self.useful, self.cancel),
            self.where,
            self.progress,
            _row(self.toggles["label_mode"], self.advance),
            _row(self.toggles["predictions"], self.toggles["others"]),
            self.toggles["contrast"],
            self.choices,
            self.answers,
            self.message,
        ):
            column.addWidget(widget)
        column.addStretch()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        if not framed:
            column.setContentsMargins(0, 0, 0, 0)
            outer.addWidget(form)
            return
        scroll = QScrollArea(widgetResizable=True)
        scroll.setWidget(form)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

        def fit() -> None:
            wanted = form.minimumSizeHint().width() + scroll.verticalScrollBar().sizeHint().width()
            scroll.setMinimumWidth(wanted)

        fit()
        for box in (self.round.mode, self.queue.scope, self.queue.way, self.queue.filter):
            box.currentTextChanged.connect(fit)  # rows come and go
        self.tabs = QTabWidget()
        self.tabs.addTab(scroll, "Label")
        self.tabs.addTab(_key_table(), "Keys")
        outer.addWidget(self.tabs)

    def _connect(self) -> None:
        annotation, session = self.annotation, self.annotation.session
        self.open.clicked.connect(self._open)
        self.round.choose.clicked.connect(self._choose_file)
        self.queue.choose.clicked.connect(self._choose_folder)
        self.build.clicked.connect(self._build)
        self.predict.clicked.connect(lambda: queueing.predict(annotation))
        self.useful.clicked.connect(lambda: queueing.most_useful(annotation))
        self.cancel.clicked.connect(session.cancel)
        self.advance.toggled.connect(self._set_advance)
        for name, box in self.toggles.items():
            box.toggled.connect(lambda on, name=name: self._set(name, on))
        slots = [
            (annotation.events.shown, self._show),
            (annotation.events.shown, self._on_action),
            (annotation.events.message, self._show_message),
            *((getattr(annotation.events, name), self._show) for name in TOGGLES),
            (session.events.active, self._show_clip),
            (session.events.running, self._show),
            (session.events.progress, self._show_job),
        ]
        for signal, slot in slots:
            signal.connect(slot)
        annotation.views += 1
        # not a method: Qt calls none of an object that is gone
        self.destroyed.connect(partial(_leave, annotation, slots))

    # ----- actions ----------------------------------------------------------------------------

    def _open(self) -> None:
        if self.annotation.core is not None:
            self.annotation.close()
            return
        try:
            asked = self.round.asked()
        except DeepMTJError as error:
            self.annotation.message = str(error)
            return
        open_labels(self.annotation, asked)

    def _build(self) -> None:
        core = self.annotation.core
        if core is not None and core.has_own_queue:
            self.annotation.do(lambda session: session.begin_again())
            return
        try:
            plan, scope = self.queue.asked()
        except DeepMTJError as error:
            self.annotation.message = str(error)
            return
        queueing.build(self.annotation, plan, scope)

    def _choose_file(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(
            self,
            "Label file, old or new",
            self.round.path.text(),
            f"Labels (*{SUFFIX})",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if chosen:
            self.round.path.setText(chosen if chosen.endswith(SUFFIX) else chosen + SUFFIX)

    def _choose_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of clips", self.queue.folder.text())
        if chosen:
            self.queue.folder.setText(chosen)

    def _set(self, name: str, on: bool) -> None:
        if getattr(self.annotation, name) != on:
            self.annotation.toggle(name)

    def _set_advance(self, on: bool) -> None:
        if self.annotation.core is not None:
            self.annotation.core.advance = on

    # ----- what is shown ----------------------------------------------------------------------

    def _show_clip(self, clip: Any) -> None:
        """Suggest the label file beside the active clip, as long as none is chosen or open."""
        if clip is None or self.annotation.core is not None or self.round.path.text():
            return
        path = clips.source_of(clip).path
        if path is not None:
            self.round.path.setText(str(labels_path(path)))

    def _show(self, *_: Any) -> None:
        annotation = self.annotation
        core, running = annotation.core, annotation.session.running
        self.open.setText("Open labels" if core is None else "Close labels")
        self.round.setEnabled(core is None)
        own = core is not None and core.has_own_queue
        self.queue.setVisible(not own)
        self.build.setText("Begin the round again" if own else "Build queue")
        for button in (self.build, self.predict, self.useful):
            button.setEnabled(core is not None and not running)
        self.predict.setVisible(not own)
        self.useful.setVisible(not own)
        self.cancel.setEnabled(running)
        for name, box in self.toggles.items():
            box.setChecked(getattr(annotation, name))
        if core is not None:
            core.advance = self.advance.isChecked()
        self._show_place()
        self._show_choices()
        self._show_message(annotation.message)

    def _on_action(self, *_: Any) -> None:
        """Wait for the next pause, and have frames chosen when the last batch has begun."""
        self._timer.start(PAUSE)
        core = self.annotation.core
        if core is not None and core.place.running_out and not self.annotation.session.running:
            queueing.grow(self.annotation)

    def _show_place(self) -> None:
        core = self.annotation.core
        if core is None or core.item is None:
            self.where.setText("")
            self.progress.setVisible(False)
            return
        batch, item = core.place.batch, core.item
        flag = "   ⚑" if core.book.is_flagged(item) else ""
        label = core.label_of(item)
        state = "not labelled" if label is None else label.origin.value.lower()
        if label is not None and not label.visible:
            state = "not visible"
        lines = [f"{item.clip}, frame {item.frame}: {state}{flag}"]
        if core.place.beside:
            lines.append("beside the queue; W or Q goes back to it")
        if batch.queue_total:
            more = "+" if batch.growing else ""
            lines.append(
                f"frame {core.place.position + 1} of {batch.queue_total}{more}, "
                f"batch {batch.number} of {batch.of}{more}; {batch.queue_done} labelled"
            )
        self.where.setText("\n".join(lines))
        self.progress.setVisible(batch.total > 0)
        self.progress.setUpdatesEnabled(False)  # else it paints the window at once, and again later
        self.progress.setMaximum(max(1, batch.total))
        self.progress.setValue(batch.done)
        self.progress.setFormat(f"batch {batch.number}: %v of %m")
        self.progress.setUpdatesEnabled(True)

    def _show_job(self, progress: Any) -> None:
        if progress is not None:
            self.where.setText(f"{progress.done} of {progress.total} {progress.unit}s")

    def _show_choices(self) -> None:
        """Offer each annotator's label, and their mean, where one is to be settled on."""
        core = self.annotation.core
        offered = [] if core is None else [(f"{la.annotator}", la) for la in core.choices]
        self.choices.setVisible(bool(offered))
        clear_layout(self._choices)
        for text, label in offered:
            button = QPushButton(f"Accept {text}" + ("" if label.visible else " (not visible)"))
            button.clicked.connect(
                lambda _=False, label=label: self.annotation.do(lambda s: s.settle(label))
            )
            self._choices.addWidget(button)
        if len(offered) > 1:
            mean = QPushButton("Take the mean")
            mean.clicked.connect(lambda: self.annotation.do(lambda s: s.settle_by_mean()))
            self._choices.addWidget(mean)

    def _show_message(self, message: str) -> None:
        self.message.setText(message)


def _leave(annotation: AnnotationController, slots: list[tuple[Any, Any]], *_: Any) -> None:
    """Stop listening when a form is gone; the last one gives the label file back."""
    for signal, slot in slots:
        signal.disconnect(slot, missing_ok=True)
    annotation.views -= 1
    if not annotation.views:
        annotation.close(keep_layers=True)


def _row(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return row


def _key_table() -> QTableWidget:
    """Return the table of all shortcuts."""
    table = QTableWidget(len(SHORTCUTS), 2)
    table.setHorizontalHeaderLabels(["key", "does"])
    table.verticalHeader().setVisible(False)
    table.horizontalHeader().setStretchLastSection(True)
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    for row, shortcut in enumerate(SHORTCUTS):
        for column, text in enumerate((shortcut.key, shortcut.text)):
            table.setItem(row, column, QTableWidgetItem(text))
    return table

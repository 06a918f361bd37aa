"""Annotation in a real window, with a real mouse and real keys."""

import numpy as np
import pytest
from app_model.types import KeyBinding
from napari._app_model import get_app_model
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_deepmtj._napari.annotation import queue_jobs as queueing
from napari_deepmtj._napari.annotation.layers import marks_of
from napari_deepmtj._napari.annotation.shortcuts import SHORTCUTS
from napari_deepmtj._napari.annotation.widget import AnnotateWidget
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj._napari.viewer.settings import PLUGIN, Settings
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.labels.store import LabelLocked, LabelStore
from napari_deepmtj.labels.table import read_labels

pytestmark = pytest.mark.gui

#: Milliseconds until the marks, too, are drawn anew.
AFTER = 45

NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
CTRL = Qt.KeyboardModifier.ControlModifier


class Hand:
    """Mouse and keys over the canvas of a window with the widget."""

    def __init__(self, viewer, qtbot, *paths):
        self.viewer, self.qtbot = viewer, qtbot
        for path in paths:
            viewer.open(str(path), plugin=PLUGIN)
        _, self.widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Annotate MTJ")
        self.annotation = self.widget.annotation
        self.session = session_of(viewer)
        self.canvas = viewer.__wrapped__.window._qt_viewer.canvas.native
        qtbot.wait(300)  # until the dock has its place and the canvas its size

    def open(self, path, annotator="Ann"):
        self.widget.round.path.setText(str(path))
        self.widget.round.annotator.setText(annotator)
        QTest.mouseClick(self.widget.open, Qt.MouseButton.LeftButton)
        return self.annotation.core

    def build(self, **fields):
        form = self.widget.queue
        form.scope.setCurrentText(fields.pop("scope", "all open clips"))
        form.n.setValue(fields.pop("n", 4))
        for name, value in fields.items():
            getattr(form, name).setText(value)
        QTest.mouseClick(self.widget.build, Qt.MouseButton.LeftButton)
        self.settle()

    def settle(self):
        self.qtbot.waitUntil(lambda: not self.session.running, timeout=60_000)
        self.qtbot.wait(AFTER)

    def at(self, x, y):
        camera, size = self.viewer.scene.camera, self.canvas.size()
        clip = self.session.active
        row, column = clip.data_to_world((self.session.frame(), y, x))[-2:]
        right = (column - camera.center[-1]) * camera.zoom + size.width() / 2
        down = (row - camera.center[-2]) * camera.zoom + size.height() / 2
        return QPoint(round(right), round(down))

    def click(self, x, y):
        QTest.mouseClick(self.canvas, Qt.MouseButton.LeftButton, NONE, self.at(x, y))
        self.qtbot.wait(AFTER)

    def drag(self, x, y, *ways):
        button = Qt.MouseButton.LeftButton
        QTest.mousePress(self.canvas, button, NONE, self.at(x, y))
        last = self.at(x, y)
        for way in ways:
            last = self.at(*way)
            QTest.mouseMove(self.canvas, last)
            self.qtbot.wait(20)
        QTest.mouseRelease(self.canvas, button, NONE, last)
        self.qtbot.wait(AFTER)

    def press(self, key, modifiers=NONE):
        QTest.keyClick(self.canvas, key, modifiers)
        self.qtbot.wait(AFTER)


@pytest.fixture
def hand(make_napari_viewer_proxy, qtbot):
    return lambda *paths: Hand(make_napari_viewer_proxy(show=True), qtbot, *paths)


def test_two_clips_are_labelled_undone_flagged_closed_and_reopened(
    hand, make_clip, scale, tmp_path, make_napari_viewer_proxy, qtbot
):
    clips = make_clip("a b.avi", scale=scale), make_clip("ü.avi", height=60, width=120)
    path = tmp_path / "both.mtj-labels.csv"
    first = hand(*clips)
    assert first.widget.round.path.text() == str(tmp_path / "ü.mtj-labels.csv")
    core = first.open(path)
    first.build(n=3)
    assert "frame 1 of 6, batch 1 of 1; 0 labelled" in first.widget.where.text()
    wanted = [(20 + 5 * i, 10 + 3 * i) for i in range(6)]
    for i, place in enumerate(wanted):
        if i == 2:
            first.press(Qt.Key.Key_G, SHIFT)
            assert "⚑" in first.widget.where.text()
        first.click(*place)
        assert len(core.book.store.labels) == i + 1
    labels = core.book.store.labels
    assert [la.clip for la in labels] == ["a b.avi"] * 3 + ["ü.avi"] * 3
    found = np.array([(la.x_px, la.y_px) for la in labels])
    assert np.abs(found - wanted).max() < 0.5
    assert first.widget.progress.value() == 6
    for _ in range(4):
        first.press(Qt.Key.Key_Z, CTRL)
    assert len(core.book.store.labels) == 2
    assert first.session.active.name == "a b.avi"
    for _ in range(4):
        first.press(Qt.Key.Key_Z, CTRL | SHIFT)
    assert core.book.store.labels[-1].x_px == labels[-1].x_px
    first.press(Qt.Key.Key_Q)
    here = core.item
    first.viewer.close()
    qtbot.waitUntil(lambda: not list(tmp_path.glob("*.lock")), timeout=5_000)
    assert [(la.clip, la.x_px) for la in read_labels(path)] == [(la.clip, la.x_px) for la in labels]
    again = hand(*clips)
    core = again.open(path)
    assert core.item == here
    assert again.session.active.name == "ü.avi"
    assert again.session.frame() == here.frame
    assert core.book.flagged() == {(labels[2].clip_sha256, labels[2].frame)}


def test_points_are_dragged_and_nudged_the_picture_is_panned(hand, make_clip, tmp_path, qtbot):
    window = hand(make_clip())
    core = window.open(tmp_path / "x.mtj-labels.csv")
    window.build()
    window.click(30, 20)
    zoom = window.viewer.scene.camera.zoom
    QTest.mouseDClick(window.canvas, Qt.MouseButton.LeftButton, NONE, window.at(30, 20))
    assert window.viewer.scene.camera.zoom == zoom
    assert len(core.book.store.labels) == 1
    window.press(Qt.Key.Key_Q)
    window.drag(30, 20, (33, 21), (40, 25))
    assert core.label_of(core.item).x_px == pytest.approx(40, abs=0.5)
    window.press(Qt.Key.Key_K)
    window.press(Qt.Key.Key_U, SHIFT)
    label = core.label_of(core.item)
    assert label.x_px == pytest.approx(41, abs=0.5)
    assert label.y_px == pytest.approx(24.9, abs=0.5)
    centre = tuple(window.viewer.scene.camera.center)
    window.drag(60, 10, (62, 12), (70, 20))
    assert window.viewer.scene.camera.center != centre
    assert len(core.book.store.labels) == 1
    # a tool of napari: its own add mode
    layer = window.annotation.label_layer
    window.press(Qt.Key.Key_W)
    layer.mode = "add"
    window.click(50, 15)
    assert [(la.frame, round(la.x_px)) for la in core.book.store.labels][-1] == (
        core.item.frame,
        50,
    )
    assert window.annotation.label_layer.mode == "pan_zoom"
    # letters that are typed into a field are no shortcuts
    place, made = core.place.position, core.book.store.labels
    window.widget.queue.scope.setCurrentText("a folder")
    qtbot.keyClicks(window.widget.queue.folder, "nWg")
    assert window.widget.queue.folder.text() == "nWg"
    assert (core.place.position, core.book.store.labels) == (place, made)


def test_the_queue_is_predicted_then_accepted_and_corrected(
    hand, make_clip, tmp_path, tiny_model, monkeypatch
):
    monkeypatch.setattr(queueing, "read_settings", lambda: Settings(tiny_model, "cpu", "full"))
    window = hand(make_clip())
    core = window.open(tmp_path / "x.mtj-labels.csv")
    window.build(n=3)
    QTest.mouseClick(window.widget.predict, Qt.MouseButton.LeftButton)
    assert window.widget.cancel.isEnabled()
    window.settle()
    assert window.widget.toggles["predictions"].isChecked()
    marks = marks_of(window.annotation.label_layer)
    assert [mark.frame for mark in marks] == [item.frame for item in core.place.queue.items]
    assert {mark.origin for mark in marks} == {Origin.PREDICTED}
    window.press(Qt.Key.Key_G)
    second = marks[1]
    window.drag(second.x_px, second.y_px, (20, 20), (30, 22))
    QTest.mouseClick(window.widget.useful, Qt.MouseButton.LeftButton)
    window.settle()
    assert core.item.frame == marks[2].frame  # the only predicted one that is left
    made = [(la.frame, la.origin) for la in core.book.store.labels]
    assert made == [(marks[0].frame, "PREDICTED"), (marks[1].frame, "CORRECTED")]
    assert core.book.store.labels[1].x_px == pytest.approx(30, abs=0.5)


def test_a_folder_is_gone_through_batch_by_batch(hand, make_clip, tmp_path):
    for i in range(3):
        make_clip(f"{i}.avi", n_frames=4 + i)
    window = hand()
    core = window.open(tmp_path / "all.mtj-labels.csv")
    window.widget.queue.batch.setValue(2)
    window.build(scope="a folder", folder=str(tmp_path), n=1)
    assert len(core.place.queue) == 2
    assert len(core.place.queue.pending) == 1
    assert "of 2+" in window.widget.where.text()
    window.settle()
    for _ in range(3):
        window.click(30, 20)
        window.settle()
    assert [la.clip for la in core.book.store.labels] == ["0.avi", "1.avi", "2.avi"]
    assert not core.place.queue.pending


def test_forms_ask_for_what_a_way_needs(hand, monkeypatch, tmp_path):
    widget = hand().widget
    # in a window the keys of napari's menus are known, too
    taken = {KeyBinding.validate(rule.keybinding) for rule in get_app_model().keybindings}
    assert KeyBinding.from_str("Ctrl+S") in taken
    assert not taken & {KeyBinding.from_str(s.key) for s in SHORTCUTS}
    form = widget.queue
    form.way.setCurrentText("by hand")
    assert not form.listed.isHidden()
    assert form.n.isHidden()
    form.listed.setText("3, x")
    widget.annotation.message = ""
    widget.build.setEnabled(True)
    widget.build.click()
    assert widget.message.text() == "'x' is no frame; write a list such as 3, 10-20, 40"
    form.listed.setText("3, 10-12")
    assert form.asked()[0].strategy.frames == (3, 10, 11, 12)
    form.way.setCurrentText("random")
    form.seed.setValue(7)
    assert (form.asked()[0].strategy.n, form.asked()[0].strategy.seed) == (10, 7)
    form.filter.setCurrentText("disagreeing")
    form.unit.setCurrentText("mm")
    assert form.asked()[0].tolerance.unit == "mm"
    widget.round.mode.setCurrentText("review")
    widget.round.annotator.setText("Ann")
    widget.round.path.setText("x.mtj-labels.csv")
    assert widget.round.asked().of == ("Ann", 1)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(tmp_path / "y"), ""))
    widget.round.choose.click()
    assert widget.round.path.text() == str(tmp_path / "y.mtj-labels.csv")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(tmp_path))
    form.choose.click()
    assert form.folder.text() == str(tmp_path)


def test_questions_are_asked_in_the_widget_and_two_docks_show_one_annotation(
    hand, make_clip, tmp_path, qtbot
):
    path = tmp_path / "x.mtj-labels.csv"
    window = hand(make_clip())
    second = AnnotateWidget(window.viewer)
    window.viewer.window.add_dock_widget(second, name="second")

    def answer(text):
        buttons = window.widget.answers.findChildren(QPushButton)
        next(button for button in buttons if button.text() == text).click()
        qtbot.wait(20)

    other = LabelStore.open(path)
    assert window.open(path) is None
    assert "process" in window.widget.question.text()
    answer("Leave it")
    assert window.widget.answers.isHidden()
    window.open(path)
    answer("Take over")
    assert window.annotation.core is not None
    assert second.open.text() == "Close labels"
    with pytest.raises(LabelLocked, match="taken over"):
        other.close()
    window.viewer.window.remove_dock_widget(second)
    second.deleteLater()
    qtbot.waitUntil(lambda: window.annotation.views == 1, timeout=5_000)
    assert window.annotation.core is not None
    window.widget.toggles["contrast"].click()
    assert window.session.find(window.session.active, Kind.CONTRAST) is not None
    window.widget.open.click()
    # two annotators, and one who settles between them
    for who, x in (("Ann", 20), ("Bea", 30)):
        window.open(path, who)
        window.build(n=2)
        window.click(x, 20)
        window.click(x, 20)
        window.widget.open.click()
    window.widget.round.mode.setCurrentText("adjudicate")
    core = window.open(path, "Cal")
    buttons = window.widget.choices.findChildren(QPushButton)
    assert [b.text() for b in buttons] == ["Accept Ann", "Accept Bea", "Take the mean"]
    assert window.widget.build.text() == "Begin the round again"
    buttons[1].click()
    qtbot.wait(AFTER)
    window.widget.choices.findChildren(QPushButton)[-1].click()
    made = [la for la in core.book.store.labels if la.annotator == "consensus"]
    assert [la.x_px for la in made] == pytest.approx([30, 25], abs=0.5)


def test_twenty_frames_are_labelled_by_keys_alone(hand, make_clip, tmp_path):
    """The first point of a frame appears in the middle, and is moved from there."""
    one = hand(make_clip("a.avi"))
    core = one.open(tmp_path / "a.mtj-labels.csv")
    one.build(n=20)
    height, width = one.session.active.data.shape[-2:]
    for number in range(20):
        one.press(Qt.Key.Key_K)
        for _ in range(number % 3):
            one.press(Qt.Key.Key_K)
        one.press(Qt.Key.Key_U, SHIFT)
        one.press(Qt.Key.Key_W)
    labels = core.book.store.labels
    assert len(labels) == 20
    for number, label in enumerate(labels):
        assert label.x_px == pytest.approx((width - 1) / 2 + number % 3)
        assert label.y_px == pytest.approx((height - 1) / 2 - 0.1)


def test_letters_label_while_a_number_box_has_the_focus(hand, make_clip, tmp_path, qtbot):
    one = hand(make_clip("a.avi"))
    core = one.open(tmp_path / "a.mtj-labels.csv")
    one.build(n=4)
    box = one.widget.queue.n
    one.viewer.__wrapped__.window._qt_window.activateWindow()
    box.setFocus()
    qtbot.waitUntil(box.hasFocus, timeout=5_000)
    QTest.keyClick(box, Qt.Key.Key_N)
    assert [label.visible for label in core.book.store.labels] == [False]
    box.selectAll()
    QTest.keyClick(box, Qt.Key.Key_7)
    assert box.value() == 7  # numbers are the box's own
    QTest.keyClick(box, Qt.Key.Key_K)
    assert len(core.book.store.labels) == 2
    assert box.value() == 7

"""Annotation in a viewer without a window: what is shown, and what layers, keys and mouse do."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from annotating_by_hand import mouse, points, press, texts

from napari_deepmtj._napari.annotation import layers as label_layers
from napari_deepmtj._napari.annotation import queued_clips
from napari_deepmtj._napari.layers import styles
from napari_deepmtj.annotation.marks import Mark, Role
from napari_deepmtj.annotation.queue import Known, Plan, Queue
from napari_deepmtj.annotation.selection import Every
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import VideoError
from napari_deepmtj.labels.table import read_labels


def test_a_click_on_the_picture_labels_in_pixels_and_goes_on(
    begin, annotation, open_clip, session, viewer, scale
):
    clip = open_clip(scale=scale)
    core = begin()
    assert viewer.layers.selection.active is annotation.label_layer
    mouse(annotation, viewer, clip.data_to_world((0, 20.5, 30.25)))
    assert points(annotation) == [(0, 30.25, 20.5, "own", "MANUAL")]
    assert session.frame() == core.item.frame == 5
    (label,) = core.book.store.labels
    assert (label.clip, label.frame, label.time_s) == ("clip.avi", 0, 0.0)
    mouse(annotation, viewer, clip.data_to_world((5, 500, 30)))
    assert "outside the picture" in annotation.message
    assert session.frame() == 5
    press(viewer, "N")
    assert annotation.message == ""
    assert not core.book.store.labels[-1].visible
    assert session.frame() == 10


def test_what_is_no_click_labels_nothing(begin, annotation, open_clip, viewer):
    clip = open_clip()
    core = begin()
    here = clip.data_to_world((0, 20, 30))
    mouse(annotation, viewer, here, clip.data_to_world((0, 20, 60)))  # pans
    mouse(annotation, viewer, here, button=2)
    mouse(annotation, viewer, here, modifiers=("Shift",))
    annotation.toggle("label_mode")
    assert annotation.label_layer.mode == "select"
    mouse(annotation, viewer, here)
    annotation.toggle("label_mode")
    viewer.add_shapes(name="of somebody else")  # becomes the active layer
    mouse(annotation, viewer, here)
    assert core.book.store.labels == ()
    assert annotation.label_layer.mouse_pan
    viewer.layers.selection.active = clip  # clicking the clip itself is labelling
    mouse(annotation, viewer, here)
    assert len(core.book.store.labels) == 1


def test_a_double_click_neither_zooms_nor_labels_twice(begin, annotation, open_clip, viewer):
    clip = open_clip()
    core = begin()
    event = SimpleNamespace(
        type="mouse_double_click",
        modifiers=(),
        position=clip.data_to_world((0, 20, 30)),
    )

    def double_click():
        for callback in viewer.mouse_double_click_callbacks:
            callback(viewer, event)

    zoom = viewer.scene.camera.zoom
    mouse(annotation, viewer, clip.data_to_world((0, 20, 30)))
    double_click()
    assert viewer.scene.camera.zoom == zoom
    assert len(core.book.store.labels) == 1
    assert "double click" in annotation.message
    annotation.toggle("label_mode")
    viewer.layers.selection.active = clip
    double_click()
    assert viewer.scene.camera.zoom == 2 * zoom
    annotation.close()
    double_click()
    assert viewer.scene.camera.zoom == 4 * zoom


def test_a_point_is_dragged_without_going_on(begin, annotation, open_clip, session, viewer):
    clip = open_clip()
    core = begin()
    mouse(annotation, viewer, clip.data_to_world((0, 20, 30)))
    press(viewer, "Q")
    places = [clip.data_to_world((0, 20, 30)), *(clip.data_to_world((0, 22, x)) for x in (33, 35))]
    mouse(annotation, viewer, *places)
    assert points(annotation) == [(0, 35, 22, "own", "MANUAL")]
    assert session.frame() == 0
    press(viewer, "Ctrl+Z")
    assert points(annotation) == [(0, 30, 20, "own", "MANUAL")]
    assert core.item.frame == 0


def test_keys_do_what_the_table_says(begin, annotation, open_clip, session, viewer):
    open_clip()
    core = begin()
    annotation.do(lambda s: s.click(10, 10))
    press(viewer, "Q")
    for key in ("K", "U", "Shift+H", "Shift+J"):
        press(viewer, key)
    assert points(annotation) == [(0, 10.9, 9.1, "own", "MANUAL")]
    for key in ("Shift+K", "Shift+U", "H", "J"):
        press(viewer, key)
    assert points(annotation) == [(0, 10, 10, "own", "MANUAL")]
    press(viewer, "W")
    press(viewer, "W")
    press(viewer, "Shift+Q")
    assert points(annotation)[-1] == (10, 10, 10, "own", "MANUAL")
    press(viewer, "Shift+G")
    assert core.book.is_flagged(core.item)
    press(viewer, "Shift+N")
    assert len(points(annotation)) == 1
    press(viewer, "Ctrl+Z")
    press(viewer, "Ctrl+Z")
    assert not core.book.is_flagged(core.item)
    press(viewer, "Ctrl+Shift+Z")
    assert core.book.is_flagged(core.item)
    for message in ("", "", "This is the first frame of the queue."):
        press(viewer, "Q")
        assert annotation.message == message
    press(viewer, "Shift+W")
    assert session.frame() == 5
    press(viewer, "G")
    assert "nothing to accept" in annotation.message
    press(viewer, "Shift+O")
    assert annotation.others
    press(viewer, "0")
    assert not annotation.label_mode


def test_zooming_brings_the_last_label_near(begin, annotation, open_clip, viewer, scale):
    clip = open_clip(scale=scale)
    begin()
    press(viewer, "8")
    assert "no visible label" in annotation.message
    annotation.do(lambda s: s.click(30, 20))
    camera = viewer.scene.camera
    before = camera.zoom
    press(viewer, "8")
    assert camera.zoom > 3 * before
    assert camera.center[-2:] == pytest.approx(tuple(clip.data_to_world((0, 20, 30))[-2:]))


def test_the_slider_takes_the_labelling_with_it(begin, annotation, open_clip, session):
    open_clip()
    core = begin()
    session.go_to(7)
    assert core.item.frame == 7
    assert core.place.beside
    annotation.do(lambda s: s.click(10, 10))
    assert session.frame() == core.item.frame == 0  # back in the queue
    assert [label.frame for label in core.book.store.labels] == [7]


def test_a_queue_goes_from_clip_to_clip(begin, annotation, open_clip, session, viewer):
    a, b = open_clip("a.avi"), open_clip("b.avi", 10, height=60, width=80)
    core = begin()
    assert session.active is a
    for _ in range(4):
        annotation.do(lambda s: s.click(10, 10))
    assert session.active is b
    assert core.item.clip == "b.avi"
    assert points(annotation) == []
    assert viewer.layers.selection.active is annotation.label_layer
    annotation.do(lambda s: s.undo())
    assert session.active is a
    assert session.frame() == 15
    session.activate(b)  # a person goes to another clip
    assert core.item.clip == "b.avi"


def test_clips_of_a_folder_are_opened_as_the_queue_comes_to_them(
    begin, annotation, make_clip, session, viewer, tmp_path
):
    names = ["a.avi", "b.avi", "c.avi", "d.avi"]
    for i, name in enumerate(names):
        make_clip(name, n_frames=4 + i)
    core = begin()
    job = Queue(Plan(Every(10)), pending=tuple(names)).grow(9, Known(), tmp_path, lambda _: None)
    annotation.do(lambda s: s.place.set_queue(list(job)[-1].result))
    seen = []
    for _ in names:
        seen.append([clip.name for clip in session.clips()])
        annotation.do(lambda s: s.click(10, 10))
    assert seen == [["a.avi"], ["a.avi", "b.avi"], ["b.avi", "c.avi"], ["c.avi", "d.avi"]]
    assert [label.clip for label in core.book.store.labels] == names
    assert len(core.clips) == 2  # the others are closed
    for _ in range(3):
        press(viewer, "Q")
    assert session.active.name == "a.avi"  # opened again
    make_clip("b.avi", n_frames=9)
    for clip in session.clips():
        viewer.layers.remove(clip)
    press(viewer, "W")
    assert "b.avi: is not the file that was put into the queue" in annotation.message
    (tmp_path / "c.avi").unlink()
    press(viewer, "W")
    assert "c.avi: " in annotation.message
    assert "o such file" in annotation.message


def test_the_next_file_of_a_queue_is_opened_ahead(
    begin, annotation, make_clip, session, tmp_path, monkeypatch
):
    opened = []

    real = queued_clips.open_for_viewer
    monkeypatch.setattr(
        queued_clips,
        "open_for_viewer",
        lambda path: (opened.append((path.name, threading.current_thread().name)), real(path))[1],
    )
    names = ("a.avi", "b.avi", "c.avi")
    for i, name in enumerate(names):
        make_clip(name, n_frames=4 + i)
    begin()
    job = Queue(Plan(Every(10)), pending=names).grow(9, Known(), tmp_path, lambda _: None)
    annotation.do(lambda s: s.place.set_queue(list(job)[-1].result))
    assert annotation._ahead.wait(5)
    annotation.do(lambda s: s.click(10, 10))
    assert annotation._ahead.wait(5)
    assert session.active.name == "b.avi"
    assert opened == [("a.avi", "MainThread"), ("b.avi", "ahead"), ("c.avi", "ahead")]
    sources = list(annotation._files._ready.values())
    annotation.close()
    with pytest.raises(VideoError, match="closed"):
        sources[0].read(0)


def test_only_what_is_seen_is_labelled(begin, annotation, open_clip, session, viewer, tmp_path):
    """The queue is at a clip that was taken away and cannot be opened again."""
    a, b = open_clip("a.avi"), open_clip("b.avi", 10)
    core = begin()
    session.activate(b)
    viewer.layers.remove(a)
    (tmp_path / "a.avi").unlink()
    press(viewer, "W")
    assert "a.avi: " in annotation.message
    press(viewer, "N")
    assert "a.avi: is not open" in annotation.message
    assert core.book.store.labels == ()
    mouse(annotation, viewer, b.data_to_world((0, 20, 30)))
    assert [label.clip for label in core.book.store.labels] == ["b.avi"]


def test_reopening_goes_on_at_the_same_frame(begin, annotation, open_clip, session, path):
    open_clip()
    begin()
    annotation.do(lambda s: s.click(10, 10))
    annotation.do(lambda s: s.click(11, 10))
    annotation.close()
    assert annotation.label_layer is None
    assert [label.frame for label in read_labels(path)] == [0, 5]
    session.go_to(3)
    core = begin()
    assert session.frame() == core.item.frame == 10
    assert len(points(annotation)) == 2


def test_nothing_is_bound_when_nothing_is_open(begin, annotation, open_clip, viewer):
    before = list(viewer.mouse_drag_callbacks)
    open_clip()
    begin()
    assert viewer.mouse_drag_callbacks != before
    annotation.close()
    assert not viewer.keymap
    assert viewer.mouse_drag_callbacks == before
    annotation.do(lambda s: s.click(1, 1))
    assert annotation.message == "Open a label file first."


# ----- napari's own tools -------------------------------------------------------------------------


def test_napari_s_tools_label_too(begin, annotation, open_clip, session):
    open_clip()
    core = begin()
    layer = annotation.label_layer
    layer.add([[0, 20, 30]])
    assert points(annotation) == [(0, 30, 20, "own", "MANUAL")]
    layer.add([[3, 21, 31]])
    assert [(la.frame, la.x_px) for la in core.book.store.labels] == [(0, 30), (3, 31)]
    layer.events.data(value=layer.data, action="changed", data_indices=(0,), vertex_indices=((),))
    assert [(la.frame, la.x_px) for la in core.book.store.labels] == [(0, 30), (3, 31)]
    layer.selected_data = {1}
    layer.remove_selected()
    assert [label.frame for label in core.book.store.labels] == [0]
    annotation.do(lambda s: s.undo())
    assert [label.frame for label in core.book.store.labels] == [0, 3]


def test_others_points_stay_where_they_are(begin, annotation, open_clip, viewer):
    clip = open_clip()
    begin("bea")
    annotation.do(lambda s: s.click(30, 20))
    core = begin("ann")
    assert points(annotation) == []
    annotation.toggle("others")
    assert points(annotation) == [(0, 30, 20, "other", "MANUAL")]
    layer = annotation.label_layer
    assert texts(layer) == ["bea: manual"]
    place = clip.data_to_world((0, 20, 30))
    mouse(annotation, viewer, place, clip.data_to_world((0, 25, 40)))  # pans
    layer.selected_data = {0}
    layer.remove_selected()
    assert annotation.message == "that is a label of bea; it stays as it is"
    assert points(annotation) == [(0, 30, 20, "other", "MANUAL")]
    mouse(annotation, viewer, place)  # a click beside it is one's own label
    assert [la.annotator for la in core.book.store.labels] == ["bea", "ann"]
    blue = styles.rgba(styles.LABELS.other)
    assert layer.border_color[0] == pytest.approx(blue, abs=1e-3)


def test_marks_say_whose_they_are_and_how_they_came_about():
    marks = [
        Mark(0, 1, 2, Role.OWN, Origin.MANUAL, "ann", 1),
        Mark(0, 1, 2, Role.OWN, Origin.CORRECTED, "ann", 2),
        Mark(0, 1, 2, Role.OTHER, Origin.MANUAL, "bea", 2),
        Mark(0, 1, 2, Role.PROPOSED, Origin.PREDICTED, "model", None, 1.0),
        Mark(0, 1, 2, Role.PROPOSED, Origin.PREDICTED, "model"),
    ]
    assert [mark.text for mark in marks] == [
        "ann: manual",
        "ann: corrected",
        "bea 2: manual",
        "model: accept? 1.00",
        "model: accept?",
    ]
    lines = [text.count("\n") for text in label_layers.points_of(marks)[1]["features"]["text"]]
    assert lines == [4, 3, 2, 1, 0]  # no text over another
    colours = label_layers.colours_of(marks)
    assert len(np.unique(colours, axis=0)) == 5
    data, looks = label_layers.points_of(marks, 4)
    assert data[0].tolist() == [0, 0, 2, 1]
    assert list(looks["symbol"]) == ["square", "square", "square", "disc", "disc"]

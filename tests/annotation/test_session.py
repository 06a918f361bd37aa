from dataclasses import replace

import pytest

from napari_deepmtj.annotation.queue import Item
from napari_deepmtj.annotation.session import AnnotationSession
from napari_deepmtj.core.labels import Edit
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.table import read_labels, write_labels


def here(session):
    return session.item.clip, session.item.frame


def said(session):
    """Every label of the store as (clip, frame, x, y, origin)."""
    return [
        (la.clip, la.frame, la.x_px, la.y_px, la.origin.value) for la in session.book.store.labels
    ]


def test_a_click_labels_the_frame_and_goes_on(begin):
    session = begin()
    assert here(session) == ("a.avi", 0)
    session.click(3.25, 4.5)
    assert here(session) == ("a.avi", 10)
    session.click(5, 6)
    first, second = session.book.store.labels
    assert (first.x_px, first.y_px, first.frame, first.time_s) == (3.25, 4.5, 0, 0.0)
    assert (second.frame, second.time_s) == (10, pytest.approx(0.4))
    assert (second.annotator, second.round, second.origin) == ("ann", 1, Origin.MANUAL)
    session.advance = False
    session.click(1, 1)
    session.click(2, 2)
    assert here(session) == ("a.avi", 20)
    assert said(session)[-1] == ("a.avi", 20, 2, 2, "MANUAL")
    assert len(said(session)) == 3


def test_every_edit_and_the_place_are_on_disk_at_once(begin, tmp_path, open_store):
    session = begin()
    session.click(3, 4)
    session.not_visible()
    session.flag()
    later = AnnotationSession(open_store(take_over=True), "ann")  # as after a crash
    assert here(later) == ("a.avi", 20)
    assert later.label_of(Item(session.item.clip_sha256, "a.avi", 0)).x_px == 3
    assert not later.label_of(Item(session.item.clip_sha256, "a.avi", 10)).visible
    assert later.book.is_flagged(later.item)
    assert later.place.queue == session.place.queue


def test_labels_reach_the_file(begin, store, tmp_path):
    session = begin()
    session.click(3, 4)
    store.close()
    (label,) = read_labels(tmp_path / "clips.mtj-labels.csv")
    assert (label.clip, label.frame, label.x_px) == ("a.avi", 0, 3)


def test_the_end_of_the_queue_is_the_end(begin):
    session = begin()
    for _ in range(7):
        session.click(1, 1)
    assert here(session) == ("b.avi", 30)
    session.click(2, 2)
    assert here(session) == ("b.avi", 30)
    assert not session.place.next()
    assert len(said(session)) == 8
    assert session.place.previous()
    assert here(session) == ("b.avi", 20)


def test_skip_finds_the_next_frame_without_a_label(begin):
    session = begin()
    session.place.next()
    session.click(1, 1)
    session.place.move(0)
    assert session.place.skip()
    assert here(session) == ("a.avi", 20)
    session.place.move(7)
    assert not session.place.skip()
    assert here(session) == ("b.avi", 30)


def test_undo_and_redo_cross_frames_and_clips(begin):
    session = begin()
    session.place.move(3)
    session.click(1, 1)  # a 30
    session.click(2, 2)  # b 0
    session.flag()  # b 10
    session.not_visible()  # b 10
    after = said(session)
    assert session.undo()
    assert here(session) == ("b.avi", 10)
    assert len(said(session)) == 2
    assert session.undo()
    assert not session.book.is_flagged(session.item)
    assert session.undo()
    assert here(session) == ("b.avi", 0)
    assert session.undo()
    assert here(session) == ("a.avi", 30)
    assert said(session) == []
    assert not session.undo()
    for frame in (30, 0, 10, 10):
        assert session.redo()
        assert session.item.frame == frame
    assert not session.redo()
    assert said(session) == after
    assert session.book.is_flagged(session.item)
    session.undo()
    session.click(9, 9)
    assert not session.redo()  # a new edit ends what could be redone


def test_undo_of_a_move_gives_the_earlier_point_back(begin):
    session = begin()
    session.advance = False
    session.click(1, 2)
    first = session.label_of(session.item)
    session.click(5, 6)
    session.undo()
    assert session.label_of(session.item) == first


def test_undo_never_overwrites_what_another_program_changed(begin, store):
    session = begin()
    session.click(1, 1)
    session.click(2, 2)
    _, second = store.labels
    store.apply(Edit(second, replace(second, x_px=30.0)))
    session.book.refresh()
    with pytest.raises(LabelError, match=r"a\.avi, frame 10: was changed by another program"):
        session.undo()
    assert store.labels[-1].x_px == 30.0
    assert session.undo()  # the one before can still be undone
    assert [label.frame for label in store.labels] == [10]


def test_what_the_store_merged_by_itself_is_known(begin, store, monkeypatch):
    session = begin()
    session.click(1, 1)
    session.click(2, 2)
    store.compact()

    def elsewhere(x):
        first, *others = read_labels(store.path)
        write_labels(store.path, [replace(first, x_px=x), *others])

    elsewhere(30.0)
    store.compact()
    session.place.previous()
    session.place.previous()
    assert session.label_of(session.item).x_px == 30.0
    session.nudge(1, 0)
    assert [label.x_px for label in store.labels] == [31.0, 2.0]
    store.compact()
    elsewhere(40.0)
    monkeypatch.setattr("napari_deepmtj.labels.store.COMPACT_AFTER", 1)  # merges while it saves
    session.place.next()
    session.nudge(0, 1)
    session.place.previous()
    assert session.label_of(session.item).x_px == 40.0
    assert [label.y_px for label in store.labels] == [1.0, 3.0]


def test_what_could_not_be_saved_did_not_happen(begin, store, monkeypatch):
    session = begin()
    session.click(1, 1)

    def full(*edits):
        raise LabelError("the edit was not saved (No space left on device)")

    with monkeypatch.context() as patched:
        patched.setattr(store, "apply", full)
        for act in (lambda: session.click(2, 2), session.not_visible, session.flag, session.undo):
            with pytest.raises(LabelError, match="No space left"):
                act()
            assert here(session) == ("a.avi", 10)
            assert len(said(session)) == 1
    session.click(3, 3)
    assert here(session) == ("a.avi", 20)
    assert session.undo()
    assert session.undo()
    assert said(session) == []


def test_a_frame_beside_the_queue_is_labelled_and_the_place_kept(begin):
    session = begin()
    session.place.next()
    beside = replace(session.item, frame=13)
    session.place.visit(beside)
    assert session.place.beside
    assert session.place.following(2)[0].frame == 10
    session.click(4, 4)
    assert here(session) == ("a.avi", 10)
    assert said(session) == [("a.avi", 13, 4, 4, "MANUAL")]
    session.place.visit(beside)
    assert session.place.next()
    assert here(session) == ("a.avi", 10)
    session.place.visit(replace(session.item, frame=10))
    assert not session.place.beside
    assert session.place.following()[0].frame == 20
    session.undo()
    assert here(session) == ("a.avi", 13)


def test_without_a_queue_the_shown_frame_is_labelled(make_source, store):
    source = make_source()
    session = AnnotationSession(store, "ann")
    with pytest.raises(LabelError, match="no frame to label"):
        session.click(1, 1)
    session.clips[source.sha256] = source
    session.place.visit(Item(source.sha256, source.name, 7))
    session.click(1, 1)
    assert here(session) == ("a.avi", 7)
    assert session.place.batch.queue_total == 0
    assert not session.place.next()


def test_a_frame_is_put_into_the_queue_once(begin):
    session = begin()
    session.place.add(replace(session.item, frame=5))
    assert session.place.position == 1
    assert here(session) == ("a.avi", 5)
    session.place.move(0)
    session.place.add(replace(session.item, frame=20))
    assert session.place.position == 3
    assert len(session.place.queue) == 9


@pytest.mark.parametrize("point", [(-0.6, 5), (5, -0.6), (63.6, 5), (5, 31.6)])
def test_a_click_beside_the_picture_is_no_label(begin, point):
    session = begin()
    with pytest.raises(LabelError, match="frame 0: the point lies outside the picture"):
        session.click(*point)
    assert said(session) == []
    assert here(session) == ("a.avi", 0)
    session.click(-0.5, 31.5)


def test_a_clip_must_be_open_and_its_frames_counted(begin, monkeypatch):
    session = begin()
    source = session.clips.pop(session.item.clip_sha256)
    with pytest.raises(LabelError, match=r"a\.avi: is not open"):
        session.click(1, 1)
    session.clips[source.sha256] = source
    monkeypatch.setattr(type(source), "complete", False)
    with pytest.raises(LabelError, match=r"a\.avi: its frames are still being counted"):
        session.click(1, 1)
    monkeypatch.undo()
    session.place.visit(replace(session.item, frame=40))
    with pytest.raises(LabelError, match="frame 40: there is no such frame; the clip has 40"):
        session.click(1, 1)
    assert said(session) == []


def test_nudges_move_by_what_is_said(begin):
    session = begin()
    with pytest.raises(LabelError, match="no point to nudge"):
        session.nudge(1, 0)
    session.advance = False
    session.click(3, 4)
    session.nudge(1, 0)
    session.nudge(0, -0.1)
    label = session.label_of(session.item)
    assert (label.x_px, label.y_px) == (4, pytest.approx(3.9))
    assert here(session) == ("a.avi", 0)
    session.undo()
    assert session.label_of(session.item).y_px == 4
    session.not_visible()
    with pytest.raises(LabelError, match="no point to nudge"):
        session.nudge(1, 0, (5, 6))  # a person said that there is none
    session.delete()
    session.nudge(1, 0, (5, 6))
    label = session.label_of(session.item)
    assert (label.x_px, label.y_px) == (5, 6)


def test_the_frame_before_is_copied_with_its_visibility(begin):
    session = begin()
    with pytest.raises(LabelError, match="no frame before it"):
        session.copy_previous()
    session.click(3, 4)
    session.place.next()
    session.copy_previous()
    assert said(session)[-1] == ("a.avi", 20, 3, 4, "MANUAL")
    session.not_visible()
    session.copy_previous()
    assert said(session)[-1] == ("a.avi", 30, None, None, "MANUAL")
    session.place.next()
    with pytest.raises(LabelError, match="no frame before it"):
        session.copy_previous()  # another clip


def test_a_label_is_deleted_and_given_back(begin):
    session = begin()
    with pytest.raises(LabelError, match="no label to delete"):
        session.delete()
    session.advance = False
    session.click(1, 1)
    session.delete()
    assert said(session) == []
    session.undo()
    assert len(said(session)) == 1


def test_the_last_label_is_where_to_zoom(begin):
    session = begin()
    assert session.last_label is None
    session.click(1, 1)
    session.not_visible()
    assert session.last_label.frame == 0
    session.place.next()
    session.click(2, 2)
    session.undo()
    assert session.last_label.frame == 0  # that of frame 30 was taken back
    session.place.move(5)
    assert session.last_label is None  # another clip


def test_progress_counts_batches_of_the_queue(begin):
    session = begin()
    session.place.set_queue(
        replace(
            session.place.queue, plan=replace(session.place.queue.plan, batch=3), pending=("c",)
        )
    )
    session.click(1, 1)
    session.place.move(4)
    session.click(1, 1)
    batch = session.place.batch
    assert (batch.number, batch.of, batch.done, batch.total) == (2, 3, 1, 3)
    assert (batch.queue_done, batch.queue_total, batch.growing) == (2, 8, True)
    assert session.place.running_out
    session.place.move(0)
    assert not session.place.running_out

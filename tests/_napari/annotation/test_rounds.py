"""Label files that others change, and rounds over them."""

from dataclasses import replace

import pytest
from annotating_by_hand import points, press

from napari_deepmtj._napari.annotation import label_file
from napari_deepmtj._napari.annotation.label_file import pause
from napari_deepmtj.annotation.rounds import Mode
from napari_deepmtj.labels.store import LabelStore
from napari_deepmtj.labels.table import read_labels, write_labels


def test_a_file_that_is_edited_elsewhere_is_asked_about(begin, annotation, open_clip, path):
    open_clip()
    other = LabelStore.open(path)
    assert begin() is None
    assert "process" in annotation.question.text
    assert [text for text, _ in annotation.question.answers] == ["Take over", "Leave it"]
    annotation.answer("Leave it")
    assert annotation.question is None
    assert annotation.core is None
    begin()
    annotation.answer("Take over")
    annotation.do(lambda s: s.click(10, 10))
    assert len(annotation.core.book.store.labels) == 1
    with pytest.raises(label_file.LabelLocked):
        other.close()


def test_who_is_taken_over_is_told_and_saves_nothing(begin, annotation, open_clip, path):
    open_clip()
    core = begin()
    with LabelStore.open(path, take_over=True):
        annotation.do(lambda s: s.click(10, 10))
        assert "taken over" in annotation.message
        assert core.book.store.labels == ()
    annotation.close()


def test_changes_from_outside_are_merged_or_asked_about(begin, annotation, open_clip, path):
    open_clip()
    core = begin()
    annotation.do(lambda s: s.click(10, 10))
    pause(annotation)
    (label,) = read_labels(path)
    other = replace(label, frame=5, annotator="bea")
    write_labels(path, [label, other])
    pause(annotation)
    assert "1 added; merged" in annotation.message
    annotation.toggle("others")
    assert len(points(annotation)) == 2
    # the same label changed here and outside
    moved = replace(label, x_px=40.0, y_px=20.0)
    annotation.do(lambda s: s.place.previous())
    annotation.do(lambda s: s.nudge(1, 0))
    write_labels(path, [moved, other])
    pause(annotation)
    assert "1 in conflict" in annotation.question.text
    pause(annotation)  # asks once
    annotation.answer("Take theirs")
    assert core.book.get(core.item, "ann", 1).x_px == 40.0
    assert points(annotation)[0][1] == 40.0


def test_a_full_disk_is_told_and_nothing_moves_on(
    begin, annotation, open_clip, session, monkeypatch
):
    open_clip()
    core = begin()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(core.book.store._journal, "append", full)
    annotation.do(lambda s: s.click(10, 10))
    assert "No space left on device" in annotation.message
    assert session.frame() == 0
    assert points(annotation) == []
    monkeypatch.undo()
    annotation.do(lambda s: s.click(10, 10))
    assert annotation.message == ""
    assert session.frame() == 5


def test_a_review_proposes_earlier_labels(begin, annotation, open_clip, viewer):
    open_clip()
    begin()
    for x in (10, 11, 12, 13):
        annotation.do(lambda s, x=x: s.click(x, 10))
    core = begin("ann", 2, Mode.REVIEW, ("ann", 1))
    assert points(annotation)[0] == (0, 10, 10, "proposed", "MANUAL")
    press(viewer, "G")
    assert points(annotation)[0] == (0, 10, 10, "own", "MANUAL")
    assert core.item.frame == 5


def test_a_blinded_round_shows_its_own_labels_only(begin, annotation, tracked, viewer):
    begin()
    annotation.do(lambda s: s.click(10, 10))
    annotation.do(lambda s: s.click(10, 10))
    begin("ann", 2, Mode.BLINDED, ("ann", 1))
    annotation.toggle("others")
    annotation.toggle("predictions")
    assert points(annotation) == []
    annotation.do(lambda s: s.click(20, 10))
    assert len(points(annotation)) == 1


def test_adjudicating_shows_everybody_and_accepts_the_first(begin, annotation, open_clip, viewer):
    open_clip()
    for who, x in (("ann", 10), ("bea", 20)):
        begin(who)
        annotation.do(lambda s, x=x: s.click(x, 10))
    core = begin("cal", mode=Mode.ADJUDICATE)
    assert [role for *_, role, _ in points(annotation)] == ["other", "other"]
    press(viewer, "G")
    assert [la.x_px for la in core.book.store.labels if la.annotator == "consensus"] == [10]


@pytest.mark.parametrize(("annotator", "complaint"), [("", "name"), ("consensus", "another name")])
def test_a_round_that_cannot_begin_leaves_the_file_free(
    begin, annotation, open_clip, path, annotator, complaint
):
    open_clip()
    assert begin(annotator) is None
    assert complaint in annotation.message
    LabelStore.open(path).close()

from dataclasses import replace

import pytest

from napari_deepmtj.annotation.rounds import Mode
from napari_deepmtj.annotation.session import AnnotationSession
from napari_deepmtj.core.labels import CONSENSUS, StateEdit
from napari_deepmtj.errors import LabelError


def here(session):
    return session.item.clip, session.item.frame


@pytest.mark.parametrize("name", ["", "  ", CONSENSUS])
def test_somebody_must_be_named(store, name):
    with pytest.raises(LabelError, match="name"):
        AnnotationSession(store, name)


def test_a_round_is_gone_on_with_as_it_was_begun(begin, store):
    begin("ann", 1).click(1, 1)
    begin("bea", 2, Mode.REVIEW, ("ann", 1)).accept()
    with pytest.raises(LabelError, match="begun as review of ann, round 1"):
        AnnotationSession(store, "bea", 2)
    with pytest.raises(LabelError, match="begun as review of ann, round 1"):
        AnnotationSession(store, "bea", 2, Mode.REVIEW, ("ann", 3))
    with pytest.raises(LabelError, match="begun as label; go on"):
        AnnotationSession(store, "ann", 1, Mode.BLINDED, ("bea", 2))
    with pytest.raises(LabelError, match="of itself; begin round 3"):
        AnnotationSession(store, "ann", 2, Mode.REVIEW, ("ann", 2))
    with pytest.raises(LabelError, match="whose labels"):
        AnnotationSession(store, "ann", 2, Mode.REVIEW)
    with pytest.raises(LabelError, match="round 0"):
        AnnotationSession(store, "ann", 0)
    with pytest.raises(LabelError, match="no frames by itself"):
        AnnotationSession(store, "ann", 1).begin_again()


def test_a_state_that_somebody_broke_is_no_crash(begin, store):
    broken = {"flag/x": 1, "flag/a b/3": 1, "position/ann/1": "three", "round/ann/2": 5}
    store.apply(*(StateEdit(name, None, value) for name, value in broken.items()))
    session = begin()
    assert here(session) == ("a.avi", 0)
    assert session.known.flagged == {("a b", 3)}
    again = begin(round_=2)  # without a label it can be begun anew
    again.click(1, 1)
    store.apply(StateEdit("round/ann/2", store.state["round/ann/2"], {"mode": "party"}))
    with pytest.raises(LabelError, match="round 2 of ann was begun as nobody knows what"):
        begin(round_=2)


def test_a_round_without_a_label_may_be_begun_as_another(begin, store, make_source):
    sources = [make_source("a.avi")]
    first = begin("ann", 1, sources=sources)
    first.click(1, 1)
    first.click(1, 1)
    mistaken = begin("ann", 2, sources=sources)
    mistaken.place.next()
    meant = begin("ann", 2, Mode.BLINDED, ("ann", 1), sources=sources, seed=3)
    assert len(meant.place.queue) == 2
    assert meant.place.position == 0
    assert begin("ann", 2, Mode.BLINDED, ("ann", 1), sources=sources, seed=8).seed == 3


def test_annotators_of_one_file_each_have_their_own_place(begin, store):
    session = begin("ann")
    session.click(1, 1)
    other = begin("bea")
    assert here(other) == ("a.avi", 0)
    other.click(2, 2)
    other.click(2, 2)
    assert here(AnnotationSession(store, "ann")) == ("a.avi", 10)
    assert here(AnnotationSession(store, "bea")) == ("a.avi", 20)


@pytest.fixture
def labelled(begin, make_source):
    """Round 1 of ann: all eight frames of two clips, x = 1..8, the last one not visible."""
    sources = [make_source("b.avi"), make_source("a.avi")]
    session = begin(sources=sources)
    for x in range(1, 8):
        session.click(x, 2)
    session.not_visible()
    return sources


def test_a_review_shows_each_label_to_accept_or_move(begin, labelled):
    review = begin("ann", 2, Mode.REVIEW, ("ann", 1), sources=labelled)
    assert [(i.clip, i.frame) for i in review.place.queue.items][3:5] == [
        ("a.avi", 30),
        ("b.avi", 0),
    ]
    assert review.proposal_of(review.item).by == "ann"
    review.accept()
    review.click(20, 20)
    review.place.move(3)
    assert not review.proposal_of(review.item).visible
    review.accept()
    made = [la for la in review.book.store.labels if la.round == 2]
    assert [(la.frame, la.x_px, la.origin) for la in made] == [
        (0, 5, "MANUAL"),
        (10, 20, "MANUAL"),
        (30, None, "MANUAL"),
    ]
    assert sum(la.round == 1 for la in review.book.store.labels) == 8  # nothing of it is lost


def test_a_blinded_round_shows_nothing_in_a_new_order(begin, labelled, predict):
    blinded = begin("ann", 2, Mode.BLINDED, ("ann", 1), sources=labelled, seed=5)
    for source in labelled:
        blinded.predict(predict(source))
    order = [item.key for item in blinded.place.queue.items]
    first = [(la.clip_sha256, la.frame) for la in blinded.book.store.labels]
    assert sorted(order) == sorted(first)
    assert order != first
    assert order != sorted(order)
    for item in blinded.place.queue.items:
        assert blinded.label_of(item) is None
        assert blinded.others_of(item) == ()
        assert blinded.proposal_of(item) is None
    assert blinded.last_label is None
    blinded.click(3, 3)
    assert blinded.label_of(blinded.place.queue.items[0]).round == 2
    other = begin("bea", 2, Mode.BLINDED, ("ann", 1), sources=labelled, seed=6)
    assert [item.key for item in other.place.queue.items] != order
    again = AnnotationSession(blinded.book.store, "ann", 2, Mode.BLINDED, ("ann", 1), seed=99)
    assert again.seed == 5


def test_others_are_seen_where_nothing_is_hidden(begin, labelled):
    session = begin("bea", sources=labelled)
    (other,) = session.others_of(session.item)
    assert (other.annotator, other.x_px) == ("ann", 1)
    session.click(9, 9)
    session.place.previous()
    assert session.others_of(session.item) == (other,)
    assert [la.annotator for la in session.book.of_clip(other.clip_sha256)][:2] == ["ann", "bea"]


def test_a_review_takes_up_what_was_labelled_since(begin, labelled):
    review = begin("ann", 2, Mode.REVIEW, ("ann", 1), sources=labelled)
    review.place.move(5)
    first = begin("ann", sources=labelled)
    first.place.visit(replace(first.item, frame=1))
    first.click(1, 1)
    again = begin("ann", 2, Mode.REVIEW, ("ann", 1), sources=labelled)
    assert again.place.position == 5
    assert len(again.place.queue) == 8
    again.begin_again()
    assert len(again.place.queue) == 9


def test_nothing_to_review_is_told(begin, labelled):
    for mode in (Mode.REVIEW, Mode.BLINDED):
        with pytest.raises(LabelError, match="no label of nobody, round 1"):
            begin("bea", 2, mode, ("nobody", 1), sources=labelled)
    with pytest.raises(LabelError, match="nothing to settle"):
        begin("ann", mode=Mode.ADJUDICATE, sources=labelled)
    assert begin("bea", 2, sources=labelled).place.batch.queue_total == 8  # nothing was begun


def test_what_differs_is_settled(begin, labelled, store):
    other = begin("bea", sources=labelled)
    for x in (3, 4, 5):
        other.click(x, 4)
    other.not_visible()
    judge = begin("cal", mode=Mode.ADJUDICATE, sources=labelled)
    frames = [(item.clip, item.frame) for item in judge.place.queue.items]
    assert frames == [("b.avi", frame) for frame in (0, 10, 20, 30)]
    assert [choice.annotator for choice in judge.choices] == ["ann", "bea"]
    judge.settle(judge.choices[1])
    judge.settle_by_mean()
    judge.click(40, 9)
    with pytest.raises(LabelError, match="not visible; accept one"):
        judge.settle_by_mean()
    judge.settle(judge.choices[1])
    made = [la for la in store.labels if la.annotator == CONSENSUS]
    assert [(la.frame, la.x_px, la.y_px) for la in made] == [
        (0, 3, 4),
        (10, 3, 3),
        (20, 40, 9),
        (30, None, None),
    ]
    notes = [store.state[f"consensus/{la.clip_sha256}/{la.frame}"] for la in made]
    assert [note["how"] for note in notes] == ["bea, round 1", "mean", "placed", "bea, round 1"]
    assert {note["by"] for note in notes} == {"cal"}
    judge.undo()
    assert f"consensus/{made[-1].clip_sha256}/30" not in store.state
    with pytest.raises(LabelError, match="of its own frame"):
        judge.settle(made[0])
    with pytest.raises(LabelError, match="begin to adjudicate"):
        other.settle_by_mean()

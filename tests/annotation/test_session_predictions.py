"""Predictions that are accepted, changed, or not there."""

from dataclasses import replace

import pytest

from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError


def said(session):
    """Every label of the store as (clip, frame, x, y, origin)."""
    return [
        (la.clip, la.frame, la.x_px, la.y_px, la.origin.value) for la in session.book.store.labels
    ]


@pytest.fixture
def predicted(begin, make_source, predict):
    source = make_source()
    session = begin(sources=[source])
    session.predict(predict(source))
    session.place.next()
    return session


def test_an_accepted_prediction_is_predicted(predicted):
    assert predicted.proposal_of(predicted.item).confidence == 0.5
    predicted.accept()
    assert said(predicted) == [("a.avi", 10, 10, 7, "PREDICTED")]
    assert predicted.item.frame == 20


@pytest.mark.parametrize(
    "act",
    [
        lambda s: s.click(20.5, 7.5),
        lambda s: s.move(20.5, 7.5),
        lambda s: s.nudge(0.1, 0),
        lambda s: s.not_visible(),
    ],
)
def test_a_changed_prediction_is_corrected(predicted, act):
    act(predicted)
    ((*_, origin),) = said(predicted)
    assert origin == "CORRECTED"


def test_an_accepted_prediction_that_is_moved_later_is_corrected(predicted):
    predicted.advance = False
    predicted.accept()
    predicted.nudge(1, 0)
    assert said(predicted) == [("a.avi", 10, 11, 7, "CORRECTED")]
    predicted.accept()
    assert said(predicted) == [("a.avi", 10, 10, 7, "PREDICTED")]


def test_a_prediction_of_nothing_in_view_is_accepted_as_that(predicted):
    predicted.place.visit(replace(predicted.item, frame=3))
    predicted.accept()
    assert said(predicted) == [("a.avi", 3, None, None, "PREDICTED")]


def test_rows_that_a_person_made_keep_that_when_accepted(begin, make_source, predict):
    source = make_source()
    session = begin(sources=[source])
    trajectory = predict(source).corrected(0, (5, 5), Origin.MANUAL).corrected(10, (6, 6))
    session.predict(trajectory)
    session.accept()
    session.accept()
    assert [origin for *_, origin in said(session)] == ["MANUAL", "CORRECTED"]
    session.undo()
    session.undo()
    session.click(1, 1)
    assert said(session) == [("a.avi", 0, 1, 1, "MANUAL")]


def test_without_a_proposal_there_is_nothing_to_accept(begin):
    with pytest.raises(LabelError, match="nothing to accept"):
        begin().accept()

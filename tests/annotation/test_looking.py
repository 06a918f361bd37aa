"""What a view asks of the room besides a session: marks, contrast, frames read ahead."""

import threading

import numpy as np
import pytest

from napari_deepmtj.annotation.contrast import KEPT, ContrastSource, local_contrast
from napari_deepmtj.annotation.marks import Role, marks_of
from napari_deepmtj.annotation.prefetch import Ahead
from napari_deepmtj.annotation.proposals import saved_prediction
from napari_deepmtj.annotation.queue import runs_of
from napari_deepmtj.annotation.rounds import Mode
from napari_deepmtj.errors import ResultError, VideoError
from napari_deepmtj.results.trajectory_file import write_trajectory
from napari_deepmtj.video.opening import open_video


@pytest.fixture
def ahead():
    made = Ahead()
    yield made
    made.stop()


def test_frames_are_read_ahead_in_a_thread(ahead):
    read = []
    ahead.want([lambda n=n: read.append((n, threading.current_thread().name)) for n in (5, 6)])
    assert ahead.wait(5)
    assert read == [(5, "ahead"), (6, "ahead")]


def test_what_is_wanted_no_more_is_not_read(ahead):
    read, go, begun = [], threading.Event(), threading.Event()

    def slow():
        begun.set()
        go.wait(5)
        read.append("slow")

    ahead.want([slow, lambda: read.append("old")])
    assert begun.wait(5)
    ahead.want([lambda: read.append("new")])
    assert not ahead.wait(0.05)
    go.set()
    assert ahead.wait(5)
    assert read == ["slow", "new"]


def test_a_frame_that_cannot_be_read_does_not_end_the_thread(ahead):
    read = []

    def damaged():
        raise VideoError("is damaged")

    ahead.want([damaged, lambda: read.append("next")])
    assert ahead.wait(5)
    assert read == ["next"]


def test_stopping_ends_the_thread():
    ahead = Ahead()
    ahead.want([lambda: None])
    ahead.stop()
    assert "ahead" not in [thread.name for thread in threading.enumerate()]
    ahead.want([lambda: None])
    assert "ahead" not in [thread.name for thread in threading.enumerate()]


def test_local_contrast_lifts_what_is_dark_and_alters_nothing(make_source):
    picture = np.zeros((256, 512), np.uint8)
    picture[:, :256] = 10 + np.arange(256) % 32 // 3  # faint stripes beside bright noise
    picture[:, 256:] = np.random.default_rng(0).integers(100, 255, (256, 256))
    before = picture.copy()
    better = local_contrast(picture)
    np.testing.assert_array_equal(picture, before)
    assert better.dtype == np.uint8
    assert int(np.ptp(better[:, 32:224])) > 2 * int(np.ptp(picture[:, 32:224]))
    flat = np.full((20, 20), 7, np.uint8)
    np.testing.assert_array_equal(local_contrast(flat), flat)


def test_a_clip_with_contrast_is_the_clip_frame_by_frame(make_source, monkeypatch):
    source = make_source()
    better = ContrastSource(source)
    assert (better.n_frames, better.height, better.width) == (40, 32, 64)
    for frame in (7, 3, 7):
        np.testing.assert_array_equal(better.read(frame), local_contrast(source.read(frame)))
    for frame in range(KEPT + 5):
        better.read(frame)
    reads = []
    monkeypatch.setattr(source, "read", lambda frame: reads.append(frame))
    better.read(KEPT + 4)
    assert reads == []
    assert len(better._made) == KEPT


def test_marks_are_own_labels_proposals_of_the_queue_and_others(begin, make_source, predict):
    source = make_source()
    other = begin("bea", sources=[source])
    for x in (50, 51, 52):
        other.click(x, 5)
    session = begin("ann", sources=[source])
    session.click(3, 4)
    session.not_visible()
    session.predict(predict(source))

    def marks(**more):
        found = marks_of(session, source.sha256, **{"others": True, **more})
        return [(m.frame, m.x_px, m.role, m.who) for m in found]

    assert marks() == [
        (0, 50, Role.OTHER, "bea"),
        (0, 3, Role.OWN, "ann"),
        (10, 51, Role.OTHER, "bea"),  # her point where ann says "not visible"
        (20, 52, Role.OTHER, "bea"),
        (20, 20, Role.PROPOSED, "model"),
        (30, 30, Role.PROPOSED, "model"),
    ]
    assert [role for *_, role, _ in marks(others=False)] == [Role.OWN, *[Role.PROPOSED] * 2]
    session.place.visit(session.item.__class__(source.sha256, source.name, 5))
    assert (5, 5, Role.PROPOSED, "model") in marks()
    session.propose = False
    assert marks(others=False) == [(0, 3, Role.OWN, "ann")]
    assert marks_of(session, "another clip", others=True) == []


def test_a_blinded_round_has_no_marks_but_its_own(begin, make_source, predict):
    source = make_source()
    for x in (1, 2, 3, 4):
        begin("ann", sources=[source]).click(x, 5)
    blinded = begin("ann", 2, Mode.BLINDED, ("ann", 1), sources=[source])
    blinded.predict(predict(source))
    assert marks_of(blinded, source.sha256, others=True) == []
    blinded.click(9, 9)
    assert [mark.round for mark in marks_of(blinded, source.sha256, others=True)] == [2]


def test_a_saved_prediction_counts_for_its_own_content_only(make_file, predict, tmp_path):
    path = make_file("a.npy")
    with open_video(path) as source:
        assert saved_prediction(source) is None
        trajectory = predict(source)
        write_trajectory(trajectory, tmp_path / "a.mtj.csv")
        assert len(saved_prediction(source)) == 40
    make_file("a.npy", n_frames=30)
    with open_video(path) as source:
        assert saved_prediction(source) is None
        (tmp_path / "a.mtj.csv").write_text("frame\nx\n")
        with pytest.raises(ResultError):
            saved_prediction(source)


@pytest.mark.parametrize(
    ("frames", "runs"),
    [
        ([], []),
        ([7], [range(7, 8)]),
        ([5, 15, 25, 35], [range(5, 36, 10)]),
        ([9, 3, 4, 5, 4], [range(3, 6), range(9, 10)]),
        ([0, 1, 3, 5, 8], [range(0, 2), range(3, 6, 2), range(8, 9)]),
    ],
)
def test_frames_are_put_into_few_ranges(frames, runs):
    found = runs_of(frames)
    assert found == runs
    assert sorted(frame for run in found for frame in run) == sorted(set(frames))


def test_what_is_reviewed_is_shown_once(begin, make_source):
    source = make_source()
    begin("ann", sources=[source]).click(3, 4)
    begin("cal", sources=[source]).click(5, 6)
    review = begin("bea", 2, Mode.REVIEW, ("ann", 1), sources=[source])

    def roles():
        found = marks_of(review, source.sha256, others=True)
        return [(mark.role, mark.who) for mark in found]

    assert roles() == [(Role.OTHER, "cal"), (Role.PROPOSED, "ann")]
    review.accept()
    assert roles() == [(Role.OTHER, "ann"), (Role.OTHER, "cal"), (Role.OWN, "bea")]

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_deepmtj.annotation import queue as queue_module
from napari_deepmtj.annotation.queue import Filter, Item, Known, Plan, Queue, relative
from napari_deepmtj.annotation.rounds import Tolerance
from napari_deepmtj.annotation.selection import ByHand, Evenly, Every, LowestConfidence
from napari_deepmtj.core.jobs import Done, Notice, Progress
from napari_deepmtj.core.labels import CONSENSUS, Label
from napari_deepmtj.errors import LabelError, VideoError
from napari_deepmtj.video.folders import find_clips
from napari_deepmtj.video.opening import open_video


def grow(queue, n, root, opened=(), known=None, prediction=None):
    """Run the job; return the queue, the notices and the last progress."""
    events = list(queue.grow(n, known or Known(), root, lambda source: prediction, opened))
    assert isinstance(events[-1], Done)
    notices = [event.message for event in events if isinstance(event, Notice)]
    progress = [event for event in events if isinstance(event, Progress)]
    return events[-1].result, notices, progress


def frames_of(queue):
    return [(item.clip, item.frame) for item in queue.items]


def test_open_clips_are_all_used_and_stay_open(make_source, tmp_path):
    a, b = make_source("a.avi"), make_source("b.avi", n_frames=20)
    queue, notices, progress = grow(Queue(Plan(Evenly(2))), 1, tmp_path, [a, b])
    assert frames_of(queue) == [("a.avi", 10), ("a.avi", 30), ("b.avi", 5), ("b.avi", 15)]
    assert queue.items[0] == Item(a.sha256, "a.avi", 10)
    assert not notices
    assert progress[-1] == Progress(1, 1)
    assert a.read(0).any()
    again, notices, _ = grow(queue, 5, tmp_path, [a])
    assert again == queue
    assert "in the queue already" in notices[0]


def test_a_folder_is_opened_file_by_file_only_as_needed(make_file, tmp_path, monkeypatch):
    names = ["a.npy", "b.npy", "c.npy", "sub/d.npy"]
    for i, name in enumerate(names):
        make_file(name, n_frames=20 + i)
    clips = find_clips(tmp_path)
    assert [relative(path, tmp_path) for path in clips] == names
    opened = []

    def spy(path):
        opened.append(open_video(path))
        return opened[-1]

    monkeypatch.setattr(queue_module, "open_video", spy)
    start = Queue(Plan(Evenly(10)), pending=tuple(names))
    queue, _, _ = grow(start, 15, tmp_path)
    assert [source.name for source in opened] == ["a.npy", "b.npy"]
    for source in opened:
        with pytest.raises(VideoError, match="closed"):
            source.read(0)
    assert len(queue) == 20
    assert queue.pending == ("c.npy", "sub/d.npy")
    more, _, progress = grow(queue, 100, tmp_path)
    assert more.items[:20] == queue.items
    assert len(more) == 40
    assert not more.pending
    assert progress[-1] == Progress(20, 100)
    assert more.files[more.items[-1].clip_sha256] == "sub/d.npy"


def test_a_file_that_cannot_be_used_is_told_and_left_out(make_file, tmp_path):
    make_file("a.npy")
    (tmp_path / "bad.avi").write_bytes(b"RIFF\0\0\0\0AVI " + bytes(200))
    start = Queue(Plan(Every(20)), pending=("bad.avi", "gone.avi", "a.npy"))
    queue, notices, _ = grow(start, 10, tmp_path)
    assert frames_of(queue) == [("a.npy", 0), ("a.npy", 20)]
    assert notices[0].startswith("Left out: bad.avi: ")
    assert notices[1].startswith("Left out: gone.avi: there is no such file")


def test_one_clip_under_two_names_is_queued_once(make_file, tmp_path):
    path = make_file("a.npy")
    (tmp_path / "b.npy").write_bytes(path.read_bytes())
    queue, notices, _ = grow(Queue(pending=("a.npy", "b.npy")), 100, tmp_path)
    assert {item.clip for item in queue.items} == {"a.npy"}
    assert notices == ["b.npy is in the queue already; it is not added again"]


def test_a_prediction_decides_the_order(make_source, predict, tmp_path):
    source = make_source()
    plan = Plan(LowestConfidence(3))
    prediction = predict(source, np.linspace(0.9, 0.1, 40))
    queue, _, _ = grow(Queue(plan), 1, tmp_path, [source], prediction=prediction)
    assert [item.frame for item in queue.items] == [39, 38, 37]
    queue, notices, _ = grow(Queue(plan), 1, tmp_path, [source])
    assert not queue.items
    assert "there is no prediction" in notices[0]


@pytest.fixture
def known(make_source, label_of, scale):
    """Frame 1 is mine, 2 another's, 3 agreed to 1 px, 4 apart by 6 px, 5 seen by one only."""
    source = make_source(scale=scale)
    labels = [
        label_of(source, 1),
        label_of(source, 2, annotator="bea"),
        *(label_of(source, 3, x, annotator=who) for who, x in (("ann", 10), ("bea", 11))),
        *(label_of(source, 4, x, annotator=who) for who, x in (("ann", 10), ("bea", 16))),
        *(label_of(source, 5, x, x, annotator=who) for who, x in (("ann", 10), ("bea", None))),
    ]
    return source, Known(labels, frozenset({(source.sha256, 9), ("other", 3)}), "ann", 1)


def chosen(known, filter_, **more):
    source, what = known
    plan = Plan(Every(1), filter_, **more)
    return what.candidates(source, plan).tolist()


def test_filters_leave_what_they_say(known):
    assert chosen(known, Filter.ANY) == list(range(40))
    assert chosen(known, Filter.LABELLED) == [1, 3, 4, 5]
    assert chosen(known, Filter.UNLABELLED) == [0, 2, *range(6, 40)]
    assert chosen(known, Filter.FLAGGED) == [9]


def test_disagreement_has_a_tolerance_in_px_or_mm(known, label_of):
    assert chosen(known, Filter.DISAGREEING, tolerance=Tolerance(2, "px")) == [4, 5]
    assert chosen(known, Filter.DISAGREEING, tolerance=Tolerance(6, "px")) == [5]
    assert chosen(known, Filter.DISAGREEING, tolerance=Tolerance(0.1, "mm")) == [3, 4, 5]
    assert chosen(known, Filter.DISAGREEING, tolerance=Tolerance(1.0, "mm")) == [4, 5]
    source, what = known
    settled = replace(what, labels=[*what.labels, label_of(source, 5, annotator=CONSENSUS)])
    assert chosen((source, settled), Filter.DISAGREEING) == []
    later = label_of(source, 5, 10, annotator="bea", round_=2)  # bea changed her mind
    assert chosen((source, replace(what, labels=[*what.labels, later])), Filter.DISAGREEING) == []
    source.scale = None
    with pytest.raises(LabelError, match=r"a\.avi: a tolerance in mm needs the clip's scale"):
        chosen(known, Filter.DISAGREEING, tolerance=Tolerance(1.0, "mm"))


def test_files_without_labels_are_not_opened_to_look_for_some(make_file, tmp_path, monkeypatch):
    for name in ("a.npy", "b.npy"):
        make_file(name)
    with open_video(tmp_path / "b.npy") as source:
        label = Label(
            clip=source.name,
            clip_sha256=source.sha256,
            frame=4,
            x_px=1.0,
            y_px=1.0,
            annotator="ann",
        )
    names = []

    def spy(path):
        names.append(path.name)
        return open_video(path)

    monkeypatch.setattr(queue_module, "open_video", spy)
    start = Queue(Plan(Every(1), Filter.LABELLED), pending=("a.npy", "b.npy"))
    queue, _, _ = grow(start, 9, tmp_path, known=Known([label], annotator="ann"))
    assert names == ["b.npy"]
    assert frames_of(queue) == [("b.npy", 4)]


def test_frames_of_a_provisional_clip_are_chosen_when_it_is_complete(
    make_source, tmp_path, monkeypatch
):
    source, waiting = make_source(), []
    kind = type(source)
    monkeypatch.setattr(kind, "complete", property(lambda self: bool(waiting)))
    monkeypatch.setattr(kind, "when_complete", lambda self, call: (waiting.append(1), call()))
    events = list(Queue(Plan(Evenly(2))).grow(1, Known(), tmp_path, lambda _: None, [source]))
    assert isinstance(events[0], Notice)
    assert "when all frames are listed" in events[0].message
    assert waiting
    assert len(events[-1].result) == 2


def test_batches_cut_the_queue(make_source, tmp_path):
    queue, _, _ = grow(Queue(Plan(Every(1), batch=15)), 1, tmp_path, [make_source()])
    assert queue.batches == 3
    assert queue.batch_at(0) == range(15)
    assert queue.batch_at(15) == range(15, 30)
    assert queue.batch_at(39) == range(30, 40)
    assert Queue().batches == 0
    assert list(Queue().batch_at(0)) == []
    with pytest.raises(LabelError, match="batch of 0"):
        Plan(batch=0)


def test_a_queue_survives_being_stored(make_source, make_file, tmp_path):
    plan = Plan(ByHand((7, 3)), Filter.UNLABELLED, 50, Tolerance(1.5, "mm"))
    make_file("b.npy")
    start = Queue(plan, pending=("b.npy", "c.npy"))
    queue, _, _ = grow(start, 3, tmp_path, [make_source("a.avi")])
    queue = queue.with_item(1, replace(queue.items[-1], frame=9))
    assert frames_of(queue) == [
        ("a.avi", 7),
        ("b.npy", 9),
        ("a.avi", 3),
        ("b.npy", 7),
        ("b.npy", 3),
    ]
    stored = json.loads(json.dumps(queue.to_json()))
    assert Queue.from_json(stored) == queue
    assert Queue.from_json(json.loads(json.dumps(Queue().to_json()))) == Queue()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": 9}, "schema 9"),
        ({"items": [[3, [1]]]}, "malformed"),
        ({"items": 5}, "malformed"),
        ({"filter": "nice"}, "malformed"),
        ({"strategy": {"name": "best"}}, "no way to choose"),
        ({"batch": None}, "malformed"),
    ],
)
def test_a_stored_queue_that_is_malformed_is_refused(change, complaint):
    with pytest.raises(LabelError, match=complaint):
        Queue.from_json(Queue().to_json() | change)

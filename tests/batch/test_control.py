"""Pausing, and what is said of the time left."""

import threading
from contextlib import closing

import pytest

from napari_deepmtj.batch import control as control_module
from napari_deepmtj.batch.control import Control, Pace, in_words
from napari_deepmtj.batch.plan import Options, make_plan
from napari_deepmtj.batch.run import ClipDone, ClipProgress, Paused, run
from napari_deepmtj.batch.study import entries_of_files
from napari_deepmtj.core.jobs import Done, Progress


@pytest.fixture
def plan(make_clip, tmp_path, models):
    clips = [make_clip(f"{i}.avi", n_frames=40) for i in range(3)]
    out = tmp_path / "out"
    options = Options(out=out, model="tiny", roi="full", device="cpu", batch=4, report=False)
    return make_plan(entries_of_files(clips), options)


def test_a_pause_takes_effect_between_frames_and_ends(plan):
    control = Control()
    seen = []
    for event in run(plan, control):
        seen.append(event)
        if isinstance(event, ClipProgress) and Paused() not in seen:
            control.pause()
        if isinstance(event, Paused) and seen.count(Paused()) == 3:
            threading.Timer(0.05, control.resume).start()
    assert isinstance(seen[-1], Done)
    assert sum(isinstance(e, ClipDone) for e in seen) == 3
    first = seen.index(Paused())
    assert [e.done for e in seen[:first] if isinstance(e, ClipProgress)] == [2]
    assert seen[first : first + 3] == [Paused()] * 3  # and nothing else meanwhile


def test_a_batch_that_is_held_up_can_be_cancelled(plan):
    control = Control()
    with closing(run(plan, control)) as job:
        for event in job:
            if isinstance(event, ClipProgress):
                control.pause()
            if isinstance(event, Paused):
                break
    control.resume()
    assert isinstance([*run(plan, control)][-1], Done)


def test_progress_counts_clips_and_says_how_long(plan):
    told = [event for event in run(plan) if isinstance(event, Progress) and event.note != "tables"]
    assert next((p.done, p.total) for p in told) == (0, 3)
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert (told[-1].done, told[-1].note) == (3, "about 1 s left")


def test_pace_leaves_out_pauses(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(control_module.time, "monotonic", lambda: now[0])
    pace = Pace()
    assert pace.left(0, 10) is None
    now[0] += 8
    pace.hold(6)
    assert pace.left(1, 10) == pytest.approx(18)
    assert pace.left(12, 10) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.2, "about 1 s left"),
        (89, "about 89 s left"),
        (600, "about 10 min left"),
        (9000, "about 2.5 h left"),
    ],
)
def test_times_are_said_as_a_person_does(seconds, text):
    assert in_words(seconds) == text

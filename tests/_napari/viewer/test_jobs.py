import itertools
import threading
import time

import numpy as np
import pytest

from napari_deepmtj._napari.viewer.jobs import INTERVAL, Job, in_batches
from napari_deepmtj.core.jobs import Done, Failed, Progress
from napari_deepmtj.errors import VideoError


def events(n, end=None, closed=None):
    try:
        for i in range(n):
            yield Progress(i, n)
        if isinstance(end, Exception):
            raise end
        if end is not None:
            yield end
    finally:
        if closed is not None:
            closed.append(True)


def never():
    return False


def always():
    return True


def test_events_come_when_they_are_wanted_none_lost_none_doubled():
    answers = itertools.cycle([True, False, False, True, False])
    groups = list(in_batches(events(1000, Done(1)), threading.Event(), lambda: next(answers)))
    flat = [event for group in groups for event in group]
    assert [e.done for e in flat[:-1]] == list(range(1000))
    assert flat[-1] == Done(1)
    assert [len(g) for g in groups[:5]] == [1, 3, 2, 3, 2]


def test_what_is_not_wanted_comes_at_the_end():
    groups = list(in_batches(events(50, Done(1)), threading.Event(), never))
    assert [len(g) for g in groups] == [51]


@pytest.mark.gui
def test_a_slow_consumer_gets_fewer_groups_not_a_queue(qtbot):
    """While the main thread is busy with one group the worker makes no other."""
    got, started, ended = [], [], []

    def slowly(group):
        started.append(time.monotonic())
        got.append(len(group))
        time.sleep(0.2)

    def quickly():
        for i in range(300):
            time.sleep(0.002)
            yield Progress(i, 300)
        yield Done(1)

    job = Job(quickly, slowly, lambda: ended.append(True), "test")
    job.start()
    qtbot.waitUntil(lambda: bool(ended), timeout=20_000)
    assert sum(got) == 301
    assert len(got) >= 2
    waits = np.diff(started)[:-1]  # the last group is delivered at once
    assert (waits >= 0.2 + INTERVAL).all()


@pytest.mark.parametrize("error", [VideoError("torn", path="a.avi", frame=3), ValueError("odd")])
def test_a_failure_is_the_last_event_and_not_raised(error, caplog):
    groups = list(in_batches(events(2, error), threading.Event(), never))
    last = groups[-1][-1]
    assert isinstance(last, Failed)
    if isinstance(error, VideoError):
        assert last.error is error
    else:
        assert "unexpected ValueError: odd" in str(last.error)
        assert last.error.__cause__ is error
        assert "Traceback" in caplog.text


def test_cancelling_delivers_what_was_found_and_closes_the_job():
    cancelled, closed = threading.Event(), []
    groups = in_batches(events(10**9, closed=closed), cancelled, always)
    got = [*next(groups), *next(groups)]
    cancelled.set()
    got += [event for group in groups for event in group]
    assert [e.done for e in got] == [0, 1, 2]
    assert closed == [True]


def test_closing_the_worker_closes_the_job():
    closed = []
    groups = in_batches(events(10, closed=closed), threading.Event(), always)
    next(groups)
    groups.close()
    assert closed == [True]

import threading

import pytest

from napari_deepmtj._napari.jobs import in_batches
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


def test_events_come_grouped_none_lost_none_doubled():
    job = events(1000, Done("result"))
    groups = list(in_batches(job, threading.Event(), interval=0.005))
    flat = [event for group in groups for event in group]
    assert [e.done for e in flat[:-1]] == list(range(1000))
    assert flat[-1] == Done("result")
    assert len(groups[0]) == 1  # the first event at once
    assert len(groups) < 100


def test_with_a_long_interval_the_rest_comes_at_the_end():
    groups = list(in_batches(events(50, Done(1)), threading.Event(), interval=60))
    assert [len(g) for g in groups] == [1, 50]


@pytest.mark.parametrize("error", [VideoError("torn", path="a.avi", frame=3), ValueError("odd")])
def test_a_failure_is_the_last_event_and_not_raised(error, caplog):
    groups = list(in_batches(events(2, error), threading.Event(), interval=60))
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
    groups = in_batches(events(10**9, closed=closed), cancelled, interval=0)
    got = [*next(groups), *next(groups)]
    cancelled.set()
    got += [event for group in groups for event in group]
    assert [e.done for e in got] == [0, 1, 2]
    assert closed == [True]


def test_closing_the_worker_closes_the_job():
    closed = []
    groups = in_batches(events(10, closed=closed), threading.Event(), interval=0)
    next(groups)
    groups.close()
    assert closed == [True]

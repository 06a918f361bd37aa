"""A clip whose frames take long to list is waited for, with a bar, and is then as any other."""

from __future__ import annotations

import threading
import time
from functools import partial

import numpy as np
import pytest

from napari_deepmtj.cli import _jobs
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.ffmpeg import background as _indexing
from napari_deepmtj.video.ffmpeg import packets as _index
from napari_deepmtj.video.ffmpeg import source as _av
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.writer import VideoWriter


@pytest.fixture
def clip(tmp_path, monkeypatch):
    """A clip of 20 frames, each of which takes a while to list."""
    path = tmp_path / "long.avi"
    with VideoWriter(path, 16, 32, 25) as writer:
        for level in range(20):
            writer.add(np.full((16, 32), 10 * level, np.uint8))
    real = _indexing.Indexing.scanned
    slow = lambda *a: (time.sleep(0.05), real(*a))  # noqa: E731
    monkeypatch.setattr(_av, "SHORT_PATIENCE", 0.0)
    monkeypatch.setattr(_index, "_PACE", 1)
    monkeypatch.setattr(_indexing.Indexing, "scanned", slow)
    return path


class Bar:
    """Stands for a bar on the terminal."""

    def __init__(self):
        self.done = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.done.append("closed")

    def add_task(self, text, total):
        assert (text, total) == ("long.avi: list frames (%)", 100)
        return 0

    def update(self, task, completed):
        self.done.append(completed)


def test_a_bar_until_all_frames_are_listed(clip, monkeypatch):
    bar = Bar()
    monkeypatch.setattr(_jobs, "progress_bar", lambda: bar)
    with _jobs.open_clip(clip) as source:
        assert source.complete
        assert source.n_frames == 20
    *shown, last, closed = bar.done
    assert any(0 < done < 100 for done in shown)
    assert shown == sorted(shown)
    assert (last, closed) == (100, "closed")


def test_an_interrupt_ends_the_listing(clip, monkeypatch):
    class Interrupted(Bar):
        def update(self, task, completed):
            raise KeyboardInterrupt

    monkeypatch.setattr(_jobs, "progress_bar", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        _jobs.open_clip(clip)
    assert not [t for t in threading.enumerate() if t.name.startswith("index ")]


def test_a_file_that_is_none_is_told_at_once(tmp_path):
    with pytest.raises(VideoError, match="no such file"):
        _jobs.open_clip(tmp_path / "gone.avi")


def test_an_evaluation_waits_for_its_clips(clip, monkeypatch):
    from napari_deepmtj.core.jobs import Notice, Progress
    from napari_deepmtj.core.labels import Label
    from napari_deepmtj.evaluation import runner
    from napari_deepmtj.evaluation.cases import Case

    class ReachedError(Exception):
        pass

    class Method:
        name = "a method"

        def find(self, source, *_, **__):
            assert source.complete
            raise ReachedError
            yield

    label = Label(clip="long.avi", clip_sha256="ab", frame=0, x_px=1, y_px=1, annotator="Ann")
    case = Case("long.avi", (label,), "subject", partial(open_video, clip, background=True))
    events = runner.evaluate([case], [Method()])
    assert next(events) == Notice("long.avi: work begins when all frames are listed.")
    seen = []
    with pytest.raises(ReachedError):
        seen.extend(iter(events.__next__, None))
    progress = [event for event in seen if isinstance(event, Progress)]
    assert progress
    assert all(event.total >= 20 for event in progress)

"""Dask workers in this process: what they do is what processes of their own would.

That these may be killed is held by `benchmarks/batch_scaling.py` and `batch_soak.py`.
"""

import logging
import sys
import threading
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from napari_deepmtj.batch import worker as worker_module
from napari_deepmtj.batch.control import Control
from napari_deepmtj.batch.ledger import NAME, Ledger, Line
from napari_deepmtj.batch.plan import Options, make_plan
from napari_deepmtj.batch.run import (
    ClipBegan,
    ClipDone,
    ClipFailed,
    ClipKept,
    ClipProgress,
    Paused,
    run,
)
from napari_deepmtj.batch.study import entries_of_files, entry_of_source
from napari_deepmtj.batch.worker import Job, track_job
from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.video.stacks.stack import ArraySource

distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster


@pytest.fixture
def options(tmp_path, cluster):
    return Options(
        out=tmp_path / "out",
        model="tiny",
        roi="full",
        device="cpu",
        report=False,
        scheduler=cluster.scheduler_address,
    )


@pytest.fixture
def clips(make_clip):
    return [make_clip(name) for name in ("S1/mvc_1.avi", "S1/rom 2.avi", "S2/mvc_ä.avi")]


def events_of(plan, control=None):
    events = list(run(plan, control))
    assert isinstance(events[-1], Done), events[-1]
    return events


def test_workers_give_what_this_process_gives(clips, options, tmp_path):
    entries = entries_of_files(clips)
    events = events_of(make_plan(entries, options))
    assert {e.task.clip for e in events if isinstance(e, ClipBegan)} == set(clips)
    assert {e.task.clip for e in events if isinstance(e, ClipDone)} == set(clips)
    here = replace(options, scheduler="", out=tmp_path / "here")
    events_of(make_plan(entries, here))
    for name in ("frames.csv", "clips.csv"):
        # up to rounding: either found out by itself how many pictures at a time are fastest
        there, ours = (pd.read_csv(out / name) for out in (options.out, here.out))
        pd.testing.assert_frame_equal(there, ours, rtol=1e-4, atol=1e-3)
    lines = [Ledger.of(out).line("S1/rom 2.mtj.csv") for out in (options.out, here.out)]
    assert lines[0].key == lines[1].key
    # and either goes on where the other was
    again = events_of(make_plan(entries, replace(options, scheduler="")))
    assert again[-1].result.kept == 3


def test_what_is_done_is_kept_and_what_fails_stops_no_other(clips, options, tmp_path):
    entries = entries_of_files([*clips, tmp_path / "clips" / "gone.avi"])
    events = events_of(make_plan(entries, options))
    (failed,) = [event for event in events if isinstance(event, ClipFailed)]
    assert "no such file" in failed.reason
    clips[0].touch()
    events = events_of(make_plan(entries, options))
    assert [event.task.clip for event in events if isinstance(event, ClipKept)] == [clips[0]]
    result = events[-1].result
    assert (result.done, result.kept, result.failed) == (0, 3, 1)


def test_open_clips_are_tracked_in_this_process_meanwhile(clips, options):
    source = ArraySource(np.full((4, 32, 64), 90, np.uint8), "layer")
    events = events_of(make_plan([entry_of_source(source), *entries_of_files(clips)], options))
    assert events[-1].result.done == 4
    assert list(pd.read_csv(options.out / "clips.csv")["status"]) == ["done"] * 4


def test_clips_that_nobody_has_begun_wait_while_it_is_held_up(clips, options):
    control = Control()
    control.pause()
    seen = []
    for event in run(make_plan(entries_of_files(clips), options), control):
        seen.append(event)
        if seen.count(Paused()) == 3 and control.paused:
            assert not any(isinstance(e, ClipBegan | ClipDone) for e in seen)
            threading.Timer(0.05, control.resume).start()
    assert seen[-1].result.done == 3


def test_the_clips_of_a_dead_worker_go_to_another(make_clip, options, cluster, monkeypatch):
    clips = [make_clip(f"{n}.avi", n_frames=10) for n in range(6)]
    whole, lost = worker_module.track_job, []

    def dies(job, tell, wanted):
        worker = distributed.get_worker()
        if not lost:
            lost.append(worker.address)
            # Gone for the scheduler while its thread is still at it: nobody hears what it does.
            worker.loop.add_callback(worker.batched_stream.abort)
            worker.loop.add_callback(worker.close, executor_wait=False, nanny=False)
            threading.Event().wait(0.5)
        return whole(job, tell, wanted)

    monkeypatch.setattr(worker_module, "track_job", dies)
    events = events_of(make_plan(entries_of_files(clips), options))
    assert len(lost) == 1
    assert events[-1].result.done == 6
    assert (options.out / NAME).read_text().count("\n") == 6


def test_a_worker_tells_how_far_it_is_and_stops_when_nobody_waits(clips, options, monkeypatch):
    monkeypatch.setattr(worker_module, "TOLD_EVERY_S", 0.0)
    (task,) = make_plan(entries_of_files(clips[:1]), options).tasks
    told = []
    job = Job(task, None, "cpu", 2, "topic")
    outcome = track_job(job, lambda done, total: told.append((done, total)), lambda: True)
    assert told[0][0] == 0
    assert told[-1] == (6, 6)
    assert outcome.facts["frames"] == 6
    task.result.unlink()
    outcome = track_job(job, lambda done, total: None, lambda: False)
    assert (outcome.failed, task.result.exists()) == ("given up", False)


def test_a_worker_of_another_version_ends_the_batch(clips, options, monkeypatch):
    monkeypatch.setattr(worker_module, "__version__", "0.0")
    *_, last = run(make_plan(entries_of_files(clips), options))
    assert isinstance(last, Failed)
    assert "has napari-deepmtj 0.0" in str(last.error)


def test_a_result_that_is_not_to_be_seen_here_is_no_result(clips, options, monkeypatch):
    def elsewhere(job, tell, wanted):
        line = Line(result=job.task.name, clip="")
        sha256 = "not of this clip"
        key = worker_module_key(job, sha256)
        return worker_module.Outcome(replace(line, sha256=sha256, key=key), facts={"frames": 1})

    from napari_deepmtj.batch.plan import key_of, weights_sha256

    def worker_module_key(job, sha256):
        return key_of(job.task, sha256, weights_sha256(job.task.model))

    monkeypatch.setattr(worker_module, "track_job", elsewhere)
    events = events_of(make_plan(entries_of_files(clips[:1]), options))
    (failed,) = [event for event in events if isinstance(event, ClipFailed)]
    assert "share the output folder" in failed.reason


def test_no_scheduler_is_told(clips, options, monkeypatch):
    from napari_deepmtj.batch import cluster as cluster_module

    monkeypatch.setattr(cluster_module, "ANSWER_S", 0.5)
    plan = make_plan(entries_of_files(clips), replace(options, scheduler="tcp://127.0.0.1:9"))
    *_, last = run(plan)
    assert isinstance(last, Failed)
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in str(last.error)


def test_without_the_extra_it_is_named(clips, options, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    *_, last = run(make_plan(entries_of_files(clips), options))
    assert isinstance(last, Failed)
    assert 'needs the extra "cluster"' in str(last.error)


def test_progress_of_clips_is_heard(make_clip, options, monkeypatch):
    monkeypatch.setattr(worker_module, "TOLD_EVERY_S", 0.0)
    clip = make_clip("long.avi", n_frames=60)
    events = events_of(make_plan(entries_of_files([clip]), options))
    heard = [event for event in events if isinstance(event, ClipProgress)]
    assert heard
    assert all(0 < event.done <= event.total == 60 for event in heard)

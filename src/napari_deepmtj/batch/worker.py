"""One clip of a batch on a Dask worker; it writes the result, and never the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from napari_deepmtj.batch.check import open_task, said_of
from napari_deepmtj.batch.ledger import Line
from napari_deepmtj.batch.plan import Task, weights_sha256
from napari_deepmtj.batch.progress_log import Models, ends_all
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.pipeline.clip import track_clip
from napari_deepmtj.version import __version__

#: Seconds between two words about a clip's progress.
TOLD_EVERY_S = 1.0

#: A process tracks one clip at a time, whatever its number of threads: it has one network.
_TURN = threading.Lock()


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is given.

    Parameters
    ----------
    task : Task
        The clip, its paths absolute.
    old : Line or None
        Its line in the ledger.
    device, batch
        As `plan.Options` has them.
    topic : str
        Under which it is told how far it is.
    version : str
        Of the program that gives it.
    """

    task: Task
    old: Line | None
    device: str
    batch: int
    topic: str
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a worker gives back.

    Parameters
    ----------
    line : Line
        What it found out about the clip.
    same : bool
        Whether the result that was there is valid.
    facts : mapping
        Of the result, if one was written.
    notices : tuple of str
        What was told.
    failed : str
        Why there is no result; "" if there is one.
    ends_all : bool
        Whether the clips that follow would fail for the same reason.
    """

    line: Line
    same: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    failed: str = ""
    ends_all: bool = False


def work(job: Job) -> Outcome:
    """Track a clip, and say what came of it; runs on the worker."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    name = job.task.name
    if job.version != __version__:
        line = Line(result=name, clip=job.task.clip.as_posix())
        reason = (
            f"the worker on {worker.address} has napari-deepmtj {__version__}, not {job.version}; "
            "install one version everywhere"
        )
        return Outcome(line, failed=reason, ends_all=True)

    def tell(done: int, total: int) -> None:
        worker.log_event(job.topic, {"name": name, "done": done, "total": total})

    def wanted() -> bool:
        state = worker.state.tasks.get(key)
        return state is not None and state.state != "cancelled"

    with _TURN:
        return track_job(job, tell, wanted)


def track_job(job: Job, tell: Callable[[int, int], None], wanted: Callable[[], bool]) -> Outcome:
    """Track a clip.

    Parameters
    ----------
    job : Job
        The clip.
    tell : callable
        Is told frames done and in all, first with 0, then about every second.
    wanted : callable
        Whether anybody still waits for it; when not, it is given up between frames.
    """
    tell(0, job.task.request.frames.stop or 1)
    opened = open_task(job.task, job.old, _weights)
    line, source = opened.line, opened.source
    if source is None:
        return Outcome(line, failed=str(opened.error))
    notices: list[str] = []
    told = time.monotonic()
    error: DeepMTJError
    try:
        if opened.same:
            return Outcome(line, same=True)
        model, runner = _models(job.device, job.task.backend, job.batch)[job.task.model]
        with closing(track_clip(source, job.task.request, model, runner)) as events:
            for event in events:
                match event:
                    case Notice(message):
                        notices.append(message)
                    case Progress(done, total):
                        if not wanted():
                            return Outcome(line, failed="given up")
                        if time.monotonic() - told > TOLD_EVERY_S:
                            told = time.monotonic()
                            tell(done, total)
                    case Failed(error):
                        return Outcome(
                            line,
                            failed=str(error),
                            notices=tuple(notices),
                            ends_all=ends_all(error),
                        )
                    case Done(written):
                        return Outcome(line, facts=written.facts(), notices=tuple(notices))
        error = DeepMTJError("ended without a result; please report")
    except Exception as unexpected:  # a bug, or memory: one clip's fate is not that of the others
        error = said_of(unexpected)
    finally:
        opened.close()
    return Outcome(line, failed=str(error), notices=tuple(notices))


@cache
def _models(device: str, backend: str, batch: int) -> Models:
    return Models(device, backend, batch)


@cache
def _weights(model: str) -> str:
    return weights_sha256(model)

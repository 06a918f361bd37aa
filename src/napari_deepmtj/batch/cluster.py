"""A batch on Dask workers: they take clips by path and write results, this process the ledger.

What a worker does is `worker`; clips without a file are tracked here meanwhile. Which worker gets
which clip, and that those of a dead one go to others, is Dask's business.
"""

from __future__ import annotations

import logging
import os
import queue
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deepmtj.batch.check import said_of
from napari_deepmtj.batch.control import Control, Pace
from napari_deepmtj.batch.events import BatchEvent, ClipBegan, ClipProgress, Paused, Waiting
from napari_deepmtj.batch.ledger import Line
from napari_deepmtj.batch.local import HELD_S, Local
from napari_deepmtj.batch.plan import Options, Task, key_of
from napari_deepmtj.batch.progress_log import Books
from napari_deepmtj.batch.worker import Job, Outcome, work
from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.core.paths import led_by
from napari_deepmtj.errors import DeepMTJError, DeviceError, MissingExtraError
from napari_deepmtj.weights.store import resolve_model

if TYPE_CHECKING:
    from distributed import Client, Future

#: Stands for workers on this machine, in the place of a scheduler's address.
LOCAL = "local"

#: Seconds that a scheduler has to answer, and between two looks at what there is to do.
ANSWER_S, LOOK_S = 20, 0.2


@contextmanager
def connected(options: Options) -> Iterator[Client]:
    """Give a client of the scheduler that is asked for, or of workers on this machine.

    Raises
    ------
    MissingExtraError
        If Dask's distributed is not installed.
    DeviceError
        If no scheduler answers, or no worker can be started.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError("a batch on several workers", "cluster") from error
    with ExitStack() as stack:
        try:
            where: Any = options.scheduler
            if where in ("", LOCAL):
                where = stack.enter_context(_on_this_machine(options.workers))
            client = stack.enter_context(Client(where, timeout=ANSWER_S, set_as_default=False))
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise DeviceError(
                f"no Dask scheduler answers at {options.scheduler or 'this machine'} "
                f"({type(error).__name__}: {error}); start one, or check its address"
            ) from error
        yield client


def _on_this_machine(workers: int) -> Any:
    """Return processes of this machine, `workers` of them, or, that being 1, one a core."""
    from distributed import LocalCluster

    cores = os.cpu_count() or 1
    n = workers if workers > 1 else cores
    return LocalCluster(
        n_workers=n,
        threads_per_worker=1,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
        env={"OMP_NUM_THREADS": str(max(1, cores // n))},
    )


@dataclass
class _Away:
    """A clip that is with the scheduler."""

    task: Task
    future: Future[Outcome]
    pace: Pace = field(default_factory=Pace)
    began: bool = False


class Cluster:
    """Has clips tracked by workers.

    Parameters
    ----------
    books : Books
        Of the run.
    control : Control
        Says when to pause.
    client : distributed.Client
        Of the scheduler.
    """

    def __init__(self, books: Books, control: Control, client: Client) -> None:
        self._books, self._control, self._client = books, control, client
        self._topic = f"napari-deepmtj-{uuid.uuid4().hex}"
        self._inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        self._away: dict[str, _Away] = {}
        self._model: Callable[[str], str] = cache(_absolute_model)

    def work(self, todo: list[Task]) -> Generator[BatchEvent]:
        """Have the clips tracked; those without a file are, meanwhile, by this process."""
        waiting = [task for task in todo if task.entry.source is None]
        here = [task for task in todo if task.entry.source is not None]
        self._client.subscribe_topic(self._topic, lambda event: self._inbox.put(event[1]))
        if waiting and not self._client.nthreads():
            yield Notice("the scheduler has no worker yet; the batch waits for one")
        with ExitStack() as stack:
            stack.callback(self._give_up)
            local: Generator[BatchEvent] | None = None
            if here:
                local = stack.enter_context(closing(Local(self._books, self._control).work(here)))
            while waiting or self._away or local is not None:
                if self._control.paused:
                    waiting = self._withdrawn() + waiting
                    if local is None:
                        yield Paused()
                        self._control.wait(HELD_S)
                else:
                    self._submit(waiting)
                    waiting = []
                yield from self._news(0 if local is not None or self._control.paused else LOOK_S)
                if local is not None:
                    event = next(local, None)
                    if event is None:
                        local = None
                    else:
                        yield event

    def _submit(self, tasks: list[Task]) -> None:
        """Give clips to the scheduler."""
        options = self._books.plan.options
        for task in tasks:
            clip = Path(os.path.abspath(task.clip))  # noqa: PTH100 - keeps links
            entry = replace(task.entry, clip=clip)
            job = Job(
                replace(task, entry=entry, model=self._model(task.model)),
                self._books.ledger.line(task.name),
                options.device,
                options.batch,
                self._topic,
            )
            future = self._client.submit(work, job, key=f"{self._topic}/{uuid.uuid4().hex}")
            self._away[task.name] = _Away(task, future)
            name, key = task.name, future.key
            future.add_done_callback(
                lambda _, n=name, k=key: self._inbox.put({"name": n, "key": k})
            )

    def _withdrawn(self) -> list[Task]:
        """Take back the clips that no worker has begun, and return them."""
        back = [clip for clip in self._away.values() if not clip.began and not clip.future.done()]
        if back:
            self._client.cancel([clip.future for clip in back])
        for clip in back:
            del self._away[clip.task.name]
        return [clip.task for clip in back]

    def _news(self, wait: float) -> Iterator[BatchEvent]:
        """Pass on what has been heard of clips, having waited for the first word if asked to."""
        while True:
            try:
                said = self._inbox.get(timeout=wait) if wait else self._inbox.get_nowait()
            except queue.Empty:
                if wait:
                    yield Waiting()
                return
            wait = 0
            clip = self._away.get(said["name"])
            if clip is None:
                continue  # withdrawn
            if "key" not in said:
                yield from self._progress(clip, said["done"], said["total"])
            elif clip.future.key == said["key"]:
                del self._away[clip.task.name]
                yield from self._ended(clip)

    def _progress(self, clip: _Away, done: int, total: int) -> Iterator[BatchEvent]:
        if done == 0:
            clip.pace = Pace()  # of its first worker, or, that one being dead, of the next
            if not clip.began:
                yield ClipBegan(clip.task)
            clip.began = True
        else:
            yield ClipProgress(clip.task, done, total, clip.pace.left(done, total))

    def _ended(self, clip: _Away) -> Iterator[BatchEvent]:
        """Commit what a worker says of a clip."""
        task, future = clip.task, clip.future
        if future.status in ("cancelled", "lost"):
            raise DeviceError(
                "the Dask scheduler is gone; start it and run the batch again: it goes on where it "
                "stopped"
            )
        outcome = self._outcome(task, future)
        line = replace(outcome.line, clip=task.clip.as_posix())
        yield from (Notice(led_by(task.shown, text)) for text in outcome.notices)
        if outcome.ends_all:
            raise DeepMTJError(outcome.failed)
        if outcome.failed:
            yield self._books.write_failed(task, line, outcome.failed)
        elif outcome.same:
            yield self._books.write_kept(task, line)
        elif line.key != key_of(task, line.sha256, self._books.weights(task.model)):
            yield self._books.write_failed(
                task,
                line,
                "the worker that tracked it has other weights of this name, or another side-car; "
                "share one folder of models, and the clips' folder",
            )
        elif not task.is_there:
            yield self._books.write_failed(
                task,
                line,
                "the worker that tracked it wrote to a folder that is not this one; share the "
                "output folder under the same path on all machines",
            )
        else:
            yield self._books.write_done(task, line, outcome.facts, list(outcome.notices))

    def _outcome(self, task: Task, future: Future[Outcome]) -> Outcome:
        """Return what a worker says, or why none could."""
        from distributed.scheduler import KilledWorker

        error = future.exception()
        if error is None:
            return future.result()
        if isinstance(error, KilledWorker):
            reason = (
                f"{error.allowed_failures + 1} workers died over it, perhaps for want of memory; "
                "look at their logs, and run the batch again"
            )
        else:
            reason = str(said_of(error))
        return Outcome(Line(result=task.name, clip=task.clip.as_posix()), failed=reason)

    def _give_up(self) -> None:
        """Let the workers drop what they have."""
        if self._away and self._client.status == "running":
            self._client.cancel([clip.future for clip in self._away.values()])
        if self._client.status == "running":
            self._client.unsubscribe_topic(self._topic)


def _absolute_model(model: str) -> str:
    """Return a model's id, or its file by a path that means the same in another folder."""
    file = resolve_model(model)
    return str(file.absolute()) if Path(model) == file else model

"""The batch job: clips are opened ahead and decoded side by side, for one network in memory.

What becomes of one clip is `clip`; when it counts as finished says `ledger`. A clip that fails
never stops the others; only a folder that cannot be written to does.
"""

from __future__ import annotations

import errno
import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

from napari_deepmtj.batch.clip import Written, track_clip
from napari_deepmtj.batch.ledger import Ledger, Line, only_here
from napari_deepmtj.batch.plan import Plan, Task, is_done, key_of, known_sha256, weights_sha256
from napari_deepmtj.batch.tables import Tables, write_tables
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.inference.device import Runner, resolve_device
from napari_deepmtj.inference.prefetch import prefetch
from napari_deepmtj.io.video import open_video
from napari_deepmtj.weights.store import load_model

if TYPE_CHECKING:
    from napari_deepmtj.io.video import VideoSource
    from napari_deepmtj.weights.store import Model

logger = logging.getLogger(__name__)

#: What the system says when no more can be written.
_FULL = (errno.ENOSPC, errno.EDQUOT)

#: Clips that are opened, and their contents hashed, before their turn.
OPENED_AHEAD = 2


@dataclass(frozen=True, slots=True)
class ClipBegan:
    """Decoding of a clip has begun."""

    task: Task


@dataclass(frozen=True, slots=True)
class ClipProgress:
    """How far one clip is, in frames."""

    task: Task
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ClipDone:
    """A clip's result is on disk and in the ledger."""

    task: Task
    line: Line


@dataclass(frozen=True, slots=True)
class ClipKept:
    """A clip that seemed to have changed, by its date or as a folder, has not."""

    task: Task


@dataclass(frozen=True, slots=True)
class ClipFailed:
    """A clip has no result; the reason is in the ledger."""

    task: Task
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a batch.

    Parameters
    ----------
    plan : Plan
        The batch.
    tables : Tables
        What all clips come to.
    done, kept, failed : int
        Clips tracked now, clips that were done already, and clips without a result.
    seconds : float
        Wall time.
    """

    plan: Plan
    tables: Tables
    done: int
    kept: int
    failed: int
    seconds: float


BatchEvent = (
    Progress
    | Notice
    | ClipBegan
    | ClipProgress
    | ClipDone
    | ClipKept
    | ClipFailed
    | Done[Finished]
    | Failed
)


def run(plan: Plan) -> Generator[BatchEvent]:
    """Track every clip of a plan that has no valid result yet.

    Closing the job leaves what is finished; running the plan again does the rest.

    Yields
    ------
    Progress
        In clips, kept ones included; first and after each. Its note says how long the rest takes.
    Notice, ClipBegan, ClipProgress, ClipDone, ClipKept, ClipFailed
        As they come, the clips under way by turns.
    Done of Finished, or Failed
        Last; Failed only if nothing can be written, or a model or device is not there.
    """
    began = time.monotonic()
    try:
        with only_here(plan.options.out):
            batch = _Batch(plan)
            for task in plan.tasks:
                batch.weights(task.model)  # a model that is not there is told now
            todo = [task for task in plan.tasks if not batch.is_done(task)]
            kept = len(plan.tasks) - len(todo)
            yield Progress(kept, len(plan.tasks), "clip")
            for event in batch.work(todo):
                yield event
                if isinstance(event, ClipDone | ClipKept | ClipFailed):
                    ended = batch.done + batch.kept + batch.failed
                    left = (len(todo) - ended) * (time.monotonic() - began) / ended
                    yield Progress(kept + ended, len(plan.tasks), "clip", _duration(left))
            tables = yield from write_tables(plan)
            seconds = time.monotonic() - began
            kept += batch.kept
            yield Done(Finished(plan, tables, batch.done, kept, batch.failed, seconds))
    except DeepMTJError as error:
        yield Failed(error)


def _duration(seconds: float) -> str:
    """Return a time to wait as a person says it."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s left"
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes < 90 else f"about {seconds / 3600:.1f} h left"


@dataclass(frozen=True, slots=True)
class _Opened:
    """A clip that is open, or why it is not."""

    task: Task
    line: Line
    source: VideoSource | None = None
    error: DeepMTJError | None = None


@dataclass
class _Active:
    """A clip under way."""

    task: Task
    line: Line
    source: VideoSource
    events: Generator[Notice | Progress | Done[Written] | Failed]
    notices: list[str] = field(default_factory=list)


class _Batch:
    """State of a run: the ledger, models that are loaded, and counts."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.ledger = Ledger.of(plan.options.out)
        self.weights: Callable[[str], str] = cache(weights_sha256)
        self.done = self.kept = self.failed = 0
        self._models: dict[str, tuple[Model, Runner]] = {}
        self._sources: dict[str, VideoSource] = {}

    def is_done(self, task: Task) -> bool:
        return is_done(task, self.ledger, self.weights)

    def work(self, todo: list[Task]) -> Iterator[BatchEvent]:
        """Track the clips, `at_once` of them by turns."""
        active: deque[_Active] = deque()
        with ExitStack() as stack:
            stack.callback(self._close_all, active)
            opened = prefetch(self._open(todo), OPENED_AHEAD, "open clips")
            stack.enter_context(closing(opened))
            more = True
            while more or active:
                while more and len(active) < self.plan.options.at_once:
                    ready = next(opened, None)
                    if ready is None:
                        more = False
                    elif ready.error is not None or ready.source is None:
                        yield self._fail(ready.task, ready.line, str(ready.error))
                    elif self._is_same(ready.task, ready.line):
                        yield self._keep(ready.task, ready.line)
                    else:
                        yield ClipBegan(ready.task)
                        active.append(self._begin(ready.task, ready.line, ready.source))
                if active:
                    yield from self._turn(active)

    def _open(self, todo: list[Task]) -> Iterator[_Opened]:
        """Open clips one after the other; runs in a thread of its own."""
        for task in todo:
            line = Line(result=task.name, clip=task.clip.as_posix())
            try:
                source = open_video(task.clip)
                self._sources[task.name] = source
                stat = task.clip.stat()
                sha256 = known_sha256(self.ledger.line(task.name), task) or source.sha256
                line = replace(
                    line,
                    size=stat.st_size,
                    modified_ns=stat.st_mtime_ns,
                    sha256=sha256,
                    key=key_of(task, sha256, self.weights(task.model)),
                )
                yield _Opened(task, line, source)
            except Exception as error:
                logger.debug("opening %s", task.clip, exc_info=True)
                yield _Opened(task, line, error=said_of(error))

    def _is_same(self, task: Task, line: Line) -> bool:
        """Whether the result that is there is of the content the clip turned out to have."""
        old = self.ledger.line(task.name)
        if old is None or old.failed:
            return False
        return old.key == line.key and task.result.is_file()

    def _keep(self, task: Task, line: Line) -> ClipKept:
        old = self.ledger.line(task.name)
        assert old is not None
        self.ledger.append(replace(line, facts=old.facts))
        self._sources.pop(task.name).close()
        self.kept += 1
        return ClipKept(task)

    def _begin(self, task: Task, line: Line, source: VideoSource) -> _Active:
        model, runner = self._model(task.model)
        events = track_clip(source, task, model, runner)
        return _Active(task, line, source, events)

    def _model(self, name: str) -> tuple[Model, Runner]:
        """Return a model on its device, loaded once."""
        if name not in self._models:
            model, options = load_model(name), self.plan.options
            runner = Runner(model.network, resolve_device(options.device), options.batch)
            self._models[name] = model, runner
        return self._models[name]

    def _turn(self, active: deque[_Active]) -> Iterator[BatchEvent]:
        """Advance the first clip by a batch of frames, and put it last unless it has ended."""
        clip = active.popleft()
        try:
            for event in clip.events:
                match event:
                    case Notice(message):
                        clip.notices.append(message)
                        yield Notice(led_by(clip.task.clip.name, message))
                    case Progress(done, total):
                        active.append(clip)
                        yield ClipProgress(clip.task, done, total)
                        return
                    case Failed(error):
                        yield self._failed(clip, error)
                    case Done(written):
                        yield self._finished(clip, written)
        except Exception as error:  # a bug, or memory: one clip's fate is not that of the others
            logger.exception("tracking %s", clip.task.clip)
            yield self._failed(clip, said_of(error))
        self._close(clip)

    def _finished(self, clip: _Active, written: Written) -> ClipDone:
        line = replace(
            clip.line,
            facts={
                "frames": written.frames,
                "in_view": written.in_view,
                "seconds": round(written.seconds, 3),
                "device": written.device,
                "notices": clip.notices,
            },
        )
        self.ledger.append(line)
        self.done += 1
        return ClipDone(clip.task, line)

    def _failed(self, clip: _Active, error: DeepMTJError) -> ClipFailed:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL:
            raise error  # so would every clip that follows
        return self._fail(clip.task, clip.line, str(error))

    def _fail(self, task: Task, line: Line, reason: str) -> ClipFailed:
        self.ledger.append(replace(line, failed=reason))
        self.failed += 1
        if (source := self._sources.pop(task.name, None)) is not None:
            source.close()
        return ClipFailed(task, reason)

    def _close(self, clip: _Active) -> None:
        clip.events.close()
        if (source := self._sources.pop(clip.task.name, None)) is not None:
            source.close()

    def _close_all(self, active: deque[_Active]) -> None:
        """Close what is under way, and what was opened ahead of its turn."""
        for clip in active:
            clip.events.close()
        for source in self._sources.values():
            source.close()


def said_of(error: Exception) -> DeepMTJError:
    """Return an error as one a person can read."""
    if isinstance(error, DeepMTJError):
        return error
    text = getattr(error, "strerror", None) or error
    return DeepMTJError(f"an unexpected error: {type(error).__name__}: {text}")


def led_by(name: str, message: str) -> str:
    """Return a message that begins with the clip's name, once."""
    return message if message.startswith(name) else f"{name}: {message}"

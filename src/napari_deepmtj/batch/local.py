"""A batch in this process: clips are opened ahead and decoded side by side, for one network."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_deepmtj.batch.check import Opened, open_task, said_of
from napari_deepmtj.batch.control import Control, Pace
from napari_deepmtj.batch.events import BatchEvent, ClipBegan, ClipProgress, Paused
from napari_deepmtj.batch.progress_log import Books, Models, ends_all
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.paths import led_by
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.inference.prefetch import prefetch
from napari_deepmtj.pipeline.clip import Written, track_clip

if TYPE_CHECKING:
    from napari_deepmtj.batch.plan import Task

logger = logging.getLogger(__name__)

#: Clips that are opened, and their contents hashed, before their turn.
OPENED_AHEAD = 2

#: Seconds between two `Paused`.
HELD_S = 0.1


@dataclass
class _Active:
    """A clip under way."""

    opened: Opened
    events: Generator[Notice | Progress | Done[Written] | Failed]
    pace: Pace = field(default_factory=Pace)
    notices: list[str] = field(default_factory=list)


class Local:
    """Tracks clips in this process.

    Parameters
    ----------
    books : Books
        Of the run.
    control : Control
        Says when to pause.
    """

    def __init__(self, books: Books, control: Control) -> None:
        options = books.plan.options
        self._books, self._control = books, control
        self._models = Models(options.device, options.backend, options.batch)
        self._at_once = options.at_once
        self._active: deque[_Active] = deque()
        self._open_now: dict[str, Opened] = {}

    def work(self, todo: list[Task]) -> Generator[BatchEvent]:
        """Track the clips, some of them by turns."""
        with ExitStack() as stack:
            stack.callback(self._close_all)
            ready = prefetch(self._open(todo), OPENED_AHEAD, "open clips")
            stack.enter_context(closing(ready))
            more = True
            while more or self._active:
                yield from self._held_up()
                while more and len(self._active) < self._at_once:
                    opened = next(ready, None)
                    if opened is None:
                        more = False
                    else:
                        yield from self._taken(opened)
                if self._active:
                    yield from self._turn()

    def _held_up(self) -> Iterator[Paused]:
        while self._control.paused:
            began = time.monotonic()
            yield Paused()
            self._control.wait(HELD_S)
            for clip in self._active:
                clip.pace.hold(time.monotonic() - began)

    def _open(self, todo: list[Task]) -> Iterator[Opened]:
        """Open clips one after the other; runs in a thread of its own."""
        for task in todo:
            opened = open_task(task, self._books.ledger.line(task.name), self._books.weights)
            self._open_now[task.name] = opened
            yield opened

    def _taken(self, opened: Opened) -> Iterator[BatchEvent]:
        """Begin a clip, or say why there is nothing to be done."""
        task, line = opened.task, opened.line
        if opened.source is not None and not opened.same:
            model, runner = self._models[task.model]
            events = track_clip(opened.source, task.request, model, runner)
            self._active.append(_Active(opened, events))
            yield ClipBegan(task)
            return
        self._close(opened)
        if opened.same:
            yield self._books.write_kept(task, line)
        else:
            yield self._books.write_failed(task, line, str(opened.error))

    def _turn(self) -> Iterator[BatchEvent]:
        """Advance the first clip by a batch of frames, and put it last unless it has ended."""
        clip = self._active[0]
        task, line = clip.opened.task, clip.opened.line
        last: dict[str, Any] | DeepMTJError = DeepMTJError("ended without a result; please report")
        try:
            for event in clip.events:
                match event:
                    case Notice(message):
                        clip.notices.append(message)
                        yield Notice(led_by(task.shown, message))
                    case Progress(done, total):
                        self._active.rotate(-1)
                        yield ClipProgress(task, done, total, clip.pace.left(done, total))
                        return
                    case Failed(error):
                        last = error
                    case Done(written):
                        last = written.facts()
        except Exception as error:  # a bug, or memory: one clip's fate is not that of the others
            logger.exception("tracking %s", task.clip)
            last = said_of(error)
        self._active.popleft()
        clip.events.close()
        self._close(clip.opened)
        if not isinstance(last, DeepMTJError):
            yield self._books.write_done(task, line, last, clip.notices)
        elif ends_all(last):
            raise last
        else:
            yield self._books.write_failed(task, line, str(last))

    def _close(self, opened: Opened) -> None:
        opened.close()
        self._open_now.pop(opened.task.name, None)

    def _close_all(self) -> None:
        """Close what is under way, and what was opened ahead of its turn."""
        for clip in self._active:
            clip.events.close()
        for opened in self._open_now.values():
            opened.close()

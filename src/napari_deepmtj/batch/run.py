"""The batch job: every clip of a plan that has no valid result yet, wherever it is tracked.

What becomes of one clip is `clip`; who tracks it, `local` or `cluster`; when it counts as finished
says `ledger`. A clip that fails never stops the others; only a folder that cannot be written to
does.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing

from napari_deepmtj.batch.check import require_possible
from napari_deepmtj.batch.control import Control, Pace, in_words
from napari_deepmtj.batch.events import (
    BatchEvent,
    ClipBegan,
    ClipDone,
    ClipEnded,
    ClipFailed,
    ClipKept,
    ClipProgress,
    Finished,
    Paused,
    Waiting,
)
from napari_deepmtj.batch.ledger import only_here
from napari_deepmtj.batch.local import Local
from napari_deepmtj.batch.plan import Plan, Task
from napari_deepmtj.batch.progress_log import Books
from napari_deepmtj.batch.tables import write_tables
from napari_deepmtj.core.jobs import Done, Failed, Progress
from napari_deepmtj.errors import DeepMTJError

__all__ = [
    "BatchEvent",
    "ClipBegan",
    "ClipDone",
    "ClipFailed",
    "ClipKept",
    "ClipProgress",
    "Control",
    "Finished",
    "Paused",
    "Waiting",
    "run",
]

#: Seconds between two estimates of the time left, while clips are under way.
TOLD_EVERY_S = 1.0


def run(plan: Plan, control: Control | None = None) -> Generator[BatchEvent]:
    """Track every clip of a plan that has no valid result yet.

    Closing the job leaves what is finished; running the plan again does the rest.

    Parameters
    ----------
    plan : Plan
        What to do.
    control : Control, optional
        Holds it up and lets it go on.

    Yields
    ------
    Progress
        In clips, kept ones included; first, after each, and about every second. Its note says how
        long the rest takes.
    Notice, ClipBegan, ClipProgress, ClipDone, ClipKept, ClipFailed, Paused, Waiting
        As they come, the clips under way by turns.
    Done of Finished, or Failed
        Last; Failed only if nothing can be written, or a model, its attention map, a device or an
        extra is not there.
    """
    began = time.monotonic()
    try:
        with only_here(plan.options.out):
            books = Books(plan)
            for task in plan.tasks:
                books.weights(task.model)  # a model that is not there is told now
            require_possible(plan)  # likewise
            todo = [task for task in plan.tasks if not books.is_done(task)]
            before = len(plan.tasks) - len(todo)
            yield Progress(before, len(plan.tasks), "clip")
            yield from _with_progress(_work(books, todo, control or Control()), books, len(todo))
            tables = yield from write_tables(plan)
            seconds = time.monotonic() - began
            kept = before + books.kept
            yield Done(Finished(plan, tables, books.done, kept, books.failed, seconds))
    except DeepMTJError as error:
        yield Failed(error)


def _work(books: Books, todo: list[Task], control: Control) -> Generator[BatchEvent]:
    """Track what is to be done, in this process or on others."""
    options = books.plan.options
    away = [task for task in todo if task.entry.source is None]
    if away and (options.scheduler or options.workers > 1):
        from napari_deepmtj.batch.cluster import Cluster, connected

        with connected(options) as client:
            yield from Cluster(books, control, client).work(todo)
    else:
        yield from Local(books, control).work(todo)


def _with_progress(events: Generator[BatchEvent], books: Books, n: int) -> Generator[BatchEvent]:
    """Pass on events, and how far all of it is."""
    total = len(books.plan.tasks)
    pace = Pace()
    last = told = time.monotonic()
    parts: dict[str, float] = {}
    with closing(events):
        for event in events:
            yield event
            before, last = last, time.monotonic()
            match event:
                case ClipProgress(task, done, of):
                    parts[task.name] = done / of
                case ClipDone(task) | ClipKept(task) | ClipFailed(task):
                    parts.pop(task.name, None)
                case Paused():
                    pace.hold(last - before)
                    continue
            if isinstance(event, ClipEnded) or last - told > TOLD_EVERY_S:
                told = last
                left = pace.left(books.ended + sum(parts.values()), n)
                yield Progress(total - n + books.ended, total, "clip", in_words(left))

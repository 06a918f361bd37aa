"""Runs a core generator in a napari thread worker, its events coming in batches.

What the events mean is not known here; who consumes them does so on the main thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.errors import DeepMTJError

logger = logging.getLogger(__name__)

#: Seconds between the end of one update of the window and the next, for a person's clicks. Where
#: an update takes 0.13 s, as without a GPU, this gives 4.9 updates a second, and more elsewhere.
INTERVAL = 0.06


def in_batches(
    events: Iterator[Any], cancelled: threading.Event, wanted: Callable[[], bool]
) -> Generator[list[Any]]:
    """Group a job's events into as many groups as their consumer can take.

    The job's failure becomes its last event, `Failed`: a worker must not raise. Setting
    `cancelled` closes the job before its next event; what had come until then is delivered.

    Parameters
    ----------
    events : iterator of core.jobs events
        The job; it is closed in every case.
    cancelled : threading.Event
        Set it to stop.
    wanted : callable
        Whether the consumer would take a group now; asked after every event.

    Yields
    ------
    list
        The events since the last group, never empty; what is left comes at the end, wanted or
        not.
    """
    waiting: list[Any] = []
    with closing(_never_raising(events)) as safe:
        for event in safe:
            waiting.append(event)
            if cancelled.is_set() or isinstance(event, Done | Failed):
                break
            if wanted():
                yield waiting
                waiting = []
    if waiting:
        yield waiting


def _never_raising(events: Iterator[Any]) -> Generator[Any]:
    try:
        yield from events
    except DeepMTJError as error:
        yield Failed(error)
    except Exception as error:
        logger.exception("a job failed unexpectedly")
        failure = DeepMTJError(
            f"unexpected {type(error).__name__}: {error}; please report it with the log"
        )
        failure.__cause__ = error
        yield Failed(failure)


def later(callback: Callable[[], None]) -> None:
    """Call back on the main thread soon, after it has drawn and answered the mouse."""
    from qtpy.QtCore import QTimer

    QTimer.singleShot(30, callback)


def later_in_window(viewer: Any, callback: Callable[[], None]) -> None:
    """Call back soon where there is a window, and not at all without one."""
    if hasattr(viewer, "window"):
        later(callback)


class Job:
    """One running generator.

    Parameters
    ----------
    make_events : callable
        Returns the generator; called in the worker's thread, so that what it imports and opens
        does not hold up the window.
    on_events : callable
        Takes a list of events, on the main thread.
    on_end : callable
        Called once on the main thread after the last events, also when cancelled.
    description : str
        Shown in napari's activity dock; empty for a short job that nobody asked for, which is not.
    at_once : bool
        Deliver every event as it comes, for a job that does nothing unless it is asked to.
    """

    def __init__(
        self,
        make_events: Callable[[], Iterator[Any]],
        on_events: Callable[[list[Any]], None],
        on_end: Callable[[], None],
        description: str,
        *,
        at_once: bool = False,
    ) -> None:
        self._cancelled = threading.Event()
        self._make_events = make_events
        self._on_events = on_events
        self._on_end = on_end
        self._description = description
        self._worker: Any = None
        self._groups = in_batches(self._lazily(), self._cancelled, self._wanted)
        self._taken = threading.Event()
        self._taken.set()
        self._rested = 0.0
        self._at_once = at_once

    def start(self) -> None:
        """Begin; needs a Qt application."""
        from napari.qt.threading import create_worker

        self._worker = create_worker(
            self._run,
            _progress={"desc": self._description} if self._description else False,
            _connect={"yielded": self._take, "finished": self._end},
        )

    def _run(self) -> Iterator[list[Any]]:
        for group in self._groups:
            self._taken.clear()
            yield group

    def _end(self) -> None:
        """Close the generator: a worker that is made to quit leaves it where it stands."""
        self._groups.close()
        self._on_end()

    def _wanted(self) -> bool:
        """Whether the main thread has dealt with the last group and had time for others."""
        if self._at_once:
            return True
        return self._taken.is_set() and time.monotonic() >= self._rested

    def _take(self, events: list[Any]) -> None:
        try:
            self._on_events(events)
        finally:
            self._rested = time.monotonic() + INTERVAL
            self._taken.set()

    def _lazily(self) -> Iterator[Any]:
        yield from self._make_events()

    def cancel(self) -> None:
        """Stop before the next event; what is done stays. Returns at once."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled.is_set()

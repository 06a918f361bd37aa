"""Work ahead in a thread, a bounded distance; knows nothing of frames or networks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

#: Seconds between two looks at whether the consumer has gone.
_PATIENCE = 0.1


class _End:
    """What the thread puts last: how it ended."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(items: Iterator[T], depth: int, name: str = "prefetch") -> Generator[T]:
    """Yield what `items` yields, produced in a thread up to `depth` items ahead.

    `items` is advanced and closed in that thread only. An error there is raised here, after the
    items before it. Closing this generator stops the thread and waits for the item under way.

    Parameters
    ----------
    items : iterator
        Not to be used by anyone else any more.
    depth : int
        Items that may wait.
    name : str
        Name of the thread.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: T | _End) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                waiting.put(item, timeout=_PATIENCE)
                return

    def produce() -> None:
        end = _End()
        try:
            try:
                for item in items:
                    put(item)
                    if stop.is_set():
                        break
            finally:
                close = getattr(items, "close", None)
                if close is not None:
                    close()
        except BaseException as error:
            end = _End(error)
        put(end)

    thread = threading.Thread(target=produce, name=name, daemon=True)
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        with suppress(queue.Empty):  # room for a put that is waiting
            waiting.get_nowait()
        thread.join()

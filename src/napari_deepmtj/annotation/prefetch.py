"""Reads the frames that come next in a thread, so that they are there when they are shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from napari_deepmtj.errors import DeepMTJError

#: Reads one frame for its side effect: it then is in the cache of its clip.
Read = Callable[[], object]


class Ahead:
    """A thread that reads what is wanted next; what is wanted no more is not begun.

    A frame that cannot be read is left alone: whoever shows it meets the error.
    """

    def __init__(self) -> None:
        self._wanted: list[Read] = []
        self._change = threading.Condition()
        self._busy = self._stopped = False
        self._thread: threading.Thread | None = None

    def want(self, reads: Sequence[Read]) -> None:
        """Replace what is to be read; the first is read first. Returns at once."""
        with self._change:
            self._wanted = list(reads)
            if self._thread is None and self._wanted and not self._stopped:
                self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)
                self._thread.start()
            self._change.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all that is wanted was read; False if that takes longer than `timeout` s."""
        with self._change:
            return self._change.wait_for(lambda: not (self._wanted or self._busy), timeout)

    def stop(self) -> None:
        """End the thread, after the frame it is at."""
        with self._change:
            self._wanted, self._stopped = [], True
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._change:
                self._busy = False
                self._change.notify_all()
                self._change.wait_for(lambda: self._wanted or self._stopped)
                if self._stopped:
                    return
                read = self._wanted.pop(0)
                self._busy = True
            try:
                read()
            except DeepMTJError:
                continue

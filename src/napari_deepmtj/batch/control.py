"""Holding a batch up and letting it go on, and how long it will take; from any thread."""

from __future__ import annotations

import threading
import time


class Control:
    """What a person says to a batch that runs; cancelling it is closing its job.

    A pause takes effect between two batches of frames. On a cluster, workers finish the clips that
    they have and get no others.
    """

    def __init__(self) -> None:
        self._going = threading.Event()
        self._going.set()

    @property
    def paused(self) -> bool:
        """Whether the batch is held up."""
        return not self._going.is_set()

    def pause(self) -> None:
        """Hold it up, until `resume`."""
        self._going.clear()

    def resume(self) -> None:
        """Let it go on."""
        self._going.set()

    def wait(self, seconds: float) -> None:
        """Return when the batch goes on, or after so many seconds."""
        self._going.wait(seconds)


class Pace:
    """How long work takes, pauses left out."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._held = 0.0

    def hold(self, seconds: float) -> None:
        """Leave out time in which nothing was done."""
        self._held += seconds

    def left(self, done: float, total: float) -> float | None:
        """Return seconds that the rest takes if it goes on as until now; None before a start."""
        if done <= 0:
            return None
        spent = time.monotonic() - self._began - self._held
        return max(0.0, total - done) * spent / done


def in_words(seconds: float | None) -> str:
    """Return a time to wait as a person says it, "" where it is not known."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s left"
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes < 90 else f"about {seconds / 3600:.1f} h left"

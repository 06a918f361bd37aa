"""The search for a file's frames while others wait, or look at what it has found so far.

What is searched, and how, is in `scan.py`. One search runs in the caller's thread, or in one of
its own; it keeps nothing of its source alive, and ends when told to.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.ffmpeg.decoder import REORDER
from napari_deepmtj.video.ffmpeg.header import Glance
from napari_deepmtj.video.ffmpeg.index import FrameIndex
from napari_deepmtj.video.ffmpeg.packets import PacketLog, Packets
from napari_deepmtj.video.ffmpeg.scan import Found, GivenTimes, find, sorted_table
from napari_deepmtj.video.source import reason

#: Seconds between two looks at what was found so far, and the largest part of the time that
#: making it fit to be looked at may take.
PART_EVERY, PART_SHARE = 0.3, 0.1

#: How much of a search is the reading of packets where all frames must be decoded as well.
READING_SHARE = 0.1

#: Part done when all packets are read: sorting, and looking at the end, is still to come.
LAST_STRETCH = 0.99

#: Seconds for which a thread that reads packets lets go of the interpreter, now and then, while
#: nobody waits for it: a window has its first picture to draw meanwhile.
PAUSE = 0.002

#: Seconds that a search is given to notice that it must end: it reads a packet, decodes a frame
#: or a group of pictures in one go.
STOPPING = 10.0


class _StoppedError(Exception):
    """The search was told to end."""


class Indexing:
    """One search for the table of frames of a file.

    Parameters
    ----------
    seen : Glance
        What is known of the file.
    given : callable, optional
        As `find` takes it.
    """

    def __init__(self, seen: Glance, given: GivenTimes | None) -> None:
        self._seen = seen
        self._given = given
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._next_part = 0.0
        self._waiting = 0
        self._total = max(1, len(seen.claim()))
        self._decodes = seen.shuffled
        self.fraction = 0.0
        self.part = FrameIndex.empty()
        self.error: VideoError | None = None
        self.ended = False

    # ----- who searches -----------------------------------------------------------------------

    def run(self, on_found: Callable[[Found], None]) -> None:
        """Search to the end; `on_found` is called, then those who wait go on.

        Parameters
        ----------
        on_found : callable
            Takes what was found. An error is kept for those who wait.
        """
        try:
            found = find(self._seen, self._given, self)
            if not self._stop.is_set():
                on_found(found)
        except _StoppedError:
            pass
        except VideoError as error:
            self.error = error
        except Exception as error:  # in a thread there is nobody above who could tell it
            self.error = VideoError(
                f"its frames cannot be listed ({type(error).__name__}: "
                f"{reason(error, self._seen.path)}); please report it",
                path=self._seen.path,
            )
        if self._stop.is_set():
            self.error = VideoError("the clip was closed; open it again", path=self._seen.path)
        with self._changed:
            self.ended = True
            self.fraction = 1.0
            callbacks, self._callbacks = self._callbacks, []
            self._changed.notify_all()
        with ExitStack() as stack:  # all are called, whatever one of them raises
            for callback in reversed(callbacks):
                stack.callback(callback)

    def prove(self) -> Found:
        """Decode the whole file in order, in the caller's thread, and return what that found.

        Raises
        ------
        VideoError
            If that fails, or the clip is closed meanwhile.
        """
        try:
            return find(self._seen, self._given, self, proved=True)
        except _StoppedError:
            raise VideoError("the clip was closed; open it again", path=self._seen.path) from None
        finally:
            self.fraction = 1.0

    def start(self, on_found: Callable[[Found], None]) -> None:
        """Search in a thread, which ends with the program if it is not told to before."""
        self._thread = threading.Thread(
            target=self.run, args=(on_found,), name=f"index {self._seen.path.name}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the search and its thread; twice is fine."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOPPING)

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call back once, from the searching thread; at once if the search has ended.

        Told to end, or failed, it has ended too: `wait` says so.
        """
        with self._changed:
            if not self.ended:
                self._callbacks.append(callback)
                return
        callback()

    # ----- who waits --------------------------------------------------------------------------

    def wait(self, frame: int | None = None, seconds: float | None = None) -> bool:
        """Wait until frame number `frame` is listed, or for the end of the search.

        Parameters
        ----------
        frame : int, optional
            None waits for the end.
        seconds : float, optional
            At most so long.

        Returns
        -------
        bool
            Whether it came to that.

        Raises
        ------
        VideoError
            If the search failed, or the clip was closed.
        """
        with self._changed:
            self._waiting += 1
            try:
                came = self._changed.wait_for(
                    lambda: self.ended or (frame is not None and frame < len(self.part)), seconds
                )
            finally:
                self._waiting -= 1
        if self.error is not None:
            raise self.error
        return came

    # ----- what the search tells on its way ---------------------------------------------------

    def scanned(self, log: PacketLog) -> None:
        """Take the packets that were read so far; see `scan.Watcher`."""
        share = READING_SHARE if self._decodes else 1.0
        self._check(share * min(1.0, len(log) / self._total))
        if not self._decodes and not self._seen.first.format.has_palette:
            self._publish(partial(self._sorted, log))
        if self._thread is not None and not (self._waiting or self.ended):
            time.sleep(PAUSE)

    def decoded(self, shown: Sequence[int], packets: Packets) -> None:
        """Take the frames that were decoded so far; see `scan.Watcher`."""
        self._decodes = True
        done = min(1.0, len(shown) / max(1, len(packets)))
        self._check(READING_SHARE + (1 - READING_SHARE) * done)
        self._publish(partial(self._counted, shown, packets))

    def _check(self, fraction: float) -> None:
        if self._stop.is_set():
            raise _StoppedError
        self.fraction = min(fraction, LAST_STRETCH)

    def _publish(self, make: Callable[[], FrameIndex | None]) -> None:
        """Let those who wait see the table so far, now and then."""
        start = time.monotonic()
        if start < self._next_part:
            return
        part = make()
        end = time.monotonic()
        self._next_part = end + max(PART_EVERY, (end - start) / PART_SHARE)
        if part is not None:
            with self._changed:
                self.part = part
                self._changed.notify_all()

    def _sorted(self, log: PacketLog) -> FrameIndex | None:
        """Return the frames before which no other can come any more."""
        packets = log.packets()
        order = packets.in_order_of_time()
        return None if order is None else sorted_table(self._seen, order[:-REORDER], packets)

    def _counted(self, shown: Sequence[int], packets: Packets) -> FrameIndex | None:
        """Return the frames that were decoded so far, up to the first that did not come yet."""
        order = np.array(shown, dtype=np.int64)
        if len(np.unique(order)) < len(order) or order.min(initial=0) < 0:
            return None
        missing = ~packets.hidden
        missing[order[order < len(packets)]] = False
        first = int(np.argmax(missing)) if missing.any() else len(packets)
        return FrameIndex(packets, order[np.maximum.accumulate(order) < first])

"""The search of a video file for the exact table of its frames.

It reads every packet, and decodes every frame where the packets do not tell their order. What is
known before is `_glance.py`; where the search runs, and who waits for it, is `_indexing.py`; the
table itself is in `_index.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakValueDictionary

import av
import numpy as np

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.ffmpeg.container import AV_ERRORS, decode_packets, open_container
from napari_deepmtj.video.ffmpeg.ending import ends_early
from napari_deepmtj.video.ffmpeg.header import Glance, lead_of, no_frames
from napari_deepmtj.video.ffmpeg.index import Decoder, FrameIndex, Packets, scan, seconds_of
from napari_deepmtj.video.source import reason
from napari_deepmtj.video.stamp import identity, require_unchanged

GivenTimes = Callable[[int], FrameTimes | None]


@dataclass(frozen=True)
class Found:
    """What the search has found: the exact table, its times, and what must be told."""

    index: FrameIndex
    times: FrameTimes
    notices: tuple[str, ...]


class Watcher(Protocol):
    """Follows a search; what it raises ends the search."""

    def scanned(self, pts: Sequence[int | None], key_pts: set[int]) -> None:
        """Take the packets that were read so far."""

    def decoded(self, order: Sequence[int | None], packets: Packets) -> None:
        """Take the frames that were decoded so far, in the order of display."""


#: Tables of files that are open, so that a file opened again is not searched again.
_TABLES: WeakValueDictionary[tuple[Any, ...], Found] = WeakValueDictionary()


def find(seen: Glance, given: GivenTimes | None, watcher: Watcher | None = None) -> Found:
    """Search a file for all of its frames.

    Parameters
    ----------
    seen : Glance
        What is known of it.
    given : callable, optional
        Given the number of frames, returns their times where they are known from elsewhere.
    watcher : Watcher, optional
        Who follows.

    Raises
    ------
    VideoError
        If it cannot be read, or was changed since it was looked at.
    """
    key = None if given is not None else identity(seen.path)
    found = None if key is None else _TABLES.get(key)
    if found is None:
        found = _search(seen, given, watcher)
        if key is not None and key == identity(seen.path):
            _TABLES[key] = found
    require_unchanged(seen.path, seen.stamp)
    return found


def _search(seen: Glance, given: GivenTimes | None, watcher: Watcher | None) -> Found:
    container = open_container(seen.path, seen.container_format)
    try:
        stream = container.streams.best("video")
        packets = scan(container, stream, None if watcher is None else watcher.scanned)
    except AV_ERRORS as error:
        raise VideoError(
            f"cannot be read ({reason(error, seen.path)}); export it again", path=seen.path
        ) from error
    finally:
        container.close()
    if not packets.pts:
        raise no_frames(seen.path)
    notices: list[str] = []
    promised = seen.promised
    if seen.container_format == "avi":
        promised = _avi_promise(promised, packets)
    index = _sorted(seen, packets, notices) if packets.unique and not seen.shuffled else None
    ids: tuple[int, ...]
    if index is not None:
        ids = index.ids
    else:
        index, ids = _count(seen, packets, watcher)
    promise = str(promised) if promised > packets.total else None
    if seen.container_format == "matroska" and seen.alone and seen.seconds is not None:
        promise = _promise(seen.seconds, ids, seen.time_base)
    cut_off = packets.cut_off or ends_early(seen.path, seen.container_format)
    if promise is not None or cut_off or (not promised and _gap_at_end(packets, ids)):
        index = _shorten(seen, index, packets, promise, notices)
    if seen.container_format == "avi" and len(set(packets.dts) - {None}) == len(ids):
        ids = tuple(sorted(dts for dts in packets.dts if dts is not None))
    known = None if given is None else given(len(index))
    known = known or _times(seen, len(index), ids[: len(index)], notices)
    return Found(index, known, tuple(notices))


def _sorted(seen: Glance, packets: Packets, notices: list[str]) -> FrameIndex | None:
    """Take sorted timestamps as the table if the first frames decoded agree with it."""
    ids = sorted(pts for pts in packets.pts if pts is not None)
    lead = lead_of(seen, ids, set(ids))
    if lead is None:
        return None
    if lead:
        notices.append(
            f"{seen.path.name}: its first {lead} frames refer to pictures that were cut away; "
            "the clip begins after them"
        )
    return FrameIndex.of(ids, packets.key_pts).cut(lead, len(ids))


def _count(
    seen: Glance, packets: Packets, watcher: Watcher | None
) -> tuple[FrameIndex, tuple[int, ...]]:
    """Decode the whole file once and take the order in which frames come."""
    order: list[int | None] = []
    with _decoding(seen) as frames:
        for picture in frames:
            order.append(picture.pts)
            if watcher is not None:
                watcher.decoded(order, packets)
    return table_of(order, packets)


def table_of(order: Sequence[int | None], packets: Packets) -> tuple[FrameIndex, tuple[int, ...]]:
    """Return the table of frames decoded in this order, and the timestamps that they have."""
    known = [pts for pts in order if pts is not None]
    if len(known) == len(order) == len(set(known)):
        whole = set(packets.pts)
        known = [pts for pts in known if pts in whole]
        return FrameIndex.of(known, packets.key_pts), tuple(known)
    return FrameIndex(tuple(range(len(order))), (), counted=True), tuple(known)


def _avi_promise(promised: int, packets: Packets) -> int:
    """Return how many frames an AVI header promises; it counts ticks, some of them empty."""
    dts = [tick for tick in packets.dts if tick is not None]
    if len(dts) < 2:
        return promised
    step = int(np.median(np.diff(dts)))
    return round(promised * len(dts) / (dts[-1] - dts[0] + max(1, step)))


def _promise(seconds: float, ids: tuple[int, ...], time_base: Any) -> str | None:
    """Return about how many frames a duration promises, None if they are there."""
    times = np.array(seconds_of(ids, time_base)) if ids else np.zeros(0)
    if len(times) < 2:
        return None
    interval = float(np.median(np.diff(times)))
    missing = seconds - (times[-1] + interval)
    return f"about {round(seconds / interval)}" if missing > max(0.1, 2 * interval) else None


def _gap_at_end(packets: Packets, ids: tuple[int, ...]) -> bool:
    """Whether a frame seems to be missing among the last ones of a file that promises nothing."""
    lead = packets.lead(ids)
    steps = np.diff(sorted(ids))
    return bool(lead and len(steps) > 2 and steps[-lead - 1 :].max() > 1.5 * np.median(steps))


def _shorten(
    seen: Glance, index: FrameIndex, packets: Packets, promise: str | None, notices: list[str]
) -> FrameIndex:
    """Find where a cut-off clip really ends, and say so."""
    n = max(1, len(index) - packets.lead(index.ids))
    if not index.counted:
        with Decoder(seen.path, seen.container_format, index) as decoder:
            key = index.key_before(n - 1)
            good = index.keys[key][0] if key >= 0 else 0
            try:
                for number, _ in decoder.advance(n - 1):
                    good = number + 1
            except VideoError:
                n = max(1, good)
    of = "" if promise is None else f" of {promise}"
    notices.append(
        f"{seen.path.name} ends after {n}{of} frames: the file was cut off; what is there is used"
    )
    return index.cut(0, n)


def _times(seen: Glance, n: int, ids: tuple[int, ...], notices: list[str]) -> FrameTimes:
    """Return the times of the frames: the file's own where it has them."""
    if len(ids) == n == len(set(ids)):
        return FrameTimes(np.array(seconds_of(ids, seen.time_base)), "container")
    rate: float | None = seen.facts["nominal_rate_hz"]
    if rate:
        notices.append(
            f"{seen.path.name} has no usable frame times; {rate:g} frames per second are assumed"
        )
        return FrameTimes.from_rate(n, rate, f"assumed {rate:g} Hz")
    notices.append(f"{seen.path.name} has no frame times")
    return FrameTimes.unknown(n)


@contextmanager
def _decoding(seen: Glance) -> Iterator[Iterator[av.VideoFrame]]:
    """Give a fresh container's frames in the order of decoding."""
    container = open_container(seen.path, seen.container_format)
    try:
        yield decode_packets(None, container.demux(container.streams.best("video")))
    finally:
        container.close()

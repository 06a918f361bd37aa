"""The search of a video file for the exact table of its frames.

It reads every packet, and decodes every frame where timestamps do not tell their order. What is
known before is in `header.py`; where the search runs, and who waits for it, in `background.py`;
the table itself in `index.py`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.ffmpeg.container import (
    AV_ERRORS,
    decode_packets,
    open_container,
    video_stream,
)
from napari_deepmtj.video.ffmpeg.decoder import WHOLE, Decoder, DisprovedError, checksum
from napari_deepmtj.video.ffmpeg.ending import part_there
from napari_deepmtj.video.ffmpeg.header import Glance, lead_of, no_frames
from napari_deepmtj.video.ffmpeg.index import FrameIndex, with_lost
from napari_deepmtj.video.ffmpeg.packets import NONE, Int64Array, PacketLog, Packets, scan
from napari_deepmtj.video.source import reason
from napari_deepmtj.video.stamp import identity, require_unchanged

GivenTimes = Callable[[int], FrameTimes | None]


@dataclass(frozen=True)
class Found:
    """What the search has found: the exact table, its times, and what the user must know.

    `promised` is the number of frames that a file had, or should have had, before it was cut off.
    """

    index: FrameIndex
    times: FrameTimes
    notices: tuple[str, ...]
    promised: int = 0


class Watcher(Protocol):
    """Follows a search; what it raises ends the search."""

    def scanned(self, log: PacketLog) -> None:
        """Take the packets that were read so far."""

    def decoded(self, shown: Sequence[int], packets: Packets) -> None:
        """Take the packets of the frames that were decoded so far, in the order of display."""


#: Where a larger share of packets gives neither a picture nor an error, it is the way of the codec:
#: half pictures, or pictures that are never shown. A smaller one is damage.
MOST_SILENT = 0.03

#: Tables of files that are open, so that a file opened again is not searched again.
_TABLES: WeakValueDictionary[tuple[Any, ...], Found] = WeakValueDictionary()


def find(
    seen: Glance,
    given: GivenTimes | None,
    watcher: Watcher | None = None,
    *,
    proved: bool = False,
) -> Found:
    """Search a file for all of its frames.

    Parameters
    ----------
    seen : Glance
        What is known of it.
    given : callable, optional
        Given the number of frames, returns their times where they are known from elsewhere.
    watcher : Watcher, optional
        Who follows.
    proved : bool
        Decode all frames, whatever the timestamps say.

    Raises
    ------
    VideoError
        If it cannot be read, or was changed since it was looked at.
    """
    key = None if given is not None else identity(seen.path)
    found = None if key is None else _TABLES.get(key)
    if found is None or (proved and not found.index.proved):
        found = _search(seen, given, watcher, proved)
        if key is not None and key == identity(seen.path):
            _TABLES[key] = found
    require_unchanged(seen.path, seen.stamp)
    return found


def _search(seen: Glance, given: GivenTimes | None, watcher: Watcher | None, proved: bool) -> Found:
    container = open_container(seen.path, seen.container_format)
    try:
        packets = scan(
            container,
            video_stream(container),
            None if watcher is None else watcher.scanned,
        )
    except AV_ERRORS as error:
        raise VideoError(
            f"cannot be read ({reason(error, seen.path)}); export it again", path=seen.path
        ) from error
    finally:
        container.close()
    if not len(packets):
        raise no_frames(seen.path)
    notices: list[str] = []
    order = packets.in_order_of_time()
    index = None if proved or seen.shuffled or order is None else sorted_table(seen, order, packets)
    if index is None:
        index = _decoded_table(seen, packets, watcher)
    lead = 0 if order is None else len(order) - len(index)
    if order is None and not index.counted and (packets.pts != NONE).any():
        notices.append(
            f"{seen.path.name}: its timestamps repeat, go back or are missing in part, as in files "
            "that were joined; its frames are numbered as they are decoded"
        )
    elif order is not None and lead > 0 and np.array_equal(index.order, order[lead:]):
        notices.append(
            f"{seen.path.name}: its first {lead} frames refer to pictures that were cut away; "
            "the clip begins after them"
        )
    part = part_there(seen.path, seen.container_format)
    early = None if part is None else part < 1.0
    if early and packets.total >= seen.promised > 0:
        early = False  # what is missing is no frame
    promised = seen.promised if seen.promised > packets.total else 0
    if early is None:
        early = bool(promised) or (not seen.promised and _gap_at_end(index))
    whole = len(index)
    if early or packets.cut_off:
        whole = promised or max(len(index), round(len(index) / (part or 1.0)))
        index = _shorten(seen, index, promised, watcher, notices)
    elif seen.container_format == "avi" and promised > packets.dts.max() + 1:
        notices.append(
            f"{seen.path.name}: its header says {promised} frames, {len(index)} hold a picture; "
            "these are used"
        )
    known = None if given is None else given(len(index))
    known = known or _times(seen, index, notices)
    return Found(index, known, tuple(notices), whole)


def sorted_table(seen: Glance, order: Int64Array, packets: Packets) -> FrameIndex | None:
    """Return the table that timestamps give, None if the first frames decoded disagree."""
    lead = lead_of(seen, order)
    return None if lead is None else FrameIndex.sorted(packets, order[lead:])


def _decoded_table(seen: Glance, packets: Packets, watcher: Watcher | None) -> FrameIndex:
    """Decode the whole file once, and take the order in which frames come."""
    shown: list[int] = []
    sums: list[int] = []
    starts = set(np.flatnonzero(packets.torn).tolist())
    dependent: set[int] = set()
    container = open_container(seen.path, seen.container_format)
    try:
        stream = video_stream(container)
        intra_only = bool(stream.codec_context.codec.intra_only)
        for came in decode_packets(stream, container.demux(stream)):
            if came.failed:
                starts.add(came.packet)
            for picture in came.pictures:
                packet = -1 if picture.pts is None else picture.pts
                shown.append(packet)
                sums.append(checksum(picture))
                if picture.is_corrupt:
                    starts.add(packet)
                if picture.pict_type not in WHOLE:
                    dependent.add(packet)
            if watcher is not None and came.pictures:
                watcher.decoded(shown, packets)
    except AV_ERRORS:
        pass  # the demuxer gave up after the last whole packet
    finally:
        container.close()
    order, checksums = np.array(shown, dtype=np.int64), np.array(sums, dtype=np.uint32)
    listed = order < len(packets)  # one that was cut off is not
    order, checksums = order[listed], checksums[listed]
    if not len(order):
        raise no_frames(seen.path)
    if len(np.unique(order)) < len(order) or order.min() < 0 or packets.hidden[order].any():
        return FrameIndex(packets, np.arange(len(order)), checksums, counted=True)
    keys = np.setdiff1d(packets.keys, list(dependent))
    packets = replace(packets, keys=keys)
    silent = ~packets.hidden
    silent[order] = False
    if intra_only or silent.mean() < MOST_SILENT:
        starts.update(np.flatnonzero(silent).tolist())
    damaged = _damaged(starts, order, packets, intra_only)
    lost = damaged & ~packets.hidden
    lost[order] = False
    whole, doubtful = with_lost(order, np.flatnonzero(lost), packets)
    damaged[doubtful] = True
    frame_of = np.full(len(packets), -1)
    frame_of[whole] = np.arange(len(whole))
    placed = np.zeros(len(whole), dtype=np.uint32)
    placed[frame_of[order]] = checksums
    bad = frozenset(np.flatnonzero(damaged[whole]).tolist())
    return FrameIndex(replace(packets, keys=keys[~damaged[keys]]), whole, placed, bad)


def _damaged(
    starts: set[int], order: Int64Array, packets: Packets, intra_only: bool
) -> npt.NDArray[np.bool_]:
    """Return which packets hold frames that are damaged, or refer to one that is.

    Those are all up to the next keyframe, and those behind it that are shown before it.

    Parameters
    ----------
    starts : set of int
        Packets that could not be decoded, or only in part.
    order : ndarray of int64, shape (n,)
        Packets of all pictures as they were decoded.
    packets : Packets
        All of the stream.
    intra_only : bool
        No picture refers to another.
    """
    n = len(packets)
    damaged = np.zeros(n, dtype=np.bool_)
    place = np.full(n, -1)
    place[order] = np.arange(len(order))
    ends = [*packets.keys.tolist(), n, n]
    for start in sorted(start for start in starts if 0 <= start < n):
        if intra_only:
            damaged[start] = True
            continue
        at = bisect_right(ends, start)
        if at == 0 or packets.pts[start] < packets.pts[ends[0]]:
            continue  # it refers to what was cut away before the beginning
        stop, beyond = ends[min(at, len(ends) - 2) :][:2]
        damaged[start:stop] = True
        if stop < n:
            damaged[stop + 1 : beyond] |= place[stop + 1 : beyond] < place[stop]
    return damaged


def _gap_at_end(index: FrameIndex) -> bool:
    """Return True if a frame seems to be missing among the last ones, by their times."""
    lead = index.lead()
    steps = np.diff(index.times)
    if not lead or len(steps) < 3 or (steps <= 0).any():
        return False
    return bool(steps[-lead - 1 :].max() > 1.5 * np.median(steps))


def _shorten(
    seen: Glance,
    index: FrameIndex,
    promised: int,
    watcher: Watcher | None,
    notices: list[str],
) -> FrameIndex:
    """Find where a cut-off clip really ends, and say so."""
    timed = seen.container_format != "avi" and not index.counted
    n = len(index) if timed and not _gap_at_end(index) else max(1, len(index) - index.lead())
    if not index.proved:
        with Decoder(seen.path, seen.container_format, index) as decoder:
            try:
                for _ in decoder.advance(n - 1):
                    pass
            except DisprovedError:
                index = _decoded_table(seen, index.packets, watcher)
                n = min(n, len(index))
    while n > 1 and n - 1 in index.unreadable:
        n -= 1
    of = f" of {promised}" if promised else ""
    notices.append(
        f"{seen.path.name} ends after {n}{of} frames: the file was cut off; what is there is used"
    )
    return index.cut(0, n)


def _times(seen: Glance, index: FrameIndex, notices: list[str]) -> FrameTimes:
    """Return the times of the frames: the file's own where it has them."""
    ticks = index.times
    if seen.container_format == "mjpeg":  # FFmpeg makes up 25 pictures a second
        notices.append(f"{seen.path.name} has no frame times")
        return FrameTimes.unknown(len(index))
    if index.packets.undelayed and len(index) > 1:
        return _gif_times(seen, index, notices)
    if seen.container_format == "avi" and not index.counted:
        ticks = np.sort(index.packets.dts[index.order])  # its only times
    if len(ticks) == len(index) and NONE not in ticks and (np.diff(ticks) > 0).all():
        seconds = [float((int(tick) - int(ticks[0])) * seen.time_base) for tick in ticks]
        return FrameTimes(np.array(seconds), "container")
    rate: float | None = seen.facts["nominal_rate_hz"]
    if rate:
        notices.append(
            f"{seen.path.name} has no usable frame times; {rate:g} frames per second are assumed"
        )
        return FrameTimes.from_rate(len(index), rate, f"assumed {rate:g} Hz")
    notices.append(f"{seen.path.name} has no frame times")
    return FrameTimes.unknown(len(index))


def _gif_times(seen: Glance, index: FrameIndex, notices: list[str]) -> FrameTimes:
    """Return times of GIF pictures that do not say how long they are shown, and say so."""
    ticks = index.times - index.times[0]
    n = index.packets.undelayed
    which = "its pictures do" if n >= len(index) - 1 else f"{n} of its {len(index)} pictures do"
    notices.append(
        f"{seen.path.name}: {which} not say how long they are shown; 0.1 s (10 Hz) is assumed"
    )
    return FrameTimes(ticks * float(seen.time_base), "assumed 10 Hz")

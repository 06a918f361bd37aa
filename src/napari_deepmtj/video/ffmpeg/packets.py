"""The packets of a video stream in the order of the file, as they are read without decoding."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.video.ffmpeg.container import AV_ERRORS
from napari_deepmtj.video.ffmpeg.ending import has_delay, is_whole_gif

Int64Array = npt.NDArray[np.int64]

#: Stands where a packet has no timestamp, or no place in the file.
NONE = -(2**63)

#: Bytes of an MPEG-4 picture without content at most (`MAX_NVOP_SIZE` of FFmpeg's mpeg4videodec.h).
_PLACEHOLDER = 19

#: Codecs whose keyframes may refer to earlier frames all the same (as FFmpeg writes them).
_FALSE_KEYS = ("rpza", "smc")

#: Where more than this share of JPEG pictures lack their end, the program that wrote them left it
#: out; it is looked for in so many bytes.
MOST_TORN, _TAIL = 0.1, 64

#: Packets between two calls of whoever watches a scan.
_PACE = 128


@dataclass(frozen=True, eq=False)
class Packets:
    """The packets of a stream that are not empty, each known by its number in the file.

    Parameters
    ----------
    pts, dts : ndarray of int64, shape (n,)
        Times of presentation and of decoding; `NONE` where the file has none.
    positions, sizes : ndarray of int64, shape (n,)
        Where each lies in the file, and its bytes: what it is known by after seeking.
    keys : ndarray of int64, shape (k,)
        Numbers of those that decoding can begin with, ascending.
    hidden : ndarray of bool, shape (n,)
        They are decoded, but not to be shown (before the beginning of an edit).
    torn : ndarray of bool, shape (n,)
        They end early, where nearly all others do not: their decoder does not notice that.
    total : int
        Packets of any kind, empty ones included.
    cut_off : bool
        The last packet was incomplete; it is left out.
    undelayed : int
        GIF pictures that do not say how long they are shown: FFmpeg makes it up.
    """

    pts: Int64Array
    dts: Int64Array
    positions: Int64Array
    sizes: Int64Array
    keys: Int64Array
    hidden: npt.NDArray[np.bool_]
    torn: npt.NDArray[np.bool_]
    total: int = 0
    cut_off: bool = False
    undelayed: int = 0

    def __len__(self) -> int:
        return len(self.pts)

    def is_at(self, number: int, packet: Any) -> bool:
        """Return True if `packet`, just read, can be number `number`."""
        if not 0 <= number < len(self) or self.sizes[number] != packet.size:
            return False
        place = NONE if packet.pos is None else packet.pos
        return bool(self.positions[number] == place)

    def key_of(self, packet: Any) -> int:
        """Return the number of a packet, just read, if decoding can begin with it; else -1."""
        place, time = (NONE if v is None else v for v in (packet.pos, packet.pts))
        same = self.positions[self.keys] == place
        same &= self.sizes[self.keys] == packet.size
        if same.sum() > 1 or place == NONE:  # several in one block of the file
            same &= self.pts[self.keys] == time
        return int(self.keys[np.flatnonzero(same)[0]]) if same.sum() == 1 else -1

    def in_order_of_time(self) -> Int64Array | None:
        """Return the packets to show by their timestamps, None if these do not tell the order.

        They do if each packet has one of its own, and if what is stored before a keyframe is
        shown before all that is stored behind it: decoders put out one group of pictures after
        the other, and files that were joined have times that go back.
        """
        shown = np.flatnonzero(~self.hidden)
        times = self.pts[shown]
        order = np.argsort(times, kind="stable")
        if len(times) and (times[order[0]] == NONE or (np.diff(times[order]) == 0).any()):
            return None
        keys = np.searchsorted(shown, self.keys)
        keys = keys[(keys > 0) & (keys < len(shown))]
        if len(keys):
            before = np.maximum.accumulate(times)[keys - 1]
            behind = np.minimum.accumulate(times[::-1])[::-1][keys]
            if (before >= behind).any():
                return None
        return shown[order]


class PacketLog:
    """Packets that are being read; see `Packets`."""

    def __init__(self) -> None:
        self._columns = [array("q") for _ in range(4)]
        self._keys = array("q")
        self._hidden, self._torn = array("b"), array("b")
        self.total = 0
        self.cut_off = False
        self.repainted = False
        self.undelayed = 0

    def __len__(self) -> int:
        return len(self._hidden)

    def add(self, packet: Any) -> None:
        """Take the next packet."""
        if self._hidden and packet.has_sidedata("palette"):
            self.repainted = True  # what is decoded from a later keyframe on has other colours
        if begins_anew(packet):
            self._keys.append(len(self))
        values = packet.pts, packet.dts, packet.pos, packet.size
        for column, value in zip(self._columns, values, strict=True):
            column.append(NONE if value is None else value)
        self._hidden.append(packet.is_discard)
        self._torn.append(is_torn(packet))

    def packets(self) -> Packets:
        """Return the packets so far."""
        n = max(0, len(self) - self.cut_off)
        pts, dts, places, sizes = (np.array(c, dtype=np.int64)[:n] for c in self._columns)
        keys = np.array([] if self.repainted else self._keys, dtype=np.int64)
        hidden, torn = (np.array(c, dtype=np.bool_)[:n] for c in (self._hidden, self._torn))
        torn &= torn.mean() < MOST_TORN if n else False
        return Packets(
            pts,
            dts,
            places,
            sizes,
            keys[keys < n],
            hidden,
            torn,
            self.total,
            self.cut_off,
            self.undelayed,
        )


def scan(container: Any, stream: Any, watch: Callable[[PacketLog], None] | None = None) -> Packets:
    """Read all packets of `stream` once, without decoding any.

    Parameters
    ----------
    container, stream
        PyAV's, just opened.
    watch : callable, optional
        Given the packets so far, now and then.
    """
    log = PacketLog()
    is_gif = container.format.name == "gif"
    undelayed = False
    try:
        for packet in container.demux(stream):
            if packet.dts is None and packet.pts is None and not packet.size:
                continue  # the flush packet at the end
            log.total += 1
            if not packet.size:
                continue
            log.add(packet)
            log.cut_off = packet.is_corrupt
            if is_gif:
                log.cut_off = log.cut_off or not is_whole_gif(bytes(packet))
                log.undelayed += undelayed  # that of the last picture says nothing of the times
                undelayed = not has_delay(bytes(packet))
            if watch is not None and not log.total % _PACE:
                watch(log)
    except AV_ERRORS:
        log.cut_off = False  # the demuxer gave up after the last whole packet
    return log.packets()


def is_torn(packet: Any) -> bool:
    """Return True if a JPEG picture lacks its end."""
    if packet.stream.codec_context.name != "mjpeg":
        return False
    return b"\xff\xd9" not in bytes(memoryview(packet)[-_TAIL:])


def begins_anew(packet: Any) -> bool:
    """Return True if decoding can begin with a packet.

    In packed MPEG-4 (XviD, DivX) two pictures share a packet, and the next one is an empty
    placeholder, which may be flagged as a keyframe.
    """
    codec = packet.stream.codec_context.name
    placeholder = packet.size <= _PLACEHOLDER and codec == "mpeg4"
    return packet.is_keyframe and not placeholder and codec not in _FALSE_KEYS

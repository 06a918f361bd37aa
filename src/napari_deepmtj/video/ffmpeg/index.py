"""Which frame is which: a table of a video's frames, and a decoder that obeys it.

Frame n is the n-th presentation timestamp of the file. Nothing here is computed from a frame
rate, because variable-rate files and B-frames in AVI break every reader that does so.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Set
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.dicom.streams import FilePart
from napari_deepmtj.video.ffmpeg.container import AV_ERRORS, decode_packets, decoded, open_container
from napari_deepmtj.video.ffmpeg.ending import is_whole_gif
from napari_deepmtj.video.source import reason
from napari_deepmtj.video.stamp import Stamp, require_unchanged

#: Bytes of an MPEG-4 picture without content at most (`MAX_NVOP_SIZE` of FFmpeg's mpeg4videodec.h).
_PLACEHOLDER = 19

#: Codecs whose keyframes may refer to earlier frames all the same (as FFmpeg writes them).
_FALSE_KEYS = ("rpza", "smc")

#: Codecs in which frames that none refers to can be left out without changing any other.
_SKIMMED = ("h264", "hevc")


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a video in the order of display.

    Parameters
    ----------
    ids : tuple of int
        Timestamp that the decoder gives frame n; its number where `counted`.
    keys : tuple of (int, int)
        Frame number and timestamp of every keyframe, by frame number.
    counted : bool
        Frames have no timestamps of their own: they are counted from the beginning.
    """

    ids: tuple[int, ...]
    keys: tuple[tuple[int, int], ...]
    counted: bool = False
    _number: dict[int, int] | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rising = all(before < after for before, after in pairwise(self.ids))
        number = None if rising else {pts: n for n, pts in enumerate(self.ids)}
        object.__setattr__(self, "_number", number)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, ids: list[int], key_pts: Set[int]) -> FrameIndex:
        """Return the index of frames `ids`, of which `key_pts` can be sought."""
        return cls(tuple(ids), tuple((n, pts) for n, pts in enumerate(ids) if pts in key_pts))

    def find(self, pts: int | None) -> int:
        """Return the number of the frame that has a timestamp; -1 for none."""
        if pts is None:
            return -1
        if self._number is not None:
            return self._number.get(pts, -1)
        n = bisect_left(self.ids, pts)  # a million frames need no dictionary of 70 MB
        return n if n < len(self.ids) and self.ids[n] == pts else -1

    def key_before(self, frame: int) -> int:
        """Return which of `keys` is the last one not after `frame`; -1 for none."""
        return bisect_right(self.keys, frame, key=lambda key: key[0]) - 1

    def cut(self, start: int, stop: int) -> FrameIndex:
        """Return the index of frames `start` to `stop` alone."""
        if self.counted:
            return FrameIndex(self.ids[: stop - start], (), counted=True)
        return FrameIndex.of(list(self.ids[start:stop]), {pts for _, pts in self.keys})


@dataclass(frozen=True)
class Packets:
    """What the packets of a video stream say without decoding.

    Parameters
    ----------
    pts, dts : tuple of (int or None)
        Times of presentation and of decoding, in the order of the file.
    key_pts : frozenset of int
        Timestamps of keyframes that can be sought: none where the palette changes on the way.
    total : int
        Packets of any kind, empty ones included.
    cut_off : bool
        The last packet is incomplete; it is not in `pts`.
    """

    pts: tuple[int | None, ...]
    dts: tuple[int | None, ...]
    key_pts: frozenset[int]
    total: int
    cut_off: bool

    @property
    def unique(self) -> bool:
        """Whether every frame has a timestamp of its own."""
        return None not in self.pts and len(set(self.pts)) == len(self.pts)

    def lead(self, ids: tuple[int, ...]) -> int:
        """Return by how many frames a frame is at most stored later than it is displayed.

        So many frames before the end of a cut-off file may lack a neighbour that would have
        been stored behind them.
        """
        rank = {pts: place for place, pts in enumerate(self.pts)}
        return max((rank[pts] - n for n, pts in enumerate(ids) if pts in rank), default=0)


#: Packets between two calls of whoever watches a scan.
_PACE = 128


def scan(
    container: Any,
    stream: Any,
    watch: Callable[[list[int | None], set[int]], None] | None = None,
) -> Packets:
    """Read all packets of `stream` once, without decoding any.

    Parameters
    ----------
    container, stream
        PyAV's, just opened.
    watch : callable, optional
        Given the timestamps and the keyframes among them so far, now and then.
    """
    pts: list[int | None] = []
    dts: list[int | None] = []
    repainted = False
    keys: set[int] = set()
    total, cut_off = 0, False
    is_gif = container.format.name == "gif"
    try:
        for packet in container.demux(stream):
            if packet.dts is None and packet.pts is None and not packet.size:
                continue  # the flush packet at the end
            total += 1
            cut_off = bool(packet.is_corrupt) or (is_gif and not is_whole_gif(bytes(packet)))
            if packet.is_discard or not packet.size:
                continue
            repainted = repainted or (bool(pts) and packet.has_sidedata("palette"))
            pts.append(packet.pts)
            dts.append(packet.dts)
            if packet.pts is not None and _begins_anew(packet):
                keys.add(packet.pts)
            if watch is not None and not total % _PACE:
                watch(pts, keys)
    except AV_ERRORS:
        cut_off = False  # the demuxer gave up after the last whole packet
    if cut_off and pts:
        pts.pop()
        dts.pop()
    return Packets(tuple(pts), tuple(dts), frozenset(() if repainted else keys), total, cut_off)


class Decoder:
    """One open container that decodes forward, or seeks, to exactly the frame asked for.

    Not safe from several threads: give each its own, or hold a lock.

    Parameters
    ----------
    path : Path or FilePart
        The file.
    container_format : str
        FFmpeg's name of the container, from the file's content.
    index : FrameIndex
        The table to obey.
    threads : int
        Frames that are decoded at a time; the pictures are the same. Counts from the next
        opening of the file on.
    stamp : Stamp, optional
        Of the file that the table is of; another is not read.
    """

    def __init__(
        self,
        path: Path | FilePart,
        container_format: str,
        index: FrameIndex,
        threads: int = 1,
        stamp: Stamp | None = None,
    ) -> None:
        self._path = path
        self._format = container_format
        self.index = index
        self.threads = threads
        self._stamp = stamp
        self._container: Any = None
        self._frames: Iterator[tuple[int, av.VideoFrame]] | None = None
        self._next = 0
        self._sought = False
        self._skim_to = 0

    def advance(self, frame: int, *, skim: bool = False) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield the frames decoded on the way to `frame`, which comes last, with numbers.

        Parameters
        ----------
        frame : int
            Its number.
        skim : bool
            Leave out frames on the way that no other frame refers to. The picture is the same.

        Raises
        ------
        VideoError
            If the frame cannot be decoded.
        """
        self._skim_to = frame if skim and not self.index.counted else 0
        key = self.index.key_before(frame)
        key_frame = self.index.keys[key][0] if key >= 0 else 0
        if self._frames is None or not key_frame <= self._next <= frame:
            self._seek(key)
        yield from self._until(frame)
        if self._next != frame + 1 and self._sought:
            # Some containers (MPEG program streams) do not land where they should: do without.
            self._rewind()
            yield from self._until(frame)
        if self._next != frame + 1:
            self._frames = None
            raise VideoError(
                "is damaged or missing in the file; export the clip again, or use the frames "
                "before",
                path=self._path,
                frame=frame,
            )

    def close(self) -> None:
        """Close the container; closing twice is fine."""
        self._frames = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _until(self, frame: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield frames up to `frame`; afterwards `_next` tells whether it was there."""
        assert self._frames is not None
        try:
            for number, picture in self._frames:
                if number > frame:
                    return
                self._next = number + 1
                yield number, picture
                if number == frame:
                    return
        except AV_ERRORS as error:
            self._frames = None
            raise VideoError(
                f"cannot be decoded ({reason(error, self._path)})", path=self._path, frame=frame
            ) from error

    def _seek(self, key: int) -> None:
        """Start decoding at keyframe `key`, an earlier one, or the beginning."""
        require_unchanged(self._path, self._stamp)
        if self._container is None:
            self._open()
            self._prime()
        for candidate in range(key, max(-1, key - 3), -1):
            number, pts = self.index.keys[candidate]
            if number == 0:
                break
            try:
                stream = self._container.streams.best("video")
                first, packets = self._land(stream, pts)
                if first is not None and first.dts is not None and not _begins_anew(first):
                    first, packets = self._land(stream, first.dts - 1)
            except AV_ERRORS:
                break  # not every container can seek; every one can be read from its beginning
            if first is None or not _begins_anew(first):
                continue
            if self.index.find(first.pts) >= 0 and first.pts <= pts:
                self._frames = self._decode(first, packets, number)
                self._next = number
                self._sought = True
                return
        self._rewind()

    def _land(self, stream: Any, timestamp: int) -> tuple[Any, Iterator[Any]]:
        """Seek, and return the first packet there (None at the end) and those behind it."""
        self._container.seek(timestamp, stream=stream, backward=True)
        packets = self._container.demux(stream)
        return next(packets, None), packets

    def _prime(self) -> None:
        """Decode the first packet: in some files it alone brings the palette."""
        stream = self._container.streams.best("video")
        with suppress(*AV_ERRORS):
            decoded(next(self._container.demux(stream)))

    def _rewind(self) -> None:
        """Start decoding at the beginning."""
        self._open()
        packets = self._container.demux(self._container.streams.best("video"))
        self._frames = self._decode(None, packets, 0)
        self._next = 0
        self._sought = False

    def _open(self) -> None:
        self.close()
        self._container = open_container(self._path, self._format, self.threads)

    def _decode(
        self, first: Any, packets: Iterator[Any], floor: int
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield numbered frames from `floor` on; earlier ones may lack their references."""
        for count, picture in enumerate(decode_packets(first, self._skimmed(packets))):
            number = count if self.index.counted else self.index.find(picture.pts)
            if number >= floor:
                yield number, picture

    def _skimmed(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Pass packets on; have the decoder drop those before `_skim_to` that none refers to."""
        context = self._container.streams.best("video").codec_context
        if context.name not in _SKIMMED:
            yield from packets
            return
        for packet in packets:
            aside = packet.pts is not None and self.index.find(packet.pts) < self._skim_to
            context.skip_frame = "NONREF" if aside else "DEFAULT"
            yield packet


def _begins_anew(packet: Any) -> bool:
    """Whether decoding can begin with a packet.

    In packed MPEG-4 (XviD, DivX) two pictures share a packet, and the next one is an empty
    placeholder, which may be flagged as a keyframe.
    """
    codec = packet.stream.codec_context.name
    placeholder = packet.size <= _PLACEHOLDER and codec == "mpeg4"
    return packet.is_keyframe and not placeholder and codec not in _FALSE_KEYS


def seconds_of(ids: tuple[int, ...], time_base: Fraction) -> list[float]:
    """Return seconds since the first frame for timestamps in units of `time_base`."""
    ticks = sorted(ids)
    return [float((tick - ticks[0]) * time_base) for tick in ticks]

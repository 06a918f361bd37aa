"""Video containers through PyAV: frame-exact, exact grey, true times, several threads.

The table of frames and the decoder that obeys it are in `_index.py`, grey in `_grey.py`.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import VideoError
from napari_deepmtj.io._base import BaseSource, reason
from napari_deepmtj.io._display import AS_STORED, Display
from napari_deepmtj.io._grey import ColourRange, grey_of, is_monochrome_h264, range_of
from napari_deepmtj.io._index import (
    AV_ERRORS,
    Decoder,
    FrameIndex,
    Packets,
    decode_packets,
    open_container,
    scan,
    seconds_of,
)
from napari_deepmtj.io._part import FilePart

UInt8Array = npt.NDArray[np.uint8]

#: Memory for decoded frames, so that stepping backwards does not decode a whole group of
#: pictures each time.
CACHE_BYTES = 64 * 2**20

#: Frames at the beginning that are decoded on opening to hold the table against the decoder.
CHECKED_FRAMES = 16


class AvSource(BaseSource):
    """A video file, read frame-exactly.

    `read` is safe from several threads: they share one decoder behind a lock, and a bounded
    cache. Every `frames` has a container of its own and disturbs nobody.

    Parameters
    ----------
    path : Path or FilePart
        The file.
    container_format : str
        FFmpeg's name of the container, from the file's content.
    colour_range : {"full", "limited"}, optional
        Overrides what the file says of its luma.
    times : callable, optional
        Given the number of frames, returns their times where they are known from elsewhere.
    """

    def __init__(
        self,
        path: Path | FilePart,
        container_format: str,
        colour_range: ColourRange | None = None,
        *,
        times: Callable[[int], FrameTimes | None] | None = None,
    ) -> None:
        opened = _examine(path, container_format, times)
        self._path = path
        self._format = container_format
        self._index = opened.index
        self._override: ColourRange | None = colour_range
        first = opened.first
        self._display = display = Display.of(first, opened.aspect, opened.field_order)
        self._stored = (first.height, first.width)
        said, said_by = range_of(first, colour_range)
        if said_by == "assumed" and opened.monochrome:
            said = self._override = "full"  # untagged greyscale, as everywhere
        facts = opened.facts | {
            "pixel_format": first.format.name,
            "colour_range": said,
            "colour_range_from": said_by,
            "frame_index": "counted" if opened.index.counted else "timestamps",
            **display.facts,
        }
        super().__init__(
            path.name,
            path.path if isinstance(path, FilePart) else path,
            *display.orientation.size(*self._stored),
            opened.times,
            metadata=facts,
            notices=(*opened.notices, *display.notices(path.name)),
        )
        self._lock = Lock()
        self._decoder = Decoder(path, container_format, opened.index)
        self._cache: OrderedDict[int, UInt8Array] = OrderedDict()
        self._capacity = max(2, CACHE_BYTES // (self.height * self.width))

    def close(self) -> None:
        """Close the shared decoder and empty the cache."""
        with self._lock:
            super().close()
            self._decoder.close()
            self._cache.clear()

    def _read(self, frame: int) -> UInt8Array:
        with self._lock:
            self._require_open()
            if frame in self._cache:
                self._cache.move_to_end(frame)
                return self._cache[frame]
            grey: UInt8Array | None = None
            for number, picture in self._decoder.advance(frame):
                if frame - number < self._capacity:
                    grey = self._grey(number, picture, None)
                    self._cache[number] = grey
                    self._cache.move_to_end(number)
                    if len(self._cache) > self._capacity:
                        self._cache.popitem(last=False)
            assert grey is not None  # advance ends with `frame`, or raises
            return grey

    def _frames(self, numbers: range, roi: Roi | None) -> Iterator[UInt8Array]:
        with Decoder(self._path, self._format, self._index) as decoder:
            for frame in numbers:
                try:
                    for number, picture in decoder.advance(frame):
                        if number == frame:
                            grey = self._grey(frame, picture, roi)
                except VideoError as error:
                    self._stopped(frame, error)
                    return
                yield grey  # advance ends with `frame`, or raises

    def _grey(self, frame: int, picture: av.VideoFrame, roi: Roi | None) -> UInt8Array:
        if (picture.height, picture.width) != self._stored:
            height, width = self._stored
            raise VideoError(
                f"is {picture.width} x {picture.height} px, the frames before {width} x {height}; "
                "split the clip there",
                path=self._path,
                frame=frame,
            )
        if picture.is_corrupt:
            self.say(f"{self.name}: frame {frame} is damaged in the file; it is used as it is")
        orientation = self._display.orientation
        try:
            if orientation == AS_STORED:
                return grey_of(picture, roi, self._override)
            stored = None if roi is None else orientation.stored(roi, self.height, self.width)
            return orientation.show(grey_of(picture, stored, self._override))
        except AV_ERRORS as error:
            raise VideoError(
                f"its pixels cannot be converted to grey ({reason(error, self._path)})",
                path=self._path,
                frame=frame,
            ) from error


class _Opened:
    """What opening a file finds out: table, times, first picture, facts and notices."""

    def __init__(self, path: Path | FilePart, facts: dict[str, Any]) -> None:
        self.path = path
        self.facts = facts
        self.notices: list[str] = []
        self.index = FrameIndex((), ())
        self.times = FrameTimes.unknown(0)
        self.first: av.VideoFrame
        self.monochrome = False
        self.aspect: Fraction | None = None
        self.field_order = 0


def _examine(
    path: Path | FilePart,
    container_format: str,
    times: Callable[[int], FrameTimes | None] | None,
) -> _Opened:
    """Find out all about a file without decoding more of it than is needed."""
    container = open_container(path, container_format)
    try:
        stream = container.streams.best("video")
        facts = _facts(container, stream)
        aspect = stream.sample_aspect_ratio
        time_base = stream.time_base
        promised = stream.frames
        seconds = None if container.duration is None else container.duration / av.time_base
        alone = len(container.streams) == 1
        context = stream.codec_context
        field_order = int(context.field_order)
        # AVI has no timestamps of its own: those of reordered H.264 are shuffled.
        monochrome = context.name == "h264" and is_monochrome_h264(context.extradata)
        shuffled = container_format == "avi" and context.name != "mpeg4" and context.has_b_frames
        packets = scan(container, stream)
    except AV_ERRORS as error:
        raise VideoError(
            f"cannot be read ({reason(error, path)}); export it again", path=path
        ) from error
    finally:
        container.close()

    opened = _Opened(path, facts)
    opened.monochrome = monochrome
    opened.aspect, opened.field_order = aspect, field_order
    if not packets.pts:
        raise _no_frames(path)
    if container_format == "avi":
        promised = _avi_promise(promised, packets)
    ids: tuple[int, ...] | None = None
    if packets.unique and not shuffled:
        ids = _checked(opened, container_format, packets)
    if ids is None:
        ids = _count(opened, container_format, packets)
    promise = str(promised) if promised > packets.total else None
    if container_format == "matroska" and alone and seconds is not None:
        promise = _promise(seconds, ids, time_base)
    if promise is not None or packets.cut_off or (not promised and _gap_at_end(packets, ids)):
        _shorten(opened, container_format, packets, promise)
    if container_format == "avi" and len(set(packets.dts) - {None}) == len(ids):
        ids = tuple(sorted(dts for dts in packets.dts if dts is not None))
    ids = ids[: len(opened.index)]
    known = None if times is None else times(len(opened.index))
    if known is None:
        known = _times(opened, ids, time_base, facts["nominal_rate_hz"])
    opened.times = known
    return opened


def _facts(container: Any, stream: Any) -> dict[str, Any]:
    """Copy what is worth knowing; after closing, the stream must not be touched."""
    rate = stream.average_rate
    return {
        "container": container.format.name,
        "codec": stream.codec_context.name,
        "time_base": str(stream.time_base),
        "nominal_rate_hz": float(rate) if rate else None,
    }


def _checked(opened: _Opened, container_format: str, packets: Packets) -> tuple[int, ...] | None:
    """Take sorted timestamps as the table if the first frames decoded agree with it."""
    ids = sorted(pts for pts in packets.pts if pts is not None)
    with _decoding(opened.path, container_format) as frames:
        pictures = list(itertools.islice(frames, CHECKED_FRAMES))
    if not pictures:
        raise _no_frames(opened.path)
    got = [-1 if picture.pts is None else picture.pts for picture in pictures]
    lead = ids.index(got[0]) if got[0] in ids[:CHECKED_FRAMES] else 0
    if got != ids[lead : lead + len(got)]:
        damaged = all(pts in packets.pts for pts in got) and got == sorted(got)
        if not damaged:
            return None
    if lead:
        opened.notices.append(
            f"{opened.path.name}: its first {lead} frames refer to pictures that were cut away; "
            "the clip begins after them"
        )
    opened.first = pictures[0]
    opened.index = FrameIndex.of(ids, set(packets.key_pts)).cut(lead, len(ids))
    return opened.index.ids


def _count(opened: _Opened, container_format: str, packets: Packets) -> tuple[int, ...]:
    """Decode the whole file once and take the order in which frames come."""
    order: list[int | None] = []
    first = None
    with _decoding(opened.path, container_format) as frames:
        for picture in frames:
            first = first or picture
            order.append(picture.pts)
    if first is None:
        raise _no_frames(opened.path)
    opened.first = first
    known = [pts for pts in order if pts is not None]
    if len(known) == len(order) == len(set(known)):
        whole = set(packets.pts)
        known = [pts for pts in known if pts in whole]
        opened.index = FrameIndex.of(known, set(packets.key_pts))
    else:
        opened.index = FrameIndex(tuple(range(len(order))), (), counted=True)
    return tuple(known)


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


def _shorten(opened: _Opened, container_format: str, packets: Packets, promise: str | None) -> None:
    """Find where a cut-off clip really ends, and say so."""
    index = opened.index
    n = max(1, len(index) - packets.lead(index.ids))
    if not index.counted:
        with Decoder(opened.path, container_format, index) as decoder:
            key = index.key_before(n - 1)
            good = index.keys[key][0] if key >= 0 else 0
            try:
                for number, _ in decoder.advance(n - 1):
                    good = number + 1
            except VideoError:
                n = max(1, good)
    opened.index = index.cut(0, n)
    of = "" if promise is None else f" of {promise}"
    opened.notices.append(
        f"{opened.path.name} ends after {n}{of} frames: the file was cut off; what is there is used"
    )


def _times(opened: _Opened, ids: tuple[int, ...], time_base: Any, rate: float | None) -> FrameTimes:
    """Return the times of the frames: the file's own where it has them."""
    n = len(opened.index)
    if len(ids) == n == len(set(ids)):
        return FrameTimes(np.array(seconds_of(ids, time_base)), "container")
    if rate:
        opened.notices.append(
            f"{opened.path.name} has no usable frame times; {rate:g} frames per second are assumed"
        )
        return FrameTimes.from_rate(n, rate, f"assumed {rate:g} Hz")
    opened.notices.append(f"{opened.path.name} has no frame times")
    return FrameTimes.unknown(n)


class _decoding:  # noqa: N801 - used as a context manager
    """A fresh container's frames in the order of decoding, for as long as the block lasts."""

    def __init__(self, path: Path | FilePart, container_format: str) -> None:
        self._container = open_container(path, container_format)

    def __enter__(self) -> Iterator[av.VideoFrame]:
        stream = self._container.streams.best("video")
        return decode_packets(None, self._container.demux(stream))

    def __exit__(self, *exception: object) -> None:
        self._container.close()


def _no_frames(path: Path | FilePart) -> VideoError:
    return VideoError("holds no frame that can be decoded; export the clip again", path=path)

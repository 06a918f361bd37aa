"""A decoder that obeys the table of frames, or finds that the table is wrong."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.video.frame import PictureType

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.dicom.streams import FilePart
from napari_deepmtj.video.ffmpeg.container import (
    AV_ERRORS,
    decode_packets,
    open_container,
    video_stream,
)
from napari_deepmtj.video.ffmpeg.index import FrameIndex
from napari_deepmtj.video.ffmpeg.packets import NONE
from napari_deepmtj.video.stamp import Stamp, require_unchanged

#: Codecs in which frames that none refers to can be left out without changing any other.
_SKIMMED = ("h264", "hevc")

#: No frame is stored further behind one that is displayed after it: decoded picture buffers hold
#: 16 frames at most (ITU-T H.264, A.3.1 and H.265, A.4.2), which may be 32 fields.
REORDER = 32

#: Kinds of pictures that refer to no other; some decoders do not say.
WHOLE = (PictureType.NONE, PictureType.I, PictureType.SI)


class DisprovedError(Exception):
    """What is decoded is not what the table of frames says."""


class _LostPlaceError(Exception):
    """After seeking, packets are not those that were listed."""


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
        self._next, self._landed = 0, -1
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
        DisprovedError
            If the table was made from timestamps, and is wrong here.
        """
        if frame in self.index.unreadable:
            raise self._unreadable(frame)
        # Frames near the one wanted are all decoded, to see that they come in their order.
        self._skim_to = frame - REORDER if skim else 0
        key = self.index.key_before(frame)
        key_frame = int(self.index.key_frames[key]) if key >= 0 else 0
        if self._frames is None or not key_frame <= self._next <= frame:
            self._seek(key)
        yield from self._until(frame)
        if self._next != frame + 1 and self._sought:
            # Some files do not give the same pictures after seeking: do without.
            self._rewind()
            yield from self._until(frame)
        if self._next != frame + 1:
            self._frames = None
            if not self.index.proved:
                raise DisprovedError
            raise self._unreadable(frame)

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

    def _unreadable(self, frame: int) -> VideoError:
        return VideoError(
            "is damaged or missing in the file; export the clip again, or use other frames",
            path=self._path,
            frame=frame,
        )

    def _until(self, frame: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield frames up to `frame`; afterwards `_next` tells whether it was there."""
        assert self._frames is not None
        with suppress(_LostPlaceError, *AV_ERRORS):
            for number, picture in self._frames:
                if not self._holds(number, picture):
                    break
                if number > frame:
                    return
                self._next = number + 1
                yield number, picture
                if number == frame:
                    return
        self._next = -1  # wherever the decoder is, it is not where it should be

    def _holds(self, number: int, picture: av.VideoFrame) -> bool:
        """Return True if a picture is the frame that the table says.

        Raises
        ------
        DisprovedError
            If it is not, and the whole file was never decoded for the table.
        """
        sums = self.index.sums
        if sums is not None:
            return bool(checksum(picture) == sums[number])
        if (
            not self._next <= number <= max(self._next, self._skim_to)
            or picture.is_corrupt
            or (number == self._landed and picture.pict_type not in WHOLE)
        ):
            self._frames = None
            raise DisprovedError
        return True

    def _seek(self, key: int) -> None:
        """Start decoding at keyframe `key`, an earlier one, or the beginning."""
        require_unchanged(self._path, self._stamp)
        if self._container is None:
            self._open()
            self._prime()
        for candidate in range(key, max(-1, key - 3), -1):
            packet = int(self.index.key_packets[candidate])
            if packet == 0:
                break
            pts, dts = self.index.packets.pts[packet], self.index.packets.dts[packet]
            times = [pts, dts] if dts == NONE else [pts, dts, dts - 1]
            for time in dict.fromkeys(time for time in times if time != NONE):
                try:
                    landed, first, packets = self._land(int(time), packet)
                except AV_ERRORS:
                    break  # not every container can seek; all can be read from their beginning
                if landed >= 0:
                    self._frames = self._decode(self._followed(first, packets, landed), landed)
                    self._next = self._landed = self.index.frame_of(landed)
                    self._sought = True
                    return
        self._rewind()

    def _land(self, time: int, packet: int) -> tuple[int, Any, Iterator[Any]]:
        """Seek to a time, and go on to a keyframe not behind number `packet`.

        Returns
        -------
        (int, packet, iterator)
            Its number, -1 for none; the packet itself, and those behind it.
        """
        stream = video_stream(self._container)
        self._container.seek(time, stream=stream, backward=True)
        packets = self._container.demux(stream)
        for first in packets:
            if not first.size:
                continue
            number = self.index.packets.key_of(first)
            if number in self.index.key_packets and number <= packet:
                return number, first, packets
            if first.pos is None or first.pos > self.index.packets.positions[packet]:
                break
        return -1, None, iter(())

    def _followed(self, first: Any, packets: Iterator[Any], number: int) -> Iterator[Any]:
        """Pass packets on from number `number`, as long as they are those that were listed."""
        yield first
        for packet in packets:
            if packet.size:
                number += 1
                if number < len(self.index.packets) and not self.index.packets.is_at(
                    number, packet
                ):
                    raise _LostPlaceError
                yield packet

    def _prime(self) -> None:
        """Decode the first packet: in some files it alone brings the palette."""
        with suppress(*AV_ERRORS):
            next(self._container.demux(video_stream(self._container))).decode()

    def _rewind(self) -> None:
        """Start decoding at the beginning."""
        self._open()
        packets = self._container.demux(video_stream(self._container))
        self._frames = self._decode(packets, 0)
        self._next, self._landed = 0, -1
        self._sought = False

    def _open(self) -> None:
        self.close()
        self._container = open_container(self._path, self._format, self.threads)

    def _decode(self, packets: Iterator[Any], first: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield numbered frames from that of packet `first` on.

        Earlier ones may lack their references, unreadable ones parts of their picture.
        """
        floor = 0 if self.index.counted else self.index.frame_of(first)
        count = 0
        stream = video_stream(self._container)
        for came in decode_packets(stream, self._skimmed(packets, first), first):
            index = self.index  # a longer one may have come
            if came.failed and not index.proved:
                raise DisprovedError
            for picture in came.pictures:
                packet = -1 if picture.pts is None else picture.pts
                number = count if index.counted else index.frame_of(packet)
                count += 1
                if number >= floor and number not in index.unreadable:
                    yield number, picture
                elif number < 0 and not index.proved and packet < len(index.packets):
                    raise DisprovedError

    def _skimmed(self, packets: Iterator[Any], number: int) -> Iterator[Any]:
        """Pass packets on; have the decoder drop those before `_skim_to` that none refers to."""
        context = video_stream(self._container).codec_context
        if context.name not in _SKIMMED or self.index.counted:
            yield from packets
            return
        for packet in packets:
            if packet.size:
                aside = 0 <= self.index.frame_of(number) < self._skim_to
                context.skip_frame = "NONREF" if aside else "DEFAULT"
                number += 1
            yield packet


def checksum(picture: av.VideoFrame) -> int:
    """Return a checksum of the first plane of a picture, its luma where it has one."""
    plane, form = picture.planes[0], picture.format
    bits = form.components[0].bits if form.is_planar else form.padded_bits_per_pixel
    used = -(-plane.width * (8 * -(-bits // 8) if form.is_planar else bits) // 8)
    rows = np.frombuffer(memoryview(plane), np.uint8)[: plane.height * plane.line_size]
    return zlib.crc32(rows.reshape(plane.height, -1)[:, :used].tobytes())

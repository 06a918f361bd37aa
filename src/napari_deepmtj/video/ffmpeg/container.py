"""One open container of PyAV: opening it, decoding its packets, and what it raises.

Which packet is which frame is known in `index.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.stream import Disposition

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.dicom.streams import FilePart
from napari_deepmtj.video.source import reason

#: What PyAV raises on damaged files; it is many things.
AV_ERRORS = (
    av.FFmpegError,
    OSError,
    ValueError,
    RuntimeError,
    OverflowError,
    MemoryError,
    EOFError,
    LookupError,
)


class Decoded(NamedTuple):
    """What came of one packet.

    Attributes
    ----------
    packet : int
        Its number in the order of the file, empty ones not counted; the number of packets for
        what the decoder still held at the end.
    pictures : list of av.VideoFrame
        Their `pts` is the number of the packet that each is stored in.
    failed : bool
        The decoder refused the packet.
    """

    packet: int
    pictures: list[av.VideoFrame]
    failed: bool


def decode_packets(stream: Any, packets: Iterator[Any], first: int = 0) -> Generator[Decoded]:
    """Decode packets, telling which of them each picture is stored in.

    A decoder hands the timestamp of a packet on to its picture, whatever it is. Here it is the
    packet's number: timestamps of files may be missing, repeated or out of order.

    Parameters
    ----------
    stream
        PyAV's.
    packets : iterator
        Its packets in the order of the file; empty ones are passed over.
    first : int
        Number of the first one.
    """
    number = first
    for packet in packets:
        if not packet.size:
            continue  # decoders take an empty packet for the end
        packet.pts = packet.dts = number
        yield _decoded(number, packet.decode)
        number += 1
    yield _decoded(number, stream.codec_context.decode)


def _decoded(number: int, decode: Callable[[], list[Any]]) -> Decoded:
    try:
        return Decoded(number, decode(), False)
    except EOFError:
        return Decoded(number, [], False)
    except AV_ERRORS:
        return Decoded(number, [], True)


def films(container: Any) -> list[Any]:
    """Return the video streams of a container that can be decoded, without its covers."""
    streams = [stream for stream in container.streams.video if stream.codec_context is not None]
    return [stream for stream in streams if not _is_cover(stream, streams)] or streams


def video_stream(container: Any) -> Any:
    """Return the video of a container: the largest one that is not a cover; None without any."""
    best = container.streams.best("video")
    return max(
        films(container),
        key=lambda stream: (stream.height * stream.width, stream is best, -stream.index),
        default=None,
    )


def _is_cover(stream: Any, streams: list[Any]) -> bool:
    """Return True if a stream is a picture that stands for the clip, not the clip."""
    if stream.disposition & Disposition.attached_pic:
        return True
    if len(streams) == 1:
        return False
    return _frames_of(stream) == 1 and any(_frames_of(other) > 1 for other in streams)


def _frames_of(stream: Any) -> int:
    """Return the number of frames of a stream, 2 for more; headers count empty ones as well."""
    path = Path(stream.container.name)
    if not path.is_file():
        return int(stream.frames)
    facts = path.stat()
    counts = _counted(str(path), stream.container.format.name, facts.st_size, facts.st_mtime_ns)
    return counts.get(stream.index, 0)


@lru_cache(maxsize=64)
def _counted(path: str, container_format: str, _size: int, _modified_ns: int) -> dict[int, int]:
    """Return how many packets each video of a file has, up to 2."""
    counts: dict[int, int] = {}
    with suppress(*AV_ERRORS), av.open(path, format=container_format.split(",")[0]) as container:
        counts = {stream.index: 0 for stream in container.streams.video}
        for packet in container.demux(video=tuple(range(len(counts)))):
            counts[packet.stream.index] += bool(packet.size)
            if min(counts.values()) > 1:
                break
    return {index: min(2, count) for index, count in counts.items()}


def open_container(path: Path | FilePart, container_format: str, threads: int = 1) -> Any:
    """Open a file with PyAV as the format its content shows, to decode `threads` frames at a time.

    Raises
    ------
    VideoError
        If the file is damaged, or holds no picture.
    """
    try:
        file: Any = path.stream() if isinstance(path, FilePart) else str(path.absolute())
        container = av.open(file, mode="r", format=container_format)
    except AV_ERRORS as error:
        raise VideoError(
            f"cannot be opened as {container_format} video ({reason(error, path)}); the recording "
            "may have been cut off: export it again",
            path=path,
        ) from error
    stream = video_stream(container)
    if stream is None:
        container.close()
        raise VideoError("holds no video that can be decoded; export it again", path=path)
    stream.codec_context.thread_type = "FRAME"  # slices in threads are not concealed when lost
    stream.codec_context.thread_count = threads
    return container

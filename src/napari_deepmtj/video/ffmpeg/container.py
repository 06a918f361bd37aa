"""One open container of PyAV: opening it, decoding its packets, and what it raises.

Which packet is which frame is known in `_index.py`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import av

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


def decode_packets(first: Any, packets: Iterator[Any]) -> Generator[av.VideoFrame]:
    """Decode packets, passing over those the decoder refuses: their frames are then missing."""
    if first is not None:
        yield from decoded(first)
    for packet in packets:
        yield from decoded(packet)


def decoded(packet: Any) -> list[av.VideoFrame]:
    """Return the frames that come of a packet, none if the decoder refuses it."""
    try:
        return list(packet.decode())
    except AV_ERRORS:
        return []


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
    stream: Any = container.streams.best("video")
    if stream is None or stream.codec_context is None:
        container.close()
        raise VideoError("holds no video that can be decoded; export it again", path=path)
    stream.codec_context.thread_type = "FRAME"  # slices in threads are not concealed when lost
    stream.codec_context.thread_count = threads
    return container

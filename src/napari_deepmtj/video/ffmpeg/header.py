"""What a video file says of itself in a glance: its facts, its first frames, what it claims.

How all of its frames are found is `scan.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.dicom.streams import FilePart
from napari_deepmtj.video.display import Display
from napari_deepmtj.video.ffmpeg.container import (
    AV_ERRORS,
    decode_packets,
    films,
    open_container,
    video_stream,
)
from napari_deepmtj.video.ffmpeg.packets import Int64Array
from napari_deepmtj.video.grey import is_monochrome_h264
from napari_deepmtj.video.source import reason
from napari_deepmtj.video.stamp import Stamp

#: Frames at the beginning that are decoded at once, to hold the table against the decoder.
CHECKED_FRAMES = 16

#: A header that claims more frames is not believed; the table is found all the same.
MOST_FRAMES = 10_000_000


@dataclass(frozen=True)
class Glance:
    """What a file says of itself at once, and its first frames.

    Parameters
    ----------
    path : Path or FilePart
        The file.
    container_format : str
        FFmpeg's name of the container.
    facts : dict
        JSON-able facts.
    first : av.VideoFrame
        The first frame that can be decoded, which is frame 0.
    shown : tuple of int
        Packets of the first frames that the decoder gives; -1 where it does not tell.
    ticks : tuple of int
        Timestamps of the first packets, as far as they have any.
    failed : bool
        The decoder refused one of the first packets, or made up a part of a picture.
    time_base : Fraction
        Seconds of one unit of a timestamp.
    promised : int
        Frames that the header promises; 0 if it does not say.
    seconds : float or None
        The duration it promises.
    monochrome : bool
        The stream has no colour, which its pixel format does not show.
    display : Display
        How the pictures ask to be shown.
    stamp : Stamp or None
        Of the file, before it was opened.
    shuffled : bool
        Timestamps of packets do not tell the order of frames: all must be decoded.
    notices : tuple of str
        What the user must know of the streams in it.
    """

    path: Path | FilePart
    container_format: str
    facts: dict[str, Any]
    first: av.VideoFrame
    shown: tuple[int, ...]
    ticks: tuple[int, ...]
    failed: bool
    time_base: Any
    promised: int
    seconds: float | None
    monochrome: bool
    shuffled: bool
    notices: tuple[str, ...]
    display: Display
    stamp: Stamp | None

    def claim(self) -> FrameTimes:
        """Return times for as many frames as header and first frames claim, until all are known."""
        ticks = sorted(set(self.ticks))
        step = float(np.median(np.diff(ticks))) if len(ticks) > 1 else 0.0
        rate = 1 / (step * float(self.time_base)) if step else self.facts["nominal_rate_hz"]
        n = float(self.promised)
        if self.container_format == "avi" and step:
            n /= step  # its header counts ticks, some of them empty
        elif not n and rate:
            n = (self.seconds or 0) * rate
        n_frames = max(len(self.shown), round(n) if n <= MOST_FRAMES else 0)
        if not rate:
            return FrameTimes.unknown(n_frames)
        return FrameTimes.from_rate(n_frames, rate, f"provisionally {rate:g} Hz")


def glance(path: Path | FilePart, container_format: str) -> Glance:
    """Open a file and decode its first frames.

    Raises
    ------
    VideoError
        If it cannot be read, or holds no frame that can be decoded.
    """
    stamp = Stamp.of(path)
    container = open_container(path, container_format)
    try:
        stream = video_stream(container)
        context = stream.codec_context
        facts = _facts(container, stream)
        aspect, field_order = stream.sample_aspect_ratio, int(context.field_order)
        duration = container.duration
        known = {
            "time_base": stream.time_base,
            "promised": stream.frames,
            "seconds": None if duration is None else duration / av.time_base,
            "monochrome": context.name == "h264" and is_monochrome_h264(context.extradata),
            # AVI has no timestamps of its own: those of reordered H.264 are shuffled. VP8 has
            # frames that are never shown.
            "shuffled": bool(
                (container_format == "avi" and context.name != "mpeg4" and context.has_b_frames)
                or context.name == "vp8"
            ),
            "notices": tuple(_other_streams(path, container, stream)),
        }
        pictures, ticks, failed = _first_frames(container, stream)
    except AV_ERRORS as error:
        raise VideoError(
            f"cannot be read ({reason(error, path)}); export it again", path=path
        ) from error
    finally:
        container.close()
    if not pictures:
        raise no_frames(path)
    display = Display.of(pictures[0], aspect, field_order)
    return Glance(
        path,
        container_format,
        facts,
        pictures[0],
        tuple(-1 if picture.pts is None else picture.pts for picture in pictures),
        ticks,
        failed,
        display=display,
        stamp=stamp,
        **known,
    )


def _first_frames(container: Any, stream: Any) -> tuple[list[av.VideoFrame], tuple[int, ...], bool]:
    """Return the first pictures, the timestamps of their packets, and if any was refused."""
    ticks: list[int] = []
    pictures: list[av.VideoFrame] = []
    failed = False

    def noted() -> Iterator[Any]:
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                ticks.append(packet.pts)
            yield packet

    for came in decode_packets(stream, noted()):
        pictures += came.pictures
        failed = failed or came.failed or any(picture.is_corrupt for picture in came.pictures)
        if len(pictures) >= CHECKED_FRAMES:
            break
    return pictures[:CHECKED_FRAMES], tuple(ticks), failed


def _other_streams(path: Path | FilePart, container: Any, stream: Any) -> Iterator[str]:
    """Yield what must be said where a file holds more than one video."""
    others = len(films(container)) - 1
    if others > 0:
        yield (
            f"{path.name} holds {others + 1} videos; the one of {stream.width} x {stream.height} "
            "px is read, export the others to files of their own to use them"
        )


def _facts(container: Any, stream: Any) -> dict[str, Any]:
    """Copy what is worth knowing; after closing, the stream must not be touched."""
    rate = stream.average_rate
    return {
        "container": container.format.name,
        "codec": stream.codec_context.name,
        "time_base": str(stream.time_base),
        "nominal_rate_hz": float(rate) if rate else None,
    }


def lead_of(seen: Glance, order: Int64Array) -> int | None:
    """Return how many of the first frames refer to pictures that were cut away.

    Parameters
    ----------
    seen : Glance
        What the decoder gave.
    order : ndarray of int64, shape (n_frames,)
        Packets of the frames in the order that their timestamps say.

    Returns
    -------
    int or None
        None if the order is not that in which they are decoded.
    """
    shown = np.array(seen.shown)
    lead = int(np.argmax(order[:CHECKED_FRAMES] == shown[0])) if len(order) else 0
    head = order[lead : lead + len(shown)]
    return lead if not seen.failed and np.array_equal(head, shown[: len(head)]) else None


def no_frames(path: Path | FilePart) -> VideoError:
    """Return the error of a file in which no frame can be decoded."""
    return VideoError("holds no frame that can be decoded; export the clip again", path=path)

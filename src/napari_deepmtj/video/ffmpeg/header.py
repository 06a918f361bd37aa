"""What a video file says of itself in a glance: its facts, its first frames, what it claims.

How all of its frames are found is `_examine.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.dicom.streams import FilePart
from napari_deepmtj.video.display import Display
from napari_deepmtj.video.ffmpeg.container import AV_ERRORS, decode_packets, open_container
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
    pts : tuple of (int or None)
        Timestamps of the first frames, as the decoder gives them.
    time_base : Fraction
        Seconds of one unit of a timestamp.
    promised : int
        Frames that the header promises; 0 if it does not say.
    seconds : float or None
        The duration it promises.
    alone : bool
        There is nothing but the video in the file.
    monochrome : bool
        The stream has no colour, which its pixel format does not show.
    display : Display
        How the pictures ask to be shown.
    stamp : Stamp or None
        Of the file, before it was opened.
    shuffled : bool
        Timestamps of packets are not those of frames: all must be decoded to be counted.
    """

    path: Path | FilePart
    container_format: str
    facts: dict[str, Any]
    first: av.VideoFrame
    pts: tuple[int | None, ...]
    time_base: Any
    promised: int
    seconds: float | None
    alone: bool
    monochrome: bool
    shuffled: bool
    display: Display
    stamp: Stamp | None

    def claim(self) -> FrameTimes:
        """Return times for as many frames as header and first frames claim, until all are known."""
        ticks = sorted({pts for pts in self.pts if pts is not None})
        step = float(np.median(np.diff(ticks))) if len(ticks) > 1 else 0.0
        rate = 1 / (step * float(self.time_base)) if step else self.facts["nominal_rate_hz"]
        n = float(self.promised)
        if self.container_format == "avi" and step:
            n /= step  # its header counts ticks, some of them empty
        elif not n and rate:
            n = (self.seconds or 0) * rate
        n_frames = max(len(self.pts), round(n) if n <= MOST_FRAMES else 0)
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
        stream = container.streams.best("video")
        context = stream.codec_context
        facts = _facts(container, stream)
        aspect, field_order = stream.sample_aspect_ratio, int(context.field_order)
        duration = container.duration
        known = {
            "time_base": stream.time_base,
            "promised": stream.frames,
            "seconds": None if duration is None else duration / av.time_base,
            "alone": len(container.streams) == 1,
            "monochrome": context.name == "h264" and is_monochrome_h264(context.extradata),
            # AVI has no timestamps of its own: those of reordered H.264 are shuffled.
            "shuffled": bool(
                container_format == "avi" and context.name != "mpeg4" and context.has_b_frames
            ),
        }
        frames = decode_packets(None, container.demux(stream))
        pictures = list(itertools.islice(frames, CHECKED_FRAMES))
        frames.close()
    except AV_ERRORS as error:
        raise VideoError(
            f"cannot be read ({reason(error, path)}); export it again", path=path
        ) from error
    finally:
        container.close()
    if not pictures:
        raise no_frames(path)
    pts = tuple(picture.pts for picture in pictures)
    display = Display.of(pictures[0], aspect, field_order)
    return Glance(
        path,
        container_format,
        facts,
        pictures[0],
        pts,
        display=display,
        stamp=stamp,
        **known,
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


def lead_of(seen: Glance, ids: Sequence[int], known: set[int]) -> int | None:
    """Return how many of the first frames refer to pictures that were cut away.

    Parameters
    ----------
    seen : Glance
        What the decoder gave.
    ids : sequence of int
        Timestamps in order.
    known : set of int
        The same.

    Returns
    -------
    int or None
        None if the timestamps are not those that the decoder gives.
    """
    got = [-1 if pts is None else pts for pts in seen.pts]
    first = ids[:CHECKED_FRAMES]
    lead = first.index(got[0]) if got[0] in first else 0
    if got != list(ids[lead : lead + len(got)]):
        damaged = all(pts in known for pts in got) and got == sorted(got)
        if not damaged:
            return None
    return lead


def no_frames(path: Path | FilePart) -> VideoError:
    """Return the error of a file in which no frame can be decoded."""
    return VideoError("holds no frame that can be decoded; export the clip again", path=path)

"""Made-up clips of any length whose frames show their own number; what benchmarks read.

Needs PyAV alone. Not a benchmark itself.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]

#: A number is written as so many blocks of so many pixels, white for 1, least bit first.
BITS, BLOCK = 17, 12
BLACK, WHITE = 16, 235
RATE = 50

#: Kinds of clips: codec, pixel format, FFmpeg's container, B-frames, options of the encoder.
KINDS: dict[str, tuple[str, str, str, int, dict[str, str]]] = {
    "h264.mp4": ("libx264", "yuv420p", "mp4", 2, {"preset": "ultrafast", "crf": "28"}),
    # 7.4 kB a frame at 800 x 600 and 50 Hz: bytes a pixel as in three exports of a Telemed, which
    # have 9.6, 10.1 and 13.7 kB a frame of 1148 x 624
    "h264_fine.mp4": ("libx264", "yuv420p", "mp4", 3, {"preset": "veryfast", "b": "3M"}),
    "h264.mkv": ("libx264", "yuv420p", "matroska", 2, {"preset": "ultrafast", "crf": "28"}),
    "h264.avi": ("libx264", "yuv420p", "avi", 2, {"preset": "ultrafast", "crf": "28"}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", "avi", 0, {}),
    "wmv2.wmv": ("wmv2", "yuv420p", "asf", 0, {"b:v": "2M"}),
}


def write_clip(
    path: Path,
    kind: str,
    n_frames: int,
    *,
    height: int = 240,
    width: int = 320,
    gop: int = 250,
    seed: int = 0,
) -> None:
    """Write a clip of speckle that drifts and changes, under barcodes.

    Parameters
    ----------
    path : Path
        Where to.
    kind : str
        One of `KINDS`.
    n_frames : int
        How many frames, at `RATE` a second.
    height, width : int
        Size in pixels.
    gop : int
        Frames from one keyframe to the next.
    seed : int
        Of the speckle.
    """
    codec, pixels, container_format, b_frames, options = KINDS[kind]
    if width < BITS * BLOCK or n_frames > 2**BITS:
        raise ValueError(f"needs {BITS * BLOCK} px of width, and at most {2**BITS} frames")
    noise = np.random.default_rng(seed).integers(0, 255, (height, 2 * width), dtype=np.uint8)
    speckle = noise // 4 + np.roll(noise, 1, axis=1) // 4 + np.roll(noise, 1, axis=0) // 4 + 30
    grain = np.roll(noise, height // 2, axis=0) // 6  # changes from frame to frame
    with av.open(str(path), "w", format=container_format) as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, pixels
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = b_frames
        for number in range(n_frames):
            shift = number % width
            other = 97 * number % width
            grey = speckle[:, shift : shift + width] + grain[:, other : other + width]
            grey[: 2 * BLOCK] = BLACK
            for bit in range(BITS):
                if number >> bit & 1:
                    grey[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = WHITE
            frame = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format=pixels)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def number_of(grey: UInt8Array) -> int:
    """Return the number that a frame shows.

    Parameters
    ----------
    grey : ndarray of uint8, shape (H, W)
        The frame.
    """
    inner = slice(BLOCK // 4, BLOCK - BLOCK // 4)
    strip = grey[inner, : BITS * BLOCK].reshape(-1, BITS, BLOCK)[:, :, inner]
    bits = strip.mean(axis=(0, 2)) > (BLACK + WHITE) / 2
    return int(bits @ (1 << np.arange(BITS)))

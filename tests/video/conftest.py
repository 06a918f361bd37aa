"""Clips whose frames show their own number, in every container that is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

BITS = 8


def picture(number: int, height: int = 64, width: int = 160) -> np.ndarray:
    """A ramp that moves, under a barcode of `number`: 8 blocks of 12 x 12 px, white is 1."""
    columns = (np.arange(width) * 3 + 5 * number) % 220 + 18
    grey = np.repeat(columns[None], height, axis=0).astype(np.uint8)
    for bit in range(BITS):
        grey[:12, bit * 12 : bit * 12 + 12] = 235 if number >> bit & 1 else 16
    return grey


def number_of(grey: np.ndarray) -> int:
    """Read the barcode of a frame."""
    return sum(
        int(grey[3:9, bit * 12 + 3 : bit * 12 + 9].mean() > 128) << bit for bit in range(BITS)
    )


@dataclass(frozen=True)
class Clip:
    """How to make a clip, and what is true of it."""

    file: str
    codec: str
    pixels: str
    n: int = 60
    size: tuple[int, int] = (64, 160)
    rate: int = 25
    gop: int = 12
    b_frames: int = 0
    lossless: bool = False
    options: dict[str, str] = field(default_factory=dict)
    container: str | None = None
    milliseconds: tuple[int, ...] | None = None
    timed: bool = True
    ticks: int = 1

    def write(self, path: Path) -> None:
        unit = Fraction(1, self.rate * self.ticks if self.milliseconds is None else 1000)
        movie: Any = {"movflags": "faststart"} if path.suffix in (".mp4", ".mov") else {}
        with av.open(str(path), "w", format=self.container, options=movie) as container:
            stream: Any = container.add_stream(
                self.codec, rate=self.rate * self.ticks, options=self.options
            )
            stream.height, stream.width = self.size
            stream.pix_fmt = self.pixels
            stream.codec_context.gop_size = self.gop
            stream.codec_context.max_b_frames = self.b_frames
            if self.milliseconds is not None:
                stream.codec_context.time_base = stream.time_base = unit
            for number in range(self.n):
                frame = self.frame(number)
                frame.pts = (
                    number * self.ticks if self.milliseconds is None else self.milliseconds[number]
                )
                frame.time_base = unit
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    def frame(self, number: int) -> av.VideoFrame:
        grey = picture(number, *self.size)
        if self.pixels == "pal8":  # a palette that runs backwards, so that it must be looked up
            palette = np.repeat(np.arange(255, -1, -1, dtype=np.uint8)[:, None], 4, axis=1)
            palette[:, 0] = 255
            return av.VideoFrame.from_ndarray((255 - grey, palette), format="pal8")
        frame = av.VideoFrame.from_ndarray(grey, format="gray")
        return frame if self.pixels == "gray" else frame.reformat(format=self.pixels)

    @property
    def seconds(self) -> np.ndarray:
        if self.milliseconds is not None:
            return (np.array(self.milliseconds) - self.milliseconds[0]) / 1000
        return np.arange(self.n) / self.rate


VARIABLE = tuple(int(t) for t in np.cumsum(np.random.default_rng(7).integers(11, 90, 60)))
X264 = {"preset": "veryfast", "crf": "12"}

CLIPS = {
    clip.file: clip
    for clip in (
        Clip("mjpeg.avi", "mjpeg", "yuvj420p"),
        Clip("mjpeg_odd.avi", "mjpeg", "yuvj444p", size=(63, 161)),
        Clip("h264_long_gop.mp4", "libx264", "yuv420p", n=120, gop=250, b_frames=3, options=X264),
        Clip(
            "h264_unreferred.mp4",  # three of four frames are B-frames that none refers to
            "libx264",
            "yuv420p",
            n=120,
            gop=250,
            b_frames=3,
            options=X264 | {"x264-params": "b-adapt=0:b-pyramid=none:scenecut=0"},
        ),
        Clip("h264_full_range.mov", "libx264", "yuvj420p", gop=10, b_frames=2, options=X264),
        Clip(
            "h264_open_gop.mkv",
            "libx264",
            "yuv420p",
            b_frames=3,
            options=X264
            | {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:scenecut=0"},
        ),
        Clip("h264_b_frames.avi", "libx264", "yuv420p", b_frames=3, options=X264),
        Clip("h264.ts", "libx264", "yuv420p", b_frames=2, options=X264, container="mpegts"),
        Clip(
            "h264.264",
            "libx264",
            "yuv420p",
            b_frames=2,
            options=X264,
            container="h264",
            timed=False,
        ),
        Clip(
            "h264_variable.mp4",
            "libx264",
            "yuv420p",
            b_frames=2,
            options=X264,
            milliseconds=VARIABLE,
        ),
        Clip("ffv1_variable.mkv", "ffv1", "gray", lossless=True, milliseconds=VARIABLE),
        Clip("xvid_b_frames.avi", "mpeg4", "yuv420p", b_frames=2, options={"b:v": "2M"}),
        Clip("wmv2.wmv", "wmv2", "yuv420p", container="asf", options={"b:v": "2M"}),
        Clip(
            "mpeg2.mpg",
            "mpeg2video",
            "yuv420p",
            b_frames=2,
            container="mpeg",
            options={"b:v": "2M"},
        ),
        Clip("vp9.webm", "libvpx-vp9", "yuv420p", options={"deadline": "realtime", "crf": "15"}),
        Clip("h264_gray.mp4", "libx264", "gray", b_frames=2, options=X264 | {"color_range": "pc"}),
        Clip("h264_ticks.avi", "libx264", "yuv420p", b_frames=2, options=X264, ticks=2),
        Clip("raw_palette.avi", "rawvideo", "pal8", lossless=True),
        Clip("raw_gray.avi", "rawvideo", "gray", lossless=True),
        Clip("raw_bgr.avi", "rawvideo", "bgr24", lossless=True),
        Clip("raw_bgr_odd.avi", "rawvideo", "bgr24", size=(63, 161), lossless=True),
        Clip("raw_rgb.mov", "rawvideo", "rgb24", lossless=True),
        Clip("raw_yuyv.avi", "rawvideo", "yuyv422"),
        Clip("ffv1.mkv", "ffv1", "gray", lossless=True),
        Clip("ffv1_odd.mkv", "ffv1", "gray", size=(63, 161), lossless=True),
        Clip("ffv1_10_bit.mkv", "ffv1", "yuv420p10le"),
        Clip("huffyuv.avi", "huffyuv", "rgb24", lossless=True),
        Clip("png.mov", "png", "gray", lossless=True),
        Clip("loop.gif", "gif", "gray", lossless=True),
    )
}


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all clips, named as they should be."""
    folder = tmp_path_factory.mktemp("clips")
    for clip in CLIPS.values():
        clip.write(folder / clip.file)
    return folder


@pytest.fixture(params=list(CLIPS))
def clip(request: pytest.FixtureRequest) -> Clip:
    return CLIPS[request.param]


@pytest.fixture(scope="session")
def show_number():
    return number_of


@pytest.fixture(scope="session")
def make_picture():
    return picture


@pytest.fixture(scope="session")
def clips() -> dict[str, Clip]:
    return CLIPS

"""The clips of the reader's matrix: how each is written, and what is then true of it.

What is drawn is `matrix_pictures.py`, measured is in `reader_matrix.py`.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from matrix_pictures import UInt8Array, luma_exactly, picture

#: Range in which the samples of a clip are stored.
Range = Literal["full", "limited", "RGB", "palette"]


@dataclass(frozen=True)
class Case:
    """One clip of the matrix.

    Parameters
    ----------
    file : str
        Its name; the extension chooses the container unless `muxer` does.
    codec, pixels : str
        FFmpeg's encoder and the pixel format handed to it.
    colour : {"full", "limited", "RGB", "palette"}
        Range of the samples that are written.
    tagged : bool
        Whether the range is written into the file, where codec or container can.
    hidden : int
        Frames before the beginning that an edit list cuts away.
    lost : int
        Frames at the end that the encoder keeps to itself.
    variable : bool
        Uneven times instead of `rate`.
    tick : float
        Precision of the container's times in seconds.
    matrix : tuple of int
        Signs (a, b, c, d) of a display matrix.
    extra : dict
        Other attributes of the codec context.
    tool : {"pyav", "ffmpeg"}
        Who writes it: PyAV's own encoders, or those of an installed `ffmpeg`.
    """

    file: str
    codec: str
    pixels: str
    colour: Range
    width: int = 640
    height: int = 480
    n: int = 40
    rate: Fraction = Fraction(25)
    gop: int = 12
    b_frames: int = 0
    options: dict[str, str] = field(default_factory=dict)
    muxer: str | None = None
    movie: dict[str, str] = field(default_factory=dict)
    tag: str | None = None
    tagged: bool = False
    hidden: int = 0
    lost: int = 0
    variable: bool = False
    tick: float = 0.0
    aspect: Fraction | None = None
    matrix: tuple[int, int, int, int] | None = None
    interlaced: bool = False
    extra: dict[str, Any] = field(default_factory=dict)
    tool: Literal["pyav", "ffmpeg"] = "pyav"

    @property
    def container(self) -> str:
        """Name of the container, from the extension."""
        return self.file.rpartition(".")[2].upper()

    @property
    def shown(self) -> tuple[int, int]:
        """Height and width of the picture as it is to be shown."""
        turned = self.matrix is not None and self.matrix[0] == 0
        return (self.width, self.height) if turned else (self.height, self.width)

    @property
    def numbers(self) -> range:
        """What the barcodes of its frames say."""
        return range(self.hidden, self.n - self.lost)

    @property
    def ticks(self) -> npt.NDArray[np.int64]:
        """When each frame is shown: milliseconds if variable, else units of 1 / rate."""
        ticks = np.arange(self.n)
        if self.variable:
            steps = np.random.default_rng(7).integers(11, 90, self.n - 1)
            ticks = np.concatenate([[0], np.cumsum(steps)])
        return ticks - ticks[self.hidden]

    @property
    def seconds(self) -> npt.NDArray[np.float64]:
        """Seconds since the first visible frame."""
        unit = 0.001 if self.variable else float(1 / self.rate)
        return self.ticks[self.hidden : self.n - self.lost] * unit

    def missing(self) -> str | None:
        """Return why it cannot be written here, None if it can."""
        import av

        if self.tool == "ffmpeg":
            if shutil.which("ffmpeg") is None:
                return "no ffmpeg on PATH"
            found = subprocess.run(["ffmpeg", "-v", "error", "-encoders"], capture_output=True)
            there = f" {self.codec} ".encode() in found.stdout
            return None if there else f"ffmpeg has no encoder {self.codec}"
        try:
            av.Codec(self.codec, "w")
        except (ValueError, av.FFmpegError):
            return f"PyAV has no encoder {self.codec}"
        return None

    def write(self, path: Path, seed: int = 0) -> None:
        """Write the clip."""
        if self.tool == "ffmpeg":
            self._write_with_ffmpeg(path, seed)
            return
        import av

        unit = Fraction(1, 1000) if self.variable else 1 / self.rate
        with av.open(str(path), "w", format=self.muxer, options=self.movie) as container:
            rate = Fraction(25) if self.variable else self.rate
            stream: Any = container.add_stream(self.codec, rate=rate, options=self.options)
            context = stream.codec_context
            stream.height, stream.width, stream.pix_fmt = self.height, self.width, self.pixels
            context.gop_size, context.max_b_frames = self.gop, self.b_frames
            context.time_base = stream.time_base = unit
            if self.tagged:
                context.color_range = 2 if self.colour == "full" else 1
            if self.tag is not None:
                context.codec_tag = self.tag
            if self.aspect is not None:
                context.sample_aspect_ratio = self.aspect
            for name, value in self.extra.items():
                setattr(context, name, value)
            if self.matrix is not None:
                a, b, c, d = (65536 * sign for sign in self.matrix)
                stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
            for number, tick in enumerate(self.ticks):
                frame = self.frame(number, seed)
                frame.pts, frame.time_base = int(tick), unit
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    def frame(self, number: int, seed: int) -> Any:
        """Return a frame in the pixel format and range of the clip."""
        import av

        rgb = self.stored(picture(number, *self.shown, seed))
        if self.colour == "palette":
            grey = np.arange(255, -1, -1)  # backwards and tinted, so that it must be looked up
            tint = np.stack([grey + 8, grey, grey - 21], axis=1).clip(0, 255)
            palette = np.concatenate([np.full((256, 1), 255), tint], axis=1).astype(np.uint8)
            index = 255 - np.rint(luma_exactly(rgb)).astype(np.uint8)
            return av.VideoFrame.from_ndarray((index, palette), format="pal8")
        if self.pixels.startswith("gray"):
            grey = np.rint(luma_exactly(rgb)).astype(np.uint8)
            if self.tagged and self.colour == "limited":
                grey = np.rint(grey * (219 / 255) + 16).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="gray")
            return frame if self.pixels == "gray" else frame.reformat(format=self.pixels)
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        if self.pixels == "rgb24":
            return frame
        span = "JPEG" if self.colour == "full" else "MPEG"
        return frame.reformat(format=self.pixels, dst_color_range=span, dst_colorspace="ITU601")

    def stored(self, rgb: UInt8Array) -> UInt8Array:
        """Turn a picture so that the display matrix turns it back."""
        if self.matrix is None:
            return rgb
        a, b, c, d = self.matrix
        if a:
            return np.ascontiguousarray(rgb[::d, ::a])
        return np.ascontiguousarray(rgb[::b, ::c].swapaxes(0, 1))

    def _write_with_ffmpeg(self, path: Path, seed: int) -> None:
        command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{self.width}x{self.height}", "-r", str(self.rate), "-i", "-"]
        command += ["-c:v", self.codec, "-pix_fmt", self.pixels, "-g", str(self.gop)]
        command += ["-bf", str(self.b_frames)]
        for name, value in self.options.items():
            command += [f"-{name}", value]
        data = b"".join(picture(n, *self.shown, seed).tobytes() for n in range(self.n))
        if path.suffix != ".avi":
            subprocess.run([*command, str(path)], input=data, check=True)
            return
        made = subprocess.run([*command, "-f", "avi", "-"], input=data, check=True, stdout=-1)
        _one_tick_a_chunk(made.stdout, path)


def _one_tick_a_chunk(avi: bytes, path: Path) -> None:
    """Write an AVI file again without the empty chunks that an encoder's delay left in it."""
    import av

    with av.open(BytesIO(avi)) as made, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(made.streams.video[0])
        chunks = [packet for packet in made.demux(video=0) if packet.size]
        for number, packet in enumerate(chunks):
            packet.stream, packet.pts, packet.dts = stream, number, number
            container.mux(packet)


X264 = {"preset": "veryfast", "crf": "16"}
X265 = {"preset": "ultrafast", "x265-params": "log-level=error:pools=1:frame-threads=1"}
VPX = {"deadline": "realtime", "cpu-used": "8", "crf": "16", "b": "4M"}
PER_MILLE = {"tick": 0.001}
GOOD = {"b": "6M"}
OPEN_GOP = "open-gop=1:keyint=12:min-keyint=12:bframes=3:scenecut=0"
EDITED: dict[str, Any] = {
    "hidden": 7,
    "movie": {"avoid_negative_ts": "disabled", "use_editlist": "1"},
}
ODD: dict[str, Any] = {"width": 641, "height": 481}
SVGA: dict[str, Any] = {"width": 800, "height": 600}
SCREEN: dict[str, Any] = {"width": 1148, "height": 624}
SMALL: dict[str, Any] = {"width": 320, "height": 240}
PAL: dict[str, Any] = {"width": 720, "height": 576}
PAL_DV: dict[str, Any] = {**PAL, "aspect": Fraction(16, 15), "interlaced": True}
MPEG_1_2: dict[str, Any] = {"options": {"b": "8M"}, "b_frames": 2}
RAW: dict[str, Any] = {"codec": "rawvideo"}
FIELDS = {"flags": "+ildct+ilme", "field_order": "tt"}


def _h264(file: str, pixels: str = "yuv420p", colour: Range = "limited", **more: Any) -> Case:
    more = {"b_frames": 2, "options": X264} | more
    return Case(file, more.pop("codec", "libx264"), pixels, colour, **more)


# fmt: off
CASES = (
    # Motion JPEG
    Case("mjpeg.avi", "mjpeg", "yuvj420p", "full", **SVGA),
    Case("mjpeg_422_odd.avi", "mjpeg", "yuvj422p", "full", **ODD),
    Case("mjpeg_444_odd.mov", "mjpeg", "yuvj444p", "full", **ODD),
    Case("mjpeg_limited.avi", "mjpeg", "yuv420p", "limited", tagged=True, options={"strict": "-1"}),
    Case("mjpeg.mkv", "mjpeg", "yuvj420p", "full", **PER_MILLE),
    Case("mjpeg_variable.mp4", "mjpeg", "yuvj420p", "full", variable=True),
    # MPEG-4 part 2 and its relatives
    Case("xvid_b_frames.avi", "mpeg4", "yuv420p", "limited", b_frames=2, tag="XVID", options=GOOD),
    Case(
        "xvid_packed.avi", "libxvid", "yuv420p", "limited", b_frames=2, tool="ffmpeg", n=42, lost=2,
        options={"q:v": "3"}, **SVGA,
    ),
    Case("divx5.avi", "mpeg4", "yuv420p", "limited", tag="DX50", options=GOOD, **SVGA),
    Case("divx_odd.avi", "mpeg4", "yuv420p", "limited", tag="DIVX", options=GOOD, **ODD),
    Case(
        "mpeg4_asp.mp4", "mpeg4", "yuv420p", "limited", b_frames=2, gop=25,
        options=GOOD | {"flags": "+qpel+mv4"}, **SVGA,
    ),
    Case("mpeg4.m4v", "mpeg4", "yuv420p", "limited", options=GOOD, muxer="mp4"),
    Case("mpeg4_anamorphic.mp4", "mpeg4", "yuv420p", "limited", options=GOOD,
         aspect=Fraction(12, 11), **PAL),
    Case("msmpeg4v2.avi", "msmpeg4v2", "yuv420p", "limited", options=GOOD),
    Case("msmpeg4v3.avi", "msmpeg4", "yuv420p", "limited", options=GOOD, **SVGA),
    Case("msmpeg4v3_div3.avi", "msmpeg4", "yuv420p", "limited", tag="DIV3", gop=60, options=GOOD),
    Case("msmpeg4v3_odd.avi", "msmpeg4", "yuv420p", "limited", options=GOOD, **ODD),
    Case("h263.avi", "h263p", "yuv420p", "limited", options=GOOD, **SMALL),
    Case("flv1.avi", "flv", "yuv420p", "limited", options=GOOD, **SMALL),
    Case("wmv1.wmv", "wmv1", "yuv420p", "limited", muxer="asf", options=GOOD, **PER_MILLE),
    Case("wmv2.wmv", "wmv2", "yuv420p", "limited", muxer="asf", options=GOOD, **PER_MILLE, **SVGA),
    Case("wmv2_variable.wmv", "wmv2", "yuv420p", "limited", muxer="asf", options=GOOD,
         variable=True, **PER_MILLE),
    Case("wmv2.avi", "wmv2", "yuv420p", "limited", options=GOOD),
    # MPEG-1, MPEG-2, DV
    Case("mpeg1.mpg", "mpeg1video", "yuv420p", "limited", muxer="mpeg", **MPEG_1_2),
    Case("mpeg1.avi", "mpeg1video", "yuv420p", "limited", options=GOOD),
    Case("mpeg2.mpg", "mpeg2video", "yuv420p", "limited", muxer="vob", **MPEG_1_2, **SVGA),
    Case("mpeg2.ts", "mpeg2video", "yuv420p", "limited", muxer="mpegts", **MPEG_1_2),
    Case("mpeg2_interlaced.mpg", "mpeg2video", "yuv420p", "limited", muxer="vob", b_frames=2,
         options={"b": "8M"} | FIELDS, **PAL_DV),
    Case("mpeg2_422.mkv", "mpeg2video", "yuv422p", "limited", **MPEG_1_2, **PER_MILLE),
    Case("dv.avi", "dvvideo", "yuv420p", "limited", **PAL_DV),
    Case("dv.mov", "dvvideo", "yuv420p", "limited", **PAL_DV),
    # H.264
    _h264("h264.mp4", **SVGA),
    _h264("h264_screen.mp4", rate=Fraction(61), **SCREEN),
    _h264("h264_long_gop.mp4", n=300, gop=250, b_frames=3, **SVGA),
    _h264("h264_variable.mp4", variable=True, **SVGA),
    _h264("h264_ntsc.mp4", rate=Fraction(30000, 1001)),
    _h264("h264_edited.mp4", **EDITED),
    _h264("h264_edited_variable.mov", variable=True, **EDITED),
    _h264("h264_fragments.mp4", movie={"movflags": "frag_keyframe+empty_moov"}),
    _h264("h264_open_gop.mkv", options=X264 | {"x264-params": OPEN_GOP}, **PER_MILLE),
    _h264("h264_open_gop.mp4", options=X264 | {"x264-params": OPEN_GOP}),
    _h264("h264_refresh.mp4", options=X264 | {"intra-refresh": "1"}, b_frames=0, gop=20),
    _h264("h264_limited_tagged.mp4", tagged=True),
    _h264("h264_full.mp4", "yuvj420p", "full", **SVGA),
    _h264("h264_full_tagged.mov", "yuv420p", "full", tagged=True),
    _h264("h264_422.mov", "yuv422p"),
    _h264("h264_444_odd.mp4", "yuv444p", **ODD),
    _h264("h264_444_full.mkv", "yuvj444p", "full", **PER_MILLE),
    _h264("h264_gray.mp4", "gray", "full"),
    _h264("h264_gray_tagged.mp4", "gray", "full", tagged=True),
    _h264("h264_gray_10_bit.mp4", "gray10le", "full"),
    _h264("h264_10_bit.mp4", "yuv420p10le"),
    _h264("h264_10_bit_full.mkv", "yuv420p10le", "full", tagged=True, **PER_MILLE),
    _h264("h264_422_10_bit.mov", "yuv422p10le"),
    _h264("h264_rgb.mp4", "rgb24", "RGB", codec="libx264rgb"),
    _h264("h264_rgb_limited_tag.mkv", "rgb24", "RGB", codec="libx264rgb", tagged=True, **PER_MILLE),
    _h264("h264_b_frames.avi", b_frames=3),
    _h264("h264.ts", muxer="mpegts", **SVGA),
    _h264("h264_interlaced.mp4", interlaced=True, options=X264 | FIELDS, **PAL),
    _h264("h264_turned_90.mp4", matrix=(0, 1, -1, 0)),
    _h264("h264_turned_180.mov", matrix=(-1, 0, 0, -1), **SVGA),
    _h264("h264_turned_270.mp4", matrix=(0, -1, 1, 0), aspect=Fraction(4, 3)),
    _h264("h264_mirrored.mov", matrix=(-1, 0, 0, 1)),
    # HEVC, VP8, VP9, AV1
    Case("hevc.mp4", "libx265", "yuv420p", "limited", b_frames=3, options=X265),
    Case("hevc_full.mkv", "libx265", "yuvj420p", "full", options=X265, **PER_MILLE),
    Case("hevc_10_bit.mp4", "libx265", "yuv420p10le", "limited", b_frames=2, options=X265),
    Case("hevc_12_bit.mkv", "libx265", "yuv420p12le", "limited", options=X265, **PER_MILLE),
    Case("hevc_gray.mp4", "libx265", "gray", "full", tagged=True, options=X265),
    Case("hevc.ts", "libx265", "yuv420p", "limited", muxer="mpegts", b_frames=2, options=X265),
    Case("vp8.webm", "libvpx", "yuv420p", "limited", options=VPX, **PER_MILLE, **SVGA),
    Case("vp9.webm", "libvpx-vp9", "yuv420p", "limited", options=VPX, **PER_MILLE),
    Case("vp9_full_odd.mkv", "libvpx-vp9", "yuv420p", "full", tagged=True, options=VPX,
         **PER_MILLE, **ODD),
    Case("vp9_10_bit.webm", "libvpx-vp9", "yuv420p10le", "limited", tool="ffmpeg",
         options={"deadline": "realtime", "cpu-used": "8", "b:v": "4M"}, **PER_MILLE),
    Case("vp9_variable.mkv", "libvpx-vp9", "yuv420p", "limited", variable=True, options=VPX,
         **PER_MILLE),
    Case("av1.mp4", "libsvtav1", "yuv420p", "limited", options={"preset": "12", "crf": "20"}),
    Case("av1_10_bit.mkv", "libsvtav1", "yuv420p10le", "limited",
         options={"preset": "12", "crf": "20"}, **PER_MILLE),
    # lossless and editing codecs
    Case("huffyuv.avi", "huffyuv", "yuv422p", "limited"),
    Case("huffyuv_rgb_odd.avi", "huffyuv", "rgb24", "RGB", **ODD),
    Case("ffvhuff_10_bit.avi", "ffvhuff", "yuv420p10le", "limited"),
    Case("ffv1_gray_odd.mkv", "ffv1", "gray", "full", **PER_MILLE, **ODD),
    Case("ffv1_variable.mkv", "ffv1", "gray", "full", variable=True, **PER_MILLE),
    Case("ffv1_gray_12_bit.mkv", "ffv1", "gray12le", "full", **PER_MILLE),
    Case("ffv1_gray_16_bit.mkv", "ffv1", "gray16le", "full", **PER_MILLE),
    Case("ffv1_12_bit.mkv", "ffv1", "yuv444p12le", "limited", **PER_MILLE),
    Case("ffv1_rgb_10_bit.mkv", "ffv1", "gbrp10le", "RGB", **PER_MILLE),
    Case("ffv1.avi", "ffv1", "yuv420p", "limited"),
    Case("utvideo.avi", "utvideo", "gbrp", "RGB"),
    Case("magicyuv.avi", "magicyuv", "yuv444p", "limited"),
    Case("zmbv.avi", "zmbv", "pal8", "palette"),
    Case("ljpeg.avi", "ljpeg", "yuvj444p", "full"),
    Case("jpeg2000.mov", "jpeg2000", "gray", "full", n=24),
    Case("png.mov", "png", "rgb24", "RGB"),
    Case("png.avi", "png", "gray", "full"),
    Case("png_palette.mov", "png", "pal8", "palette"),
    Case("png_gray_16_bit.mov", "png", "gray16be", "full"),
    Case("tiff.mov", "tiff", "rgb24", "RGB"),
    Case("prores.mov", "prores_ks", "yuv422p10le", "limited"),
    Case("prores_4444_odd.mov", "prores_ks", "yuv444p10le", "limited", **ODD),
    Case("dnxhr.mov", "dnxhd", "yuv422p", "limited", options={"profile": "dnxhr_hq"}),
    Case("cineform.mov", "cfhd", "yuv422p10le", "limited"),
    # codecs of older capture programs
    Case("cinepak.avi", "cinepak", "rgb24", "RGB", n=24, **SMALL),
    Case("cinepak_gray.mov", "cinepak", "gray", "full", n=24, **SMALL),
    Case("msrle.avi", "msrle", "pal8", "palette"),
    Case("msvideo1.avi", "msvideo1", "rgb555le", "RGB", **SMALL),
    Case("animation.mov", "qtrle", "rgb24", "RGB"),
    Case("animation_gray.mov", "qtrle", "gray", "full"),
    Case("animation_15_bit.mov", "qtrle", "rgb555be", "RGB"),
    Case("graphics.mov", "smc", "pal8", "palette"),
    Case("road_pizza.mov", "rpza", "rgb555le", "RGB", **SMALL),
    Case("sorenson.mov", "svq1", "yuv410p", "limited", **SMALL),
    Case("loop.gif", "gif", "pal8", "palette", tick=0.01, **SMALL),
    Case("gray.gif", "gif", "gray", "palette", tick=0.01, **SMALL),
    Case("variable.gif", "gif", "gray", "palette", tick=0.01, variable=True, **SMALL),
    # raw pictures
    Case("raw_rgb.mov", pixels="rgb24", colour="RGB", **RAW),
    Case("raw_bgr_odd.avi", pixels="bgr24", colour="RGB", **RAW, **ODD),
    Case("raw_bgra.avi", pixels="bgra", colour="RGB", **RAW),
    Case("raw_gray.avi", pixels="gray", colour="full", **RAW),
    Case("raw_palette_odd.avi", pixels="pal8", colour="palette", **RAW, **ODD),
    Case("raw_palette.mov", pixels="pal8", colour="palette", **RAW),
    Case("raw_rgb555.avi", pixels="rgb555le", colour="RGB", **RAW),
    Case("raw_i420.avi", pixels="yuv420p", colour="limited", **RAW, **SVGA),
    Case("raw_yuyv.avi", pixels="yuyv422", colour="limited", **RAW),
    Case("raw_uyvy.mov", pixels="uyvy422", colour="limited", **RAW),
    Case("raw_nv12.avi", pixels="nv12", colour="limited", **RAW),
    Case("raw_gray_16_bit.mov", pixels="gray16be", colour="full", **RAW),
    Case("v210.mov", "v210", "yuv422p10le", "limited"),
    Case("v410.mov", "v410", "yuv444p10le", "limited"),
    Case("r210.mov", "r210", "gbrp10le", "RGB"),
)
# fmt: on

"""Clips whose timestamps, keyframes or packets do not say which frame is which, and their reading.

Every case is written anew, decoded in order by FFmpeg, and read in order and at random. Run it as
`python benchmarks/timestamp_clips.py`; it ends with 1 if one frame is wrong.
"""

from __future__ import annotations

import argparse
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from barcodes import BITS, BLOCK, WHITE, number_of
from napari_deepmtj import open_video
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.ffmpeg import source as _source

#: Frames of a clip, size of a picture, frames a second.
N, HEIGHT, WIDTH, RATE = 48, 48, BITS * BLOCK + 4, 25

X264 = {"preset": "veryfast", "x264-params": "keyint=12:min-keyint=12:scenecut=0:b-adapt=0"}
KINDS: dict[str, tuple[str, str, int, dict[str, str]]] = {
    "b": ("libx264", "yuv420p", 2, X264),
    "no_b": ("libx264", "yuv420p", 0, X264),
    "open": ("libx264", "yuv420p", 3, {"x264-params": X264["x264-params"] + ":open-gop=1"}),
    "refresh": ("libx264", "yuv420p", 0, {"x264-params": "intra-refresh=1:keyint=12"}),
    "hevc": (
        "libx265",
        "yuv420p",
        3,
        {"x265-params": "log-level=none:keyint=12:min-keyint=12:pools=1:frame-threads=1"},
    ),
    "mpeg2": ("mpeg2video", "yuv420p", 2, {"b": "3M"}),
    "mpeg4": ("mpeg4", "yuv420p", 2, {"b": "3M"}),
    "mpeg4_no_b": ("mpeg4", "yuv420p", 0, {"b": "3M"}),
    "mjpeg": ("mjpeg", "yuvj420p", 0, {}),
    "ffv1": ("ffv1", "gray", 0, {}),
    "vp8": (
        "libvpx",
        "yuv420p",
        0,
        {"auto-alt-ref": "1", "lag-in-frames": "8", "b": "600k", "deadline": "good"},
    ),
    "vp9": ("libvpx-vp9", "yuv420p", 0, {"auto-alt-ref": "1", "lag-in-frames": "8", "b": "600k"}),
}

Times = Callable[[list[Any]], None]


def picture(number: int) -> npt.NDArray[np.uint8]:
    """Return a moving ramp under the barcode of a number."""
    ramp = (np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) * 3 + 5 * number) % 180 + 30
    grey: npt.NDArray[np.uint8] = ramp.astype(np.uint8)
    grey[: 2 * BLOCK] = 16
    for bit in range(BITS):
        if number >> bit & 1:
            grey[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = WHITE
    return grey


def write(
    path: Path,
    kind: str,
    *,
    numbers: range = range(N),
    times: Times | None = None,
    muxer: str | None = None,
    movie: dict[str, str] | None = None,
    other: tuple[int, int] | None = None,
    ticks: int = 1,
) -> None:
    """Write a clip, its packets changed by `times` before they go into the container.

    Parameters
    ----------
    path : Path
        Where to.
    kind : str
        One of `KINDS`.
    numbers : range
        What the frames show.
    times : callable, optional
        Changes the list of packets in place.
    muxer, movie
        FFmpeg's container and its options.
    other : (int, int), optional
        Height and width of a second video before this one.
    ticks : int
        Units of time from one frame to the next.
    """
    codec, pixels, b_frames, options = KINDS[kind]
    packets: list[Any] = []
    with av.open(str(path), "w", format=muxer, options=movie or {}) as container:
        if other is not None:
            second: Any = container.add_stream("mjpeg", rate=RATE)
            second.height, second.width, second.pix_fmt = *other, "yuvj420p"
        stream: Any = container.add_stream(codec, rate=RATE * ticks, options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, pixels
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 12, b_frames
        unit = Fraction(1, RATE * ticks)
        stream.codec_context.time_base = unit
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(number), format="gray")
            frame = frame.reformat(format=pixels)
            frame.pts, frame.time_base = place * ticks, unit
            packets += stream.encode(frame)
            if other is not None:
                grey = np.full(other, 99, np.uint8)
                small = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format="yuvj420p")
                small.pts, small.time_base = place, Fraction(1, RATE)
                container.mux(second.encode(small))
        packets += stream.encode(None)
        if times is not None:
            times(packets)
        for packet in packets:
            container.mux(packet)


# --- what is done to the times of packets ---------------------------------------------------------


def shifted(by: int) -> Times:
    """Let all begin later, or before 0."""

    def change(packets: list[Any]) -> None:
        for packet in packets:
            packet.pts, packet.dts = packet.pts + by, packet.dts + by

    return change


def repeated(*at: int) -> Times:
    """Give some frames the time of the one before."""

    def change(packets: list[Any]) -> None:
        order = sorted(packet.pts for packet in packets)
        for packet in packets:
            packet.dts -= 3  # or else a muxer refuses them
            if packet.pts in [order[n] for n in at]:
                packet.pts = order[order.index(packet.pts) - 1]

    return change


def swapped(at: int) -> Times:
    """Exchange the times of a frame and the next one."""

    def change(packets: list[Any]) -> None:
        order = sorted(packet.pts for packet in packets)
        other = {order[at]: order[at + 1], order[at + 1]: order[at]}
        for packet in packets:
            packet.pts, packet.dts = other.get(packet.pts, packet.pts), packet.dts - 3

    return change


def leaping(packets: list[Any]) -> None:
    """Let a gap of ten seconds lie in the middle."""
    for packet in packets[24:]:
        packet.pts, packet.dts = packet.pts + 10 * RATE, packet.dts + 10 * RATE


def untimed_last(packets: list[Any]) -> None:
    """Give the last packet no duration, and the one before a long one."""
    packets[-1].duration, packets[-2].duration = 0, 50


# --- what is done to files ------------------------------------------------------------------------


def joined(path: Path, kind: str, starts: tuple[float, float] = (0.0, 0.0), **more: Any) -> None:
    """Put one clip behind another, as `cat` does; they begin at so many seconds."""
    data = b""
    for part, start in zip((range(N // 2), range(N // 2, N)), starts, strict=True):
        movie = {"output_ts_offset": f"{start:.3f}"}
        write(path, kind, numbers=part, movie=movie, **more)
        data += path.read_bytes()
    path.write_bytes(data)


def restarted(path: Path, kind: str, to_ms: int) -> None:
    """Write a Matroska file whose times go back to `to_ms` in the middle."""
    write(path, kind, movie={"cluster_time_limit": str(12 * 1000 // RATE - 5)})
    data = bytearray(path.read_bytes())
    at, clusters = 0, []
    while (at := data.find(b"\x1f\x43\xb6\x75", at + 1)) > 0:
        clusters.append(data.index(b"\xe7", at) + 1)
    middle = clusters[len(clusters) // 2 :]
    back = _timestamp(data, middle[0]) - to_ms
    for place in middle:
        length = data[place] & 0x7F
        time = _timestamp(data, place) - back
        data[place + 1 : place + 1 + length] = time.to_bytes(length, "big")
    path.write_bytes(data)


def _timestamp(data: bytearray, place: int) -> int:
    return int.from_bytes(data[place + 1 : place + 1 + (data[place] & 0x7F)], "big")


def with_empty_chunks(path: Path, kind: str, where: dict[int, int]) -> None:
    """Write an AVI file with empty chunks before some frames; -1 is the end."""
    write(path, kind)
    data = path.read_bytes()
    at = data.index(b"movi") - 8
    end = at + 8 + struct.unpack("<L", data[at + 4 : at + 8])[0]
    body, index, count, place = b"movi", b"", 0, at + 12
    flags = _index_flags(data)
    while place < end:
        name, size = struct.unpack("<4sL", data[place : place + 8])
        if name == b"00dc":
            for _ in range(where.get(count, 0)):
                index += struct.pack("<4s3L", name, 0, len(body), 0)
                body += name + bytes(4)
            index += struct.pack("<4s3L", name, flags[count], len(body), size)
            count += 1
        body += data[place : place + 8 + size + size % 2]
        place += 8 + size + size % 2
    for _ in range(where.get(-1, 0)):
        index += struct.pack("<4s3L", b"00dc", 0, len(body), 0)
        body += b"00dc" + bytes(4)
    new = bytearray(data[:at] + b"LIST" + struct.pack("<L", len(body)) + body)
    new += b"idx1" + struct.pack("<L", len(index)) + index
    new[4:8] = struct.pack("<L", len(new) - 8)
    for tag, offset in ((b"avih", 24), (b"strh", 40)):
        field = new.index(tag) + offset
        new[field : field + 4] = struct.pack("<L", count + sum(where.values()))
    path.write_bytes(new)


def all_keys(path: Path, kind: str) -> None:
    """Write an AVI file whose index calls every frame a keyframe, as some recorders do."""
    write(path, kind)
    data = bytearray(path.read_bytes())
    at = data.index(b"idx1") + 8
    while data[at : at + 4] == b"00dc":
        data[at + 4] |= 0x10
        at += 16
    path.write_bytes(data)


def without_index(path: Path, kind: str) -> None:
    """Write an AVI file without its index, as a recorder leaves it that was switched off."""
    write(path, kind)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"idx1")])


def begun_late(path: Path, kind: str) -> None:
    """Cut the first packets off a transport stream."""
    write(path, kind, muxer="mpegts")
    data = path.read_bytes()
    head = data[: 3 * 188]
    path.write_bytes(head + data[188 * (len(data) // 188 // 5) :])


def edited(path: Path, kind: str, entries: list[tuple[int, int]]) -> None:
    """Write an MP4 file with an edit list of (first frame, frames); -1 is an empty edit."""
    movie = {"use_editlist": "1", "movie_timescale": "12800"}
    write(path, kind, muxer="mp4", movie=movie)
    data = path.read_bytes()
    at = data.index(b"elst") - 4
    size = struct.unpack(">L", data[at : at + 4])[0]
    tick = 12800 // RATE
    first = struct.unpack(">l", data[at + 20 : at + 24])[0]  # of the composition times
    rows = b"".join(
        struct.pack(">LlL", count * tick, -1 if start < 0 else first + start * tick, 1 << 16)
        for start, count in entries
    )
    elst = struct.pack(">L4sLL", 16 + len(rows), b"elst", 0, len(entries)) + rows
    grown = len(elst) - size
    new = bytearray(data[:at] + elst + data[at + size :])
    for box in (b"moov", b"trak", b"edts"):
        place = new.index(box) - 4
        length = struct.unpack(">L", new[place : place + 4])[0]
        new[place : place + 4] = struct.pack(">L", length + grown)
    path.write_bytes(new)


def with_cover(path: Path, kind: str) -> None:
    """Write a clip that has a larger picture beside it, which nothing calls a cover."""
    codec, pixels, b_frames, options = KINDS[kind]
    grey = np.full((200, 300), 99, np.uint8)
    with av.open(str(path), "w") as container:
        cover: Any = container.add_stream("mjpeg", rate=RATE)
        cover.height, cover.width, cover.pix_fmt = 200, 300, "yuvj420p"
        stream: Any = container.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, pixels
        stream.codec_context.max_b_frames = b_frames
        frame = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format="yuvj420p")
        frame.pts = 0
        container.mux([*cover.encode(frame), *cover.encode(None)])
        for number in range(N):
            frame = av.VideoFrame.from_ndarray(picture(number), format="gray")
            frame = frame.reformat(format=pixels)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _index_flags(data: bytes) -> list[int]:
    at, flags = data.index(b"idx1") + 8, []
    while data[at : at + 4] == b"00dc":
        flags.append(struct.unpack("<L", data[at + 4 : at + 8])[0])
        at += 16
    return flags


# --- the cases ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A clip; `frames` is how many FFmpeg must decode, None where that is not known before."""

    file: str
    make: Callable[[Path], None]
    frames: int | None = N


def cases() -> Iterator[Case]:
    """Yield all cases."""

    def case(file: str, make: Callable[..., None], *arguments: Any, **more: Any) -> Case:
        frames = more.pop("frames", N)
        return Case(file, lambda path: make(path, *arguments, **more), frames)

    for kind in ("b", "no_b", "open", "hevc", "mpeg4", "mjpeg"):
        for suffix in ("mp4", "mkv", "mov"):
            yield case(f"plain_{kind}.{suffix}", write, kind)
            yield case(f"late_{kind}.{suffix}", write, kind, times=shifted(30))
            yield case(f"repeated_{kind}.{suffix}", write, kind, times=repeated(17, 31))
            yield case(f"swapped_{kind}.{suffix}", write, kind, times=swapped(30))
        yield case(f"leap_{kind}.mkv", write, kind, times=leaping)
        yield case(f"restart_{kind}.mkv", restarted, kind, 0)
        yield case(f"restart_inside_{kind}.mkv", restarted, kind, 303)
    for kind in ("b", "open", "mpeg4"):
        negative = {"avoid_negative_ts": "disabled"}
        yield case(
            f"negative_{kind}.mp4", write, kind, times=shifted(-7), movie=negative, frames=None
        )
        yield case(f"last_{kind}.mp4", write, kind, times=untimed_last)
        yield case(f"last_{kind}.mkv", write, kind, times=untimed_last)
    for kind in ("b", "no_b", "open", "refresh", "hevc", "mpeg2"):
        ts = {"muxer": "mpegts"}
        yield case(f"plain_{kind}.ts", write, kind, **ts)
        yield case(f"joined_{kind}.ts", joined, kind, **ts)
        yield case(f"begun_late_{kind}.ts", begun_late, kind, frames=None)
        offset = {"output_ts_offset": f"{2**33 / 90000 - 0.9:.3f}"}
        yield case(f"wrapped_{kind}.ts", write, kind, movie=offset, **ts)
        yield case(f"joined_back_{kind}.ts", joined, kind, (20.0, 0.0), **ts)
        yield case(f"joined_near_{kind}.ts", joined, kind, (0.5, 0.02), **ts)
        yield case(f"joined_on_{kind}.ts", joined, kind, (0.0, 7.0), **ts)
    yield case("joined_mpeg2.mpg", joined, "mpeg2", muxer="mpeg")
    yield case("joined_b.264", joined, "b", muxer="h264")
    yield case("joined_hevc.265", joined, "hevc", muxer="hevc")
    yield case("joined_mjpeg.mjpeg", joined, "mjpeg", muxer="mjpeg")
    for kind in ("refresh", "vp8", "vp9", "ffv1", "mpeg2"):
        yield case(f"plain_{kind}.mkv", write, kind)
        yield case(f"late_{kind}.mkv", write, kind, times=shifted(30))
    for kind in ("b", "mpeg4", "mpeg4_no_b", "mjpeg", "ffv1"):
        yield case(f"plain_{kind}.avi", write, kind)
        for name, where in (
            ("middle", {10: 1, 30: 3}),
            ("first", {0: 2}),
            ("last", {-1: 4}),
            ("everywhere", {0: 2, 20: 2, -1: 3}),
        ):
            yield case(f"empty_{name}_{kind}.avi", with_empty_chunks, kind, where)
        yield case(f"all_keys_{kind}.avi", all_keys, kind)
        yield case(f"no_index_{kind}.avi", without_index, kind)
    for kind in ("b", "open", "mpeg4", "mjpeg"):
        for name, entries in (
            ("begin", [(7, N - 7)]),
            ("end", [(0, 30)]),
            ("both", [(15, 20)]),
            ("empty", [(-1, 10), (0, N)]),
            ("two", [(0, 10), (30, 12)]),
            ("again", [(0, 20), (5, 20)]),
        ):
            yield case(f"edited_{name}_{kind}.mp4", edited, kind, entries, frames=None)
    for suffix in ("mp4", "mkv", "avi", "ts"):
        more = {"muxer": "mpegts"} if suffix == "ts" else {}
        if suffix != "ts":
            yield case(f"two_videos.{suffix}", write, "b", other=(32, 48), **more)
            yield case(f"cover_b.{suffix}", with_cover, "b")
        yield case(f"ticks.{suffix}", write, "b", ticks=2, **more)


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """What came of one case."""

    reads: int
    wrong: list[str]
    notices: tuple[str, ...]


def truth(path: Path) -> list[int]:
    """Return what FFmpeg decodes in order, of the largest video."""
    with av.open(str(path)) as container:
        sizes = [stream.height * stream.width for stream in container.streams.video]
        several = [size for size in sizes if size != 300 * 200]  # the cover's
        stream = container.streams.video[sizes.index(max(several))]
        stream.thread_type = "NONE"
        return [number_of(frame.to_ndarray(format="gray")) for frame in container.decode(stream)]


def read(path: Path, case: Case, reads: int, seed: int = 0) -> Reading:
    """Read a clip in order and at random, and compare it with what FFmpeg decodes."""
    expected = truth(path)
    wrong: list[str] = []
    if case.frames is not None and len(expected) != case.frames:
        wrong.append(f"FFmpeg decodes {len(expected)} of {case.frames}: the case is not as meant")
    cache, _source.CACHE_BYTES = _source.CACHE_BYTES, 0
    try:
        with open_video(path) as source:
            pictures = list(source.frames())
            sums = [zlib.crc32(picture.tobytes()) for picture in pictures]
            if [number_of(picture) for picture in pictures] != expected:
                wrong.append("in order it is not what FFmpeg decodes")
            if source.n_frames != len(expected):
                wrong.append(f"has {source.n_frames} frames, FFmpeg decodes {len(expected)}")
        with open_video(path) as source:  # nothing was read in order
            order = np.random.default_rng(seed).integers(0, source.n_frames, reads)
            for frame in order.tolist():
                picture = source.read(frame)
                if number_of(picture) != expected[frame]:
                    wrong.append(f"frame {frame} shows {number_of(picture)}")
                elif zlib.crc32(picture.tobytes()) != sums[frame]:
                    wrong.append(f"frame {frame} differs from itself in order")
            return Reading(reads, wrong, source.notices)
    except (VideoError, IndexError) as error:
        return Reading(reads, [*wrong, f"{type(error).__name__}: {error}"], ())
    finally:
        _source.CACHE_BYTES = cache


def main() -> int:
    """Read the command line, write and read all clips, and print what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="clips with this in their names")
    parser.add_argument("--reads", type=int, default=100, help="random reads of each clip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--told", action="store_true", help="print what is said of each clip too")
    options = parser.parse_args()
    reads = wrong = clips = 0
    with tempfile.TemporaryDirectory() as folder:
        for case in cases():
            if options.only not in case.file:
                continue
            path = Path(folder) / case.file
            try:
                case.make(path)
            except av.FFmpegError as error:
                print(f"{case.file:28} cannot be written: {error}")
                continue
            reading = read(path, case, options.reads, options.seed)
            path.unlink()
            clips, reads, wrong = clips + 1, reads + reading.reads, wrong + bool(reading.wrong)
            if reading.wrong or options.told:
                print(f"{case.file:28} {reading.wrong[:3]} {reading.notices}", flush=True)
    print(f"{clips} clips, {reads} random reads: {wrong} clips with a wrong frame")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

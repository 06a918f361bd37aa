"""Frames that cannot be decoded: told, left out, and never another picture in their place."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.opening import open_video

#: Clip, and whether its frames stand alone; the others have a keyframe every 12 frames.
CLIPS = {
    "mjpeg.avi": True,
    "png.mov": True,
    "xvid_b_frames.avi": False,
    "h264_open_gop.mkv": False,
    "h264_full_range.mov": False,
    "h264_variable.mp4": False,
    "h264_b_frames.avi": False,
    "wmv2.wmv": False,
    "vp9.webm": False,
}
N, GOP = 60, 12


def noise(packet: bytes) -> bytes:
    """Return a packet whose data are noise, but for the first bytes."""
    return packet[:6] + np.random.default_rng(1).bytes(len(packet) - 6)


def zeros(packet: bytes) -> bytes:
    return bytes(len(packet))


def half(packet: bytes) -> bytes:
    """Return a packet whose second half is lost."""
    return packet[: len(packet) // 2] + bytes(len(packet) - len(packet) // 2)


def damaged(source: Path, path: Path, number: int, how) -> None:
    """Copy a clip with one of its packets damaged, where it lies in the file in one piece."""
    data = source.read_bytes()
    with av.open(str(source)) as container:
        packet = bytes([p for p in container.demux(video=0) if p.size][number])
    place = data.find(packet)
    if place >= 0:
        path.write_bytes(data[:place] + how(packet) + data[place + len(packet) :])
        return
    with av.open(str(source)) as given, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        packets = [p for p in given.demux(video=0) if p.size]
        for at, old in enumerate(packets):
            new = av.Packet(how(bytes(old)) if at == number else bytes(old))
            new.pts, new.dts, new.time_base = old.pts, old.dts, old.time_base
            new.is_keyframe, new.stream = old.is_keyframe, stream
            made.mux(new)


#: Damage that no decoder can notice: what is left is a picture, too.
SOUND = {("wmv2.wmv", half)}


@pytest.mark.parametrize(
    ("name", "how"),
    [(n, how) for n in CLIPS for how in (noise, zeros, half) if (n, how) not in SOUND],
)
def test_every_frame_shows_itself_or_is_told(name, how, clip_folder, tmp_path, show_number) -> None:
    path = tmp_path / name
    damaged(clip_folder / name, path, 26, how)
    with open_video(path) as source:  # at random first
        at_random = {}
        for frame in np.random.default_rng(3).permutation(source.n_frames).tolist():
            try:
                at_random[frame] = show_number(source.read(frame))
            except VideoError as error:
                assert error.frame == frame  # noqa: PT017
        told = source.notices
    with open_video(path) as source:
        in_order = {f: show_number(p) for f, p in source.numbered() if p is not None}
        assert source.n_frames == N
        assert source.unreadable == set(range(N)) - in_order.keys()
        assert source.notices == told
    assert all(shown == frame for frame, shown in in_order.items())
    assert at_random == in_order
    lost = N - len(in_order)
    if lost:
        assert any(f"{lost} of {N} frames cannot be read (frame" in text for text in told)
    assert lost <= (1 if CLIPS[name] else GOP + 4)
    if how is noise and CLIPS[name]:
        assert lost == 1

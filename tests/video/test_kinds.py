"""What kind of clip a file is, where the first bytes alone do not say."""

from __future__ import annotations

import struct

import av
import numpy as np
import pytest

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.kinds import sniff
from napari_deepmtj.video.opening import open_video


def write_mj2(path, brand: bytes = b"mjp2", n: int = 20) -> None:
    """Write Motion JPEG 2000 as MATLAB does: a signature box, then an MP4 file of that brand."""
    movie = path.with_suffix(".mov")
    with av.open(str(movie), "w", format="mov") as container:
        stream = container.add_stream("jpeg2000", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        for number in range(n):
            grey = np.full((48, 64), 10 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
        container.mux(stream.encode(None))
    data = movie.read_bytes()
    movie.unlink()
    at = data.index(b"stco") + 8
    count = struct.unpack(">L", data[at : at + 4])[0]
    offsets = struct.unpack(f">{count}L", data[at + 4 : at + 4 + 4 * count])
    moved = struct.pack(f">{count}L", *(offset + 12 for offset in offsets))
    data = data[: at + 4] + moved + data[at + 4 + 4 * count :]
    signature = struct.pack(">L4s4s", 12, b"jP  ", b"\r\n\x87\n")
    path.write_bytes(signature + data.replace(b"ftypqt  ", b"ftyp" + brand, 1))


@pytest.mark.parametrize("brand", [b"mjp2", b"mj2s"])
def test_motion_jpeg_2000_is_read(brand, tmp_path) -> None:
    path = tmp_path / "clip.mj2"
    write_mj2(path, brand)
    with open_video(path) as source:
        assert (source.n_frames, source.times.rate, source.notices) == (20, 25.0, ())
        levels = [int(np.median(picture)) for picture in source.frames()]
        np.testing.assert_allclose(levels, np.arange(20) * 10, atol=2)


def test_a_single_jpeg_2000_picture_is_refused_in_one_line(tmp_path) -> None:
    path = tmp_path / "still.jp2"
    write_mj2(path, b"jp2 ", n=1)
    with pytest.raises(VideoError, match=r"^still\.jp2: is of no kind that is known; DICOM, AVI"):
        sniff(path)


def test_jpeg_pictures_behind_one_another_are_a_film(clip_folder, tmp_path, show_number) -> None:
    with av.open(str(clip_folder / "mjpeg.avi")) as container:
        pictures = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    (tmp_path / "one.jpg").write_bytes(pictures[5])
    (tmp_path / "film.mjpeg").write_bytes(b"".join(pictures))
    assert sniff(tmp_path / "one.jpg") == "picture"
    with open_video(tmp_path / "film.mjpeg") as source:
        assert [show_number(picture) for picture in source.frames()] == list(range(60))
        assert "has no frame times" in source.notices[0]
        assert source.times.source == "none"

"""Turned, mirrored, stretched and interlaced video: shown as asked, cropped right, and told."""

from __future__ import annotations

import struct
from fractions import Fraction
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.video.display import AS_STORED, Display, Orientation
from napari_deepmtj.video.opening import open_video

ONE = 65536


def matrix(a: float, b: float, c: float, d: float) -> tuple[int, ...]:
    """A display matrix without a shift, in FFmpeg's order."""
    fixed = [round(value * ONE) for value in (a, b, c, d)]
    return (fixed[0], fixed[1], 0, fixed[2], fixed[3], 0, 0, 0, 1 << 30)


RIGHT_ANGLES = [
    numbers
    for s, t in product((1, -1), repeat=2)
    for numbers in (matrix(s, 0, 0, t), matrix(0, s, t, 0))
]


def shown_by_the_book(picture: np.ndarray, numbers: tuple[int, ...]) -> np.ndarray:
    """Send every stored point where the matrix says, as players do, and look what lies where."""
    a, b, _, c, d, *_ = numbers
    q, p = np.indices(picture.shape)
    x, y = (a * p + c * q) // ONE, (b * p + d * q) // ONE
    x, y = x - x.min(), y - y.min()
    out = np.zeros((y.max() + 1, x.max() + 1), picture.dtype)
    out[y, x] = picture
    return out


def write_clip(path: Path, n: int = 5, **stream_settings: Any) -> np.ndarray:
    """Write `n` lossless frames of noise, shape (n, 24, 40), which are returned."""
    frames = np.random.default_rng(0).integers(0, 256, (n, 24, 40), dtype=np.uint8)
    numbers = stream_settings.pop("matrix", None)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(stream_settings.pop("codec", "png"), rate=25)
        stream.height, stream.width, stream.pix_fmt = 24, 40, "gray"
        for name, value in stream_settings.items():
            setattr(stream.codec_context, name, value)
        if numbers is not None:
            stream.set_display_matrix(numbers)
        for grey in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
        container.mux(stream.encode(None))
    return frames


@pytest.mark.parametrize("numbers", RIGHT_ANGLES, ids=str)
def test_frames_are_shown_as_the_file_asks(tmp_path, numbers) -> None:
    stored = write_clip(tmp_path / "a.mov", matrix=numbers)
    expected = [shown_by_the_book(frame, numbers) for frame in stored]
    with open_video(tmp_path / "a.mov") as source:
        assert (source.height, source.width) == expected[0].shape
        for n, frame in enumerate(source.frames()):
            np.testing.assert_array_equal(frame, expected[n])
            np.testing.assert_array_equal(source.read(n), expected[n])
        roi = Roi(3, 5, 17, 11)
        for n, frame in enumerate(source.frames(roi=roi)):
            np.testing.assert_array_equal(frame, expected[n][roi.slices])
        np.testing.assert_allclose(source.times.seconds, np.arange(5) / 25)
        upright = numbers == matrix(1, 0, 0, 1)
        assert bool(source.notices) != upright
        assert all("positions are those of the shown picture" in n for n in source.notices)
        turned = stored[0][:, ::-1] if source.metadata["mirrored"] else stored[0]
        turned = np.rot90(turned, -source.metadata["rotation_deg"] // 90)
        np.testing.assert_array_equal(turned, expected[0])


@pytest.mark.parametrize("numbers", [matrix(0, 1, -1, 0), matrix(-1, 0, 0, -1), None], ids=str)
def test_pictures_with_exif_are_turned_too(tmp_path, numbers) -> None:
    stored = write_clip(tmp_path / "a.mov", codec="tiff", matrix=numbers)  # its frames have Exif
    with open_video(tmp_path / "a.mov") as source:
        shown = stored[3] if numbers is None else shown_by_the_book(stored[3], numbers)
        np.testing.assert_array_equal(source.read(3), shown)
        assert bool(source.notices) == (numbers is not None)


def test_a_crooked_angle_is_told_and_not_done(tmp_path) -> None:
    stored = write_clip(tmp_path / "a.mov", matrix=matrix(0.8, 0.6, -0.6, 0.8))
    with open_video(tmp_path / "a.mov") as source:
        np.testing.assert_array_equal(source.read(2), stored[2])
        assert source.metadata["rotation_deg"] == 0
        assert len(source.notices) == 1
        assert "no right one" in source.notices[0]


@pytest.mark.parametrize("numbers", RIGHT_ANGLES, ids=str)
def test_every_region_is_found_again_in_the_stored_picture(numbers) -> None:
    orientation = Orientation.of_matrix(struct.pack("=9i", *numbers))
    stored = np.arange(5 * 7, dtype=np.uint8).reshape(5, 7)
    shown = orientation.show(stored)
    height, width = shown.shape
    assert (height, width) == orientation.size(5, 7)
    for x, y in product(range(width), range(height)):
        for w, h in product(range(1, width - x + 1), range(1, height - y + 1)):
            roi = Roi(x, y, w, h, "given")
            there = orientation.stored(roi, height, width)
            assert there.source == "given"
            np.testing.assert_array_equal(orientation.show(stored[there.slices]), shown[roi.slices])


def test_stretched_pixels_turn_with_the_picture(tmp_path) -> None:
    aspect = Fraction(4, 3)
    write_clip(tmp_path / "a.mov", sample_aspect_ratio=aspect)
    write_clip(tmp_path / "b.mov", sample_aspect_ratio=aspect, matrix=matrix(0, 1, -1, 0))
    write_clip(tmp_path / "c.mov")
    with open_video(tmp_path / "a.mov") as source:
        assert source.metadata["sample_aspect_ratio"] == "4/3"
        assert source.metadata["pixel_aspect"] == pytest.approx(4 / 3)
        assert ["4/3 times as wide as high" in notice for notice in source.notices] == [True]
    with open_video(tmp_path / "b.mov") as source:
        assert source.metadata["sample_aspect_ratio"] == "3/4"
        assert source.metadata["pixel_aspect"] == pytest.approx(3 / 4)
    with open_video(tmp_path / "c.mov") as source:
        assert source.metadata["pixel_aspect"] == 1
        assert source.notices == ()


def test_interlaced_video_is_told(tmp_path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(
            "mpeg2video", rate=25, options={"flags": "+ildct+ilme", "field_order": "tt"}
        )
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for _ in range(4):
            grey = av.VideoFrame.from_ndarray(np.full((64, 96), 90, np.uint8), format="gray")
            container.mux(stream.encode(grey.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    with open_video(path) as source:
        assert source.metadata["interlaced"] is True
        assert ["interlaced" in notice for notice in source.notices] == [True]
        assert (source.n_frames, source.height) == (4, 64)
    write_clip(tmp_path / "b.mov")
    with open_video(tmp_path / "b.mov") as source:
        assert source.metadata["interlaced"] is False


def test_the_order_of_fields_of_the_stream_counts_too() -> None:
    frame: Any = SimpleNamespace(side_data={}, interlaced_frame=False)
    assert [Display.of(frame, None, order).interlaced for order in range(6)] == [False] * 2 + [
        True
    ] * 4
    assert Display.of(frame, None, 0) == Display()
    assert Display().orientation == AS_STORED
    assert Display().notices("a.avi") == []

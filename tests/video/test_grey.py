"""Grey levels from decoded frames: exact for every range, depth and way of storing colours."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from napari_deepmtj.video.grey import Levels, coloured, grey_of, luma, luma_table
from napari_deepmtj.video.opening import open_video


def test_luma_of_colours_is_rounded_once() -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (200_000, 3), dtype=np.uint8)
    ties = colours[(colours.astype(int) @ [299, 587, 114]) % 1000 == 500]
    assert len(ties) > 50  # where weights in powers of two err
    thousandths = colours.astype(int) @ [299, 587, 114]
    np.testing.assert_array_equal(luma(colours), (thousandths + 500) // 1000)


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
def test_deep_luma_has_its_nominal_range(bits) -> None:
    unit = 2 ** (bits - 8)
    limited, full = luma_table("limited", bits), luma_table("full", bits)
    assert [limited[0], limited[16 * unit], limited[235 * unit], limited[-1]] == [0, 0, 255, 255]
    assert limited[126 * unit] == 128  # (126 - 16) * 255 / 219 = 128.08
    assert [full[0], full[-1]] == [0, 255]
    exact = np.arange(2**bits) * 255 / (2**bits - 1)
    assert np.abs(full - exact).max() <= 0.5


def frame_of(samples: np.ndarray, pixels: str, tag: int = 0) -> av.VideoFrame:
    """A decoded frame with these luma samples, tagged 0 (not), 1 (limited) or 2 (full)."""
    frame = av.VideoFrame(samples.shape[1], samples.shape[0], pixels)
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    rows = np.zeros(
        (samples.shape[0], frame.planes[0].line_size // samples.itemsize), samples.dtype
    )
    rows[:, : samples.shape[1]] = samples
    frame.planes[0].update(rows.tobytes())
    frame.color_range = tag
    return frame


DARK = np.tile(np.arange(0, 256, dtype=np.uint8), (16, 1))  # black at 0: never limited range
MUTED = DARK.clip(16, 235)


@pytest.mark.parametrize(
    ("samples", "pixels", "tag", "monochrome", "override", "said", "by", "doubt"),
    [
        (DARK, "yuv420p", 0, False, None, "limited", "assumed", None),
        (DARK, "yuv420p", 2, False, None, "full", "tag", None),
        (DARK, "yuv420p", 1, False, None, "limited", "tag", None),
        (DARK, "yuvj420p", 0, False, None, "full", "format", None),
        (DARK, "gray", 0, False, None, "full", "samples", None),
        (MUTED, "gray", 0, False, None, "full", "assumed", None),
        (MUTED, "gray", 1, False, None, "limited", "tag", None),
        (DARK, "gray", 1, False, None, "full", "samples", "goes beyond"),
        (DARK, "yuv420p", 0, True, None, "full", "samples", None),
        (MUTED, "yuv420p", 0, True, None, "limited", "assumed", "does not say its range"),
        (MUTED, "yuv420p", 2, True, None, "full", "tag", None),
        (DARK, "yuv420p", 2, False, "limited", "limited", "override", None),
        (DARK, "yuvj420p", 0, False, "limited", "limited", "override", None),
        (DARK, "gray", 0, True, "limited", "limited", "override", None),
    ],
)
def test_who_says_the_range(samples, pixels, tag, monochrome, override, said, by, doubt) -> None:
    frame = frame_of(samples, pixels, tag)
    levels = Levels.of(frame, override, monochrome=monochrome)
    assert (levels.colour_range, levels.said_by) == (said, by)
    assert (levels.doubt is None) == (doubt is None)
    assert doubt is None or doubt in levels.doubt
    np.testing.assert_array_equal(grey_of(frame, None, said), luma_table(said)[samples])


def test_colours_are_taken_as_they_are_unless_a_person_says_otherwise() -> None:
    rgb = np.random.default_rng(0).integers(16, 236, (16, 32, 3), dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    assert Levels.of(frame) == Levels("full", "format")
    frame.color_range = 1
    assert "limited range" in str(Levels.of(frame).doubt)
    np.testing.assert_array_equal(grey_of(frame), luma(rgb))
    np.testing.assert_array_equal(grey_of(frame, None, "limited"), luma_table("limited")[luma(rgb)])


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("said", ["full", "limited"])
def test_deep_frames(bits, said) -> None:
    samples = np.linspace(0, 2**bits - 1, 64 * 16).astype("<u2").reshape(16, 64)
    frame = frame_of(samples, f"yuv420p{bits}le", 2 if said == "full" else 1)
    np.testing.assert_array_equal(grey_of(frame), luma_table(said, bits)[samples])


def test_colours_of_15_bit_are_widened_by_repeating_their_high_bits() -> None:
    five = np.arange(32, dtype="<u2")
    frame = av.VideoFrame(32, 2, "rgb555le")
    rows = np.zeros((2, frame.planes[0].line_size // 2), "<u2")
    rows[:, :32] = five << 10 | five << 5 | five
    frame.planes[0].update(rows.tobytes())
    np.testing.assert_array_equal(grey_of(frame)[0], five << 3 | five >> 2)


def write_gray_h264(path: Path, grey: np.ndarray) -> None:
    """Write greyscale H.264 that does not say its range."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "8"})
        stream.height, stream.width, stream.pix_fmt = *grey.shape, "gray"
        for n in range(3):
            frame = av.VideoFrame.from_ndarray(grey, format="gray")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_greyscale_h264_without_a_range_is_judged_by_its_samples(tmp_path) -> None:
    dark = np.repeat(DARK, 4, axis=0)
    write_gray_h264(tmp_path / "dark.mp4", dark)
    with open_video(tmp_path / "dark.mp4") as source:
        assert source.metadata["colour_range_from"] == "samples"
        assert source.notices == ()
        assert np.abs(source.read(1).astype(int) - dark).max() <= 3
    write_gray_h264(tmp_path / "muted.mp4", dark.clip(16, 235))
    with open_video(tmp_path / "muted.mp4") as source:
        assert source.metadata["colour_range"] == "limited"
        assert ["does not say its range" in notice for notice in source.notices] == [True]
        stretched = source.read(1)
    with open_video(tmp_path / "muted.mp4", colour_range="full") as source:
        assert source.notices == ()
        np.testing.assert_array_equal(luma_table("limited")[source.read(1)], stretched)


@pytest.mark.parametrize("pixels", ["rgb24", "yuv420p", "yuv444p"])
def test_the_share_in_strong_colours(pixels: str) -> None:
    picture = np.full((128, 200, 3), 90, dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
    assert coloured(frame) == 0
    picture[32:96, 50:150] = (220, 30, 20)  # a quarter
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
    assert coloured(frame) == pytest.approx(0.25, abs=0.02)


def test_grey_formats_have_no_colours() -> None:
    frame = av.VideoFrame.from_ndarray(np.zeros((64, 64), dtype=np.uint8), format="gray")
    assert coloured(frame) is None

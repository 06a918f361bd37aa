"""Where the picture is in made-up and real screen recordings."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scanner_screens import LAYOUTS, draw_screen, sample_screen

from napari_deepmtj.calibration.picture import detect_in, detect_picture, spread_frames
from napari_deepmtj.calibration.roi import resolve_roi
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.errors import VideoError
from napari_deepmtj.phantom.cohort import demo_clip
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.stacks.stack import ArraySource

BOX = Roi(60, 40, 200, 160, "detected")


def tissue(n, height=160, width=200, seed=0):
    return np.random.default_rng(seed).integers(0, 160, (n, height, width), dtype=np.uint8)


def screen(pictures, background=30, box=BOX):
    frames = np.full((len(pictures), 300, 400), background, np.uint8)
    frames[(slice(None), *box.slices)] = pictures
    return frames


def iou(a, b):
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    common = max(0, width) * max(0, height)
    return common / (a.width * a.height + b.width * b.height - common)


@pytest.mark.parametrize("background", [0, 30, 235])
def test_what_moves_is_found_to_the_pixel(background) -> None:
    found = detect_in(screen(tissue(12), background))
    assert found.roi == BOX
    assert found.confidence > 0.9
    assert "moves" in found.why


def test_what_stands_still_or_is_thin_is_left_out() -> None:
    frames = []
    for number, frame in enumerate(screen(tissue(12))):
        image = Image.fromarray(frame)
        pen = ImageDraw.Draw(image)
        for y in range(10, 290, 14):
            pen.text((290, y), f"Gain {y} dB", 255)
        for y in range(40, 200, 16):
            pen.line([(262, y), (268, y)], 255)
        pen.line([(271, 40), (271, 200)], 255)
        pen.text((60, 20), f"10:20:{10 + number}", 255)
        x = np.arange(60, 260)
        y = 240 - 20 * (np.sin((x + 9 * number) / 15) > 0.9)
        pen.line(list(zip(x.tolist(), y.tolist(), strict=True)), 255)
        frames.append(np.asarray(image))
    assert detect_in(np.stack(frames)).roi == BOX


def test_a_still_is_found_by_its_texture_with_less_confidence() -> None:
    still, moving = detect_in(screen(tissue(1))), detect_in(screen(tissue(12)))
    assert iou(still.roi, BOX) > 0.97
    assert 0.4 < still.confidence < 0.7 < moving.confidence
    assert "texture" in still.why


def test_a_clip_that_stands_still_is_a_still() -> None:
    assert detect_in(np.repeat(screen(tissue(1)), 12, axis=0)) == detect_in(screen(tissue(1)))


def test_a_trapezoid_gives_its_bounding_rectangle() -> None:
    mask = Image.new("L", (200, 160))
    ImageDraw.Draw(mask).polygon([(40, 0), (159, 0), (199, 159), (0, 159)], 1)
    found = detect_in(screen(tissue(12) * np.asarray(mask), background=0))
    assert iou(found.roi, BOX) > 0.97


def test_tissue_that_fades_is_kept() -> None:
    gain = np.linspace(1, 0.1, 160)[:, None]
    found = detect_in(screen((tissue(12) * gain).astype(np.uint8), background=0))
    assert iou(found.roi, BOX) > 0.97


@pytest.mark.parametrize("level", [0, 120])
def test_nothing_is_found_in_nothing(level) -> None:
    assert detect_in(np.full((12, 300, 400), level, np.uint8)) is None


def test_a_running_clock_alone_is_no_picture() -> None:
    frames = np.zeros((12, 300, 400), np.uint8)
    frames[:, 10:22, 300:390] = tissue(12, 12, 90)
    assert detect_in(frames) is None


class Damaged(ArraySource):
    """A clip of which only every other frame can be decoded."""

    def _read(self, frame):
        if frame % 2:
            raise VideoError("cannot be decoded", frame=frame)
        return super()._read(frame)


def test_frames_that_cannot_be_read_are_passed_over() -> None:
    frames = screen(tissue(12))
    np.testing.assert_array_equal(spread_frames(Damaged(frames, "clip"), 12), frames[::2])
    assert detect_picture(Damaged(frames, "clip")).roi == BOX


def test_frames_are_spread_over_the_clip() -> None:
    frames = np.arange(100, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 5), np.uint8)
    assert spread_frames(ArraySource(frames, "clip"), 4)[:, 0, 0].tolist() == [0, 33, 66, 99]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_made_up_screens(layout) -> None:
    """A slice of benchmarks/picture_detection.py, on seeds of its own."""
    for seed in (20_000, 20_001):
        drawn = draw_screen(sample_screen(layout, seed), 12)
        assert iou(detect_in(drawn.frames).roi, drawn.roi) >= 0.97, seed


def test_the_demonstration_is_whole() -> None:
    clip = demo_clip(24)
    assert detect_picture(clip, 6).roi == Roi(0, 0, clip.width, clip.height, "detected")


@pytest.mark.parametrize("name", ["mtj_clip.avi", "still_a.png", "still_b.png", "still_c.png"])
def test_real_clips_that_are_cropped_are_whole(real, name) -> None:
    with open_video(real / "mtj" / name) as source:
        roi, (notice,) = resolve_roi("auto", source)
        assert roi == Roi.full(source.height, source.width)
    assert "seems to fill the frame" in notice


@pytest.mark.parametrize("kind", ["isokinetic500", "isometric_max", "passive_ROM"])
def test_real_screens_are_found_within_12_px(real, kind) -> None:
    with open_video(real / f"muscle_video/p6_{kind}_01_push_01.mp4") as source:
        roi, _ = resolve_roi("auto", source)
    sides = np.array([roi.x, roi.y, roi.x + roi.width, roi.y + roi.height])
    assert np.abs(sides - [215, 45, 935, 619]).max() <= 12
    assert roi.source.startswith("detected (0.")


def test_frames_are_spread_over_a_long_clip_once_its_length_is_known() -> None:
    class Claims(ArraySource):
        """Claims 40 frames until it is waited for, and has 10."""

        listed_all = False

        @property
        def n_frames(self) -> int:
            return 10 if self.listed_all else 40

        def wait(self, progress=None) -> None:
            self.listed_all = True

    levels = np.arange(0, 100, 10, dtype=np.uint8)
    frames = np.broadcast_to(levels[:, None, None], (10, 8, 8))
    spread = spread_frames(Claims(frames, "claims"), 4)
    assert spread is not None
    assert spread[:, 0, 0].tolist() == [0, 30, 60, 90]

"""Millimetres from lines, and from the ruler on the screen."""

from __future__ import annotations

import numpy as np
import pytest
from scanner_screens import LAYOUTS, draw_screen, sample_screen

from napari_deepmtj.calibration.scale import (
    scale_by_hand,
    scale_from_line,
    scale_from_lines,
    suggest_scale,
)
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import CalibrationError
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.stacks.stack import ArraySource


def length(scale, p0, p1):
    return float(np.linalg.norm(scale.to_mm(p1) - scale.to_mm(p0)))


@pytest.mark.parametrize("aspect", [1.0, 2.0, 12 / 11])
@pytest.mark.parametrize("ends", [((3, 4), (3, 204)), ((200, 9), (40, 9)), ((0, 0), (90, -50))])
def test_a_line_is_as_long_as_it_was_said_to_be(ends, aspect) -> None:
    scale = scale_from_line(*ends, 20, pixel_aspect=aspect)
    assert length(scale, *ends) == pytest.approx(20)
    assert scale.x_mm / scale.y_mm == pytest.approx(aspect)
    assert scale.source == "calibration line 20 mm"


def test_two_lines_are_both_as_long_as_they_were_said_to_be() -> None:
    across, down = ((10, 10), (210, 14)), ((50, 20), (45, 420))
    scale = scale_from_lines(across, 30, down, 20)
    assert length(scale, *across) == pytest.approx(30)
    assert length(scale, *down) == pytest.approx(20)
    assert scale.x_mm > 2 * scale.y_mm
    assert scale.source == "calibration lines 30 mm across, 20 mm down"


def test_by_hand() -> None:
    assert scale_by_hand(0.1) == Scale(0.1, 0.1, "given by hand")
    assert scale_by_hand(0.1, 0.2) == Scale(0.1, 0.2, "given by hand")


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: scale_from_line((5, 5), (5, 5), 10), "0.0 px long, too short"),
        (lambda: scale_from_line((5, 5), (5, 9), 10), "4.0 px long, too short"),
        (lambda: scale_from_line((0, 0), (0, 100), 0), "line of 0 mm is impossible"),
        (lambda: scale_from_line((0, 0), (0, 100), float("nan")), "line of nan mm"),
        (lambda: scale_from_line((0, 0), (0, 100), -3), "line of -3 mm"),
        (lambda: scale_from_line((0, 0), (0, 100), 0.2), "0.002 mm per px is impossible"),
        (lambda: scale_from_line((0, 0), (0, 100), 2000), "20 mm per px is impossible"),
        (lambda: scale_from_line((0, 0), (0, 100), 20, pixel_aspect=0), "aspect of 0"),
        (lambda: scale_from_line((0, 0), (0, float("inf")), 20), "two ends"),
        (lambda: scale_from_line((0, 0, 0), (0, 1, 1), 20), "two ends"),
        (lambda: scale_by_hand(0.1, 50), "50 mm per px is impossible"),
        (lambda: scale_by_hand(-1), "-1 mm per px is impossible"),
        (
            lambda: scale_from_lines(((0, 0), (0, 99)), 9, ((0, 0), (99, 0)), 9),
            "horizontal line reaches 0.0 px",
        ),
        (
            lambda: scale_from_lines(((0, 0), (80, 70)), 9, ((0, 0), (0, 99)), 9),
            "horizontal line is not horizontal",
        ),
        (
            lambda: scale_from_lines(((0, 0), (99, 0)), 9, ((0, 0), (70, 80)), 9),
            "vertical line is not vertical",
        ),
        (
            lambda: scale_from_lines(((0, 0), (100, 40)), 1, ((0, 0), (0, 100)), 99),
            "no scale gives",
        ),
    ],
)
def test_nonsense_is_refused(call, what) -> None:
    with pytest.raises(CalibrationError, match=what):
        call()


PICTURE = Roi(60, 30, 200, 240)


def ruled(period, *, first=30.0, thick=1, major=1, side="right", size=(300, 400)):
    """A screen with a ruler; ticks are on whole pixels."""
    frame = np.full(size, 10, np.uint8)
    for number in range(int(240 / period) + 1):
        row = round(first + number * period)
        long = 8 if number % major == 0 else 4
        columns = slice(265, 265 + long) if side == "right" else slice(55 - long, 55)
        frame[row : row + thick, columns] = 220
    frame[PICTURE.slices] = np.random.default_rng(1).integers(0, 160, (240, 200))
    return ArraySource(frame[None], "screen")


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("thick", [1, 3])
@pytest.mark.parametrize("period", [53.0, 47.3])
def test_the_spacing_of_ticks_is_measured_to_a_fraction_of_a_pixel(period, thick, side) -> None:
    found = suggest_scale(ruled(period, thick=thick, side=side), PICTURE)
    assert found.scale.y_mm == pytest.approx(10 / period, rel=0.003)
    assert found.scale == Scale(found.scale.y_mm, found.scale.y_mm, "ruler suggestion, 10 mm ticks")
    n = int(240 / period) + 1
    expected = 30 + period * np.arange(n) + (thick - 1) / 2
    np.testing.assert_allclose(found.ticks[:, 1], expected, atol=0.6)
    assert f"{n} ticks" in found.why


@pytest.mark.parametrize(("period", "major", "mm"), [(24.0, 2, 5.0), (4.6, 10, 1.0)])
def test_longer_ticks_tell_what_a_tick_is(period, major, mm) -> None:
    found = suggest_scale(ruled(period, major=major), PICTURE)
    assert found.mm_per_tick == mm
    assert found.scale.y_mm == pytest.approx(mm / period, rel=0.01)


def test_other_readings_are_offered_and_lower_the_confidence() -> None:
    sure, unsure = suggest_scale(ruled(53.0), PICTURE), suggest_scale(ruled(31.0), PICTURE)
    assert any(scale.y_mm == pytest.approx(5 / 31, rel=0.01) for scale in unsure.alternatives)
    assert 0 < unsure.confidence < sure.confidence <= 1


def test_pixels_that_are_not_square_give_unequal_millimetres() -> None:
    source = ruled(53.0)
    source.metadata = {"pixel_aspect": 4 / 3}
    found = suggest_scale(source, PICTURE)
    assert found.scale.y_mm == pytest.approx(10 / 53, rel=0.003)
    assert found.scale.x_mm == pytest.approx(4 / 3 * found.scale.y_mm)


def test_no_ruler_no_suggestion() -> None:
    noise = np.random.default_rng(0).integers(0, 200, (4, 200, 300), dtype=np.uint8)
    assert suggest_scale(ArraySource(noise, "clip")) is None
    assert suggest_scale(ArraySource(np.zeros((4, 200, 300), np.uint8), "clip")) is None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_made_up_rulers(layout) -> None:
    """A slice of benchmarks/picture_detection.py, on seeds of its own."""
    for seed in (20_000, 20_001):
        drawn = draw_screen(sample_screen(layout, seed), 2)
        found = suggest_scale(drawn.source(), drawn.roi)
        offered = [found.scale, *found.alternatives]
        assert any(scale.y_mm == pytest.approx(drawn.scale.y_mm, rel=0.01) for scale in offered)


def test_the_real_ruler_is_read(real) -> None:
    with open_video(real / "muscle_video/p6_isokinetic500_01_push_01.mp4") as source:
        found = suggest_scale(source, Roi(210, 44, 727, 578))
    assert found.scale.y_mm == pytest.approx(0.0883, rel=0.01)
    assert found.mm_per_tick == 10

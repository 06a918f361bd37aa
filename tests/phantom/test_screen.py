"""Made-up screens: what is said of them is what is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scanner_screens import (
    LAYOUTS,
    RulerSpec,
    ScreenSpec,
    draw_screen,
    sample_screen,
)

from napari_deepmtj.core.geometry import Roi

PLAIN = ScreenSpec(
    layout="cart",
    seed=3,
    width=640,
    height=480,
    picture=Roi(120, 60, 300, 340, "phantom"),
    lean_px=0,
    mm_per_px=0.15,
    ruler=RulerSpec("right", 4, 8, 1, 10.0, 5.0, numbers=False, line=False),
    background=0,
    ink=250,
    jpeg_quality=0,
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_seed_is_a_screen(layout) -> None:
    first, again = (draw_screen(sample_screen(layout, 7), 3) for _ in range(2))
    np.testing.assert_array_equal(first.frames, again.frames)
    assert sample_screen(layout, 7) != sample_screen(layout, 8)
    spec = sample_screen(layout, 7)
    assert first.frames.shape == (3, spec.height, spec.width)
    assert first.scale.y_mm == spec.mm_per_px


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pictures_are_of_all_sizes_and_inside_the_screen(layout) -> None:
    specs = [sample_screen(layout, seed) for seed in range(200)]
    for spec in specs:
        spec.picture.inside(spec.height, spec.width)
    shares = np.array([(s.picture.width / s.width, s.picture.height / s.height) for s in specs])
    assert (shares.min() >= 0.295) & (shares.max() <= 0.9)
    assert (np.ptp(shares, axis=0) > 0.4).all()
    assert {spec.lean_px > 0 for spec in specs} == {True, False}
    assert {spec.ruler.side for spec in specs} == {"left", "right", "top"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_picture_moves_and_little_else_does(layout) -> None:
    spec = replace(sample_screen(layout, 11), jpeg_quality=0, lean_px=0)
    moving = draw_screen(spec, 6).frames.std(axis=0) > 0
    rows, columns = spec.picture.slices
    assert moving[rows, columns].mean() > 0.5
    moving[rows, columns] = False
    assert 0 < moving.mean() < 0.08


def test_given_pictures_are_shown() -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (2, 340, 300), dtype=np.uint8)
    screen = draw_screen(PLAIN, 2, pictures)
    np.testing.assert_array_equal(screen.frames[(slice(None), *PLAIN.picture.slices)], pictures)


@pytest.mark.parametrize("side", ["left", "right", "top"])
def test_ticks_are_where_they_are_said_to_be(side) -> None:
    ruler = replace(PLAIN.ruler, side=side, minor_mm=10.0)
    screen = draw_screen(replace(PLAIN, ruler=ruler))
    for x, y in screen.ticks:
        assert screen.frames[0, round(y), round(x)] == PLAIN.ink
    steps = np.linalg.norm(np.diff(screen.ticks, axis=0), axis=1)
    np.testing.assert_allclose(steps * PLAIN.mm_per_px, screen.mm_per_tick)


def test_a_trapezoid_is_narrower_at_the_top() -> None:
    pictures = np.full((1, 340, 300), 200, np.uint8)
    frame = draw_screen(replace(PLAIN, lean_px=50), 1, pictures).frames[0]
    widths = (frame[60:400, 120:420] == 200).sum(axis=1)
    assert widths[0] == pytest.approx(200, abs=2)
    assert widths[-1] == pytest.approx(300, abs=2)
    assert (np.diff(widths) >= 0).all()


def test_a_clip_of_it_knows_neither_region_nor_scale() -> None:
    source = draw_screen(PLAIN, 2).source("made.avi")
    assert (source.name, source.n_frames, source.roi, source.scale) == ("made.avi", 2, None, None)

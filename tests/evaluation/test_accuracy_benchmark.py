"""What `benchmarks/accuracy.py` rests on: changes that move the truth with the picture, counts."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import accuracy_phantom as phantom
import accuracy_spoil as spoil

MM = (0.2, 0.2)
SPOT = np.array([150.3, 60.8])


def picture() -> np.ndarray:
    """Return a dark picture with one bright spot, as wide as a tip is long."""
    y, x = np.mgrid[:160, :300]
    far = (x - SPOT[0]) ** 2 + (y - SPOT[1]) ** 2
    return (20 + 180 * np.exp(-far / (2 * 6.0**2))).round().astype(np.uint8)


def spot_near(shown: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Return where the spot is about a place; it must be far brighter than what is about it."""
    left, top = np.maximum(np.round(xy).astype(int) - 25, 0)
    smooth = ndimage.gaussian_filter(shown.astype(float), 3)[top : top + 51, left : left + 51]
    y, x = np.unravel_index(smooth.argmax(), smooth.shape)
    assert smooth.max() > 1.5 * (np.median(smooth) + 5)
    return np.array([left + x, top + y], float)


@pytest.mark.parametrize(
    "change", [n[2] for n in spoil.NUISANCES], ids=[f"{n[0]}-{n[1]}" for n in spoil.NUISANCES]
)
def test_the_truth_moves_with_the_picture(change: spoil.Change) -> None:
    shown, xy, mm = change(picture(), SPOT, MM)
    assert shown.dtype == np.uint8
    assert np.abs(spot_near(shown, xy) - xy).max() < 1.5
    assert shown.shape != (160, 300) or mm == MM
    if mm != MM:  # the same millimetres from another number of pixels
        np.testing.assert_allclose(shown.shape[1] * mm[0], 300 * 0.2, rtol=0.02)


def test_a_picture_without_an_mtj_stays_without_one() -> None:
    for _, _, change in spoil.NUISANCES:
        assert np.isnan(change(picture(), np.full(2, np.nan), MM)[1]).all()


def test_stress_grows_with_severity_and_follows_its_seed() -> None:
    def spoilt(severity: float, seed: int = 1) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        shots = (spoil.stressed(picture(), SPOT, MM, severity=severity, rng=rng) for _ in range(30))
        return [shot[0] for shot in shots]

    np.testing.assert_array_equal(spoilt(0.6), spoilt(0.6))
    assert any((a != b).any() for a, b in zip(spoilt(0.6), spoilt(0.6, 2), strict=True))
    assert all((shot == picture()).all() for shot in spoilt(0.0))
    off = [np.mean([np.abs(s.astype(float) - picture()) for s in spoilt(v)]) for v in (0.2, 0.5, 1)]
    assert off[0] < off[1] < off[2]


def test_only_positions_that_are_given_count_and_the_others_are_counted() -> None:
    n = 12
    table = pd.DataFrame(
        {
            "subject": np.arange(n) // 3,
            "style": 0,
            "present": np.arange(n) < 10,
            "in_view": np.isin(np.arange(n), [0, 1, 2, 3, 4, 5, 6, 7, 11]),
            "confidence": 0.5,
            "dx": np.where(np.arange(n) < 6, 1.0, 9.0),
            "dy": 0.0,
            "error": np.where(np.arange(n) < 6, 1.0, 9.0),
            "xx": 4.0,
            "xy": 0.0,
            "yy": 4.0,
        }
    )
    told = phantom.summary(table)
    assert (told["frames"], told["missed"], told["absent"], told["invented"]) == (10, 2, 2, 1)
    assert told["within"] == pytest.approx(6 / 8)
    everything, row = phantom._both("m", table, table["in_view"])
    assert everything[1:3] == ("10", "40.0%")
    assert row[1:3] == ("8", "25.0%")
    assert row[3] == "0.250"  # 0.5 told, 0.75 true
    assert row[5] == "75.0%"  # 1 mm is inside of 2 sd, 9 mm are not

"""How far the MTJ moves, from positions of which some are wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory
from napari_deepmtj.mechanics.excursion import excursion
from napari_deepmtj.mechanics.motion import motion
from napari_deepmtj.tracking.smooth import smooth

#: Millimetres a pixel, true excursion in mm.
MM, TRUE = 0.15, 13.5

Change = Callable[[np.ndarray, np.ndarray, np.ndarray, np.random.Generator], None]


def tracked(
    change: Change | None = None,
    n: int = 600,
    rate: float = 50,
    cycles: float = 3,
    scale: bool = True,
    seed: int = 0,
) -> Trajectory:
    """Swings along x with 1.5 px of noise; `change` alters x, SDs and confidences in place."""
    rng = np.random.default_rng(seed)
    x = 200 - TRUE / 2 / MM * np.cos(2 * np.pi * cycles * np.arange(n) / (n - 1))
    x += rng.normal(0, 1.5, n)
    y = 60 + rng.normal(0, 0.7, n)
    sd, confidence = np.full(n, 3.0), rng.uniform(0.85, 0.97, n)
    if change is not None:
        change(x, sd, confidence, rng)
    predictions = [
        FramePrediction(
            i,
            float(x[i]),
            float(y[i]),
            np.diag([sd[i] ** 2, 4.0]),
            float(confidence[i]),
            in_view=bool(np.isfinite(x[i])),
        )
        for i in range(n)
    ]
    known = Scale(MM, MM, "test") if scale else None
    provenance = Provenance("a.avi", "aa" * 32, n, 200, 400, scale=known)
    return Trajectory.from_predictions(
        predictions,
        FrameTimes.from_rate(n, rate, "container"),
        provenance.and_then("track", model={"id": "tiny"}),
    )


def scattered(
    x: np.ndarray, sd: np.ndarray, confidence: np.ndarray, rng: np.random.Generator
) -> None:
    """53 of 600 frames, 2.2 to 3.7 mm off to either side, with a confidence of 0.36 to 0.72."""
    rows = rng.choice(len(x), 53 * len(x) // 600, replace=False)
    x[rows] += rng.uniform(15, 25, len(rows)) * rng.choice([-1, 1], len(rows))
    sd[rows], confidence[rows] = rng.uniform(6, 14, len(rows)), rng.uniform(0.36, 0.72, len(rows))


def sure_of_it(
    x: np.ndarray, sd: np.ndarray, confidence: np.ndarray, rng: np.random.Generator
) -> None:
    """As many, which the network is as sure of as of the others."""
    rows = rng.choice(len(x), 53 * len(x) // 600, replace=False)
    x[rows] += rng.uniform(15, 25, len(rows)) * rng.choice([-1, 1], len(rows))


def at_one_end(
    x: np.ndarray, sd: np.ndarray, confidence: np.ndarray, rng: np.random.Generator
) -> None:
    """Two frames at the proximal end, 6 mm beyond it."""
    x[[100, 101]] = x.min() - 6 / MM


def unsure_runs(
    x: np.ndarray, sd: np.ndarray, confidence: np.ndarray, rng: np.random.Generator
) -> None:
    """Runs of five frames on another structure, far less sure."""
    for first in range(20, len(x) - 10, 90):
        x[first : first + 5] += 22
        sd[first : first + 5], confidence[first : first + 5] = 12, 0.5


def missing(
    x: np.ndarray, sd: np.ndarray, confidence: np.ndarray, rng: np.random.Generator
) -> None:
    """Every ninth frame is called out of view."""
    x[::9] = np.nan


@pytest.mark.parametrize("change", [None, scattered, sure_of_it, at_one_end, unsure_runs, missing])
@pytest.mark.parametrize("seed", [0, 1])
def test_outliers_do_not_make_the_excursion(change: Change | None, seed: int) -> None:
    trajectory = tracked(change, seed=seed)
    found = excursion(trajectory, "right")
    assert found.value == pytest.approx(TRUE, abs=0.5)
    assert found.reliable, found.reason
    assert found.raw == motion(trajectory, "right").excursion
    if change in (scattered, sure_of_it, at_one_end):
        assert found.raw > TRUE + 4
    assert found.sd == pytest.approx(np.hypot(3, 3) * MM, rel=0.6)


@pytest.mark.parametrize(("n", "rate", "cycles"), [(150, 25, 3), (120, 60, 1), (1500, 25, 12)])
def test_at_other_rates_and_lengths(n: int, rate: float, cycles: float) -> None:
    found = excursion(tracked(scattered, n, rate, cycles), "left")
    assert found.value == pytest.approx(TRUE, abs=1.25 * found.sd)


def test_an_end_that_one_frame_reaches_is_none() -> None:
    def alone(x: np.ndarray, *_: object) -> None:
        x[300:] = np.nan
        x[[310, 320, 330]] = 200 + 60

    found = excursion(tracked(alone), "right")
    assert found.value == pytest.approx(TRUE, abs=0.5)
    assert found.raw > TRUE + 2


def test_a_gap_beside_an_end_leaves_it_open() -> None:
    def hidden(x: np.ndarray, *_: object) -> None:
        x[x > 200 + 0.35 * TRUE / MM] = np.nan

    found = excursion(tracked(hidden), "right")
    assert found.value < TRUE - 1
    assert not found.reliable
    assert "beside its distal end" in found.reason
    assert "not reliable" in str(found)
    assert "right end" in excursion(tracked(hidden)).reason


def test_a_run_of_outliers_as_sure_as_the_others_is_a_leap() -> None:
    def elsewhere(x: np.ndarray, *_: object) -> None:
        x[250:303] += 45

    found = excursion(tracked(elsewhere), "right")
    assert found.value > TRUE + 3  # it is the path, as far as can be told
    assert "the path leaps" in found.reason
    assert "at frame 250" in found.reason


def test_few_positions_are_not_relied_on() -> None:
    found = excursion(tracked(scattered, 19, 25, 1), "right")
    assert "positions are too few" in found.reason


def test_too_many_positions_that_do_not_count() -> None:
    def many(x: np.ndarray, sd: np.ndarray, *_: object) -> None:
        sd[::4] = 20

    found = excursion(tracked(many), "right")
    assert "150 of 600 positions are flagged, unsure or outliers" in found.reason
    assert found.value == pytest.approx(TRUE, abs=0.5)


def test_a_clip_without_motion_has_no_reliable_excursion() -> None:
    def still(x: np.ndarray, *_: object) -> None:
        x[:] = 200 + 0.1 * (x - x.mean())

    found = excursion(tracked(still), "right")
    assert found.value < 2
    assert "its ends are known to" in found.reason


def test_without_three_consecutive_positions_there_is_none() -> None:
    def every_other(x: np.ndarray, *_: object) -> None:
        x[::2] = np.nan

    found = excursion(tracked(every_other), "right")
    assert np.isnan(found.value)
    assert found.reason == "no 3 consecutive positions agree"


def test_without_a_scale_it_is_in_pixels() -> None:
    found = excursion(tracked(scattered, scale=False), "right")
    assert found.unit == "px"
    assert found.value == pytest.approx(TRUE / MM, abs=5)


def test_positions_that_were_smoothed_are_taken_as_they_were_saved() -> None:
    smoothed = smooth(tracked(scattered)).trajectory
    found = excursion(smoothed, "right")
    assert found.value <= found.raw == motion(smoothed, "right").excursion


def test_a_contraction_that_trembles_is_no_outlier() -> None:
    """Most of the clip is at rest, and exact."""

    def contraction(x: np.ndarray, sd: np.ndarray, *_: object) -> None:
        t = np.arange(len(x)) / 50
        held = np.clip(np.minimum(t - 8, 11 - t), 0, 0.5) / 0.5
        x[:] = 200 - held * (TRUE / MM + 3 * np.sin(2 * np.pi * 7 * t))
        sd[:] = 1.0

    found = excursion(tracked(contraction), "right")
    assert found.value == pytest.approx(TRUE, abs=0.7)

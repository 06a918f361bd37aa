"""Known answers, from true positions: every figure within 2 %, even and uneven times."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.mechanics.cycles import find_cycles, onset
from napari_deepmtj.mechanics.motion import Axis, motion, tendon_axis, velocity
from napari_deepmtj.tracking.smooth import smooth

Make = Callable[..., Trajectory]
TILT = np.deg2rad(8)
AMPLITUDE_MM = 9.0
UNEQUAL = Scale(0.09, 0.15, "test")


def times(kind: str, seconds: float = 10.0) -> np.ndarray:
    if kind == "even":
        return np.arange(0, seconds, 1 / 25)
    # 15 to 60 frames a second, by turns
    return np.cumsum(np.random.default_rng(2).uniform(1 / 60, 1 / 15, int(seconds * 24)))


def along(t: np.ndarray, hz: float) -> np.ndarray:
    return AMPLITUDE_MM * (1 - np.cos(2 * np.pi * hz * t)) / 2


def on_axis(d: np.ndarray, distal: str = "right") -> np.ndarray:
    """Return positions in px: `d` mm proximally from (30, 20) mm, along a tilted axis."""
    sign = -1 if distal == "right" else 1
    mm = np.array([30.0, 20.0]) + d[:, None] * [sign * np.cos(TILT), np.sin(TILT)]
    return mm / [UNEQUAL.x_mm, UNEQUAL.y_mm]


@pytest.mark.parametrize("kind", ["even", "uneven"])
@pytest.mark.parametrize("distal", ["left", "right"])
@pytest.mark.parametrize("hz", [0.2, 1.0, 2.0])
def test_excursion_and_velocity(kind: str, distal: str, hz: float, made: Make) -> None:
    t = times(kind)
    d = along(t, hz)
    done = motion(made(on_axis(d, distal), t, scale=UNEQUAL), distal)  # type: ignore[arg-type]
    assert done.excursion == pytest.approx(AMPLITUDE_MM, rel=0.02)
    assert done.displacement == pytest.approx(d - d[0], abs=1e-9)
    peak = np.pi * hz * AMPLITUDE_MM
    assert done.peak_velocity == pytest.approx((-peak, peak), rel=0.02)
    true = peak * np.sin(2 * np.pi * hz * t)
    inner = slice(3, -3)
    assert np.abs(done.velocity - true)[inner].max() < 0.02 * peak
    assert (done.length_unit, done.time_unit) == ("mm", "s")
    assert done.axis.linearity == pytest.approx(1)
    assert abs(done.axis.direction[1]) == pytest.approx(np.sin(TILT))


def test_a_nominal_rate_would_be_wrong_by_more() -> None:
    t = times("uneven")
    nominal = np.arange(len(t)) * np.median(np.diff(t))
    true = np.pi * AMPLITUDE_MM * np.sin(2 * np.pi * t)
    assert np.abs(velocity(nominal, along(t, 1.0)) - true).max() > 0.3 * np.pi * AMPLITUDE_MM


def test_displacement_is_positive_proximally(made: Make) -> None:
    moves_left = np.column_stack([np.linspace(300, 200, 20), np.full(20, 9.0)])
    t = np.arange(20) / 25
    assert motion(made(moves_left, t), "right").displacement[-1] == pytest.approx(100)
    assert motion(made(moves_left, t), "left").displacement[-1] == pytest.approx(-100)
    with pytest.raises(ResultError, match="distal"):
        motion(made(moves_left, t), None)


def test_a_rest_is_the_zero(made: Make) -> None:
    x = np.r_[np.tile([199.0, 201.0], 10), np.linspace(200, 100, 10)]
    trajectory = made(np.column_stack([x, np.full(30, 5.0)]), np.arange(30) / 25)
    done = motion(trajectory, "right", rest=(0, 19))
    assert done.displacement[-1] == pytest.approx(100)
    assert done.displacement[:2] == pytest.approx([1, -1])
    with pytest.raises(ResultError, match="frames 40 to 50"):
        motion(trajectory, "right", rest=(40, 50))


def test_without_scale_and_times_the_units_say_so(made: Make) -> None:
    xy = np.column_stack([np.linspace(300, 200, 11), np.full(11, 9.0)])
    done = motion(made(xy), "right")
    assert (done.length_unit, done.time_unit) == ("px", "frame")
    assert done.velocity == pytest.approx(np.full(11, 10.0))
    table = done.to_frame()
    assert list(table.columns) == [
        "frame",
        "time_s",
        "displacement_px",
        "velocity_px_per_frame",
    ]
    assert table["time_s"].isna().all()


def test_a_gap_has_no_velocity_and_nothing_crosses_it(made: Make) -> None:
    t = times("even", 2)
    d = along(t, 1.0)
    xy = on_axis(d)
    xy[20:30] = np.nan
    xy[40] = xy[42] = np.nan  # leaves frame 41 by itself
    done = motion(made(xy, t, scale=UNEQUAL), "right")
    gone = np.flatnonzero(np.isnan(done.velocity)).tolist()
    assert gone == [*range(20, 30), 40, 41, 42]
    assert np.isfinite(done.displacement[41])


def test_velocity_does_not_cross_a_jump(made: Make) -> None:
    t = times("even", 2)
    d = along(t, 1.0)
    xy = on_axis(d)
    xy[25:] += [80, 0]
    flags = np.where(np.arange(len(t)) == 25, "jump", "").astype(object)
    cut = motion(made(xy, t, scale=UNEQUAL).changed({"flags": flags}, "gate"), "right")
    true = np.pi * AMPLITUDE_MM * np.sin(2 * np.pi * t)
    assert np.abs(cut.velocity - true).max() < 0.05 * np.pi * AMPLITUDE_MM
    crossed = motion(made(xy, t, scale=UNEQUAL), "right")
    assert np.abs(crossed.velocity).max() > 2 * np.pi * AMPLITUDE_MM


@pytest.mark.parametrize("n", [0, 1])
def test_few_frames_and_none_in_view(n: int, made: Make) -> None:
    xy, t = np.full((n, 2), 7.0), np.arange(n) / 25
    done = motion(made(xy, t), "right")
    assert len(done.displacement) == n
    assert np.isnan(done.velocity).all()
    hidden = motion(made(np.full((9, 2), np.nan), np.arange(9) / 25), "right")
    assert np.isnan(hidden.excursion)
    assert np.isnan(hidden.peak_velocity).all()


def test_what_does_not_move_has_no_excursion(made: Make) -> None:
    done = motion(made(np.full((9, 2), 123.4), np.arange(9) / 25), "left")
    assert done.excursion == 0
    assert np.isnan(done.axis.linearity)


def test_an_axis_that_is_vertical_must_be_given(made: Make) -> None:
    upright = np.column_stack([np.full(20, 50.0), np.linspace(0, 30, 20)])
    with pytest.raises(ResultError, match="up and down"):
        tendon_axis(upright, "right")
    axis = Axis(np.array([0.0, -1.0]), 1.0)
    done = motion(made(upright, np.arange(20) / 25), None, axis=axis)
    assert done.displacement[-1] == pytest.approx(-30)


def test_from_noisy_positions_to_the_excursion(made: Make) -> None:
    t = times("uneven", 20)
    xy = on_axis(along(t, 0.5)) + np.random.default_rng(0).normal(0, 4, (len(t), 2))
    raw = made(xy, t, scale=UNEQUAL)
    cycles = find_cycles(t, motion(smooth(raw).trajectory, "right").displacement)
    assert cycles.excursions.mean() == pytest.approx(AMPLITUDE_MM, rel=0.05)
    rough = find_cycles(t, motion(raw, "right").displacement)
    assert rough.excursions.mean() > 1.06 * AMPLITUDE_MM


# ---- cycles ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["even", "uneven"])
def test_cycles_of_a_known_movement(kind: str) -> None:
    t = times(kind, 10.3)
    done = find_cycles(t, along(t, 0.8))
    assert len(done) == 7  # rises at 0.3125 + k 1.25 s
    assert done.starts == pytest.approx(0.3125 + 1.25 * np.arange(7), abs=5e-3)
    assert done.durations == pytest.approx(np.full(7, 1.25), rel=0.01)
    assert done.excursions == pytest.approx(np.full(7, AMPLITUDE_MM), rel=0.02)
    phase = np.linspace(0, 1, 101)
    true = AMPLITUDE_MM * (1 + np.sin(2 * np.pi * phase)) / 2
    assert np.abs(done.mean - true).max() < 0.02 * AMPLITUDE_MM
    assert done.sd.max() < 0.02 * AMPLITUDE_MM


def test_the_sd_is_between_cycles() -> None:
    t = np.arange(0, 7, 0.01)
    size = np.where(t < 2.25, 8.0, np.where(t < 4.25, 10.0, 12.0))
    d = 5 + size * -np.cos(2 * np.pi * t / 2) / 2
    done = find_cycles(t, d)
    assert len(done) == 3
    assert done.mean.max() == pytest.approx(10, rel=0.02)
    assert done.sd[np.argmax(done.mean)] == pytest.approx(1, rel=0.05)


def test_noise_about_the_middle_makes_no_cycles() -> None:
    t = times("even")
    d = along(t, 0.5) + np.random.default_rng(1).normal(0, 0.5, len(t))
    assert len(find_cycles(t, d)) == 4


def test_a_cycle_with_missing_positions_is_dropped_and_counted() -> None:
    t = times("even")
    d = along(t, 0.5)
    d[105:108] = np.nan
    done = find_cycles(t, d)
    assert (len(done), done.dropped) == (3, 1)


@pytest.mark.parametrize("values", [[], [1.0], [2.0] * 9, [np.nan] * 9, [0, 1.0, 2, 3]])
def test_no_cycles(values: list[float]) -> None:
    done = find_cycles(np.arange(len(values)), values)
    assert (len(done), done.dropped) == (0, 0)
    assert np.isnan(done.mean).all()
    assert np.isnan(done.to_frame()["sd"]).all()


def test_hysteresis_must_make_sense() -> None:
    with pytest.raises(ResultError, match="hysteresis"):
        find_cycles([0, 1], [0, 1], hysteresis=1.0)


# ---- onset -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize("kind", ["even", "uneven"])
def test_onset_of_a_ramp(kind: str, way: int) -> None:
    t = times(kind, 4)
    ramp = way * np.clip(20 * (t - 1.5), 0, 10)  # passes 2 % of its range, 0.2 mm, at 1.51 s
    assert onset(t, ramp, (0, 1)) == pytest.approx(1.51, abs=0.02)


def test_onset_in_noise_is_three_sds() -> None:
    t = np.arange(0, 4, 0.01)
    noise = np.random.default_rng(0).normal(0, 0.3, len(t))
    ramp = np.clip(20 * (t - 1.5), 0, 30) + noise
    assert onset(t, ramp, (0, 1)) == pytest.approx(1.5 + 0.9 / 20, abs=0.02)


def test_a_twitch_is_no_onset() -> None:
    t = times("even", 4)
    d = np.clip(20 * (t - 2.5), 0, 10)
    d[30:32] = 5
    assert onset(t, d, (0, 1)) == pytest.approx(2.51, abs=0.02)
    assert onset(t, d, (0, 1), hold=0.0) == pytest.approx(1.18, abs=0.03)


def test_onset_that_never_comes_and_a_baseline_that_is_none() -> None:
    t = times("even", 4)
    assert np.isnan(onset(t, np.zeros_like(t), (0, 1)))
    with pytest.raises(ResultError, match="baseline"):
        onset(t, t, (9, 10))

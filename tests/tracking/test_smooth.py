from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.trajectory import Flag, Origin, Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory
from napari_deepmtj.tracking.series import Duration, Series
from napari_deepmtj.tracking.smooth import (
    AuthorsChain,
    Butterworth,
    Fill,
    Hampel,
    Kalman,
    Method,
    SavitzkyGolay,
    smooth,
)

Make = Callable[..., Trajectory]

METHODS: list[Method] = [
    Kalman(),
    Kalman(density=1e5, noise=0.1),
    Butterworth(),
    SavitzkyGolay(),
    Hampel(),
    AuthorsChain(),
    Fill(),
]
WITHOUT_TIMES = [m for m in METHODS if not isinstance(m, Butterworth)]
MM = Scale.isotropic(0.1, "test")


def names(method: Method) -> str:
    return method.name


def noisy(seed: int = 0, n: int = 250, sd: float = 3.0, uneven: bool = False):  # type: ignore[no-untyped-def]
    """Return times, the true path (0.8 Hz, 16 mm at 0.1 mm a pixel), and the path with noise."""
    rng = np.random.default_rng(seed)
    t = np.cumsum(rng.uniform(0.02, 0.06, n)) if uneven else np.arange(n) / 25
    truth = np.column_stack(
        [300 + 80 * np.sin(2 * np.pi * 0.8 * t), 200 + 8 * np.sin(2 * np.pi * 0.8 * t)]
    )
    return t, truth, truth + rng.normal(0, sd, (n, 2))


def rms(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(((a - b) ** 2).sum(axis=1).mean()))


def with_flag(trajectory: Trajectory, frame: int, flag: Flag) -> Trajectory:
    table = trajectory.table.copy()
    table.loc[table["frame"] == frame, "flags"] = flag.value
    return replace(trajectory, table=table)


# ---- what it is for --------------------------------------------------------------------------


@pytest.mark.parametrize("uneven", [False, True], ids=["even", "uneven"])
@pytest.mark.parametrize("method", [Kalman(), Butterworth(4.0), SavitzkyGolay(9)], ids=names)
def test_noise_becomes_less_and_the_peak_stays(method: Method, uneven: bool, made: Make) -> None:
    t, truth, xy = noisy(uneven=uneven)
    done = smooth(made(xy, t, scale=MM), method).trajectory.xy_px
    assert rms(done, truth) < 0.7 * rms(xy, truth)
    gain = np.polyfit(truth[:, 0], done[:, 0], 1)[0]
    assert gain == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("method", METHODS, ids=names)
def test_no_lag(method: Method, made: Make) -> None:
    _, truth, xy = noisy(seed=5)
    done = smooth(made(xy, np.arange(250) / 25), method).trajectory.xy_px
    a, b = done[:, 0] - done[:, 0].mean(), truth[:, 0] - truth[:, 0].mean()
    lags = np.arange(-20, 21)
    match = [float((a[20 + k : 230 + k] * b[20:230]).sum()) for k in lags]
    assert lags[int(np.argmax(match))] == 0


def test_the_check_of_lag_would_see_one_frame(made: Make) -> None:
    _, truth, _ = noisy()
    a, b = np.roll(truth[:, 0], 1), truth[:, 0]
    a, b = a - a.mean(), b - b.mean()
    match = [float((a[20 + k : 230 + k] * b[20:230]).sum()) for k in range(-20, 21)]
    assert int(np.argmax(match)) - 20 == 1


def test_kalman_goes_by_the_weights_of_the_frames(made: Make) -> None:
    t, truth, xy = noisy(sd=1.0)
    rng = np.random.default_rng(9)
    bad = rng.random(250) < 0.3
    xy[bad] += rng.normal(0, 15, (bad.sum(), 2))
    told = smooth(made(xy, t, sd=np.where(bad, 15.0, 1.0))).trajectory.xy_px
    untold = smooth(made(xy, t, sd=np.full(250, 5.0))).trajectory.xy_px
    assert rms(told, truth) < 0.6 * rms(untold, truth)


def test_kalman_estimates_noise_below_what_the_network_claims(made: Make) -> None:
    t, _, xy = noisy(sd=1.0, n=600)
    log = smooth(made(xy, t, sd=10.0)).trajectory.provenance.operations[-1].arguments
    along, across = log["noise_used"]
    assert across == pytest.approx(0.01, rel=0.2)
    assert 0.002 < along < 0.02  # a sine of 80 px is not the model's random motion


# ---- what must not happen --------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=names)
def test_raw_values_and_what_a_person_set_stay(method: Method, made: Make) -> None:
    t, _, xy = noisy()
    before = made(xy, t, scale=MM).corrected(40, (333.0, 111.0), Origin.MANUAL)
    before = before.corrected(41, None).corrected(90, (250.0, 190.0))
    after = smooth(before, method).trajectory
    raw = ["x_raw_px", "y_raw_px"]
    assert after.table[raw].equals(before.table[raw])
    hand = before.by_hand
    pd.testing.assert_frame_equal(after.table[hand], before.table[hand], check_dtype=False)
    assert np.isnan(after.xy_px[41]).all()


@pytest.mark.parametrize("method", METHODS, ids=names)
def test_twice_is_once(method: Method, made: Make) -> None:
    t, _, xy = noisy()
    xy[[30, 31, 100, 101, 102, 103, 104, 105, 106, 107, 108]] = np.nan
    before = with_flag(made(xy, t, scale=MM), 60, Flag.OUTLIER).corrected(90, (250.0, 190.0))
    once = smooth(before, method)
    twice = smooth(once.trajectory, method)
    columns = [c for c in once.trajectory.table.columns if not c.startswith(("sd", "cov"))]
    assert twice.trajectory.table[columns].equals(once.trajectory.table[columns])
    assert twice.filled == once.filled


@pytest.mark.parametrize("method", METHODS, ids=names)
def test_short_gaps_are_filled_and_longer_ones_never(method: Method, made: Make) -> None:
    t, truth, xy = noisy(sd=0.5)
    xy[50:55] = np.nan  # 5 frames, 0.2 s
    xy[100:106] = np.nan  # 6 frames
    xy[:3] = xy[-2:] = np.nan
    done = smooth(made(xy, t, scale=MM), method, max_gap=Duration.seconds(0.2))
    table = done.trajectory.table
    gone = np.flatnonzero(np.isnan(done.trajectory.xy_px[:, 0])).tolist()
    assert gone == [0, 1, 2, *range(100, 106), 248, 249]
    assert done.left == 11
    assert not table["in_view"][gone].any()
    assert (table["flags"][gone] == "not_in_view").all()
    filled = table.iloc[50:55]
    assert (filled["origin"] == "INTERPOLATED").all()
    assert filled["in_view"].all()
    assert (filled["flags"] == "").all()
    assert filled[["x_raw_px", "y_raw_px"]].isna().all(axis=None)
    if not isinstance(method, AuthorsChain):
        assert np.abs(done.trajectory.xy_px[50:55] - truth[50:55]).max() < 6


def test_nothing_after_a_long_gap_or_a_cut_moves_what_is_before(made: Make) -> None:
    t, _, xy = noisy()
    xy[100:110] = np.nan
    other = xy.copy()
    other[110:] += 150
    fixed = Kalman(1e3, 0.5)
    a, b = (smooth(made(p, t, scale=MM), fixed).trajectory.xy_px for p in (xy, other))
    assert (a[:100] == b[:100]).all()
    assert np.abs(a[110:] - b[110:]).min() > 100
    step = np.where(np.arange(250)[:, None] < 38, xy[37], xy[37] + 120)
    cut = smooth(with_flag(made(step, t), 38, Flag.JUMP), fixed).trajectory.xy_px
    assert cut == pytest.approx(step, abs=1e-2)
    smeared = smooth(made(step, t), fixed).trajectory.xy_px
    assert np.abs(smeared - step).max() > 10


def test_frames_that_were_never_tracked_are_a_gap_too(made: Make) -> None:
    t, _, xy = noisy()
    kept = [*range(100), *range(120, 250)]
    series = Series.of(made(xy[kept], t[kept], frames=kept))
    assert series.stretches(Duration.seconds(0.7)) == [slice(0, 100), slice(100, 230)]
    assert series.stretches(Duration.frames(19)) == [slice(0, 100), slice(100, 230)]
    assert series.stretches(Duration.frames(20)) == [slice(0, 230)]
    every = Series.of(made(xy[::10], t[::10], frames=range(0, 250, 10)))
    assert every.stretches(Duration.frames(0)) == [slice(0, 25)]


def test_a_persons_word_that_it_is_out_of_view_parts_the_path(made: Make) -> None:
    t, _, xy = noisy()
    series = Series.of(made(xy, t).corrected(70, None))
    assert series.stretches(Duration.seconds(1)) == [slice(0, 70), slice(71, 250)]


def test_an_outlier_is_left_out_and_filled(made: Make) -> None:
    t, truth, xy = noisy(sd=0.5)
    xy[60] += 200
    done = smooth(with_flag(made(xy, t), 60, Flag.OUTLIER)).trajectory
    assert done.xy_px[60] == pytest.approx(truth[60], abs=3)
    row = done.table.iloc[60]
    assert (row["origin"], row["flags"], row["x_raw_px"]) == ("INTERPOLATED", "outlier", xy[60, 0])


def test_filled_frames_are_less_certain_the_longer_the_gap(made: Make) -> None:
    t, _, xy = noisy(sd=1.0)
    xy[50] = xy[100:105] = np.nan
    table = smooth(made(xy, t, sd=4.0, scale=MM)).trajectory.table
    assert table["sd_x_px"][102] > table["sd_x_px"][100] > 3.5  # what lasts of the 4 px is there
    assert table["sd_x_px"][102] > table["sd_x_px"][50]
    assert table["sd_x_px"][49] == 4.0
    assert table["sd_mm"][102] > table["sd_mm"][49]
    assert smooth(made(xy, t), Fill()).trajectory.table["sd_x_px"][[50, 102]].isna().all()


# ---- little, or nothing, to go by ------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=names)
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_frames(method: Method, n: int, made: Make) -> None:
    t, _, xy = noisy()
    done = smooth(made(xy[:n], t[:n]), method).trajectory.xy_px
    assert np.isfinite(done).all()
    assert np.abs(done - xy[:n]).max(initial=0) < 15
    if n == 1:
        assert done == pytest.approx(xy[:1])


def test_kalman_says_when_it_smoothed_nothing(made: Make) -> None:
    t, _, xy = noisy()
    xy[3] = np.nan
    done = smooth(made(xy[:8], t[:8]))
    assert "too few frames" in done.notices[0]
    assert np.array_equal(done.trajectory.xy_px, xy[:8], equal_nan=True)


@pytest.mark.parametrize("method", METHODS, ids=names)
def test_nothing_in_view(method: Method, made: Make) -> None:
    before = made(np.full((20, 2), np.nan), np.arange(20) / 25, scale=MM)
    done = smooth(before, method)
    assert done.trajectory.table.equals(before.table)
    assert (done.filled, done.left) == (0, 20)


@pytest.mark.parametrize("method", WITHOUT_TIMES, ids=names)
def test_without_times_frames_are_the_unit_and_it_says_so(method: Method, made: Make) -> None:
    _, truth, xy = noisy()
    xy[50:55] = xy[100:106] = np.nan
    done = smooth(made(xy), method, max_gap=Duration.frames(5))
    assert done.time_unit == "frame"
    assert "no times" in done.notices[-1]
    assert done.trajectory.provenance.operations[-1].arguments["time_unit"] == "frame"
    assert np.isnan(done.trajectory.xy_px[:, 0]).sum() == 6
    timed = smooth(made(xy, np.arange(250.0)), method, max_gap=Duration.frames(5))
    assert np.array_equal(done.trajectory.xy_px, timed.trajectory.xy_px, equal_nan=True)
    assert rms(done.trajectory.xy_px[10:50], truth[10:50]) < 8


def test_seconds_and_hertz_of_a_clip_without_times_are_refused(made: Make) -> None:
    _, _, xy = noisy()
    with pytest.raises(ResultError, match="no times"):
        smooth(made(xy), Butterworth())
    with pytest.raises(ResultError, match="no times"):
        smooth(made(xy), max_gap=Duration.seconds(0.2))


def test_times_that_contradict_themselves_are_refused(made: Make) -> None:
    t, _, xy = noisy()
    good = made(xy, t)
    for value, said in [(np.nan, "frame 7: has no time"), (0.0, "frame 7: times do not increase")]:
        table = good.table.copy()
        table.loc[7, "time_s"] = value
        with pytest.raises(ResultError, match=said):
            smooth(replace(good, table=table))


def test_without_covariances_all_frames_weigh_the_same_and_it_says_so(made: Make) -> None:
    t, _, xy = noisy()
    bare, unit = made(xy, t, sd=np.nan), made(xy, t, sd=1.0)
    done = smooth(bare)
    assert "no frame has a covariance" in done.notices[0]
    assert done.trajectory.xy_px == pytest.approx(smooth(unit).trajectory.xy_px)


@pytest.mark.parametrize(
    "wrong", [{"density": 1.0}, {"noise": 1.0}, {"density": -1.0, "noise": 1.0}]
)
def test_kalman_refuses_half_a_model(wrong: dict[str, float]) -> None:
    with pytest.raises(ResultError, match="density"):
        Kalman(**wrong)


def test_given_figures_are_in_millimetres_where_there_is_a_scale(made: Make) -> None:
    t, _, xy = noisy()
    a = smooth(made(xy, t, scale=Scale(0.1, 0.2, "test")), Kalman(1e3, 0.5)).trajectory
    assert a.provenance.operations[-1].arguments["density_px2"] == pytest.approx([1e5, 2.5e4])


@pytest.mark.parametrize("method", METHODS, ids=names)
def test_the_log_has_every_parameter_and_the_file_reads_back(
    method: Method, made: Make, tmp_path: Path
) -> None:
    t, _, xy = noisy()
    xy[50:53] = np.nan
    done = smooth(made(xy, t, scale=MM), method, max_gap=Duration.frames(4)).trajectory
    log = done.provenance.operations[-1]
    assert (log.name, log.arguments["method"]) == ("smooth", method.name)
    assert log.arguments["max_gap"] == "4 frames"
    assert log.arguments["filled"] >= 3
    back = read_trajectory(write_trajectory(done, tmp_path / "a.mtj.csv"))
    assert back.xy_px == pytest.approx(done.xy_px, nan_ok=True)
    assert back.provenance.operations[-1].name == "smooth"

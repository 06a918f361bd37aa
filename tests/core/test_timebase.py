from __future__ import annotations

import numpy as np
import pytest

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import VideoError


def test_a_constant_rate_is_found_again() -> None:
    times = FrameTimes.from_rate(50, 25.0, "assumed 25 Hz")
    assert times.uniform
    assert times.known
    assert times.rate == pytest.approx(25.0)
    assert times.interval == pytest.approx(0.04)
    assert len(times) == 50


def test_times_rounded_to_milliseconds_are_still_uniform() -> None:
    times = FrameTimes(np.round(np.arange(500) / 61, 3))
    assert times.uniform
    assert times.rate == pytest.approx(61, rel=1e-3)


def test_one_dropped_frame_is_not_uniform() -> None:
    seconds = np.delete(np.arange(100) / 25, 40)
    times = FrameTimes(seconds)
    assert not times.uniform
    assert times.rate is None
    assert times.interval == pytest.approx(0.04)


def test_slow_drift_is_not_uniform() -> None:
    # Every interval is within a tenth of the mean, yet the clip is off by more than a frame.
    intervals = np.concatenate([np.full(200, 0.96), np.full(200, 1.04)]) / 25
    times = FrameTimes(np.cumsum(intervals))
    assert np.abs(np.diff(times.seconds) * 25 - 1).max() < 0.1
    assert not times.uniform


def test_unknown_times_are_frame_numbers_without_a_rate() -> None:
    times = FrameTimes.unknown(5)
    assert not times.known
    assert times.rate is None
    np.testing.assert_array_equal(times.seconds, np.arange(5))


def test_slices_and_lists_of_frames() -> None:
    times = FrameTimes.from_rate(10, 10, "container")
    np.testing.assert_allclose(times[2:5].seconds, [0.2, 0.3, 0.4])
    np.testing.assert_allclose(times[[0, 9]].seconds, [0, 0.9])
    assert times[2:5].source == "container"


def test_a_single_frame_has_no_interval() -> None:
    times = FrameTimes(np.zeros(1))
    assert np.isnan(times.interval)
    assert times.rate is None


def test_times_cannot_be_changed_from_outside() -> None:
    seconds = np.arange(4.0)
    times = FrameTimes(seconds)
    seconds[0] = 99
    assert times.seconds[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        times.seconds[0] = 1


@pytest.mark.parametrize("seconds", [[0, 1, 1], [0, 2, 1]])
def test_times_that_do_not_increase_name_the_frame(seconds: list[float]) -> None:
    with pytest.raises(VideoError, match="frame 2"):
        FrameTimes(np.array(seconds))


@pytest.mark.parametrize("seconds", [[0, np.nan], [[0, 1]]])
def test_times_that_are_no_list_of_numbers_are_refused(seconds: list[float]) -> None:
    with pytest.raises(VideoError, match="finite, one-dimensional"):
        FrameTimes(np.array(seconds))


@pytest.mark.parametrize("rate", [0, -25, float("nan")])
def test_impossible_rates_are_refused(rate: float) -> None:
    with pytest.raises(VideoError, match="positive"):
        FrameTimes.from_rate(3, rate, "header")

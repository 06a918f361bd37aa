from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from napari_deepmtj.errors import ResultError
from napari_deepmtj.tracking import filters

RNG = np.random.default_rng(0)


def both(values: np.ndarray) -> np.ndarray:
    return np.column_stack([values, -2 * values])


@pytest.mark.parametrize(("order", "cutoff"), [(4, 3.0), (4, 6.0), (2, 5.0), (8, 9.0)])
def test_butterworth_has_half_the_power_at_its_cutoff(order: int, cutoff: float) -> None:
    t = np.arange(5000) / 25
    wave = np.sin(2 * np.pi * cutoff * t)
    done, resampled = filters.butterworth(t, both(wave), cutoff, order)
    middle = slice(1000, 4000)
    assert not resampled
    assert done[middle, 0].std() / wave[middle].std() == pytest.approx(2**-0.5, rel=1e-3)
    assert done[middle, 1] == pytest.approx(-2 * done[middle, 0])


def test_butterworth_is_scipys_with_the_cutoff_of_two_passes() -> None:
    t, values = np.arange(200) / 50, RNG.normal(size=200)
    # Winter's correction for two passes of second order is 0.802, on the warped frequency
    warped = np.tan(np.pi * 6 / 50) / 0.8022
    b, a = signal.butter(2, np.arctan(warped) * 2 / np.pi)
    expected = signal.filtfilt(b, a, values)
    assert filters.butterworth(t, both(values), 6.0, 4)[0][:, 0] == pytest.approx(
        expected, abs=2e-4
    )


def test_butterworth_resamples_uneven_times_and_says_so() -> None:
    t = np.cumsum(RNG.uniform(0.01, 0.03, 800))
    slow, fast = np.sin(2 * np.pi * 1.0 * t), 0.3 * np.sin(2 * np.pi * 15 * t)
    done, resampled = filters.butterworth(t, both(slow + fast), 5.0, 4)
    assert resampled
    assert np.abs(done[50:-50, 0] - slow[50:-50]).max() < 0.05


@pytest.mark.parametrize(("cutoff", "order"), [(12.5, 4), (0.0, 4), (-1, 4), (6, 3), (6, 0)])
def test_butterworth_refuses_what_it_cannot_do(cutoff: float, order: int) -> None:
    with pytest.raises(ResultError, match=r"cut-off|order"):
        filters.butterworth(np.arange(50) / 25, np.zeros((50, 2)), cutoff, order)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_short_stretches_keep_a_constant(n: int) -> None:
    t, xy = np.arange(n) / 25, np.full((n, 2), 7.0)
    assert filters.butterworth(t, xy, 6.0, 4)[0] == pytest.approx(xy)
    assert filters.local_polynomial(t, xy, 11, 3) == pytest.approx(xy)
    assert filters.hampel(xy, 10, 3.0)[0] == pytest.approx(xy)


@pytest.mark.parametrize(("window", "order"), [(11, 3), (5, 2), (21, 4)])
def test_local_polynomial_is_savitzky_golay_at_even_times(window: int, order: int) -> None:
    t, values = np.arange(120) / 25, RNG.normal(size=120)
    expected = signal.savgol_filter(values, window, order, mode="interp")
    done = filters.local_polynomial(t, both(values), window, order)
    assert done[:, 0] == pytest.approx(expected, abs=1e-9)


def test_local_polynomial_keeps_a_cubic_at_uneven_times() -> None:
    t = np.cumsum(RNG.uniform(0.01, 0.2, 60))
    cubic = 3 - t + 2 * t**2 - 0.5 * t**3
    assert filters.local_polynomial(t, both(cubic), 9, 3)[:, 0] == pytest.approx(cubic, abs=1e-7)
    wrong = signal.savgol_filter(cubic, 9, 3)
    assert np.abs(wrong - cubic).max() > 0.01


def test_hampel_by_hand() -> None:
    xy = np.column_stack([[1, 2, 3, 40, 5, 6, 7], np.arange(7.0)])
    done, replaced = filters.hampel(xy, 2, 3.0)
    # around row 3: 2, 3, 40, 5, 6 -> median 5, deviations 3, 2, 35, 0, 1 -> MAD 2
    assert done[:, 0].tolist() == [1, 2, 3, 5, 5, 6, 7]
    assert done[:, 1].tolist() == list(range(7))
    assert replaced.tolist() == [False, False, False, True, False, False, False]
    assert not filters.hampel(xy, 2, 35 / (1.4826 * 2) + 0.01)[1].any()
    with pytest.raises(ResultError, match="Hampel"):
        filters.hampel(xy, 0, 3)


def test_fill_by_hand() -> None:
    t = np.array([0, 1, 3, 4.0])
    xy = np.array([[0, 8], [np.nan, np.nan], [6, 2], [8, 0.0]])
    assert filters.fill(t, xy, "linear").tolist() == [[0, 8], [2, 6], [6, 2], [8, 0]]
    assert filters.fill(t, xy, "pchip")[1] == pytest.approx([2, 6])  # all on one line
    bump = np.array([[0, 0], [np.nan, np.nan], [1, 0], [1, 0]])
    assert 0 < filters.fill(t, bump, "pchip")[1, 0] < 1


def test_the_authors_chain_by_hand() -> None:
    x = np.r_[np.tile([10.0, 11, 12, 11], 15), 60.0, np.tile([10.0, 11, 12, 11], 15)]
    xy = np.column_stack([x, np.zeros_like(x)])
    xy[:2] = np.nan
    xy[70:95] = np.nan
    done, replaced = filters.authors_chain(xy, 2.0, 20, 10, 3.0)
    assert np.flatnonzero(replaced).tolist() == [60]
    assert done[60, 0] == 10.5  # between 11 and 10: removed and linear
    assert done[:2, 0].tolist() == [12, 12]  # backwards
    before, after = x[69], x[95]
    ramp = before + (after - before) * np.arange(1, 21) / 26
    assert done[70:90, 0] == pytest.approx(ramp, abs=1e-9)  # 20 of the gap's 25 frames
    assert done[90:95, 0] == pytest.approx(np.full(5, ramp[-1]))  # the rest held


def test_the_authors_chain_removes_at_two_sds_and_not_below() -> None:
    x = np.array([-1.0, 1, -1, 1, -1, 1, 3])  # mean 3/7, population SD 1.3997: z of the 3 is 1.8371
    xy = np.column_stack([x, np.zeros(7)])
    assert filters.authors_chain(xy, 1.838, 20, 10, 99)[0][-1, 0] == 3
    assert filters.authors_chain(xy, 1.836, 20, 10, 99)[0][-1, 0] == 1


def test_the_authors_chain_leaves_nothing_as_nothing() -> None:
    done, replaced = filters.authors_chain(np.full((5, 2), np.nan), 2, 20, 10, 3)
    assert np.isnan(done).all()
    assert not replaced.any()

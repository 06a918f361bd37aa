"""The statistics against published worked examples, to the digits that were printed."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from napari_deepmtj.errors import MissingExtraError
from napari_deepmtj.evaluation.reliability import (
    bland_altman,
    cohens_kappa,
    icc_2_1,
    limits_of_agreement,
    minimal_detectable_change,
    standard_error,
)

#: Bland and Altman, Lancet 1986;1:307-310: peak expiratory flow of 17 subjects in l/min, first
#: measurements with a large Wright meter and with a mini one.
WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]

#: Shrout and Fleiss, Psychol Bull 1979;86:420-428, Table 2: six targets by four judges.
JUDGES = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_peak_flow_bias_and_sd() -> None:
    """The 1986 paper prints a mean difference of -2.1 and an SD of 38.8 l/min."""
    found = bland_altman(np.subtract(WRIGHT, MINI))
    assert found.n == 17
    assert round(found.bias.value, 1) == -2.1
    assert round(found.sd, 1) == 38.8


def test_peak_flow_limits() -> None:
    """Limits and intervals as printed; the paper takes two SDs, and the rounded -2.1 and 38.8."""
    found = limits_of_agreement(-2.1, 38.8, 17, limit_sds=2)
    printed = [
        (found.bias, -2.1, -22.0, 17.8),
        (found.lower, -79.7, -114.3, -45.1),
        (found.upper, 75.5, 40.9, 110.1),
    ]
    for estimate, value, low, high in printed:
        assert [round(v, 1) for v in (estimate.value, estimate.low, estimate.high)] == [
            pytest.approx(value),
            pytest.approx(low),
            pytest.approx(high),
        ]


def test_the_usual_limits_are_196_sds_wide() -> None:
    found = bland_altman(np.subtract(WRIGHT, MINI))
    assert found.upper.value - found.lower.value == pytest.approx(2 * 1.96 * found.sd)
    # Bland and Altman 1999: the standard error of a limit is 1.71 s / sqrt(n)
    half = (found.upper.high - found.upper.low) / 2
    assert half / (2.1199 * found.sd / math.sqrt(17)) == pytest.approx(1.71, abs=0.005)


@pytest.mark.parametrize("differences", [[], [3.0]])
def test_too_few_differences_have_no_limits(differences: list[float]) -> None:
    found = bland_altman(differences)
    assert found.n == len(differences)
    assert math.isnan(found.sd)
    assert math.isnan(found.lower.value)
    assert math.isnan(found.bias.low)


def test_icc_of_the_published_example() -> None:
    """ICC(2,1) = .29 in SF79; its interval .019 to .76 as R's psych prints it (ICC2)."""
    pingouin = pytest.importorskip("pingouin", reason="the extra statistics is not installed")
    before = dict(pingouin.options)
    found = icc_2_1(JUDGES)
    assert round(found.value, 2) == 0.29
    assert (round(found.low, 3), round(found.high, 2)) == (0.019, 0.76)
    assert found.low != round(found.low, 6)  # pingouin's own two places are not enough
    assert pingouin.options == before


def test_the_error_of_the_published_example() -> None:
    """Table 3 of SF79 prints the mean squares BMS 11.24, WMS 6.26, JMS 32.49, EMS 1.02."""
    sem = standard_error(JUDGES)
    assert round(sem**2, 2) == 6.26
    assert minimal_detectable_change(sem) == pytest.approx(2.772 * sem, rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_icc_and_error_share_the_variance(seed: int) -> None:
    """ICC(2,1) = true variance / (true variance + SEM^2), however large the raters' bias is."""
    pytest.importorskip("pingouin", reason="the extra statistics is not installed")
    rng = np.random.default_rng(seed)
    n, k = 30, 3
    ratings = rng.normal(50, 9, (n, 1)) + rng.normal(0, 3, (1, k)) + rng.normal(0, 2, (n, k))
    residual = ratings - ratings.mean(0) - ratings.mean(1, keepdims=True) + ratings.mean()
    error = (residual**2).sum() / ((n - 1) * (k - 1))
    true = (k * ratings.mean(1).var(ddof=1) - error) / k
    found = icc_2_1(ratings)
    assert found.value == pytest.approx(true / (true + standard_error(ratings) ** 2), rel=1e-9)
    assert found.low < found.value < found.high


def test_two_raters_differ_by_root_two_of_the_error() -> None:
    rng = np.random.default_rng(0)
    truth, noise = rng.uniform(0, 100, 4000), rng.normal(0, 1.5, (4000, 2))
    assert standard_error(truth[:, None] + noise) == pytest.approx(1.5, rel=0.03)


def test_ratings_without_variance_have_no_icc() -> None:
    pytest.importorskip("pingouin", reason="the extra statistics is not installed")
    assert math.isnan(icc_2_1(np.ones((9, 2))).value)
    assert math.isnan(icc_2_1([[1, 2], [3, 4]]).value)
    perfect = icc_2_1([[1, 1], [2, 2], [5, 5]])
    assert perfect.value == 1
    assert math.isnan(perfect.low)
    shifted = icc_2_1([[1, 2], [2, 3], [6, 7]])  # no residual, so no interval
    assert shifted.value == pytest.approx(7 / 7.5)
    assert math.isnan(shifted.low)


def test_kappa() -> None:
    """The textbook table: 35 of 50 agree, 25 by chance."""
    pytest.importorskip("statsmodels", reason="the extra statistics is not installed")
    found = cohens_kappa([[20, 5], [10, 15]])
    assert found.value == pytest.approx(0.4)
    assert found.low < 0.4 < found.high
    for certain, value in (([[8, 2], [0, 0]], 0), ([[5, 0], [0, 3]], 1), ([[0, 4], [4, 0]], -1)):
        found = cohens_kappa(certain)
        assert found.value == pytest.approx(value)
        assert math.isnan(found.low)  # and not from 0 to 0
        assert math.isnan(found.high)
    for undecided in ([[9, 0], [0, 0]], [[0, 0], [0, 0]]):
        assert math.isnan(cohens_kappa(undecided).value)


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pingouin", None)
    monkeypatch.setitem(sys.modules, "statsmodels.stats.inter_rater", None)
    for function in (icc_2_1, cohens_kappa):
        with pytest.raises(MissingExtraError, match=r"napari-deepmtj\[statistics\]"):
            function([[1, 2], [3, 4]])

"""What judges stated doubt: by hand, and on numbers whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_deepmtj.evaluation.doubt import (
    assured_rank,
    auroc,
    calibration_error,
    conformal_rank,
    coverage_interval,
    judge_regions,
    share_interval,
    squared_distance,
)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.15, 0.15])
    right = np.array([True, False, False, False])
    # bin of 0.95: 1.9 told, 1 right; bin of 0.15: 0.3 told, 0 right; of four pictures
    assert calibration_error(confidence, right) == pytest.approx((0.9 + 0.3) / 4)


def test_confidence_that_is_the_probability_errs_little() -> None:
    rng = np.random.default_rng(0)
    told = rng.random(100_000)
    right = rng.random(100_000) < told
    assert calibration_error(told, right) < 0.01
    assert calibration_error(told**3, right) > 0.2


def test_auroc_counts_pairs() -> None:
    assert auroc(np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, True, False, False])) == 3.5 / 4
    assert math.isnan(auroc(np.array([1.0]), np.array([True])))


def test_squared_distance_is_that_of_the_inverse() -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(50, 2, 2))
    covariance, off = root @ root.transpose(0, 2, 1) + np.eye(2), rng.normal(size=(50, 2))
    expected = np.einsum("ni,nij,nj->n", off, np.linalg.inv(covariance), off)
    np.testing.assert_allclose(squared_distance(off, covariance), expected)


def test_regions_of_true_covariances_cover_nine_in_ten_in_every_third() -> None:
    rng = np.random.default_rng(2)
    sd = np.exp(rng.normal(size=(30_000, 1))) * [3.0, 1.0]
    covariance = sd[:, :, None] * np.eye(2) * sd[:, None, :]
    good = judge_regions(rng.normal(size=sd.shape) * sd, covariance)
    assert good.coverage == pytest.approx(0.9, abs=0.01)
    assert good.by_tercile == pytest.approx((0.9, 0.9, 0.9), abs=0.01)
    assert good.spearman > 0.6
    flat = judge_regions(
        rng.normal(size=sd.shape) * sd, np.tile(np.diag([9.0, 1.0]), (30_000, 1, 1))
    )
    assert math.isnan(flat.spearman)


@pytest.mark.parametrize(("n", "rank"), [(9, 9), (19, 18), (99, 90), (5, 5)])
def test_conformal_rank(n: int, rank: int) -> None:
    assert conformal_rank(n) == rank


def test_a_conformal_bound_covers_as_its_interval_says() -> None:
    rng = np.random.default_rng(3)
    n, low, high = 50, *coverage_interval(50)
    scores = np.sort(rng.exponential(size=(4000, n)), axis=1)
    coverage = 1 - np.exp(-scores[:, conformal_rank(n) - 1])
    assert coverage.mean() == pytest.approx(conformal_rank(n) / (n + 1), abs=0.005)
    assert ((coverage >= low) & (coverage <= high)).mean() == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(("n", "rank"), [(5, 5), (28, 28), (29, 29), (1200, 1098)])
def test_assured_rank(n: int, rank: int) -> None:
    assert assured_rank(n) == rank


def test_an_assured_bound_falls_short_in_at_most_five_draws_of_a_hundred() -> None:
    rng = np.random.default_rng(4)
    scores = np.sort(rng.exponential(size=(4000, 200)), axis=1)
    short, shorter = (
        (1 - np.exp(-scores[:, assured_rank(200) - back]) < 0.9).mean() for back in (1, 2)
    )
    assert short <= 0.05 < shorter


def test_the_interval_of_no_failures_is_not_a_point() -> None:
    low, high = share_interval(0, 100)
    assert low == pytest.approx(0.0, abs=1e-12)
    assert 0.02 < high < 0.05

"""What is fitted on pictures that a network never learned from says what it means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_deepmtj.evaluation.doubt import squared_distance
from napari_deepmtj.inference.decode import (
    REGION,
    Decoding,
    calibrated_covariance,
    confidence_features,
)
from napari_deepmtj.inference.peak import Peak
from napari_deepmtj.training.fit import MISSED_AT_MOST, fit_decoding
from napari_deepmtj.training.observed import Observed

SIGMA = 8.0
START = Decoding(target_sigma_px=SIGMA)


def observed(n: int, absent: int, seed: int) -> Observed:
    """Pictures whose error and reach share a doubt; of those without an MTJ most are called out."""
    rng = np.random.default_rng(seed)
    doubt = np.exp(rng.normal(0, 0.7, n + absent))
    present = np.arange(n + absent) < n
    truth = rng.uniform(40, 90, (n + absent, 2))
    off = rng.normal(0, 1, (n + absent, 2)) * doubt[:, None] * [4.0, 1.5]
    off[~present] = 60.0
    spread = np.eye(2) * (SIGMA**2 + doubt[:, None, None] ** 2)
    reach = np.sqrt(2.0) * SIGMA * np.maximum(doubt, 0.5)
    presence = np.where(present, rng.normal(4, 1.5, n + absent), rng.normal(-1, 1.5, n + absent))
    peak = Peak(truth + off, spread, np.full(n + absent, 0.8), reach)
    return Observed(peak, presence, truth, present, np.full((n + absent, 2), 0.3))


def fitted(seen: Observed) -> Decoding:
    """Fit, and read what the card would have."""
    decoding, _ = fit_decoding(seen, START, width=256, seed=3)
    return Decoding.from_card(decoding)


def told(seen: Observed, by: Decoding, tolerance_px: float = 8.0) -> np.ndarray:
    """Confidences (n,) of pictures by fitted numbers."""
    covariance = calibrated_covariance(seen.peak, by)
    weights = [by.bias, by.presence_weight, by.mass_weight, by.tolerance_weight]
    features = confidence_features(seen.peak, seen.presence, covariance, tolerance_px)
    return 1 / (1 + np.exp(-features @ np.array(weights)))


def test_as_many_are_called_out_of_view_as_may_be() -> None:
    seen = observed(4000, 400, 1)
    called = 1 / (1 + np.exp(-seen.presence)) >= fitted(seen).presence_threshold
    assert 1 - called[seen.present].mean() == pytest.approx(MISSED_AT_MOST, abs=2e-3)
    assert called[~seen.present].mean() < 0.5


def test_the_threshold_is_that_of_pictures_as_they_are() -> None:
    seen, plain = observed(4000, 400, 1), observed(4000, 400, 2)
    plain = replace(plain, presence=plain.presence + 2)
    decoding, _ = fit_decoding(seen, START, width=256, seed=3, plain=plain)
    missed = [
        (1 / (1 + np.exp(-part.presence[part.present])) < decoding["presence_threshold"]).mean()
        for part in (plain, seen)
    ]
    assert missed[0] == pytest.approx(MISSED_AT_MOST, abs=2e-3)
    assert missed[1] > 2 * MISSED_AT_MOST


def test_the_region_holds_nine_in_ten_of_other_pictures() -> None:
    by, other = fitted(observed(3000, 0, 2)), observed(3000, 0, 4)
    distance = squared_distance(other.peak.xy - other.truth, calibrated_covariance(other.peak, by))
    assert (distance <= REGION).mean() == pytest.approx(0.9, abs=0.02)


def test_confidence_is_what_comes_of_it_however_many_pictures_had_no_mtj() -> None:
    """Training needs many pictures without an MTJ; a clip's frames have few."""
    other = observed(3000, 0, 5)
    right = np.hypot(*(other.peak.xy - other.truth).T) <= 8.0
    for absent in (60, 3000):
        confidence = told(other, fitted(observed(3000, absent, 6)))
        assert confidence.mean() == pytest.approx(right.mean(), abs=0.06)
        assert np.corrcoef(confidence, right)[0, 1] > 0.3

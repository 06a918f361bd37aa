"""Fit what turns a network's output into honest uncertainty, on pictures it never learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from napari_deepmtj.evaluation.doubt import assured_rank, squared_distance
from napari_deepmtj.inference.decode import (
    COVERAGE,
    REGION,
    Decoding,
    calibrated_covariance,
    confidence_features,
    doubt,
    excess,
    shape_of,
)
from napari_deepmtj.training.observed import Observed, half, joined

FloatArray = npt.NDArray[np.float64]

#: Share of pictures with the MTJ in view that may be called "not in view". A frame that is missed
#: is gone, one that is invented still has its confidence; so this is small.
MISSED_AT_MOST = 0.02
#: The threshold stays within these, however the phantom pictures fall.
THRESHOLD_RANGE = (0.05, 0.95)
#: Tolerances in input pixels among which the confidence is fitted; 6.3 % of a 256 px wide
#: input, P20's 5 mm, is 16 px.
TOLERANCE_RANGE_PX = (4.0, 40.0)
#: Width of the input that the two numbers around here are given for; others in proportion.
REFERENCE_WIDTH = 256
#: Errors beyond this many input pixels are blunders; they decide the size of the covariance, not
#: its shape.
BLUNDER_PX = 16.0
#: Share of pictures without an MTJ, as the fit of the confidence weighs them. Training needs many,
#: so that they would make every confidence too low for clips.
ABSENT_SHARE = 0.05


def fit_decoding(
    seen: Observed,
    start: Decoding,
    *,
    width: int,
    seed: int,
    threshold: bool = True,
    harder: Observed | None = None,
    plain: Observed | None = None,
) -> tuple[dict[str, float], dict[str, float]]:
    """Fit the numbers of `Decoding`.

    Parameters
    ----------
    seen : Observed
        Pictures that the network never learned from.
    start : Decoding
        What is not fitted: how the network is read.
    width : int
        Of the network's input, in pixels.
    seed : int
        Of the tolerances among which the confidence is fitted.
    threshold : bool
        Whether to fit the threshold of "in view", too.
    harder : Observed, optional
        The same pictures spoilt. Covariance and confidence are fitted on both, so that they hold
        for pictures of either kind; figures are those of `seen`.
    plain : Observed, optional
        The same pictures as they are, on which the threshold is fitted; on `seen` without them.

    Returns
    -------
    decoding : dict
        For the weight card.
    figures : dict
        What the network does on these pictures: errors, shares within 5 mm, missed and invented,
        and how good the confidence is there.
    """
    called = _called(seen)
    limit = start.presence_threshold
    if threshold:
        shown = seen if plain is None else plain
        in_view = _called(shown)[shown.present]
        limit = float(np.clip(np.quantile(in_view, MISSED_AT_MOST), *THRESHOLD_RANGE))

    part = width / REFERENCE_WIDTH
    both = [seen] if harder is None else [seen, harder]
    there = [each.where(each.present & (_called(each) >= limit)) for each in both]
    if not any(len(each.truth) for each in there):  # it calls the MTJ in view nowhere
        there = [each.where(each.present) for each in both]
    fitted = replace(start, presence_threshold=limit)
    fitted = fit_covariance(there, fitted, BLUNDER_PX * part)

    given = [each.where(_called(each) >= limit) for each in both]
    if not any(len(each.truth) for each in given):
        given = both
    weights, told, right = _fit_confidence(given, _importance(both), fitted, part, seed)
    names = ("bias", "presence_weight", "mass_weight", "tolerance_weight")
    decoding = asdict(replace(fitted, **dict(zip(names, weights, strict=True))))

    figures = _figures(seen, called >= limit)
    first = slice(len(given[0].truth))
    if len(told[first]):
        figures["confidence_mean"] = float(told[first].mean())
        figures["confidence_right"] = float(right[first].mean())
        figures["confidence_brier"] = float(((told[first] - right[first]) ** 2).mean())
    return decoding, {name: round(value, 4) for name, value in figures.items()}


def _fit_confidence(
    given: Sequence[Observed], counts: tuple[float, float], fitted: Decoding, part: float, seed: int
) -> tuple[list[float], FloatArray, npt.NDArray[np.bool_]]:
    """Fit the confidence of positions that are given, at tolerances drawn at random.

    Positions in pictures without an MTJ are wrong ones; such pictures and the others count as
    `counts` says. Pictures called out of view, in which nobody is given a position, take no part:
    their number would lower every confidence.

    Returns
    -------
    weights : list of float
        Of `confidence_features`.
    told, right : ndarray, shape (n,)
        Confidences, and what came of them.
    """
    every = joined(given)
    rng = np.random.default_rng(seed)
    low, high = np.log(TOLERANCE_RANGE_PX) + math.log(part)
    tolerance = np.exp(rng.uniform(low, high, len(every.truth)))
    covariance = calibrated_covariance(every.peak, fitted)
    features = confidence_features(every.peak, every.presence, covariance, tolerance)
    right = every.present & (np.hypot(*(every.peak.xy - every.truth).T) <= tolerance)
    weights = fit_logistic(features, right, np.where(every.present, *counts))
    told = 1 / (1 + np.exp(-np.clip(features @ np.array(weights), -60, 60)))
    return weights, told, right


def _importance(sets: Sequence[Observed]) -> tuple[float, float]:
    """How much a picture with and one without an MTJ count, the latter `ABSENT_SHARE` of all."""
    share = float((~joined(sets).present).mean())
    return ((1 - ABSENT_SHARE) / (1 - share), ABSENT_SHARE / share) if 0 < share < 1 else (1.0, 1.0)


def _called(seen: Observed) -> FloatArray:
    """Return the stated probabilities of "in view", shape (n,)."""
    probability: FloatArray = 1 / (1 + np.exp(-np.clip(seen.presence, -60, 60)))
    return probability


def _figures(seen: Observed, called: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Errors where the MTJ is in view and called so, in mm if every picture has a scale."""
    found = seen.present & called
    off = (seen.peak.xy - seen.truth)[found]
    figures = {}
    if not found.any():
        pass  # it calls the MTJ in view nowhere, as "missed" says
    elif np.isfinite(seen.mm_per_px).all():
        error_mm = np.hypot(*(off * seen.mm_per_px[found]).T)
        figures = {
            "calibration_mean_mm": float(error_mm.mean()),
            "calibration_median_mm": float(np.median(error_mm)),
            "calibration_within_5mm": float((error_mm <= 5).mean()),
        }
    else:
        error_px = np.hypot(*off.T)
        figures = {
            "calibration_mean_input_px": float(error_px.mean()),
            "calibration_median_input_px": float(np.median(error_px)),
        }
    figures["calibration_missed"] = float((~called[seen.present]).mean())
    figures["calibration_present"] = float(seen.present.sum())
    if not seen.present.all():
        figures["calibration_invented"] = float(called[~seen.present].mean())
        figures["calibration_absent"] = float((~seen.present).sum())
    return figures


def fit_covariance(sets: Sequence[Observed], start: Decoding, blunder_px: float) -> Decoding:
    """Fit shape and size of the covariance on pictures with the MTJ in view.

    Shape and power are fitted on the first halves of the sets, then the scale so that the 90 %
    region covers 90 % of every second half (split conformal prediction: Lei et al. 2018,
    doi:10.1080/01621459.2017.1307116), with 95 % confidence, see `assured_rank`. Each set has a
    scale of its own, of which the largest is kept: sets may hold the same pictures, spoilt or
    not, and are not independent.

    Parameters
    ----------
    sets : sequence of Observed
        At least one picture in all.
    start : Decoding
        What is not fitted here.
    blunder_px : float
        Errors beyond it take no part in the shape.
    """
    learn = joined([half(each, 0) for each in sets])
    fitted = _fit_shape(learn, start, blunder_px)
    sigma = start.target_sigma_px
    size = np.log(np.maximum(_distance(learn, fitted) / math.sqrt(REGION), 1e-9))
    doubtful = np.log(doubt(learn.peak, sigma))
    if np.ptp(doubtful) > 0:
        fitted = replace(fitted, reach_power=_quantile_slope(doubtful, size))
    bounds = [
        np.sort(distances)[assured_rank(len(distances)) - 1]
        for distances in (_distance(half(each, 1), fitted) for each in sets)
        if len(distances)
    ]
    return replace(fitted, region_scale=float(max(bounds)) / math.sqrt(REGION))


def _distance(seen: Observed, fitted: Decoding) -> FloatArray:
    """Mahalanobis distances (n,) of the errors under the covariances as fitted so far."""
    covariance = calibrated_covariance(seen.peak, fitted)
    distance: FloatArray = np.sqrt(squared_distance(seen.peak.xy - seen.truth, covariance))
    return distance


def _fit_shape(seen: Observed, start: Decoding, blunder_px: float) -> Decoding:
    """Maximum likelihood of the errors under bivariate Gaussians, blunders left out."""
    off = seen.peak.xy - seen.truth
    good = np.hypot(*off.T) < blunder_px
    if not good.any():  # it has learned nothing: all of its errors are what it is worth
        good[:] = True
    off = off[good]
    if not seen.peak.spread.any():  # a network that tells no doubt has one for all pictures
        floor = np.maximum(np.sqrt((off**2).mean(axis=0)), 1e-3)
        return replace(start, sd_floor_x_px=float(floor[0]), sd_floor_y_px=float(floor[1]))
    beyond = excess(seen.where(good).peak, start.target_sigma_px)
    names = ("sd_floor_x_px", "sd_floor_y_px", "sd_gain_x", "sd_gain_y")

    def named(logs: FloatArray) -> Decoding:
        return replace(start, **{n: math.exp(v) for n, v in zip(names, logs, strict=True)})

    def cost(logs: FloatArray) -> float:
        covariance = shape_of(beyond, named(logs))
        a, b, d = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
        determinant = a * d - b * b
        if not (determinant > 0).all():  # rounded to a line: no density
            return math.inf
        likely = squared_distance(off, covariance) + np.log(determinant)
        return float(0.5 * likely.mean() + 1e-3 * (logs**2).sum())

    best = minimize(cost, np.array([0.0, 0.0, -0.5, -0.5]), method="Nelder-Mead")
    return named(best.x)


def _quantile_slope(x: FloatArray, y: FloatArray) -> float:
    """Slope, not below 0, of the line under which `COVERAGE` of y lie (Koenker and Bassett 1978).

    Doubt that grows with the reach is what is asked for; a slope below 0 would be noise.
    """

    def cost(line: FloatArray) -> float:
        left = y - line[0] - abs(line[1]) * x
        return float(np.maximum(COVERAGE * left, (COVERAGE - 1) * left).mean())

    begin = np.array([float(np.quantile(y, COVERAGE)), 1.0])
    best = minimize(cost, begin, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-7})
    return float(abs(best.x[1]))


def fit_logistic(
    features: FloatArray, right: npt.NDArray[np.bool_], importance: FloatArray | float = 1.0
) -> list[float]:
    """Logistic regression with a weak ridge; returns one weight a feature.

    No weight but the first, the constant's, is below 0: more of a feature is never less confident.
    Rows count as their `importance`, (n,) or one for all, which is 1 in the mean.
    """
    sign = np.where(right, 1.0, -1.0)

    def cost(weights: FloatArray) -> tuple[float, FloatArray]:
        margin = sign * (features @ weights)
        slope = -sign * importance / (1.0 + np.exp(np.clip(margin, -60, 60))) / len(sign)
        value = (importance * np.logaddexp(0.0, -margin)).mean() + 1e-4 * (weights**2).sum()
        return float(value), features.T @ slope + 2e-4 * weights

    n = features.shape[1]
    limits = [(None, None)] + [(0.0, None)] * (n - 1)
    best = minimize(cost, np.zeros(n), jac=True, method="L-BFGS-B", bounds=limits)
    return [float(weight) for weight in best.x]

"""How good stated doubt is: of confidences against outcomes, of covariances against errors.

The same numbers judge a fit (`training`) and a model (benchmarks); nothing is fitted here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from napari_deepmtj.inference.decode import COVERAGE, REGION

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Bins of equal width of the expected calibration error (Guo et al. 2017, arXiv:1706.04599, who
#: take 15; with some hundred pictures ten are steadier).
BINS = 10


def calibration_error(confidence: FloatArray, right: BoolArray, bins: int = BINS) -> float:
    """Return the expected calibration error.

    Parameters
    ----------
    confidence : ndarray, shape (n,)
        Stated probabilities, 0..1.
    right : ndarray of bool, shape (n,)
        What came of it.
    bins : int
        Of equal width.

    Returns
    -------
    float
        Mean over pictures of how far the share of right ones in their bin is from the mean
        confidence there.
    """
    place = np.clip((confidence * bins).astype(int), 0, bins - 1)
    gap = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def auroc(score: FloatArray, right: BoolArray) -> float:
    """Probability that one that is right scores above one that is not, ties half; NaN if no pair.

    Parameters
    ----------
    score : ndarray, shape (n,)
    right : ndarray of bool, shape (n,)
    """
    positive, negative = int(right.sum()), int((~right).sum())
    if not positive or not negative:
        return math.nan
    ranks = stats.rankdata(score)[right].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def squared_distance(off: FloatArray, covariance: FloatArray) -> FloatArray:
    """Squared Mahalanobis distances (n,) of errors (n, 2) under covariances (n, 2, 2)."""
    (a, b), (_, d) = covariance.transpose(1, 2, 0)
    x, y = off.T
    found: FloatArray = (d * x * x - 2 * b * x * y + a * y * y) / (a * d - b * b)
    return found


@dataclass(frozen=True, slots=True)
class Regions:
    """How the 90 % regions do.

    Attributes
    ----------
    n : int
        Pictures.
    coverage : float
        Share of errors inside.
    by_tercile : tuple of float
        The same in each third of the predicted standard deviation, the surest first.
    median_area : float
        Of the regions, in the square of the errors' unit.
    spearman : float
        Rank correlation of predicted standard deviation and error.
    """

    n: int
    coverage: float
    by_tercile: tuple[float, ...]
    median_area: float
    spearman: float


def judge_regions(off: FloatArray, covariance: FloatArray) -> Regions:
    """Judge covariances (n, 2, 2) by errors (n, 2), in one unit."""
    inside = squared_distance(off, covariance) <= REGION
    sd = np.sqrt(np.trace(covariance, axis1=1, axis2=2))
    thirds = np.array_split(np.argsort(sd, kind="stable"), 3)
    return Regions(
        len(off),
        float(inside.mean()),
        tuple(float(inside[part].mean()) if len(part) else math.nan for part in thirds),
        float(np.median(math.pi * REGION * np.sqrt(np.linalg.det(covariance)))),
        float(stats.spearmanr(sd, np.hypot(*off.T)).statistic) if np.ptp(sd) > 0 else math.nan,
    )


def conformal_rank(n: int, coverage: float = COVERAGE) -> int:
    """Which of `n` ascending scores is the bound that the next one keeps with `coverage`.

    With fewer than 9 scores none keeps 90 %; it is the greatest then, see `coverage_interval`.
    """
    return min(math.ceil((n + 1) * coverage), n)


def assured_rank(n: int, coverage: float = COVERAGE, confidence: float = 0.95) -> int:
    """Which of `n` ascending scores is a bound of at least `coverage`, with so much confidence.

    Over draws of the scores `conformal_rank` holds `coverage` in the mean, and falls short of it
    in nearly half of them; this rank does in at most 5 of 100 (Vovk 2012, arXiv:1209.2673). Of
    fewer than 29 scores, for 90 %, none does; it is the greatest then.
    """
    return min(int(stats.binom.ppf(confidence, n, coverage)) + 1, n)


def coverage_interval(n: int, coverage: float = COVERAGE) -> tuple[float, float]:
    """95 % interval of the true coverage of a bound from `n` independent scores.

    The coverage is Beta(rank, n + 1 - rank) distributed, whatever the scores' distribution (Vovk
    2012, arXiv:1209.2673).
    """
    rank = conformal_rank(n, coverage)
    low, high = stats.beta.ppf([0.025, 0.975], rank, n + 1 - rank)
    return float(low), float(high)


def share_interval(count: int, n: int) -> tuple[float, float]:
    """95 % interval of a share, `count` of `n` independent pictures (Wilson 1927)."""
    found = stats.binomtest(count, n).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)

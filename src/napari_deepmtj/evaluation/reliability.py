"""Statistics of agreement between ratings, from published definitions. No labels live here.

- BA86: Bland and Altman, Lancet 1986;1:307-310. Limits of agreement.
- BA99: Bland and Altman, Stat Methods Med Res 1999;8:135-160. Their confidence intervals.
- SF79: Shrout and Fleiss, Psychol Bull 1979;86:420-428. ICC(2,1), computed by pingouin.
- BA96: Bland and Altman, BMJ 1996;313:744. The within-subject SD, which is the SEM here.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_deepmtj.errors import MissingExtraError

#: Coverage of every interval, and the SDs on either side of the bias that hold 95 % (BA99).
COVERAGE = 0.95
LIMIT_SDS = 1.96


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % confidence interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """Bias and limits of agreement of differences (second minus first).

    Attributes
    ----------
    n : int
        Differences.
    bias : Estimate
        Their mean, with the interval of Student's t.
    sd : float
        Their standard deviation, n - 1.
    lower, upper : Estimate
        Limits of agreement, with the large-sample interval of BA99.
    """

    n: int
    bias: Estimate
    sd: float
    lower: Estimate
    upper: Estimate


def bland_altman(differences: npt.ArrayLike) -> BlandAltman:
    """Return bias and limits of agreement of differences, shape (n,); NaN for fewer than two."""
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 2:
        mean, none = float(d.mean()) if len(d) else math.nan, Estimate(math.nan)
        return BlandAltman(len(d), Estimate(mean), math.nan, none, none)
    return limits_of_agreement(float(d.mean()), float(d.std(ddof=1)), len(d))


def limits_of_agreement(
    bias: float, sd: float, n: int, limit_sds: float = LIMIT_SDS
) -> BlandAltman:
    """Return limits of agreement and all intervals from the differences' mean, SD and number.

    The variance of a limit is taken as s^2 (1/n + z^2 / 2n), z being `limit_sds`: BA99's 2.92 s^2 /
    n for 1.96, BA86's 3 s^2 / n for 2. With 2 (n - 1) in place of 2n, the usual variance of an
    SD, the intervals are 8 % wider for n = 5 and 1 % for n = 50.

    Parameters
    ----------
    bias, sd : float
        Mean and standard deviation (n - 1) of the differences.
    n : int
        How many there are, at least 2.
    limit_sds : float
        SDs on either side of the bias.
    """
    from scipy import stats

    t = float(stats.t.ppf((1 + COVERAGE) / 2, n - 1))
    of_bias = t * sd / math.sqrt(n)
    of_limit = t * sd * math.sqrt(1 / n + limit_sds**2 / (2 * n))

    def around(value: float, half: float) -> Estimate:
        return Estimate(value, value - half, value + half)

    return BlandAltman(
        n,
        around(bias, of_bias),
        sd,
        around(bias - limit_sds * sd, of_limit),
        around(bias + limit_sds * sd, of_limit),
    )


def icc_2_1(ratings: npt.ArrayLike) -> Estimate:
    """Return ICC(2,1) with its 95 % interval.

    Parameters
    ----------
    ratings : array-like, shape (targets, raters)
        Without gaps.

    Returns
    -------
    Estimate
        NaN for fewer than three targets, or where all ratings of all targets are the same.

    Raises
    ------
    MissingExtraError
        If pingouin is not installed.
    """
    try:
        import pingouin
    except ModuleNotFoundError as error:
        raise MissingExtraError("an agreement study", "statistics") from error
    values = np.asarray(ratings, dtype=np.float64)
    targets, raters = values.shape
    if targets < 3 or np.ptp(values) == 0:
        return Estimate(math.nan)
    if np.ptp(values, axis=1).max() == 0:
        return Estimate(1.0)  # the same of every target by all; no interval can be given
    table = pd.DataFrame(
        {
            "target": np.repeat(np.arange(targets), raters),
            "rater": np.tile(np.arange(raters), targets),
            "rating": values.ravel(),
        }
    )
    # Raters that differ by just the same everywhere leave no residual: then there is no interval.
    with (
        np.errstate(divide="ignore", invalid="ignore"),
        warnings.catch_warnings(),
        _every_digit(pingouin.options),
    ):
        warnings.simplefilter("ignore", DeprecationWarning)  # pandas', of pingouin's code
        warnings.simplefilter("ignore", FutureWarning)
        found = pingouin.intraclass_corr(table, "target", "rater", "rating").set_index("Type")
    low, high = (float(v) for v in found.loc["ICC(A,1)", "CI95"])
    return Estimate(float(found.loc["ICC(A,1)", "ICC"]), low, high)


@contextmanager
def _every_digit(options: dict[str, Any]) -> Iterator[None]:
    """Keep pingouin from rounding, by default intervals to two places."""
    before = dict(options)
    options.clear()
    options["round"] = None
    try:
        yield
    finally:
        options.clear()
        options.update(before)


def standard_error(ratings: npt.ArrayLike) -> float:
    """Return the SEM of ratings, shape (targets, raters): root mean within-target variance."""
    values = np.asarray(ratings, dtype=np.float64)
    return float(np.sqrt(values.var(axis=1, ddof=1).mean())) if len(values) else math.nan


def minimal_detectable_change(sem: float) -> float:
    """Return 1.96 * sqrt(2) * SEM: two measurements differ by less in 95 of 100 cases (BA96)."""
    return LIMIT_SDS * math.sqrt(2) * sem


def cohens_kappa(table: npt.ArrayLike) -> Estimate:
    """Return Cohen's kappa of a square table of counts, NaN where both gave but one answer.

    Without an interval where they agree or disagree on all, or one of them gave but one answer.

    Raises
    ------
    MissingExtraError
        If statsmodels is not installed.
    """
    try:
        from statsmodels.stats.inter_rater import cohens_kappa as kappa_of
    except ModuleNotFoundError as error:
        raise MissingExtraError("an agreement study", "statistics") from error
    counts = np.asarray(table, dtype=np.float64)
    expected = (counts.sum(axis=0) * counts.sum(axis=1)).sum()
    if not counts.sum() or expected == counts.sum() ** 2:
        return Estimate(math.nan)
    with np.errstate(invalid="ignore", divide="ignore"):  # its test statistic is not used
        found = kappa_of(counts)
    low, high = max(float(found.kappa_low), -1.0), min(float(found.kappa_upp), 1.0)
    if not low < high:  # its large-sample error is 0, which says nothing of how sure it is
        return Estimate(float(found.kappa))
    return Estimate(float(found.kappa), low, high)

"""Confidence intervals of pooled means, from drawing whole subjects anew; no figures live here.

Frames of one subject resemble each other, so subjects are drawn with replacement, and each draw
weighs its frames alike, as the pooled mean does (the cluster bootstrap: Davison and Hinkley,
*Bootstrap Methods and their Application*, 1997, section 3.8; percentile intervals: Efron and
Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Resamples of the bootstrap over subjects, its seed, and its coverage in percent.
RESAMPLES = 10_000
BOOTSTRAP_SEED = 0
COVERAGE = 95.0

#: Values of draws at a time, so that thousands of subjects take no more memory (16 MiB).
_VALUES = 2**21


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, in the unit of its quantity; NaN where there is none."""

    low: float = float("nan")
    high: float = float("nan")


def bootstrap(values: npt.ArrayLike, subjects: npt.ArrayLike) -> Interval:
    """Return the percentile interval of a pooled mean; NaN for fewer than two subjects.

    Parameters
    ----------
    values : array-like, shape (n,)
        One value a frame.
    subjects : array-like, shape (n,)
        Whose it is.
    """
    low, high = bootstrap_columns(np.asarray(values, dtype=np.float64)[:, None], subjects)[0]
    return Interval(float(low), float(high))


def bootstrap_columns(values: npt.ArrayLike, subjects: npt.ArrayLike) -> FloatArray:
    """Return the interval of the pooled mean of each column, all from the same draws.

    The seed is fixed: the same table gives the same intervals.

    Parameters
    ----------
    values : array-like, shape (n, k)
        One row a frame.
    subjects : array-like, shape (n,)
        Whose it is.

    Returns
    -------
    ndarray, shape (k, 2)
        Low and high; NaN for fewer than two subjects.
    """
    values = np.asarray(values, dtype=np.float64)
    columns = values.shape[1]
    names, index = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    n = len(names)
    if n < 2 or not columns:
        return np.full((columns, 2), np.nan)
    sums = np.stack([np.bincount(index, weights=column, minlength=n) for column in values.T], 1)
    counts = np.bincount(index, minlength=n)
    means = np.concatenate([(drawn @ sums) / (drawn @ counts)[:, None] for drawn in _draws(n)])
    tail = (100 - COVERAGE) / 2
    found: FloatArray = np.percentile(means, [tail, 100 - tail], axis=0).T
    return found


def _draws(n: int) -> Iterable[FloatArray]:
    """Return how often each of `n` subjects is drawn, shapes (draws, n), `RESAMPLES` in all."""
    return _kept_draws(n) if n * RESAMPLES <= _VALUES else _new_draws(n)


@lru_cache(maxsize=4)
def _kept_draws(n: int) -> tuple[FloatArray, ...]:
    """Keep them: a table asks for the same ones for every figure."""
    return tuple(_new_draws(n))


def _new_draws(n: int) -> Iterator[FloatArray]:
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    size = max(1, _VALUES // n)
    for start in range(0, RESAMPLES, size):
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=min(size, RESAMPLES - start))
        yield drawn.astype(np.float64)

"""Cycles of a movement and its onset, from a displacement over time. Any unit; NaN is missing.

- HB96: Hodges and Bui, Electroencephalogr Clin Neurophysiol 1996;101:511-519. Onset as the first
  time beyond the baseline's mean by a multiple of its SD that lasts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_deepmtj.errors import ResultError
from napari_deepmtj.tracking.series import FloatArray

#: Points on a cycle, 0 to 100 % of its duration.
POINTS = 101


@dataclass(frozen=True)
class Cycles:
    """The complete cycles of a movement, each on 0 to 100 % of its own duration.

    Attributes
    ----------
    starts, ends : ndarray, shape (k,)
        Times at which the displacement rises through the middle of its range.
    curves : ndarray, shape (k, 101)
        Displacement at 0, 1, ... 100 % of each cycle.
    excursions : ndarray, shape (k,)
        Largest less smallest displacement of each, at the frames themselves.
    dropped : int
        Cycles left out because positions are missing in them.
    """

    starts: FloatArray
    ends: FloatArray
    curves: FloatArray
    excursions: FloatArray
    dropped: int

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def durations(self) -> FloatArray:
        """Of each cycle, in the unit of time."""
        return self.ends - self.starts

    @property
    def mean(self) -> FloatArray:
        """Mean curve, shape (101,); NaN without cycles."""
        return self.curves.mean(axis=0) if len(self) else np.full(POINTS, np.nan)

    @property
    def sd(self) -> FloatArray:
        """SD between cycles (n - 1), shape (101,); NaN with fewer than two."""
        return self.curves.std(axis=0, ddof=1) if len(self) > 1 else np.full(POINTS, np.nan)

    def to_frame(self) -> pd.DataFrame:
        """Return percent, mean and SD, one row a point."""
        return pd.DataFrame({"percent": np.arange(POINTS), "mean": self.mean, "sd": self.sd})


def find_cycles(t: npt.ArrayLike, displacement: npt.ArrayLike, hysteresis: float = 0.25) -> Cycles:
    """Find the cycles of a displacement and bring each to 0 to 100 %.

    A cycle runs from one rise through the middle of the range (halfway between least and
    greatest) to the next, the times interpolated between frames. A rise counts only after the
    displacement was below the middle by `hysteresis` times half the range, and once it is
    above by as much: noise about the middle makes no cycles.

    Parameters
    ----------
    t : array, shape (n,)
        Increasing times.
    displacement : array, shape (n,)
        NaN where missing.
    hysteresis : float
        0 to 1, exclusive.

    Raises
    ------
    ResultError
        If the hysteresis is not between 0 and 1.
    """
    if not 0 < hysteresis < 1:
        raise ResultError(f"a hysteresis of {hysteresis} is impossible; give 0 to 1, exclusive")
    times, values = np.asarray(t, dtype=np.float64), np.asarray(displacement, dtype=np.float64)
    seen = np.flatnonzero(np.isfinite(values))
    if len(seen) < 3 or np.ptp(values[seen]) == 0:
        return _none(0)
    least, most = values[seen].min(), values[seen].max()
    middle, band = (least + most) / 2, hysteresis * (most - least) / 2
    rises, armed, crossing = [], False, np.nan
    for before, now in pairwise(seen):
        armed = armed or bool(values[before] < middle - band)
        if values[before] < middle <= values[now]:
            share = (middle - values[before]) / (values[now] - values[before])
            crossing = times[before] + share * (times[now] - times[before])
        if armed and values[now] > middle + band:
            rises.append(crossing)
            armed = False
    starts, ends, curves, excursions = [], [], [], []
    for start, end in pairwise(rises):
        # With the frame on either side, between which the cycle begins and ends.
        first = int(np.searchsorted(times, start, side="right")) - 1
        rows = slice(first, int(np.searchsorted(times, end)) + 1)
        if not np.isfinite(values[rows]).all():
            continue
        starts.append(start)
        ends.append(end)
        curves.append(np.interp(np.linspace(start, end, POINTS), times[rows], values[rows]))
        excursions.append(float(np.ptp(values[rows])))
    dropped = max(len(rises) - 1, 0) - len(starts)
    if not starts:
        return _none(dropped)
    return Cycles(np.array(starts), np.array(ends), np.array(curves), np.array(excursions), dropped)


def _none(dropped: int) -> Cycles:
    return Cycles(np.empty(0), np.empty(0), np.empty((0, POINTS)), np.empty(0), dropped)


def onset(
    t: npt.ArrayLike,
    displacement: npt.ArrayLike,
    baseline: tuple[float, float],
    *,
    sds: float = 3.0,
    hold: float = 0.1,
    least_share: float = 0.02,
) -> float:
    """Return when a displacement leaves its baseline for good, either way (after HB96).

    The threshold is `sds` SDs of the baseline, at least `least_share` of the range of all
    positions (a made or smoothed baseline has next to no SD). The onset is the time, linear
    between frames, at which the distance from the baseline's mean passes the threshold and
    stays beyond it for `hold`.

    Parameters
    ----------
    t : array, shape (n,)
        Increasing times.
    displacement : array, shape (n,)
        NaN where missing.
    baseline : (float, float)
        First and last time of the rest.
    sds : float
        Threshold in SDs (n - 1) of the baseline.
    hold : float
        Time for which it must last.
    least_share : float
        Least threshold as a share of the whole range.

    Returns
    -------
    float
        NaN if the displacement never leaves the baseline.

    Raises
    ------
    ResultError
        If the baseline has fewer than two positions.
    """
    times, values = np.asarray(t, dtype=np.float64), np.asarray(displacement, dtype=np.float64)
    seen = np.isfinite(values)
    times, values = times[seen], values[seen]
    resting = (times >= baseline[0]) & (times <= baseline[1])
    if resting.sum() < 2:
        raise ResultError(
            f"the baseline from {baseline[0]:g} to {baseline[1]:g} has fewer than two positions"
        )
    mean, sd = values[resting].mean(), values[resting].std(ddof=1)
    threshold = max(sds * float(sd), least_share * float(np.ptp(values)))
    away = np.abs(values - mean)
    beyond = away > threshold
    for i in np.flatnonzero(beyond & (times > baseline[1])):
        held = (times >= times[i]) & (times <= times[i] + hold)
        if beyond[held].all() and times[-1] >= times[i] + hold:
            if i == 0 or beyond[i - 1]:
                return float(times[i])
            share = (threshold - away[i - 1]) / (away[i] - away[i - 1])
            return float(times[i - 1] + share * (times[i] - times[i - 1]))
    return float("nan")

"""A path from steps of tissue and positions of a detector: the mathematics behind `fusion.py`.

From row to row the position goes by the step of its tissue, with an error of known variance; a
detection measures it. Rauch, Tung and Striebel's smoother (RTS65) weighs all of them, before and
after. A detection that leaves the tissue and comes back to it is found by Hampel's filter (P05)
on the difference between the two.

- RTS65: Rauch, Tung, Striebel, AIAA J 1965;3:1445-1450.
- P05: Pearson, Mining Imperfect Data, SIAM 2005.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from napari_deepmtj.tracking.filters import SD_PER_MAD

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Prior SD of a position that nothing is known of, px: after a cut, and at the start.
UNKNOWN_PX = 1000.0


@dataclass(frozen=True)
class Links:
    """What leads from each row to the next.

    Attributes
    ----------
    step : ndarray, shape (n - 1, 2)
        Motion in px; finite.
    variance : ndarray, shape (n - 1, 2)
        Of its error along x and y, px^2.
    cut : ndarray of bool, shape (n - 1,)
        Nothing leads on.
    """

    step: FloatArray
    variance: FloatArray
    cut: BoolArray

    def parts(self) -> Iterator[slice]:
        """Yield the rows between cuts."""
        ends = np.r_[0, np.flatnonzero(self.cut) + 1, len(self.cut) + 1]
        yield from (slice(int(a), int(b)) for a, b in pairwise(ends))


def smooth(links: Links, xy: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return positions, shape (n, 2), and their covariances given all rows (RTS65).

    Parameters
    ----------
    links : Links
        Between the rows.
    xy : ndarray, shape (n, 2)
        Detections in px, NaN where there is none; at least one.
    covariance : ndarray, shape (n, 2, 2)
        Of them, px^2; zero is a point to be met exactly.
    """
    n, eye = len(xy), np.eye(2)
    seen = np.isfinite(xy[:, 0])
    filtered, filtered_cov = np.empty((n, 2)), np.empty((n, 2, 2))
    predicted, predicted_cov = np.empty((n, 2)), np.empty((n, 2, 2))
    unknown = UNKNOWN_PX**2 * eye
    state, spread = xy[seen][0], unknown
    for i in range(n):
        if i:
            state = state + links.step[i - 1]
            spread = spread + (unknown if links.cut[i - 1] else np.diag(links.variance[i - 1]))
        predicted[i], predicted_cov[i] = state, spread
        if seen[i]:
            gain = np.linalg.solve(spread + covariance[i], spread).T
            kept = eye - gain
            state = state + gain @ (xy[i] - state)
            spread = kept @ spread @ kept.T + gain @ covariance[i] @ gain.T  # Joseph's form
        filtered[i], filtered_cov[i] = state, spread
    for i in range(n - 2, -1, -1):
        gain = np.linalg.solve(predicted_cov[i + 1], filtered_cov[i]).T
        filtered[i] += gain @ (filtered[i + 1] - predicted[i + 1])
        filtered_cov[i] += gain @ (filtered_cov[i + 1] - predicted_cov[i + 1]) @ gain.T
    return filtered, filtered_cov


def excursions(
    links: Links, xy: FloatArray, t: FloatArray, *, window: float, sigmas: float, least: float
) -> BoolArray:
    """Return which detections are off the way of their tissue, and will come back, shape (n,).

    Parameters
    ----------
    links, xy
        As `smooth` takes them.
    t : ndarray, shape (n,)
        Times.
    window : float
        Half of Hampel's window, in the unit of `t`: what is off for longer is not found.
    sigmas : float
        Threshold, in standard deviations as the median absolute deviation gives them.
    least : float
        Least standard deviation, px.
    """
    off = np.zeros(len(xy), dtype=bool)
    for part in links.parts():
        # The detector's position seen from tissue that is followed from the first row on.
        inner = slice(part.start, part.stop - 1)
        way = np.vstack([np.zeros((1, 2)), np.cumsum(links.step[inner], axis=0)])
        seen = np.flatnonzero(np.isfinite(xy[part, 0]))
        apart, when = (xy[part] - way)[seen], t[part][seen]
        first = np.searchsorted(when, when - window - 1e-9)
        stop = np.searchsorted(when, when + window + 1e-9)
        for i, (a, b) in enumerate(zip(first, stop, strict=True)):
            median = np.median(apart[a:b], axis=0)
            spread = SD_PER_MAD * np.median(np.abs(apart[a:b] - median), axis=0)
            far = np.abs(apart[i] - median) > sigmas * np.maximum(spread, least)
            off[part.start + seen[i]] = bool(far.any())
    return off

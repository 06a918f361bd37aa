"""Filters of a sequence of positions, on arrays of one stretch; `smooth.py` applies them.

- W09: Winter, Biomechanics and Motor Control of Human Movement, 4th ed. 2009, chapter 3.
- RD03: Robertson and Dowling, J Electromyogr Kinesiol 2003;13:569-573. Cut-off of two passes.
- SG64: Savitzky and Golay, Anal Chem 1964;36:1627-1639.
- P05: Pearson, Mining Imperfect Data, SIAM 2005. The Hampel filter.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import ResultError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
FillKind = Literal["pchip", "linear"]

#: SD of a normal distribution in units of its median absolute deviation, 1 / Phi^-1(3/4).
SD_PER_MAD = 1.482602218505602


def fill(t: FloatArray, xy: FloatArray, kind: FillKind) -> FloatArray:
    """Return positions with the missing ones interpolated over time, none beyond the ends.

    "pchip" (monotone cubic) never overshoots; "linear" is straight.

    Parameters
    ----------
    t : ndarray, shape (n,)
        Increasing times.
    xy : ndarray, shape (n, 2)
        NaN where missing; the first and last row are there.
    kind : {"pchip", "linear"}
        How.
    """
    from scipy.interpolate import PchipInterpolator

    seen = np.isfinite(xy[:, 0])
    if seen.all():
        return xy.copy()
    if kind == "pchip" and seen.sum() > 1:
        full: FloatArray = PchipInterpolator(t[seen], xy[seen])(t)
    else:
        full = np.column_stack([np.interp(t, t[seen], xy[seen, k]) for k in (0, 1)])
    full[seen] = xy[seen]
    return full


def butterworth(
    t: FloatArray, xy: FloatArray, cutoff_hz: float, order: int
) -> tuple[FloatArray, bool]:
    """Return positions after a Butterworth low-pass forwards and backwards: no lag (W09).

    Each pass has half the order, and its cut-off is raised so that both together have
    1/sqrt(2) at `cutoff_hz` (RD03, with the tangent of the bilinear transform: exact).

    Parameters
    ----------
    t : ndarray, shape (n,)
        Increasing times in s. If they are not even, the positions are resampled by a cubic
        spline to the median interval, filtered there and read off at `t`.
    xy : ndarray, shape (n, 2)
        No NaN.
    cutoff_hz : float
        Cut-off of both passes.
    order : int
        Of both passes together; even.

    Returns
    -------
    xy : ndarray, shape (n, 2)
        Filtered; as it was with fewer than three rows.
    resampled : bool
        Whether the times were not even.

    Raises
    ------
    ResultError
        If the cut-off is not between 0 and half the frame rate, or the order is odd.
    """
    from scipy.interpolate import CubicSpline
    from scipy.signal import butter, sosfiltfilt

    if order < 2 or order % 2:
        raise ResultError(f"the order of a two-pass filter is even, got {order}; give 2, 4, ...")
    if len(t) < 3:
        return xy.copy(), False
    times = FrameTimes(t)
    step = times.interval
    grid, on_grid = t, xy
    if times.uniform:
        step = float((t[-1] - t[0]) / (len(t) - 1))
    else:
        grid = np.linspace(t[0], t[-1], max(3, round((t[-1] - t[0]) / step) + 1))
        step = float(grid[1] - grid[0])
        on_grid = CubicSpline(t, xy)(grid)
    rate = 1 / step
    if not 0 < cutoff_hz < rate / 2:
        raise ResultError(
            f"a cut-off of {cutoff_hz:g} Hz is impossible at {rate:.4g} frames a second; give "
            f"more than 0 and less than {rate / 2:.4g} Hz"
        )
    # |H|^2 of one pass of order n is 1 / (1 + (tan(pi f / rate) / w)^2n); two passes multiply.
    w = math.tan(math.pi * cutoff_hz / rate) / (math.sqrt(2) - 1) ** (1 / order)
    sections = butter(order // 2, 2 * math.atan(w) / math.pi, output="sos")
    pad = min(3 * (2 * len(sections) + 1), len(grid) - 1)
    done: FloatArray = sosfiltfilt(sections, on_grid, axis=0, padlen=pad)
    return (done, False) if times.uniform else (CubicSpline(grid, done)(t), True)


def local_polynomial(t: FloatArray, xy: FloatArray, window: int, order: int) -> FloatArray:
    """Return the value at each time of a polynomial fitted to the rows around it.

    At even times this is the Savitzky-Golay filter (SG64) with fitted ends; at uneven ones the
    same fit on the true times, where SG64's fixed weights would be wrong.

    Parameters
    ----------
    t : ndarray, shape (n,)
        Increasing times.
    xy : ndarray, shape (n, 2)
        No NaN.
    window : int
        Rows of a fit, odd; fewer if the stretch is shorter.
    order : int
        Of the polynomial, less than `window`.

    Raises
    ------
    ResultError
        If the window is even or not longer than the order.
    """
    if window % 2 == 0 or not 0 <= order < window:
        raise ResultError(
            f"a window of {window} rows does not fit a polynomial of order {order}; give an odd "
            "number of rows greater than the order"
        )
    n = len(t)
    width = min(window, n)
    if width <= order:
        return xy.copy()
    first = np.clip(np.arange(n) - window // 2, 0, n - width)
    rows = first[:, None] + np.arange(width)
    apart = t[rows] - t[:, None]
    apart /= np.abs(apart).max(axis=1, keepdims=True)
    weights = np.linalg.pinv(apart[..., None] ** np.arange(order + 1))[:, 0]
    fitted: FloatArray = np.einsum("nw,nwk->nk", weights, xy[rows])
    return fitted


def hampel(xy: FloatArray, half_window: int, sigmas: float) -> tuple[FloatArray, BoolArray]:
    """Return positions in which outliers are replaced by the median around them (P05).

    On each axis by itself: a value further from the median of the rows around it (fewer at the
    ends) than `sigmas` times their MAD in SDs gives way to that median.

    Parameters
    ----------
    xy : ndarray, shape (n, 2)
        No NaN.
    half_window : int
        Rows on either side.
    sigmas : float
        Threshold.

    Returns
    -------
    xy : ndarray, shape (n, 2)
        With medians put in.
    replaced : ndarray of bool, shape (n,)
        Rows of which one axis or both were replaced.

    Raises
    ------
    ResultError
        If the window or the threshold is not positive.
    """
    if half_window < 1 or not sigmas > 0:
        raise ResultError("a Hampel filter needs a half-window of 1 or more, and sigmas above 0")
    padded = np.pad(xy, ((half_window, half_window), (0, 0)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * half_window + 1, axis=0)
    median = np.nanmedian(around, axis=-1)
    mad = np.nanmedian(np.abs(around - median[..., None]), axis=-1)
    outlying: BoolArray = np.abs(xy - median) > sigmas * SD_PER_MAD * mad
    return np.where(outlying, median, xy), outlying[:, 0] | outlying[:, 1]


def authors_chain(
    xy: FloatArray, z: float, limit: int, half_window: int, sigmas: float
) -> tuple[FloatArray, BoolArray]:
    """Return positions after the post-filters of the published method's authors.

    Rows of which an axis is `z` population SDs or more from its mean over the clip are removed;
    missing rows are interpolated linearly over row numbers, at most `limit` of each gap, the
    rest filled forwards and then backwards; a Hampel filter follows.

    Parameters
    ----------
    xy : ndarray, shape (n, 2)
        Of the whole clip, NaN where missing.
    z, limit, half_window, sigmas
        As above; published: 2, 20, 10, and 2 to 3.

    Returns
    -------
    xy : ndarray, shape (n, 2)
        Without NaN, unless there was nothing but NaN.
    replaced : ndarray of bool, shape (n,)
        Rows that were there and were not just kept.
    """
    seen: BoolArray = np.isfinite(xy[:, 0])
    if not seen.any():
        return xy.copy(), np.zeros(len(xy), dtype=bool)
    mean, sd = xy[seen].mean(axis=0), xy[seen].std(axis=0)
    far = seen & (np.abs(xy - mean) >= z * np.where(sd > 0, sd, np.inf)).any(axis=1)
    left = pd.DataFrame(np.where(far[:, None], np.nan, xy))
    filled = left.interpolate(method="linear", limit=limit).ffill().bfill()
    done, swapped = hampel(filled.to_numpy(dtype=np.float64), half_window, sigmas)
    replaced: BoolArray = (far | swapped) & seen
    return done, replaced

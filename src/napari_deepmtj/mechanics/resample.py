"""Channels at the true times of a clip's frames, once their clocks are known to each other.

Nothing here extrapolates: where a channel was not recorded, it is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import ChannelError, ResultError
from napari_deepmtj.mechanics.channels import Channels
from napari_deepmtj.tracking.filters import butterworth
from napari_deepmtj.tracking.series import FloatArray

#: Longest time without samples across which a channel is interpolated, as gaps of a trajectory.
MAX_GAP_S = 0.2
#: Order of the zero-lag low-pass before resampling, both passes together.
LOWPASS_ORDER = 4


@dataclass(frozen=True)
class Resampled:
    """Channels at the times of a clip's frames.

    Attributes
    ----------
    channels : Channels
        At the clip's times; NaN before and after the recording, and in its gaps.
    settings : mapping
        How, JSON-serialisable.
    notices : tuple of str
        What a person must be told.
    """

    channels: Channels
    settings: Mapping[str, Any]
    notices: tuple[str, ...]


def interpolate(t: FloatArray, values: FloatArray, at: FloatArray, max_gap: float) -> FloatArray:
    """Return values at other times, linear between samples and NaN beyond them.

    Parameters
    ----------
    t, values : ndarray, shape (n,)
        Samples; NaN where missing.
    at : ndarray, shape (m,)
        Times to have values at.
    max_gap : float
        Between known samples further apart than this, and than 1.5 usual intervals, is NaN.
    """
    known = np.isfinite(values)
    times, seen = t[known], values[known]
    if not len(times):
        return np.full(len(at), np.nan)
    out: FloatArray = np.interp(at, times, seen, left=np.nan, right=np.nan)
    if len(times) > 1:
        after = np.clip(np.searchsorted(times, at), 1, len(times) - 1)
        wide = np.diff(times)[after - 1] > max(max_gap, 1.5 * float(np.median(np.diff(t))))
        out[wide & (at != times[after]) & (at != times[after - 1])] = np.nan
    return out


def resample(
    channels: Channels,
    offset_s: float,
    clip_times_s: npt.ArrayLike,
    *,
    lowpass_hz: float | None = None,
    max_gap_s: float = MAX_GAP_S,
) -> Resampled:
    """Bring channels to the true times of a clip's frames.

    Linear between samples, after a zero-lag Butterworth low-pass if one is asked for: it keeps
    what is faster than half the frame rate from turning up as something slow.

    Parameters
    ----------
    channels : Channels
        Of the other device.
    offset_s : float
        Time in the clip less time in the channels, `Sync.offset_s`.
    clip_times_s : array, shape (n,)
        Times of the frames in s.
    lowpass_hz : float or None
        Cut-off; None does not filter.
    max_gap_s : float
        Missing samples are bridged over so long a time.

    Raises
    ------
    ChannelError
        If the clip's times are not known, or clip and recording have no time in common.
    """
    at = np.asarray(clip_times_s, dtype=np.float64)
    if not len(at) or not np.isfinite(at).all():
        raise ChannelError("the clip has no times, so nothing can be brought to them")
    moved = channels.shifted(offset_s)
    t = moved.times_s
    inside = (at >= t[0]) & (at <= t[-1]) if len(t) else np.zeros(len(at), dtype=bool)
    if not inside.any():
        span = f"{t[0]:.3f} to {t[-1]:.3f} s" if len(t) else "nothing"
        raise ChannelError(
            f"covers {span} of the clip's time, the clip {at[0]:.3f} to {at[-1]:.3f} s: nothing in "
            "common; check the synchronisation",
            path=channels.name or None,
        )
    notices = []
    if not inside.all():
        notices.append(f"{int((~inside).sum())} of {len(at)} frames are outside the recording")
    frame = float(np.median(np.diff(at))) if len(at) > 1 else 0.0
    if lowpass_hz is None and moved.interval_s < 0.5 * frame:
        notices.append(
            f"no low-pass: what is faster than {0.5 / frame:.3g} Hz (half the frame rate) in "
            f"{channels.name or 'the channels'} is not kept out"
        )
    values = {
        name: interpolate(t, _lowpassed(t, row, lowpass_hz), at, max_gap_s)
        for name, row in moved.values.items()
    }
    settings = {
        "interpolation": "linear",
        "lowpass_hz": lowpass_hz,
        "lowpass_order": None if lowpass_hz is None else LOWPASS_ORDER,
        "max_gap_s": max_gap_s,
    }
    return Resampled(replace(channels, times_s=at, values=values), settings, tuple(notices))


def _lowpassed(t: FloatArray, row: FloatArray, cutoff: float | None) -> FloatArray:
    """Return a channel filtered on each run of known samples."""
    if cutoff is None:
        return row
    done = row.copy()
    edges = np.flatnonzero(np.diff(np.r_[False, np.isfinite(row), False].astype(int)))
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        part = slice(first, stop)
        try:
            done[part] = butterworth(t[part], row[part, None], cutoff, LOWPASS_ORDER)[0][:, 0]
        except ResultError as error:
            raise ChannelError(error.message) from error
    return done

"""How the clock of another device's channels lies to a clip's: by clock, trigger, or shape.

Files are `mechanics.channels`; values at the clip's times are `resample.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.signal import correlate

from napari_deepmtj.errors import ChannelError
from napari_deepmtj.mechanics.channels import Channels
from napari_deepmtj.mechanics.motion import Motion
from napari_deepmtj.mechanics.resample import MAX_GAP_S, interpolate
from napari_deepmtj.tracking.series import FloatArray

How = Literal["shared clock", "trigger", "cross-correlation"]


@dataclass(frozen=True)
class Sync:
    """By how much a channel's clock is behind the clip's.

    Attributes
    ----------
    offset_s : float
        Time in the clip = time in the channels + this.
    how : {"shared clock", "trigger", "cross-correlation"}
        How it was found.
    settings : mapping
        With what, JSON-serialisable.
    peak : float
        Correlation at the shift that was found; NaN unless by cross-correlation.
    shifts_s, correlation : ndarray, shape (k,)
        The whole curve; empty unless by cross-correlation. NaN where the two overlap too little.
    """

    offset_s: float
    how: How
    settings: Mapping[str, Any] = field(default_factory=dict)
    peak: float = float("nan")
    shifts_s: FloatArray = field(default_factory=lambda: np.empty(0))
    correlation: FloatArray = field(default_factory=lambda: np.empty(0))

    def describe(self) -> str:
        """Return the shift in words."""
        how = f"{self.how}, the clip's time is the channels' {self.offset_s:+.4f} s"
        return how if np.isnan(self.peak) else f"{how}, correlation {self.peak:.3f}"

    def to_json(self) -> dict[str, Any]:
        """Return what provenance keeps of it: everything but the curve."""
        peak = None if np.isnan(self.peak) else self.peak
        found = {"correlation": peak} if self.how == "cross-correlation" else {}
        return {"how": self.how, "offset_s": self.offset_s, **self.settings, **found}


def find_sync(how: str, channels: Channels, moved: Motion, **settings: Any) -> Sync:
    """Return the sync by a way that is named, as the command line and the log name it.

    Parameters
    ----------
    how : {"clock", "trigger", "correlation"}
        Which way.
    channels : Channels
        Of the other device.
    moved : Motion
        Of the clip; its displacement is what a channel is correlated with.
    **settings
        Of `by_clock`, `by_trigger` or `by_correlation`; the channel's name is "channel".

    Raises
    ------
    ChannelError
        If there is no such way, or it does not find the shift.
    """
    if how == "clock":
        return by_clock(**settings)
    if how not in ("trigger", "correlation"):
        raise ChannelError(f"there is no way {how!r}; there are clock, trigger and correlation")
    if "channel" not in settings:
        raise ChannelError(f"{how} needs a channel: {how}:channel=NAME")
    name = str(settings.pop("channel"))
    if how == "trigger":
        return by_trigger(channels, name, **settings)
    return by_correlation(channels, name, moved.t, moved.displacement, **settings)


def by_clock(offset_s: float = 0.0) -> Sync:
    """Return the sync of two devices on one clock, the channels' zero `offset_s` into the clip."""
    if not np.isfinite(offset_s):
        raise ChannelError(f"an offset of {offset_s} s is impossible")
    return Sync(float(offset_s), "shared clock")


def by_trigger(
    channels: Channels,
    name: str,
    *,
    clip_time_s: float = 0.0,
    threshold: float | None = None,
    which: int | None = None,
) -> Sync:
    """Return the sync by a rising edge that was sent when the clip was at `clip_time_s`.

    An edge is the rise through the threshold, linear between samples; it counts after the channel
    was below by a quarter of the half range, and once it is above by as much.

    Parameters
    ----------
    channels : Channels
        That hold the trigger.
    name : str
        Of the trigger's channel.
    clip_time_s : float
        Of the frame at which the trigger came; the first one, at 0, by default.
    threshold : float or None
        Level, in the channel's unit; None is halfway between its least and greatest value.
    which : int or None
        Which edge, from 1; needed where there are several.

    Raises
    ------
    ChannelError
        If there is no such edge, or several and `which` does not say.
    """
    values = channels[name]
    seen = np.flatnonzero(np.isfinite(values))
    if len(seen) < 2 or np.ptp(values[seen]) == 0:
        raise ChannelError(f"{name!r} is flat; it is no trigger", path=channels.name or None)
    low, high = float(values[seen].min()), float(values[seen].max())
    level = (low + high) / 2 if threshold is None else float(threshold)
    edges = _rises(channels.times_s[seen], values[seen], level, (high - low) / 8)
    if not edges or (which is not None and not 1 <= which <= len(edges)):
        what = f"{len(edges)} rising edges" if edges else "no rising edge"
        raise ChannelError(
            f"{name!r} has {what} through {level:g}; give another threshold or edge",
            path=channels.name or None,
        )
    if which is None and len(edges) > 1:
        at = ", ".join(f"{edge:.3f}" for edge in edges[:4])
        raise ChannelError(
            f"{name!r} has {len(edges)} rising edges, at {at} s{'...' * (len(edges) > 4)}; say "
            "which",
            path=channels.name or None,
        )
    edge = edges[(which or 1) - 1]
    settings = {
        "channel": name,
        "clip_time_s": clip_time_s,
        "threshold": level,
        "edge": which or 1,
        "edge_s": edge,
    }
    return Sync(clip_time_s - edge, "trigger", settings)


def _rises(t: FloatArray, values: FloatArray, level: float, band: float) -> list[float]:
    """Return the times of rises through a level, noise about it apart."""
    found: list[float] = []
    armed, crossing = False, float("nan")
    for i in range(len(values)):
        if values[i] <= level - band:
            armed = True
        if i and values[i - 1] < level <= values[i]:
            share = (level - values[i - 1]) / (values[i] - values[i - 1])
            crossing = float(t[i - 1] + share * (t[i] - t[i - 1]))
        if armed and values[i] >= level + band:
            found.append(crossing)
            armed = False
    return found


def by_correlation(
    channels: Channels,
    name: str,
    clip_times_s: npt.ArrayLike,
    clip_signal: npt.ArrayLike,
    *,
    sign: Literal[1, -1] = 1,
    max_shift_s: float | None = None,
    least: float = 0.7,
    margin: float = 0.05,
    overlap: float = 0.5,
) -> Sync:
    """Return the sync at which a channel looks most like a signal of the clip.

    Pearson's correlation of what both have in common is taken at every shift, on a common grid of
    the finer of the two intervals (not finer than a tenth of a frame); the peak lies between grid
    points by a parabola. Missing values are left out, not filled.

    Parameters
    ----------
    channels : Channels
        That hold the channel.
    name : str
        Of the channel: the ankle's angle, say.
    clip_times_s, clip_signal : array, shape (n,)
        Times in s and values of the clip's signal, NaN where missing: the displacement, say.
    sign : {1, -1}
        -1 where the channel falls when the signal rises.
    max_shift_s : float or None
        Largest offset, either way, that is looked at; None is any with enough in common.
    least : float
        Least correlation at the peak.
    margin : float
        Any other peak must be lower by at least as much.
    overlap : float
        Share of the shorter signal that must be in common.

    Raises
    ------
    ChannelError
        If no shift stands out: too low, at the end of what was looked at, or not the only one.
    """
    shifts, curve = _curve(
        channels.times_s, channels[name], clip_times_s, clip_signal, overlap, max_shift_s
    )
    curve = sign * curve
    where = channels.name or None
    said = f"{name!r} and the clip's signal"
    if not np.isfinite(curve).any():
        raise ChannelError(f"{said} have too little in common at any shift looked at", path=where)
    best = int(np.nanargmax(curve))
    peak = float(curve[best])
    if peak < least:
        other = float(-np.nanmin(curve))
        hint = f"; upside down it is {other:.2f}: try the other sign" if other >= least else ""
        raise ChannelError(
            f"{said} correlate by {peak:.2f} at most, at {shifts[best]:+.3f} s{hint}", path=where
        )
    around = curve[max(best - 1, 0) : best + 2]
    if len(around) < 3 or not np.isfinite(around).all():
        raise ChannelError(
            f"the correlation of {said} is greatest ({peak:.2f}) at {shifts[best]:+.3f} s, the end "
            "of what was looked at; allow larger shifts, or give a trigger or an offset",
            path=where,
        )
    rival = _rival(curve, best, margin)
    if rival is not None:
        raise ChannelError(
            f"{said} correlate at {shifts[best]:+.3f} s ({peak:.2f}) and nearly as well at "
            f"{shifts[rival]:+.3f} s ({curve[rival]:.2f}); limit the shift, or give a trigger or "
            "an offset",
            path=where,
        )
    bend = around[0] - 2 * around[1] + around[2]
    beside = 0.5 * (around[0] - around[2]) / bend if bend < 0 else 0.0
    offset = float(shifts[best] + beside * (shifts[1] - shifts[0]))
    settings = {
        "channel": name,
        "sign": sign,
        "max_shift_s": max_shift_s,
        "least": least,
        "margin": margin,
        "overlap": overlap,
    }
    return Sync(offset, "cross-correlation", settings, peak, shifts, curve)


def _rival(curve: FloatArray, best: int, margin: float) -> int | None:
    """Return another peak within `margin` of the best, parted from it by a dip as deep."""
    low = curve[best] - margin
    rivals = []
    for step in (1, -1):
        side = curve[best::step]
        below = np.flatnonzero(~(side >= low))  # NaN parts, too
        if len(below):
            again = np.flatnonzero(side[below[0] :] >= low)
            if len(again):
                far = below[0] + again
                rivals.append(best + step * int(far[np.argmax(side[far])]))
    return max(rivals, key=lambda i: curve[i]) if rivals else None


def _curve(
    t: FloatArray,
    values: FloatArray,
    clip_t: npt.ArrayLike,
    clip_values: npt.ArrayLike,
    overlap: float,
    max_shift: float | None,
) -> tuple[FloatArray, FloatArray]:
    """Return offsets and Pearson's correlation at each, NaN with too little in common."""
    other_t, other = (np.asarray(a, dtype=np.float64) for a in (clip_t, clip_values))
    if len(t) < 3 or len(other_t) < 3:
        raise ChannelError("three samples of each are the least that can be correlated")
    frame = float(np.median(np.diff(other_t)))
    step = max(min(float(np.median(np.diff(t))), frame), frame / 10)
    signals = []
    for times, row in ((t, values), (other_t, other)):
        grid = np.arange(times[0], times[-1] + step / 2, step)
        on_grid = interpolate(times, row, np.minimum(grid, times[-1]), MAX_GAP_S)
        known = np.isfinite(on_grid)
        middle = on_grid[known].mean() if known.any() else 0.0  # for the sums' accuracy only
        signals.append((np.where(known, on_grid - middle, 0.0), known.astype(np.float64)))
    (a, in_a), (b, in_b) = signals
    # correlate(b, a)[k] sums b[i + lag] a[i]: a is moved later by lag.
    n, sum_a, sum_b, aa, bb, ab = (
        correlate(x, y, mode="full")
        for x, y in (
            (in_b, in_a), (in_b, a), (b, in_a), (in_b, a**2), (b**2, in_a), (b, a),
        )
    )  # fmt: skip
    lags = np.arange(-(len(a) - 1), len(b))
    offsets = lags * step + other_t[0] - t[0]
    n = np.round(n)
    enough = (n >= 3) & (n >= overlap * min(in_a.sum(), in_b.sum()))
    if max_shift is not None:
        enough &= np.abs(offsets) <= max_shift + 1e-6 * step
    with np.errstate(divide="ignore", invalid="ignore"):
        spread_a, spread_b = aa - sum_a**2 / n, bb - sum_b**2 / n
        flat = (spread_a <= 1e-9 * aa.max()) | (spread_b <= 1e-9 * bb.max())
        curve = (ab - sum_a * sum_b / n) / np.sqrt(spread_a * spread_b)
    curve[~enough | flat] = np.nan
    return offsets, curve

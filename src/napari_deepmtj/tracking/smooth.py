"""Smoothing a trajectory and filling its short gaps; raw values and what a person set stay.

The mathematics is in `kalman.py` and `filters.py`; which rows are joined in `series.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.trajectory import Flag, Origin, Trajectory, join_flags
from napari_deepmtj.errors import ResultError
from napari_deepmtj.tracking import filters, kalman
from napari_deepmtj.tracking.series import (
    BoolArray,
    Duration,
    FloatArray,
    Series,
    TimeUnit,
    undone,
)  # fmt: skip

#: Longest gap that is filled unless another is given: 5 frames at 25 Hz.
MAX_GAP = Duration.seconds(0.2)
MAX_GAP_WITHOUT_TIMES = Duration.frames(5)


@dataclass(frozen=True)
class Outcome:
    """What a method made of the rows.

    Attributes
    ----------
    xy : ndarray, shape (n, 2)
        New positions in px; only those inside the stretches are used.
    covariance : ndarray, shape (n, 2, 2)
        Of filled rows, px^2; NaN where the method claims none.
    replaced : ndarray of bool, shape (n,)
        Measured rows whose value was thrown away rather than smoothed.
    settings : mapping
        What was estimated or chosen, for the log.
    notices : tuple of str
        What a person must be told.
    """

    xy: FloatArray
    covariance: FloatArray
    replaced: BoolArray
    settings: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


class Method(Protocol):
    """A way of smoothing; its fields are its parameters."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    def apply(self, series: Series, stretches: Sequence[slice], scale: Scale | None) -> Outcome:
        """Return new positions of the rows in `stretches`."""


def _nothing(series: Series) -> tuple[FloatArray, FloatArray, BoolArray]:
    n = len(series)
    return np.full((n, 2), np.nan), np.full((n, 2, 2), np.nan), np.zeros(n, dtype=bool)


@dataclass(frozen=True, slots=True)
class Kalman:
    """RTS smoother, weighted by each frame's covariance, on true times: the default.

    Parameters
    ----------
    density : float or None
        Spectral density of the acceleration on either axis, mm^2/s^3 (px^2 without a scale,
        cubed frames without times). None estimates it, on each axis, by likelihood.
    noise : float or None
        Variance of the frame-to-frame error as a multiple of the network's. None estimates it.
        Give both or neither.
    """

    density: float | None = None
    noise: float | None = None
    name = "kalman"

    def __post_init__(self) -> None:
        if (self.density is None) != (self.noise is None):
            raise ResultError("give both density and noise to the Kalman smoother, or neither")
        if self.density is not None and not (self.density > 0 and (self.noise or 0) > 0):
            raise ResultError("density and noise of the Kalman smoother must be positive")

    def apply(self, series: Series, stretches: Sequence[slice], scale: Scale | None) -> Outcome:
        """Smooth every stretch with one model; where it cannot be estimated, change nothing."""
        model = self._model(series, stretches, scale)
        xy, covariance, replaced = _nothing(series)
        if model is None:
            for part in stretches:
                xy[part] = series.xy[part]
            said = "too few frames to estimate how the point moves; nothing was smoothed or filled"
            return Outcome(xy, covariance, replaced, {}, (said,) if stretches else ())
        factor = np.sqrt(np.outer(model.noise, model.noise))
        # What of the network's error is not frame-to-frame noise stays through the smoothing.
        lasting = np.sqrt(np.clip(1 - np.asarray(model.noise), 0, None))
        exact = series.refilled[:, None, None]  # as what a person set is in any case
        for part in stretches:
            t, cov = series.t[part], series.covariance[part]
            noise = np.where(exact[part], 0.0, cov * factor)
            done = kalman.smooth(t, series.xy[part], noise, model.density)
            xy[part] = done.xy
            seen = np.flatnonzero(series.measured[part])
            around = np.stack(
                [np.interp(t, t[seen], cov[seen, i, j]) for i in (0, 1) for j in (0, 1)], axis=-1
            ).reshape(-1, 2, 2)
            covariance[part] = done.covariance + around * np.outer(lasting, lasting)
        settings = {"density_px2": list(model.density), "noise_used": list(model.noise)}
        return Outcome(xy, covariance, replaced, settings)

    def _model(
        self, series: Series, stretches: Sequence[slice], scale: Scale | None
    ) -> kalman.Estimate | None:
        if self.density is not None and self.noise is not None:
            x_mm, y_mm = (1.0, 1.0) if scale is None else (scale.x_mm, scale.y_mm)
            density = (self.density / x_mm**2, self.density / y_mm**2)
            return kalman.Estimate(density, (self.noise, self.noise))
        machine = np.where((series.by_hand | series.refilled)[:, None], np.nan, series.xy)
        variance = np.diagonal(series.covariance, axis1=1, axis2=2)
        return kalman.estimate([(series.t[p], machine[p], variance[p]) for p in stretches])


@dataclass(frozen=True, slots=True)
class Butterworth:
    """Zero-lag low-pass: forwards and backwards, -3 dB at the cut-off after both.

    Parameters
    ----------
    cutoff_hz : float
        Cut-off frequency in Hz.
    order : int
        Of both passes together.
    """

    cutoff_hz: float = 6.0
    order: int = 4
    name = "butterworth"

    def apply(self, series: Series, stretches: Sequence[slice], scale: Scale | None) -> Outcome:
        """Fill every stretch and filter it."""
        xy, covariance, replaced = _nothing(series)
        seconds, resampled = series.along("s"), False
        for part in stretches:
            full = filters.fill(seconds[part], series.xy[part], "pchip")
            xy[part], uneven = filters.butterworth(seconds[part], full, self.cutoff_hz, self.order)
            resampled |= uneven
        said = "the frames are not evenly spaced: resampled by a spline, filtered, and read off"
        notices = (said,) if resampled else ()
        return Outcome(xy, covariance, replaced, {"resampled": resampled}, notices)


@dataclass(frozen=True, slots=True)
class SavitzkyGolay:
    """Polynomial fitted around each row, on true times.

    Parameters
    ----------
    window : int
        Rows of a fit, odd.
    order : int
        Of the polynomial.
    """

    window: int = 11
    order: int = 3
    name = "savitzky-golay"

    def apply(self, series: Series, stretches: Sequence[slice], scale: Scale | None) -> Outcome:
        """Fill every stretch and filter it."""
        xy, covariance, replaced = _nothing(series)
        for part in stretches:
            full = filters.fill(series.t[part], series.xy[part], "pchip")
            xy[part] = filters.local_polynomial(series.t[part], full, self.window, self.order)
        return Outcome(xy, covariance, replaced)


@dataclass(frozen=True, slots=True)
class Hampel:
    """Outliers give way to the median around them; the rest stays as it is.

    Parameters
    ----------
    half_window : int
        Rows on either side.
    sigmas : float
        Threshold in SDs.
    """

    half_window: int = 3
    sigmas: float = 3.0
    name = "hampel"

    def apply(self, series: Series, stretches: Sequence[slice], scale: Scale | None) -> Outcome:
        """Fill every stretch and filter it."""
        xy, covariance, replaced = _nothing(series)
        for part in stretches:
            full = filters.fill(series.t[part], series.xy[part], "pchip")
            xy[part], swapped = filters.hampel(full, self.half_window, self.sigmas)
            replaced[part] = swapped & series.measured[part]
        return Outcome(xy, covariance, replaced)


@dataclass(frozen=True, slots=True)
class AuthorsChain:
    """The post-filters of the published method's authors, over the whole clip.

    Theirs fills every gap, holding the last value beyond `limit` frames; here what lies in a gap
    longer than allowed is left out again.

    Parameters
    ----------
    z : float
        Rows that far from the clip's mean, in its SDs, are removed.
    limit : int
        Rows of a gap that are interpolated.
    half_window, sigmas
        Of the Hampel filter; they used 2 to 3 sigmas.
    """

    z: float = 2.0
    limit: int = 20
    half_window: int = 10
    sigmas: float = 3.0
    name = "authors"

    def apply(self, series: Series, stretches: Sequence[slice], scale: Scale | None) -> Outcome:
        """Filter the clip."""
        _, covariance, replaced = _nothing(series)
        if stretches:
            xy, replaced = filters.authors_chain(
                series.xy, self.z, self.limit, self.half_window, self.sigmas
            )
            return Outcome(xy, covariance, replaced)
        return Outcome(series.xy, covariance, replaced)


@dataclass(frozen=True, slots=True)
class Fill:
    """Gaps are filled; what was measured stays as it is.

    Parameters
    ----------
    kind : {"pchip", "linear"}
        Monotone cubic, or straight.
    """

    kind: filters.FillKind = "pchip"
    name = "fill"

    def apply(self, series: Series, stretches: Sequence[slice], scale: Scale | None) -> Outcome:
        """Fill every stretch."""
        xy, covariance, replaced = _nothing(series)
        for part in stretches:
            xy[part] = filters.fill(series.t[part], series.xy[part], self.kind)
        return Outcome(xy, covariance, replaced)


#: Every method by the name that the log and the command line give it.
METHODS: dict[str, type[Kalman | Butterworth | SavitzkyGolay | Hampel | AuthorsChain | Fill]] = {
    kind.name: kind for kind in (Kalman, Butterworth, SavitzkyGolay, Hampel, AuthorsChain, Fill)
}


@dataclass(frozen=True)
class Result:
    """A smoothed trajectory and what must be told of it.

    Attributes
    ----------
    trajectory : Trajectory
        The log's last operation, "smooth", has every parameter.
    filled, left : int
        Rows that were given a position, and rows without: in gaps too long to fill, before the
        first measurement, after the last, or not in view by a person's word.
    time_unit : {"s", "frame"}
        "frame" if the clip has no times: the frames then count as evenly spaced.
    notices : tuple of str
        What a person must be told.
    """

    trajectory: Trajectory
    filled: int
    left: int
    time_unit: TimeUnit
    notices: tuple[str, ...]


def smooth(
    trajectory: Trajectory,
    method: Method | None = None,
    *,
    max_gap: Duration | None = None,
    exclude: Collection[Flag] = (Flag.OUTLIER,),
) -> Result:
    """Smooth a trajectory and fill its short gaps.

    Works from what the network said (`x_raw_px, y_raw_px`), so doing it twice changes nothing,
    and from what a person set and flow refilled, which is kept exactly. Filled rows become
    INTERPOLATED. Confidences stay, and so do the standard deviations of measured rows: the
    network's errors last over many frames, and no smoothing makes them smaller.

    Parameters
    ----------
    trajectory : Trajectory
        Any; `gate` first marks what is left out or cut.
    method : Method or None
        None is `Kalman()`.
    max_gap : Duration or None
        Longest gap that is filled or smoothed across. None is 0.2 s (5 frames without times; 20
        frames for `AuthorsChain`).
    exclude : collection of Flag
        Rows with these flags count as not measured.

    Raises
    ------
    ResultError
        For bad parameters, seconds or Hz without times, or where the probe's slip was subtracted.
    """
    notices = undone(trajectory, "smoothing")
    method = Kalman() if method is None else method
    series = Series.of(trajectory, exclude)
    if max_gap is None:
        max_gap = MAX_GAP if series.unit == "s" else MAX_GAP_WITHOUT_TIMES
        if isinstance(method, AuthorsChain):
            max_gap = Duration.frames(method.limit)
    stretches = series.stretches(max_gap)
    outcome = method.apply(series, stretches, trajectory.provenance.scale)
    inside = np.zeros(len(series), dtype=bool)
    for part in stretches:
        inside[part] = True
    free = ~(series.by_hand | series.refilled)
    xy = np.where((inside & free)[:, None], outcome.xy, np.nan)
    xy[~free] = trajectory.xy_px[~free]
    filled = np.isfinite(xy[:, 0]) & free & ~(series.measured & ~outcome.replaced)
    columns = _columns(trajectory, xy, free, filled, outcome.covariance)
    notices += outcome.notices
    if series.unit == "frame":
        notices.append("the clip has no times: its frames count as evenly spaced")
    notices += ["no frame has a covariance: all have the same weight"] * series.equal_weights
    done = trajectory.changed(
        columns,
        "smooth",
        method=method.name,
        **asdict(method),  # type: ignore[call-overload]
        **outcome.settings,
        max_gap=str(max_gap),
        excluded=sorted(flag.value for flag in exclude),
        time_unit=series.unit,
        stretches=len(stretches),
        filled=int(filled.sum()),
        notices=notices,
    )
    counts = int(filled.sum()), int(np.isnan(xy[:, 0]).sum())
    return Result(done, *counts, series.unit, tuple(notices))


def _columns(
    trajectory: Trajectory,
    xy: FloatArray,
    free: BoolArray,
    filled: BoolArray,
    covariance: FloatArray,
) -> dict[str, Any]:
    """Return the table's new columns; rows that are not free are as they were."""
    table = trajectory.table
    there = np.isfinite(xy[:, 0])
    missing_raw = ~np.isfinite(table[["x_raw_px", "y_raw_px"]].to_numpy(float)).all(axis=1)
    origin = table["origin"].to_numpy(dtype=object).copy()
    origin[free & (origin == Origin.INTERPOLATED)] = Origin.PREDICTED.value
    origin[filled] = Origin.INTERPOLATED.value
    flags = table["flags"].fillna("").to_numpy(dtype=object).copy()
    for row in np.flatnonzero(free):
        kept = {Flag(name) for name in flags[row].split(";") if name} - {Flag.NOT_IN_VIEW}
        if not there[row] and missing_raw[row]:
            kept.add(Flag.NOT_IN_VIEW)
        flags[row] = join_flags(flag for flag in Flag if flag in kept)
    columns: dict[str, Any] = {"x_px": xy[:, 0], "y_px": xy[:, 1], "in_view": there}
    spreads = {
        "sd_x_px": np.sqrt(covariance[:, 0, 0]),
        "sd_y_px": np.sqrt(covariance[:, 1, 1]),
        "cov_xy_px2": covariance[:, 0, 1],
    }
    for name, spread in spreads.items():
        kept_sd = table[name].to_numpy(dtype=np.float64).copy()
        kept_sd[filled] = spread[filled]
        kept_sd[free & ~there] = np.nan
        columns[name] = kept_sd
    return {**columns, "origin": origin, "flags": flags}

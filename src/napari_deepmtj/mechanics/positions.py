"""The positions of a result that figures are taken from: as they were saved, or smoothed here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_deepmtj.core.trajectory import Flag, Trajectory
from napari_deepmtj.tracking import kalman
from napari_deepmtj.tracking.gate import gate, mm_per_px
from napari_deepmtj.tracking.series import BoolArray, FloatArray, Series, flagged
from napari_deepmtj.tracking.smooth import Kalman, smooth

#: A position further from the smoothed path than this many standard deviations of all distances
#: (by their median) is an outlier.
OUTLIER_SD = 3.5
#: A position is left out whose standard deviation is more than this many times the clip's median.
UNSURE = 2.0
#: Distances below this make no outlier however well all others lie on the path: tremor of a
#: contraction is none, though most of the clip is at rest.
LEAST_OFF_MM = 1.0
#: Median distance of two-dimensional Gaussian errors in their standard deviations on each axis.
_MEDIAN_RAYLEIGH = np.sqrt(2 * np.log(2))
#: How often outliers are left out and the rest is smoothed again, at most.
_ROUNDS = 4

#: Operations that say where positions come from.
_POSITIONS = ("track", "fuse", "smooth", "unsmooth")
#: Rows that do not count; a person's always do.
_NOT_COUNTED = (
    *(Flag.LOW_CONFIDENCE, Flag.UNFAMILIAR, Flag.UNREADABLE),
    *(Flag.HIGH_SD, Flag.OUTLIER, Flag.JUMP),
)


@dataclass(frozen=True)
class Used:
    """The positions from which figures are taken.

    Parameters
    ----------
    trajectory : Trajectory
        Smoothed by its maker, or here.
    flagged : ndarray of bool, shape (n,)
        Rows that the quality gate flags with its defaults.
    counted : ndarray of bool, shape (n,)
        Rows with a measurement that is neither flagged nor left out as an outlier.
    how : str
        What was done, in words.
    """

    trajectory: Trajectory
    flagged: BoolArray
    counted: BoolArray
    how: str

    @property
    def raw(self) -> bool:
        """Return True if the result is as the network gave it, and was smoothed here."""
        return not self.how.startswith("as saved")


def used_positions(trajectory: Trajectory) -> Used:
    """Return the positions of a result that figures are taken from.

    Those that were fused, smoothed, or freed of the probe's slip are taken as they were saved.
    All others are gated and smoothed by Kalman, weighted by each row's covariance, both with their
    defaults; rows that lie off the smoothed path, or are far less sure than is usual in the clip,
    are left out and the others smoothed again.
    """
    gated = gate(trajectory).trajectory
    by_gate = (gated.table["flags"] != "").to_numpy(dtype=bool)
    hand, series = trajectory.by_hand, Series.of(trajectory, exclude=())
    counted: BoolArray = ~flagged(gated, _NOT_COUNTED) | hand
    if (how := _as_saved(trajectory)) is not None:
        there = np.isfinite(trajectory.xy_px[:, 0])
        return Used(trajectory, by_gate, counted & there, f"as saved: {how}")
    counted &= series.measured & (_sure(trajectory) | hand)
    path = smooth(_without(gated, ~counted)).trajectory
    known = _model_of(path)
    whole, mm = counted, mm_per_px(trajectory.provenance)[0]
    for _ in range(_ROUNDS):
        fewer = counted & (_agreeing(path, series, counted, mm) | hand)
        if (fewer == counted).all():
            break
        counted = fewer
        path = smooth(_without(gated, ~counted), known).trajectory
    if (counted != whole).any():
        path = smooth(_without(gated, ~counted)).trajectory
    return Used(path, by_gate, counted, "gate and kalman without outliers, from raw")


def _as_saved(trajectory: Trajectory) -> str | None:
    """Return what made the positions of a result, in words; None where they are the network's."""
    operations = trajectory.provenance.operations
    if "subtract slip" in [op.name for op in operations]:
        return "probe slip subtracted"
    for op in [op for op in operations if op.name in _POSITIONS][-1:]:
        if op.name == "smooth":
            return f"smooth {op.arguments.get('method', '?')}"
        if op.name == "fuse":
            return "fuse"
    return None


@dataclass(frozen=True, slots=True)
class _KnownKalman(Kalman):
    """The Kalman smoother with what was estimated before."""

    model: kalman.Estimate | None = None

    def _model(self, *_: object) -> kalman.Estimate | None:
        return self.model


def _model_of(smoothed: Trajectory) -> Kalman:
    """Return the smoother of a trajectory that was smoothed last."""
    settings = smoothed.provenance.operations[-1].arguments
    if "density_px2" not in settings:
        return Kalman()
    density, noise = (tuple(settings[name]) for name in ("density_px2", "noise_used"))
    return _KnownKalman(model=kalman.Estimate(density, noise))


def _without(trajectory: Trajectory, left_out: BoolArray) -> Trajectory:
    """Flag rows as outliers, so that smoothing leaves them out."""
    flags = trajectory.table["flags"].to_numpy(dtype=object).copy()
    flags[left_out & ~trajectory.by_hand] = Flag.OUTLIER.value
    return trajectory.changed({"flags": flags}, "gate")


def _sure(trajectory: Trajectory) -> BoolArray:
    """Return which rows are about as sure as is usual in the clip; all if none has an SD."""
    sd = np.hypot(*trajectory.table[["sd_x_px", "sd_y_px"]].to_numpy(dtype=np.float64).T)
    known = np.isfinite(sd) & ~trajectory.by_hand
    limit = UNSURE * np.median(sd[known]) if known.any() else np.inf
    unsure: BoolArray = sd > limit
    return ~unsure


def _agreeing(path: Trajectory, series: Series, counted: BoolArray, mm: FloatArray) -> BoolArray:
    """Return which measurements lie on the smoothed path, as far as is usual in the clip."""
    off = np.hypot(*((series.xy - path.xy_px) * mm).T)
    usual = off[counted & np.isfinite(off)]
    if not len(usual):
        return counted
    spread = float(np.median(usual)) / _MEDIAN_RAYLEIGH
    agreeing: BoolArray = off <= max(OUTLIER_SD * spread, LEAST_OFF_MM)
    return agreeing

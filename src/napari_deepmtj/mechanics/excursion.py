"""How far the MTJ moves, from positions of which some are wrong.

Greatest less least displacement is decided by two frames: a single outlier at either end changes
it. Here outliers are left out (`positions.py`), and each end must be a place that several
consecutive frames agree on.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

import numpy as np

from napari_deepmtj.core.trajectory import Flag, Trajectory
from napari_deepmtj.mechanics.motion import Axis, Motion, Side, motion
from napari_deepmtj.mechanics.positions import Used, used_positions
from napari_deepmtj.tracking.gate import Limits, gate, mm_per_px
from napari_deepmtj.tracking.series import BoolArray, FloatArray, Series, flagged
from napari_deepmtj.tracking.smooth import MAX_GAP, MAX_GAP_WITHOUT_TIMES

#: Consecutive rows that must agree for a place to count as an end.
SUPPORT = 3
#: Rows on either side of a leap whose median says where the path is, and the most rows between
#: them: over a longer gap the MTJ may have gone that far.
AROUND, NEAR = 5, 6
#: Positions that must count; of fewer, outliers cannot be told from the path.
LEAST = 20
#: From which share of positions that do not count on the excursion is unreliable.
TOO_MANY = 0.2
#: From which share of the excursion on its standard deviation makes it unreliable.
TOO_VAGUE = 0.25


@dataclass(frozen=True)
class Excursion:
    """How far the MTJ moves along the tendon.

    Parameters
    ----------
    value : float
        Greatest less least displacement among positions that at least `SUPPORT` consecutive rows
        agree on, in `unit`; NaN without any.
    sd : float
        Its standard deviation, of the positions at both ends, in `unit`; NaN where unknown.
    raw : float
        Greatest less least displacement of all positions as they were saved, outliers included.
    unit : {"mm", "px"}
        "px" where no scale is known.
    reason : str
        Why `value` is not to be relied on; empty if it may be.
    """

    value: float
    sd: float
    raw: float
    unit: Literal["mm", "px"]
    reason: str

    @property
    def reliable(self) -> bool:
        """Return True if nothing speaks against the value."""
        return not self.reason

    def __str__(self) -> str:
        doubt = f" ± {self.sd:.1f}" if np.isfinite(self.sd) else ""
        unsure = f", not reliable: {self.reason}" if self.reason else ""
        return f"{self.value:.1f}{doubt} {self.unit} (raw {self.raw:.1f}{unsure})"


def excursion(
    trajectory: Trajectory,
    distal: Side | None = None,
    *,
    axis: Axis | None = None,
    reference: Trajectory | None = None,
    used: Used | None = None,
) -> Excursion:
    """Return how far the MTJ moves, without outliers.

    Parameters
    ----------
    trajectory : Trajectory
        Any; gated or not.
    distal : {"left", "right"} or None
        Side of the picture that is distal; only the names of the ends depend on it.
    axis, reference : optional
        As of `motion`.
    used : Used or None
        `used_positions(trajectory)`, where that is known already.

    Raises
    ------
    ResultError
        If the MTJ moves straight up and down, or the reference is of another clip.
    """
    side = distal or "right"
    raw = motion(trajectory, side, axis=axis, reference=reference).excursion
    used = used_positions(trajectory) if used is None else used
    path = used.trajectory
    moved = motion(path, side, axis=axis, reference=reference)
    counted = used.counted & np.isfinite(moved.displacement)
    supported = _in_runs(counted)
    if not supported.any():
        reason = f"no {SUPPORT} consecutive positions agree"
        return Excursion(np.nan, np.nan, raw, moved.length_unit, reason)
    rows = np.flatnonzero(supported)
    along = moved.displacement[rows]
    ends = {
        _name("proximal", distal): int(rows[along.argmax()]),
        _name("distal", distal): int(rows[along.argmin()]),
    }
    value = float(np.ptp(along))
    first, last = (_sd_along(path, row, moved.axis) for row in ends.values())
    sd = float(np.hypot(first, last))
    reasons = [_gap(path, supported, row, end) for end, row in ends.items()]
    measured = Series.of(trajectory, exclude=()).measured
    if (left_out := int((measured & ~counted).sum())) > TOO_MANY * measured.sum():
        reasons.append(f"{left_out} of {measured.sum()} positions are flagged, unsure or outliers")
    if counted.sum() < LEAST:
        reasons.append(f"{counted.sum()} positions are too few to tell outliers by")
    reasons.append(_leap(trajectory, moved, supported))
    if sd > TOO_VAGUE * value:
        reasons.append(f"its ends are known to {sd:.1f} {moved.length_unit} only")
    reason = "; ".join(filter(None, reasons))
    return Excursion(value, sd, raw, moved.length_unit, reason)


def _name(end: str, distal: Side | None) -> str:
    """Return what to call an end; without a side "proximal" means to the left."""
    if distal is not None:
        return end
    return "left" if end == "proximal" else "right"


def _in_runs(counted: BoolArray) -> BoolArray:
    """Return which rows belong to `SUPPORT` or more consecutive ones that count."""
    runs = [list(group) for _, group in groupby(counted.tolist())]
    lengths = [run[0] and len(run) >= SUPPORT for run in runs]
    return np.repeat(np.array(lengths, dtype=bool), [len(run) for run in runs])


def _sd_along(trajectory: Trajectory, row: int, axis: Axis) -> float:
    """Return the standard deviation of a position along the axis, in the axis' unit."""
    if trajectory.by_hand[row]:
        return 0.0
    sd_x, sd_y, xy = trajectory.table.iloc[row][["sd_x_px", "sd_y_px", "cov_xy_px2"]].astype(float)
    scale = trajectory.provenance.scale
    factors = np.ones(2) if scale is None else np.array([scale.x_mm, scale.y_mm])
    along: FloatArray = axis.direction * factors
    covariance = np.array([[sd_x**2, xy], [xy, sd_y**2]])
    return float(np.sqrt(along @ covariance @ along))


def _gap(trajectory: Trajectory, supported: BoolArray, row: int, end: str) -> str:
    """Return why an end is open: next to it is a long stretch without a position that counts."""
    series = Series.of(trajectory, exclude=())
    longest = MAX_GAP if series.unit == "s" else MAX_GAP_WITHOUT_TIMES
    clock = series.along(longest.unit)
    usual = float(np.median(np.diff(clock)))
    rows = np.flatnonzero(supported)
    at = int(np.searchsorted(rows, row))
    near = rows[max(at - SUPPORT, 0) : at + SUPPORT + 1]
    for last, following in pairwise(near.tolist()):
        if clock[following] - clock[last] - usual > longest.value + 1e-6 * usual:
            first, stop = trajectory.frames[last + 1], trajectory.frames[following - 1]
            return f"no position that counts in frames {first} to {stop}, beside its {end} end"
    return ""


def _leap(trajectory: Trajectory, moved: Motion, supported: BoolArray) -> str:
    """Return where supported positions leap: the path may follow another structure there."""
    mm = 1.0 if moved.length_unit == "mm" else float(mm_per_px(trajectory.provenance)[0].mean())
    rows = np.flatnonzero(supported)
    leaps = []
    for row in np.flatnonzero(flagged(gate(trajectory).trajectory, [Flag.JUMP])):
        before, after = rows[rows < row][-AROUND:], rows[rows >= row][:AROUND]
        if len(before) and len(after) and after[0] - before[-1] <= NEAR:
            ends = (np.median(moved.displacement[part]) for part in (after, before))
            step = next(ends) - next(ends)
            if abs(step) * mm > Limits().least_step_mm:
                leaps.append(int(trajectory.frames[row]))
    if not leaps:
        return ""
    times = f"{len(leaps)} times, first " if len(leaps) > 1 else ""
    return f"the path leaps {times}at frame {leaps[0]}, faster than tissue moves"

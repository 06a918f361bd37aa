"""What a trajectory means for a tendon: displacement along its axis, excursion, velocity.

Cycles and onset are `cycles.py`, force and stiffness `tendon.py`, lengths of the whole
muscle-tendon unit `mtu.py`. Definitions with formulas: docs/explanation/tracking.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.interpolate import CubicSpline

from napari_deepmtj.core.trajectory import Flag, Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.tracking.series import BoolArray, FloatArray, TimeUnit, flagged, times_of

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Axis:
    """The line along which the MTJ moves.

    Attributes
    ----------
    direction : ndarray, shape (2,)
        Unit vector (x, y) in the picture, y down, pointing proximally; of millimetres where
        there is a scale.
    linearity : float
        Share of the positions' variance that lies along it, 0.5 to 1; NaN if they do not move.
    """

    direction: FloatArray
    linearity: float


@dataclass(frozen=True)
class Motion:
    """The MTJ's motion along the tendon.

    Attributes
    ----------
    frames : ndarray of int64, shape (n,)
        Frame numbers.
    t : ndarray, shape (n,)
        Times in `time_unit`.
    displacement : ndarray, shape (n,)
        Along the axis from the reference, positive proximally, in `length_unit`; NaN where the
        position is missing.
    velocity : ndarray, shape (n,)
        Its derivative, `length_unit` per `time_unit`, not across a row flagged JUMP; NaN also where
        there is one row by itself.
    axis : Axis
        The line.
    length_unit : {"mm", "px"}
        "px" where no scale is known.
    time_unit : {"s", "frame"}
        "frame" where the clip has no times.
    """

    frames: npt.NDArray[np.int64]
    t: FloatArray
    displacement: FloatArray
    velocity: FloatArray
    axis: Axis
    length_unit: Literal["mm", "px"]
    time_unit: TimeUnit

    @property
    def excursion(self) -> float:
        """Largest less smallest displacement, outliers included; NaN without positions.

        `excursion.excursion` leaves outliers out.
        """
        seen = self.displacement[np.isfinite(self.displacement)]
        return float(np.ptp(seen)) if len(seen) else float("nan")

    @property
    def peak_velocity(self) -> tuple[float, float]:
        """Fastest distally (least) and proximally (greatest); NaN without velocities."""
        seen = self.velocity[np.isfinite(self.velocity)]
        return (float(seen.min()), float(seen.max())) if len(seen) else (np.nan, np.nan)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a frame, the units in the names of the columns."""
        length, time = self.length_unit, self.time_unit
        return pd.DataFrame(
            {
                "frame": self.frames,
                "time_s": self.t if time == "s" else np.full(len(self.t), np.nan),
                f"displacement_{length}": self.displacement,
                f"velocity_{length}_per_{time}": self.velocity,
            }
        )


def tendon_axis(xy: npt.ArrayLike, distal: Side) -> Axis:
    """Return the principal axis of positions, pointing away from the distal side.

    Parameters
    ----------
    xy : array, shape (n, 2)
        Positions (x, y) in mm (px without a scale); NaN where missing.
    distal : {"left", "right"}
        Side of the picture on which the tendon goes to the heel.

    Returns
    -------
    Axis
        Horizontal, with a linearity of NaN, if the positions do not move: every displacement
        is then zero on any axis.

    Raises
    ------
    ResultError
        If the axis is vertical, so that neither end is proximal.
    """
    points = np.asarray(xy, dtype=np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    proximal = -1.0 if distal == "right" else 1.0
    level = Axis(np.array([proximal, 0.0]), float("nan"))
    if len(points) < 2:
        return level
    centred = points - points.mean(axis=0)
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    if not size[0] > 1e-9 * max(1.0, float(np.abs(points).max())):
        return level
    direction = axes[0]
    if abs(direction[0]) < np.sin(np.deg2rad(5)):
        raise ResultError(
            "the MTJ moves straight up and down in the picture, so its path does not say which "
            "way is proximal; give the axis"
        )
    if np.sign(direction[0]) != proximal:
        direction = -direction
    return Axis(direction, float(size[0] ** 2 / (size**2).sum()))


def motion(
    trajectory: Trajectory,
    distal: Side | None,
    *,
    axis: Axis | None = None,
    rest: tuple[int, int] | None = None,
    reference: Trajectory | None = None,
) -> Motion:
    """Return the displacement and velocity of the MTJ along the tendon.

    Parameters
    ----------
    trajectory : Trajectory
        Smoothed or not: `x_px, y_px` are used.
    distal : {"left", "right"} or None
        Side of the picture that is distal, as `ClipInfo.distal_side` has it.
    axis : Axis or None
        The line to project on (in mm where there is a scale); None fits it to this trajectory.
    rest : (int, int) or None
        First and last frame of a rest whose mean position is zero displacement; None is the
        first position.
    reference : Trajectory or None
        Of a point of the same clip from which the MTJ is measured (`reference.py`): where it
        moves, the MTJ's motion is what is left. The axis is fitted to what is left, too.

    Raises
    ------
    ResultError
        If the distal side is not known, there is no position at rest, or the reference is of
        another clip.
    """
    if distal not in ("left", "right") and axis is None:
        raise ResultError("which side of the picture is distal is not known; say left or right")
    scale = trajectory.provenance.scale
    xy = trajectory.xy_px if reference is None else _relative(trajectory, reference)
    xy = xy if scale is None else scale.to_mm(xy)
    t, unit = times_of(trajectory)
    if axis is None:
        assert distal is not None
        axis = tendon_axis(xy, distal)
    along = xy @ axis.direction
    seen: BoolArray = np.isfinite(along)
    if rest is not None:
        resting = seen & (trajectory.frames >= rest[0]) & (trajectory.frames <= rest[1])
        if not resting.any():
            raise ResultError(f"there is no position in frames {rest[0]} to {rest[1]}, the rest")
        along = along - along[resting].mean()
    elif seen.any():
        along = along - along[seen][0]
    return Motion(
        trajectory.frames,
        t,
        along,
        velocity(t, along, flagged(trajectory, [Flag.JUMP])),
        axis,
        "px" if scale is None else "mm",
        unit,
    )


def _relative(trajectory: Trajectory, reference: Trajectory) -> FloatArray:
    """Return positions less the way that the reference has gone, px; NaN where either is."""
    ours, theirs = trajectory.provenance, reference.provenance
    if ours.clip_sha256 != theirs.clip_sha256:
        raise ResultError(f"the reference is of another clip ({theirs.clip}), not of {ours.clip}")
    there = pd.DataFrame(reference.xy_px, index=reference.frames).reindex(trajectory.frames)
    xy: FloatArray = trajectory.xy_px - there.to_numpy(dtype=np.float64)
    both = np.isfinite(xy[:, 0])
    return xy + there.to_numpy(dtype=np.float64)[both][0] if both.any() else xy


def velocity(
    t: npt.ArrayLike, displacement: npt.ArrayLike, cuts: npt.ArrayLike | None = None
) -> FloatArray:
    """Return the derivative of a cubic spline through every run of positions, on true times.

    Parameters
    ----------
    t : array, shape (n,)
        Increasing times.
    displacement : array, shape (n,)
        NaN where missing; a spline never crosses a missing one.
    cuts : array of bool, shape (n,), or None
        Rows that begin anew: what leads to them is no movement.

    Returns
    -------
    ndarray, shape (n,)
        NaN where the position is missing or stands alone.
    """
    times, values = np.asarray(t, dtype=np.float64), np.asarray(displacement, dtype=np.float64)
    speed = np.full(len(times), np.nan)
    anew = np.zeros(len(times), dtype=bool) if cuts is None else np.asarray(cuts, dtype=bool)
    edges = np.flatnonzero(np.diff(np.r_[False, np.isfinite(values), False].astype(int)))
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        inner = first + 1 + np.flatnonzero(anew[first + 1 : stop])
        for begin, end in pairwise([first, *inner.tolist(), stop]):
            if end - begin < 2:
                continue
            run = slice(begin, end)
            speed[run] = CubicSpline(times[run], values[run])(times[run], 1)
    return speed

"""What is shown of a trajectory over time, as numbers: curves, their spread, what is marked.

Positions and mechanics are those of `tracking`; drawing is `time_plot` and `plots`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.trajectory import Origin, Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.mechanics.channels import Channels
from napari_deepmtj.mechanics.cycles import find_cycles
from napari_deepmtj.mechanics.excursion import Excursion
from napari_deepmtj.mechanics.motion import Motion, Side, motion
from napari_deepmtj.tracking.series import BoolArray, FloatArray, TimeUnit, times_of


class Mark(StrEnum):
    """What a row can be marked as; a flagged one may also be any of the others."""

    FLAGGED = "flagged"
    CORRECTED = "corrected"
    MANUAL = "manual"
    REFILLED = "refilled"
    INTERPOLATED = "interpolated"


#: Mark of each origin that is worth one.
_OF_ORIGIN = {
    Mark.CORRECTED: Origin.CORRECTED,
    Mark.MANUAL: Origin.MANUAL,
    Mark.REFILLED: Origin.REFILLED,
    Mark.INTERPOLATED: Origin.INTERPOLATED,
}

#: Curves of a trajectory, in the order in which they are shown.
X, Y, DISPLACEMENT, VELOCITY, CONFIDENCE = "x", "y", "displacement", "velocity", "confidence"
CURVES = (X, Y, DISPLACEMENT, VELOCITY, CONFIDENCE)
#: Those that need to know which side of the picture is distal.
MECHANICS = (DISPLACEMENT, VELOCITY)

NO_SIDE = "Displacement and velocity need the distal side of the picture: left or right?"


@dataclass(frozen=True, eq=False)
class Curve:
    """One quantity over time.

    Attributes
    ----------
    t : ndarray, shape (n,)
        Increasing times, in the timeline's unit.
    values : ndarray, shape (n,)
        In `unit`; NaN where missing.
    unit : str
        "mm", "px", "mm/s", ..., empty for a probability.
    spread : ndarray, shape (n,), or None
        One standard deviation; NaN where none is known.
    raw : ndarray, shape (n,), or None
        What the network said, where that differs from `values`; NaN elsewhere. None if it never
        differs.
    """

    t: FloatArray
    values: FloatArray
    unit: str
    spread: FloatArray | None = None
    raw: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Timeline:
    """Everything a time plot shows of one clip; curves of the trajectory are row by row.

    Attributes
    ----------
    clip : str
        Name of the clip.
    frames : ndarray of int64, shape (n,)
        Frame numbers of the rows.
    t : ndarray, shape (n,)
        Their times, in `time_unit`.
    time_unit : {"s", "frame"}
        "frame" where the clip has no times.
    length_unit : {"mm", "px"}
        "px" where no scale is known.
    curves : mapping of str to Curve
        By name: `CURVES`, without the mechanics if the distal side is not known, then channels.
    marks : mapping of Mark to ndarray of bool, shape (n,)
        Which rows are marked.
    breaks : ndarray of int64
        Rows before which frames are missing: no line leads to them.
    motion : Motion or None
        The mechanics; None if the distal side is not known.
    remark : str
        Why there are no mechanics; empty if there are.
    """

    clip: str
    frames: npt.NDArray[np.int64]
    t: FloatArray
    time_unit: TimeUnit
    length_unit: str
    curves: Mapping[str, Curve]
    marks: Mapping[Mark, BoolArray]
    breaks: npt.NDArray[np.int64]
    motion: Motion | None
    remark: str

    @classmethod
    def of(
        cls, trajectory: Trajectory, distal: Side | None = None, channels: Channels | None = None
    ) -> Timeline:
        """Compute what is shown of a trajectory.

        Parameters
        ----------
        trajectory : Trajectory
            Any. In mm where it has a scale, else in px; over seconds where it has times.
        distal : {"left", "right"} or None
            Side of the picture that is distal; None leaves displacement and velocity out.
        channels : Channels or None
            What other devices recorded, on the clip's time; left out where the clip has none.
        """
        scale = trajectory.provenance.scale
        length = "px" if scale is None else "mm"
        factors = np.ones(2) if scale is None else np.array([scale.x_mm, scale.y_mm])
        table, (t, time) = trajectory.table, times_of(trajectory)
        xy = trajectory.xy_px * factors
        raw = table[["x_raw_px", "y_raw_px"]].to_numpy(dtype=np.float64) * factors
        raw[(raw == xy).all(axis=1)] = np.nan
        covariance = _covariance(trajectory, factors)
        curves: dict[str, Curve] = {}
        for axis, name in enumerate((X, Y)):
            sd = np.sqrt(covariance[:, axis, axis])
            curves[name] = Curve(t, xy[:, axis], length, sd, _any(raw[:, axis]))
        remark, moved = "", None
        try:
            moved = motion(trajectory, distal) if distal is not None else None
            remark = NO_SIDE if moved is None else ""
        except ResultError as error:
            remark = str(error)
        if moved is not None:
            along = moved.axis.direction
            zero = xy @ along - moved.displacement  # the same number wherever there is a position
            seen = np.isfinite(zero)
            raw_along = raw @ along - zero[seen][0] if seen.any() else raw @ along
            sd = np.sqrt(np.einsum("i,nij,j->n", along, covariance, along))
            curves[DISPLACEMENT] = Curve(t, moved.displacement, length, sd, _any(raw_along))
            curves[VELOCITY] = Curve(t, moved.velocity, f"{length}/{time}")
        curves[CONFIDENCE] = Curve(t, table["confidence"].to_numpy(dtype=np.float64), "")
        if channels is not None and time == "s":
            for name, values in channels.values.items():
                # a channel may be called "x" too
                own = f"{name} (channel)" if name in CURVES else name
                curves[own] = Curve(channels.times_s, values, channels.units.get(name, ""))
        return cls(
            trajectory.provenance.clip,
            trajectory.frames,
            t,
            time,
            length,
            curves,
            _marks(trajectory),
            _breaks(trajectory.frames),
            moved,
            remark,
        )

    def at(self, frame: int) -> dict[str, tuple[float, str]]:
        """Return value and unit of every curve at a frame; a channel's is interpolated.

        Missing values are left out.
        """
        row = int(np.searchsorted(self.frames, frame))
        if row == len(self.frames) or self.frames[row] != frame:
            return {}
        found = {}
        for name, curve in self.curves.items():
            own = len(curve.t) == len(self.t) and curve.t is self.t
            value = curve.values[row] if own else _between(self.t[row], curve)
            if np.isfinite(value):
                found[name] = (float(value), curve.unit)
        return found

    def marks_at(self, frame: int) -> list[Mark]:
        """Return what a frame is marked as."""
        row = self.frames == frame
        return [mark for mark, rows in self.marks.items() if rows[row].any()]


def nearest(times: FloatArray, t: float) -> int:
    """Return the index of the time nearest to `t`; -1 of none."""
    return int(np.abs(times - t).argmin()) if len(times) else -1


def describe_motion(timeline: Timeline, far: Excursion | None) -> str:
    """Return excursion, cycles and peak velocity in one line, or why they are not known.

    Parameters
    ----------
    timeline : Timeline
        Of a trajectory.
    far : Excursion or None
        Of the same; None while it is worked out.
    """
    moved = timeline.motion
    if moved is None:
        return timeline.remark
    if not np.isfinite(moved.excursion):
        return "No position, so no excursion."
    length, time = moved.length_unit, moved.time_unit
    said = ["excursion: working it out" if far is None else f"excursion {far}"]
    found = find_cycles(moved.t, moved.displacement)
    if len(found):
        mean = found.excursions.mean()
        spread = f" ± {found.excursions.std(ddof=1):.1f}" if len(found) > 1 else ""
        word = "cycle" if len(found) == 1 else "cycles"
        said.append(f"{len(found)} full {word} of {mean:.1f}{spread} {length}")
    else:
        said.append("no full cycle")
    if found.dropped:
        said.append(f"{found.dropped} left out for missing positions")
    distally, proximally = moved.peak_velocity
    if np.isfinite(distally):
        said.append(
            f"peak velocity {max(proximally, 0):.1f} {length}/{time} proximally, "
            f"{max(-distally, 0):.1f} distally"
        )
    return "; ".join(said)


def _covariance(trajectory: Trajectory, factors: FloatArray) -> FloatArray:
    """Return the covariances of all rows, shape (n, 2, 2), in the unit that `factors` give."""
    sx, sy, sxy = (
        trajectory.table[name].to_numpy(dtype=np.float64)
        for name in ("sd_x_px", "sd_y_px", "cov_xy_px2")
    )
    px2 = np.array([[sx**2, sxy], [sxy, sy**2]]).transpose(2, 0, 1)
    covariance: FloatArray = px2 * np.outer(factors, factors)
    return covariance


def _any(values: FloatArray) -> FloatArray | None:
    return values if np.isfinite(values).any() else None


def _marks(trajectory: Trajectory) -> dict[Mark, BoolArray]:
    origin = trajectory.table["origin"].to_numpy(dtype=object)
    flags = trajectory.table["flags"].fillna("").to_numpy(dtype=object)
    return {
        Mark.FLAGGED: np.array(flags != "", dtype=bool),
        **{mark: np.array(origin == of, dtype=bool) for mark, of in _OF_ORIGIN.items()},
    }


def _breaks(frames: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the rows before which frames are missing.

    A trajectory of every n-th frame is whole: its own smallest step is no gap.
    """
    steps = np.diff(frames)
    if not len(steps):
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(steps > steps.min()) + 1


def _between(t: float, curve: Curve) -> float:
    return float(np.interp(t, curve.t, curve.values, left=np.nan, right=np.nan))

"""What a filter works on: measured positions over true times, and the stretches without long gaps.

Which row counts as measured, what a gap is and how long it is are said here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.trajectory import Flag, Origin, Trajectory
from napari_deepmtj.errors import ResultError

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
TimeUnit = Literal["s", "frame"]

#: Least variance of a measured position, px^2: a network that claims less is not believed.
LEAST_VARIANCE_PX2 = 1e-4


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time in seconds, or in frames where a clip has no times.

    Parameters
    ----------
    value : float
        Not negative.
    unit : {"s", "frame"}
        What `value` counts.
    """

    value: float
    unit: TimeUnit

    def __post_init__(self) -> None:
        if not (np.isfinite(self.value) and self.value >= 0):
            raise ResultError(f"a duration of {self.value} is impossible; give 0 or more")

    @classmethod
    def seconds(cls, value: float) -> Self:
        """Return so many seconds."""
        return cls(value, "s")

    @classmethod
    def frames(cls, value: float) -> Self:
        """Return so many frames of the clip."""
        return cls(value, "frame")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "0.2 s", "0.2s", "5 frames" or "5f", as `str` writes it and a person does.

        Raises
        ------
        ResultError
            If it is neither.
        """
        said = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(s|f|frames?)\s*", text)
        if said is None:
            raise ResultError(f"{text!r} is no duration; give seconds (0.2s) or frames (5f)")
        return cls(float(said[1]), "s" if said[2] == "s" else "frame")

    def __str__(self) -> str:
        return f"{self.value:g} s" if self.unit == "s" else f"{self.value:g} frames"


@dataclass(frozen=True)
class Series:
    """The rows of a trajectory as numbers over time.

    Attributes
    ----------
    frames : ndarray of int64, shape (n,)
        Frame numbers.
    t : ndarray, shape (n,)
        Times in `unit`, strictly increasing.
    unit : {"s", "frame"}
        "frame" where the clip has no times; `t` is then the frame number.
    xy : ndarray, shape (n, 2)
        Measured (x, y) in frame pixels; NaN where there is no measurement that counts.
    covariance : ndarray, shape (n, 2, 2)
        Of the measured rows, px^2; zero where a person set the point, NaN where not measured.
    by_hand : ndarray of bool, shape (n,)
        Rows that a person made.
    refilled : ndarray of bool, shape (n,)
        Rows that optical flow made, as they stand.
    cuts : ndarray of bool, shape (n,)
        Rows that nothing before may be joined to: a jump, or a person's "not in view".
    equal_weights : bool
        No row has a covariance; all have 1 px^2, which says nothing but that they are alike.
    """

    frames: npt.NDArray[np.int64]
    t: FloatArray
    unit: TimeUnit
    xy: FloatArray
    covariance: FloatArray
    by_hand: BoolArray
    refilled: BoolArray
    cuts: BoolArray
    equal_weights: bool

    @classmethod
    def of(cls, trajectory: Trajectory, exclude: Collection[Flag] = (Flag.OUTLIER,)) -> Self:
        """Return the measurements of a trajectory.

        What a person set is taken as it stands; of the other rows what the network said, so
        that smoothing anew starts from the same numbers. Rows refilled by optical flow, and
        those without raw values, count as they stand too.

        Parameters
        ----------
        trajectory : Trajectory
            Any, also without times or without a position at all.
        exclude : collection of Flag
            Rows with one of these flags count as not measured, unless a person made them.

        Raises
        ------
        ResultError
            If some rows have a time and others do not, or if times do not increase.
        """
        table, hand = trajectory.table, trajectory.by_hand
        used = trajectory.xy_px.copy()
        raw = table[["x_raw_px", "y_raw_px"]].to_numpy(dtype=np.float64)
        origin = table["origin"].to_numpy(dtype=object)
        refilled = origin == Origin.REFILLED
        from_raw = ~hand & ~refilled & np.isfinite(raw).all(axis=1)
        used[from_raw] = raw[from_raw]
        used[(origin == Origin.INTERPOLATED) & ~from_raw] = np.nan
        used[flagged(trajectory, exclude) & ~hand] = np.nan
        measured: BoolArray = np.isfinite(used.sum(axis=1))
        used[~measured] = np.nan
        covariance, equal = _covariances(trajectory, measured, hand)
        t, unit = times_of(trajectory)
        cuts = flagged(trajectory, [Flag.JUMP]) | (hand & ~measured)
        return cls(trajectory.frames, t, unit, used, covariance, hand, refilled, cuts, equal)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def measured(self) -> BoolArray:
        """Which rows have a measurement, shape (n,)."""
        mask: BoolArray = np.isfinite(self.xy[:, 0])
        return mask

    def along(self, unit: TimeUnit) -> FloatArray:
        """Return seconds or frame numbers, shape (n,).

        Raises
        ------
        ResultError
            If seconds are asked for and the clip has none.
        """
        if unit == "frame":
            return self.frames.astype(np.float64)
        if self.unit != "s":
            raise ResultError(
                "the clip has no times, so nothing can be given in seconds or Hz; give frames, "
                "or make the clip anew with its times"
            )
        return self.t

    def stretches(self, max_gap: Duration) -> list[slice]:
        """Return the runs of rows that may be filled and filtered as one, in order.

        A gap is the time between two measured rows less one usual (median) interval between
        rows; it is bridged when it is not longer than `max_gap`. Every stretch begins and ends
        with a measured row, so nothing is ever extrapolated.
        """
        rows = np.flatnonzero(self.measured)
        if not len(rows):
            return []
        clock = self.along(max_gap.unit)
        usual = float(np.median(np.diff(clock))) if len(clock) > 1 else 0.0
        gaps = np.diff(clock[rows]) - usual
        too_long = gaps > max_gap.value + 1e-6 * usual
        parted = np.diff(np.cumsum(self.cuts)[rows]) > 0
        ends = np.flatnonzero(too_long | parted)
        first = rows[np.r_[0, ends + 1]]
        last = rows[np.r_[ends, len(rows) - 1]]
        return [slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True)]


def flagged(trajectory: Trajectory, flags: Collection[Flag]) -> BoolArray:
    """Return which rows carry at least one of `flags`, shape (n,)."""
    wanted = {flag.value for flag in flags}
    lists = trajectory.table["flags"].fillna("").astype(str)
    return np.array([not wanted.isdisjoint(text.split(";")) for text in lists], dtype=bool)


def times_of(trajectory: Trajectory) -> tuple[FloatArray, TimeUnit]:
    """Return the times of all rows in seconds, or the frame numbers if the clip has no times.

    Raises
    ------
    ResultError
        If some rows have a time and others do not, or if times do not increase.
    """
    seconds = trajectory.table["time_s"].to_numpy(dtype=np.float64)
    known = np.isfinite(seconds)
    if not len(seconds) and trajectory.provenance.times_source != "none":
        return seconds, "s"
    if not known.any():
        return trajectory.frames.astype(np.float64), "frame"
    if not known.all():
        frame = int(trajectory.frames[~known][0])
        raise ResultError("has no time, but others have; track the clip again", frame=frame)
    if (np.diff(seconds) <= 0).any():
        frame = int(trajectory.frames[1:][np.diff(seconds) <= 0][0])
        raise ResultError("times do not increase; track the clip again", frame=frame)
    return seconds, "s"


def _covariances(
    trajectory: Trajectory, measured: BoolArray, hand: BoolArray
) -> tuple[FloatArray, bool]:
    """Return covariances of measured rows, and whether there were none to go by.

    A row without one gets the median of the others; a person's point is exact.
    """
    sd_x, sd_y, xy = (
        trajectory.table[name].to_numpy(dtype=np.float64)
        for name in ("sd_x_px", "sd_y_px", "cov_xy_px2")
    )
    covariance = np.full((len(sd_x), 2, 2), np.nan)
    covariance[:, 0, 0] = np.maximum(sd_x**2, LEAST_VARIANCE_PX2)
    covariance[:, 1, 1] = np.maximum(sd_y**2, LEAST_VARIANCE_PX2)
    # A correlation of one would leave a direction without any error.
    most = 0.99 * np.sqrt(covariance[:, 0, 0] * covariance[:, 1, 1])
    covariance[:, 0, 1] = covariance[:, 1, 0] = np.clip(xy, -most, most)
    known = np.isfinite(covariance).all(axis=(1, 2)) & measured & ~hand
    unknown = measured & ~hand & ~known
    covariance[unknown] = np.median(covariance[known], axis=0) if known.any() else np.eye(2)
    covariance[measured & hand] = 0.0
    covariance[~measured] = np.nan
    return covariance, bool(unknown.any() and not known.any())


def undone(trajectory: Trajectory, what: str) -> list[str]:
    """Return notices of what is undone by a step that begins with raw positions, or the picture.

    Raises
    ------
    ResultError
        If the slip of the probe was subtracted: `what` would bring it back.
    """
    names = [done.name for done in trajectory.provenance.operations]
    if "subtract slip" in names:
        raise ResultError(
            f"the slip of the probe was subtracted, and {what} would bring it back; begin with a "
            "result of the clip from which it was not"
        )
    last = [name for name in names if name in ("track", "fuse", "smooth", "unsmooth")]
    fused = last[-1:] == ["fuse"]
    return [f"{what} begins with raw positions, not with those that were fused"] if fused else []

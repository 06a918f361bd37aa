"""One clip's MTJ as other programs hold it: times, positions in one unit, confidence.

What is chosen for an export is here too, and bringing a track to an even rate. Files are the
other modules' business.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.timebase import UNIFORM_TOLERANCE
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError

FloatArray = npt.NDArray[np.float64]
Unit = Literal["px", "mm", "m"]
Interpolation = Literal["cubic", "linear"]

#: What the point is called in files that name their points.
POINT = "MTJ"

UNITS: tuple[Unit, ...] = get_args(Unit)
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)

#: The axes of every export, in words.
AXES = "x to the right, y downwards, zero at the centre of the upper left pixel"


@dataclass(frozen=True, slots=True)
class Options:
    """What may be chosen for an export; what a format cannot follow, it refuses.

    Parameters
    ----------
    unit : {"px", "mm", "m"} or None
        Of the positions; None is the format's own choice.
    rate : float or None
        Frames per second to resample to. For a clip without times, the rate it is assumed to
        have. None keeps the clip's own times.
    interpolation : {"cubic", "linear"}
        Between the true times of the frames, where a rate is asked for.
    leave_gaps_out : bool
        Leave out rows without a position where a format has no word for "missing"; otherwise
        such a format refuses them.
    """

    unit: Unit | None = None
    rate: float | None = None
    interpolation: Interpolation = "cubic"
    leave_gaps_out: bool = False

    def __post_init__(self) -> None:
        if self.rate is not None and not (math.isfinite(self.rate) and self.rate > 0):
            raise ResultError(f"a rate of {self.rate} frames/s is impossible; give more than 0")
        if self.unit not in (None, *UNITS):
            raise ResultError(f"the unit {self.unit!r} is unknown; choose {', '.join(UNITS)}")
        if self.interpolation not in INTERPOLATIONS:
            raise ResultError(
                f"the interpolation {self.interpolation!r} is unknown; choose "
                + " or ".join(INTERPOLATIONS)
            )


@dataclass(frozen=True)
class Track:
    """A point over time.

    Attributes
    ----------
    clip : str
        Name of the clip.
    sha256 : str
        Hash of the clip; empty if a file does not say.
    frames : ndarray of int64, shape (n,)
        Frame numbers, of the clip or, after resampling, of the new rate.
    times : ndarray, shape (n,)
        In seconds, or frame numbers where `time_unit` is "frame".
    time_unit : {"s", "frame"}
        "frame" if the clip has no times.
    xy : ndarray, shape (n, 2)
        (x, y) in `unit`, x to the right and y down; NaN where there is no position.
    confidence : ndarray, shape (n,)
        0 where the MTJ is said to be out of view, NaN where nothing was said.
    unit : {"px", "mm", "m"}
        Of `xy`.
    notes : tuple of str
        How the numbers differ from the trajectory's; they belong into the file.
    """

    clip: str
    sha256: str
    frames: npt.NDArray[np.int64]
    times: FloatArray
    time_unit: Literal["s", "frame"]
    xy: FloatArray
    confidence: FloatArray
    unit: Unit
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, trajectory: Trajectory, unit: Unit) -> Self:
        """Return the positions to use of a trajectory, in a unit.

        Raises
        ------
        ResultError
            If it is empty, has no scale and lengths are asked for, or has times in part only.
        """
        said, table = trajectory.provenance, trajectory.table
        if not len(table):
            raise ResultError(f"the result of {said.clip} has no rows; track the clip first")
        factors = np.ones(2)
        if unit != "px":
            if said.scale is None:
                raise ResultError(
                    f"the result of {said.clip} has no scale, so no {unit}; calibrate the clip "
                    "and track it again, or track it with --scale"
                )
            factors = np.array([said.scale.x_mm, said.scale.y_mm]) * (1e-3 if unit == "m" else 1)
        seconds = table["time_s"].to_numpy(dtype=np.float64)
        known = np.isfinite(seconds)
        if known.any() and not (known.all() and (np.diff(seconds) > 0).all()):
            raise ResultError(
                f"the times of {said.clip} are incomplete or do not increase; track it again"
            )
        xy = trajectory.xy_px * factors
        confidence = table["confidence"].to_numpy(dtype=np.float64).copy()
        confidence[~np.isfinite(xy[:, 0])] = 0.0
        frames = trajectory.frames
        return cls(
            clip=said.clip,
            sha256=said.clip_sha256,
            frames=frames,
            times=seconds if known.all() else frames.astype(np.float64),
            time_unit="s" if known.all() else "frame",
            xy=xy,
            confidence=confidence,
            unit=unit,
        )

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Rows without a position, shape (n,)."""
        mask: npt.NDArray[np.bool_] = np.isnan(self.xy[:, 0])
        return mask

    @property
    def step(self) -> int:
        """Frames from one row to the next, where none is left out."""
        return int(np.gcd.reduce(np.diff(self.frames))) if len(self) > 1 else 1

    @property
    def rate(self) -> float | None:
        """Rows per second where they are evenly spaced but for rows left out, else None.

        Even means what it means for a clip (`core.timebase.FrameTimes.uniform`).
        """
        if self.time_unit != "s" or len(self) < 2:
            return None
        rows = np.diff(self.frames) / self.step
        mean = float((self.times[-1] - self.times[0]) / rows.sum())
        grid = self.times[0] + mean * np.r_[0, rows.cumsum()]
        even = np.abs(np.diff(self.times) / rows - mean).max() <= UNIFORM_TOLERANCE * mean
        if not (even and np.abs(self.times - grid).max() <= mean / 2):
            return None
        return 1 / mean


def track_of(trajectory: Trajectory, options: Options, units: tuple[Unit, ...]) -> Track:
    """Return a trajectory as a track, in the chosen unit and at the chosen rate.

    Parameters
    ----------
    trajectory : Trajectory
        Any with rows.
    options : Options
        What was chosen.
    units : tuple of {"px", "mm", "m"}
        Units that the format can hold. Without a choice it is the first, but pixels where
        there is no scale and the format can hold them.

    Raises
    ------
    ResultError
        As `Track.of` and `resampled`, or if the format cannot hold the unit.
    """
    unit = options.unit
    if unit is None:
        unscaled = trajectory.provenance.scale is None and "px" in units
        unit = "px" if unscaled else units[0]
    elif unit not in units:
        raise ResultError(f"this format holds {' or '.join(units)}, not {unit}; choose another")
    track = Track.of(trajectory, unit)
    if options.rate is None:
        return track
    return resampled(track, options.rate, options.interpolation)


def evenly(track: Track, what: str) -> tuple[Track, float]:
    """Return a track with a row for every step, and its rate, for files that have a rate only.

    Rows that were left out come back without a position. Times that differ a little from even
    ones, as containers round them, become even, and a note says by how much.

    Parameters
    ----------
    track : Track
        In seconds.
    what : str
        The format, for the message.

    Raises
    ------
    ResultError
        If the times are not even, or not known.
    """
    if track.time_unit != "s":
        raise ResultError(
            f"{track.clip} has no times, and {what} needs a rate; give the clip's true frames "
            "per second with --rate"
        )
    rate = track.rate
    if rate is None:
        raise ResultError(
            f"the frames of {track.clip} are not evenly spaced in time, and {what} holds a rate "
            "only; resample them with --rate HZ, or export .sto, which has a time for each row"
        )
    rows = (track.frames - track.frames[0]) // track.step
    n = int(rows[-1]) + 1
    times = track.times[0] + np.arange(n) / rate
    xy, confidence = np.full((n, 2), np.nan), np.full(n, np.nan)
    xy[rows], confidence[rows] = track.xy, track.confidence
    off_ms = 1e3 * float(np.abs(times[rows] - track.times).max())
    notes = list(track.notes)
    if off_ms >= 0.01:
        notes.append(f"times were made even at {rate:.6g} Hz, none moved by over {off_ms:.2g} ms")
    if n > len(track):
        notes.append(f"{n - len(track)} frames that were not tracked are rows without a position")
    frames = track.frames[0] + track.step * np.arange(n)
    even = replace(
        track, frames=frames, times=times, xy=xy, confidence=confidence, notes=tuple(notes)
    )
    return even, rate


def resampled(track: Track, rate: float, interpolation: Interpolation = "cubic") -> Track:
    """Return a track at an even rate, read off between the true times of its rows.

    Nothing is read off across a row without a position or a frame that was not tracked. For a
    clip without times the rate is taken as its own, and nothing is interpolated.

    Parameters
    ----------
    track : Track
        Any.
    rate : float
        Rows per second, of the whole clip where it has no times.
    interpolation : {"cubic", "linear"}
        Spline of the third degree through the points, or straight lines. Confidences are
        always joined by straight lines.
    """
    if track.time_unit == "frame":
        note = f"the clip has no times; {rate:.10g} frames per second are assumed"
        return replace(track, times=track.frames / rate, time_unit="s", notes=(*track.notes, note))
    own = track.rate
    if own is not None and math.isclose(own, rate, rel_tol=1e-6):
        return track
    n = math.floor((track.times[-1] - track.times[0]) * rate + 1e-6) + 1
    times = track.times[0] + np.arange(n) / rate
    xy, confidence = np.full((n, 2), np.nan), np.full(n, np.nan)
    for part in _joined(track):
        t = track.times[part]
        inside = (times >= t[0] - 1e-9) & (times <= t[-1] + 1e-9)
        at = np.clip(times[inside], t[0], t[-1])
        xy[inside] = _curve(t, track.xy[part], interpolation)(at)
        confidence[inside] = np.interp(at, t, track.confidence[part])
    usual = float(np.median(np.diff(track.times))) if len(track) > 1 else 1 / rate
    note = f"resampled to {rate:.10g} Hz, {interpolation} between the true times of the frames"
    if own is not None:
        note += f" ({own:.10g} Hz)"
    if rate < 0.999 / usual:
        note += "; not low-pass filtered before"
    return replace(
        track,
        frames=np.arange(n),
        times=times,
        xy=xy,
        confidence=confidence,
        notes=(*track.notes, note),
    )


def _joined(track: Track) -> list[slice]:
    """Return the runs of rows with positions between which no frame is missing."""
    good = np.flatnonzero(~track.missing)
    if not len(good):
        return []
    apart = (np.diff(good) > 1) | (np.diff(track.frames[good]) > track.step)
    ends = np.flatnonzero(apart)
    first, last = good[np.r_[0, ends + 1]], good[np.r_[ends, len(good) - 1]]
    return [slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True)]


def _curve(
    t: FloatArray, xy: FloatArray, interpolation: Interpolation
) -> Callable[[FloatArray], FloatArray]:
    if len(t) > 2 and interpolation == "cubic":
        from scipy.interpolate import CubicSpline

        spline: Callable[[FloatArray], FloatArray] = CubicSpline(t, xy)
        return spline
    return lambda at: np.stack([np.interp(at, t, xy[:, i]) for i in (0, 1)], axis=-1)


def number(value: float) -> str:
    """Return a number as text that reads back the same."""
    return repr(float(value))


def read_text(path: Path, what: str) -> list[str]:
    """Return the lines of a text file.

    Raises
    ------
    ResultError
        If it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise ResultError("there is no such file", path=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(
            f"cannot be read as {what} ({getattr(error, 'strerror', None) or error})", path=path
        ) from error


def cell(text: str, path: Path, line: int) -> float:
    """Return a number of a text file.

    Raises
    ------
    ResultError
        If it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise ResultError(f"line {line}: {text!r} is no number", path=path) from None

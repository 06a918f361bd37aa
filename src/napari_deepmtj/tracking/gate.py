"""The quality gate: which rows of a trajectory not to trust, and why. It changes no position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.trajectory import Flag, Trajectory, join_flags
from napari_deepmtj.errors import ResultError
from napari_deepmtj.tracking.filters import SD_PER_MAD
from napari_deepmtj.tracking.series import BoolArray, Duration, FloatArray, Series, flagged

#: Width of the region, in mm, for which limits in mm hold where no scale is known: P20's crop,
#: 512 px at 6.46 px/mm. 5 mm are then 6.3 % of any region's width, as everywhere else.
WIDTH_WITHOUT_SCALE_MM = 512 / 6.46

#: Flags that the gate gives, and takes away when it runs again.
GATED = (Flag.HIGH_SD, Flag.AT_EDGE, Flag.OUTLIER, Flag.JUMP)

#: Steps of which the median says how fast the MTJ moves at the time: two on either side.
STEPS_AROUND = 5

COLUMNS = ("frame", "time_s", "flag", "value", "limit", "unit", "reason")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a row must keep to; None turns a rule off.

    Defaults are choices; `benchmarks/gate_rates.py` says how often they are right on made-up clips,
    on other subjects than those on which `mad_factor` was chosen.

    Parameters
    ----------
    min_confidence : float or None
        Lower ones are flagged LOW_CONFIDENCE. None leaves that flag as tracking set it.
    max_sd_mm : float or None
        Largest root of the covariance's trace; 5 mm is the tolerance of P20.
    max_speed_mm_s : float or None
        Fastest tissue; needs a scale and times.
    mad_factor : float or None
        A step is also too fast if its velocity differs from the median of the steps around by more
        than is usual in the clip, by so many MADs (in SDs), and it ends further than
        `least_step_mm` from where they lead.
    least_step_mm : float
        What is nearer is never called a jump by the MAD.
    max_excursion : Duration or None
        Longest time from leaving the path to being back on it that makes an outlier; what stays
        away longer is a jump. None is 0.2 s, or 5 frames without times.
    edge_mm : float or None
        Positions so near the border of the region are flagged AT_EDGE.
    """

    min_confidence: float | None = None
    max_sd_mm: float | None = 5.0
    max_speed_mm_s: float | None = 500.0
    mad_factor: float | None = 5.0
    least_step_mm: float = 2.5
    max_excursion: Duration | None = None
    edge_mm: float | None = 2.0


@dataclass(frozen=True)
class Gated:
    """A trajectory with its flags, and the table of them.

    Attributes
    ----------
    trajectory : Trajectory
        Same positions; the log's last operation is "gate".
    findings : pandas.DataFrame
        One row a flag, by frame, with `COLUMNS`: what was found, the limit, and why in words.
    notices : tuple of str
        Rules that could not be applied, and why.
    """

    trajectory: Trajectory
    findings: pd.DataFrame
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Finding:
    row: int
    flag: Flag
    reason: str
    value: float = float("nan")
    limit: float = float("nan")
    unit: str = ""


def gate(trajectory: Trajectory, limits: Limits | None = None) -> Gated:
    """Flag the rows of a trajectory that break a limit, with the reason.

    Looks at what the network said (raw), so it may run before and after smoothing. Rows that a
    person made are never flagged but for the jump that leads to them.

    Parameters
    ----------
    trajectory : Trajectory
        Any.
    limits : Limits or None
        None is `Limits()`.

    Raises
    ------
    ResultError
        If a limit makes no sense, or seconds are asked of a clip without times.
    """
    limits = Limits() if limits is None else limits
    if limits.mad_factor is not None and not limits.mad_factor > 0:
        raise ResultError(f"a factor of {limits.mad_factor} MADs is impossible; give more than 0")
    series = Series.of(trajectory, exclude=())
    mm, notices = mm_per_px(trajectory.provenance)
    found = [
        *_unseen(trajectory, series),
        *_unsure(trajectory, series, limits, mm),
        *_at_edge(trajectory, series, limits, mm),
        *_too_fast(series, limits, mm, notices),
    ]
    jumps = {f.row for f in found if f.flag is Flag.JUMP}
    found += [f for f in _cuts(trajectory) if f.row not in jumps]
    found.sort(key=lambda f: (f.row, list(Flag).index(f.flag)))
    ours = {*GATED} | ({Flag.LOW_CONFIDENCE} if limits.min_confidence is not None else set())
    flags = trajectory.table["flags"].fillna("").to_numpy(dtype=object).copy()
    now: dict[int, set[Flag]] = {}
    for f in found:
        now.setdefault(f.row, set()).add(f.flag)
    for row in range(len(series)):
        before = {Flag(name) for name in flags[row].split(";") if name}
        kept = (before - ours) | (now.get(row, set()) & ours)
        flags[row] = join_flags(flag for flag in Flag if flag in kept)
    said: dict[str, Any] = asdict(limits)
    said["max_excursion"] = str(_max_excursion(limits, series))
    counts = {flag.value: sum(f.flag is flag for f in found) for flag in Flag}
    done = trajectory.changed(
        {"flags": flags}, "gate", **said, flagged=counts, time_unit=series.unit, notices=notices
    )
    rows = [
        (
            int(series.frames[f.row]),
            float(series.t[f.row]) if series.unit == "s" else float("nan"),
            f.flag.value,
            f.value,
            f.limit,
            f.unit,
            f.reason,
        )
        for f in found
    ]
    return Gated(done, pd.DataFrame(rows, columns=list(COLUMNS)), tuple(notices))


def mm_per_px(provenance: Provenance) -> tuple[FloatArray, list[str]]:
    """Return mm a pixel along x and y, taken from the region's width where no scale is known."""
    if provenance.scale is not None:
        return np.array([provenance.scale.x_mm, provenance.scale.y_mm]), []
    width = provenance.width if provenance.roi is None else provenance.roi.width
    if not width:
        return np.full(2, np.nan), ["neither scale nor size of the picture is known"]
    mm = WIDTH_WITHOUT_SCALE_MM / width
    said = f"no scale: limits in mm hold for a region {WIDTH_WITHOUT_SCALE_MM:.1f} mm wide"
    return np.full(2, mm), [said]


def _unseen(trajectory: Trajectory, series: Series) -> Iterator[_Finding]:
    """Yield every row without a position, with how long it has been out of view."""
    unseen = ~series.measured
    edges = np.flatnonzero(np.diff(np.r_[False, unseen, False].astype(int)))
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        if first == 0:
            how = "out of view from the start"
        elif stop == len(series):
            how = "left the view and did not come back"
        else:
            how = f"left the view, back at frame {series.frames[stop]}"
        for row in range(first, stop):
            if not series.by_hand[row]:
                yield _Finding(row, Flag.NOT_IN_VIEW, f"{how} ({stop - first} rows)")


def _unsure(
    trajectory: Trajectory, series: Series, limits: Limits, mm: FloatArray
) -> Iterator[_Finding]:
    """Yield rows of low confidence or large sd, and those that tracking flagged."""
    free = ~series.by_hand & series.measured
    confidence = trajectory.table["confidence"].to_numpy(dtype=np.float64)
    least = limits.min_confidence
    if least is None:
        low: BoolArray = flagged(trajectory, [Flag.LOW_CONFIDENCE])
    else:
        low = free & (confidence < least)
    for row in np.flatnonzero(low & ~series.by_hand).tolist():
        limit, value = float("nan") if least is None else least, float(confidence[row])
        yield _Finding(row, Flag.LOW_CONFIDENCE, f"confidence {value:.2f}", value, limit)
    for row in np.flatnonzero(flagged(trajectory, [Flag.OUTSIDE_ROI]) & ~series.by_hand).tolist():
        yield _Finding(row, Flag.OUTSIDE_ROI, "outside the region")
    odd = flagged(trajectory, [Flag.UNFAMILIAR]) & ~series.by_hand
    for row in np.flatnonzero(odd).tolist():
        yield _Finding(row, Flag.UNFAMILIAR, "a picture unlike what the model is meant for")
    if limits.max_sd_mm is None or series.equal_weights:
        return
    sd = np.hypot(
        trajectory.table["sd_x_px"].to_numpy(dtype=np.float64) * mm[0],
        trajectory.table["sd_y_px"].to_numpy(dtype=np.float64) * mm[1],
    )
    for row in np.flatnonzero(free & (sd > limits.max_sd_mm)).tolist():
        value = float(sd[row])
        reason = f"standard deviation {value:.1f} mm"
        yield _Finding(row, Flag.HIGH_SD, reason, value, limits.max_sd_mm, "mm")


def _at_edge(
    trajectory: Trajectory, series: Series, limits: Limits, mm: FloatArray
) -> Iterator[_Finding]:
    """Yield rows whose position is near the border of the region."""
    said = trajectory.provenance
    if limits.edge_mm is None or not said.width:
        return
    x0, y0, w, h = (0, 0, said.width, said.height)
    if said.roi is not None:
        x0, y0, w, h = said.roi.x, said.roi.y, said.roi.width, said.roi.height
    x, y = (series.xy - [x0 - 0.5, y0 - 0.5]).T  # from the outer edge of the first pixel
    away = np.array([x * mm[0], (w - x) * mm[0], y * mm[1], (h - y) * mm[1]])
    sides = ("left", "right", "upper", "lower")
    near = (away < limits.edge_mm).any(axis=0) & ~series.by_hand
    for row in np.flatnonzero(near).tolist():
        side = int(away[:, row].argmin())
        value = float(away[side, row])
        reason = f"{max(value, 0):.1f} mm from the {sides[side]} border of the region"
        yield _Finding(row, Flag.AT_EDGE, reason, value, limits.edge_mm, "mm")


def _cuts(trajectory: Trajectory) -> Iterator[_Finding]:
    """Yield the jumps that fusion saw in the picture, wherever the MTJ is in it."""
    operations = trajectory.provenance.operations
    last = [done for done in operations if done.name in ("track", "fuse")][-1:]
    cut = np.isin(trajectory.frames, [f for op in last for f in op.arguments.get("cut_frames", ())])
    for row in np.flatnonzero(cut & flagged(trajectory, [Flag.JUMP])).tolist():
        yield _Finding(row, Flag.JUMP, "the picture changes altogether")


def _max_excursion(limits: Limits, series: Series) -> Duration:
    if limits.max_excursion is not None:
        return limits.max_excursion
    return Duration.seconds(0.2) if series.unit == "s" else Duration.frames(5)


def _too_fast(
    series: Series, limits: Limits, mm: FloatArray, notices: list[str]
) -> Iterator[_Finding]:
    """Yield outliers (away and back within `max_excursion`) and jumps (away for longer)."""
    from scipy import ndimage

    rows = np.flatnonzero(series.measured)
    excursion = _max_excursion(limits, series)
    clock = series.along(excursion.unit)
    if len(rows) < 2 or not np.isfinite(mm).all():
        return
    at, t = series.xy[rows] * mm, series.t[rows]
    unit = f"mm/{series.unit}"
    absolute = np.inf
    if limits.max_speed_mm_s is not None:
        if series.unit == "s":
            absolute = limits.max_speed_mm_s
        else:
            notices.append("no times: the limit of speed in mm/s was not applied")
    velocities = np.diff(at, axis=0) / np.diff(t)[:, None]
    around = ndimage.median_filter(velocities, size=(STEPS_AROUND, 1), mode="nearest")
    apart = np.hypot(*(velocities - around).T)
    usual = float(np.median(apart))
    spread = SD_PER_MAD * float(np.median(np.abs(apart - usual)))
    relative = np.inf if limits.mad_factor is None else usual + limits.mad_factor * spread

    def too_fast(i: int, j: int) -> tuple[bool, float, float]:
        """Return whether the way from measurement i to j is too fast, its speed, the limit."""
        way, passed = at[j] - at[i], float(t[j] - t[i])
        speed = float(np.hypot(*way)) / passed
        beside = float(np.hypot(*(way - around[i] * passed)))
        if speed <= absolute and beside > limits.least_step_mm and beside / passed > relative:
            return True, beside / passed, relative
        return speed > absolute, speed, float(absolute)

    def returned(j: int) -> int | None:
        """Return the measurement at which the path is back after leaving it at j, if in time."""
        for back in range(j + 1, len(rows)):
            if clock[rows[back]] - clock[rows[j]] > excursion.value + 1e-9:
                return None
            reverses = (at[back] - at[back - 1]) @ (at[j] - at[j - 1]) < 0
            if reverses and too_fast(back - 1, back)[0] and not too_fast(j - 1, back)[0]:
                return None if series.by_hand[rows[j:back]].any() else back
        return None

    j = 1
    while j < len(rows):
        fast, speed, limit = too_fast(j - 1, j)
        if not fast:
            j += 1
            continue
        back = returned(j)
        if back is not None:
            reason = f"{speed:.0f} {unit} away from the path, back at frame "
            reason += str(series.frames[rows[back]])
            for row in rows[j:back]:
                yield _Finding(int(row), Flag.OUTLIER, reason, speed, limit, unit)
            j = back + 1
        else:
            reason = f"{speed:.0f} {unit} since frame {series.frames[rows[j - 1]]}"
            yield _Finding(int(rows[j]), Flag.JUMP, reason, speed, limit, unit)
            j += 1

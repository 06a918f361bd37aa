"""What a table of errors comes to: P20's figures, bias, and their intervals over subjects.

Definitions follow P20: Leitner et al., EMBC 2020, doi:10.1109/EMBC44109.2020.9176145. Errors of
single frames are `metrics`, the intervals `bootstrap`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_deepmtj.evaluation.bootstrap import Interval, bootstrap, bootstrap_columns

FloatArray = npt.NDArray[np.float64]
Unit = Literal["mm", "px"]

#: Tolerance radii in mm of the share of correct frames (P20, Fig. 2B reads 1 to 10 mm).
TOLERANCES_MM: tuple[float, ...] = (1.0, 2.0, 3.0, 5.0, 10.0)
#: P20's "Valid %" counts frames within this radius in mm.
VALID_MM = 5.0
#: Radii in mm of the curve of P20's Fig. 2B.
CURVE_MM: tuple[float, ...] = tuple(round(0.1 * i, 1) for i in range(101))


@dataclass(frozen=True, slots=True)
class Bias:
    """Where positions lie, on the average, in one direction from the labels.

    Attributes
    ----------
    frames : int
        Frames that were counted.
    mean, sd : float
        Of the signed differences; pooled, n - 1.
    interval : Interval
        Of the mean, 95 % bootstrap over subjects.
    mean_absolute : float
        Mean of the differences without their sign, of all frames; that of the direction along
        the tendon needs no distal side.
    """

    frames: int
    mean: float
    sd: float
    interval: Interval
    mean_absolute: float


@dataclass(frozen=True, slots=True)
class SubjectSummary:
    """What the frames of one subject come to, in the unit of the whole.

    Attributes
    ----------
    subject, group : str
        Who, and of which group, empty where there are none.
    clips, frames, visible, missed : int
        As in `Summary`.
    mean, sd, median, valid : float
        As in `Summary`.
    """

    subject: str
    group: str
    clips: int
    frames: int
    visible: int
    missed: int
    mean: float
    sd: float
    median: float
    valid: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What a table of errors comes to. Shares are in percent, NaN where nothing was counted.

    Frames whose position was given count nowhere.

    Attributes
    ----------
    unit : str
        Unit of every length below: "mm" if all clips have a scale, else "px".
    subjects, clips, frames : int
        What was compared; `frames` are the labelled ones.
    visible, hidden : int
        Frames whose label has the MTJ in view, and whose label has not.
    missed, invented : int
        Visible ones for which no position was given, hidden ones for which one was.
    mean, sd, median, rms : float
        Of the Euclidean distances of all frames that have both positions, pooled. `mean` is
        P20's MAE; `sd` is the pooled one, n-1 (P20 prints a mean of per-batch SDs instead).
    rms_percent : float
        P20's RMSE %: root mean square of the distance as a percentage of the diagonal of the
        picture that was used (in P20, 143.1 px of 128 x 64).
    bias_x, bias_y : float
        Mean of predicted minus labelled x and y.
    within : dict
        Tolerance radius in mm -> share of the visible frames with a position inside it; a
        missed one counts as outside. Empty without millimetres.
    valid : float
        `within` at 5 mm: P20's Valid %.
    mean_interval, valid_interval, rms_percent_interval : Interval
        95 % percentile bootstrap over subjects, NaN for fewer than two.
    within_intervals : dict
        The same of `within`.
    subject_means : dict
        Subject -> mean distance.
    per_subject : tuple of SubjectSummary
        In order of their names.
    subjects_mean, subjects_sd : float
        Mean and SD (n - 1) of the subjects' mean distances: every subject weighs alike.
    along : Bias
        Along the tendon, positive proximally; signed only where the distal side is known.
    across : Bias
        At a right angle to it, positive deeper.
    """

    unit: Unit
    subjects: int
    clips: int
    frames: int
    visible: int
    hidden: int
    missed: int
    invented: int
    mean: float
    sd: float
    median: float
    rms: float
    rms_percent: float
    bias_x: float
    bias_y: float
    within: dict[float, float]
    valid: float
    mean_interval: Interval
    valid_interval: Interval
    subject_means: dict[str, float]
    per_subject: tuple[SubjectSummary, ...]
    subjects_mean: float
    subjects_sd: float
    rms_percent_interval: Interval
    within_intervals: dict[float, Interval]
    along: Bias
    across: Bias

    def to_json(self) -> dict[str, Any]:
        """Return the summary with strings for keys and None for what is NaN."""
        return {str(key): jsonable(value) for key, value in asdict(self).items()}


def unit_of(errors: pd.DataFrame) -> Unit:
    """Return "mm" if every measured distance of a table has millimetres, else "px"."""
    measured = errors["error_px"].notna()
    return "mm" if bool(errors.loc[measured, "error_mm"].notna().all()) else "px"


def summarise(errors: pd.DataFrame, unit: Unit | None = None) -> Summary:
    """Sum up a table of `metrics.compare`, of one clip or of many put together.

    Parameters
    ----------
    errors : pandas.DataFrame
        With `metrics.ERROR_COLUMNS`, of one method.
    unit : {"mm", "px"}, optional
        That of `unit_of` by default.
    """
    unit = unit or unit_of(errors)
    errors = errors[~errors["given"].to_numpy(dtype=bool)]
    visible = errors["truth_visible"].to_numpy(dtype=bool)
    in_view = errors["in_view"].to_numpy(dtype=bool)
    both, seen = errors[visible & in_view], errors[visible]
    error = both[f"error_{unit}"].to_numpy(dtype=np.float64)
    percent = both["error_percent"].to_numpy(dtype=np.float64)
    radii = TOLERANCES_MM if unit == "mm" else ()
    shares = _within(seen, radii)
    shares_between = bootstrap_columns(shares, seen["subject"])
    within = {radius: _mean(column) for radius, column in zip(radii, shares.T, strict=True)}
    intervals = {
        radius: Interval(float(low), float(high))
        for radius, (low, high) in zip(radii, shares_between, strict=True)
    }
    squares = bootstrap(percent**2, both["subject"])
    per_subject = tuple(
        _subject(str(subject), of_one, unit) for subject, of_one in errors.groupby("subject")
    )
    means = {one.subject: one.mean for one in per_subject if np.isfinite(one.mean)}
    return Summary(
        unit=unit,
        subjects=errors["subject"].nunique(),
        clips=_clips(errors),
        frames=len(errors),
        visible=int(visible.sum()),
        hidden=int((~visible).sum()),
        missed=int((visible & ~in_view).sum()),
        invented=int((~visible & in_view).sum()),
        mean=_mean(error),
        sd=_sd(error),
        median=_median(error),
        rms=float(np.sqrt(_mean(error**2))),
        rms_percent=float(np.sqrt(_mean(percent**2))),
        bias_x=_mean(both[f"dx_{unit}"].to_numpy(dtype=np.float64)),
        bias_y=_mean(both[f"dy_{unit}"].to_numpy(dtype=np.float64)),
        within=within,
        valid=within.get(VALID_MM, float("nan")),
        mean_interval=bootstrap(error, both["subject"]),
        valid_interval=intervals.get(VALID_MM, Interval()),
        subject_means=means,
        per_subject=per_subject,
        subjects_mean=_mean(np.array(list(means.values()))),
        subjects_sd=_sd(np.array(list(means.values()))),
        rms_percent_interval=Interval(float(np.sqrt(squares.low)), float(np.sqrt(squares.high))),
        within_intervals=intervals,
        along=_bias(both, f"along_{unit}", both["distal"] != ""),
        across=_bias(both, f"across_{unit}", both["distal"].notna()),
    )


def curve(errors: pd.DataFrame, radii: tuple[float, ...] = CURVE_MM) -> pd.DataFrame:
    """Return P20's Fig. 2B: the share of visible frames within growing radii.

    Returns
    -------
    pandas.DataFrame
        One row a radius: "radius_mm", "percent", and its interval over subjects "low", "high".
        A frame without a position, or without millimetres, is outside every radius.
    """
    seen = errors[errors["truth_visible"].to_numpy(bool) & ~errors["given"].to_numpy(bool)]
    shares = _within(seen, radii)
    low, high = bootstrap_columns(shares, seen["subject"]).T
    percent = shares.mean(axis=0) if len(shares) else np.full(len(radii), np.nan)
    return pd.DataFrame({"radius_mm": radii, "percent": percent, "low": low, "high": high})


def _subject(subject: str, errors: pd.DataFrame, unit: Unit) -> SubjectSummary:
    visible = errors["truth_visible"].to_numpy(dtype=bool)
    in_view = errors["in_view"].to_numpy(dtype=bool)
    error = errors.loc[visible & in_view, f"error_{unit}"].to_numpy(dtype=np.float64)
    shares = _within(errors[visible], (VALID_MM,))[:, 0] if unit == "mm" else np.empty(0)
    return SubjectSummary(
        subject=subject,
        group=", ".join(sorted({str(group) for group in errors["group"]})),
        clips=_clips(errors),
        frames=len(errors),
        visible=int(visible.sum()),
        missed=int((visible & ~in_view).sum()),
        mean=_mean(error),
        sd=_sd(error),
        median=_median(error),
        valid=_mean(shares),
    )


def _bias(both: pd.DataFrame, column: str, signed: pd.Series) -> Bias:
    """Sum up one direction; only rows whose sign is known count for the mean."""
    values = both[column].to_numpy(dtype=np.float64)
    known = signed.to_numpy(dtype=bool)
    return Bias(
        frames=int(known.sum()),
        mean=_mean(values[known]),
        sd=_sd(values[known]),
        interval=bootstrap(values[known], both.loc[known, "subject"]),
        mean_absolute=_mean(np.abs(values)),
    )


def _clips(errors: pd.DataFrame) -> int:
    return len(errors[["subject", "clip", "clip_sha256"]].drop_duplicates())


def _within(seen: pd.DataFrame, radii: tuple[float, ...]) -> FloatArray:
    """Return 100 where a position is within a radius in mm, else 0, shape (n, radii)."""
    error = seen["error_mm"].to_numpy(dtype=np.float64)[:, None]
    return np.where(error <= np.asarray(radii), 100.0, 0.0)


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _sd(values: FloatArray) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def jsonable(value: Any) -> Any:
    """Return a value as JSON has it: keys are texts, NaN is None."""
    if isinstance(value, dict):
        return {
            f"{key:g}" if isinstance(key, float) else str(key): jsonable(v)
            for key, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value

"""How far predictions lie from labels, a frame at a time and in sum. No clip is opened here.

Definitions follow P20: Leitner et al., EMBC 2020, doi:10.1109/EMBC44109.2020.9176145.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import LabelError

FloatArray = npt.NDArray[np.float64]

#: Tolerance radii in mm of the share of correct frames (P20, Fig. 2B reads 1 to 10 mm).
TOLERANCES_MM: tuple[float, ...] = (1.0, 2.0, 3.0, 5.0, 10.0)
#: P20's "Valid %" counts frames within this radius in mm.
VALID_MM = 5.0
#: Resamples of the bootstrap over subjects, its seed, and its coverage in percent.
RESAMPLES = 10_000
BOOTSTRAP_SEED = 0
COVERAGE = 95.0

#: Columns of `evaluation.csv`, in order, after which nothing else is needed for the summary.
ERROR_COLUMNS: tuple[str, ...] = (
    "subject",
    "clip",
    "clip_sha256",
    "frame",
    "time_s",
    "truth_visible",
    "in_view",
    "confidence",
    "x_true_px",
    "y_true_px",
    "x_px",
    "y_px",
    "dx_px",
    "dy_px",
    "error_px",
    "dx_mm",
    "dy_mm",
    "error_mm",
    "error_percent",
)


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, in the unit of its quantity."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What a table of errors comes to. Shares are in percent, NaN where nothing was counted.

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
    mean_interval, valid_interval : Interval
        95 % percentile bootstrap over subjects, NaN for fewer than two.
    subject_means : dict
        Subject -> mean distance.
    """

    unit: str
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

    def to_json(self) -> dict[str, Any]:
        """Return the summary with strings for keys and None for what is NaN."""
        return {str(key): _jsonable(value) for key, value in asdict(self).items()}


def distances(
    predicted_px: npt.ArrayLike, true_px: npt.ArrayLike, scale: Scale | None = None
) -> FloatArray:
    """Euclidean distances of points, shape (n, 2) as (x, y) in frame pixels.

    Returns
    -------
    ndarray, shape (n,)
        In mm, or in px without a scale; NaN where either point is.
    """
    difference = np.asarray(predicted_px, np.float64) - np.asarray(true_px, np.float64)
    if scale is not None:
        difference = scale.to_mm(difference)
    length: FloatArray = np.hypot(difference[..., 0], difference[..., 1])
    return length


def compare(trajectory: Trajectory, labels: Iterable[Label], subject: str) -> pd.DataFrame:
    """Compare a trajectory with the labels of its clip.

    Returns
    -------
    pandas.DataFrame
        One row a label, sorted by frame, with `ERROR_COLUMNS`; differences are predicted minus
        labelled and NaN unless both positions are there.

    Raises
    ------
    LabelError
        If the labels are not of this clip, a frame has two, or one was not tracked.
    """
    made_by = trajectory.provenance
    labels = sorted(labels, key=lambda label: label.frame)
    frames = [label.frame for label in labels]
    if not labels:
        raise LabelError("the clip has no labels", path=made_by.clip)
    if any(label.clip_sha256 != made_by.clip_sha256 for label in labels):
        raise LabelError(
            f"some labels belong to another file named {labels[0].clip}; its contents differ",
            path=made_by.clip,
        )
    twice = [a for a, b in pairwise(frames) if a == b]
    if twice:
        raise LabelError(
            "has labels of several annotators or rounds; keep those to compare with",
            path=made_by.clip,
            frame=twice[0],
        )
    absent = sorted(set(frames) - set(trajectory.frames.tolist()))
    if absent:
        raise LabelError("is labelled but was not tracked", path=made_by.clip, frame=absent[0])

    rows = trajectory.table.set_index("frame").loc[frames]
    predicted = rows[["x_px", "y_px"]].to_numpy(dtype=np.float64)
    true = np.array([_position(label) for label in labels])
    difference = predicted - true
    scale, roi = made_by.scale, made_by.roi
    mm = np.full_like(difference, np.nan) if scale is None else scale.to_mm(difference)
    height, width = (made_by.height, made_by.width) if roi is None else (roi.height, roi.width)
    error_px = distances(predicted, true)
    return pd.DataFrame(
        {
            "subject": subject,
            "clip": made_by.clip,
            "clip_sha256": made_by.clip_sha256,
            "frame": frames,
            "time_s": rows["time_s"].to_numpy(dtype=np.float64),
            "truth_visible": [label.visible for label in labels],
            "in_view": rows["in_view"].to_numpy(dtype=bool),
            "confidence": rows["confidence"].to_numpy(dtype=np.float64),
            "x_true_px": true[:, 0],
            "y_true_px": true[:, 1],
            "x_px": predicted[:, 0],
            "y_px": predicted[:, 1],
            "dx_px": difference[:, 0],
            "dy_px": difference[:, 1],
            "error_px": error_px,
            "dx_mm": mm[:, 0],
            "dy_mm": mm[:, 1],
            "error_mm": np.full(len(frames), np.nan)
            if scale is None
            else distances(predicted, true, scale),
            "error_percent": 100 * error_px / np.hypot(width, height),
        },
        columns=list(ERROR_COLUMNS),
    )


def summarise(errors: pd.DataFrame) -> Summary:
    """Sum up a table of `compare`, of one clip or of many put together."""
    visible = errors["truth_visible"].to_numpy(dtype=bool)
    in_view = errors["in_view"].to_numpy(dtype=bool)
    both = errors[visible & in_view]
    unit = "mm" if len(both) == 0 or both["error_mm"].notna().all() else "px"
    error = both[f"error_{unit}"].to_numpy(dtype=np.float64)
    percent = both["error_percent"].to_numpy(dtype=np.float64)
    seen = errors[visible]
    radii = TOLERANCES_MM if unit == "mm" else ()
    return Summary(
        unit=unit,
        subjects=errors["subject"].nunique(),
        clips=len(errors[["subject", "clip", "clip_sha256"]].drop_duplicates()),
        frames=len(errors),
        visible=int(visible.sum()),
        hidden=int((~visible).sum()),
        missed=int((visible & ~in_view).sum()),
        invented=int((~visible & in_view).sum()),
        mean=_mean(error),
        sd=float(np.std(error, ddof=1)) if len(error) > 1 else float("nan"),
        median=float(np.median(error)) if len(error) else float("nan"),
        rms=float(np.sqrt(_mean(error**2))),
        rms_percent=float(np.sqrt(_mean(percent**2))),
        bias_x=_mean(both[f"dx_{unit}"].to_numpy(dtype=np.float64)),
        bias_y=_mean(both[f"dy_{unit}"].to_numpy(dtype=np.float64)),
        within={radius: _share(seen, radius) for radius in radii},
        valid=_share(seen, VALID_MM) if unit == "mm" else float("nan"),
        mean_interval=bootstrap(error, both["subject"]),
        valid_interval=bootstrap(100.0 * _inside(seen, VALID_MM), seen["subject"])
        if unit == "mm"
        else Interval(float("nan"), float("nan")),
        subject_means={
            str(subject): float(mean)
            for subject, mean in both.groupby("subject")[f"error_{unit}"].mean().items()
        },
    )


def bootstrap(values: npt.ArrayLike, subjects: npt.ArrayLike) -> Interval:
    """Return the percentile interval of a pooled mean when subjects are drawn anew.

    Frames of one subject resemble each other, so whole subjects are drawn with replacement;
    each draw weighs its frames alike, as the pooled mean does. The seed is fixed: the same
    table gives the same interval.

    Parameters
    ----------
    values : array-like, shape (n,)
        One value a frame.
    subjects : array-like, shape (n,)
        Whose it is.
    """
    values = np.asarray(values, dtype=np.float64)
    names, index = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    if len(names) < 2:
        return Interval(float("nan"), float("nan"))
    sums = np.bincount(index, weights=values)
    counts = np.bincount(index)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    means = (drawn @ sums) / (drawn @ counts)
    tail = (100 - COVERAGE) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(low), float(high))


def _position(label: Label) -> tuple[float, float]:
    if label.x_px is None or label.y_px is None:
        return float("nan"), float("nan")
    return label.x_px, label.y_px


def _inside(seen: pd.DataFrame, radius: float) -> npt.NDArray[np.bool_]:
    """Which frames with a visible MTJ have a position within `radius` mm; NaN is not."""
    inside: npt.NDArray[np.bool_] = seen["error_mm"].to_numpy(dtype=np.float64) <= radius
    return inside


def _share(seen: pd.DataFrame, radius: float) -> float:
    return 100 * _mean(_inside(seen, radius).astype(np.float64))


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            f"{key:g}" if isinstance(key, float) else str(key): _jsonable(v)
            for key, v in value.items()
        }
    return None if isinstance(value, float) and not np.isfinite(value) else value

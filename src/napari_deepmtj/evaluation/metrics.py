"""How far positions lie from labels, a frame at a time. No clip is opened and nothing summed here.

Definitions follow P20: Leitner et al., EMBC 2020, doi:10.1109/EMBC44109.2020.9176145.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import LabelError
from napari_deepmtj.evaluation.axis import clip_axis
from napari_deepmtj.inference.predictor import TOLERANCE_MM, TOLERANCE_OF_WIDTH
from napari_deepmtj.mechanics.motion import Side

FloatArray = npt.NDArray[np.float64]

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
    # since schema 2
    "along_px",
    "across_px",
    "along_mm",
    "across_mm",
    "axis_from",
    "axis_degrees",
    "distal",
    "given",
    "group",
    "method",
)


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


def compare(
    trajectory: Trajectory,
    labels: Iterable[Label],
    subject: str,
    *,
    distal: Side | None = None,
    given: Collection[int] = (),
) -> pd.DataFrame:
    """Compare a trajectory with the labels of its clip.

    Parameters
    ----------
    trajectory : Trajectory
        Positions in all labelled frames, or that there is none.
    labels : iterable of Label
        One a frame.
    subject : str
        Whose clip it is.
    distal : {"left", "right"} or None
        The side of the picture on which the tendon runs to the heel.
    given : collection of int
        Frames whose position was taken from the label, as where a tracker was started.

    Returns
    -------
    pandas.DataFrame
        One row a label, sorted by frame, with `ERROR_COLUMNS`; differences are predicted minus
        labelled and NaN unless both positions are there. "group" and "method" are empty.

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
    in_px = clip_axis(true, distal, TOLERANCE_OF_WIDTH * width)
    in_mm = in_px if scale is None else clip_axis(scale.to_mm(true), distal, TOLERANCE_MM)
    along_px, across_px = in_px.project(difference).T
    along_mm, across_mm = in_mm.project(mm).T
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
            "along_px": along_px,
            "across_px": across_px,
            "along_mm": along_mm,
            "across_mm": across_mm,
            "axis_from": in_mm.source,
            "axis_degrees": in_mm.degrees,
            "distal": in_mm.distal,
            "given": np.isin(frames, list(given)),
            "group": "",
            "method": "",
        },
        columns=list(ERROR_COLUMNS),
    )


def _position(label: Label) -> tuple[float, float]:
    if label.x_px is None or label.y_px is None:
        return float("nan"), float("nan")
    return label.x_px, label.y_px

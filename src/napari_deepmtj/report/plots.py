"""Figures of a trajectory for files: matplotlib's Agg, without pyplot's state and without Qt."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import MissingExtraError
from napari_deepmtj.io.atomic import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

#: Colours that are told apart with any colour vision (Okabe and Ito 2008).
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"

#: File format -> metadata that would otherwise make the same figure differ from run to run.
_UNDATED: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


def time_plot(trajectory: Trajectory, truth: Iterable[Label] | None = None) -> Figure:
    """Draw x and y of the MTJ over time, with a band of one standard deviation.

    In mm where the trajectory has a scale, else in px; over seconds where the clip has times,
    else over frames. Frames that are not in view or were not tracked are gaps; rows a person
    made are marked.

    Parameters
    ----------
    trajectory : Trajectory
        What to draw.
    truth : iterable of Label, optional
        Labels of the same clip, drawn as a thin line.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("the time plot", "plots") from error

    scale = trajectory.provenance.scale
    unit = "px" if scale is None else "mm"
    factors = np.ones(2) if scale is None else np.array([scale.x_mm, scale.y_mm])
    table = trajectory.table
    frames = trajectory.frames
    in_seconds = len(table) > 0 and table["time_s"].notna().all()
    time = table["time_s"].to_numpy(dtype=np.float64) if in_seconds else frames.astype(float)
    sd = table[["sd_x_px", "sd_y_px"]].to_numpy(dtype=np.float64) * factors
    xy = trajectory.xy_px * factors
    by_hand = trajectory.by_hand
    labels = [label for label in truth or () if label.frame in set(frames.tolist())]
    labelled = np.array([_xy(label) for label in labels]).reshape(-1, 2) * factors
    labelled_time = time[np.searchsorted(frames, [label.frame for label in labels]).astype(int)]

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    names = ("x (to the right)", "y (downwards)")
    for axis, (ax, name) in enumerate(zip(axes, names, strict=True)):
        if labels:
            ax.plot(
                *_with_gaps(
                    labelled_time, np.array([label.frame for label in labels]), labelled[:, axis]
                ),
                color=GREEN,
                linewidth=1,
                linestyle="--",
                label="truth",
                zorder=3,
            )
        _draw_tracked(ax, time, frames, xy[:, axis], sd[:, axis])
        if by_hand.any():
            ax.plot(
                time[by_hand],
                xy[by_hand, axis],
                "o",
                color=ORANGE,
                markersize=4,
                label="by hand",
                zorder=4,
            )
        ax.set_ylabel(f"{name} [{unit}]")
        ax.grid(visible=True, alpha=0.3)
    # Pictures count rows downwards, so the upper plot's right and the lower one's down agree
    # with what is seen on the screen.
    axes[1].invert_yaxis()
    axes[1].set_xlabel("time [s]" if in_seconds else "frame")
    figure.suptitle(trajectory.provenance.clip, x=0.01, ha="left")
    handles, said = axes[0].get_legend_handles_labels()
    figure.legend(handles, said, loc="outside upper right", ncols=4, frameon=False)
    return figure


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure atomically in the format its name says: .png, .svg or .pdf."""
    path = Path(path)
    kind = path.suffix.lstrip(".").lower()
    return atomic_write(
        path,
        lambda file: figure.savefig(file, format=kind, dpi=150, metadata=_UNDATED.get(kind)),
    )


def _draw_tracked(
    ax: Axes, time: FloatArray, frames: npt.NDArray[np.int64], values: FloatArray, sd: FloatArray
) -> None:
    t, v = _with_gaps(time, frames, values)
    _, s = _with_gaps(time, frames, sd)
    ax.fill_between(t, v - s, v + s, color=BLUE, alpha=0.25, linewidth=0, label="± 1 SD")
    ax.plot(t, v, color=BLUE, linewidth=1.5, marker=".", markersize=3, label="tracked", zorder=2)


def _with_gaps(
    time: FloatArray, frames: npt.NDArray[np.int64], values: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Put NaN between frames that do not follow each other, so that no line joins them.

    A trajectory of every n-th frame is joined as usual: its own smallest step is no gap.
    """
    steps = np.diff(frames)
    if not len(steps):
        return time, values
    after = np.flatnonzero(steps > steps.min()) + 1
    return np.insert(time, after, np.nan), np.insert(values, after, np.nan)


def _xy(label: Label) -> tuple[float, float]:
    if label.x_px is None or label.y_px is None:
        return float("nan"), float("nan")
    return label.x_px, label.y_px

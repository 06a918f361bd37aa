"""Figures of trajectories for files: matplotlib's Agg, without pyplot's state and without Qt.

What is drawn is `timeline`, how is `panels`, which windows use too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import MissingExtraError
from napari_deepmtj.report.looks import GREEN, PAPER, plain
from napari_deepmtj.report.panels import TimePanels
from napari_deepmtj.report.timeline import Timeline, X, Y

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

#: Width of a figure and height of one panel, in inches.
WIDTH, PANEL = 9.0, 2.1

#: Formats that figures are written in.
FORMATS = (".png", ".svg", ".pdf")

#: File format -> metadata that would otherwise make the same figure differ from run to run.
_UNDATED: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}

#: What the picture's axes are, for those who do not see the picture.
_DIRECTIONS = {X: "x (to the right)", Y: "y (downwards)"}


def over_time(
    timelines: Sequence[Timeline],
    names: Sequence[str],
    view: tuple[float, float] | None = None,
) -> Figure:
    """Draw curves of clips over time, with gaps as gaps, marks, and a band of one SD.

    Parameters
    ----------
    timelines : sequence of Timeline
        The clips, overlaid; the first one sets the units.
    names : sequence of str
        Curves, a panel each.
    view : (float, float) or None
        First and last time that is shown; None is everything.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    panels = _drawn(timelines, names, view)
    _finish(panels, " and ".join(t.clip for t in timelines) if len(timelines) < 3 else "")
    return panels.figure


def time_plot(trajectory: Trajectory, truth: Iterable[Label] | None = None) -> Figure:
    """Draw x and y of the MTJ over time, with a band of one standard deviation.

    In mm where the trajectory has a scale, else in px; over seconds where the clip has times,
    else over frames. Frames that are not in view or were not tracked are gaps; rows that a
    person made and flagged ones are marked.

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
    timeline = Timeline.of(trajectory)
    panels = _drawn([timeline], (X, Y))
    labels = {label.frame: label for label in truth or ()}
    true = np.array([_xy(labels.get(frame)) for frame in timeline.frames.tolist()]).reshape(-1, 2)
    handles: Sequence[Artist] = ()
    if np.isfinite(true).any():
        scale = trajectory.provenance.scale
        true = true if scale is None else scale.to_mm(true)
        known = np.isin(timeline.frames, list(labels))
        style: dict[str, Any] = {"color": GREEN, "linewidth": 1, "linestyle": "--", "zorder": 3}
        for axes, values in zip(panels.axes, true.T, strict=True):
            axes.autoscale(enable=False)
            handles = axes.plot(timeline.t[known], values[known], label="truth", **style)
    _finish(panels, timeline.clip, handles)
    return panels.figure


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure atomically in the format its name says: .png, .svg or .pdf."""
    path = Path(path)
    kind = path.suffix.lstrip(".").lower()
    return atomic_write(
        path,
        lambda file: figure.savefig(file, format=kind, dpi=150, metadata=_UNDATED.get(kind)),
    )


_LEGEND: dict[str, Any] = {
    "loc": "upper right",
    "bbox_to_anchor": (0.995, 1.0),
    "ncols": 8,
    "frameon": False,
    "columnspacing": 1.2,
    "handletextpad": 0.5,
}


def _drawn(
    timelines: Sequence[Timeline],
    names: Sequence[str],
    view: tuple[float, float] | None = None,
) -> TimePanels:
    """Draw curves into a new figure, which still lacks title and legend."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("the time plot", "plots") from error

    panels = TimePanels(Figure(figsize=(WIDTH, PANEL * max(len(names), 1) + 0.8)), PAPER)
    panels.show(timelines, names)
    if view is not None:
        panels.look_at(*view)
    for axes, name in zip(panels.axes, panels.names, strict=True):
        if name in _DIRECTIONS:
            title = axes.get_title(loc="left").replace(name, _DIRECTIONS[name], 1)
            axes.set_title(title, loc="left", fontsize=PAPER.font_size, pad=3)
    return panels


def _finish(panels: TimePanels, title: str, more: Sequence[Artist] = ()) -> None:
    """Put title and legend above the panels."""
    panels.place(above=2.0)
    figure, handles = panels.figure, [*panels.legend(), *more]
    figure.suptitle(plain(title), x=0.01, y=0.99, ha="left", va="top", fontsize="medium")
    figure.legend(handles, [str(h.get_label()) for h in handles], **_LEGEND)


def _xy(label: Label | None) -> tuple[float, float]:
    if label is None or label.x_px is None or label.y_px is None:
        return float("nan"), float("nan")
    return label.x_px, label.y_px

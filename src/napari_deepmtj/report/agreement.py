"""Bland-Altman plots of two raters, into axes that are given or into a figure for files.

The figures drawn are those of `evaluation.agreement`; nothing is computed here but the means that
the points stand at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deepmtj.errors import MissingExtraError
from napari_deepmtj.evaluation.agreement import Pair
from napari_deepmtj.evaluation.reliability import Estimate
from napari_deepmtj.report.looks import BLUE, ORANGE, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLES = {"x": "x, along the picture", "y": "y, depth"}


def draw_bland_altman(axes: Axes, pair: Pair, axis: str) -> None:
    """Draw differences over means of one axis, with bias, limits and their 95 % intervals.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw; what is there already stays.
    pair : Pair
        Two raters' positions and what they come to.
    axis : {"x", "y"}
        Along the picture, or into the depth.
    """
    table, limits = pair.table, pair.limits[axis]
    means = (table[f"{axis}_first"] + table[f"{axis}_second"]) / 2
    axes.plot(
        means.to_numpy(),
        table[f"d{axis}"].to_numpy(),
        "o",
        color=BLUE,
        markersize=4,
        alpha=0.6,
        markeredgewidth=0,
        label="frames",
    )
    axes.axhline(0, color="0.6", linewidth=0.8)
    if limits.n > 1:
        _draw_level(axes, limits.bias, "bias", "-")
        _draw_level(axes, limits.upper, "upper limit", "--")
        _draw_level(axes, limits.lower, "lower limit", "--")
        axes.margins(x=0.1)
    axes.set_title(_TITLES[axis])
    axes.set_xlabel(f"mean of both [{pair.unit}]")
    axes.set_ylabel(f"{plain(pair.second)} minus {plain(pair.first)} [{pair.unit}]")


def bland_altman_figure(pair: Pair) -> Figure:
    """Return a figure of both axes of a pair, without pyplot's state and without Qt.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("the Bland-Altman plot", "plots") from error
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    for axes, axis in zip(figure.subplots(1, 2), ("x", "y"), strict=True):
        draw_bland_altman(axes, pair, axis)
    clips = pair.table["clip_sha256"].nunique()
    figure.suptitle(
        f"{plain(pair.first)} and {plain(pair.second)}: {len(pair.table)} frames of {clips} "
        f"{'clip' if clips == 1 else 'clips'}; bias and 95 % limits of agreement, with their "
        "95 % intervals",
        x=0.01,
        ha="left",
        fontsize="medium",
    )
    return figure


def _draw_level(axes: Axes, level: Estimate, name: str, style: str) -> None:
    axes.axhspan(level.low, level.high, color=ORANGE, alpha=0.15, linewidth=0)
    axes.axhline(level.value, color=ORANGE, linewidth=1.2, linestyle=style, label=name)
    axes.annotate(
        f"{level.value:.2f}",
        (1, level.value),
        xycoords=("axes fraction", "data"),
        xytext=(-3, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize="small",
    )

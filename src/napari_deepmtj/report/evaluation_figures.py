"""Figures of an evaluation: P20's Fig. 2B, errors by subject, direction and time since the start.

Pictures of frames are `evaluation_pictures`. Nothing is computed here that `evaluation` does not
hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deepmtj.evaluation.comparison import Comparison, drift
from napari_deepmtj.evaluation.literature import FIG_2B
from napari_deepmtj.evaluation.summary import VALID_MM, curve
from napari_deepmtj.report.looks import AMBER, BLUE, GREEN, ORANGE, PURPLE, SKY
from napari_deepmtj.report.page import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours of the methods in turn, and shapes beside them.
COLOURS = (BLUE, AMBER, PURPLE, SKY, ORANGE, "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
#: Of the labels, and of the published values.
TRUTH_COLOUR, PUBLISHED_COLOUR = GREEN, "#555555"

#: Points of a cloud, at most for each method, spread over all.
MOST_POINTS = 3000


def style(index: int) -> tuple[str, str]:
    """Return colour and marker of the method at a place of the comparison."""
    return COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]


def curve_figure(comparison: Comparison) -> Figure:
    """Draw the share of frames within growing radii, with P20's values read off by eye."""
    figure = new_figure(7.2, 4.4)
    axes = figure.subplots()
    for index, one in enumerate(comparison.evaluations):
        colour, _ = style(index)
        table = curve(one.errors)
        radius = table["radius_mm"].to_numpy()
        axes.plot(radius, table["percent"].to_numpy(), color=colour, label=plain(one.name))
        axes.fill_between(
            radius,
            table["low"].to_numpy(),
            table["high"].to_numpy(),
            color=colour,
            alpha=0.12,
            linewidth=0,
        )
    radii, shares = zip(*FIG_2B, strict=True)
    axes.plot(
        radii,
        shares,
        "o",
        markerfacecolor="none",
        color=PUBLISHED_COLOUR,
        label="P20, VGG-Attention-3, real images\n(Fig. 2B, read by eye)",
    )
    axes.axvline(VALID_MM, color="0.6", linewidth=0.8, linestyle=":")
    axes.annotate(
        "5 mm", (VALID_MM, 2), xytext=(4, 0), textcoords="offset points", color="0.4", fontsize=9
    )
    axes.set_xlim(0, 10.2)
    axes.set_ylim(0, 101)
    axes.set_xlabel("tolerance radius [mm]")
    axes.set_ylabel("frames within [%]")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower right", fontsize=9)
    return figure


def subjects_figure(comparison: Comparison) -> Figure:
    """Draw each subject's mean error, joined over the methods, and the mean of the subjects."""
    unit = comparison.unit
    names = [one.name for one in comparison.evaluations]
    figure = new_figure(max(4.0, 1.5 * len(names) + 1.5), 4.0)
    axes = figure.subplots()
    means = [one.summary.subject_means for one in comparison.evaluations]
    subjects = sorted(set().union(*means))
    spread = np.linspace(-0.12, 0.12, len(subjects)) if len(subjects) > 1 else np.zeros(1)
    for subject, offset in zip(subjects, spread, strict=False):
        line = [of_method.get(subject, np.nan) for of_method in means]
        axes.plot(np.arange(len(names)) + offset, line, color="0.75", linewidth=0.7, zorder=1)
    for index, (one, of_method) in enumerate(zip(comparison.evaluations, means, strict=True)):
        colour, marker = style(index)
        y = [of_method.get(subject, np.nan) for subject in subjects]
        axes.plot(index + spread[: len(y)], y, marker, color=colour, markersize=4, zorder=2)
        axes.plot([index - 0.25, index + 0.25], [one.summary.subjects_mean] * 2, color="black")
    axes.set_xticks(range(len(names)), [plain(name) for name in names], rotation=15)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"mean error of a subject [{unit}]")
    axes.grid(visible=True, axis="y", alpha=0.3)
    return figure


def direction_figure(comparison: Comparison) -> Figure:
    """Draw where positions lie from the label, along and across the tendon, a panel a method."""
    unit = comparison.unit
    found = comparison.evaluations
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure = new_figure(3.2 * columns + 0.6, 3.3 * rows)
    panels = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False))
    sizes = []
    for index, (one, axes) in enumerate(zip(found, panels.flat, strict=False)):
        colour, _ = style(index)
        errors = one.errors[
            (one.errors["distal"] != "") & ~one.errors["given"].to_numpy(dtype=bool)
        ]
        points = errors[[f"along_{unit}", f"across_{unit}"]].dropna().to_numpy(dtype=np.float64)
        sizes.extend(np.abs(points).max(axis=1).tolist())
        points = points[:: max(1, -(-len(points) // MOST_POINTS))]
        axes.plot(
            *points.T, ".", color=colour, markersize=2.5, alpha=0.5, rasterized=True, zorder=2
        )
        axes.axhline(0, color="0.7", linewidth=0.7)
        axes.axvline(0, color="0.7", linewidth=0.7)
        if unit == "mm":
            angle = np.linspace(0, 2 * np.pi, 100)
            axes.plot(VALID_MM * np.cos(angle), VALID_MM * np.sin(angle), color=TRUTH_COLOUR)
        bias = one.summary.along.mean, one.summary.across.mean
        axes.plot(*([value] for value in bias), "+", color="black", markersize=12, zorder=3)
        axes.set_title(plain(one.name), fontsize=10)
        axes.set_aspect("equal")
    for axes in list(panels.flat)[len(found) :]:
        axes.set_axis_off()
    limit = max(1.4 * VALID_MM if unit == "mm" else 1.0, float(np.percentile(sizes or [1.0], 98)))
    panels.flat[0].locator_params(nbins=5)
    panels.flat[0].set_xlim(-limit, limit)
    panels.flat[0].set_ylim(limit, -limit)  # deeper is down, as in the picture
    figure.supxlabel(f"along the tendon, proximal is positive [{unit}]", fontsize=10)
    figure.supylabel(f"across, deeper is positive [{unit}]", fontsize=10)
    return figure


def drift_figure(comparison: Comparison) -> Figure:
    """Draw the median error over the time since each clip's first visible label."""
    table = drift(comparison)
    figure = new_figure(8.6, 3.6)
    axes = figure.subplots()
    for index, one in enumerate(comparison.evaluations):
        colour, marker = style(index)
        mine = table[table["method"] == one.name]
        axes.plot(
            mine["elapsed"].to_numpy(),
            mine["median"].to_numpy(),
            marker=marker,
            color=colour,
            markersize=4,
            label=plain(one.name),
        )
    unit = str(table["unit"].iloc[0]) if len(table) else "s"
    axes.set_xlabel(f"since the first label of the clip [{unit}]")
    axes.set_ylabel(f"median error [{comparison.unit}]")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=9, frameon=False)
    return figure


def plain(name: str) -> str:
    """Return a name that matplotlib does not take for mathematics."""
    return name.replace("$", r"\$")

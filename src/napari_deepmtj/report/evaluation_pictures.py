"""Frames of an evaluation as pictures: label, tolerance ring, positions, and attention over it.

Which frames, and what lies where, is `evaluation.gallery`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deepmtj.evaluation.gallery import Attention, Picture
from napari_deepmtj.report.evaluation_figures import TRUTH_COLOUR, plain, style
from napari_deepmtj.report.page import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Length of the scale bar in mm.
BAR_MM = 10.0
#: Width in inches of a frame, and of one in the gallery.
WIDTH, SMALL_WIDTH = 8.0, 4.0
#: How far attention hides the picture where it is strongest.
OPACITY = 0.65


def example_figure(picture: Picture) -> Figure:
    """Draw one frame with the label, its 5 mm ring, and every method's position (P20, Fig. 2A)."""
    height, width = picture.grey.shape
    figure = new_figure(WIDTH, WIDTH * height / width * _aspect(picture) + 0.5)
    axes = figure.subplots()
    _draw_frame(axes, picture)
    _draw_truth(axes, picture, 1.5)
    for index, (name, point) in enumerate(picture.marks.points.items()):
        if point is not None:
            colour, marker = style(index)
            error = picture.marks.errors[name]
            said = "" if np.isnan(error) else f", {error:.1f} {picture.marks.unit}"
            axes.plot(
                *([value] for value in point),
                marker,
                color=colour,
                markersize=7,
                markeredgecolor="black",
                markeredgewidth=0.6,
                linestyle="none",
                label=f"{plain(name)}{said}",
            )
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def worst_figure(picture: Picture, name: str) -> Figure:
    """Draw one frame twice: with the label and one method's position, and under its attention."""
    height, width = picture.grey.shape
    panels = 1 if picture.attention is None else 2
    tall = SMALL_WIDTH * height / width * _aspect(picture)
    figure = new_figure(SMALL_WIDTH, panels * (tall + 0.04))
    index = list(picture.marks.points).index(name)
    point = picture.marks.points[name]
    for axes in figure.subplots(panels, 1, squeeze=False).flat:
        _draw_frame(axes, picture)
        _draw_truth(axes, picture, 1.0)
        if point is not None:
            colour, _ = style(index)
            axes.plot(*([v] for v in point), "x", color=colour, markersize=8, markeredgewidth=2)
    if picture.attention is not None:
        _draw_attention(figure.axes[1], picture.attention)
    return figure


def _draw_frame(axes: Axes, picture: Picture) -> None:
    """Draw the region in frame pixels, pixel centres at integers, with a scale bar."""
    roi, scale = picture.marks.clip.roi, picture.marks.clip.scale
    left, top = roi.x - 0.5, roi.y - 0.5
    right, bottom = left + roi.width, top + roi.height
    axes.imshow(
        picture.grey,
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=(left, right, bottom, top),
        interpolation="antialiased",
    )
    axes.set_aspect(_aspect(picture))
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_axis_off()
    if scale is not None:
        length = BAR_MM / scale.x_mm
        x, y = left + 0.03 * roi.width, bottom - 0.05 * roi.height
        axes.plot([x, x + length], [y, y], color="white", linewidth=2.5, solid_capstyle="butt")
        axes.annotate(
            f"{BAR_MM:g} mm",
            (x, y),
            xytext=(0, 3),
            textcoords="offset points",
            color="white",
            fontsize=7,
        )


def _draw_truth(axes: Axes, picture: Picture, width: float) -> None:
    from matplotlib.patches import Ellipse

    label, ring = picture.marks.label, picture.marks.ring_px
    if label is None:
        return
    axes.plot(
        *([value] for value in label),
        "+",
        color=TRUTH_COLOUR,
        markersize=11,
        markeredgewidth=1.5 * width,
        linestyle="none",
        label="label" if ring is None else "label, 5 mm ring",
    )
    if ring is not None:
        across, down = ring
        axes.add_patch(
            Ellipse(
                label, 2 * across, 2 * down, fill=False, edgecolor=TRUTH_COLOUR, linewidth=width
            )
        )


def _draw_attention(axes: Axes, attention: Attention) -> None:
    """Draw the map where its pixels lie, as opaque as they are strong; its maximum is 1."""
    values = attention.values / max(float(attention.values.max()), 1e-12)
    (step_y, step_x), (y, x) = attention.step, attention.origin
    height, width = values.shape
    limits, aspect = (axes.get_xlim(), axes.get_ylim()), axes.get_aspect()
    axes.imshow(
        values,
        cmap="inferno",
        vmin=0,
        vmax=1,
        alpha=OPACITY * np.sqrt(values),
        extent=(
            x - step_x / 2,
            x + (width - 0.5) * step_x,
            y + (height - 0.5) * step_y,
            y - step_y / 2,
        ),
        interpolation="bilinear",
    )
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    axes.set_aspect(aspect)  # imshow makes its pixels square


def _aspect(picture: Picture) -> float:
    """How much taller than wide a pixel is in millimetres."""
    scale = picture.marks.clip.scale
    return 1.0 if scale is None else scale.y_mm / scale.x_mm

"""The layers of annotation: labels and proposals as points, the clip with local contrast.

What a mark is, is `annotation.marks`; the layers of clips and trajectories are `convert`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_deepmtj._napari.layers import styles
from napari_deepmtj._napari.layers.convert import Kind, LayerTuple, ours, stamp, widened
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj.annotation.marks import Mark, Role
from napari_deepmtj.core.trajectory import Origin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deepmtj._napari.viewer.session import Session
    from napari_deepmtj.core.labels import Label

FloatArray = npt.NDArray[np.float64]

#: How much nearer than the whole picture the zoom to a label is.
NEARER = 4.0

#: Columns of a label layer's features.
FEATURES = ("frame", "role", "origin", "annotator", "round", "confidence", "text")


def points_of(marks: Sequence[Mark], ndim: int = 3) -> tuple[FloatArray, dict[str, Any]]:
    """Return what a Points layer shows of marks: coordinates and per-point looks.

    Returns
    -------
    data : ndarray, shape (n, ndim)
        (frame, ..., y_px, x_px).
    arguments : dict
        `features`, `border_color` and `symbol` of the points.
    """
    data = np.array([(m.frame, m.y_px, m.x_px) for m in marks], np.float64).reshape(-1, 3)
    columns: dict[str, list[Any]] = {
        "frame": [m.frame for m in marks],
        "role": [m.role.value for m in marks],
        "origin": [m.origin.value for m in marks],
        "annotator": [m.who for m in marks],
        "round": [m.round or 0 for m in marks],
        "confidence": [np.nan if m.confidence is None else m.confidence for m in marks],
        "text": _lines_of(marks),
    }
    return widened(data, ndim), {
        "features": pd.DataFrame(columns, columns=list(FEATURES)),
        "border_color": colours_of(marks),
        "symbol": np.array([styles.POINTS.symbol(m.origin) for m in marks], dtype=object),
    }


def _lines_of(marks: Sequence[Mark]) -> list[str]:
    """Return the texts of marks, each below those of the same frame that come after it."""
    lines: list[str] = []
    below: Counter[int] = Counter()
    for mark in reversed(marks):
        lines.insert(0, below[mark.frame] * "\n" + styles.LABELS.text_gap + mark.text)
        below[mark.frame] += 1
    return lines


def colours_of(marks: Sequence[Mark]) -> FloatArray:
    """Return the RGBA colours of marks, shape (n, 4)."""
    style = styles.LABELS
    sure = [np.nan if m.confidence is None else m.confidence for m in marks]
    colours = styles.POINTS.border_color(np.array(sure, dtype=np.float64))
    for row, mark in enumerate(marks):
        if mark.role is Role.OTHER:
            colours[row] = styles.rgba(style.other)
        elif mark.role is Role.OWN:
            corrected = mark.origin is Origin.CORRECTED
            colours[row] = styles.rgba(style.corrected if corrected else style.own)
        elif mark.confidence is None:
            colours[row] = styles.rgba(style.reviewed)
    return colours


def layer_of_labels(
    marks: Sequence[Mark], name: str, placement: Placement, clip: str
) -> LayerTuple:
    """Return the Points layer of a clip's labels; the marks are in its metadata, row by row."""
    data, looks = points_of(marks, placement.ndim)
    style = styles.LABELS
    arguments = {
        "name": f"labels {name}",
        "ndim": placement.ndim,
        "metadata": stamp(Kind.LABELS, clip, marks=tuple(marks)),
        "text": {
            "string": "{text}",
            "size": style.text_size,
            "color": style.own,
            "anchor": "lower_left",
        },
        "face_color": styles.POINTS.face_color,
        "size": style.size,
        "border_width": style.border_width,
        "canvas_size_limits": style.canvas_size_limits,
        **placement.arguments(),
        **looks,
    }
    if not len(data):  # napari takes no per-point looks of no points
        arguments |= {"border_color": style.own, "symbol": "square"}
    return data, arguments, "points"


def show_labels(layer: Any, marks: Sequence[Mark]) -> None:
    """Bring a label layer up to date, slicing it once.

    Its own events are held back, also the one that tells of edits: this is none. napari slices a
    layer at every change unless it is invisible.
    """
    data, looks = points_of(marks, layer.ndim)
    if marks_of(layer) == tuple(marks) and np.array_equal(layer.data, data):
        return
    layer.metadata = layer.metadata | stamp(Kind.LABELS, ours(layer)["clip"], marks=tuple(marks))
    layer.selected_data = set()
    visible = layer.visible
    with layer.events.blocker_all(), layer.text.events.blocker_all():
        layer.visible = False
        layer.data = data
        layer.features = looks["features"]
        if len(data):
            layer.border_color = looks["border_color"]
            layer.symbol = looks["symbol"]
        layer.visible = visible
    layer.refresh(thumbnail=False, extent=False)


def marks_of(layer: Any) -> tuple[Mark, ...]:
    """Return the marks that a label layer shows, row by row."""
    return tuple(ours(layer).get("marks", ()))


def layer_of_contrast(source: Any, name: str, placement: Placement, clip: str) -> LayerTuple:
    """Return the Image layer of a clip with local contrast, over the clip itself."""
    from napari_deepmtj.annotation.contrast import ContrastSource
    from napari_deepmtj.video.frames import LazyFrames

    arguments = {
        "name": f"contrast {name}",
        "contrast_limits": (0, 255),
        "rgb": False,
        "colormap": "gray",
        "metadata": stamp(Kind.CONTRAST, clip),
        **placement.arguments(),
    }
    return LazyFrames(ContrastSource(source)), arguments, "image"


def show_drag(layer: Any, row: int, position: Any) -> None:
    """Show a point where it is dragged to; the label is written when it is let go."""
    data = layer.data.copy()
    data[row, -2:] = layer.world_to_data(position)[-2:]
    with layer.events.blocker_all():
        layer.data = data
    layer.refresh()


def bring_near(session: Session, clip: Any, label: Label) -> None:
    """Centre the view on a visible label, and zoom in on it."""
    session.look_at(clip)
    camera = session.viewer.scene.camera
    *_, y, x = clip.data_to_world((*(0,) * (clip.ndim - 2), label.y_px, label.x_px))
    camera.center = (*camera.center[:-2], y, x)
    camera.zoom *= NEARER

"""What is drawn over a clip: its region, calibration lines, and the ticks of its ruler.

Layers of it have two axes, (y, x), and are seen in every frame; metadata are as in `convert`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj._napari.layers import styles
from napari_deepmtj._napari.layers.convert import Kind, LayerTuple, ours, stamp
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.errors import CalibrationError

FloatArray = npt.NDArray[np.float64]

#: The two ends of a line as (x, y).
Line = tuple[tuple[float, float], tuple[float, float]]


def rectangle_of(roi: Roi) -> FloatArray:
    """Return the corners of a region, shape (4, 2) as (y, x), on the outer edges of its pixels."""
    top, left = roi.y - 0.5, roi.x - 0.5
    bottom, right = top + roi.height, left + roi.width
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])


def roi_of(corners: npt.ArrayLike, height: int, width: int) -> Roi:
    """Return the pixels of the picture whose centres lie in a drawn rectangle.

    Parameters
    ----------
    corners : array-like, shape (n, 2 or 3)
        Corners as (..., y, x) in frame pixels.
    height, width : int
        Size of the picture; what was drawn beyond it is cut off.

    Raises
    ------
    CalibrationError
        If no pixel is left.
    """
    points = np.asarray(corners, dtype=np.float64)[:, -2:]
    top, left = np.maximum(np.ceil(points.min(axis=0) - 1e-6), 0).astype(int).tolist()
    limit = np.array([height, width]) - 1
    bottom, right = np.minimum(np.floor(points.max(axis=0) + 1e-6), limit).astype(int).tolist()
    if bottom < top or right < left:
        raise CalibrationError("the rectangle lies outside the picture; draw it over the picture")
    return Roi(left, top, right - left + 1, bottom - top + 1, "drawn")


def layer_of_roi(roi: Roi, name: str, placement: Placement, clip: str) -> LayerTuple:
    """Return a Shapes layer with one editable rectangle, shown in every frame."""
    arguments = {
        "name": f"region {name}",
        "shape_type": "rectangle",
        "metadata": stamp(Kind.REGION, clip, roi=asdict(roi)),
        **asdict(styles.ROI),
        **placement.arguments(2),
    }
    return [rectangle_of(roi)], arguments, "shapes"


def layer_of_ruler(name: str, placement: Placement, clip: str) -> LayerTuple:
    """Return an empty Shapes layer to draw calibration lines in, shown in every frame."""
    arguments = {
        "name": f"ruler {name}",
        "ndim": 2,
        "metadata": stamp(Kind.RULER, clip),
        **asdict(styles.RULER),
        **placement.arguments(2),
    }
    return None, arguments, "shapes"


def layer_of_ticks(xy_px: FloatArray, name: str, placement: Placement, clip: str) -> LayerTuple:
    """Return a Points layer of the ticks of a ruler, (x, y) of shape (n, 2), in every frame."""
    arguments = {
        "name": f"ticks {name}",
        "metadata": stamp(Kind.TICKS, clip),
        **asdict(styles.TICKS),
        **placement.arguments(2),
    }
    return xy_px[:, ::-1].copy(), arguments, "points"


def region_of(shapes: Any, placement: Placement, height: int, width: int) -> Roi:
    """Return the region of a clip that the selected (else the first) drawn shape covers.

    napari gives a new layer a placement of its own, so the two may have different pixels. A
    rectangle of ours that nobody has changed still is the region that it was made from.

    Parameters
    ----------
    shapes : Shapes
        The layer that it is drawn in.
    placement : Placement
        That of the clip.
    height, width : int
        Size of its picture.

    Raises
    ------
    CalibrationError
        If nothing is drawn, or nothing over the picture.
    """
    if not len(shapes.data):
        raise CalibrationError(f"nothing is drawn in {shapes.name}; draw a rectangle in it")
    corners = shapes.data[min(shapes.selected_data, default=0)]
    drawn = roi_of(Placement.of_layer(shapes).into(placement, corners), height, width)
    made = ours(shapes).get("roi")
    unchanged = made is not None and str(Roi(**made)) == str(drawn)
    return Roi(**made) if made is not None and unchanged else drawn


def show_roi(shapes: Any, roi: Roi, placement: Placement) -> None:
    """Make a region the only shape of an existing layer, in its own units."""
    shapes.metadata = shapes.metadata | stamp(Kind.REGION, ours(shapes)["clip"], roi=asdict(roi))
    corners = placement.into(Placement.of_layer(shapes), rectangle_of(roi))
    shapes.selected_data = set()
    shapes.data = [(corners, "rectangle")]


def lines_of(shapes: Any, placement: Placement, n: int) -> tuple[Line, ...]:
    """Return the last `n` drawn lines in the order of drawing, fewer if there are fewer.

    Returns
    -------
    tuple of Line
        In pixels of the clip placed so.
    """
    own = Placement.of_layer(shapes)
    ends = (own.into(placement, line[[0, -1]]).tolist() for line in shapes.data[-n:])
    return tuple(((x0, y0), (x1, y1)) for (y0, x0), (y1, x1) in ends)

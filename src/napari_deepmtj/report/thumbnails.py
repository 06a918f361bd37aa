"""A frame made small: the region with the MTJ and its ellipse, as a JPEG for a page of many."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.trajectory import BY_HAND, Trajectory
from napari_deepmtj.report.video import BY_HAND_COLOUR, MTJ_COLOUR, ellipse

#: Pixels across, and quality of the JPEG: about 12 kB a picture.
WIDTH, QUALITY = 360, 72
#: Half the length of the cross's arms, px of the thumbnail.
ARM = 7


def thumbnail(trajectory: Trajectory, frame: int, grey: npt.NDArray[np.uint8]) -> bytes:
    """Return the region of a frame as a small JPEG, with what was found drawn on it.

    Pixels that are not square are drawn at their true shape. The ellipse is that of annotated
    videos, `report.video.ELLIPSE_SD` standard deviations.

    Parameters
    ----------
    trajectory : Trajectory
        That has a row of the frame.
    frame : int
        Its number.
    grey : ndarray of uint8, shape (H, W)
        The whole frame.
    """
    from PIL import Image, ImageDraw

    roi, scale = trajectory.provenance.roi, trajectory.provenance.scale
    height, width = grey.shape
    x, y, w, h = (0, 0, width, height) if roi is None else (roi.x, roi.y, roi.width, roi.height)
    zoom = WIDTH / w
    down = zoom if scale is None else zoom * scale.y_mm / scale.x_mm
    size = WIDTH, max(1, round(h * down))
    image = Image.fromarray(grey[y : y + h, x : x + w]).resize(size, Image.Resampling.BOX)
    image = image.convert("RGB")
    row: dict[Any, Any] = trajectory.table[trajectory.frames == frame].to_dict("records")[0]
    if np.isfinite(row["x_px"]):
        on = ImageDraw.Draw(image)
        colour = BY_HAND_COLOUR if row["origin"] in BY_HAND else MTJ_COLOUR

        def at(points: npt.ArrayLike) -> npt.NDArray[np.float64]:
            drawn: npt.NDArray[np.float64] = (np.asarray(points) - [x, y] + 0.5) * [zoom, down]
            return drawn - 0.5

        outline = ellipse(row)
        if outline is not None:
            corners = [(float(a), float(b)) for a, b in at(outline)]
            on.line([*corners, corners[0]], fill=colour, width=1)
        a, b = (float(v) for v in at([row["x_px"], row["y_px"]]))
        on.line([(a - ARM, b), (a + ARM, b)], fill=colour, width=2)
        on.line([(a, b - ARM), (a, b + ARM)], fill=colour, width=2)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()

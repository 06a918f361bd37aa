"""The tendon's axis in a clip, from its labels: what bias along and across the tendon refer to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import ResultError
from napari_deepmtj.mechanics.motion import Side, tendon_axis

FloatArray = npt.NDArray[np.float64]

#: Labels of whose variance a smaller share lies along a line do not say how the tendon runs (this
#: project's choice).
LEAST_LINEARITY = 0.9


@dataclass(frozen=True, slots=True)
class ClipAxis:
    """Two directions at right angles in the picture of one clip.

    Attributes
    ----------
    along : ndarray, shape (2,)
        Unit vector (x, y) along the tendon, y down: proximal where the distal side is known,
        else to the left of the picture.
    across : ndarray, shape (2,)
        Unit vector at a right angle to it that points deeper.
    source : {"labels", "horizontal"}
        Whether the labelled positions gave it, or it is the picture's x for want of movement.
    distal : {"left", "right", ""}
        The distal side of the picture; empty if nobody said.
    """

    along: FloatArray
    across: FloatArray
    source: Literal["labels", "horizontal"]
    distal: Literal["left", "right", ""]

    @property
    def degrees(self) -> float:
        """Angle of the axis to the picture's x, positive where its right end lies deeper."""
        x, y = self.along
        return float(np.rad2deg(np.arctan(y / x)))

    def project(self, difference: npt.ArrayLike) -> FloatArray:
        """Return (along, across) of differences (x, y), both of shape (n, 2), in their unit."""
        found: FloatArray = np.asarray(difference, dtype=np.float64) @ np.stack(
            [self.along, self.across], axis=1
        )
        return found


def clip_axis(labelled: npt.ArrayLike, distal: Side | None, least_travel: float) -> ClipAxis:
    """Return the axis of a clip.

    Parameters
    ----------
    labelled : array-like, shape (n, 2)
        Labelled positions (x, y), in mm or px; NaN where not visible.
    distal : {"left", "right"} or None
        The side of the picture on which the tendon runs to the heel.
    least_travel : float
        In the unit of `labelled`; positions that move less along their own axis, or that stray
        further from it than `LEAST_LINEARITY` allows, give way to the horizontal.
    """
    points = np.asarray(labelled, dtype=np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    assumed: Side = distal or "right"
    along = np.array([1.0 if assumed == "left" else -1.0, 0.0])
    source: Literal["labels", "horizontal"] = "horizontal"
    try:
        found = tendon_axis(points, assumed)
    except ResultError:  # straight up and down: no tendon of the calf runs so
        pass
    else:
        moved = len(points) > 1 and float(np.ptp(points @ found.direction)) >= least_travel
        if moved and found.linearity >= LEAST_LINEARITY:
            along, source = found.direction, "labels"
    across = np.array([-along[1], along[0]])
    return ClipAxis(along, across * np.sign(across[1]), source, distal or "")

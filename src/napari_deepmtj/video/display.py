"""How a video asks to be shown: turned, with pixels that are not square, woven from two fields.

Decides from a decoded frame and what its container says; decodes nothing and opens nothing.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Roi

if TYPE_CHECKING:
    import av

UInt8Array = npt.NDArray[np.uint8]

#: A display matrix whose small entries are below this part of the large ones turns by a right
#: angle; a stored number is exact to 1/65536.
_NEARLY_ZERO = 1e-3

#: `AVFieldOrder` of FFmpeg: values from here on are interlaced, in one order or another.
_INTERLACED = 2


@dataclass(frozen=True, slots=True)
class Orientation:
    """How the stored picture becomes the shown one: rows and columns swapped, then mirrored.

    Parameters
    ----------
    swapped : bool
        Stored rows are shown as columns.
    mirror_x, mirror_y : bool
        The columns (rows) of the shown picture run against those they come from.
    """

    swapped: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of_matrix(cls, matrix: bytes) -> Self | None:
        """Return the orientation that a display matrix asks for.

        Parameters
        ----------
        matrix : bytes
            Nine numbers as in FFmpeg's `AV_FRAME_DATA_DISPLAYMATRIX`: the stored point (p, q) is
            shown at (a p + c q + x, b p + d q + y) for a, b, u, c, d, v, x, y, w.

        Returns
        -------
        Orientation or None
            None if it turns by another angle than a right one.
        """
        a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
        small = _NEARLY_ZERO * max(abs(a), abs(b), abs(c), abs(d))
        if a and d and max(abs(b), abs(c)) <= small:
            return cls(False, a < 0, d < 0)
        if b and c and max(abs(a), abs(d)) <= small:
            return cls(True, c < 0, b < 0)
        return None

    @property
    def rotation_deg(self) -> int:
        """Clockwise turn from the stored to the shown picture: 0, 90, 180 or 270."""
        if self.swapped:
            return 90 if self.mirror_x else 270
        return 180 if self.mirror_y else 0

    @property
    def mirrored(self) -> bool:
        """Whether the picture is left-right reversed before it is turned."""
        return (self.swapped + self.mirror_x + self.mirror_y) % 2 == 1

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width as shown of a stored picture, or the other way round."""
        return (width, height) if self.swapped else (height, width)

    def stored(self, roi: Roi, height: int, width: int) -> Roi:
        """Return the stored region that is shown as `roi` of a shown `height` x `width` picture."""
        x = width - roi.x - roi.width if self.mirror_x else roi.x
        y = height - roi.y - roi.height if self.mirror_y else roi.y
        if self.swapped:
            return Roi(y, x, roi.height, roi.width, roi.source)
        return Roi(x, y, roi.width, roi.height, roi.source)

    def show(self, picture: UInt8Array) -> UInt8Array:
        """Return a stored picture, shape (H, W), as it is shown; contiguous."""
        turned = picture.T if self.swapped else picture
        return np.ascontiguousarray(
            turned[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]
        )


#: The picture as it is stored.
AS_STORED = Orientation()

#: The pictures that are turned, by how many degrees clockwise.
_TURNED = {
    0: AS_STORED,
    90: Orientation(True, mirror_x=True),
    180: Orientation(False, mirror_x=True, mirror_y=True),
    270: Orientation(True, mirror_y=True),
}


def _orientation(frame: av.VideoFrame) -> Orientation | None:
    """Return how a frame is to be shown, None if crooked."""
    try:
        matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV 18 cannot list what comes with a frame if it does not know all of it (Exif); its own
        # reading of the turn, anticlockwise, does not need the list.
        return _TURNED.get(-frame.rotation % 360)
    return AS_STORED if matrix is None else Orientation.of_matrix(bytes(matrix))


@dataclass(frozen=True, slots=True)
class Display:
    """What a file says of how it is to be shown.

    Parameters
    ----------
    orientation : Orientation
        What is done to every frame; nothing where the file asks for a crooked angle.
    crooked : bool
        The file asks for a turn that is no multiple of a right angle, which is not done.
    aspect : Fraction or None
        Width of a shown pixel over its height; None if the file does not say.
    interlaced : bool
        Odd and even rows are two fields, taken one after the other.
    """

    orientation: Orientation = AS_STORED
    crooked: bool = False
    aspect: Fraction | None = None
    interlaced: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame, aspect: Fraction | None, field_order: int) -> Self:
        """Return what a decoded frame and its stream ask for.

        Parameters
        ----------
        frame : av.VideoFrame
            The first frame; what the container says of turning comes with it.
        aspect : Fraction or None
            Sample aspect ratio of the stream; 0 where it does not say.
        field_order : int
            FFmpeg's `AVFieldOrder` of the stream.
        """
        orientation = _orientation(frame)
        aspect = aspect or None
        if aspect is not None and orientation is not None and orientation.swapped:
            aspect = 1 / aspect
        interlaced = bool(frame.interlaced_frame) or field_order >= _INTERLACED
        return cls(orientation or AS_STORED, orientation is None, aspect, interlaced)

    @property
    def facts(self) -> dict[str, Any]:
        """JSON-able facts for the metadata of a source.

        `pixel_aspect` is the width of a pixel over its height, 1.0 where the file does not say:
        of a scale, x mm per px is so many times y mm per px.
        """
        return {
            "rotation_deg": self.orientation.rotation_deg,
            "mirrored": self.orientation.mirrored,
            "sample_aspect_ratio": None if self.aspect is None else str(self.aspect),
            "pixel_aspect": 1.0 if self.aspect is None else float(self.aspect),
            "interlaced": self.interlaced,
        }

    def notices(self, name: str) -> list[str]:
        """Return what a person must be told of the clip called `name`."""
        told = []
        if self.orientation != AS_STORED:
            mirrored = "mirrored and " if self.orientation.mirrored else ""
            told.append(
                f"{name} asks to be shown {mirrored}turned by {self.orientation.rotation_deg} "
                "degrees clockwise; it is, and all positions are those of the shown picture"
            )
        if self.crooked:
            told.append(
                f"{name} asks to be shown turned by an angle that is no right one; its frames are "
                "used as they are stored"
            )
        if self.aspect is not None and not math.isclose(self.aspect, 1, rel_tol=1e-3):
            told.append(
                f"{name} says that its pixels are {self.aspect} times as wide as high; they are "
                "taken as square unless a scale with an x and a y is given"
            )
        if self.interlaced:
            told.append(
                f"{name} is flagged as interlaced: odd and even rows may be half a frame apart in "
                "time, so that what moves sideways is frayed; frames are used as they are stored"
            )
        return told

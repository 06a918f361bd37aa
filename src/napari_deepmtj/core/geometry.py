"""The only owner of pixel conventions: regions, millimetres, and the map into the network.

x points right (columns), y points down (rows); pixel *centres* lie at integers, so the picture
spans -0.5 .. width-0.5. Millimetres have their origin at the centre of the top-left pixel.
No pixels are resampled here: whoever does so asks `PixelMap` for the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import CalibrationError

FloatArray = npt.NDArray[np.float64]

#: Millimetres per pixel that a B-mode picture can have: a 2 mm deep picture of 400 rows has the
#: lower, a 300 mm deep one of 60 rows the upper.
SCALE_RANGE_MM = (0.005, 5.0)
#: Width and height in millimetres that a B-mode picture can have; panoramic ones are the widest.
PICTURE_RANGE_MM = (5.0, 300.0)
#: Millimetres per pixel that are usual, in which the likely meaning of an impossible number lies.
_USUAL_MM = (0.02, 0.5)


@dataclass(frozen=True, slots=True)
class Roi:
    """A rectangle of whole pixels of the frame.

    Parameters
    ----------
    x, y : int
        Column and row of its top-left pixel.
    width, height : int
        Size in pixels.
    source : str
        Where it comes from ("full", "given", "preset:esaote-mylab60", "side-car", ...).
    """

    x: int
    y: int
    width: int
    height: int
    source: str = "given"

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise CalibrationError(
                f"a region of {self.width} x {self.height} px is empty; give x,y,width,height"
            )

    @classmethod
    def full(cls, height: int, width: int) -> Roi:
        """Return the whole picture of `height` x `width` pixels."""
        return cls(0, 0, width, height, "full")

    def inside(self, height: int, width: int) -> Roi:
        """Return self, or raise if it reaches beyond a picture of `height` x `width` pixels.

        Raises
        ------
        CalibrationError
            If any part of the region lies outside the picture.
        """
        if self.x < 0 or self.y < 0 or self.x + self.width > width or self.y + self.height > height:
            raise CalibrationError(
                f"the region {self} reaches beyond the {width} x {height} px picture; "
                "give a region inside it, or 'full'"
            )
        return self

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices that cut the region out of an (H, W) array."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"


@dataclass(frozen=True, slots=True)
class Scale:
    """Millimetres per pixel on each axis, and who says so.

    Parameters
    ----------
    x_mm, y_mm : float
        Millimetres per pixel along columns and rows, within `SCALE_RANGE_MM`.
    source : str
        "DICOM region", "file", "side-car", "calibration line", "given by hand", "phantom".

    Raises
    ------
    CalibrationError
        If no B-mode picture has such pixels, or there is no source.
    """

    x_mm: float
    y_mm: float
    source: str

    def __post_init__(self) -> None:
        low, high = SCALE_RANGE_MM
        for value in (self.x_mm, self.y_mm):
            if not (np.isfinite(value) and value > 0):
                raise CalibrationError(
                    f"a scale of {value} mm per px is impossible; give a positive number"
                )
            if not low <= value <= high:
                raise CalibrationError(
                    f"{value:.4g} mm per px is impossible, it makes a picture of 500 px "
                    f"{_length(500 * value)} wide; {_likely_mm(value)}"
                )
        if not self.source:
            raise CalibrationError("a scale without a source is not used; say where it comes from")

    @classmethod
    def isotropic(cls, mm: float, source: str) -> Scale:
        """Return the scale with square pixels of `mm` millimetres."""
        return cls(mm, mm, source)

    def for_picture(self, height: int, width: int, roi: Roi | None = None) -> Scale:
        """Return self, or raise if no B-mode picture has the size that it gives.

        Parameters
        ----------
        height, width : int
            Size of the whole frame in pixels, no side of which is shorter than allowed.
        roi : Roi, optional
            Where the picture is in it, no side of which is longer; by default the whole frame.

        Raises
        ------
        CalibrationError
            If a side is out of `PICTURE_RANGE_MM`.
        """
        shortest, longest = PICTURE_RANGE_MM
        shown = Roi.full(height, width) if roi is None else roi
        for mm, whole, part, side in (
            (self.x_mm, width, shown.width, "wide"),
            (self.y_mm, height, shown.height, "high"),
        ):
            if whole * mm < shortest or part * mm > longest:
                pixels = whole if whole * mm < shortest else part
                raise CalibrationError(
                    f"{mm:.4g} mm per px makes a picture {_length(pixels * mm)} {side}, which is "
                    f"out of {shortest:g} to {longest:g} mm; {_likely_mm(mm, pixels)}"
                )
        return self

    def same_as(self, other: Scale | None) -> bool:
        """Whether another scale gives the same millimetres, whoever says so."""
        return other is not None and (self.x_mm, self.y_mm) == (other.x_mm, other.y_mm)

    def to_mm(self, xy_px: npt.ArrayLike) -> FloatArray:
        """Convert points, shape (..., 2) as (x, y) in pixels, to millimetres."""
        mm: FloatArray = np.asarray(xy_px, dtype=np.float64) * np.array([self.x_mm, self.y_mm])
        return mm

    def covariance_to_mm(self, cov_px: npt.ArrayLike) -> FloatArray:
        """Convert covariances, shape (..., 2, 2) in px^2, to mm^2."""
        factor = np.array([self.x_mm, self.y_mm])
        return np.asarray(cov_px, dtype=np.float64) * np.outer(factor, factor)


def _length(mm: float) -> str:
    """Return a length as text, in metres from one on."""
    return f"{mm / 1000:.3g} m" if mm >= 1000 else f"{mm:.3g} mm"


def _likely_mm(mm: float, pixels: int | None = None) -> str:
    """Return what is to be done about an impossible scale: the number that was likely meant."""
    low, high = _USUAL_MM
    shortest, longest = PICTURE_RANGE_MM
    meant = (
        (mm / 1000, ""),  # a slip of the decimal point, or micrometres
        (1 / mm, f" ({mm:.4g} px per mm)"),
        (mm * 10, f" ({mm:.4g} cm per px)"),
        (mm * 1000, f" ({mm:.4g} m per px)"),
        (mm / 10, ""),
        (mm / 100, ""),
        (10 / mm, f" ({mm:.4g} px per cm)"),
    )
    for value, why in meant:
        if low <= value <= high and (pixels is None or shortest <= pixels * value <= longest):
            return f"did you mean {value:.3g}{why}?"
    return f"give millimetres per px, {low:g} to {high:g} as a rule"


@dataclass(frozen=True, slots=True)
class PixelMap:
    """The crop, resize and padding that lead from a frame into a network, and back.

    The region is resized to `content_width` x `content_height` pixels, which keep its physical
    aspect, and placed at (`left`, `top`) of an otherwise black picture of `out_width` x
    `out_height`. Make one with `fit`.
    """

    roi: Roi
    out_height: int
    out_width: int
    content_height: int
    content_width: int
    top: int
    left: int

    @classmethod
    def fit(
        cls,
        roi: Roi,
        out_height: int,
        out_width: int,
        scale: Scale | None = None,
        *,
        stretch: bool = False,
    ) -> PixelMap:
        """Fit a region into a network's input.

        Parameters
        ----------
        roi : Roi
            The region, in frame pixels.
        out_height, out_width : int
            Input size of the network in pixels.
        scale : Scale, optional
            Its two axes decide the physical aspect; without it pixels are taken as square.
        stretch : bool
            Fill the whole input, whatever that does to the aspect.
        """
        aspect = 1.0 if scale is None else scale.y_mm / scale.x_mm
        if stretch:
            height, width = out_height, out_width
        else:
            tall = roi.height * aspect
            factor = min(out_width / roi.width, out_height / tall)
            width = min(out_width, max(1, round(roi.width * factor)))
            height = min(out_height, max(1, round(tall * factor)))
        return cls(
            roi,
            out_height,
            out_width,
            height,
            width,
            (out_height - height) // 2,
            (out_width - width) // 2,
        )

    @property
    def factors(self) -> FloatArray:
        """Network pixels per frame pixel on x and y, shape (2,)."""
        return np.array(
            [self.content_width / self.roi.width, self.content_height / self.roi.height]
        )

    @property
    def content(self) -> tuple[slice, slice]:
        """Row and column slices of the picture inside the network's input."""
        return (
            slice(self.top, self.top + self.content_height),
            slice(self.left, self.left + self.content_width),
        )

    def to_network(self, xy_px: npt.ArrayLike) -> FloatArray:
        """Map points, shape (..., 2) as (x, y) in frame pixels, into network pixels."""
        xy = np.asarray(xy_px, dtype=np.float64)
        inside = (xy - [self.roi.x, self.roi.y] + 0.5) * self.factors - 0.5
        mapped: FloatArray = inside + [self.left, self.top]
        return mapped

    def to_frame(self, xy_net: npt.ArrayLike) -> FloatArray:
        """Map points, shape (..., 2) as (x, y) in network pixels, into frame pixels."""
        xy = np.asarray(xy_net, dtype=np.float64)
        inside = (xy - [self.left, self.top] + 0.5) / self.factors - 0.5
        mapped: FloatArray = inside + [self.roi.x, self.roi.y]
        return mapped

    def covariance_to_frame(self, cov_net: npt.ArrayLike) -> FloatArray:
        """Map covariances, shape (..., 2, 2) in network px^2, to frame px^2."""
        inverse = 1.0 / self.factors
        return np.asarray(cov_net, dtype=np.float64) * np.outer(inverse, inverse)

    def affine_of_map(self, map_height: int, map_width: int) -> tuple[FloatArray, FloatArray]:
        """Where the pixels of a pooled map of the whole network input lie in the frame.

        Parameters
        ----------
        map_height, map_width : int
            Size of the map, in its own pixels.

        Returns
        -------
        step, origin : ndarray, shape (2,)
            Frame pixels per map pixel, and the frame position of the centre of map pixel
            (0, 0), both as (y, x), so that a napari layer takes them as scale and translate.
        """
        pooled = np.array([self.out_width / map_width, self.out_height / map_height])
        first = self.to_frame((pooled - 1.0) / 2.0)
        step = pooled / self.factors
        return step[::-1].copy(), first[::-1].copy()

"""Which ultrasound region of a DICOM file is the B-mode picture, and its millimetres.

A region is used only if nothing speaks against it; otherwise it is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import CalibrationError

SOURCE = "DICOM region"

#: DICOM PS3.3 C.8.5.5.1: spatial format 2D, data type tissue, physical units centimetres.
_2D, _TISSUE, _CM = 1, 1, 3

#: A second region with more than this share of the largest one's area leaves the choice open.
RIVAL = 0.5

#: Scales that differ by less than this fraction are the same.
_SAME = 1e-3


@dataclass(frozen=True)
class Regions:
    """What the ultrasound regions of a file come to.

    Parameters
    ----------
    roi : Roi or None
        The B-mode picture.
    scale : Scale or None
        Its millimetres per pixel.
    facts : tuple of dict
        For each region of the file its rectangle and why it is not used (None if it is).
    notice : str or None
        What a person must be told.
    """

    roi: Roi | None
    scale: Scale | None
    facts: tuple[dict[str, object], ...]
    notice: str | None


def choose(regions: Sequence[Mapping[str, float | None]], height: int, width: int) -> Regions:
    """Choose among the regions of a file whose pictures are `height` x `width` pixels.

    Regions of two-dimensional tissue in centimetres count, if all of them fit the picture (else
    the picture is not the one they were written for). The largest one is the B-mode picture
    unless another has more than half its area; the scale of several holds if they agree.
    """
    good: dict[tuple[int, int, int, int], Scale] = {}
    facts: list[dict[str, object]] = []
    misfit = False
    for region in regions:
        box, refusal = _box(region, height, width)
        misfit = misfit or refusal is not None
        refusal = refusal or _refusal(region)
        x0, y0, x1, y1 = box
        facts.append({"x0": x0, "y0": y0, "x1": x1, "y1": y1, "refused": refusal})
        if refusal is None:
            mm = [10 * abs(region[f"PhysicalDelta{axis}"] or 0) for axis in "XY"]
            roi = Roi(x0, y0, x1 - x0 + 1, y1 - y0 + 1)
            try:
                good[box] = Scale(mm[0], mm[1], SOURCE).for_picture(height, width, roi)
            except CalibrationError as error:
                facts[-1]["refused"] = error.message
    if misfit:
        for fact in facts:
            fact["refused"] = fact["refused"] or "another region does not fit the picture"
        good.clear()
    if not good:
        reasons = "; ".join(dict.fromkeys(str(fact["refused"]) for fact in facts))
        notice = f"no ultrasound region of the file is used: {reasons}" if facts else None
        return Regions(None, None, tuple(facts), notice)

    boxes = sorted(good, key=_area, reverse=True)
    best, scale = boxes[0], good[boxes[0]]
    if len(boxes) == 1 or _area(boxes[1]) <= RIVAL * _area(best):
        x0, y0, x1, y1 = best
        for fact in facts:
            if fact["refused"] is None and _corners(fact) != best:
                fact["refused"] = "a larger region is used"
        roi = Roi(x0, y0, x1 - x0 + 1, y1 - y0 + 1, SOURCE)
        return Regions(roi, scale, tuple(facts), None)
    same = all(
        abs(other.x_mm - scale.x_mm) < _SAME * scale.x_mm
        and abs(other.y_mm - scale.y_mm) < _SAME * scale.y_mm
        for other in good.values()
    )
    said = "their common scale is used" if same else "nor is one of their scales"
    notice = (
        f"the file has {len(boxes)} ultrasound regions of like size, none of which is taken as "
        f"the B-mode picture; {said}; give a region"
    )
    return Regions(None, scale if same else None, tuple(facts), notice)


def _box(
    region: Mapping[str, float | None], height: int, width: int
) -> tuple[tuple[int, int, int, int], str | None]:
    """Return first and last column and row of a region, and why it is none of the picture's."""
    edges = [region[f"RegionLocation{name}"] for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    x0, y0, x1, y1 = (-1 if edge is None else int(edge) for edge in edges)
    if -1 in (x0, y0, x1, y1):
        return (x0, y0, x1, y1), "it has no place"
    # Some write the edge after the last pixel.
    x1, y1 = (x1 - 1 if x1 == width else x1), (y1 - 1 if y1 == height else y1)
    if x0 < 0 or y0 < 0 or x1 >= width or y1 >= height:
        reason = (
            f"{x0},{y0} to {x1},{y1} does not fit the picture of {width} x {height} px, which may "
            "have been resized or cropped"
        )
        return (x0, y0, x1, y1), reason
    return (x0, y0, x1, y1), "it is empty" if x1 <= x0 or y1 <= y0 else None


def _refusal(region: Mapping[str, float | None]) -> str | None:
    """Return why a region that fits is not a B-mode picture with millimetres."""
    if region["PhysicalUnitsXDirection"] != _CM or region["PhysicalUnitsYDirection"] != _CM:
        return "its axes are not both in centimetres"
    if region["RegionSpatialFormat"] != _2D or region["RegionDataType"] != _TISSUE:
        return "it does not show tissue in two dimensions"
    if not region["PhysicalDeltaX"] or not region["PhysicalDeltaY"]:
        return "its pixels have no size"
    return None


def _area(box: tuple[int, int, int, int]) -> int:
    x0, y0, x1, y1 = box
    return (x1 - x0 + 1) * (y1 - y0 + 1)


def _corners(fact: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(fact[name] for name in ("x0", "y0", "x1", "y1"))

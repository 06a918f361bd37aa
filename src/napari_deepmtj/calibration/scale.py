"""How many millimetres a pixel is: from drawn lines, and suggested by the screen's own ruler.

A scale always says where it comes from, and a suggestion is only ever offered, never used by
itself. What a scale is belongs to `core/geometry.py`, where the picture lies to `roi.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_deepmtj.calibration._ruler import Comb, find_comb
from napari_deepmtj.calibration.picture import detect_in, spread_frames
from napari_deepmtj.core.geometry import SCALE_RANGE_MM, Roi, Scale
from napari_deepmtj.errors import CalibrationError

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

#: A point as (x, y) in frame pixels.
Point = Sequence[float]
#: A line as its two ends.
Line = tuple[Point, Point]

#: The shortest line, in pixels along its axis, from which a scale is taken.
SHORTEST_LINE_PX = 5.0
#: Frames that are looked at to read a ruler; it stands still, but finding the picture needs some.
_FRAMES = 8
#: Every how many ticks a longer one comes -> millimetres between ticks and how usual that is;
#: rulers count centimetres. Weights by judgement, not measured.
_SPACINGS: dict[int, dict[float, float]] = {
    1: {10.0: 0.65, 5.0: 0.25, 1.0: 0.05, 2.0: 0.05},
    2: {5.0: 0.9, 10.0: 0.1},
    4: {2.5: 0.8, 5.0: 0.2},
    5: {1.0: 0.4, 2.0: 0.4, 10.0: 0.2},
    10: {1.0: 0.9, 2.0: 0.1},
}
#: How deep pictures of superficial muscles are, in mm, with a spread as a factor's logarithm.
_USUAL_DEPTH_MM, _DEPTH_SPREAD = 45.0, 0.45
#: Spacings less probable than this are not offered.
_UNLIKELY = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Suggestion:
    """A scale read off the ruler of the screen, to be offered to a person.

    Parameters
    ----------
    scale : Scale
        The likeliest; its source reads "ruler suggestion, 5 mm ticks".
    confidence : float
        0 to 1: how sure the ticks are a ruler *and* `mm_per_tick` is what they stand for.
    why : str
        What was seen, in one line.
    ticks : ndarray of float64, shape (n, 2)
        (x, y) of the ticks' centres in frame pixels, along the ruler.
    mm_per_tick : float
        Millimetres assumed between neighbouring ticks.
    alternatives : tuple of Scale
        The same ticks taken for other distances, likeliest first.
    """

    scale: Scale
    confidence: float
    why: str
    ticks: npt.NDArray[np.float64]
    mm_per_tick: float
    alternatives: tuple[Scale, ...] = ()


def scale_by_hand(x_mm: float, y_mm: float | None = None) -> Scale:
    """Return a scale that a person states, in mm per px; `y_mm` is `x_mm` unless given.

    Raises
    ------
    CalibrationError
        If it is outside of `SCALE_RANGE_MM`.
    """
    return Scale(x_mm, x_mm if y_mm is None else y_mm, "given by hand")


def scale_from_line(p0_xy: Point, p1_xy: Point, mm: float, pixel_aspect: float = 1.0) -> Scale:
    """Return the scale that makes a line between two marks as long as it is known to be.

    Parameters
    ----------
    p0_xy, p1_xy : sequence of two float
        (x, y) of its ends in frame pixels, in any direction.
    mm : float
        Its length in millimetres.
    pixel_aspect : float
        Width of a pixel over its height, as a video's sample aspect ratio; 1 where pixels are
        square. It makes x mm / y mm.

    Raises
    ------
    CalibrationError
        If the line is too short, the length or the aspect impossible, or the scale out of
        `SCALE_RANGE_MM`.
    """
    dx, dy = _step(p0_xy, p1_xy)
    _require_length(mm)
    if not (math.isfinite(pixel_aspect) and pixel_aspect > 0):
        raise CalibrationError(f"a pixel aspect of {pixel_aspect} is impossible; give width/height")
    if math.hypot(dx, dy) < SHORTEST_LINE_PX:
        raise CalibrationError(
            f"the line is {math.hypot(dx, dy):.1f} px long, too short for a scale; draw it between "
            "two marks of the ruler that are far apart"
        )
    y_mm = mm / math.hypot(dx * pixel_aspect, dy)
    return Scale(y_mm * pixel_aspect, y_mm, f"calibration line {mm:g} mm")


def scale_from_lines(line_x: Line, mm_x: float, line_y: Line, mm_y: float) -> Scale:
    """Return the scale of pixels that are not square, from a horizontal and a vertical line.

    Slightly slanted lines are solved exactly: both have their lengths under the result.

    Parameters
    ----------
    line_x, line_y : pair of points
        The ends, (x, y) in frame pixels; the first line runs mostly across, the second mostly down.
    mm_x, mm_y : float
        Their lengths in millimetres.

    Raises
    ------
    CalibrationError
        If a line is too short or runs the wrong way, a length is impossible, or the scale out of
        `SCALE_RANGE_MM`.
    """
    steps = [_step(*line_x), _step(*line_y)]
    for mm in (mm_x, mm_y):
        _require_length(mm)
    (across, _), (_, down) = np.abs(steps)
    for name, length in (("horizontal", across), ("vertical", down)):
        if length < SHORTEST_LINE_PX:
            raise CalibrationError(
                f"the {name} line reaches {length:.1f} px, too short for a scale; draw it between "
                "two marks that are far apart"
            )
    for (dx, dy), name, straight in zip(
        steps, ("horizontal", "vertical"), (across, down), strict=True
    ):
        if straight < 2 * min(abs(dx), abs(dy)) or straight < max(abs(dx), abs(dy)):
            raise CalibrationError(
                f"the {name} line is not {name}; draw one of each, in that order"
            )
    # Each line says (dx x_mm)^2 + (dy y_mm)^2 = mm^2: two linear equations in the squares.
    x2, y2 = np.linalg.solve(np.square(steps), np.square([mm_x, mm_y]))
    if min(x2, y2) <= 0:
        raise CalibrationError(
            f"no scale gives a horizontal line of {mm_x:g} mm and a vertical one of {mm_y:g} mm; "
            "check both lengths"
        )
    source = f"calibration lines {mm_x:g} mm across, {mm_y:g} mm down"
    return Scale(math.sqrt(x2), math.sqrt(y2), source)


def pixel_aspect_of(source: VideoSource) -> float:
    """Return the width of a pixel over its height, 1 where the file does not say."""
    return float(source.metadata.get("pixel_aspect", 1.0))


def suggest_scale(source: VideoSource, roi: Roi | None = None) -> Suggestion | None:
    """Read the spacing of the ticks of the ruler beside the picture, as a suggestion.

    The pixels between two ticks are measured. Their millimetres are assumed: from how often a
    longer tick comes, and from how deep the picture would be. Pixels are as wide as high, or as
    the file's sample aspect ratio says.

    Parameters
    ----------
    source : VideoSource
        The clip; a few of its frames are read.
    roi : Roi, optional
        Where the B-mode picture is; by default that of the source, else what is detected.

    Returns
    -------
    Suggestion or None
        None where no ruler was found.
    """
    frames = spread_frames(source, _FRAMES)
    if frames is None:
        return None
    roi = source.roi if roi is None else roi
    if roi is None:
        found = detect_in(frames)
        roi = Roi.full(source.height, source.width) if found is None else found.roi
    comb = find_comb(np.median(frames[:: max(1, len(frames) // 3)], axis=0).astype(np.float32), roi)
    if comb is None:
        return None
    aspect = pixel_aspect_of(source)
    deep_px = roi.height * (1 if comb.vertical else 1 / aspect)
    likely = _likely_spacings(comb, deep_px)
    scales = [_ruler_scale(mm, comb, aspect) for mm, _ in likely]
    (mm, probability), scale = likely[0], scales[0]
    longer = "" if comb.major_every == 1 else f", 1 in {comb.major_every} longer"
    why = (
        f"{len(comb.ticks)} ticks {comb.period_px:.2f} px apart{longer}; at {mm:g} mm the picture "
        f"is {deep_px * mm / comb.period_px:.0f} mm deep"
    )
    confidence = comb.quality * probability
    return Suggestion(scale, confidence, why, comb.ticks, mm, tuple(scales[1:]))


def _likely_spacings(comb: Comb, deep_px: float) -> list[tuple[float, float]]:
    """Return (millimetres between ticks, probability), likeliest first; unlikely ones left out."""
    weights = []
    for mm, usual in _SPACINGS.get(comb.major_every, _SPACINGS[1]).items():
        off = math.log(deep_px * mm / comb.period_px / _USUAL_DEPTH_MM) / _DEPTH_SPREAD
        weights.append((mm, usual * math.exp(-0.5 * off * off)))
    total = sum(weight for _, weight in weights) or 1.0
    spacings = sorted(((mm, weight / total) for mm, weight in weights), key=lambda one: -one[1])
    low, high = SCALE_RANGE_MM
    sane = [one for one in spacings if low <= one[0] / comb.period_px <= high]
    return [one for one in sane if one[1] >= _UNLIKELY] or sane[:1]


def _ruler_scale(mm: float, comb: Comb, aspect: float) -> Scale:
    along = mm / comb.period_px
    x_mm, y_mm = (along * aspect, along) if comb.vertical else (along, along / aspect)
    return Scale(x_mm, y_mm, f"ruler suggestion, {mm:g} mm ticks")


def _step(p0_xy: Point, p1_xy: Point) -> tuple[float, float]:
    """Return (dx, dy) of a line in pixels."""
    ends = np.asarray([p0_xy, p1_xy], dtype=np.float64)
    if ends.shape != (2, 2) or not np.isfinite(ends).all():
        raise CalibrationError("a calibration line needs two ends, each with an x and a y")
    dx, dy = ends[1] - ends[0]
    return float(dx), float(dy)


def _require_length(mm: float) -> None:
    if not (math.isfinite(mm) and mm > 0):
        raise CalibrationError(f"a line of {mm} mm is impossible; give its length in millimetres")

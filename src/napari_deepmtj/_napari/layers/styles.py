"""What the layers look like: colours, symbols, sizes. What they contain is `convert`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.trajectory import Origin

if TYPE_CHECKING:
    from napari_deepmtj.report.looks import Look

FloatArray = npt.NDArray[np.float64]

#: Colours of confidence 0, 1/2 and 1; told apart by lightness and blue, so also with a
#: red-green deficiency, and never confused with the grey of the picture.
CONFIDENCE_COLOURS = ("#ff4d4d", "#ffd23f", "#2ee6c5")

#: Colour of a point without a confidence; NaN on a colormap would make it invisible.
UNKNOWN_COLOUR = "#b0b0b0"


@dataclass(frozen=True, slots=True)
class PointsStyle:
    """Look of the MTJ's points: hollow, so that the junction under them stays visible.

    The size follows the zoom (`fit_marker`), so that a point can be seen and grabbed at any. There
    is no lower limit in screen pixels: with one, vispy draws borders half as thick as it, and a
    dot in the corner of frames without a point.
    """

    size: float = 8.0
    canvas_size_limits: tuple[float, float] = (0.0, 400.0)
    border_width: float = 0.1
    face_color: str = "transparent"
    symbols: dict[Origin, str] = field(
        default_factory=lambda: {
            Origin.PREDICTED: "disc",
            Origin.MANUAL: "square",
            Origin.CORRECTED: "square",
            Origin.REFILLED: "diamond",
            Origin.INTERPOLATED: "triangle_up",
        }
    )

    def symbol(self, origin: str) -> str:
        """Return the symbol of an origin."""
        return self.symbols[Origin(origin)]

    def border_color(self, confidence: npt.NDArray[np.float64]) -> FloatArray:
        """Return RGBA colours, shape (n, 4), of confidences in 0..1 or NaN, shape (n,)."""
        colours = confidence_colormap().map(np.nan_to_num(confidence))
        colours = np.asarray(colours, dtype=np.float64).reshape(len(confidence), 4)
        colours[np.isnan(confidence)] = rgba(UNKNOWN_COLOUR)
        return colours


@dataclass(frozen=True, slots=True)
class PreviewStyle:
    """Look of the live preview: a thin ring in the colour of its confidence, around any result's.

    No lower limit of the size on the screen, as in `LabelStyle`: the border would be thick.
    """

    symbol: str = "disc"
    size: float = 36.0
    canvas_size_limits: tuple[float, float] = (0.0, 400.0)
    border_width: float = 0.06
    face_color: str = "transparent"


@dataclass(frozen=True, slots=True)
class TracksStyle:
    """Look of the path: a thin line through all that was tracked, fading into the past."""

    tail_width: float = 3.0
    opacity: float = 0.8
    blending: str = "translucent"


@dataclass(frozen=True, slots=True)
class AttentionStyle:
    """Look of the attention: clear where there is little, violet where there is much.

    No colour of it is one of the confidence, whose points lie on top.

    Half of a typical map is left clear (`inference.attention`), so that the picture stays
    a picture.
    """

    opacity: float = 0.7
    blending: str = "translucent_no_depth"
    interpolation2d: str = "linear"


@dataclass(frozen=True, slots=True)
class RoiStyle:
    """Look of the region of interest: an outline."""

    edge_color: str = "#4da3ff"
    face_color: str = "transparent"
    edge_width: float = 1.0


@dataclass(frozen=True, slots=True)
class RulerStyle:
    """Look of calibration lines: a colour that neither picture nor results have."""

    edge_color: str = "#ff7ad9"
    face_color: str = "transparent"
    edge_width: float = 2.0


@dataclass(frozen=True, slots=True)
class TicksStyle:
    """Look of the ruler's ticks that were found: dots so small that the ticks stick out."""

    symbol: str = "disc"
    face_color: str = "#ff7ad9"
    border_color: str = "#ff7ad9"
    border_width: float = 0.05
    size: float = 5.0
    canvas_size_limits: tuple[float, float] = (5.0, 7.0)


@dataclass(frozen=True, slots=True)
class LabelStyle:
    """Look of the points that are labelled: white one's own, orange what was corrected.

    Proposals have the colour of their confidence, those of a review one that it does not have;
    so have others' points.
    The lower limit of the size on the screen is 0: with one, vispy draws borders half as thick as
    it, which would hide the junction, and a dot in the corner of frames without a point.
    """

    own: str = "#ffffff"
    corrected: str = "#ff9f1c"
    other: str = "#6ea8ff"
    reviewed: str = "#ff5cf4"
    size: float = 18.0
    canvas_size_limits: tuple[float, float] = (0.0, 400.0)
    border_width: float = 0.08
    text_gap: str = "     "  # keeps texts clear of the points at any zoom
    text_size: int = 10


@dataclass(frozen=True, slots=True)
class MarksStyle:
    """Look of several models' points on one frame, filled, and of the ring around the label."""

    label: str = "#ffffff"
    models: tuple[str, ...] = ("#2ee6c5", "#ff9f1c", "#6ea8ff", "#ff7ad9", "#ffd23f", "#b48cff")
    size: float = 6.0
    canvas_size_limits: tuple[float, float] = (0.0, 12.0)
    ring_width: float = 0.8

    def of(self, names: Sequence[str], name: str) -> str:
        """Return the colour of one of several models; the label's of any other name."""
        return self.models[names.index(name) % len(self.models)] if name in names else self.label


@dataclass(frozen=True, slots=True)
class TableStyle:
    """Colours of what stands out in a table, by napari's kind of theme.

    Each has a contrast of 4.5 at least to the cells of its theme, as WCAG 2.1 asks of text (success
    criterion 1.4.3); no one colour has that on both.
    """

    dark: dict[str, str] = field(
        default_factory=lambda: {"bad": "#ff8f87", "good": "#4be3b1", "doubtful": "#ffc14a"}
    )
    light: dict[str, str] = field(
        default_factory=lambda: {"bad": "#a3140f", "good": "#00543f", "doubtful": "#6b4300"}
    )


@dataclass(frozen=True, slots=True)
class PlotStyle:
    """Look of the plot over time: rows have the symbols that their points have.

    Colours on a dark window and on a light one; there those of paper, but for clips.
    """

    dark: tuple[str, ...] = ("#2ee6c5", "#6ea8ff", "#ffd23f", "#ff7ad9", "#b48cff")
    light: tuple[str, ...] = ("#00796b", "#1f5fbf", "#a86a00", "#b0307f", "#6a3fc4")
    flagged: str = "#ff4d4d"
    corrected: str = "#ff9f1c"  # as in LabelStyle
    refilled: str = "#c9a6ff"
    interpolated: str = "#b0b0b0"
    font_size: float = 8.0


POINTS = PointsStyle()
PREVIEW = PreviewStyle()
LABELS = LabelStyle()
TRACKS = TracksStyle()
ATTENTION = AttentionStyle()
ROI = RoiStyle()
RULER = RulerStyle()
TICKS = TicksStyle()
MARKS = MarksStyle()
PLOT = PlotStyle()
TABLE = TableStyle()

#: Kind of a layer of points -> diameter of its markers in screen pixels.
ON_SCREEN = {"trajectory": 22.0, "labels": 26.0, "preview": 36.0}
#: Difference of size that is left as it is.
NEARLY = 0.05

#: Symbols of napari, as matplotlib names them.
_MARKERS = {"disc": "o", "square": "s", "diamond": "D", "triangle_up": "^"}


def rgba(colour: str) -> FloatArray:
    """Return the RGBA of "#rrggbb", shape (4,), 0..1."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return np.array([*channels, 1.0])


def fit_marker(layer: Any, zoom: float) -> None:
    """Give the points of a layer their size on the screen, unless they nearly have it.

    Parameters
    ----------
    layer : Points
        Its `canvas_size_limits` do not hold its size back.
    zoom : float
        Screen pixels a unit of the world.
    """
    size = ON_SCREEN[str(layer.metadata["deepmtj"]["kind"])] / max(1e-9, zoom * layer.scale[-1])
    if abs(layer.current_size / size - 1) > NEARLY:
        layer.current_size = size
        layer.size = size


@cache
def confidence_colormap() -> Any:
    """Return napari's colormap of a confidence in 0..1."""
    from napari.utils import Colormap

    return Colormap([rgba(c) for c in CONFIDENCE_COLOURS], name="MTJ confidence")


def attention_colormap() -> Any:
    """Return a colormap whose opacity grows with the attention."""
    from napari.utils import Colormap

    return Colormap(
        [[0.45, 0.2, 1.0, 0.0], [0.65, 0.25, 1.0, 0.5], [1.0, 0.5, 0.9, 0.85]],
        name="MTJ attention",
    )


def table_colours(theme: str) -> dict[str, str]:
    """Return the colours of tables in a theme of napari."""
    from napari.utils.theme import get_theme

    return TABLE.light if get_theme(theme).type == "light" else TABLE.dark


def plot_look(theme: str) -> Look:
    """Return the look of plots in a theme of napari."""
    from napari.utils.theme import get_theme

    from napari_deepmtj.report.looks import PAPER, Look, Symbol
    from napari_deepmtj.report.timeline import Mark

    colours = get_theme(theme)
    ink, ground = colours.text.as_hex(), colours.background.as_hex()
    if colours.type == "light":
        return Look(PLOT.light, ink, ground, PAPER.marks, PLOT.font_size)

    def symbol(origin: Origin, colour: str, size: float) -> Symbol:
        return Symbol(_MARKERS[POINTS.symbol(origin)], colour, size)

    marks = {
        Mark.INTERPOLATED: symbol(Origin.INTERPOLATED, PLOT.interpolated, 4.0),
        Mark.REFILLED: symbol(Origin.REFILLED, PLOT.refilled, 3.5),
        Mark.MANUAL: symbol(Origin.MANUAL, LABELS.own, 4.5),
        Mark.CORRECTED: symbol(Origin.CORRECTED, PLOT.corrected, 4.5),
        Mark.FLAGGED: Symbol("x", PLOT.flagged, 5.0),
    }
    return Look(PLOT.dark, ink, ground, marks, PLOT.font_size)

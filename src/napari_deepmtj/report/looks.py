"""What plots look like: colours and symbols, on paper and on a dark window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from napari_deepmtj.report.timeline import Mark

#: Colours that are told apart with any colour vision (Okabe and Ito 2008).
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
PURPLE, AMBER, SKY = "#CC79A7", "#E69F00", "#56B4E9"


@dataclass(frozen=True, slots=True)
class Symbol:
    """Look of what is marked: a symbol of matplotlib and its colour."""

    marker: str
    colour: str
    size: float = 5.0


@dataclass(frozen=True, slots=True)
class Look:
    """Look of a plot over time; the default is that of paper.

    Parameters
    ----------
    clips : tuple of str
        Colours of the clips, the first for one alone; used again from the start if there are more.
    ink, ground : str
        Colour of texts and axes, and of what is behind them.
    marks : mapping of Mark to Symbol
        How rows are marked.
    font_size : float
        Of the tick labels, in points.
    """

    clips: tuple[str, ...] = (BLUE, GREEN, PURPLE, AMBER, SKY)
    ink: str = "#1a1a1a"
    ground: str = "#ffffff"
    marks: Mapping[Mark, Symbol] = field(
        default_factory=lambda: {
            Mark.INTERPOLATED: Symbol("^", "#8a8a8a", 3.5),
            Mark.REFILLED: Symbol("D", AMBER, 3.5),
            Mark.MANUAL: Symbol("s", "#1a1a1a", 4.5),
            Mark.CORRECTED: Symbol("s", ORANGE, 4.5),
            Mark.FLAGGED: Symbol("x", "#d0021b", 5.0),
        }
    )
    font_size: float = 9.0

    def colour(self, number: int) -> str:
        """Return the colour of a clip, counted from 0."""
        return self.clips[number % len(self.clips)]

    def at_size(self, font_size: float) -> Self:
        """Return this look with texts of another size."""
        return replace(self, font_size=font_size)


PAPER = Look()


def plain(name: str) -> str:
    """Return a name that matplotlib does not take for mathematics."""
    return name.replace("$", r"\$")


def dress(axes: Any, look: Look) -> None:
    """Give axes the colours of a look."""
    axes.set_facecolor(look.ground)
    axes.tick_params(colors=look.ink, labelsize=look.font_size, length=3)
    for spine in axes.spines.values():
        spine.set_color(look.ink)
        spine.set_alpha(0.35)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(visible=True, color=look.ink, alpha=0.12, linewidth=0.6)
    axes.xaxis.label.set_color(look.ink)

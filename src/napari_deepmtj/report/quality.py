"""The quality report of one clip: a page, PDF or HTML, to decide whether to use its result.

The numbers and the choice of frames are `facts`; the time plot is `plots` and `panels`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.jobs import Done, Failed, Progress
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import DeepMTJError, MissingExtraError, ResultError
from napari_deepmtj.report.facts import Shown, numbers, settings, to_look_at
from napari_deepmtj.report.looks import PAPER, plain
from napari_deepmtj.report.page import Page
from napari_deepmtj.report.panels import TimePanels
from napari_deepmtj.report.plots import over_time, save_figure
from napari_deepmtj.report.timeline import CURVES, VELOCITY, Timeline
from napari_deepmtj.report.video import BY_HAND_COLOUR, MTJ_COLOUR, ellipse
from napari_deepmtj.video.sidecar import read_sidecar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_deepmtj.mechanics.motion import Side
    from napari_deepmtj.video.opening import VideoSource

#: A4 in inches.
A4 = (8.27, 11.69)
#: Frames shown, and how many of them stand in a row.
FRAMES, COLUMNS = 6, 3
FORMATS = (".pdf", ".html")
#: On the page, as parts of its width or height: margins, width of a frame.
LEFT, BOTTOM, PICTURE = 0.06, 0.045, 0.283
#: Lines that a value may have on the page; the HTML has all.
MOST_LINES = 9

Pictures = list[tuple[Shown, npt.NDArray[np.uint8]]]


def write_report(
    source: VideoSource, trajectory: Trajectory, path: str | Path
) -> Generator[Progress | Done[Path] | Failed]:
    """Write the report of a clip, atomically.

    Parameters
    ----------
    source : VideoSource
        The clip; a few frames of it are read.
    trajectory : Trajectory
        Its result.
    path : str or Path
        ".pdf" for one page A4, ".html" for a page that needs nothing beside it.

    Yields
    ------
    Progress
        For every frame that is read.
    Done of Path, or Failed
        Last.
    """
    path = Path(path)
    try:
        if path.suffix.lower() not in FORMATS:
            raise ResultError(f"a report is {' or '.join(FORMATS)}; name it so", path=path)
        if source.sha256 != trajectory.provenance.clip_sha256:
            raise ResultError(
                f"the result is of another file named {trajectory.provenance.clip}",
                path=source.name,
            )
        try:
            import matplotlib as _  # noqa: F401 - only whether it is there
        except ModuleNotFoundError as error:
            raise MissingExtraError("the quality report", "plots") from error
        info = None if source.path is None else read_sidecar(source.path)
        distal: Side | None = None if info is None else info.distal_side
        rows = numbers(trajectory, distal)
        timeline = Timeline.of(trajectory, distal)
        shown = to_look_at(trajectory, FRAMES)
        pictures: Pictures = []
        for done, what in enumerate(shown, start=1):
            pictures.append((what, source.read(what.frame)))
            yield Progress(done, len(shown))
        draw = _pdf if path.suffix.lower() == ".pdf" else _html
        draw(path, trajectory, rows, timeline, pictures)
        yield Done(path)
    except DeepMTJError as error:
        yield Failed(error)


def _curves(timeline: Timeline) -> tuple[str, ...]:
    """Return what is drawn over time; the velocity is left to the plots."""
    return tuple(name for name in CURVES if name in timeline.curves and name != VELOCITY)


def _title(trajectory: Trajectory) -> str:
    return f"Tracking quality: {trajectory.provenance.clip}"


#: Said below every report.
_CAUTION = (
    "Confidence and standard deviation are the model's own estimates; on images unlike its "
    "training they may be wrong. Look at the frames, and correct what is wrong."
)


# ---- HTML ----------------------------------------------------------------------------------


def _html(
    path: Path,
    trajectory: Trajectory,
    rows: list[tuple[str, str]],
    timeline: Timeline,
    pictures: Pictures,
) -> None:
    page = Page(_title(trajectory))
    page.heading(1, _title(trajectory))
    page.table(("", ""), rows, words=True)
    page.heading(2, "Over time")
    figure = over_time([timeline], _curves(timeline))
    page.figure(figure, "svg", "Position and confidence over time; marked rows as in the legend.")
    page.heading(2, "Frames to look at")
    page.open("grid")
    for what, grey in pictures:
        page.figure(_frame_figure(trajectory, what, grey), "jpg", f"frame {what.frame}: {what.why}")
    page.close()
    page.heading(2, "What it rests on")
    page.table(("", ""), settings(trajectory), words=True)
    page.paragraph(_CAUTION, "note")
    atomic_write(path, page.finish())


def _frame_figure(trajectory: Trajectory, what: Shown, grey: npt.NDArray[np.uint8]) -> Figure:
    from matplotlib.figure import Figure

    width, height = _size(trajectory, grey)
    figure = Figure(figsize=(4.0, 4.0 * height / width))
    _draw_frame(figure.add_axes((0, 0, 1, 1)), trajectory, what, grey)
    return figure


# ---- PDF -----------------------------------------------------------------------------------


def _pdf(
    path: Path,
    trajectory: Trajectory,
    rows: list[tuple[str, str]],
    timeline: Timeline,
    pictures: Pictures,
) -> None:
    save_figure(page_figure(trajectory, rows, timeline, pictures), path)


def page_figure(
    trajectory: Trajectory,
    rows: list[tuple[str, str]],
    timeline: Timeline,
    pictures: Pictures,
) -> Figure:
    """Draw everything on one page: numbers, what they rest on, curves, frames."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=A4)
    panels = TimePanels(figure, PAPER.at_size(6.5))
    panels.show([timeline], _curves(timeline))
    figure.text(LEFT, 0.972, plain(_title(trajectory)), fontsize=13, weight="bold", va="top")
    top = min(
        _write_rows(figure, rows, LEFT, 0.15, wrap=42),
        _write_rows(figure, settings(trajectory), 0.47, 0.12, wrap=47),
    )
    width, height = _size(trajectory, pictures[0][1]) if pictures else (1.0, 0.0)
    tall = PICTURE * A4[0] / A4[1] * height / width
    lines = -(-len(pictures) // COLUMNS)
    tall = min(tall, 0.22)  # tall pictures become narrower
    frames_top = BOTTOM + lines * (tall + 0.028)
    _stack(panels.axes, bottom=frames_top + 0.055, top=top - 0.02)
    handles = panels.legend()
    figure.legend(
        handles,
        [str(handle.get_label()) for handle in handles],
        loc="lower right",
        bbox_to_anchor=(0.97, top - 0.026),
        ncols=8,
        frameon=False,
        fontsize=6.5,
    )
    for i, (what, grey) in enumerate(pictures):
        row, column = divmod(i, COLUMNS)
        y = frames_top - (row + 1) * (tall + 0.028)
        axes = figure.add_axes((LEFT + column * (PICTURE + 0.02), y, PICTURE, tall), anchor="W")
        _draw_frame(axes, trajectory, what, grey)
        axes.set_title(f"frame {what.frame}: {what.why}", fontsize=7, loc="left", pad=2)
    figure.text(LEFT, 0.03, _CAUTION, fontsize=6.5, color="#444444", va="top", wrap=True)
    return figure


def _stack(axes: list[Axes], bottom: float, top: float) -> None:
    """Place panels below each other between two heights of the page."""
    each = (top - bottom) / max(len(axes), 1)
    for i, panel in enumerate(axes):
        panel.set_position((LEFT + 0.03, top - (i + 1) * each, 0.88, 0.66 * each))
        panel.locator_params("y", nbins=4)


def _write_rows(
    figure: Figure, rows: list[tuple[str, str]], x: float, indent: float, wrap: int
) -> float:
    """Write names and values in two columns, long values on several lines; return where it ends."""
    y = 0.94
    for name, value in rows:
        lines = [part for text in value.split("\n") for part in textwrap.wrap(text, wrap) or [""]]
        if len(lines) > MOST_LINES:
            lines = [f"({len(lines) - MOST_LINES + 1} lines left out)", *lines[1 - MOST_LINES :]]
        figure.text(x, y, name, fontsize=7, color="#555555", va="top")
        for text in lines:
            figure.text(x + indent, y, plain(text), fontsize=7, va="top")
            y -= 0.0125
    return y


# ---- frames --------------------------------------------------------------------------------


def _size(trajectory: Trajectory, grey: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Return width and height of what is shown of a frame, in lengths alike on both axes."""
    roi, scale = trajectory.provenance.roi, trajectory.provenance.scale
    height, width = grey.shape if roi is None else (roi.height, roi.width)
    aspect = 1.0 if scale is None else scale.y_mm / scale.x_mm
    return float(width), height * aspect


def _draw_frame(
    axes: Axes, trajectory: Trajectory, what: Shown, grey: npt.NDArray[np.uint8]
) -> None:
    """Draw the region of a frame with the junction and its ellipse of two SDs."""
    roi, scale = trajectory.provenance.roi, trajectory.provenance.scale
    height, width = grey.shape
    x, y, w, h = (0, 0, width, height) if roi is None else (roi.x, roi.y, roi.width, roi.height)
    axes.imshow(
        grey[y : y + h, x : x + w],
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=(x - 0.5, x + w - 0.5, y + h - 0.5, y - 0.5),
        aspect=1.0 if scale is None else scale.y_mm / scale.x_mm,
    )
    axes.set_axis_off()
    row = trajectory.table[trajectory.frames == what.frame].to_dict("records")[0]
    if row["x_px"] != row["x_px"]:
        axes.text(0.02, 0.96, "not in view", transform=axes.transAxes, color="white", va="top")
        return
    by_hand = row["origin"] in ("MANUAL", "CORRECTED")
    colour = tuple(v / 255 for v in (BY_HAND_COLOUR if by_hand else MTJ_COLOUR))
    axes.plot([row["x_px"]], [row["y_px"]], "+", color=colour, markersize=9, markeredgewidth=1.6)
    outline = ellipse(row)
    if outline is not None:
        closed = np.vstack([outline, outline[:1]])
        axes.plot(*closed.T, color=colour, linewidth=0.8)
    axes.set_xlim(x - 0.5, x + w - 0.5)
    axes.set_ylim(y + h - 0.5, y - 0.5)

"""The annotated video: the clip with attention, region, junction, uncertainty and trail on it.

Drawing is Pillow's and encoding `video.writer`'s; one frame is held at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.jobs import Done, Failed, Progress
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import DeepMTJError, ResultError
from napari_deepmtj.report.overlay import Overlay

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

    from napari_deepmtj.video.opening import VideoSource

Colour = tuple[int, int, int]

#: Colours that are told apart with any colour vision (Okabe and Ito 2008).
ROI_COLOUR: Colour = (86, 180, 233)
MTJ_COLOUR: Colour = (240, 228, 66)
BY_HAND_COLOUR: Colour = (213, 94, 0)
TRUTH_COLOUR: Colour = (0, 158, 115)
TEXT_COLOUR: Colour = (255, 255, 255)

#: Smaller pictures are enlarged by a whole number until they have this many columns.
MIN_WIDTH = 640
#: Positions of the trail, the newest brightest.
TRAIL_FRAMES = 25
#: The ellipse holds this many standard deviations.
ELLIPSE_SD = 2.0
#: Frames per second where a clip has no times.
RATE_WITHOUT_TIMES = 10.0


def write_annotated_video(
    source: VideoSource,
    trajectory: Trajectory,
    path: str | Path,
    truth: Iterable[Label] | None = None,
    *,
    trail_frames: int = TRAIL_FRAMES,
    attention: str | Path | None = None,
) -> Generator[Progress | Done[Path] | Failed]:
    """Write the tracked frames of a clip with what was found drawn on them.

    Frames follow each other at the clip's mean rate; the true time of each is written on it.

    Parameters
    ----------
    source : VideoSource
        The clip that was tracked.
    trajectory : Trajectory
        What was found.
    path : str or Path
        ".mp4" for H.264, ".avi" for MJPEG; replaced if it exists.
    truth : iterable of Label, optional
        Labels of the same clip, drawn as small circles.
    trail_frames : int
        Tracked frames that the trail goes back, this one included; 0 draws none.
    attention : str or Path, optional
        The `.mtj-attention.tif` of the same clip, laid over the picture. One scale for the whole
        clip; frames without a map have none.

    Yields
    ------
    Progress
        After every frame.
    Done of Path, or Failed
        Last.
    """
    from napari_deepmtj.video.writer import VideoWriter

    try:
        path = Path(path)
        if source.sha256 != trajectory.provenance.clip_sha256:
            raise ResultError(
                f"the trajectory is of another file named {trajectory.provenance.clip}",
                path=source.name,
            )
        frames = trajectory.frames
        if not len(frames):
            raise ResultError("the trajectory is empty, so there is no video to draw", path=path)
        overlay = None if attention is None else Overlay.read(attention, trajectory)
        labels = {label.frame: label for label in truth or ()}
        picture = _Picture(source, trajectory, labels, trail_frames, overlay)
        step = int(np.gcd.reduce(np.diff(frames))) if len(frames) > 1 else 1
        wanted = dict(zip(frames.tolist(), trajectory.table.to_dict("records"), strict=True))
        rate = _rate(source) / step
        height, width = source.height * picture.zoom, source.width * picture.zoom
        done = 0
        with VideoWriter(path, height, width, rate) as writer:
            numbers = range(int(frames[0]), int(frames[-1]) + 1, step)
            for frame, grey in source.numbered(numbers.start, numbers.stop, step):
                grey = np.zeros((source.height, source.width), np.uint8) if grey is None else grey
                writer.add(picture.draw(grey, frame, wanted.get(frame)))
                done += 1
                yield Progress(done, len(numbers))
        yield Done(path)
    except DeepMTJError as error:
        yield Failed(error)


def _rate(source: VideoSource) -> float:
    """Return the mean number of frames per second."""
    times = source.times
    if not times.known or len(times) < 2:
        return RATE_WITHOUT_TIMES
    return float((len(times) - 1) / (times.seconds[-1] - times.seconds[0]))


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws in frame pixels on a picture that is `zoom` times larger."""

    on: ImageDraw
    zoom: int

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where the point (x, y) of the frame lies in the enlarged picture."""
        return (x + 0.5) * self.zoom - 0.5, (y + 0.5) * self.zoom - 0.5

    def cross(self, x: float, y: float, arm: float, colour: Colour) -> None:
        cx, cy = self.at(x, y)
        self.on.line([(cx - arm, cy), (cx + arm, cy)], fill=colour, width=2)
        self.on.line([(cx, cy - arm), (cx, cy + arm)], fill=colour, width=2)

    def ring(self, x: float, y: float, radius: float, colour: Colour) -> None:
        cx, cy = self.at(x, y)
        self.on.ellipse([cx - radius, cy - radius, cx + radius, cy + radius], outline=colour)

    def path(self, points: npt.ArrayLike, colour: Colour, *, closed: bool = False) -> None:
        corners = [self.at(x, y) for x, y in np.asarray(points)]
        self.on.line([*corners, corners[0]] if closed else corners, fill=colour, width=1)


class _Picture:
    """Everything that is drawn on the frames of one clip, and the trail so far."""

    def __init__(
        self,
        source: VideoSource,
        trajectory: Trajectory,
        truth: dict[int, Label],
        trail_frames: int = TRAIL_FRAMES,
        overlay: Overlay | None = None,
    ) -> None:
        from PIL import ImageFont

        self.zoom = max(1, -(-MIN_WIDTH // source.width))
        self.times = source.times
        self.roi = trajectory.provenance.roi
        self.truth = truth
        self.trail: deque[tuple[float, float] | None] = deque(maxlen=trail_frames)
        self.overlay = overlay
        self.font = ImageFont.load_default(size=max(12, source.width * self.zoom // 50))

    def draw(
        self, grey: npt.NDArray[np.uint8], frame: int, row: dict[Any, Any] | None
    ) -> npt.NDArray[np.uint8]:
        """Return the frame, shape (zoom * H, zoom * W, 3), with its annotations.

        `row` is the trajectory's, None for a frame that was not tracked.
        """
        from PIL import Image, ImageDraw

        image = Image.fromarray(np.repeat(np.repeat(grey, self.zoom, 0), self.zoom, 1))
        image = image.convert("RGB")
        if self.overlay is not None:
            image = self.overlay.on(image, frame, self.zoom)
        on = ImageDraw.Draw(image)
        pen = _Pen(on, self.zoom)
        if self.roi is not None:
            left, top = self.roi.x - 0.5, self.roi.y - 0.5
            right, bottom = left + self.roi.width, top + self.roi.height
            x0, y0 = pen.at(left, top)
            x1, y1 = pen.at(right, bottom)
            on.rectangle([x0 + 0.5, y0 + 0.5, x1 - 0.5, y1 - 0.5], outline=ROI_COLOUR)
        in_view = row is not None and bool(row["in_view"])
        self.trail.append((row["x_px"], row["y_px"]) if row is not None and in_view else None)
        self._draw_trail(pen)
        label = self.truth.get(frame)
        if label is not None and label.x_px is not None and label.y_px is not None:
            pen.ring(label.x_px, label.y_px, 6, TRUTH_COLOUR)
        if row is not None and in_view:
            by_hand = row["origin"] in ("MANUAL", "CORRECTED")
            colour = BY_HAND_COLOUR if by_hand else MTJ_COLOUR
            outline = ellipse(row)
            if outline is not None:
                pen.path(outline, colour, closed=True)
            pen.cross(row["x_px"], row["y_px"], 8, colour)
        self._write(on, frame, row)
        return np.asarray(image)

    def _draw_trail(self, pen: _Pen) -> None:
        points = list(self.trail)
        for age, (new, old) in enumerate(zip(points[:0:-1], points[-2::-1], strict=True)):
            if new is not None and old is not None:
                fade = 1 - 0.6 * age / len(points)
                red, green, blue = (round(value * fade) for value in MTJ_COLOUR)
                pen.path([old, new], (red, green, blue))

    def _write(self, on: ImageDraw, frame: int, row: dict[Any, Any] | None) -> None:
        words = [f"frame {frame}"]
        if self.times.known:
            words.append(f"{self.times.seconds[frame]:.3f} s")
        if row is None:
            words.append("not tracked")
        elif not row["in_view"]:
            words.append("MTJ not in view")
        else:
            words.append(f"confidence {row['confidence']:.2f}")
        position = (4, 4)
        text = "   ".join(words)
        on.rectangle(on.textbbox(position, text, font=self.font), fill=(0, 0, 0))
        on.text(position, text, font=self.font, fill=TEXT_COLOUR)


def ellipse(row: dict[Any, Any], corners: int = 48) -> npt.NDArray[np.float64] | None:
    """Return the outline of `ELLIPSE_SD` standard deviations around a row's position.

    Returns
    -------
    ndarray, shape (corners, 2), or None
        (x, y) in frame pixels; None for a row without uncertainty, as those made by hand.
    """
    sx, sy, xy = (float(row[name]) for name in ("sd_x_px", "sd_y_px", "cov_xy_px2"))
    if not (isfinite(sx) and isfinite(sy) and isfinite(xy)):
        return None
    values, axes = np.linalg.eigh(np.array([[sx**2, xy], [xy, sy**2]]))
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    outline: npt.NDArray[np.float64] = (
        ELLIPSE_SD * circle * np.sqrt(np.maximum(values, 0))
    ) @ axes.T + [row["x_px"], row["y_px"]]
    return outline

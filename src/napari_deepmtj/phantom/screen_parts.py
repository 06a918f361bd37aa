"""Parts of made-up scanner screens: texts, bars, panels, traces, tissue; `screen.py` arranges them.

Nothing here knows the layouts. What changes from frame to frame is a function of the pen and the
frame's number.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from napari_deepmtj.core.geometry import Roi

Pen = ImageDraw.ImageDraw
Box = tuple[int, int, int, int]
Spot = tuple[int, int]
#: Draws what a part looks like in the frame of this number.
Changing = Callable[[Pen, int], None]

_WORDS = (
    *("Gain", "Depth", "Freq", "DR", "Power", "MI", "TIS", "Persist", "Map", "MSK", "Linear"),
    *("Calf", "Probe", "Focus", "TGC", "B", "Zoom", "Patient", "Study", "Freeze", "Save", "Cine"),
)


@lru_cache(maxsize=32)
def font(size: int) -> Any:
    """Return Pillow's own font at a size in pixels."""
    return ImageFont.load_default(size)


def words(rng: np.random.Generator, n: int) -> str:
    """Return a line of `n` words and values as screens show them."""
    picked = rng.choice(len(_WORDS), n)
    return "  ".join(f"{_WORDS[k]} {rng.integers(1, 100)}" for k in picked)


def text_block(pen: Pen, box: Box, ink: int, rng: np.random.Generator) -> None:
    """Draw lines of settings inside a box, as many as fit."""
    left, top, right, bottom = box
    size = int(rng.integers(10, 15))
    for y in range(top, bottom - size, size + int(rng.integers(3, 8))):
        line = words(rng, 1)
        if font(size).getlength(line) < right - left:
            pen.text((left, y), line, ink, font(size))


def grey_bar(pen: Pen, box: Box) -> None:
    """Draw the bar of all grey levels, white at the top."""
    left, top, right, bottom = box
    for y in range(top, bottom):
        level = round(255 * (bottom - 1 - y) / max(1, bottom - 1 - top))
        pen.line([(left, y), (right, y)], level)


def window(pen: Pen, box: Box, face: int, rng: np.random.Generator) -> None:
    """Draw title bar, menu and frame of a desktop program."""
    left, top, right, bottom = box
    pen.rectangle((left, top, right, top + 14), int(rng.integers(60, 200)))
    pen.text((left + 6, top + 1), words(rng, 2), 255, font(11))
    pen.rectangle((left, top + 15, right, top + 28), face)
    for x in range(left + 6, left + 300, 60):
        pen.text((x, top + 16), words(rng, 1).split(" ", maxsplit=1)[0], 10, font(10))
    pen.rectangle((left, top + 28, right, bottom), outline=face, width=2)


def panel(pen: Pen, box: Box, face: int, rng: np.random.Generator) -> None:
    """Draw a panel of buttons and sliders."""
    left, top, right, bottom = box
    pen.rectangle(box, face, 90)
    for y in range(top + 6, bottom - 24, 26):
        if rng.uniform() < 0.6:
            pen.rectangle((left + 6, y, right - 6, y + 19), face - 20, 60)
            pen.text(((left + right) // 2, y + 10), words(rng, 1), 10, font(11), anchor="mm")
        else:
            pen.line([(left + 8, y + 10), (right - 8, y + 10)], 60)
            x = int(rng.integers(left + 8, max(left + 9, right - 8)))
            pen.rectangle((x - 3, y + 3, x + 3, y + 17), 250, 40)


def logo(pen: Pen, box: Box, ink: int, rng: np.random.Generator) -> None:
    """Draw a mark that nobody owns."""
    left, top, _, bottom = box
    pen.rounded_rectangle(box, 4, outline=ink)
    pen.ellipse((left + 3, top + 3, left + bottom - top - 3, bottom - 3), ink)
    pen.text((left + bottom - top, top + 2), "US" + str(rng.integers(10)), ink, font(12))


def thumbnails(still: Image.Image, box: Box, rng: np.random.Generator) -> None:
    """Paste small still pictures one below the other: tissue that is not the picture."""
    left, top, right, bottom = box
    width = right - left
    height = width * 3 // 4
    for y in range(top, bottom - height, height + 10)[: int(rng.integers(0, 4))]:
        grain = rng.uniform(0, 160, (height // 3 + 1, width // 4 + 1)).astype(np.float32)
        small = Image.fromarray(grain).resize((width, height), Image.Resampling.BILINEAR)
        still.paste(small.convert("L"), (left, y))


def probe_mark(pen: Pen, spot: Spot, ink: int, rng: np.random.Generator) -> None:
    """Draw the mark that says which side of the probe is which."""
    x, y = spot
    if rng.uniform() < 0.5:
        pen.ellipse((x, y, x + 8, y + 8), outline=ink)
    else:
        pen.text((x, y - 2), "E", ink, font(12))


def focus(pen: Pen, roi: Roi, ink: int, rng: np.random.Generator) -> Changing:
    """Draw the mark of the focal depth beside the picture; it stays, some blink."""
    y = roi.y + int(roi.height * rng.uniform(0.2, 0.8))
    x = roi.x + roi.width + 22
    shape = [(x, y), (x + 6, y - 4), (x + 6, y + 4)]
    blinks = rng.uniform() < 0.3
    pen.polygon(shape, ink)

    def draw(pen: Pen, number: int) -> None:
        if blinks and number % 2:
            pen.polygon(shape, ink // 2)

    return draw


def clock(spot: Spot, ink: int, size: int, rng: np.random.Generator) -> Changing:
    """Return a clock that runs."""
    start = int(rng.integers(0, 80_000))

    def draw(pen: Pen, number: int) -> None:
        now = start + number
        text = f"{now // 3600:02d}:{now // 60 % 60:02d}:{now % 60:02d}"
        pen.text(spot, text, ink, font(size))

    return draw


def counter(spot: Spot, ink: int, size: int, rng: np.random.Generator) -> Changing:
    """Return a counter of frames."""
    start, total = int(rng.integers(1, 300)), int(rng.integers(400, 2000))

    def draw(pen: Pen, number: int) -> None:
        pen.text(spot, f"Frame {start + 7 * number}/{total}", ink, font(size))

    return draw


def rate(spot: Spot, ink: int, size: int, rng: np.random.Generator) -> Changing:
    """Return a display of frames per second."""
    rates = rng.normal(rng.uniform(20, 80), 0.4, 64)

    def draw(pen: Pen, number: int) -> None:
        pen.text(spot, f"{rates[number % 64]:.1f} fps", ink, font(size))

    return draw


def trace(box: Box, ink: int, rng: np.random.Generator) -> Changing:
    """Return a trace with beats as an electrocardiogram has them, which runs through a box."""
    left, top, right, bottom = box
    beat = rng.uniform(60, 160)
    middle, height = (top + bottom) / 2, (bottom - top) / 2 - 1
    phase = rng.uniform(0, beat)

    def draw(pen: Pen, number: int) -> None:
        x = np.arange(left, right)
        t = ((x + phase + 9 * number) % beat) / beat
        curve = 0.9 * np.exp(-(((t - 0.5) * 40) ** 2)) + 0.2 * np.exp(-(((t - 0.75) * 14) ** 2))
        y = middle - height * (curve - 0.2)
        pen.line(list(zip(x.tolist(), y.tolist(), strict=True)), ink)

    return draw


def cine_bar(box: Box, ink: int) -> Changing:
    """Return the bar that shows which frame of the loop is seen."""
    left, top, right, bottom = box

    def draw(pen: Pen, number: int) -> None:
        pen.rectangle(box, outline=ink)
        x = left + (right - left) * (number % 40) // 40
        pen.rectangle((x, top, x + 3, bottom), ink)

    return draw


def moving_speckle(
    n_frames: int, height: int, width: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Return cheap tissue that moves: layered speckle, two parts of which slide on each other.

    Parameters
    ----------
    n_frames, height, width : int
        Shape of what is returned.
    rng : Generator
        Source of everything about it; some clips hardly move.

    Returns
    -------
    ndarray of uint8, shape (n_frames, height, width)
        Grey levels.
    """
    grain = rng.uniform(1.5, 3.0)  # screen pixels per computed pixel: scanners interpolate too
    h, w = max(16, int(height / grain)), max(16, int(width / grain))
    margin = 24
    field = rng.standard_normal((2, h, w + 2 * margin)).astype(np.float32)
    spread = (0, rng.uniform(0.5, 0.9), rng.uniform(0.9, 2.0))
    envelope = np.hypot(*ndimage.gaussian_filter(field, spread))
    decibel = 20 * np.log10(envelope / envelope.mean() + 1e-3)
    rows, columns = np.mgrid[0 : 1 : h * 1j, 0 : 1 : (w + 2 * margin) * 1j].astype(np.float32)
    split = rng.uniform(0.3, 0.7)
    tilt = rng.uniform(-0.2, 0.2)
    for depth in (rng.uniform(0.03, 0.12), split, rng.uniform(0.75, 0.95)):
        line = depth + tilt * depth * (columns - 0.5)
        decibel += rng.uniform(8, 18) * np.exp(-(((rows - line) * h / rng.uniform(1, 2.5)) ** 2))
    decibel += rng.uniform(-10, 4) * (rows > split + tilt * split * (columns - 0.5))
    decibel -= rng.uniform(0, 14) * rows
    texture = Image.fromarray(rng.uniform(40, 110) + rng.uniform(2.5, 5.0) * decibel)

    reach = rng.choice([0.3, 4.0, 12.0, 20.0])
    phase = rng.uniform(0, 2 * np.pi)
    noise = rng.uniform(0.8, 3.0)
    lower = np.arange(height)[:, None] > height * split
    made = np.empty((n_frames, height, width), np.uint8)
    for number in range(n_frames):
        shift = reach * np.sin(phase + number * 0.7)
        halves = [
            np.asarray(
                texture.resize(
                    (width, height),
                    Image.Resampling.BILINEAR,
                    box=(margin + by, 0.0, margin + by + w, float(h)),
                )
            )
            for by in (shift, -0.4 * shift)
        ]
        grains = rng.standard_normal((h // 2 + 1, w // 2 + 1), dtype=np.float32) * noise
        electronic = Image.fromarray(grains).resize((width, height), Image.Resampling.BILINEAR)
        picture = np.where(lower, halves[1], halves[0]) + np.asarray(electronic)
        made[number] = np.clip(picture, 0, 255)
    return made

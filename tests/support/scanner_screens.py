"""Screens of made-up scanners around a B-mode picture, with picture and ruler exactly known.

Four layouts have the look of machines of the field, drawn by us from scratch: what lies beside the
picture, what changes there, and how the ruler is drawn. Parts of the screen are in
`screen_parts.py`, cheap moving tissue too; any other frames can be given instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.phantom import screen_parts as parts
from napari_deepmtj.video.stacks.stack import ArraySource

UInt8Array = npt.NDArray[np.uint8]
Layout = Literal["cart", "desktop", "touch", "handheld"]
Side = Literal["left", "right", "top"]

#: "cart" looks as Esaote's carts do, "desktop" as Telemed's EchoWave, "touch" as the Aixplorer,
#: "handheld" as a tablet with a wireless probe.
LAYOUTS: tuple[Layout, ...] = get_args(Layout)

#: Frame sizes (width, height) of each layout.
_SIZES: dict[Layout, tuple[tuple[int, int], ...]] = {
    "cart": ((800, 600), (1024, 768), (720, 576)),
    "desktop": ((1148, 624), (1280, 720), (1024, 768), (1366, 768)),
    "touch": ((1440, 1080), (1280, 960), (1024, 768)),
    "handheld": ((1280, 800), (800, 1280), (1024, 768), (720, 1280), (640, 480)),
}
#: Room that the furniture of each layout takes at least: left, top, right, bottom, in pixels.
_MARGINS: dict[Layout, tuple[int, int, int, int]] = {
    "cart": (14, 26, 40, 20),
    "desktop": (34, 40, 60, 20),
    "touch": (16, 34, 60, 30),
    "handheld": (12, 20, 36, 20),
}
#: Smallest and largest side of the picture, as parts of the screen's.
_PICTURE = (0.30, 0.90)


@dataclass(frozen=True, slots=True)
class RulerSpec:
    """How the ruler is drawn.

    Parameters
    ----------
    side : {"left", "right", "top"}
        Of the picture.
    gap_px, length_px, thick_px : int
        Distance from the picture; length of a major tick; thickness.
    major_mm, minor_mm : float
        Distances between long and between all ticks; equal where all are long.
    numbers, line : bool
        Whether major ticks are numbered in centimetres; whether a line joins the ticks.
    """

    side: Side
    gap_px: int
    length_px: int
    thick_px: int
    major_mm: float
    minor_mm: float
    numbers: bool
    line: bool


@dataclass(frozen=True, slots=True)
class ScreenSpec:
    """A screen; everything not said here follows from `seed`.

    Parameters
    ----------
    layout : {"cart", "desktop", "touch", "handheld"}
        The look.
    seed : int
        Of texts, numbers, furniture and tissue.
    width, height : int
        Frame size in pixels.
    picture : Roi
        Bounding rectangle of the picture.
    lean_px : int
        How far each side of a trapezoid leans out from top to bottom; 0 for a rectangle.
    mm_per_px : float
        True scale.
    ruler : RulerSpec
        The depth ruler.
    background, ink : int
        Grey levels around the picture, and of text and ticks.
    jpeg_quality : int
        Every frame goes through JPEG at this quality, as in an MJPEG recording; 0 for none.
    """

    layout: Layout
    seed: int
    width: int
    height: int
    picture: Roi
    lean_px: int
    mm_per_px: float
    ruler: RulerSpec
    background: int
    ink: int
    jpeg_quality: int


@dataclass(frozen=True, slots=True, eq=False)
class Screen:
    """A drawn screen and its truth.

    Parameters
    ----------
    frames : ndarray of uint8, shape (T, height, width)
        Grey levels.
    roi : Roi
        Bounding rectangle of the picture.
    scale : Scale
        Millimetres per pixel.
    ticks : ndarray of float64, shape (n, 2)
        (x, y) of the outer ends of all ticks of the ruler, in order along it.
    mm_per_tick : float
        Between neighbours.
    """

    frames: UInt8Array
    roi: Roi
    scale: Scale
    ticks: npt.NDArray[np.float64]
    mm_per_tick: float

    def source(self, name: str = "screen") -> ArraySource:
        """Return the frames as a clip that knows neither region nor scale."""
        return ArraySource(self.frames, name)


def sample_screen(layout: Layout, seed: int) -> ScreenSpec:
    """Return the screen of a layout that a seed stands for."""
    rng = np.random.default_rng([LAYOUTS.index(layout), seed])
    width, height = _SIZES[layout][rng.integers(len(_SIZES[layout]))]
    left, top, right, bottom = _MARGINS[layout]
    low, high = _PICTURE
    w = int(min(width * rng.uniform(low, high), width - left - right))
    h = int(min(height * rng.uniform(low, high), height - top - bottom))
    x = left + int(rng.uniform() * (width - left - right - w))
    y = top + int(rng.uniform() * (height - top - bottom - h))
    lean = int(w * rng.uniform(0.04, 0.2)) if rng.uniform() < 0.25 else 0
    depth_mm = rng.uniform(25, 75)
    minors: tuple[tuple[float, float], ...] = ((10, 10), (10, 5), (5, 5), (10, 1))
    usual = {
        "cart": (0.5, 0.2, 0.2, 0.1),
        "desktop": (0.4, 0.4, 0.1, 0.1),
        "touch": (0.3, 0.6, 0.1, 0.0),
        "handheld": (0.4, 0.3, 0.2, 0.1),
    }
    major, minor = minors[rng.choice(4, p=usual[layout])]
    if minor * h / depth_mm < 4:
        major, minor = 10.0, 5.0  # ticks of one millimetre would run into one another
    sides: tuple[Side, ...] = ("left", "right", "top")
    likely = (0.6, 0.3, 0.1) if layout == "desktop" else (0.15, 0.75, 0.1)
    ruler = RulerSpec(
        side=sides[rng.choice(3, p=likely)],
        gap_px=int(rng.integers(0, 9)),
        length_px=int(rng.integers(5, 12)),
        thick_px=1 if minor * h / depth_mm < 8 else int(rng.integers(1, 3)),
        major_mm=major,
        minor_mm=minor,
        numbers=bool(rng.uniform() < 0.6),
        line=bool(rng.uniform() < 0.25),
    )
    grounds = {"cart": (0, 0, 12), "desktop": (0, 30, 48, 64), "touch": (0, 0, 8, 20)}
    choices = grounds.get(layout, (0, 16, 40, 96))
    background = int(choices[rng.integers(len(choices))])
    if layout == "handheld" and rng.uniform() < 0.1:
        background = 235
    ink = int(rng.integers(10, 60)) if background > 128 else int(rng.integers(150, 256))
    return ScreenSpec(
        layout=layout,
        seed=seed,
        width=width,
        height=height,
        picture=Roi(x, y, w, h, "phantom"),
        lean_px=lean,
        mm_per_px=depth_mm / h,
        ruler=ruler,
        background=background,
        ink=ink,
        jpeg_quality=int(rng.integers(60, 96)) if rng.uniform() < 0.4 else 0,
    )


def draw_screen(spec: ScreenSpec, n_frames: int = 1, pictures: UInt8Array | None = None) -> Screen:
    """Draw a screen.

    Parameters
    ----------
    spec : ScreenSpec
        What to draw.
    n_frames : int
        How many frames; what changes, changes from one to the next.
    pictures : ndarray of uint8, shape (n_frames, h, w), optional
        Tissue to show instead of speckle; resized to the picture.
    """
    rng = np.random.default_rng([LAYOUTS.index(spec.layout), spec.seed, 1])
    roi = spec.picture
    still = Image.new("L", (spec.width, spec.height), spec.background)
    pen = ImageDraw.Draw(still)
    changing = _FURNITURE[spec.layout](pen, still, spec, rng)
    ticks = draw_ruler(pen, spec)
    changing.append(parts.focus(pen, spec.picture, spec.ink, rng))
    if pictures is None:
        pictures = parts.moving_speckle(n_frames, roi.height, roi.width, rng)
    fan = _fan(spec)
    frames = np.empty((n_frames, spec.height, spec.width), np.uint8)
    for number in range(n_frames):
        shot = still.copy()
        tissue = Image.fromarray(pictures[number])
        if tissue.size != (roi.width, roi.height):
            tissue = tissue.resize((roi.width, roi.height), Image.Resampling.BILINEAR)
        shot.paste(tissue, (roi.x, roi.y), fan)
        pen = ImageDraw.Draw(shot)
        for draw in changing:
            draw(pen, number)
        frames[number] = np.asarray(_through_jpeg(shot, spec.jpeg_quality))
    scale = Scale.isotropic(spec.mm_per_px, "phantom")
    return Screen(frames, roi, scale, ticks, spec.ruler.minor_mm)


def draw_ruler(pen: ImageDraw.ImageDraw, spec: ScreenSpec) -> npt.NDArray[np.float64]:
    """Draw the ruler; return (x, y) of the ticks' outer ends, shape (n, 2), where they truly are.

    Ticks are drawn on whole pixels, as scanners do, so each is up to half a pixel off the truth.
    """
    ruler, roi = spec.ruler, spec.picture
    along = roi.width if ruler.side == "top" else roi.height
    step = ruler.minor_mm / spec.mm_per_px
    at = np.arange(0.0, along, step)
    away = {"left": roi.x - 1 - ruler.gap_px, "right": roi.x + roi.width + ruler.gap_px}.get(
        ruler.side, roi.y - 1 - ruler.gap_px
    )
    outwards = 1 if ruler.side == "right" else -1
    start = roi.x if ruler.side == "top" else roi.y
    each = round(ruler.major_mm / ruler.minor_mm)
    for number, position in enumerate(start + at):
        major = number % each == 0
        length = ruler.length_px if major else max(2, ruler.length_px // 2)
        near, far = away, away + outwards * (length - 1)
        first = round(float(position))
        box = (min(near, far), first, max(near, far), first + ruler.thick_px - 1)
        pen.rectangle(box if ruler.side != "top" else (box[1], box[0], box[3], box[2]), spec.ink)
        if major and ruler.numbers:
            text = f"{number * ruler.minor_mm / 10:g}"
            if ruler.side == "top":
                pen.text((first, far - 3), text, spec.ink, parts.font(11), anchor="mb")
            else:
                anchor = "lm" if outwards > 0 else "rm"
                pen.text((far + 3 * outwards, first), text, spec.ink, parts.font(11), anchor=anchor)
    if ruler.line:
        line = [(away, start), (away, start + along - 1)]
        pen.line([end[::-1] for end in line] if ruler.side == "top" else line, spec.ink)
    across = np.full_like(at, away + outwards * (ruler.length_px - 1))
    both = (start + at, across) if ruler.side == "top" else (across, start + at)
    return np.stack(both, axis=1)


def _fan(spec: ScreenSpec) -> Image.Image | None:
    """Return the mask of a trapezoid picture, whose sides lean out downwards."""
    if not spec.lean_px:
        return None
    w, h = spec.picture.width, spec.picture.height
    fan = Image.new("L", (w, h), 0)
    corners = [(spec.lean_px, 0), (w - 1 - spec.lean_px, 0), (w - 1, h - 1), (0, h - 1)]
    ImageDraw.Draw(fan).polygon(corners, 255)
    return fan


def _through_jpeg(shot: Image.Image, quality: int) -> Image.Image:
    if not quality:
        return shot
    buffer = BytesIO()
    shot.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def _cart(
    pen: ImageDraw.ImageDraw, still: Image.Image, spec: ScreenSpec, rng: np.random.Generator
) -> list[parts.Changing]:
    roi = spec.picture
    pen.rectangle((0, 0, spec.width, 18), int(rng.choice([0, 40, 70])))
    pen.text((8, 3), parts.words(rng, 3), spec.ink, parts.font(12))
    changing = [parts.clock((spec.width - 74, 3), spec.ink, 12, rng)]
    if roi.x > 110:
        parts.text_block(pen, (6, 40, roi.x - 40, spec.height // 2), spec.ink, rng)
        parts.grey_bar(pen, (roi.x - 28, roi.y + 10, roi.x - 18, roi.y + 10 + roi.height // 3))
    if (right := spec.width - roi.x - roi.width) > 130:
        box = (spec.width - right + 60, 60, spec.width - 6, spec.height // 2)
        parts.text_block(pen, box, spec.ink, rng)
    below = spec.height - roi.y - roi.height
    if below > 60 and rng.uniform() < 0.7:
        box = (roi.x, spec.height - below + 14, roi.x + roi.width, spec.height - 10)
        changing.append(parts.trace(box, int(rng.integers(120, 220)), rng))
    elif below > 40:
        pen.text((roi.x, spec.height - 16), parts.words(rng, 4), spec.ink, parts.font(11))
    parts.probe_mark(pen, (roi.x + 6, roi.y - 12), spec.ink, rng)
    return changing


def _desktop(
    pen: ImageDraw.ImageDraw, still: Image.Image, spec: ScreenSpec, rng: np.random.Generator
) -> list[parts.Changing]:
    roi, face = spec.picture, int(rng.integers(150, 241))
    parts.window(pen, (0, 0, spec.width - 1, spec.height - 1), face, rng)
    right = spec.width - roi.x - roi.width
    if right > 160:
        parts.panel(pen, (spec.width - right + 70, 36, spec.width - 3, spec.height - 20), face, rng)
        parts.grey_bar(pen, (spec.width - right + 48, roi.y, spec.width - right + 60, roi.y + 90))
    if roi.x > 180:
        parts.panel(pen, (2, 36, roi.x - 90, spec.height - 20), face, rng)
    if rng.uniform() < 0.5:  # a second ruler along the bottom
        step = 10 / spec.mm_per_px
        for x in np.arange(roi.x, roi.x + roi.width, step):
            pen.line([(int(x), roi.y + roi.height + 2), (int(x), roi.y + roi.height + 6)], spec.ink)
    status = spec.height - 16
    pen.rectangle((0, status - 2, spec.width, spec.height), face)
    return [
        parts.counter((10, status), 20, 11, rng),
        parts.rate((150, status), 20, 11, rng),
    ]


def _touch(
    pen: ImageDraw.ImageDraw, still: Image.Image, spec: ScreenSpec, rng: np.random.Generator
) -> list[parts.Changing]:
    roi = spec.picture
    pen.rectangle((0, 0, spec.width, 26), int(rng.integers(20, 80)))
    parts.logo(pen, (6, 3, 66, 23), spec.ink, rng)
    pen.text((90, 6), parts.words(rng, 3), spec.ink, parts.font(13))
    changing = [parts.clock((spec.width - 84, 6), spec.ink, 13, rng)]
    right = spec.width - roi.x - roi.width
    if right > 150:
        box = (spec.width - right + 60, 60, spec.width - 6, spec.height * 2 // 3)
        parts.text_block(pen, box, spec.ink, rng)
    if roi.x > 120:
        parts.thumbnails(still, (6, 60, min(100, roi.x - 50), spec.height - 60), rng)
    bar = spec.height - 14
    changing.append(parts.cine_bar((roi.x, bar, roi.x + roi.width, bar + 6), spec.ink))
    changing.append(parts.counter((max(0, roi.x - 2), bar - 14), spec.ink, 11, rng))
    parts.probe_mark(pen, (roi.x + 4, roi.y - 12), spec.ink, rng)
    return changing


def _handheld(
    pen: ImageDraw.ImageDraw, still: Image.Image, spec: ScreenSpec, rng: np.random.Generator
) -> list[parts.Changing]:
    roi = spec.picture
    changing = [parts.clock((8, 3), spec.ink, 12, rng)]
    pen.rounded_rectangle((spec.width - 40, 4, spec.width - 12, 14), 3, outline=spec.ink)
    pen.rectangle((spec.width - 38, 6, spec.width - 20, 12), spec.ink)
    below = spec.height - roi.y - roi.height
    if below > 70:
        for x in np.linspace(60, spec.width - 60, int(rng.integers(2, 6))):
            y, r = spec.height - below // 2, min(26, below // 3)
            pen.ellipse((x - r, y - r, x + r, y + r), int(rng.integers(60, 200)), spec.ink)
            pen.text((x, y), parts.words(rng, 1)[:4], 255, parts.font(10), anchor="mm")
    if roi.y > 70:
        parts.text_block(pen, (16, 24, spec.width // 3, roi.y - 30), spec.ink, rng)
        parts.logo(pen, (spec.width - 110, 24, spec.width - 60, 50), spec.ink, rng)
    if below > 28:
        changing.append(parts.rate((spec.width - 90, spec.height - 18), spec.ink, 11, rng))
    parts.probe_mark(pen, (roi.x + 4, roi.y - 12), spec.ink, rng)
    return changing


_FURNITURE = {"cart": _cart, "desktop": _desktop, "touch": _touch, "handheld": _handheld}

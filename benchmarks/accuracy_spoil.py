"""Pictures spoilt for `accuracy.py`: nuisances one at a time, and several at once as a stress.

Every change takes and returns (picture uint8 (h, w), xy (2,) px, mm per px (x, y)), so that what
moves pixels moves the truth with them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

FloatArray = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]
State = tuple[UInt8Array, FloatArray, tuple[float, float]]
Change = Callable[[UInt8Array, FloatArray, tuple[float, float]], State]


def _grey(values: FloatArray) -> UInt8Array:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def level(
    picture: UInt8Array,
    xy: FloatArray,
    mm: tuple[float, float],
    *,
    gamma: float = 1.0,
    gain: float = 1.0,
    contrast: float = 1.0,
    clip: tuple[float, float] = (0.0, 255.0),
) -> State:
    """Gamma, then contrast about the mean, then gain, then what lies outside `clip` is cut off."""
    low, high = clip
    grey = 255 * (picture / 255.0) ** gamma
    grey = grey.mean() + contrast * (grey - grey.mean())
    return _grey((grey * gain - low) * 255 / (high - low)), xy, mm


def flip(picture: UInt8Array, xy: FloatArray, mm: tuple[float, float]) -> State:
    """Left and right exchanged."""
    return (
        np.ascontiguousarray(picture[:, ::-1]),
        np.array([picture.shape[1] - 1 - xy[0], xy[1]]),
        mm,
    )


def crop(
    picture: UInt8Array, xy: FloatArray, mm: tuple[float, float], *, share: float, where: float
) -> State:
    """A part of `share` of each side, with the MTJ at `where` of the free way from left to right.

    Where the MTJ is not in the picture the part is its middle.
    """
    h, w = picture.shape
    height, width = round(h * share), round(w * share)
    at = xy if np.isfinite(xy).all() else np.array([w / 2, h / 2])
    left = int(np.clip(at[0] - (0.15 + 0.7 * where) * width, 0, w - width))
    top = int(np.clip(at[1] - 0.45 * height, 0, h - height))
    return picture[top : top + height, left : left + width].copy(), xy - [left, top], mm


def screen(picture: UInt8Array, xy: FloatArray, mm: tuple[float, float], *, share: float) -> State:
    """A full screen of which the picture is `share` wide: grey bars, a ruler, blocks as of text."""
    h, w = picture.shape
    height, width = round(h / share), round(w / share)
    out = np.full((height, width), 12, np.uint8)
    out[: round(0.06 * height)] = 60
    rng = np.random.default_rng(1)
    for _ in range(40):  # letters of a menu at the left and of a caption below
        y, x = rng.integers(0, height - 6), rng.integers(0, width - 30)
        out[y : y + 5, x : x + rng.integers(8, 30)] = rng.integers(90, 220)
    left, top = round(0.62 * (width - w)), round(0.5 * (height - h))
    out[top : top + h : 20, left + w : left + w + 6] = 200
    out[top : top + h, left : left + w] = picture
    return out, xy + [left, top], mm


def sampled(
    picture: UInt8Array, xy: FloatArray, mm: tuple[float, float], *, px_per_mm: float
) -> State:
    """The same picture with that many pixels to a millimetre."""
    h, w = picture.shape
    size = (max(8, round(w * mm[0] * px_per_mm)), max(8, round(h * mm[1] * px_per_mm)))
    small = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
    factor = np.array(size) / [w, h]
    return np.asarray(small), (xy + 0.5) * factor - 0.5, (mm[0] / factor[0], mm[1] / factor[1])


def blur(picture: UInt8Array, xy: FloatArray, mm: tuple[float, float], *, sigma_mm: float) -> State:
    """Out of focus."""
    return _grey(ndimage.gaussian_filter(picture.astype(float), sigma_mm / mm[0])), xy, mm


def jpeg(picture: UInt8Array, xy: FloatArray, mm: tuple[float, float], *, quality: int) -> State:
    """Through a JPEG file."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("L")), xy, mm


def letterbox(
    picture: UInt8Array, xy: FloatArray, mm: tuple[float, float], *, sides: float, ends: float
) -> State:
    """Black margins around the picture, as shares of its width and height."""
    h, w = picture.shape
    x, y = round(sides * w), round(ends * h)
    return np.pad(picture, ((y, y), (x, x))), xy + [x, y], mm


#: Each nuisance by itself: group, what, change.
NUISANCES: tuple[tuple[str, str, Change], ...] = (
    ("orientation", "mirrored", flip),
    *(
        ("crop", f"{share:.0%} of each side, MTJ {name}", partial(crop, share=share, where=at))
        for share in (0.8, 0.6)
        for name, at in (("at left", 0.0), ("in the middle", 0.5), ("at right", 1.0))
    ),
    *(
        ("screen", f"full screen, {share:.0%} of it picture", partial(screen, share=share))
        for share in (0.75, 0.5)
    ),
    *(("sampling", f"{n:g} px/mm", partial(sampled, px_per_mm=n)) for n in (3, 4.5, 6, 9, 12)),
    *(("gain", f"grey x {g:g}", partial(level, gain=g)) for g in (0.4, 0.7, 1.5, 2.0)),
    *(("contrast", f"contrast x {c:g}", partial(level, contrast=c)) for c in (0.4, 0.7, 1.5)),
    *(("gamma", f"gamma {g:g}", partial(level, gamma=g)) for g in (0.5, 0.7, 1.4, 2.0)),
    ("clipping", "grey 30..180 stretched to 0..255", partial(level, clip=(30, 180))),
    ("clipping", "grey 60..140 stretched to 0..255", partial(level, clip=(60, 140))),
    *(("blur", f"{s:g} mm", partial(blur, sigma_mm=s)) for s in (0.2, 0.4, 0.8)),
    *(("JPEG", f"quality {q}", partial(jpeg, quality=q)) for q in (40, 20, 10)),
    ("letterbox", "black, 20 % at both sides", partial(letterbox, sides=0.2, ends=0.0)),
    ("letterbox", "black, 40 % above and below", partial(letterbox, sides=0.0, ends=0.4)),
)


def _veil(grey: FloatArray, degree: float, rng: np.random.Generator) -> FloatArray:
    """Clutter: a bright haze that thins with depth."""
    depth = np.linspace(0, 1, len(grey))[:, None]
    haze = 230 * np.exp(-depth / (0.15 + 0.6 * rng.random()))
    return grey * (1 - 0.7 * degree) + degree * haze


def _smear(grey: FloatArray, degree: float, rng: np.random.Generator) -> FloatArray:
    """The probe moves while frames are averaged."""
    length = 1 + round(degree * 0.12 * grey.shape[1] * (0.3 + 0.7 * rng.random()))
    return np.asarray(ndimage.uniform_filter1d(grey, length, axis=1))


def _mosaic(grey: FloatArray, degree: float, rng: np.random.Generator) -> FloatArray:
    """A thumbnail enlarged without smoothing."""
    h, w = grey.shape
    cell = 1 + degree * (4 + 10 * rng.random()) * w / 512
    small = Image.fromarray(_grey(grey)).resize(
        (max(4, round(w / cell)), max(4, round(h / cell))), Image.Resampling.BOX
    )
    return np.asarray(small.resize((w, h), Image.Resampling.NEAREST), dtype=float)


def _patches(grey: FloatArray, degree: float, rng: np.random.Generator) -> FloatArray:
    """Boxes over the picture, as windows of a screen, grey or of noise."""
    h, w = grey.shape
    out = grey.copy()
    for _ in range(round(6 * degree)):
        height, width = (int(side * (0.08 + 0.3 * degree * rng.random())) for side in (h, w))
        y, x = rng.integers(0, h - height), rng.integers(0, w - width)
        noise = 60 * rng.random() * rng.random((height, width))
        out[y : y + height, x : x + width] = 200 * rng.random() ** 2 + noise
    return out


def _sparkle(grey: FloatArray, degree: float, rng: np.random.Generator) -> FloatArray:
    """White and black pixels of a bad cable."""
    dice = rng.random(grey.shape)
    share = 0.25 * degree
    return np.where(dice < share, 255.0, np.where(dice > 1 - share, 0.0, grey))


def _ripple(grey: FloatArray, degree: float, rng: np.random.Generator) -> FloatArray:
    """Mains hum: slanted bright bands."""
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]] / grey.shape[1]
    angle, period = rng.uniform(0, np.pi), rng.uniform(0.015, 0.06)
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    return grey * (1 - 0.4 * degree) + 110 * degree * (0.5 + 0.5 * wave)


#: Of other kinds than those of `training.stress`, on which confidences are fitted.
STRESSES = (_veil, _smear, _mosaic, _patches, _sparkle, _ripple)


def stressed(
    picture: UInt8Array,
    xy: FloatArray,
    mm: tuple[float, float],
    *,
    severity: float,
    rng: np.random.Generator,
) -> State:
    """Spoil a picture by each of `STRESSES` with an even chance, up to `severity`."""
    grey = picture.astype(float)
    for spoil in STRESSES:
        if rng.random() < 0.5:
            grey = spoil(grey, severity * rng.random(), rng)
    return _grey(grey), xy, mm

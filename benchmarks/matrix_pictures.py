"""The pictures of the reader's matrix: what is drawn in each frame, and how it is read back.

Every frame carries its number twice, as a barcode and as its inverse, above speckle that drifts, a
ramp of all grey levels and patches of colour. How they are stored is `matrix_clips.py`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]

BITS = 10
BLOCK = 16
DARK, BRIGHT = 24, 228


@cache
def _speckle(height: int, width: int, seed: int) -> UInt8Array:
    """Return a texture twice as wide as the picture, which drifts past it."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(height + 8, 2 * width + 8)) + 1j * random.normal(
        size=(height + 8, 2 * width + 8)
    )
    for axis, length in ((0, 4), (1, 9)):  # a finite pulse and beam make grains of their size
        noise = sum(np.roll(noise, shift, axis) for shift in range(length))
    level = 20 * np.log10(np.abs(noise) + 1e-3)
    level = (level - np.percentile(level, 5)) / np.ptp(np.percentile(level, [5, 99]))
    depth = np.linspace(1.1, 0.5, height)[:, None]
    level = level[:height, : 2 * width] * 190 * depth
    texture: UInt8Array = level.clip(0, 255).astype(np.uint8)
    return texture


def picture(number: int, height: int, width: int, seed: int = 0) -> UInt8Array:
    """Return frame `number`, RGB, shape (height, width, 3)."""
    shift = 3 * number % width
    grey = _speckle(height, width, seed)[:, shift : shift + width].copy()
    ramp = height // 6
    grey[-ramp:] = ((np.arange(width) * 255) // (width - 1) + 5 * number) % 256
    for bit in range(BITS):
        on = number >> bit & 1
        across = slice(bit * BLOCK, (bit + 1) * BLOCK)
        grey[:BLOCK, across] = BRIGHT if on else DARK
        grey[BLOCK : 2 * BLOCK, across] = DARK if on else BRIGHT
    rgb = np.repeat(grey[..., None], 3, axis=2)
    colours = [(230, 20, 30), (20, 200, 40), (30, 40, 220), (240, 220, 30)]
    size = max(8, height // 12)
    for place, colour in enumerate(colours):
        top = 2 * BLOCK + 8 + place * size
        rgb[top : top + size, -size:] = colour
    return rgb


def number_of(grey: UInt8Array) -> int | None:
    """Read the barcode of a frame; None unless every bit and its inverse agree clearly."""
    number = 0
    for bit in range(BITS):
        across = slice(bit * BLOCK + 4, (bit + 1) * BLOCK - 4)
        upper = float(grey[4 : BLOCK - 4, across].mean())
        lower = float(grey[BLOCK + 4 : 2 * BLOCK - 4, across].mean())
        if abs(upper - lower) < (BRIGHT - DARK) / 2:
            return None
        number |= (upper > lower) << bit
    return number


def luma_exactly(rgb: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the BT.601 luma of colours, not rounded."""
    thousandths = rgb[..., :3].astype(np.int64) @ np.array([299, 587, 114])
    luma: npt.NDArray[np.float64] = thousandths / 1000
    return luma

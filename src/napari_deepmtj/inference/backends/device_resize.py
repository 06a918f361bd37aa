"""The resize of `inference.resize` on any device, to the same grey levels but for a few.

Weights are rounded to integers, as torch and Pillow do when they resize bytes: rows are filtered
and rounded, then columns. Sums of whole numbers below 2 ** 24 are exact in single precision, so
products of matrices repeat it on every device.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_deepmtj.core.geometry import PixelMap
from napari_deepmtj.inference.resize import triangle_weights

FloatArray = npt.NDArray[np.float64]

#: Bits of a weight, its sign included.
WEIGHT_BITS = 16

#: Fractional bits beyond which torch does not go.
MOST_FRACTION = 22

#: Fractional bits with which sums of grey levels stay exact in single precision: 255 times
#: weights that add up to 2 ** 16, and a rounding more or less, is below 2 ** 24.
EXACT_BITS = 16


def whole_weights(weights: FloatArray) -> tuple[FloatArray, int]:
    """Return weights times 2 ** bits, rounded, and bits: as many as `WEIGHT_BITS` can hold."""
    most, bits = float(weights.max()), 0
    while bits < MOST_FRACTION and int(0.5 + most * 2 ** (bits + 1)) < 2 ** (WEIGHT_BITS - 1):
        bits += 1
    return np.floor(0.5 + weights * 2**bits), bits


class DeviceResize:
    """Resizes regions on a device and places them in the network's black input.

    Parameters
    ----------
    pixel_map : PixelMap
        Where the region goes.
    device : torch.device
        Where it is computed.
    """

    def __init__(self, pixel_map: PixelMap, device: torch.device) -> None:
        self._map = pixel_map
        roi = pixel_map.roi
        self._columns = _Axis(roi.width, pixel_map.content_width, device)
        self._rows = _Axis(roi.height, pixel_map.content_height, device)

    def __call__(self, regions: Tensor) -> Tensor:
        """Return network inputs, (B, H, W), of regions, (B, h, w), both uint8 on the device."""
        grey = self._columns(regions.float())
        grey = self._rows(grey.transpose(1, 2)).transpose(1, 2)
        shape = (len(regions), self._map.out_height, self._map.out_width)
        out = torch.zeros(shape, dtype=torch.uint8, device=regions.device)
        out[:, *self._map.content] = grey.to(torch.uint8)
        return out


class _Axis:
    """Resizes the last axis of grey levels."""

    def __init__(self, size: int, resized: int, device: torch.device) -> None:
        weights, self._bits = whole_weights(triangle_weights(size, resized))
        # Where shrinking takes finer weights, their upper and lower halves are summed apart.
        self._low = 2**EXACT_BITS if self._bits > EXACT_BITS else 0
        parts = (weights // self._low, weights % self._low) if self._low else (weights,)
        self._matrices = [torch.from_numpy(part.T.astype(np.float32)).to(device) for part in parts]
        self._same = size == resized

    def __call__(self, grey: Tensor) -> Tensor:
        """Map (B, r, size) to (B, r, resized), whole numbers in single precision."""
        if self._same:
            return grey
        sums = (grey @ self._matrices[0]).int()
        if self._low:
            sums = sums * self._low + (grey @ self._matrices[1]).int()
        half = 1 << (self._bits - 1)
        return ((sums + half) >> self._bits).clamp(0, 255).float()

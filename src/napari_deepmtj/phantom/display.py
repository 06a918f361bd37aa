"""What the scanner's screen makes of an envelope: compression, gain, post-processing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.phantom.materials import Look


def _box(image: Tensor) -> Tensor:
    """Mean over 3 x 3 pixels of images (B, H, W)."""
    return F.avg_pool2d(F.pad(image[:, None], (1, 1, 1, 1), mode="reflect"), 3, stride=1)[:, 0]


def display(envelope: Tensor, look: Look, z: Tensor, x: Tensor) -> Tensor:
    """Log compression, window, gamma and post-processing to grey levels, uint8 (B, H, W)."""

    def c(value: Tensor) -> Tensor:
        return value[:, None, None]

    # Compounding and speckle reduction: part of the variance smoothed away.
    decibel = 20 * torch.log10(envelope)
    smooth = c(look.uniform(0.3, 1.0))
    for _ in range(2):
        decibel = decibel * (1 - smooth) + _box(decibel) * smooth
    flat = decibel.flatten(1)[:, ::7]
    top = torch.quantile(flat, 0.997, dim=1) + look.uniform(-3, 5)
    window = look.uniform(42, 68)
    grey = ((decibel - c(top - window)) / c(window)).clamp(0, 1)
    # Whatever the window, the operator turns the gain until the median grey looks right.
    median = grey.flatten(1)[:, ::7].median(dim=1).values.clamp(0.05, 0.95)
    target = look.log(0.07, 0.40)
    gamma = (torch.log(target) / torch.log(median)).clamp(0.5, 2.6)
    grey = grey ** c(gamma)
    grey = grey + c(look.uniform(0, 1.2) * look.chance(0.4)) * (grey - _box(grey))
    lift = look.uniform(0, 0.16) * look.chance(0.35)
    grey = c(lift) + (1 - c(lift)) * grey
    return (grey.clamp(0, 1) * 255).round().to(torch.uint8)

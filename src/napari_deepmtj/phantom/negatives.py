"""Pictures without any calf: the probe lifted, gel only, other tissue, a frozen menu."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def render_nothing(n: int, height: int, width: int, rng: torch.Generator) -> Tensor:
    """Draw `n` pictures that show no muscle-tendon junction and no calf.

    Parameters
    ----------
    n, height, width : int
        How many, and their size in pixels.
    rng : torch.Generator
        Source of all randomness.

    Returns
    -------
    Tensor, uint8, shape (n, height, width)
        Grey levels.
    """

    def rand(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(n, generator=rng))[:, None, None]

    z = torch.linspace(0, 1, height)[None, :, None]
    x = torch.linspace(0, 1, width)[None, None, :]
    # Reverberations of the probe's face in air: lines that fade with depth.
    pitch, decay = rand(0.02, 0.15), rand(1.5, 9.0)
    lines = (0.5 + 0.5 * torch.cos(2 * math.pi * z / pitch)) ** rand(1, 12)
    air = lines * torch.exp(-decay * z) * rand(90, 255) * (1 + 0.1 * torch.sin(9 * x))
    # Speckle of gel or deep tissue without structure, in large soft clouds.
    noise = torch.randn(n, 2, height, width, generator=rng)
    noise = F.avg_pool2d(noise, (1, 5), stride=1, padding=(0, 2)) * 2.2
    speckle = noise.square().sum(1).sqrt()
    clouds = torch.randn(n, 1, 6, 8, generator=rng)
    clouds = F.interpolate(clouds, size=(height, width), mode="bicubic", align_corners=False)[:, 0]
    tissue = speckle * torch.exp(rand(0, 1.0) * clouds - rand(0, 4) * z) * rand(5, 70)
    # A menu: flat boxes and rows of small marks on a dark ground.
    coarse = torch.rand(n, 1, 12, 20, generator=rng)
    boxes = (F.interpolate(coarse, size=(height, width))[:, 0] > rand(0.6, 0.98)).float()
    marks = (torch.rand(n, 1, height // 4, width // 3, generator=rng) > 0.6).float()
    marks = F.interpolate(marks, size=(height, width))[:, 0]
    menu = boxes * (rand(20, 120) + rand(0, 135) * marks)
    kind = torch.rand(n, generator=rng)[:, None, None]
    mixed = torch.where(kind < 0.3, air + 0.3 * tissue, tissue)
    mixed = torch.where((kind > 0.6) & (kind < 0.75), menu, mixed)
    mixed = torch.where(kind > 0.92, 0.15 * tissue, mixed)
    return mixed.clamp(0, 255).round().to(torch.uint8)

"""Pictures made hard to read, so that doubt is fitted where there is something to doubt.

Only fits of the confidence see these; networks learn from `augment.py`, and the stressed test of
`benchmarks/accuracy.py` spoils pictures in other ways.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.training.augment import Batch


def stress(batch: Batch, rng: torch.Generator) -> Batch:
    """Return a batch with every picture spoilt to a degree of its own, from hardly to badly.

    Parameters
    ----------
    batch : Batch
        Of B pictures, grey levels in -1..1.
    rng : torch.Generator
        Source of all randomness.
    """
    n, _, height, width = batch.pictures.shape

    def share() -> Tensor:
        return torch.rand(n, 1, 1, 1, generator=rng)

    degree = share()
    picture = (batch.pictures + 1.0) / 2.0
    blurred = F.avg_pool2d(F.pad(picture, (3, 3, 3, 3), mode="replicate"), kernel_size=7, stride=1)
    picture = picture.lerp(blurred, degree * share())
    level = picture.mean(dim=(2, 3), keepdim=True)
    picture = level + (picture - level) * (1.0 - 0.85 * degree * share())
    # A shadow, as gas, bone or a lifted end of the probe throws it.
    column = (torch.arange(width) + 0.5) / width
    middle, half = share(), 0.02 + 0.2 * share()
    inside = torch.sigmoid((half - (column - middle).abs()) / 0.02)
    picture = picture * (1.0 - inside * degree * share().round())
    rows = (torch.arange(height) + 0.5)[:, None] / height

    # Gain sliders set at random: bands over depth.
    gains = torch.randn(n, 1, 8, 1, generator=rng)
    bands = F.interpolate(gains, size=(height, 1), mode="bilinear", align_corners=True)
    picture = picture * torch.exp(degree * share() * 1.2 * bands)
    # Elements of the probe that are silent: dark columns.
    silent = (torch.rand(n, 1, 1, width, generator=rng) < 0.6 * degree * share()).float()
    picture = picture * (1.0 - silent * degree * share())
    # A spot without echoes or contrast over part of the picture.
    centre_x, centre_y, wide, high = share(), share(), 0.05 + 0.3 * share(), 0.05 + 0.3 * share()
    distance = ((column - centre_x) / wide) ** 2 + ((rows - centre_y) / high) ** 2
    spot = torch.sigmoid((1.0 - distance) / 0.1) * degree * share().round()
    picture = picture.lerp(level * share() * 1.5, spot)
    # Two moments in one frame.
    moved = [int(shift) for shift in (torch.rand(n, generator=rng) - 0.5) * 0.2 * width]
    ghost = torch.stack([p.roll(shift, dims=-1) for p, shift in zip(picture, moved, strict=True)])
    picture = picture.lerp(ghost, 0.5 * degree * share().round())
    coarse = torch.randn(n, 1, height // 2, width // 2, generator=rng)
    grain = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    picture = picture * torch.exp(0.8 * degree * share() * grain)
    noise = torch.randn(n, 1, height, width, generator=rng)
    picture = picture + 0.3 * degree * share() * noise
    return replace(batch, pictures=picture.clamp(0.0, 1.0) * 2.0 - 1.0)

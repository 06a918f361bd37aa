"""What tissue is made of: random tensors that stay with it while it moves.

Drawing them into a picture is `tissue` (how strongly each layer echoes) and `speckle` (the sum
of the echoes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.phantom.devices import Device, StyleSet, sample_devices
from napari_deepmtj.phantom.families import FINE, Family

#: Texture tiles: cells along and across the fibres.
_TILE = (160, 64)

#: Enough uniform numbers for every choice `render` makes, and for those of `clutter`.
N_LOOKS, N_CLUTTER = 144, 96
#: Share of a range that all others are drawn from.
USUAL = 0.65


@dataclass(frozen=True)
class Materials:
    """What the tissue is made of: random tensors that stay with it while it moves.

    Parameters
    ----------
    scatter : Tensor, shape (B, 2, H, W + 2 * margin)
        Real and imaginary part of the scatterers, one a pixel.
    margin : int
        Columns of tissue kept on either side of the picture for motion.
    flecks : Tensor, shape (B, 5, h, w)
        Fleck textures of fat, gastrocnemius, tendon, soleus and what lies below.
    lines : Tensor, shape (B, 6, w)
        Brightness along the specular lines.
    look : Tensor, shape (B, n_looks)
        Uniform numbers in 0..1 that choose echogenicity, texture, gain and shadows.
    device : Device
        The scanners.
    contrast : Tensor, shape (B,), or None
        Factor on how far, in dB, tissues differ, and on the amplitude of the specular lines;
        None leaves both alone.
    family : Family
        How the tissue is drawn.
    clutter : Tensor, shape (B, N_CLUTTER), or None
        Uniform numbers for what only some families have.
    """

    scatter: Tensor
    margin: int
    flecks: Tensor
    lines: Tensor
    look: Tensor
    device: Device
    contrast: Tensor | None = None
    family: Family = FINE
    clutter: Tensor | None = None


@dataclass(frozen=True)
class Motion:
    """Displacements in mm since the reference frame, each of shape (B,); distal positive.

    Parameters
    ----------
    muscle_mm, soleus_mm : Tensor
        Of the gastrocnemius with its tendon, and of the soleus.
    slip_mm : Tensor
        Of everything, the probe having slipped.
    """

    muscle_mm: Tensor
    soleus_mm: Tensor
    slip_mm: Tensor


def sample_materials(
    n: int,
    height: int,
    width: int,
    rng: torch.Generator,
    *,
    margin: int = 0,
    styles: StyleSet = "training",
    family: Family = FINE,
) -> Materials:
    """Draw materials for `n` pictures of `height` x `width` pixels, and scanners of a set."""
    fine = torch.randn(n, 5, *_TILE, generator=rng)
    coarse = torch.randn(n, 5, _TILE[0] // 3, _TILE[1] // 3, generator=rng)
    coarse = F.interpolate(coarse, size=_TILE, mode="bilinear", align_corners=False)
    drawn = Materials(
        scatter=torch.randn(n, 2, height, width + 2 * margin, generator=rng),
        margin=margin,
        flecks=0.8 * fine + 0.9 * coarse,
        lines=F.interpolate(torch.randn(n, 6, 40, generator=rng), size=160, mode="linear"),
        look=torch.rand(n, N_LOOKS, generator=rng),
        device=sample_devices(n, rng, styles),
        family=family,
    )
    device = replace(
        drawn.device,
        axial_mm=family.axial * drawn.device.axial_mm,
        lateral_mm=family.lateral * drawn.device.lateral_mm,
    )
    clutter = None if family.texture is None else torch.rand(n, N_CLUTTER, generator=rng)
    return replace(drawn, device=device, clutter=clutter)


class Look:
    """Hands out uniform numbers (B, n), those of `Materials`, one after the other, scaled.

    `wild` is the share of pictures that are drawn from the whole of a range.
    """

    def __init__(self, look: Tensor, wild: float) -> None:
        self._look = look
        self._next = 0
        self._width = torch.where(self.raw() < wild, 1.0, USUAL)

    def raw(self) -> Tensor:
        """Return the next number, uniform in 0..1, shape (B,)."""
        column = self._look[:, self._next]
        self._next += 1
        return column

    def uniform(self, low: float, high: float) -> Tensor:
        """Return the next number, uniform in `low`..`high`."""
        return low + (high - low) * self.raw()

    def usual(self, low: float, high: float) -> Tensor:
        """Return the next number, in the middle of `low`..`high` but in wild pictures."""
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        return middle + half * self._width * (2 * self.raw() - 1)

    def log(self, low: float, high: float) -> Tensor:
        """Return the next number, its logarithm uniform."""
        return torch.exp(self.uniform(math.log(low), math.log(high)))

    def chance(self, probability: float) -> Tensor:
        """Return 1 with `probability`, else 0."""
        return (self.raw() < probability).float()


def sample_flecks(tile: Tensor, along: Tensor, across: Tensor) -> Tensor:
    """Sample texture tiles (B, h, w) at cell coordinates (B, H, W); reflected at the ends."""
    tall, wide = tile.shape[-2:]
    grid = torch.stack([2 * along / wide, 2 * across / tall], dim=-1)
    sampled = F.grid_sample(
        tile[:, None], grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return sampled[:, 0]

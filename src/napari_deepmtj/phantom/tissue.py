"""How strongly each layer scatters, and what gain and shadows make of it; lines are `lines`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.phantom.anatomy import Layers, Scene
from napari_deepmtj.phantom.materials import Look, Materials, sample_flecks


def cells(value: Tensor) -> Tensor:
    """Spread a number a picture (B,) over its pixels, (B, 1, 1)."""
    return value[:, None, None]


def step(z: Tensor, boundary: Tensor, soft: float = 0.12) -> Tensor:
    """Go smoothly from 0 above to 1 below a boundary (B, W) of a depth grid (B, H, 1)."""
    return torch.sigmoid((z - boundary[:, None, :]) / soft)


def _shade(layer: Tensor, level: Tensor, texture: Tensor | None = None) -> Tensor:
    mean = cells(level)
    return layer * (mean if texture is None else mean + texture)


def echogenicity(
    scene: Scene,
    where: Layers,
    materials: Materials,
    look: Look,
    level: Tensor,
    z: Tensor,
    x: tuple[Tensor, Tensor, Tensor],
    masks: tuple[Tensor, ...],
) -> Tensor:
    """Scattering strength in dB, shape (B, H, W); `level` (B,) is the gastrocnemius' mean."""
    in_skin, in_fat, in_gap, in_muscle, in_tendon, in_soleus, in_deep = masks
    xf, xm, xs = x

    def oriented(
        index: int, xx: Tensor, zz: Tensor, angle: Tensor, long_mm: Tensor, short_mm: Tensor
    ) -> Tensor:
        c, t = cells(torch.cos(angle)), cells(torch.sin(angle))
        return sample_flecks(
            materials.flecks[:, index],
            (xx * c + zz * t) / cells(long_mm) - 12.0,
            (zz * c - xx * t) / cells(short_mm) - 20.0,
        )

    fat = oriented(0, xf, z, -scene.tilt * 0.5, look.log(3.0, 22.0), look.log(0.25, 1.4)) * cells(
        look.uniform(2.0, 6.5)
    )
    along = 0.5 * (where.muscle_top + where.muscle_bottom)[:, None, :]
    gm = oriented(
        1,
        xm,
        z - along * cells(look.uniform(0.2, 1.0)),
        scene.fibre_gm * look.uniform(0.2, 1.2),
        look.log(2.0, 12.0),
        look.log(0.25, 0.8),
    )
    tendon = oriented(
        2,
        xm,
        z - 0.5 * (where.tendon_top + where.tendon_bottom)[:, None, :],
        torch.zeros(len(scene)),
        look.log(8.0, 40.0),
        look.log(0.18, 0.5),
    ) * cells(look.uniform(2.0, 6.0))
    sol = oriented(
        3,
        xs,
        z - where.tendon_bottom[:, None, :] * cells(look.uniform(0.2, 1.0)),
        scene.fibre_sol,
        look.log(1.2, 9.0),
        look.log(0.3, 1.2),
    )
    deep = oriented(4, xs, z, scene.fibre_deep, look.log(2.0, 20.0), look.log(0.4, 2.2)) * cells(
        look.uniform(2.0, 6.0)
    )
    # Fascicles and septa are short bright flecks on a darker ground: the bright tail stretched.
    gm = gm * cells(look.uniform(1.0, 4.0)) + cells(look.uniform(0.0, 6.0)) * F.relu(gm - 0.5)
    sol = sol * cells(look.uniform(1.5, 5.0)) + cells(look.uniform(0.0, 10.0)) * F.relu(sol - 0.5)

    total = _shade(in_fat, level + look.usual(-7, 9), fat)
    total = total + _shade(in_skin, level + look.usual(2, 16), 0.4 * fat)
    total = total + _shade(in_gap, level + look.usual(-8, 9), 0.7 * fat)
    total = total + _shade(in_muscle, level, gm)
    total = total + _shade(in_tendon, level + look.usual(2, 13), tendon)
    total = total + _shade(in_soleus, level + look.usual(-9, 4), sol)
    total = total + _shade(in_deep, level + look.usual(-11, 3), deep)
    covered = in_fat + in_skin + in_gap + in_muscle + in_tendon + in_soleus + in_deep
    above = 1 - step(z, where.skin_top)
    # The aponeurosis layers, not covered yet, scatter like tendon.
    rest = (1 - covered - above).clamp(min=0.0)
    total = total + _shade(rest, level + look.usual(3, 12), 0.7 * tendon)
    return total + _shade(above, level + look.usual(-30, 0))


def acoustics(scene: Scene, where: Layers, look: Look, z: Tensor, x: Tensor) -> Tensor:
    """Gain against depth and width, shadows and a bone, in dB, broadcastable to (B, H, W)."""
    depth = z / z[:, -1:, :]
    width = x[:, None, :] / cells(scene.width_mm)
    gain = -cells(look.usual(-6, 18)) * depth
    gain = gain + cells(look.uniform(0, 2.5)) * torch.sin(
        2 * math.pi * (depth * cells(look.uniform(0.5, 3.0)) + cells(look.raw()))
    )
    gain = gain - cells(look.usual(-2, 7)) * (2 * width - 1).abs() ** 4
    gain = gain + cells(look.uniform(-3, 3)) * (width - 0.5) * 2
    # A shadow (hair, a bubble, poor contact) falls from the skin downwards.
    for probability in (0.2, 0.1):
        shade = cells(look.chance(probability) * look.uniform(3, 14))
        reach = cells(look.log(0.01, 0.09))
        gain = gain - shade * torch.exp(-0.5 * ((width - cells(look.raw())) / reach) ** 2)
    below_bone = step(z, where.bone + 1.0, 0.4)
    return gain - cells(look.uniform(8.0, 25.0)) * below_bone

"""What makes a junction hard to tell: sheets, flecks, shadows, and fasciae that form wedges.

Only families with a `families.Texture` have it; the numbers come from `Materials.clutter`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.phantom.anatomy import Layers, Scene
from napari_deepmtj.phantom.families import Texture
from napari_deepmtj.phantom.lines import line
from napari_deepmtj.phantom.materials import Look, Materials, sample_flecks
from napari_deepmtj.phantom.tissue import cells, step

#: A fascia's wedge opens by as much, mm per mm, and reaches this share of the fat's depth.
_FASCIA_SLOPE, _FASCIA_REACH = (0.05, 0.35), (0.25, 0.85)


def sheets(
    scene: Scene,
    where: Layers,
    materials: Materials,
    look: Look,
    texture: Texture,
    z: Tensor,
    x: tuple[Tensor, Tensor],
    masks: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """Bright sheets and flecks along the fibres, in dB to add, shape (B, H, W).

    Parameters
    ----------
    texture : Texture
        Their ranges.
    x : (Tensor, Tensor)
        Columns in mm that move with the gastrocnemius and with the soleus, (B, 1, W).
    masks : (Tensor, Tensor, Tensor)
        Gastrocnemius, soleus, and what lies below, (B, H, W).
    """
    xm, xs = x
    middle = 0.5 * (where.muscle_top + where.muscle_bottom)[:, None, :]
    parts = (
        # tile, columns, depths, angle
        (1, xm, z - middle * cells(look.uniform(0.3, 1.0)), scene.fibre_gm),
        (3, xs, z - where.tendon_bottom[:, None, :], scene.fibre_sol),
        (4, xs, z.expand_as(masks[2]), scene.fibre_deep),
    )
    total = torch.zeros_like(masks[0])
    for mask, (tile, xx, zz, angle) in zip(masks, parts, strict=True):
        angle = angle * look.uniform(0.5, 1.1)
        cos, sin = cells(torch.cos(angle)), cells(torch.sin(angle))
        along, across = xx * cos + zz * sin, zz * cos - xx * sin

        def noise(
            shift: float,
            long_mm: tuple[float, float],
            thick_mm: tuple[float, float],
            *,
            tile: int = tile,
            along: Tensor = along,
            across: Tensor = across,
        ) -> Tensor:
            return sample_flecks(
                materials.flecks[:, tile],
                along / cells(look.log(*long_mm)) + shift,
                across / cells(look.log(*thick_mm)) + 2 * shift,
            )

        # A sheet is bright where its noise passes through zero; patches have more of them.
        sheet = torch.exp(
            -((noise(-11.0, (4.0, 20.0), (0.6, 1.6)) * cells(look.log(2.5, 6.0))) ** 2)
        )
        patch = torch.sigmoid(
            2 * noise(-27.0, (8.0, 30.0), (4.0, 12.0)) + cells(look.uniform(-1.5, 1.5))
        )
        fleck = F.relu(noise(7.0, (1.5, 6.0), (0.3, 0.75)) - cells(look.uniform(0.4, 1.2)))
        drawn = cells(look.uniform(*texture.sheet_db)) * sheet * patch
        drawn = drawn + cells(look.uniform(*texture.fleck_db)) * fleck
        drawn = drawn + cells(look.uniform(*texture.patch_db)) * (patch - 0.5)
        total = total + mask * drawn
    return total


def fasciae(
    scene: Scene, where: Layers, look: Look, texture: Texture, level: Tensor, z: Tensor, x: Tensor
) -> tuple[Tensor, Tensor]:
    """Fasciae in the fat that meet the superficial aponeurosis: wedges without an MTJ.

    Parameters
    ----------
    level : Tensor, shape (B,)
        The gastrocnemius' scattering in dB.
    x : Tensor, shape (B, W)
        Columns in mm.

    Returns
    -------
    shade : Tensor, shape (B, H, W)
        dB to add to the tissue between fascia and aponeurosis.
    bright : Tensor, shape (B, H, W)
        Amplitude of the lines.
    """
    shade = bright = torch.zeros(1)
    fat = (where.fascia - where.skin_bottom).clamp(min=0.1)
    for _ in range(2):
        there = look.chance(texture.fascia)
        begin = scene.tip_mm + scene.width_mm * look.uniform(-0.5, 0.5)
        way = 2 * look.chance(0.6) - 1
        ahead = ((x - begin[:, None]) * way[:, None]).clamp(min=0.0)
        reach = look.uniform(*_FASCIA_REACH)[:, None] * fat
        lift = reach * -torch.expm1(-ahead * look.log(*_FASCIA_SLOPE)[:, None] / reach)
        centre = where.fascia - lift
        open_ = cells(there) * (lift > 0.05).float()[:, None, :]
        between = step(z, centre) * (1 - step(z, where.fascia))
        shade = shade + cells(look.uniform(-7.0, 3.0)) * open_ * between
        strength = torch.pow(10.0, (level + look.usual(-2.0, 18.0)) / 20)
        thick = look.log(0.15, 0.45)[:, None].expand(-1, x.shape[1])
        bright = bright + cells(strength) * open_ * line(z, centre, thick)
    return shade, bright


def losses(scene: Scene, look: Look, texture: Texture, z: Tensor, x: Tensor) -> Tensor:
    """Shadows, poor contact at a side and loss with depth, in dB to add, (B, H, W); `x` (B, W)."""
    across = x[:, None, :] / cells(scene.width_mm)
    depth = z / z[:, -1:, :]
    loss = cells(look.chance(0.6) * look.uniform(*texture.fade_db)) * F.relu(
        depth - cells(look.uniform(0.4, 0.9))
    )
    for _ in range(3):
        deep = cells(look.chance(0.07) * look.uniform(*texture.shadow_db))
        wide = cells(look.log(0.01, 0.1))
        loss = loss + deep * torch.exp(-(((across - cells(look.raw())) / wide) ** 4))
    # One side lifts off the skin.
    side = cells(look.chance(0.5))
    from_side = side * across + (1 - side) * (1 - across)
    lifted = cells(look.chance(0.1) * look.uniform(6.0, 30.0))
    return -loss - lifted * torch.sigmoid((cells(look.uniform(0.02, 0.22)) - from_side) / 0.02)


def averaged(
    envelope: Tensor, amplitude: Tensor, bright: Tensor, noise_db: Tensor, share: Tensor
) -> Tensor:
    """Average the speckle of an envelope (B, H, W) away but for a `share` (B,) of it, in dB.

    `amplitude` and `bright` are what diffuse and coherent echoes it is made of, `noise_db` (B,) the
    least that a scanner shows.
    """
    mean = F.avg_pool2d(F.pad((amplitude + bright)[:, None], (1, 1, 1, 1), mode="reflect"), 3, 1)
    mean = torch.maximum(mean[:, 0], cells(torch.pow(10.0, noise_db / 20)))
    part = cells(share)
    return torch.exp(part * torch.log(envelope) + (1 - part) * torch.log(mean))

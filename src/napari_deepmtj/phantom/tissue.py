"""How strongly each layer echoes: scattering, bright lines, gain and shadows."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.phantom.anatomy import Layers, Scene
from napari_deepmtj.phantom.materials import Look, Materials, sample_flecks


def line(z: Tensor, centre: Tensor, thickness: Tensor) -> Tensor:
    """Smooth profile (B, H, W) of a line of `thickness` mm (B, 1) around `centre` (B, W)."""
    # A squared Lorentzian: as a Gaussian to the eye, without its exponential.
    return 1.0 / (1.0 + ((z - centre[:, None, :]) * (1.3 / thickness)[:, None, :]) ** 2) ** 2


def step(z: Tensor, boundary: Tensor, soft: float = 0.12) -> Tensor:
    """Go smoothly from 0 above to 1 below a boundary (B, W) of a depth grid (B, H, 1)."""
    return torch.sigmoid((z - boundary[:, None, :]) / soft)


def _shade(layer: Tensor, level: Tensor, texture: Tensor | None = None) -> Tensor:
    mean = level[:, None, None]
    return layer * (mean if texture is None else mean + texture)


def echogenicity(
    scene: Scene,
    where: Layers,
    materials: Materials,
    look: Look,
    z: Tensor,
    x: tuple[Tensor, Tensor, Tensor],
    masks: tuple[Tensor, ...],
) -> Tensor:
    """Scattering strength in dB, shape (B, H, W)."""
    in_skin, in_fat, in_gap, in_muscle, in_tendon, in_soleus, in_deep = masks
    xf, xm, xs = x

    def cells(value: Tensor) -> Tensor:
        return value[:, None, None]

    def oriented(
        index: int, xx: Tensor, zz: Tensor, angle: Tensor, long_mm: Tensor, short_mm: Tensor
    ) -> Tensor:
        c, t = cells(torch.cos(angle)), cells(torch.sin(angle))
        return sample_flecks(
            materials.flecks[:, index],
            (xx * c + zz * t) / cells(long_mm) - 12.0,
            (zz * c - xx * t) / cells(short_mm) - 20.0,
        )

    muscle_level = look.uniform(-15, -4)
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
    gm = gm * cells(look.uniform(1.5, 5.0)) + cells(look.uniform(0.0, 10.0)) * F.relu(gm - 0.5)
    sol = sol * cells(look.uniform(1.5, 5.0)) + cells(look.uniform(0.0, 12.0)) * F.relu(sol - 0.5)

    level = muscle_level
    total = _shade(in_fat, level + look.uniform(-5, 8), fat)
    total = total + _shade(in_skin, level + look.uniform(2, 16), 0.4 * fat)
    total = total + _shade(in_gap, level + look.uniform(-8, 9), 0.7 * fat)
    total = total + _shade(in_muscle, level, gm)
    total = total + _shade(in_tendon, level + look.uniform(1, 13), tendon)
    total = total + _shade(in_soleus, level + look.uniform(-8, 4), sol)
    total = total + _shade(in_deep, level + look.uniform(-11, 2), deep)
    covered = in_fat + in_skin + in_gap + in_muscle + in_tendon + in_soleus + in_deep
    above = 1 - step(z, where.skin_top)
    # The aponeurosis layers, not covered yet, scatter like tendon.
    rest = (1 - covered - above).clamp(min=0.0)
    total = total + _shade(rest, level + look.uniform(2, 12))
    return total + _shade(above, level + look.uniform(-30, 0))


def acoustics(scene: Scene, where: Layers, look: Look, z: Tensor, x: Tensor) -> Tensor:
    """Gain against depth and width, shadows and a bone, in dB, broadcastable to (B, H, W)."""
    depth = z / z[:, -1:, :]
    width = x[:, None, :] / scene.width_mm[:, None, None]

    def c(value: Tensor) -> Tensor:
        return value[:, None, None]

    gain = -c(look.uniform(-5, 16)) * depth
    gain = gain + c(look.uniform(0, 2.5)) * torch.sin(
        2 * math.pi * (depth * c(look.uniform(0.5, 3.0)) + c(look.raw()))
    )
    gain = gain - c(look.uniform(-2, 7)) * (2 * width - 1).abs() ** 4
    gain = gain + c(look.uniform(-3, 3)) * (width - 0.5) * 2
    # A shadow (hair, a bubble, poor contact) falls from the skin downwards.
    for probability in (0.25, 0.12):
        shade = c(look.chance(probability) * look.uniform(3, 14))
        reach = c(look.log(0.01, 0.09))
        gain = gain - shade * torch.exp(-0.5 * ((width - c(look.raw())) / reach) ** 2)
    below_bone = step(z, where.bone + 1.0, 0.4)
    return gain - 25.0 * below_bone


def specular(
    scene: Scene,
    where: Layers,
    materials: Materials,
    look: Look,
    z: Tensor,
    skin_x: Tensor,
    muscle_x: Tensor,
) -> Tensor:
    """Coherent echo of the bright lines, amplitude, shape (B, H, W)."""

    def patchy(index: int, x: Tensor) -> Tensor:
        cell = x / look.log(1.5, 9.0)[:, None]
        return sample_flecks(
            materials.lines[:, index][:, None].expand(-1, 2, -1),
            (cell * 4.0 - 70.0)[:, None],
            torch.zeros_like(cell)[:, None],
        )[:, 0]

    def echo(index: int, centre: Tensor, thick: Tensor, x: Tensor, level: Tensor) -> Tensor:
        slope = torch.diff(centre, dim=1, append=2 * centre[:, -1:] - centre[:, -2:-1])
        slope = slope / (scene.width_mm / centre.shape[1])[:, None]
        slope = F.avg_pool1d(F.pad(slope[:, None], (10, 10), mode="replicate"), 21, stride=1)[:, 0]
        steer = look.uniform(-0.08, 0.08)[:, None]
        loss = look.uniform(15.0, 130.0)[:, None] * (slope - steer) ** 2
        patch = look.uniform(1.0, 5.5)[:, None] * patchy(index, x)
        decibel = level[:, None] + patch - loss.clamp(max=22)
        strength = torch.pow(10.0, decibel / 20)[:, None, :]
        return strength * (line(z, centre, thick) + halo * line(z, centre, 4 * thick))

    halo = look.uniform(0.05, 0.45)[:, None, None]
    thin_s = scene.superficial_mm[:, None] * 0.55
    thin_d = scene.deep_mm[:, None] * 0.55
    bright = look.uniform(-3, 12)
    deep_line = where.tendon_top + 0.5 * scene.deep_mm[:, None]
    total = echo(0, where.fascia + 0.5 * scene.superficial_mm[:, None], thin_s, skin_x, bright)
    total = total + echo(1, deep_line, thin_d, muscle_x, bright + look.uniform(-5, 6))
    total = total + echo(
        2, where.tendon_bottom - 0.15, thin_d * 0.6, muscle_x, bright + look.uniform(-16, 3)
    )
    total = total + echo(3, where.soleus_bottom, thin_d, muscle_x, bright + look.uniform(-14, 5))
    total = total + echo(4, where.deep_fascia, thin_d * 0.8, skin_x, bright + look.uniform(-25, 0))
    total = total + echo(5, where.bone, thin_d, skin_x, bright + look.uniform(0, 10))
    # Septa of the fat, and reverberations of the skin: near-horizontal thin lines.
    for probability in (0.7, 0.5, 0.35):
        share = look.uniform(0.15, 0.95)[:, None]
        centre = where.skin_bottom + share * (where.fascia - where.skin_bottom)
        centre = centre + look.uniform(-0.03, 0.03)[:, None] * (skin_x - skin_x.mean(1, True))
        level = bright + look.uniform(-14, 0) - 80 * (1 - look.chance(probability))
        total = total + echo(3, centre, torch.full_like(thin_s, 0.28), skin_x, level)
    return total

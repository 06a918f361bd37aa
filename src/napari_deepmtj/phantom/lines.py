"""Coherent echoes: aponeuroses, fasciae, septa of the fat, and the perimysium between fascicles.

What they have in common is that they are bright along a line and strong where it lies across the
beam; diffuse scattering is `tissue`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.phantom.anatomy import Layers, Scene
from napari_deepmtj.phantom.materials import Look, Materials, sample_flecks
from napari_deepmtj.phantom.tissue import cells

#: Strands of collagen that an aponeurosis is drawn with, mm: their length and their thickness.
STRAND_MM = (9.0, 0.22)
#: Length of the strands of the connective tissue between fascicles, mm.
STREAK_GRAIN_MM = 2.5


def _eased(cell: Tensor) -> Tensor:
    """Move cell coordinates so that what is interpolated between cells has no kinks."""
    whole = (cell - 0.5).floor()
    share = cell - 0.5 - whole
    return whole + share * share * (3.0 - 2.0 * share) + 0.5


def profile(offset: Tensor, thickness: Tensor) -> Tensor:
    """Return the profile of a line of `thickness` mm at `offset` mm from its middle; 1 there."""
    # A squared Lorentzian: as a Gaussian to the eye, without its exponential.
    return 1.0 / (1.0 + (offset * (1.3 / thickness)) ** 2) ** 2


def line(z: Tensor, centre: Tensor, thickness: Tensor) -> Tensor:
    """Smooth profile (B, H, W) of a line of `thickness` mm (B, 1) around `centre` (B, W)."""
    return profile(z - centre[:, None, :], thickness[:, None, :])


def aponeuroses(
    scene: Scene,
    where: Layers,
    materials: Materials,
    look: Look,
    level: Tensor,
    z: Tensor,
    skin_x: Tensor,
    muscle_x: Tensor,
    in_soleus: Tensor,
) -> Tensor:
    """Echo of the layers' borders and of septa, amplitude, shape (B, H, W).

    `level` (B,) is the gastrocnemius' scattering in dB, which they stand out from.
    """

    def along(index: int, x: Tensor, cell_mm: Tensor | float) -> Tensor:
        cell = x / (cell_mm[:, None] if isinstance(cell_mm, Tensor) else cell_mm)
        return sample_flecks(
            materials.lines[:, index][:, None].expand(-1, 2, -1),
            (cell * 4.0 - 70.0)[:, None],
            torch.zeros_like(cell)[:, None],
        )[:, 0]

    def echo(
        index: int,
        centre: Tensor,
        thick: Tensor,
        x: Tensor,
        level: Tensor,
        *,
        fibrous: bool = False,
    ) -> Tensor:
        # Tissue's borders waver by a tenth of a millimetre over a few millimetres.
        centre = centre + rough * along(index, x + 31.0, 3.0)
        slope = torch.diff(centre, dim=1, append=2 * centre[:, -1:] - centre[:, -2:-1])
        slope = slope / (scene.width_mm / centre.shape[1])[:, None]
        slope = F.avg_pool1d(F.pad(slope[:, None], (10, 10), mode="replicate"), 21, stride=1)[:, 0]
        steer = look.uniform(-0.08, 0.08)[:, None]
        loss = look.uniform(*family.steep_loss)[:, None] * (slope - steer) ** 2
        patch = look.uniform(*family.patchy_db)[:, None] * along(index, x, look.log(1.5, 9.0))
        decibel = level[:, None] + patch - loss.clamp(max=family.most_loss_db)
        strength = torch.pow(10.0, decibel / 20)[:, None, :]
        offset = z - centre[:, None, :]
        shape = profile(offset, thick[:, None, :])
        if fibrous:
            strands = sample_flecks(
                materials.flecks[:, 2],
                (x / STRAND_MM[0] + 3.0 * index)[:, None, :].expand_as(offset),
                offset / STRAND_MM[1] + 9.0,
            )
            shape = shape * (1.0 + grain * strands).clamp(min=0.0)
        return strength * (shape + halo * profile(offset, 4 * thick[:, None, :]))

    family = materials.family
    halo = cells(look.uniform(0.0, 0.22))
    rough = look.uniform(0.0, 0.14)[:, None]
    grain = cells(look.uniform(0.2, 1.0))
    thin_s = scene.superficial_mm[:, None] * 0.6
    thin_d = scene.deep_mm[:, None] * 0.6
    bright = level + look.usual(*family.line_db)
    deep_line = where.tendon_top + 0.5 * scene.deep_mm[:, None]
    total = echo(
        0,
        where.fascia + 0.5 * scene.superficial_mm[:, None],
        thin_s,
        skin_x,
        bright + look.usual(-4, 3),
        fibrous=True,
    )
    deep_level = bright + look.usual(-4, 5)
    total = total + echo(1, deep_line, thin_d, muscle_x, deep_level, fibrous=True)
    total = total + echo(
        2, where.tendon_bottom - 0.15, thin_d * 0.6, muscle_x, bright + look.usual(-16, 3)
    )
    total = total + echo(
        3, where.soleus_bottom, thin_d, muscle_x, bright + look.usual(-14, 4), fibrous=True
    )
    total = total + echo(4, where.deep_fascia, thin_d * 0.8, skin_x, bright + look.usual(-25, 0))
    total = total + echo(5, where.bone, thin_d, skin_x, bright + look.usual(0, 10))
    # The soleus' own septum, a line that may run towards its border.
    share = look.uniform(0.2, 0.9)[:, None]
    septum = where.tendon_bottom + share * (where.soleus_bottom - where.tendon_bottom)
    septum = septum + look.uniform(-0.12, 0.12)[:, None] * (muscle_x - muscle_x.mean(1, True))
    absent = 80 * (1 - look.chance(0.4))
    total = total + in_soleus * echo(
        2, septum, thin_d * 0.7, muscle_x, bright + look.usual(-12, 1) - absent
    )
    # Septa of the fat, and reverberations of the skin: near-horizontal thin lines.
    for index, probability in enumerate((0.7, 0.5, 0.35)):
        share = look.uniform(0.15, 0.95)[:, None]
        centre = where.skin_bottom + share * (where.fascia - where.skin_bottom)
        centre = centre + look.uniform(-0.03, 0.03)[:, None] * (skin_x - skin_x.mean(1, True))
        shown = bright + look.uniform(-14, -1) - 80 * (1 - look.chance(probability))
        total = total + echo(3 + index, centre, torch.full_like(thin_s, 0.28), skin_x, shown)
    return total


def perimysium(
    scene: Scene,
    where: Layers,
    materials: Materials,
    look: Look,
    level: Tensor,
    z: Tensor,
    x: tuple[Tensor, Tensor],
    masks: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """Echo of the connective tissue between fascicles, amplitude, shape (B, H, W).

    Parameters
    ----------
    level : Tensor, shape (B,)
        The gastrocnemius' scattering in dB.
    x : (Tensor, Tensor)
        Columns in mm that move with the gastrocnemius and with the soleus, (B, 1, W).
    masks : (Tensor, Tensor, Tensor)
        Gastrocnemius, soleus, and what lies below, (B, H, W).
    """
    xm, xs = x
    mid = 0.5 * (where.muscle_top + where.muscle_bottom)[:, None, :]
    family = materials.family
    level = level + look.usual(*family.perimysium_db)
    below, deepest = look.usual(-12, 4), look.usual(-20, 0)
    parts = (
        # columns, depths, angle, strength in dB
        (xm, z - mid * cells(look.uniform(0.4, 1.0)), scene.fibre_gm, level),
        (xs, z - where.tendon_bottom[:, None, :], scene.fibre_sol, level + below),
        (xs, z.expand_as(masks[2]), scene.fibre_deep, level + deepest),
    )
    first = masks[0] > masks[1] + masks[2]
    kinds = (first, ~first & (masks[1] > masks[2]), ~first & (masks[1] <= masks[2]))
    along, across = torch.zeros_like(masks[0]), torch.zeros_like(masks[0])
    strength = torch.zeros_like(masks[0])
    for here, (xx, zz, angle, decibel) in zip(kinds, parts, strict=True):
        angle = angle * look.uniform(*family.perimysium_turn)
        cos, sin = cells(torch.cos(angle)), cells(torch.sin(angle))
        along = torch.where(here, xx * cos + zz * sin, along)
        across = torch.where(here, zz * cos - xx * sin, across)
        # A septum across the beam echoes; one along it hardly does.
        seen = cells(torch.pow(10.0, (decibel - 14.0 * angle.abs()) / 20))
        strength = torch.where(here, seen, strength)
    return strength * sum(masks) * _streaks(materials, look, along, across)


def _streaks(materials: Materials, look: Look, along: Tensor, across: Tensor) -> Tensor:
    """Parallel lines that begin, end and waver, shape of `along` and `across` in mm; about 1."""
    spacing, length = look.log(0.9, 2.6), look.log(3.0, 16.0)
    family = materials.family
    bend, bent = along / cells(look.log(6.0, 25.0)) + 40.0, across / 5.0 + 25.0
    if family.woven is not None:
        bend, bent = _eased(bend), _eased(bent)
    wander = sample_flecks(materials.flecks[:, 4], bend, bent)
    lane = across / cells(spacing) + cells(look.uniform(0.1, 0.6)) * wander
    number = lane.floor()
    # Each lane lights up where its own noise is high.
    light = sample_flecks(
        materials.flecks[:, 1], along / cells(length) + 31.0, number.remainder(58.0) + 3.5
    )
    light = F.relu(light - cells(look.uniform(*family.perimysium_rarity)))
    if family.woven is not None:
        # Along its length a septum is woven of strands, as an aponeurosis is.
        strands = sample_flecks(
            materials.flecks[:, 3], along / STREAK_GRAIN_MM + 17.0, across / STRAND_MM[1] + 29.0
        )
        light = light * (1.0 + cells(look.uniform(*family.woven)) * strands).clamp(min=0.0)
    offset = (lane - number - 0.5) * cells(spacing)
    return light * profile(offset, cells(look.log(*family.perimysium_mm)))

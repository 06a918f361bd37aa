"""Calf scenes as numbers: where every layer lies, and where the MTJ is by definition.

A scene is drawn in millimetres, distal to the right: x along the skin, z into depth, both from
the top-left corner of the picture. The functions here turn its numbers into layer boundaries; what
the layers look like is `speckle`, how they move `motion`.

The ranges, here and in `families`, are anatomical or were read from published B-mode figures of
the gastrocnemius MTJ; a range without a source is our choice, made wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.phantom.families import FINE, Family

#: Thickness of the muscle wedge at which the MTJ is put, in millimetres: the default of the
#: explicit label definition. P20 labels "the most distal insertion of the muscle into the free
#: tendon" (doi:10.1109/EMBC44109.2020.9176145); a person sees a wedge down to a few tenths of a
#: millimetre, about the axial resolution at 7 MHz, so the mathematical tip, at 0, lies several
#: millimetres distal of what anybody clicks.
#: Three quarters of a millimetre or less are what annotators of published pictures seem to use.
LABEL_THICKNESS_MM = 0.5
#: Depth of the MTJ below the upper edge of the deep aponeurosis, as a share of its own thickness:
#: people click on that bright line. Midway between the aponeuroses every network lay 0.3 to 0.9 mm
#: too shallow on every real picture.
LABEL_DEPTH = 0.3
#: How far proximally of its tip the wedge is searched for that thickness, and at how many places.
_SEARCH_MM, _SEARCHED = 40.0, 321


@dataclass(frozen=True)
class Scene:
    """B calf scenes; every field is a float32 tensor of shape (B,), lengths in mm.

    Parameters
    ----------
    width_mm : Tensor
        Width of the picture; its depth follows from its aspect, pixels being square.
    top_mm : Tensor
        Depth below the skin at which the picture begins; negative with a stand-off.
    skin_mm, fascia_mm : Tensor
        Thickness of the skin; depth below it of the superficial aponeurosis at the tip.
    tilt : Tensor
        Slope of the superficial aponeurosis (mm per mm), positive going deeper distally.
    tip_mm : Tensor
        x of the tip of the gastrocnemius, where its thickness vanishes.
    wedge_slope, wedge_mm, wedge_power, wedge_deep : Tensor
        Initial opening (mm per mm), thickness far from the tip, bluntness (below 1 blunt,
        above 1 fine), and the share of the opening on the deep side.
    superficial_mm, deep_mm : Tensor
        Thickness of the two aponeuroses.
    tendon_mm, tendon_thin, tendon_fade_mm : Tensor
        Thickness of the free tendon at the tip, thinning (mm per mm) distally, and how far
        proximally of the tip its fibres thicken the deep aponeurosis.
    gap_start_mm, gap_slope, gap_mm : Tensor
        Where, how fast and how far the crural fascia lifts off the tendon distally.
    soleus_mm, soleus_slope, soleus_end_mm : Tensor
        Thickness at the tip, growth proximally, distance distal of the tip where it ends.
    bone_mm : Tensor
        Depth of a bone below the soleus at the tip; beyond the picture in most scenes.
    wave_a..wave_d : Tensor
        Amplitudes of the layers' waviness in mm; `phase` and `wavelength_mm` shape it.
    fibre_gm, fibre_sol, fibre_deep : Tensor
        Fibre directions in radians, positive going deeper distally.
    """

    width_mm: Tensor
    top_mm: Tensor
    skin_mm: Tensor
    fascia_mm: Tensor
    tilt: Tensor
    tip_mm: Tensor
    wedge_slope: Tensor
    wedge_mm: Tensor
    wedge_power: Tensor
    wedge_deep: Tensor
    superficial_mm: Tensor
    deep_mm: Tensor
    tendon_mm: Tensor
    tendon_thin: Tensor
    tendon_fade_mm: Tensor
    gap_start_mm: Tensor
    gap_slope: Tensor
    gap_mm: Tensor
    soleus_mm: Tensor
    soleus_slope: Tensor
    soleus_end_mm: Tensor
    bone_mm: Tensor
    wave_a: Tensor
    wave_b: Tensor
    wave_c: Tensor
    wave_d: Tensor
    phase: Tensor
    wavelength_mm: Tensor
    fibre_gm: Tensor
    fibre_sol: Tensor
    fibre_deep: Tensor

    def __len__(self) -> int:
        return len(self.width_mm)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the fields, in the order of `to_table`."""
        return tuple(field.name for field in fields(cls))

    def to_table(self) -> Tensor:
        """Return all fields as one float32 tensor of shape (B, n_fields)."""
        return torch.stack([getattr(self, name) for name in self.names()], dim=1)

    @classmethod
    def from_table(cls, table: Tensor) -> Self:
        """Read what `to_table` wrote."""
        return cls(*table.unbind(dim=1))

    def moved(self, tip_mm: Tensor, slope_gain: Tensor) -> Self:
        """Return the scenes with the tip shifted by `tip_mm` and a steeper or flatter wedge."""
        return replace(self, tip_mm=self.tip_mm + tip_mm, wedge_slope=self.wedge_slope * slope_gain)


@dataclass(frozen=True)
class Layers:
    """Depths of the boundaries in mm from the picture's top, each of shape (B, W)."""

    skin_top: Tensor
    skin_bottom: Tensor
    fascia: Tensor
    muscle_top: Tensor
    muscle_bottom: Tensor
    tendon_top: Tensor
    tendon_bottom: Tensor
    soleus_bottom: Tensor
    deep_fascia: Tensor
    bone: Tensor


def _uniform(n: int, low: float, high: float, rng: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=rng)


def _log_uniform(n: int, low: float, high: float, rng: torch.Generator) -> Tensor:
    return torch.exp(_uniform(n, math.log(low), math.log(high), rng))


def sample_scenes(
    n: int,
    rng: torch.Generator,
    *,
    aspect: float,
    in_view: bool = True,
    family: Family = FINE,
) -> Scene:
    """Draw `n` scenes.

    Parameters
    ----------
    n : int
        How many.
    rng : torch.Generator
        Source of all randomness.
    aspect : float
        Height over width of the picture.
    in_view : bool
        Whether the tip lies in the picture; otherwise it lies 4-60 mm beyond either side, which
        leaves mid-belly muscle or free tendon and soleus.
    family : Family
        Whose ranges are drawn from.
    """
    width = _log_uniform(n, *family.width_mm, rng)
    depth = width * aspect
    fascia = torch.minimum(_log_uniform(n, 2.5, 16.0, rng), 0.42 * depth)
    skin = _uniform(n, 0.8, 2.2, rng)
    fascia = torch.maximum(fascia, skin + 0.8)
    top = _uniform(n, -1.0, 1.0, rng) * torch.minimum(fascia - skin, 0.12 * depth)
    top = torch.minimum(top, fascia - family.shallowest * depth)
    if in_view:
        tip = width * _uniform(n, *family.tip, rng)
    else:
        beyond = _uniform(n, 4.0, 60.0, rng)
        tip = torch.where(torch.rand(n, generator=rng) < 0.65, width + beyond, -beyond)
    superficial = _log_uniform(n, *family.superficial_mm, rng)
    deep = _log_uniform(n, *family.deep_mm, rng)
    tendon = deep + _log_uniform(n, *family.tendon_more_mm, rng)
    pennation = _uniform(n, math.radians(3), math.radians(22), rng)
    flat = torch.rand(n, generator=rng) < 0.12
    soleus_end = torch.where(
        torch.rand(n, generator=rng) < 0.25, _uniform(n, 10.0, 60.0, rng), torch.full((n,), 1e3)
    )
    bone = torch.where(
        torch.rand(n, generator=rng) < 0.10, _uniform(n, 3.0, 14.0, rng), torch.full((n,), 1e3)
    )
    return Scene(
        width_mm=width,
        top_mm=top,
        skin_mm=skin,
        fascia_mm=fascia,
        tilt=0.045 * torch.randn(n, generator=rng),
        tip_mm=tip,
        wedge_slope=_log_uniform(n, *family.wedge_slope, rng),
        wedge_mm=_log_uniform(n, *family.wedge_mm, rng),
        wedge_power=_log_uniform(n, *family.wedge_power, rng),
        wedge_deep=_uniform(n, 0.65, 1.1, rng),
        superficial_mm=superficial,
        deep_mm=deep,
        tendon_mm=tendon,
        tendon_thin=_uniform(n, *family.tendon_thin, rng),
        tendon_fade_mm=_log_uniform(n, *family.tendon_fade_mm, rng),
        gap_start_mm=_log_uniform(n, 2.0, 45.0, rng),
        gap_slope=_uniform(n, 0.0, 0.16, rng) * (torch.rand(n, generator=rng) < 0.45),
        gap_mm=_log_uniform(n, 0.5, 5.0, rng),
        soleus_mm=_log_uniform(n, 5.0, 26.0, rng),
        soleus_slope=_uniform(n, -0.06, 0.34, rng),
        soleus_end_mm=soleus_end,
        bone_mm=bone,
        wave_a=_log_uniform(n, 0.03, 0.8, rng),
        wave_b=_log_uniform(n, 0.03, 0.7, rng),
        wave_c=_log_uniform(n, 0.1, 1.2, rng),
        wave_d=_log_uniform(n, 0.2, 1.6, rng),
        phase=_uniform(n, 0.0, 2 * math.pi, rng),
        wavelength_mm=_log_uniform(n, 18.0, 110.0, rng),
        fibre_gm=torch.where(flat, -0.3 * pennation, pennation),
        fibre_sol=-_uniform(n, math.radians(-3), math.radians(34), rng),
        fibre_deep=_uniform(n, math.radians(-15), math.radians(10), rng),
    )


def wedge_thickness(scene: Scene, proximal_mm: Tensor) -> Tensor:
    """Thickness of the gastrocnemius in mm at a distance proximal of its tip.

    Parameters
    ----------
    scene : Scene
        B scenes.
    proximal_mm : Tensor, shape (B, W)
        Distance in mm; where negative (distal of the tip) the thickness is 0.
    """
    d = proximal_mm.clamp(min=0.0)
    limit, power = scene.wedge_mm[:, None], scene.wedge_power[:, None]
    # The opening is stated as the mean slope over the first 20 mm, whatever the bluntness.
    reach = scene.wedge_slope[:, None] * 20.0
    return limit * (1.0 - torch.exp(-(reach / limit) * (d / 20.0) ** power))


def _wave(scene: Scene, x: Tensor, amplitude: Tensor, shift: float) -> Tensor:
    """Three sinusoids of falling wavelength in mm, shape of `x`; `x` is distance from the tip."""
    base = 2 * math.pi * x / scene.wavelength_mm[:, None]
    phase = scene.phase[:, None] + shift
    waves = torch.sin(base + phase)
    waves = waves + 0.35 * torch.sin(1.9 * base + 2.3 * phase)
    waves = waves + 0.1 * torch.sin(4.1 * base + 3.7 * phase)
    # Tissue bends over centimetres: short waves are shallow.
    return (amplitude * scene.wavelength_mm / 60.0)[:, None] * waves


def layers(scene: Scene, x_mm: Tensor) -> Layers:
    """Boundaries of all layers at the columns `x_mm`, shape (B, W), in mm from the skin side."""
    proximal = scene.tip_mm[:, None] - x_mm
    distal = (-proximal).clamp(min=0.0)
    thick = wedge_thickness(scene, proximal)
    deep_share = scene.wedge_deep[:, None]

    base = (scene.fascia_mm - scene.top_mm)[:, None]
    fascia = base - scene.tilt[:, None] * proximal + _wave(scene, -proximal, scene.wave_a, 0.0)
    gap = torch.minimum(
        (distal - scene.gap_start_mm[:, None]).clamp(min=0.0) * scene.gap_slope[:, None],
        scene.gap_mm[:, None],
    )
    fascia = fascia - (1.0 - deep_share) * thick
    muscle_top = fascia + scene.superficial_mm[:, None]
    muscle_bottom = (
        muscle_top + thick + _wave(scene, -proximal, scene.wave_b, 1.7) * thick / (thick + 2.0)
    )
    muscle_bottom = torch.maximum(muscle_bottom, muscle_top)
    extra = (scene.tendon_mm - scene.deep_mm)[:, None]
    fade = torch.exp(-proximal.clamp(min=0.0) / scene.tendon_fade_mm[:, None])
    thin = torch.exp(-distal * scene.tendon_thin[:, None])
    aponeurosis = scene.deep_mm[:, None] + extra * fade * thin
    tendon_top = muscle_bottom + gap
    tendon_bottom = tendon_top + aponeurosis

    # The soleus' deep face runs its own way, but stays below the tendon until the muscle ends.
    at_tip = base + (scene.superficial_mm + scene.deep_mm + scene.soleus_mm)[:, None]
    slope = (scene.soleus_slope - scene.tilt)[:, None]
    soleus = at_tip + slope * proximal + _wave(scene, -proximal, scene.wave_c, 0.9) - tendon_bottom
    ending = (1.0 - distal / scene.soleus_end_mm[:, None]).clamp(min=0.0).sqrt()
    soleus_bottom = tendon_bottom + 1.5 * F.softplus(soleus / 1.5) * ending
    deep_fascia = soleus_bottom + 6.0 + _wave(scene, -proximal, scene.wave_d, 2.9)
    bone = at_tip + slope * proximal.clamp(min=-15.0) + scene.bone_mm[:, None]
    bone = torch.maximum(bone, soleus_bottom + 1.0) + _wave(scene, -proximal, scene.wave_b, 4.0)
    skin_top = -scene.top_mm[:, None] + 0.15 * _wave(scene, -proximal, scene.wave_a, 5.0)
    return Layers(
        skin_top=skin_top,
        skin_bottom=skin_top + scene.skin_mm[:, None],
        fascia=fascia,
        muscle_top=muscle_top,
        muscle_bottom=muscle_bottom,
        tendon_top=tendon_top,
        tendon_bottom=tendon_bottom,
        soleus_bottom=soleus_bottom,
        deep_fascia=deep_fascia,
        bone=bone,
    )


@dataclass(frozen=True)
class LabelDefinition:
    """Where the MTJ of a scene is, by definition.

    Parameters
    ----------
    thickness_mm : float
        It is where the wedge is that thick for the last time before its tip; 0 is the
        mathematical tip.
    depth : float
        Its depth below the upper edge of the deep aponeurosis, as a share of the aponeurosis'
        own thickness: 0 the edge, 0.5 the middle of the bright line.
    """

    thickness_mm: float = LABEL_THICKNESS_MM
    depth: float = LABEL_DEPTH

    def __str__(self) -> str:
        return (
            f"where the wedge is {self.thickness_mm:g} mm thick, on the deep aponeurosis, "
            f"{self.depth:g} of its thickness below its upper edge"
        )


#: The definition that everything follows unless it gives another.
LABEL = LabelDefinition()


def mtj_mm(scene: Scene, label: LabelDefinition = LABEL) -> Tensor:
    """Position of the MTJ by a label definition.

    Parameters
    ----------
    scene : Scene
        B scenes.
    label : LabelDefinition
        The definition.

    Returns
    -------
    Tensor, shape (B, 2)
        (x, z) in mm from the picture's top-left corner.
    """
    start, reach = scene.tip_mm[:, None] - _SEARCH_MM, _SEARCH_MM
    for _ in range(2):  # the whole wedge, then closely around the place
        step = reach / (_SEARCHED - 1)
        x_mm = start + step * torch.arange(_SEARCHED)
        at = layers(scene, x_mm)
        thick = at.muscle_bottom - at.muscle_top
        # The last place that is thick enough; the definition lies between it and the next.
        last = torch.where(thick > label.thickness_mm, torch.arange(_SEARCHED), 0)
        last = last.amax(dim=1, keepdim=True).clamp(max=_SEARCHED - 2)
        start, reach = x_mm.gather(1, last), step
    before, after = thick.gather(1, last), thick.gather(1, last + 1)
    share = ((before - label.thickness_mm) / (before - after).clamp(min=1e-9)).clamp(0.0, 1.0)
    x = (start + share * step)[:, 0]
    there = layers(scene, x[:, None])
    z = there.muscle_bottom[:, 0] + label.depth * scene.deep_mm
    return torch.stack([x, z], dim=1)

"""From layers to a B-mode picture: echogenicity, speckle from scatterers, and display.

Scatterers are band-limited complex noise in *material* coordinates, so that they move with
the tissue; the picture is the log-compressed envelope of their sum under an anisotropic point
spread. Everything is a pure function of random tensors, batched over B scenes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.phantom.anatomy import Layers, Scene, layers

#: Texture tiles: cells along and across the fibres.
_TILE = (160, 64)


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
        Uniform numbers in 0..1 that choose echogenicity, point spread, gain and display.
    """

    scatter: Tensor
    margin: int
    flecks: Tensor
    lines: Tensor
    look: Tensor


#: Enough uniform numbers for every choice `render` makes.
N_LOOKS = 112


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
    n: int, height: int, width: int, rng: torch.Generator, *, margin: int = 0
) -> Materials:
    """Draw materials for `n` pictures of `height` x `width` pixels."""
    fine = torch.randn(n, 5, *_TILE, generator=rng)
    coarse = torch.randn(n, 5, _TILE[0] // 3, _TILE[1] // 3, generator=rng)
    coarse = F.interpolate(coarse, size=_TILE, mode="bilinear", align_corners=False)
    return Materials(
        scatter=torch.randn(n, 2, height, width + 2 * margin, generator=rng),
        margin=margin,
        flecks=0.8 * fine + 0.9 * coarse,
        lines=F.interpolate(torch.randn(n, 6, 40, generator=rng), size=160, mode="linear"),
        look=torch.rand(n, N_LOOKS, generator=rng),
    )


class _Look:
    """Hands out the numbers of `Materials.look` one after the other, scaled."""

    def __init__(self, look: Tensor) -> None:
        self._look = look
        self._next = 0

    def raw(self) -> Tensor:
        column = self._look[:, self._next]
        self._next += 1
        return column

    def uniform(self, low: float, high: float) -> Tensor:
        return low + (high - low) * self.raw()

    def log(self, low: float, high: float) -> Tensor:
        return torch.exp(self.uniform(math.log(low), math.log(high)))

    def chance(self, probability: float) -> Tensor:
        return (self.raw() < probability).float()


def _flecks(tile: Tensor, along: Tensor, across: Tensor) -> Tensor:
    """Sample texture tiles (B, h, w) at cell coordinates (B, H, W); reflected at the ends."""
    tall, wide = tile.shape[-2:]
    grid = torch.stack([2 * along / wide, 2 * across / tall], dim=-1)
    sampled = F.grid_sample(
        tile[:, None], grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return sampled[:, 0]


def _line(z: Tensor, centre: Tensor, thickness: Tensor) -> Tensor:
    """Smooth profile (B, H, W) of a line of `thickness` mm (B, 1) around `centre` (B, W)."""
    # A squared Lorentzian: as a Gaussian to the eye, without its exponential.
    return 1.0 / (1.0 + ((z - centre[:, None, :]) * (1.3 / thickness)[:, None, :]) ** 2) ** 2


def _step(z: Tensor, boundary: Tensor, soft: float = 0.12) -> Tensor:
    """Go smoothly from 0 above to 1 below a boundary (B, W) of a depth grid (B, H, 1)."""
    return torch.sigmoid((z - boundary[:, None, :]) / soft)


def _point_spread(field: Tensor, axial_px: Tensor, lateral_px: Tensor, band: Tensor) -> Tensor:
    """Blur complex fields (B, H, W) by Gaussians of the given sigmas in pixels, (B, K) each.

    `band`, shape (B, K), is the lateral frequency the spread is centred at, in cycles a pixel:
    spreads at different bands give independent speckle of the same tissue, as the steering
    angles of a compounding scanner do.

    Returns
    -------
    Tensor, complex, shape (B, K, H, W)
        One blurred field for each of K point spreads, each with unit noise power.
    """
    height, width = field.shape[-2:]
    fy = torch.fft.fftfreq(height)[:, None]
    fx = torch.fft.fftfreq(width)[None, :]
    a, b = axial_px[..., None, None], lateral_px[..., None, None]
    # The Gaussian transfer function is separable: two short exponentials, one outer product.
    rows = torch.exp(-2 * math.pi**2 * (a * fy) ** 2)
    columns = torch.exp(-2 * math.pi**2 * (b * (fx - band[..., None, None])) ** 2)
    gain = (4 * math.pi * axial_px * lateral_px).clamp(min=1.0).sqrt()[..., None, None]
    spectrum = torch.view_as_real(torch.fft.fft2(field))[:, None]
    spectrum = spectrum * (rows * (columns * gain))[..., None]
    blurred: Tensor = torch.fft.ifft2(torch.view_as_complex(spectrum))
    return blurred


def render(
    scene: Scene, materials: Materials, height: int, width: int, motion: Motion | None = None
) -> Tensor:
    """Draw B pictures.

    Parameters
    ----------
    scene : Scene
        B scenes, already moved (`Scene.moved`).
    materials : Materials
        Their tissue, drawn for the same picture size.
    height, width : int
        Pixels of the picture; millimetres per pixel follow from `scene.width_mm`.
    motion : Motion, optional
        Where the tissue has gone since the reference frame.

    Returns
    -------
    Tensor, uint8, shape (B, H, W)
        Grey levels.
    """
    n = len(scene)
    mm_per_px = (scene.width_mm / width)[:, None]
    x = (torch.arange(width) + 0.5)[None] * mm_per_px
    z = ((torch.arange(height) + 0.5)[None] * mm_per_px)[:, :, None]
    slip = torch.zeros(n) if motion is None else motion.slip_mm
    skin_x = x - slip[:, None]
    where = layers(scene, x)
    look = _Look(materials.look)

    in_fat = _step(z, where.skin_bottom) * (1 - _step(z, where.fascia))
    in_muscle = _step(z, where.muscle_top) * (1 - _step(z, where.muscle_bottom))
    in_tendon = _step(z, where.tendon_top) * (1 - _step(z, where.tendon_bottom))
    in_soleus = _step(z, where.tendon_bottom) * (1 - _step(z, where.soleus_bottom, 0.25))
    in_deep = _step(z, where.soleus_bottom, 0.25)
    in_skin = _step(z, where.skin_top) * (1 - _step(z, where.skin_bottom))
    in_gap = _step(z, where.fascia + scene.superficial_mm[:, None]) * (
        1 - _step(z, where.tendon_top)
    )
    in_gap = (in_gap - in_muscle).clamp(min=0.0)

    u = torch.zeros(n) if motion is None else motion.muscle_mm
    s = torch.zeros(n) if motion is None else motion.soleus_mm
    xm = (x - (slip + u)[:, None])[:, None, :]
    xs = (x - (slip + s)[:, None])[:, None, :]
    xf = skin_x[:, None, :]

    decibel = _echogenicity(
        scene,
        where,
        materials,
        look,
        z,
        (xf, xm, xs),
        (in_skin, in_fat, in_gap, in_muscle, in_tendon, in_soleus, in_deep),
    )
    decibel = decibel + _acoustics(scene, where, look, z, skin_x)
    amplitude = torch.pow(10.0, decibel / 20.0)

    scatter = _advected(materials, mm_per_px, motion, in_fat + in_skin, in_soleus + in_deep)
    specular = _specular(scene, where, materials, look, z, xf[:, 0], xm[:, 0], in_deep)
    envelope = _envelope(amplitude, specular, scatter, look, mm_per_px[:, 0], z)
    return _display(envelope, look, z, x)


def _shade(layer: Tensor, level: Tensor, texture: Tensor | None = None) -> Tensor:
    mean = level[:, None, None]
    return layer * (mean if texture is None else mean + texture)


def _echogenicity(
    scene: Scene,
    where: Layers,
    materials: Materials,
    look: _Look,
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
        return _flecks(
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
    above = 1 - _step(z, where.skin_top)
    # The aponeurosis layers, not covered yet, scatter like tendon.
    rest = (1 - covered - above).clamp(min=0.0)
    total = total + _shade(rest, level + look.uniform(2, 12))
    return total + _shade(above, level + look.uniform(-30, 0))


def _acoustics(scene: Scene, where: Layers, look: _Look, z: Tensor, x: Tensor) -> Tensor:
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
    below_bone = _step(z, where.bone + 1.0, 0.4)
    return gain - 25.0 * below_bone


def _specular(
    scene: Scene,
    where: Layers,
    materials: Materials,
    look: _Look,
    z: Tensor,
    skin_x: Tensor,
    muscle_x: Tensor,
    in_deep: Tensor,
) -> Tensor:
    """Coherent echo of the bright lines, amplitude, shape (B, H, W)."""

    def patchy(index: int, x: Tensor) -> Tensor:
        cell = x / look.log(1.5, 9.0)[:, None]
        return _flecks(
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
        return strength * (_line(z, centre, thick) + halo * _line(z, centre, 4 * thick))

    halo = look.uniform(0.05, 0.45)[:, None, None]
    thin_s = scene.superficial_mm[:, None] * 0.55
    thin_d = scene.deep_mm[:, None] * 0.55
    muscle = look.uniform(-3, 12)
    deep_line = where.tendon_top + 0.5 * scene.deep_mm[:, None]
    total = echo(0, where.fascia + 0.5 * scene.superficial_mm[:, None], thin_s, skin_x, muscle)
    total = total + echo(1, deep_line, thin_d, muscle_x, muscle + look.uniform(-5, 6))
    total = total + echo(
        2, where.tendon_bottom - 0.15, thin_d * 0.6, muscle_x, muscle + look.uniform(-16, 3)
    )
    total = total + echo(3, where.soleus_bottom, thin_d, muscle_x, muscle + look.uniform(-14, 5))
    total = total + echo(4, where.deep_fascia, thin_d * 0.8, skin_x, muscle + look.uniform(-25, 0))
    total = total + echo(5, where.bone, thin_d, skin_x, muscle + look.uniform(0, 10))
    # Septa of the fat, and reverberations of the skin: near-horizontal thin lines.
    for probability in (0.7, 0.5, 0.35):
        share = look.uniform(0.15, 0.95)[:, None]
        centre = where.skin_bottom + share * (where.fascia - where.skin_bottom)
        centre = centre + look.uniform(-0.03, 0.03)[:, None] * (skin_x - skin_x.mean(1, True))
        level = muscle + look.uniform(-14, 0) - 80 * (1 - look.chance(probability))
        total = total + echo(3, centre, torch.full_like(thin_s, 0.28), skin_x, level)
    return total


def _advected(
    materials: Materials,
    mm_per_px: Tensor,
    motion: Motion | None,
    superficial: Tensor,
    below: Tensor,
) -> Tensor:
    """Scatterers of the present frame, complex, shape (B, H, W)."""
    scatter, margin = materials.scatter, materials.margin
    height, width = scatter.shape[-2], scatter.shape[-1] - 2 * margin
    if motion is None:
        now = scatter[..., margin : margin + width]
        return torch.complex(now[:, 0], now[:, 1])
    muscle = (1 - superficial - below).clamp(0, 1)
    shift = motion.muscle_mm[:, None, None] * muscle + motion.soleus_mm[:, None, None] * below
    shift = (shift + motion.slip_mm[:, None, None]) / mm_per_px[:, :, None]
    column = torch.arange(width)[None, None, :] + margin - shift
    row = torch.arange(height)[None, :, None].expand_as(column)
    grid = torch.stack(
        [(2 * column + 1) / scatter.shape[-1] - 1, (2 * row + 1) / height - 1], dim=-1
    )
    now = F.grid_sample(
        scatter, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return torch.complex(now[:, 0], now[:, 1])


def _envelope(
    amplitude: Tensor, specular: Tensor, scatter: Tensor, look: _Look, mm_per_px: Tensor, z: Tensor
) -> Tensor:
    """Envelope of the summed echoes, shape (B, H, W)."""
    axial = (look.log(0.10, 0.26) / mm_per_px).clamp(min=0.45)
    focus = (look.log(0.20, 0.60) / mm_per_px).clamp(min=0.55)
    zero, band = torch.zeros_like(focus), 0.32 / focus
    spread = _point_spread(
        torch.complex(amplitude * scatter.real, amplitude * scatter.imag),
        axial[:, None].expand(-1, 4),
        torch.stack([focus, focus, focus, focus * look.uniform(1.2, 2.2)], 1),
        torch.stack([zero, band, -band, zero], 1),
    )
    floor = torch.pow(10.0, look.uniform(-50, -30) / 20)[:, None, None]
    noise = torch.roll(scatter, (7, 13), dims=(1, 2))
    real, imaginary = specular + noise.real * floor, noise.imag * floor

    def power_of(index: int) -> Tensor:
        field = spread[:, index]
        return (field.real + real) ** 2 + (field.imag + imaginary) ** 2

    straight = power_of(0)
    steered = 0.5 * (power_of(1) + power_of(2))
    compound = look.uniform(0, 0.67)[:, None, None]
    sharp = (1 - compound) * straight + compound * steered
    depth = (z / z[:, -1:, :]).clamp(0, 1)
    off_focus = ((depth - look.uniform(0.1, 0.7)[:, None, None]).abs() * 1.4).clamp(max=1)
    power = sharp * (1 - off_focus) + power_of(3) * off_focus
    return power.sqrt() + 1e-6


def _box(image: Tensor) -> Tensor:
    """Mean over 3 x 3 pixels of images (B, H, W)."""
    return F.avg_pool2d(F.pad(image[:, None], (1, 1, 1, 1), mode="reflect"), 3, stride=1)[:, 0]


def _display(envelope: Tensor, look: _Look, z: Tensor, x: Tensor) -> Tensor:
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

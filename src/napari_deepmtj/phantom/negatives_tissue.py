"""B-mode of tissue that holds no muscle-tendon junction: other muscles, tendon, fascia, fat.

Layers are stacked with a thickness that stays well above zero across the picture, so that no two
aponeuroses meet in view. What is not an echo of layered tissue (air, screens, photographs) lives
in `negatives_other`; `negatives` chooses.

Ranges are ours, read off published B-mode figures of thigh and calf muscles and made wide:
fascicles 5-35 degrees, perimysium 0.3-0.6 mm thick, 5-20 mm long, 1-2.5 mm apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.phantom.devices import Device, StyleSet, sample_devices
from napari_deepmtj.phantom.display import display
from napari_deepmtj.phantom.materials import Look

#: Layers below the skin line: skin, subcutaneous fat, and four of muscle, tendon or fat.
LAYERS = 6
#: Least thickness of a muscle at its middle, in mm, and the most that it tapers towards a side of
#: the picture: what is left there is many times `anatomy.LABEL_THICKNESS_MM`.
THINNEST_MM, TAPER = 8.0, 0.6


class Dice(Look):
    """`Look` without a table: numbers of shape (n, 1, 1) for n pictures, drawn when asked for."""

    def __init__(self, n: int, rng: torch.Generator, per: int = 1) -> None:
        self._shape, self._rng = (n, per, 1), rng

    def raw(self) -> Tensor:
        """Return uniform numbers in 0..1."""
        return torch.rand(self._shape, generator=self._rng)

    def sign(self) -> Tensor:
        """Return -1 or 1."""
        return 1 - 2 * self.chance(0.5)


@dataclass(frozen=True)
class _Grid:
    """Where the pixels are: x (n, 1, W) from the middle and z (n, H, 1) from the skin, in mm."""

    x: Tensor
    z: Tensor
    mm_per_px: Tensor

    @property
    def half_mm(self) -> Tensor:
        """Half of the picture's width, shape (n, 1, 1)."""
        return self.x[:, :, -1:]


@dataclass(frozen=True)
class _Tables:
    """One number a layer, each of shape (n, LAYERS + 1, 1); the first row is above the skin."""

    thickness_mm: Tensor
    ground_db: Tensor
    streak_db: Tensor
    angle: Tensor
    spacing_mm: Tensor
    fleck_db: Tensor


def amplitude_of(decibel: Tensor) -> Tensor:
    """Return the amplitudes of levels in decibels."""
    return torch.exp(decibel * (math.log(10) / 20))


def smooth_noise(n: int, cells: tuple[int, int], height: int, width: int, dice: Dice) -> Tensor:
    """Return noise of unit deviation at the cells, interpolated to (n, height, width)."""
    coarse = torch.randn(n, 1, *cells, generator=dice._rng)
    return F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)[:, 0]


def render_tissue(
    kind: str,
    n: int,
    height: int,
    width: int,
    rng: torch.Generator,
    *,
    styles: StyleSet = "training",
) -> Tensor:
    """Draw `n` pictures of one kind of tissue.

    Parameters
    ----------
    kind : str
        "muscle", "tendon", "transverse" or "fat".
    n, height, width : int
        How many, and their size in pixels.
    rng : torch.Generator
        Source of all randomness.
    styles : str
        The set of scanners (`devices.StyleSet`).

    Returns
    -------
    Tensor, uint8, shape (n, height, width)
        Grey levels.
    """
    dice = Dice(n, rng)
    depth = dice.log(24, 70) if kind != "fat" else dice.log(14, 45)
    mm = depth / height
    grid = _Grid(
        x=(torch.arange(width) + 0.5 - width / 2) * mm,
        z=(torch.arange(height)[:, None] + 0.5) * mm + depth * dice.uniform(-0.08, 0.2),
        mm_per_px=mm,
    )
    tables = _tables(kind, n, rng)
    bend = _bend(grid, dice, 3.0 if kind == "transverse" else 1.0)
    tops = _tops(grid, tables, bend, rng)
    layer = (grid.z[:, None] > tops[:, :, None]).sum(1)

    def of(table: Tensor) -> Tensor:
        return table[:, :, 0].gather(1, layer.flatten(1)).view_as(layer)

    angle = of(tables.angle)
    z = grid.z - bend
    cos, sin = torch.cos(angle), torch.sin(angle)
    along = grid.x * cos + z * sin
    across = z * cos - grid.x * sin
    across = across + along.square() * dice.uniform(-0.003, 0.003)
    across = across + smooth_noise(n, (5, 8), height, width, dice) * dice.uniform(0.05, 0.4)
    mosaic = kind == "transverse"
    grain = _sampled(along / dice.log(1.2, 4), across / dice.log(0.35, 0.9), dice)
    decibel = of(tables.ground_db) + of(tables.fleck_db) * grain
    if mosaic:
        lines = _mosaic(along, across, dice)
    else:
        lines = _streaks(along, across, of(tables.spacing_mm), mm, dice)
    shadow = _shadows(grid, dice)
    gain = _gain(grid, dice) + shadow
    streak = amplitude_of(decibel + of(tables.streak_db)) * lines
    bright = streak + _aponeuroses(grid, tops, layer, dice)
    decibel, bright = _oddities(grid, decibel, bright, dice)
    factor = amplitude_of(gain)
    device = sample_devices(n, rng, styles)
    amplitude = amplitude_of(decibel) * factor
    envelope = _envelope(amplitude, bright * factor, grid, device, dice)
    shown = display(envelope, device, grid.mm_per_px[:, 0, 0])
    return _field_of_view(shown, grid, dice)


def _tables(kind: str, n: int, rng: torch.Generator) -> _Tables:
    """Draw what each layer is like."""
    one, each = Dice(n, rng), Dice(n, rng, LAYERS + 1)
    thickness = each.log(THINNEST_MM, 32.0)
    base, steps = one.uniform(-12, -3), one.uniform(0, 5)
    ground = base - steps * each.raw()
    streak = one.uniform(9, 19) + each.uniform(-4, 3)
    tilt = one.uniform(5, 35) * each.uniform(0.6, 1.2).clamp(max=1.1)
    angle = tilt * torch.where(one.chance(0.5) > 0, one.sign(), each.sign())
    spacing = one.log(0.9, 2.5) * each.uniform(0.8, 1.3)
    fleck = one.uniform(0.5, 4) * each.uniform(0.7, 1.3)
    # A bipennate muscle: the second layer is the first one mirrored at a central aponeurosis.
    twin = one.chance(0.35)[:, 0] > 0
    for table in (thickness, ground, streak, spacing, fleck):
        table[:, 4] = torch.where(twin, table[:, 3], table[:, 4])
    angle[:, 4] = torch.where(twin, -angle[:, 3], angle[:, 4])
    # Deep layers: less and less is seen of their streaks.
    fade = one.uniform(0, 3)
    for k in range(3, LAYERS + 1):
        streak[:, k] -= fade[:, 0] * (k - 3)
    # Above the skin, skin, and fat with its septa along the skin.
    thickness[:, 1], thickness[:, 2] = one.uniform(0.8, 2.5)[:, 0], one.log(1.5, 15)[:, 0]
    ground[:, 0] = ground[:, 0] - 25
    ground[:, 1], ground[:, 2] = one.uniform(-6, 4)[:, 0], base[:, 0] + one.uniform(-4, 5)[:, 0]
    angle[:, :3] = one.uniform(-7, 7)
    streak[:, 0] = -30
    streak[:, 2] = one.uniform(2, 14)[:, 0]
    spacing[:, 1], spacing[:, 2] = 0.6, one.uniform(1.5, 4)[:, 0]
    if kind == "tendon":
        thickness[:, 3] = one.uniform(4, 9)[:, 0]
        angle[:, 3] = one.uniform(-3, 3)[:, 0]
        spacing[:, 3] = one.uniform(0.35, 0.8)[:, 0]
        ground[:, 3] = base[:, 0] + one.uniform(2, 10)[:, 0]
        thickness[:, 4], angle[:, 4] = one.uniform(5, 20)[:, 0], one.uniform(-10, 10)[:, 0]
        streak[:, 4] = one.uniform(0, 10)[:, 0]
    elif kind == "fat":
        thickness[:, 2] = one.uniform(8, 40)[:, 0]
        angle[:, 3:], streak[:, 3:] = one.uniform(-6, 6), one.uniform(0, 10)
    return _Tables(thickness, ground, streak, angle * (math.pi / 180), spacing, fleck)


def _bend(grid: _Grid, dice: Dice, strength: float) -> Tensor:
    """Depth in mm by which every layer is bent, shape (n, 1, W)."""
    u = grid.x / grid.half_mm
    tilt = dice.uniform(-0.2, 0.2) * dice.chance(0.7)
    dome = dice.uniform(-0.05, 0.12) * strength * dice.chance(0.6)
    wave = dice.uniform(0, 0.02) * torch.sin(u * dice.uniform(1, 6) + 7 * dice.raw())
    return grid.half_mm * (tilt * u + dome * u.square() + wave)


def _tops(grid: _Grid, tables: _Tables, bend: Tensor, rng: torch.Generator) -> Tensor:
    """Depth in mm of the top of every layer, shape (n, LAYERS, W)."""
    each = Dice(len(bend), rng, LAYERS)
    taper = each.uniform(-TAPER, TAPER) * each.raw()
    taper[:, :2] *= 0.3
    thickness = tables.thickness_mm[:, 1:] * (1 + taper * grid.x / grid.half_mm)
    # The skin stays with the probe; what lies below bends more and more.
    below = torch.cumsum(thickness, 1)
    tops = torch.cat([torch.zeros_like(below[:, :1]), below[:, :-1]], 1)
    follow = torch.tensor([0.0, 0.15, 1.0, 1.0, 1.0, 1.0])[:, None]
    lift = (bend - bend.amin(2, keepdim=True)) * follow
    return tops + lift


def _sampled(u: Tensor, v: Tensor, dice: Dice, cells: tuple[int, int] = (96, 48)) -> Tensor:
    """Sample tiles of noise of unit deviation at cells (v, u), each of shape (n, H, W)."""
    tall, wide = cells
    tile = torch.randn(len(u), 1, tall, wide, generator=dice._rng)
    where = torch.stack([(2 * u + 1) / wide, (2 * v + 1) / tall], -1)
    return F.grid_sample(
        tile, where, mode="bilinear", padding_mode="reflection", align_corners=False
    )[:, 0]


def _streaks(along: Tensor, across: Tensor, spacing: Tensor, mm: Tensor, dice: Dice) -> Tensor:
    """Perimysium: lines along the fascicles, broken into pieces, 0 to about 1."""
    place = across / spacing + dice.uniform(0, 0.35) * torch.sin(
        along * dice.uniform(0.05, 0.3) + 6 * dice.raw()
    )
    number = torch.round(place)
    length, density = dice.log(3, 12), dice.uniform(-1.4, 0.4)
    piece = (_sampled(along / length + 0.37 * number, number, dice) - density).clamp(0, 1.6)
    sigma = torch.maximum(dice.uniform(0.12, 0.26), 0.45 * mm)
    offset = (place - number) * spacing / sigma
    return piece * torch.exp(-0.5 * offset.square())


def _mosaic(along: Tensor, across: Tensor, dice: Dice) -> Tensor:
    """Fascicles cut across: a net of thin bright walls around round dark cells."""
    size = dice.log(1.2, 3.5)
    ground = _sampled(along / (size * dice.uniform(1, 1.8)), across / size, dice)
    return torch.exp(-((ground / dice.uniform(0.12, 0.35)).square())) * dice.uniform(0.5, 1.0)


def _aponeuroses(grid: _Grid, tops: Tensor, layer: Tensor, dice: Dice) -> Tensor:
    """Bright lines at the layers' borders, as amplitudes (n, H, W)."""
    n, _, width = tops.shape
    each = Dice(n, dice._rng, LAYERS)
    patches = torch.randn(n, LAYERS, 12, generator=dice._rng)
    patches = F.interpolate(patches, size=width, mode="linear")
    decibel = dice.uniform(2, 14) + each.uniform(-4, 4) + each.uniform(1, 4) * patches
    strength = amplitude_of(decibel)
    steep = 1 / torch.maximum(each.log(0.18, 0.7), 0.5 * grid.mm_per_px).expand_as(tops)
    bright = torch.zeros(())
    # Only the borders above and below a pixel are near enough to count.
    for border in ((layer - 1).clamp(min=0), layer.clamp(max=LAYERS - 1)):
        offset = (grid.z - tops.gather(1, border)) * steep.gather(1, border)
        bright = bright + strength.gather(1, border) * torch.exp(-0.5 * offset.square())
    return bright


def _gain(grid: _Grid, dice: Dice) -> Tensor:
    """Attenuation left over, and the operator's time-gain curve, in dB, (n, H, 1)."""
    n, height, _ = grid.z.shape
    knots = torch.randn(n, 1, 6, generator=dice._rng) * dice.uniform(0, 4)
    curve = F.interpolate(knots, size=height, mode="linear")[:, 0, :, None]
    return curve - dice.uniform(-0.05, 0.45) * grid.z


def _shadows(grid: _Grid, dice: Dice) -> Tensor:
    """Columns under poor contact, in dB, (n, H, W) or broadcasting to it."""
    n, _, width = grid.x.shape
    knots = torch.randn(n, 1, 24, generator=dice._rng)
    where = F.interpolate(knots, size=width, mode="linear")
    return -dice.chance(0.4) * dice.uniform(2, 18) * (where - 0.8).clamp(0, 1)


def _oddities(grid: _Grid, decibel: Tensor, bright: Tensor, dice: Dice) -> tuple[Tensor, Tensor]:
    """Add a bone with its shadow and a vessel to some of the pictures."""
    depth = grid.z[:, -1:]
    slope, bow = dice.uniform(-0.15, 0.15), dice.uniform(0, 0.02)
    bone = depth * dice.uniform(0.55, 0.97) + slope * grid.x + bow * grid.x.square()
    there = dice.chance(0.22)
    if bool(there.any()):
        below = (grid.z - bone) / dice.uniform(0.2, 0.6)
        shadow = there * torch.sigmoid(4 * below)
        decibel = decibel - dice.uniform(12, 35) * shadow
        edge = there * torch.exp(-0.5 * below.square()) * dice.uniform(2, 9)
        bright = bright * (1 - 0.95 * shadow) + edge
    # A vessel: a dark oval, in which nothing echoes.
    there = dice.chance(0.2)
    if bool(there.any()):
        u = (grid.x - grid.half_mm * dice.uniform(-0.8, 0.8)) / dice.log(0.8, 5)
        v = (grid.z - depth * dice.uniform(0.2, 0.8)) / dice.log(0.8, 3.5)
        inside = torch.sigmoid(12 * (1 - (u.square() + v.square()))) * there
        decibel, bright = decibel - 25 * inside, bright * (1 - 0.97 * inside)
    return decibel, bright


def _envelope(amplitude: Tensor, bright: Tensor, grid: _Grid, device: Device, dice: Dice) -> Tensor:
    """Sum the echoes under a point spread that widens away from the focus, (n, H, W)."""
    n, height, width = amplitude.shape
    scatter = torch.randn(n, 2, height, width, generator=dice._rng)
    diffuse = amplitude + dice.uniform(0.4, 1.1) * bright
    coherent = dice.uniform(0.3, 0.9) * bright
    field = torch.complex(scatter[:, 0] * diffuse + coherent, scatter[:, 1] * diffuse)
    axial = (device.axial_mm[:, None, None] / grid.mm_per_px).clamp(min=0.45)
    focus = (device.lateral_mm[:, None, None] / grid.mm_per_px).clamp(min=0.55)
    fy, fx = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)
    spectrum = torch.fft.fft2(field) * torch.exp(-2 * (math.pi * axial * fy).square())

    def seen(lateral: Tensor) -> Tensor:
        gain = (4 * math.pi * axial * lateral).clamp(min=1.0).sqrt()
        kernel = torch.exp(-2 * (math.pi * lateral * fx).square()) * gain
        return torch.view_as_real(torch.fft.ifft2(spectrum * kernel)).square().sum(-1)

    depth = grid.z / grid.z[:, -1:]
    away = ((depth - device.focus[:, None, None]).abs() * 1.5).clamp(max=1)
    far = seen(focus * device.spread[:, None, None])
    power = seen(focus) * (1 - away) + far * away
    return (power + torch.pow(10.0, device.noise_db / 10)[:, None, None]).sqrt()


def _field_of_view(shown: Tensor, grid: _Grid, dice: Dice) -> Tensor:
    """Blacken what the probe does not see: beside a linear, steered or curved array."""
    half = torch.where(dice.chance(0.5) > 0, grid.half_mm * 1.1, dice.uniform(16, 33))
    half = half * dice.uniform(0.85, 1.0)
    steered = dice.chance(0.3)
    left, right = (steered * dice.uniform(-0.15, 0.45) for _ in range(2))
    middle = dice.uniform(-0.3, 0.3) * grid.half_mm * dice.chance(0.4)
    x = grid.x - middle
    z = grid.z - grid.z[:, :1]
    seen = (x > -half - left * z) & (x < half + right * z)
    curved = dice.chance(0.07) > 0
    if bool(curved.any()):
        radius = dice.uniform(35, 70)
        down = z + radius * torch.cos(dice.uniform(0.4, 0.7))
        fan = (torch.hypot(x, down) > radius) & ((x / down).abs() < dice.uniform(0.48, 0.84))
        seen = torch.where(curved, fan, seen)
    bottom = z[:, -1:]
    seen = seen & (z < bottom * dice.uniform(0.75, 1.6)) & (z >= bottom * dice.uniform(-0.9, 0.12))
    beyond = torch.where(dice.chance(0.2) > 0, dice.uniform(0, 255), torch.zeros(1, 1, 1))
    return torch.where(seen, shown, beyond.to(torch.uint8))

"""Pictures that are no echoes of tissue: the probe lifted, screens, photographs, pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from napari_deepmtj.phantom.negatives_tissue import Dice, smooth_noise
from napari_deepmtj.phantom.screen_parts import (
    font,
    grey_bar,
    panel,
    text_block,
    thumbnails,
    trace,
    window,
    words,
)

#: Draws a number of pictures of one kind of tissue.
Tissue = Callable[[str, int], Tensor]
_TISSUES = ("muscle", "tendon", "transverse", "fat")


def _grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Shares of the height (1, H, 1) and of the width (1, 1, W)."""
    down = (torch.arange(height) + 0.5) / height
    return down[None, :, None], ((torch.arange(width) + 0.5) / width)[None, None, :]


def _grey(picture: Tensor) -> Tensor:
    return picture.clamp(0, 255).round().to(torch.uint8)


def _some(tissue: Tissue, n: int, rng: torch.Generator) -> Tensor:
    """Draw tissue of any kind."""
    kinds = torch.randint(len(_TISSUES), (n,), generator=rng).tolist()
    return torch.cat([tissue(_TISSUES[kind], 1) for kind in kinds])


def lifted(n: int, height: int, width: int, rng: torch.Generator, tissue: Tissue) -> Tensor:
    """Draw a probe in air or in gel: reverberations, haze, noise, or nothing at all."""
    dice = Dice(n, rng)
    z, x = _grid(height, width)
    pitch, decay = dice.log(0.015, 0.2), dice.uniform(1.0, 10)
    tilt = dice.uniform(-0.1, 0.1) * (x - 0.5) + dice.uniform(0, 0.04) * torch.sin(
        dice.uniform(2, 9) * x
    )
    phase = 2 * math.pi * (z + tilt) / pitch
    lines = (0.5 + 0.5 * torch.cos(phase)) ** dice.log(1, 16)
    contact = smooth_noise(n, (1, 9), 1, width, dice) * dice.uniform(0, 0.6)
    lines = lines * torch.exp(-decay * z) * dice.uniform(40, 255) * torch.exp(contact)
    noise = torch.randn(n, 2, height, width, generator=rng)
    noise = F.avg_pool2d(noise, (1, 5), stride=1, padding=(0, 2)) * 2.2
    speckle = torch.where(dice.chance(0.5) > 0, noise.square().sum(1).sqrt(), noise[:, 0] + 1)
    clouds = smooth_noise(n, (6, 8), height, width, dice)
    haze = speckle * torch.exp(dice.uniform(0, 1) * clouds - dice.uniform(0, 5) * z)
    haze = haze * dice.log(0.5, 80)
    return _grey(dice.chance(0.65) * lines + haze * dice.chance(0.85))


def partial(n: int, height: int, width: int, rng: torch.Generator, tissue: Tissue) -> Tensor:
    """Draw a probe that touches the skin with a part of its face."""
    dice = Dice(n, rng)
    _, x = _grid(height, width)
    air = lifted(n, height, width, rng, tissue).float()
    edge = dice.uniform(0.2, 0.8)
    share = torch.sigmoid(dice.sign() * (x - edge) / dice.log(0.004, 0.12))
    return _grey(air * share + _some(tissue, n, rng).float() * (1 - share))


def doppler(n: int, height: int, width: int, rng: torch.Generator, tissue: Tissue) -> Tensor:
    """Draw colour Doppler, turned grey, in a box over tissue."""
    dice = Dice(n, rng)
    below = _some(tissue, n, rng).float()
    z, x = _grid(height, width)
    lean = dice.uniform(-0.5, 0.5) * dice.chance(0.5)
    u = (x - dice.uniform(0.3, 0.7) - lean * (z - 0.5)) / dice.uniform(0.1, 0.4)
    v = (z - dice.uniform(0.3, 0.7)) / dice.uniform(0.15, 0.45)
    far = torch.maximum(u.abs(), v.abs())
    coarse = int(torch.randint(4, 24, (), generator=rng))
    flow = torch.randn(n, 1, coarse, 2 * coarse, generator=rng)
    flow = F.interpolate(flow, size=(height, width), mode="bicubic", align_corners=False)[:, 0]
    flow = flow - dice.uniform(-0.5, 1.2)
    # Luma of red to yellow one way, of blue to cyan the other.
    towards = smooth_noise(n, (3, 5), height, width, dice) > dice.uniform(-1.5, 1.5)
    luma = torch.where(towards, 76 + 150 * flow, 29 + 140 * flow).clamp(20, 226)
    shown = torch.where((far < 1) & (flow > 0), luma, below)
    outline = ((far - 1).abs() < 0.012) & (dice.chance(0.7) > 0)
    return _grey(torch.where(outline, dice.uniform(120, 255), shown))


def traced(n: int, height: int, width: int, rng: torch.Generator, tissue: Tissue) -> Tensor:
    """Draw M-mode, or spectral Doppler, below a strip of tissue in half of the pictures."""
    dice = Dice(n, rng)
    z, x = _grid(height, width)
    below = _some(tissue, n, rng)
    # M-mode: one column of tissue over time.
    beat, at = dice.uniform(1.5, 9), dice.uniform(0.1, 0.9)
    wave = torch.sin(2 * math.pi * beat * x + 6 * dice.raw())
    wave = wave + 0.5 * torch.sin(6 * math.pi * beat * x + 6 * dice.raw())
    rows = (z + dice.uniform(0, 0.05) * wave * z).clamp(0, 0.999) * height
    column = below.gather(2, (at * width).long().expand(n, height, 1))[:, :, 0]
    m_mode = column.gather(1, rows.long().flatten(1)).view(n, height, width).float()
    grain = smooth_noise(n, (height // 2, width // 2), height, width, dice)
    m_mode = m_mode * (1 + dice.uniform(0, 0.4) * grain)
    # Spectral Doppler: what moves at what speed, over time.
    pulse = (x * beat + dice.raw()) % 1
    height_of = torch.exp(-((pulse - 0.2) * 7).square()) + dice.uniform(0, 0.4)
    speed = (dice.uniform(0.55, 0.9) - z) / (dice.uniform(0.25, 0.5) * height_of)
    filled = torch.where(speed > 0, torch.sigmoid(14 * (1 - speed)), torch.zeros(()))
    body = 0.25 + 0.75 * speed.clamp(0, 1) ** dice.uniform(0, 4)
    spectrum = dice.uniform(80, 230) * filled * body * (0.7 + 0.4 * grain).clamp(min=0)
    spectrum = spectrum + dice.uniform(0, 25) * grain.abs()
    shown = torch.where(dice.chance(0.5) > 0, m_mode, spectrum)
    top = z < dice.uniform(0.2, 0.5) * dice.chance(0.5)
    return _grey(torch.where(top, below.float(), shown))


def screen(n: int, height: int, width: int, rng: torch.Generator, tissue: Tissue) -> Tensor:
    """Draw menus, lists, rulers and desktops."""
    return _drawn(n, height, width, rng, _draw_screen)


def page(n: int, height: int, width: int, rng: torch.Generator, tissue: Tissue) -> Tensor:
    """Draw pages of documents: text, rules, tables, a plot."""
    return _drawn(n, height, width, rng, _draw_page)


def _drawn(
    n: int,
    height: int,
    width: int,
    rng: torch.Generator,
    draw: Callable[[Image.Image, np.random.Generator], None],
) -> Tensor:
    made = []
    for seed in torch.randint(2**31, (n,), generator=rng).tolist():
        numbers = np.random.default_rng(seed)
        still = Image.new("L", (width, height), int(numbers.integers(0, 90)))
        draw(still, numbers)
        made.append(torch.from_numpy(np.array(still)))
    return torch.stack(made)


def _box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Return a box of at least a tenth of the sides."""
    left, top = int(rng.uniform(0, 0.8) * width), int(rng.uniform(0, 0.8) * height)
    right = left + int(rng.uniform(0.1, 0.9) * width)
    return left, top, min(right, width - 1), min(top + int(rng.uniform(0.1, 0.9) * height), height)


def _draw_screen(still: Image.Image, rng: np.random.Generator) -> None:
    pen = ImageDraw.Draw(still)
    width, height = still.size
    ink = int(rng.integers(130, 256))
    if rng.uniform() < 0.4:
        window(pen, (0, 0, width - 1, height - 1), int(rng.integers(120, 240)), rng)
    for _ in range(int(rng.integers(1, 7))):
        box, what = _box(width, height, rng), rng.integers(6)
        if what == 0:
            panel(pen, box, int(rng.integers(90, 230)), rng)
        elif what == 1:
            pen.rectangle(box, int(rng.integers(0, 200)), ink)
            text_block(pen, box, ink, rng)
        elif what == 2:
            left, top, _, bottom = box
            grey_bar(pen, (left, top, left + 12, bottom))
        elif what == 3:
            trace(box, ink, rng)(pen, int(rng.integers(100)))
        elif what == 4:
            thumbnails(still, box, rng)
        else:
            left, top, _, bottom = box
            for mark in range(top, bottom, int(rng.integers(6, 24))):
                pen.line([(left, mark), (left + int(rng.integers(3, 12)), mark)], ink)
            pen.line([(left, top), (left, bottom)], ink)


def _draw_page(still: Image.Image, rng: np.random.Generator) -> None:
    pen = ImageDraw.Draw(still)
    width, height = still.size
    paper, ink = int(rng.integers(200, 256)), int(rng.integers(0, 90))
    pen.rectangle((0, 0, width, height), paper)
    left, size = int(rng.integers(-40, 40)), int(rng.integers(8, 22))
    y = int(rng.integers(-10, 20))
    while y < height:
        kind = rng.uniform()
        if kind < 0.8:
            pen.text((left, y), words(rng, int(rng.integers(2, 9))), ink, font(size))
            y += int(size * rng.uniform(1.1, 1.6))
        elif kind < 0.9:
            pen.line([(left, y), (width - 10, y)], ink)
            y += size
        else:
            tall = int(rng.integers(30, 90))
            pen.rectangle((left + 10, y, width // 2, y + tall), outline=ink)
            trace((left + 10, y, width // 2, y + tall), ink, rng)(pen, 0)
            y += tall + size


def photograph(n: int, height: int, width: int, rng: torch.Generator, tissue: Tissue) -> Tensor:
    """Draw scenes as photographs have them: shaded shapes, edges, textures, clouds, patterns."""
    dice = Dice(n, rng)
    z, x = _grid(height, width)
    x = 2 * x
    power = dice.uniform(0.35, 0.75)
    clouds = torch.zeros(n, height, width)
    for octave in range(6):
        cells = 2 << octave
        if cells * 2 <= min(height, width):
            clouds += power**octave * smooth_noise(n, (cells, 2 * cells), height, width, dice)
    light = dice.uniform(-1, 1) * (z - 0.5) + dice.uniform(-0.6, 0.6) * (x - 1)
    scene = dice.uniform(0, 0.6) * clouds + light
    for _ in range(int(torch.randint(3, 12, (), generator=rng))):
        turn = dice.uniform(0, math.pi)
        cos, sin = torch.cos(turn), torch.sin(turn)
        dx, dz = x - dice.uniform(-0.1, 2.1), z - dice.uniform(-0.1, 1.1)
        u = (dx * cos + dz * sin) / dice.log(0.05, 1.3)
        v = (dz * cos - dx * sin) / dice.log(0.04, 0.8)
        # From ovals through rounded boxes to boxes.
        far = (u.abs() ** 3 + v.abs() ** 3).pow(1 / 3)
        far = torch.where(dice.chance(0.4) > 0, far, torch.maximum(u.abs(), v.abs()))
        far = torch.where(dice.chance(0.4) > 0, torch.hypot(u, v), far)
        inside = torch.sigmoid((1 - far) * dice.log(4, 150))
        texture = torch.sin(u * dice.log(2, 60) + dice.uniform(0, 2) * clouds)
        texture = texture * torch.sin(v * dice.log(2, 60) * dice.chance(0.5) + 1.6)
        shade = dice.uniform(-1.2, 1.2) + dice.uniform(-0.8, 0.8) * u + dice.uniform(-0.4, 0.4) * v
        shade = shade + dice.uniform(0, 0.5) * dice.chance(0.4) * texture
        shade = shade + dice.uniform(0, 0.25) * clouds
        scene = scene * (1 - inside) + shade * inside
    grain = torch.randn(n, height, width, generator=rng) * dice.log(0.003, 0.06)
    return _grey(dice.uniform(70, 170) + dice.uniform(35, 130) * (scene + grain))


#: Kinds of pictures by name.
OTHERS: Mapping[str, Callable[[int, int, int, torch.Generator, Tissue], Tensor]] = {
    "lifted": lifted,
    "partial": partial,
    "doppler": doppler,
    "trace": traced,
    "screen": screen,
    "photograph": photograph,
    "page": page,
}

"""What a scanner, a codec and a person's crop do to a picture, batched over B pictures.

Geometry moves the label with the picture; everything else leaves it alone. Each function takes
a `torch.Generator`, so that a batch is a pure function of its seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

#: Share of the input's sides around its border where "in view or not" is left undecided.
UNDECIDED_MARGIN = 0.025


@dataclass(frozen=True)
class Batch:
    """Training pictures and their truth.

    Parameters
    ----------
    pictures : Tensor, float32, shape (B, 1, H, W)
        Grey levels in -1..1.
    xy : Tensor, float32, shape (B, 2)
        The MTJ in pixels of the picture, pixel centres at integers; meaningless where absent.
    present : Tensor, float32, shape (B,)
        1 in view, 0 not.
    decided : Tensor, float32, shape (B,)
        0 where the MTJ lies on the border, so that neither answer is wrong.
    mm_per_px : Tensor, float32, shape (B, 2)
        Millimetres per pixel of the picture on x and y.
    target : Tensor, float32, shape (B, H, W), optional
        The soft label, where it was warped with the picture.
    """

    pictures: Tensor
    xy: Tensor
    present: Tensor
    decided: Tensor
    mm_per_px: Tensor
    target: Tensor | None = None

    def of(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with something done to every tensor in it."""
        parts = (getattr(self, field.name) for field in fields(self))
        return Batch(*(None if part is None else change(part) for part in parts))  # type: ignore[arg-type]


def augment(
    stored: Tensor,
    xy: Tensor,
    present: Tensor,
    mm_per_px: Tensor,
    size: tuple[int, int],
    rng: torch.Generator,
    *,
    strength: float = 1.0,
    grey_transfer: float = 0.0,
) -> Batch:
    """Cut, flip, degrade and decorate a batch.

    Parameters
    ----------
    stored : Tensor, uint8, shape (B, h, w)
        Rendered pictures, distal to the right.
    xy : Tensor, float32, shape (B, 2)
        The MTJ in their pixels.
    present : Tensor, bool, shape (B,)
        Whether the scene has an MTJ within reach.
    mm_per_px : Tensor, float32, shape (B,)
        Of the stored pictures.
    size : (int, int)
        Height and width of the result.
    rng : torch.Generator
        Source of all randomness.
    strength : float
        0 leaves only the fit to `size`; 1 is the full range.
    grey_transfer : float
        Share of the pictures that take on grey levels of another of the batch, see `transfer_grey`.
    """
    n, height, width = stored.shape
    out_h, out_w = size

    dice = _Dice(n, rng, strength)
    rand, chance = dice.rand, dice.chance
    zoom = torch.exp(rand(math.log(0.5), math.log(1.08), 0.0))
    # A whole screen: the picture covers a part of it, text and controls the rest.
    screen = chance(0.18)
    zoom = torch.where(screen, torch.exp(rand(math.log(1.1), math.log(1.9), 0.0)), zoom)
    aspect = torch.exp(rand(-0.16, 0.16, 0.0))
    angle = rand(-0.10, 0.10, 0.0)
    flip = torch.where(chance(0.5), -1.0, 1.0)
    half_w, half_h = width * zoom / 2, width * zoom * (out_h / out_w) * aspect / 2
    # Three crops in four are laid around the MTJ, the others anywhere.
    slack = (width / 2 - half_w).abs() + 0.02 * width
    around = xy[:, 0] + rand(-0.95, 0.95, 0.0) * half_w - (width - 1) / 2
    offset = torch.where(chance(0.75) & present, around, slack * rand(-1.0, 1.0, 0.0))
    offset_x = torch.minimum(torch.maximum(offset, -slack), slack)
    offset_y = (height / 2 - half_h).abs().clamp(min=4.0) * rand(-1.0, 0.35, 0.0)
    cos, sin = torch.cos(angle), torch.sin(angle)
    # (u, v) in -1..1 of the result -> pixels of the stored picture.
    forward = torch.stack(
        [
            torch.stack([flip * half_w * cos, -half_h * sin], 1),
            torch.stack([flip * half_w * sin, half_h * cos], 1),
        ],
        1,
    )
    middle = torch.stack([(width - 1) / 2 + offset_x, (height - 1) / 2 + offset_y], 1)

    # Twice the size, then 2 x 2 means: as an antialiased resize would.
    scale = torch.tensor([2 / width, 2 / height])
    place = middle * scale + scale / 2 - 1
    turn = forward * scale[:, None]
    across = turn[:, None, :, 0] * _centres(2 * out_w)[:, None] + place[:, None]
    down = turn[:, None, :, 1] * _centres(2 * out_h)[:, None]
    grid = across[:, None] + down[:, :, None]  # F.affine_grid is six times slower
    picture = F.grid_sample(
        stored[:, None].float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    coded, fine = chance(0.7), chance(0.4)
    picture = _coded(picture, coded & fine, rand(4, 40, 4))
    picture = F.avg_pool2d(picture, 2)
    if screen.any():
        beside = (grid[screen, ::2, ::2].abs() > 1).any(dim=-1)
        picture[screen] = _controls(picture[screen], beside, rng)

    inverse = torch.linalg.inv(forward)
    uv = torch.einsum("bij,bj->bi", inverse, xy - middle)
    new_xy = (uv + 1) / 2 * torch.tensor([out_w, out_h]) - 0.5
    border = uv.abs().amax(dim=1)
    inside = present & (border < 1.0)
    decided = ~present | ((border - 1.0).abs() > 2 * UNDECIDED_MARGIN)
    step = torch.stack([2 * half_w / out_w, 2 * half_h / out_h], 1)

    picture = _letterbox(picture, new_xy, chance(0.25), dice)
    if grey_transfer:
        picture = transfer_grey(picture, chance(grey_transfer), rand(0.5, 1.0, 0.0), rng)
    picture = _photometry(picture, dice)
    picture = _coded(picture, coded & ~fine, rand(4, 28, 4))
    picture = _decorate(picture, new_xy, dice)
    return Batch(
        pictures=picture.clamp(0, 255) / 127.5 - 1.0,
        xy=new_xy,
        present=inside.float(),
        decided=decided.float(),
        mm_per_px=mm_per_px[:, None] * step,
    )


@dataclass(frozen=True)
class _Dice:
    """Random numbers, one for each picture of a batch, drawn in by `strength`."""

    n: int
    rng: torch.Generator
    strength: float

    def rand(self, low: float, high: float, neutral: float) -> Tensor:
        """Uniform numbers (B,), pulled towards `neutral` where the strength is below 1."""
        value = low + (high - low) * torch.rand(self.n, generator=self.rng)
        return neutral + self.strength * (value - neutral)

    def chance(self, probability: float) -> Tensor:
        """Booleans (B,), true with `probability` at full strength."""
        return torch.rand(self.n, generator=self.rng) < probability * self.strength


def _centres(n: int) -> Tensor:
    return (torch.arange(n) + 0.5) / n * 2 - 1


def _c(value: Tensor) -> Tensor:
    return value[:, None, None, None]


def _coded(picture: Tensor, chosen: Tensor, step: Tensor) -> Tensor:
    """Quantise the chosen pictures."""
    if not chosen.any():
        return picture
    picture = picture.clone()
    picture[chosen] = blocks(picture[chosen], step[chosen])
    return picture


def blocks(picture: Tensor, step: Tensor) -> Tensor:
    """Quantise 8 x 8 cosine blocks, as JPEG and MJPEG do.

    Parameters
    ----------
    picture : Tensor, shape (B, 1, H, W)
        Grey levels 0..255; sides are multiples of 8.
    step : Tensor, shape (B,)
        Quantisation step of the mean, growing with frequency as in JPEG's luminance table.
    """
    n, _, height, width = picture.shape
    k = torch.arange(8.0)
    basis = torch.cos(math.pi * (2 * k[None] + 1) * k[:, None] / 16) * 0.5
    basis[0] *= math.sqrt(0.5)
    tiles = picture.view(n, height // 8, 8, width // 8, 8).permute(0, 1, 3, 2, 4)
    spectrum = basis @ (tiles - 128) @ basis.T
    table = step[:, None, None] * (1.0 + 0.45 * (k[:, None] + k[None, :]))
    table = table[:, None, None]
    tiles = basis.T @ ((spectrum / table).round() * table) @ basis + 128
    return tiles.permute(0, 1, 3, 2, 4).reshape(n, 1, height, width)


def transfer_grey(picture: Tensor, chosen: Tensor, share: Tensor, rng: torch.Generator) -> Tensor:
    """Give the chosen pictures the distribution of grey levels of other pictures of the batch.

    A display's dynamic range, gain and grey map differ between scanners; so a picture is seen as
    others of the batch, often of another scanner, are displayed. The map is monotone and goes
    through 33 quantiles of the pixels that are not black, so black stays black.

    Parameters
    ----------
    picture : Tensor, shape (B, 1, H, W)
        Grey levels 0..255.
    chosen : Tensor, bool, shape (B,)
        Which pictures are changed.
    share : Tensor, shape (B,)
        0 leaves a picture, 1 takes on the other's distribution.
    rng : torch.Generator
        Chooses the other pictures.
    """
    donors = torch.randperm(len(picture), generator=rng)
    levels = torch.linspace(0, 1, 33)
    changed = picture.clone()
    for i in torch.nonzero(chosen)[:, 0].tolist():
        own, other = picture[i][picture[i] > 0], picture[donors[i]][picture[donors[i]] > 0]
        if not (len(own) and len(other)):
            continue
        # every 7th pixel is enough for quantiles
        source, target = (torch.quantile(part[::7], levels) for part in (own, other))
        at = torch.searchsorted(source, own).clamp(1, len(levels) - 1)
        low, high = source[at - 1], source[at]
        within = ((own - low) / (high - low).clamp(min=1e-3)).clamp(0, 1)
        mapped = target[at - 1] + within * (target[at] - target[at - 1])
        changed[i][picture[i] > 0] = own + share[i] * (mapped - own)
    return changed


def _controls(picture: Tensor, beside: Tensor, rng: torch.Generator) -> Tensor:
    """Fill what lies `beside` pictures (B, 1, H, W) with rows of text-like marks on dark ground."""
    n, _, height, width = picture.shape
    ground, ink = 50 * torch.rand(2, n, 1, 1, 1, generator=rng)
    letters = torch.rand(n, 1, -(-height // 2), -(-width // 2), generator=rng) < 0.5
    full = 0.35 * torch.rand(n, 1, 1, 1, generator=rng)
    rows = torch.rand(n, 1, -(-height // 8), -(-width // 24), generator=rng) < full
    letters &= F.interpolate(rows.float(), size=letters.shape[-2:]) > 0
    letters[:, :, 3::4] = False
    marks = F.interpolate(letters.float(), size=(height, width))
    return torch.where(beside[:, None], ground + (100 + 3 * ink) * marks, picture)


def _letterbox(picture: Tensor, xy: Tensor, chosen: Tensor, dice: _Dice) -> Tensor:
    """Black out margins up to a quarter of the picture, never over the MTJ."""
    rand = dice.rand
    height, width = picture.shape[-2:]
    x, y = torch.arange(width)[None], torch.arange(height)[None]
    left, right = rand(-0.25, 0.25, -1.0), rand(-0.25, 0.25, -1.0)
    top, bottom = rand(-0.2, 0.2, -1.0), rand(-0.2, 0.2, -1.0)
    pad = 0.04 * width
    left = torch.minimum(left * width, xy[:, 0] - pad)
    right = torch.maximum((1 - right) * width, xy[:, 0] + pad)
    top = torch.minimum(top * height, xy[:, 1] - pad)
    bottom = torch.maximum((1 - bottom) * height, xy[:, 1] + pad)
    columns = (x >= left[:, None]) & (x <= right[:, None])
    rows = (y >= top[:, None]) & (y <= bottom[:, None])
    keep = (rows[:, :, None] & columns[:, None, :])[:, None]
    return torch.where(_c(chosen) & ~keep, 0.0, picture)


def _photometry(picture: Tensor, dice: _Dice) -> Tensor:
    """Gamma, contrast, gain, clipping, blur, noise and dropped lines."""
    rand, chance = dice.rand, dice.chance
    gamma = torch.exp(rand(-0.5, 0.5, 0.0))
    picture = 255 * (picture.clamp(0, 255) / 255) ** _c(gamma)
    # Mostly mild, now and then until much of it is black or white.
    gain = rand(-0.7, 0.7, 0.0) * rand(0.2, 1.0, 1.0)
    picture = (picture * _c(torch.exp(gain)) + _c(rand(-16, 18, 0.0))).clamp(0, 255)
    for often in (0.3, 0.12, 0.08):
        blurred = F.avg_pool2d(F.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        picture = torch.where(_c(chance(often)), blurred, picture)
    noise = torch.randn(picture.shape, generator=dice.rng)
    picture = picture + noise * _c(rand(0, 10, 0.0) * chance(0.4))
    lines = (torch.arange(picture.shape[-2]) % 2)[None, None, :, None]
    return picture * (1 - 0.6 * lines * _c(chance(0.03)))


def _decorate(picture: Tensor, xy: Tensor, dice: _Dice) -> Tensor:
    """Cursors, rulers, rings and strokes as scanners and annotators leave them."""
    rand, chance = dice.rand, dice.chance
    height, width = picture.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    picture = picture.clone()
    level = torch.where(chance(0.5), 255.0, rand(0, 200, 100.0))
    strokes = torch.stack(
        [rand(0, width, 0), rand(0, height, 0), rand(0, math.pi, 0), rand(4, 70, 4)]
    )
    second = torch.stack(
        [rand(0, width, 0), rand(0, height, 0), rand(0, math.pi, 0), rand(4, 70, 4)]
    )
    thick = rand(0.5, 1.6, 0.5)
    # A ring near the junction, as a focus mark or an annotator's circle leaves it.
    ring = torch.stack([xy[:, 0] + rand(-60, 60, 0), xy[:, 1] + rand(-40, 40, 0), rand(3, 12, 3)])
    ruler = torch.stack([torch.where(chance(0.5), 3.0, width - 4.0), rand(6, 30, 10)])
    has_stroke, has_second, has_ring, has_ruler = (chance(p) for p in (0.18, 0.08, 0.06, 0.06))
    for i in torch.nonzero(has_stroke | has_second | has_ring | has_ruler)[:, 0].tolist():
        mask = torch.zeros(height, width, dtype=torch.bool)
        for chosen, stroke in ((has_stroke, strokes), (has_second, second)):
            if chosen[i]:
                left, top, angle, length = stroke[:, i].tolist()
                dx, dy, c, s = x - left, y - top, math.cos(angle), math.sin(angle)
                along = dx * c + dy * s
                mask |= ((dy * c - dx * s).abs() < thick[i]) & (along >= 0) & (along < length)
        if has_ring[i]:
            mask |= (torch.hypot(x - ring[0, i], y - ring[1, i]) - ring[2, i]).abs() < 0.8
        if has_ruler[i]:
            mask |= (y % ruler[1, i] < 1.2) & ((x - ruler[0, i]).abs() < 3)
        picture[i, 0][mask] = level[i]
    return picture

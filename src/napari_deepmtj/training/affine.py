"""P21's augmentation: turned, mirrored, zoomed, shifted and sheared frames with their soft labels.

The ranges are those of Keras' ImageDataGenerator, whose order is kept: rotation, shift, shear and
zoom about the middle, then the flips; what lies outside is filled by reflection, in the label
too, so that a mirrored junction is labelled as one.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.training.settings import Affine


def affine_matrices(
    settings: Affine, n: int, size: tuple[int, int], rng: torch.Generator
) -> Tensor:
    """Draw `n` maps from the result to the stored picture, shape (n, 2, 3).

    They act on (x, y, 1) with the origin in the middle of the picture, in stored pixels.
    """

    def uniform(reach: float) -> Tensor:
        return (2 * torch.rand(n, generator=rng) - 1) * reach

    height, width = size
    angle = uniform(math.radians(settings.rotation_deg))
    shear = uniform(math.radians(settings.shear_deg))
    zoom_x, zoom_y = 1 + uniform(settings.zoom), 1 + uniform(settings.zoom)
    shift = torch.stack([uniform(settings.shift * width), uniform(settings.shift * height)], 1)
    flip = torch.ones(n, 2)
    if settings.flips:
        flip = torch.where(torch.rand(n, 2, generator=rng) < 0.5, -1.0, 1.0)
    cos, sin, zero = torch.cos(angle), torch.sin(angle), torch.zeros(n)
    turn = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
    slant = torch.stack(
        [torch.stack([torch.cos(shear), zero], 1), torch.stack([-torch.sin(shear), zero + 1], 1)], 1
    )
    grow = torch.diag_embed(torch.stack([zoom_x, zoom_y], 1) * flip)
    return torch.cat([turn @ slant @ grow, (turn @ shift[:, :, None])], dim=2)


def warp(stored: Tensor, matrices: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Draw the result at `size`, and say where its pixels come from.

    Parameters
    ----------
    stored : Tensor, float32, shape (B, h, w)
        Pictures.
    matrices : Tensor, shape (B, 2, 3)
        As `affine_matrices` draws them.
    size : (int, int)
        Height and width of the result.

    Returns
    -------
    picture : Tensor, float32, shape (B, H, W)
    places : Tensor, float32, shape (B, H, W, 2)
        (x, y) in stored pixels, reflected into the picture.
    """
    h, w = stored.shape[-2:]
    # At the stored resolution, then means: as an antialiased resize would.
    fine = max(1, round(h / size[0]))
    where = _places(matrices, (h, w), (size[0] * fine, size[1] * fine))
    grid = (2 * where + 1) / torch.tensor([w, h]) - 1
    drawn = F.grid_sample(
        stored[:, None], grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    places = _places(matrices, (h, w), size)
    reflected = torch.stack([_reflected(places[..., 0], w), _reflected(places[..., 1], h)], dim=-1)
    return F.avg_pool2d(drawn, fine)[:, 0], reflected


def warped_label(places: Tensor, xy: Tensor, present: Tensor, sigma_px: float) -> Tensor:
    """Evaluate Gaussians of peak 1 around `xy` (B, 2) at `places` (B, H, W, 2); 0 where absent.

    Everything is in stored pixels, so the soft label is warped with its picture.
    """
    far = ((places - xy[:, None, None]) ** 2).sum(dim=-1)
    return torch.where(present[:, None, None] > 0, torch.exp(-0.5 * far / sigma_px**2), 0.0)


def _places(matrices: Tensor, stored: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Where the pixels of a result of `size` lie in the stored picture, (B, H, W, 2) as (x, y)."""
    (h, w), (rows, columns) = stored, size
    y = ((torch.arange(rows) + 0.5) / rows - 0.5) * h
    x = ((torch.arange(columns) + 0.5) / columns - 0.5) * w
    down, along = torch.meshgrid(y, x, indexing="ij")
    centred = torch.stack([along, down, torch.ones_like(along)], dim=-1)
    found = torch.einsum("bij,hwj->bhwi", matrices, centred)
    return found + torch.tensor([(w - 1) / 2, (h - 1) / 2])


def _reflected(value: Tensor, size: int) -> Tensor:
    """Bring coordinates into -0.5 .. size - 0.5 by reflection at the picture's edges."""
    folded = torch.remainder(value + 0.5, 2 * size)
    return torch.minimum(folded, 2 * size - folded) - 0.5

"""Pictures without a muscle-tendon junction that are not calf scenes, in a stated mixture.

What they are made of is in `negatives_tissue` (B-mode of other anatomy) and `negatives_other`
(the probe lifted, screens, photographs). Mid-belly scenes of the calf come from `anatomy`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_deepmtj.phantom.devices import StyleSet
from napari_deepmtj.phantom.negatives_other import OTHERS
from napari_deepmtj.phantom.negatives_tissue import render_tissue

#: Share of each kind of picture.
SHARES: dict[str, float] = {
    "muscle": 0.46,
    "tendon": 0.08,
    "transverse": 0.07,
    "fat": 0.05,
    "lifted": 0.08,
    "partial": 0.04,
    "doppler": 0.03,
    "trace": 0.03,
    "screen": 0.04,
    "photograph": 0.09,
    "page": 0.03,
}


def render_nothing(
    n: int, height: int, width: int, rng: torch.Generator, *, styles: StyleSet = "training"
) -> Tensor:
    """Draw `n` pictures that show no muscle-tendon junction and no calf.

    Parameters
    ----------
    n, height, width : int
        How many, and their size in pixels.
    rng : torch.Generator
        Source of all randomness.
    styles : str
        The set of scanners of those that are echoes of tissue.

    Returns
    -------
    Tensor, uint8, shape (n, height, width)
        Grey levels.
    """
    kinds = list(SHARES)
    weights = torch.tensor([SHARES[kind] for kind in kinds])
    drawn = torch.multinomial(weights, n, replacement=True, generator=rng)
    made = torch.empty(n, height, width, dtype=torch.uint8)
    for index in sorted(set(drawn.tolist())):
        rows = (drawn == index).nonzero()[:, 0]
        made[rows] = render_kind(kinds[index], len(rows), height, width, rng, styles=styles)
    return _shown(made, rng)


def render_kind(
    kind: str,
    n: int,
    height: int,
    width: int,
    rng: torch.Generator,
    *,
    styles: StyleSet = "training",
) -> Tensor:
    """Draw `n` pictures of one kind of `SHARES`; parameters and result as `render_nothing`'s."""

    def tissue(what: str, count: int) -> Tensor:
        return render_tissue(what, count, height, width, rng, styles=styles)

    if kind in OTHERS:
        return OTHERS[kind](n, height, width, rng, tissue)
    return tissue(kind, n)


def _shown(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Mirror half of the pictures and change the contrast of a third of them."""
    n = len(pictures)
    mirrored, changed = torch.rand(2, n, 1, 1, generator=rng).unbind()
    pictures = torch.where(mirrored < 0.5, pictures.flip(-1), pictures)
    low, high, power = torch.rand(3, n, 1, generator=rng).unbind()
    curve = (torch.arange(256) / 255).expand(n, 256) ** torch.exp(1.2 * power - 0.6)
    low, high = 0.2 * low.square(), 1 - 0.5 * high.square()
    curve = torch.where(changed[:, 0] < 0.35, low + (high - low) * curve, torch.arange(256) / 255)
    levels = (255 * curve).round().to(torch.uint8)
    return levels.gather(1, pictures.flatten(1).long()).view_as(pictures)

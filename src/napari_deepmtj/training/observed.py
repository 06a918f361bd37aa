"""What a network says of pictures that it never learned from, with the truth: what is fitted on.

The fits themselves are `fit.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_deepmtj.inference.decode import Decoding, observe
from napari_deepmtj.inference.peak import Peak
from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.training.augment import Batch, augment
from napari_deepmtj.training.mixture import Pictures
from napari_deepmtj.training.stress import stress

if TYPE_CHECKING:
    from napari_deepmtj.training.recipes import SceneRecipe

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Observed:
    """What a network says of n pictures it never learned from, and the truth, in input pixels.

    Parameters
    ----------
    peak : Peak
        Positions, spreads and masses.
    presence : ndarray of float64, shape (n,)
        Logits of "in view".
    truth : ndarray of float64, shape (n, 2)
        Meaningless where not present.
    present : ndarray of bool, shape (n,)
        Whether the MTJ is in the picture.
    mm_per_px : ndarray of float64, shape (n, 2)
        Of the pictures; NaN where no scale is known.
    """

    peak: Peak
    presence: FloatArray
    truth: FloatArray
    present: npt.NDArray[np.bool_]
    mm_per_px: FloatArray

    def where(self, chosen: npt.NDArray[Any]) -> Observed:
        """Return some of the pictures, by a mask (n,) or their numbers."""
        parts = (getattr(self, f.name)[chosen] for f in fields(self)[1:])
        return Observed(_peaks([self.peak], chosen), *parts)


def joined(sets: Sequence[Observed]) -> Observed:
    """Return the pictures of several sets, at least one, in order."""
    names = [f.name for f in fields(Observed)[1:]]
    parts = (np.concatenate([getattr(each, name) for each in sets]) for name in names)
    return Observed(_peaks([each.peak for each in sets]), *parts)


def half(each: Observed, which: int) -> Observed:
    """Return the first (0) or second (1) half of a set; all of one that has but one picture."""
    n = len(each.truth)
    return each.where(np.array_split(np.arange(n), 2)[which]) if n > 1 else each


def _peaks(parts: Sequence[Peak], chosen: npt.NDArray[Any] | slice = slice(None)) -> Peak:
    """Join peaks, and keep some of them."""
    names = (f.name for f in fields(Peak))
    return Peak(*(np.concatenate([getattr(p, n) for p in parts])[chosen] for n in names))


def observe_batches(
    network: nn.Module,
    batches: Iterable[Batch],
    start: Decoding,
    *,
    device: torch.device | None = None,
) -> Observed:
    """Run a network, in eval mode, over batches; what is undecided is left out."""
    device = device or torch.device("cpu")
    peaks, logits, truths, presents, steps = [], [], [], [], []
    for batch in batches:
        with torch.inference_mode():
            output = network(batch.pictures.to(device))
        keep = batch.decided > 0
        peak, presence = observe(on_host(output, keep), start, *batch.pictures.shape[-2:])
        peaks.append(peak)
        logits.append(presence)
        truths.append(batch.xy[keep].double().numpy())
        presents.append(batch.present[keep].bool().numpy())
        steps.append(batch.mm_per_px[keep].double().numpy())
    return Observed(
        _peaks(peaks),
        np.concatenate(logits),
        np.concatenate(truths),
        np.concatenate(presents),
        np.concatenate(steps),
    )


def on_host(output: NetworkOutput, keep: Tensor) -> NetworkOutput:
    """Return the predictions for the pictures to keep (B,), on the CPU, without attention."""
    heatmap, xy, presence = (None if part is None else part.cpu()[keep] for part in output[:3])
    return NetworkOutput(heatmap, xy, presence, ())


def scene_batches(
    recipe: SceneRecipe,
    scenes: Pictures,
    *,
    strength: float = 1.0,
    stressed: bool = False,
    which: Tensor | None = None,
) -> Iterator[Batch]:
    """Yield scenes once, all or those at `which` (n,), degraded by a seed as in training.

    With a `strength` of 0 they are as they are, whole; where `stressed`, each is spoilt further
    than in training, see `stress`.
    """
    which = torch.arange(len(scenes)) if which is None else which
    positions = scenes.positions(recipe.label)
    rng = torch.Generator().manual_seed(recipe.seed + recipe.calibration.seed)
    for index in torch.split(which, recipe.batch):
        batch = augment(
            scenes.pictures(index),
            positions[index],
            scenes.present[index],
            scenes.mm_per_px[index],
            (recipe.input_height, recipe.input_width),
            rng,
            strength=strength,
        )
        yield stress(batch, rng) if stressed else batch

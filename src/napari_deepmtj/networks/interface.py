"""What every network returns, whatever its architecture."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class NetworkOutput(NamedTuple):
    """Prediction and attention of a batch of B pictures.

    Attributes
    ----------
    heatmap : Tensor or None, shape (B, h, w)
        Logits over the pixels of a pooled map of the whole input; a softmax over (h, w) is the
        distribution of the MTJ given that it is in view. None for coordinate regressors.
    xy : Tensor or None, shape (B, 2)
        (x, y) in 0..1 of the input, for coordinate regressors.
    presence : Tensor or None, shape (B,)
        Logit of "the MTJ is in view".
    attention : tuple of Tensor, each of shape (B, h_k, w_k)
        Non-negative attention maps, coarse to fine, each over the whole input.
    features : Tensor or None, shape (B, F)
        What the whole picture looks like to the network: by it, pictures like none that the
        network knows are told (`inference.out_of_distribution`).
    """

    heatmap: Tensor | None
    xy: Tensor | None
    presence: Tensor | None
    attention: tuple[Tensor, ...]
    features: Tensor | None = None

"""What every network returns, whatever its architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    # A Tensor where torch computes, an ndarray of float32 from every backend.
    Array = Any


class NetworkOutput(NamedTuple):
    """Prediction and attention of a batch of B pictures.

    Parts are tensors as networks return them, and arrays (ndarray of float32) as backends do.

    Attributes
    ----------
    heatmap : Tensor, ndarray or None, shape (B, h, w)
        Logits over the pixels of a pooled map of the whole input; a softmax over (h, w) is the
        distribution of the MTJ given that it is in view. None for coordinate regressors.
    xy : Tensor, ndarray or None, shape (B, 2)
        (x, y) in 0..1 of the input, for coordinate regressors.
    presence : Tensor, ndarray or None, shape (B,)
        Logit of "the MTJ is in view".
    attention : tuple of Tensor or ndarray, each of shape (B, h_k, w_k)
        Non-negative attention maps, coarse to fine, each over the whole input.
    features : Tensor, ndarray or None, shape (B, F)
        What the whole picture looks like to the network: by it, pictures like none that the
        network knows are told (`inference.out_of_distribution`).
    """

    heatmap: Array | None
    xy: Array | None
    presence: Array | None
    attention: tuple[Array, ...]
    features: Array | None = None

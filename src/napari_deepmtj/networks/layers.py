"""Layers that several of the published networks share. Whole networks do not live here."""

from __future__ import annotations

from torch import nn

#: Epsilon of batch normalisation in Keras, whose checkpoints the published networks are.
KERAS_EPSILON = 1e-3


def conv_norm_relu(inputs: int, outputs: int, *, epsilon: float = KERAS_EPSILON) -> nn.Sequential:
    """Return a 3 x 3 convolution with bias, batch norm and ReLU; height and width stay.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    epsilon : float
        Of the batch normalisation.
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs, eps=epsilon),
        nn.ReLU(inplace=True),
    )


def block(inputs: int, *outputs: int) -> nn.Sequential:
    """Return several `conv_norm_relu` in a row, with the given output channels."""
    chain = (inputs, *outputs)
    return nn.Sequential(*(conv_norm_relu(a, b) for a, b in zip(chain, outputs, strict=False)))


def scaled(width: float, *channels: int) -> tuple[int, ...]:
    """Return numbers of channels times `width`, at least 1 each; 1.0 is the published network."""
    return tuple(max(1, round(width * c)) for c in channels)

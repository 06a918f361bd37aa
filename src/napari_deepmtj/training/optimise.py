"""From a recipe's settings to an optimiser, and to first weights as Keras draws them."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import nn

from napari_deepmtj.training.settings import Optimiser

#: Momentum of batch normalisation in Keras, 0.99, as torch counts it: the share of the new.
KERAS_NORM_MOMENTUM = 0.01


def is_kernel(module: nn.Module, name: str) -> bool:
    """Whether a parameter is what Keras calls a kernel: of a convolution or a dense layer."""
    return isinstance(module, nn.Conv2d | nn.Linear) and name == "weight"


def make_optimiser(network: nn.Module, settings: Optimiser) -> torch.optim.Optimizer:
    """Return the optimiser of a network's parameters.

    Keras' l2(a) adds a * (sum of squares) to the loss and so 2 a w to the gradient, where torch's
    `weight_decay` of Adam and SGD adds weight_decay * w: it is given 2 a, for kernels alone.
    """
    kernels: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            (kernels if is_kernel(module, name) else others).append(parameter)
    if settings.kind == "adamw":
        return torch.optim.AdamW(
            network.parameters(),
            lr=settings.learning_rate,
            eps=settings.epsilon,
            weight_decay=settings.decay,
        )
    groups: list[dict[str, Any]] = [
        {"params": kernels, "weight_decay": 2 * settings.l2},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.kind == "adam":
        return torch.optim.Adam(groups, lr=settings.learning_rate, eps=settings.epsilon)
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)


def start_as_keras(network: nn.Module) -> None:
    """Draw first weights as Keras does by default, and let batch norm remember as it does there.

    Kernels are Glorot uniform, biases 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = KERAS_NORM_MOMENTUM


def full_precision(head: nn.Module) -> None:
    """Keep a layer, and what comes after it, out of mixed precision.

    Two sigmoid units in half precision know 256 places on the upper half of an axis, 0.25 px of
    an input 128 px wide.
    """
    head.forward = MethodType(_in_full_precision, head)  # bound, so that copies have their own


def _in_full_precision(head: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.autocast(x.device.type, enabled=False):
        result: torch.Tensor = type(head).forward(head, x.float())
    return result

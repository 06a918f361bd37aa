"""Networks by name, as weight cards and recipes call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.networks.attention_unet import AttentionUNet
from napari_deepmtj.networks.compact import CompactNet
from napari_deepmtj.networks.resnet import ResNet50
from napari_deepmtj.networks.vgg import Vgg16
from napari_deepmtj.networks.vgg_attention import VggAttention

_NETWORKS: Mapping[str, Callable[..., nn.Module]] = {
    "attention-unet": AttentionUNet,
    "compact": CompactNet,
    "resnet50": ResNet50,
    "vgg16": Vgg16,
    "vgg-attention": VggAttention,
}


def build(name: str, **arguments: Any) -> nn.Module:
    """Return a freshly initialised network.

    Parameters
    ----------
    name : str
        A key of the table of networks.
    **arguments
        Its constructor's arguments, as a weight card stores them.

    Raises
    ------
    WeightsError
        If there is no network of that name, or it does not take these arguments.
    """
    if name not in _NETWORKS:
        raise WeightsError(f"unknown network {name!r}; there is {', '.join(sorted(_NETWORKS))}")
    try:
        return _NETWORKS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"network {name!r} cannot be built so: {error}") from error


def is_ours(network: nn.Module) -> bool:
    """Whether a network is one that `build` makes."""
    return type(network) in _NETWORKS.values()

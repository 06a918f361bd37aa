"""Small versions of every network, with weights that are random but not trivial; opening them.

The smallest, "tiny", can be written to a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_deepmtj.networks.build import build
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import Model, save_model

#: Name: network, its arguments, height and width of the input, normalisation, decoding.
SMALL = {
    "compact": ("compact", {"channels": (8, 8, 16), "shrink": 2}, (64, 128), {}),
    "vgg16": ("vgg16", {"height": 32, "width": 64, "channels": 0.1}, (32, 64), {}),
    "resnet50": ("resnet50", {"channels": 0.1}, (32, 64), {}),
    "vgg-attention-2": (
        "vgg-attention",
        {"levels": 2, "height": 32, "width": 64, "channels": 0.1, "compatibility": "parametrised"},
        (32, 64),
        {},
    ),
    "vgg-attention-3": (
        "vgg-attention", {"levels": 3, "height": 32, "width": 64, "channels": 0.1}, (32, 64), {}
    ),
    "attention-unet": (
        "attention-unet", {"channels": 0.05}, (32, 64), {"presence_threshold": 0.5}
    ),
}  # fmt: skip

#: Networks of P21 see standardised pictures, those of P20 and the default one -1..1.
STANDARDISED = {"attention-unet"}


def small_model(which: str, seed: int = 0) -> Model:
    """Return a small version of a network; its batch norms do something."""
    network, arguments, (height, width), decoding = SMALL[which]
    torch.manual_seed(seed)
    built = build(network, **arguments)
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    card = WeightCard(
        id="small",
        version="1",
        licence="BSD-3-Clause",
        network=network,
        network_arguments=arguments,
        input_height=height,
        input_width=width,
        normalisation="standardise" if which in STANDARDISED else "minus-one-one",
        trained_on="nothing",
        label_definition="none",
        decoding=decoding,
    )
    return Model(card, built.eval())


def write_tiny(folder: Path, name: str = "tiny", seed: int = 0, **card: Any) -> Path:
    """Write an untrained network of four channels, which sees an MTJ in everything."""
    channels = (4, 4, 4)
    said: dict[str, Any] = {
        "version": "1",
        "trained_on": "nothing",
        "label_definition": "none",
        "decoding": {"presence_threshold": 0.0},
    }
    made = WeightCard(
        id=name,
        licence="BSD-3-Clause",
        network="compact",
        network_arguments={"channels": list(channels)},
        input_height=32,
        input_width=64,
        normalisation="minus-one-one",
        **said | card,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        save_model(path, build("compact", channels=channels), made)
    return path

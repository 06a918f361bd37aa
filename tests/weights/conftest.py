import pytest
import torch
from torch import nn

import napari_deepmtj.networks.build as networks
from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.weights.cards import WeightCard


class Tiny(nn.Module):
    """A network small enough to know every number of."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> NetworkOutput:
        return NetworkOutput(self.norm(self.conv(x)).sum(1), None, None, ())


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> type[Tiny]:
    """Make "tiny" a network that weights files can name."""
    known = networks.build

    def build(name: str, **arguments: object) -> nn.Module:
        return Tiny(**arguments) if name == "tiny" else known(name, **arguments)

    monkeypatch.setattr(networks, "build", build)
    return Tiny


@pytest.fixture
def card() -> WeightCard:
    return WeightCard(
        id="tiny-test",
        version="1",
        licence="BSD-3-Clause",
        network="tiny",
        network_arguments={"width": 3},
        input_height=16,
        input_width=32,
        normalisation="minus-one-one",
        trained_on="nothing",
        label_definition="nowhere",
        decoding={"presence": 0.5},
        figures={"phantom": {"mean_mm": 0.5, "n": 20}},
        made_with={"seed": 1},
    )

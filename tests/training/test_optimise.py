"""Weight decay as Keras means it, first weights as Keras draws them, heads in full precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from napari_deepmtj.networks.build import build
from napari_deepmtj.training.optimise import full_precision, make_optimiser, start_as_keras
from napari_deepmtj.training.settings import Optimiser


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_l2_is_that_of_keras_of_kernels_alone(kind: str) -> None:
    """A step with l2 is a step on the loss to which l2 * (sum of squares) was added."""
    l2 = 5e-2
    decayed, penalised = small(), small()
    picture = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    settings = {"kind": kind, "learning_rate": 0.01}
    for network, own, term in ((decayed, l2, 0.0), (penalised, 0.0, l2)):
        optimiser = make_optimiser(network, Optimiser(**settings, l2=own))  # type: ignore[arg-type]
        loss = network(picture).square().mean()
        kernels = (network[0].weight, network[3].weight)  # type: ignore[index]
        (loss + term * sum(kernel.square().sum() for kernel in kernels)).backward()
        optimiser.step()
    for one, other in zip(decayed.parameters(), penalised.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_decay_is_2_l2_for_every_kernel_and_nothing_else() -> None:
    network = build("vgg-attention", channels=0.05, levels=3)
    optimiser = make_optimiser(network, Optimiser("sgd", 0.01, momentum=0.9, l2=5e-4))
    decayed, plain = optimiser.param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (1e-3, 0.0)
    names = {id(p): name for name, p in network.named_parameters()}
    kernels = {names[id(p)] for p in decayed["params"]}
    assert all(name.endswith("weight") for name in kernels)
    assert {"joint.weight", "head.weight", "attend.2.project.weight"} <= kernels
    assert len(kernels) == sum(p.ndim > 1 for p in network.parameters())
    assert len(names) == len(decayed["params"]) + len(plain["params"])


def test_first_weights_are_those_of_keras() -> None:
    network = build("vgg16", channels=0.25)
    torch.manual_seed(0)
    start_as_keras(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.momentum == 0.01
        elif isinstance(module, nn.Conv2d):
            fan = 9 * (module.in_channels + module.out_channels)
            limit = math.sqrt(6 / fan)
            assert module.weight.abs().max() <= limit
            if module.weight.numel() > 1000:
                assert float(module.weight.detach().std()) == pytest.approx(
                    limit / math.sqrt(3), rel=0.1
                )
            assert module.bias is not None
            assert module.bias.abs().max() == 0


def test_head_stays_in_full_precision() -> None:
    network = build("vgg16", channels=0.05).eval()
    picture = torch.randn(2, 1, 64, 128)

    def in_half() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return network(picture).xy  # type: ignore[no-any-return]

    assert in_half().dtype == torch.bfloat16
    full_precision(network.get_submodule("head"))
    assert in_half().dtype == torch.float32
    xy = in_half()
    assert not torch.equal(xy, xy.bfloat16().float())

"""The published networks: layers, sizes and cost as the papers give them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.networks.build import build
from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.networks.vgg_attention import Attention

#: name, arguments, input, parameters with the running statistics, GFLOP a picture
PUBLISHED = [
    ("vgg16", {}, (64, 128), 14_738_626, 4.99),
    ("resnet50", {}, (64, 128), 23_585_538, 1.23),
    ("vgg-attention", {"levels": 2}, (64, 128), 21_553_858, 60.57),
    ("vgg-attention", {"levels": 3}, (64, 128), 21_685_954, 62.73),
    ("attention-unet", {}, (128, 256), 31_925_029, 57.22),
]

#: Convolutions and linear maps, kernel and channels, in the order in which they are applied.
ATTENTION_3 = [
    *[("3x3", a, b) for a, b in [(1, 64), (64, 64), (64, 128), (128, 128), (128, 256)]],
    *[("3x3", 256, 256)] * 2,
    ("3x3", 256, 512),
    *[("3x3", 512, 512)] * 7,
    ("linear", 4096, 512),
    ("1x1", 256, 512),
    ("linear", 1536, 2),
]


def layers(network: nn.Module) -> list[tuple[str, int, int]]:
    found = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            kernel = "x".join(map(str, module.kernel_size))
            found.append((kernel, module.in_channels, module.out_channels))
        elif isinstance(module, nn.Linear):
            found.append(("linear", module.in_features, module.out_features))
    return found


@pytest.mark.parametrize(("name", "arguments", "size", "parameters", "gflop"), PUBLISHED)
def test_size_and_cost(
    name: str, arguments: dict[str, int], size: tuple[int, int], parameters: int, gflop: float
) -> None:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network = build(name, **arguments).eval()
        network(torch.empty(1, 1, *size))
    state = [t for key, t in network.state_dict().items() if "num_batches" not in key]
    assert sum(t.numel() for t in state) == parameters
    assert counter.get_total_flops() / 1e9 == pytest.approx(gflop, abs=0.005)


def test_layers_of_vgg_attention_3() -> None:
    with torch.device("meta"):
        assert layers(build("vgg-attention")) == ATTENTION_3


def test_layers_of_vgg16_are_those_of_configuration_d() -> None:
    with torch.device("meta"):
        found = layers(build("vgg16"))
    assert [out for _, _, out in found] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6 + [2]
    assert found[-1] == ("linear", 4096, 2)


def test_layers_of_resnet50() -> None:
    with torch.device("meta"):
        found = layers(build("resnet50"))
    assert len(found) == 1 + 16 * 3 + 4 + 1
    assert found[0] == ("7x7", 1, 64)
    assert found[-1] == ("linear", 2048, 2)
    assert sum(kernel == "3x3" for kernel, _, _ in found) == 16


@pytest.mark.parametrize(
    ("name", "arguments", "maps"),
    [
        ("vgg16", {}, []),
        ("resnet50", {}, []),
        ("vgg-attention", {"levels": 2}, [(16, 32), (32, 64)]),
        ("vgg-attention", {"levels": 3}, [(16, 32), (32, 64), (64, 128)]),
        ("vgg-attention", {"compatibility": "parametrised"}, [(16, 32), (32, 64), (64, 128)]),
    ],
)
def test_regressors_give_positions_and_attention(
    name: str, arguments: dict[str, object], maps: list[tuple[int, int]]
) -> None:
    torch.manual_seed(0)
    network = build(name, channels=0.05, **arguments).eval()
    with torch.inference_mode():
        output: NetworkOutput = network(torch.randn(2, 1, 64, 128))
    assert output.xy is not None
    assert output.xy.shape == (2, 2)
    assert ((output.xy > 0) & (output.xy < 1)).all()
    assert output.heatmap is None
    assert output.presence is None
    assert [tuple(m.shape[1:]) for m in output.attention] == maps
    for attention in output.attention:
        torch.testing.assert_close(attention.sum(dim=(1, 2)), torch.ones(2))


def test_attention_unet_draws_at_full_resolution() -> None:
    torch.manual_seed(0)
    network = build("attention-unet", channels=0.05).eval()
    with torch.inference_mode():
        output = network(torch.randn(2, 1, 32, 64))
    assert output.heatmap.shape == (2, 32, 64)
    assert [tuple(m.shape) for m in output.attention] == [
        (2, 4, 8), (2, 8, 16), (2, 16, 32), (2, 32, 64),
    ]  # fmt: skip
    assert all(((m >= 0) & (m <= 1)).all() for m in output.attention)


def test_dot_product_attention_against_hand_computed_values() -> None:
    attend = Attention(2, 2, "dot")
    local = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])  # features (1, 0) and (0, 2)
    feature, attention = attend(local, torch.tensor([[1.0, 1.0]]))
    share = torch.tensor([1.0, 2.0]).softmax(0)  # <(1, 0), g> = 1 and <(0, 2), g> = 2
    torch.testing.assert_close(attention, share.view(1, 1, 2))
    torch.testing.assert_close(feature, torch.stack([share[0], 2 * share[1]])[None])


def test_parametrised_attention_against_hand_computed_values() -> None:
    attend = Attention(2, 2, "parametrised")
    assert attend.u is not None
    attend.u.weight.data = torch.tensor([1.0, -1.0]).view(1, 2, 1, 1)
    local = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])
    _, attention = attend(local, torch.tensor([[3.0, 1.0]]))
    share = torch.tensor([4.0 - 1.0, 3.0 - 3.0]).softmax(0)  # u . (l + g)
    torch.testing.assert_close(attention, share.view(1, 1, 2))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vgg16", {"height": 60}),
        ("vgg-attention", {"width": 100}),
        ("vgg-attention", {"levels": 4}),
        ("vgg-attention", {"compatibility": "cosine"}),
    ],
)
def test_impossible_arguments_are_refused(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(WeightsError, match="cannot be built"):
        build(name, **arguments)

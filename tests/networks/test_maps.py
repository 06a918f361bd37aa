"""The names of attention maps are those of the networks, and need no torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from napari_deepmtj.networks.build import build
from napari_deepmtj.networks.maps import maps_of

#: Network, arguments, and its maps from coarse to fine with their size on the published input.
NETWORKS: list[tuple[str, dict[str, Any], tuple[int, int], dict[str, tuple[int, int]]]] = [
    ("vgg16", {}, (64, 128), {}),
    ("resnet50", {}, (64, 128), {}),
    ("vgg-attention", {"levels": 2}, (64, 128), {"level-3": (16, 32), "level-2": (32, 64)}),
    (
        "vgg-attention",
        {},
        (64, 128),
        {"level-3": (16, 32), "level-2": (32, 64), "level-1": (64, 128)},
    ),
    (
        "attention-unet",
        {},
        (128, 256),
        {"gate-4": (16, 32), "gate-3": (32, 64), "gate-2": (64, 128), "gate-1": (128, 256)},
    ),
    ("compact", {}, (64, 128), {"gate-2": (8, 16), "gate-1": (16, 32)}),
]


@pytest.mark.parametrize(("name", "arguments", "size", "maps"), NETWORKS)
def test_every_map_has_a_name_coarse_to_fine(
    name: str, arguments: dict[str, Any], size: tuple[int, int], maps: dict[str, tuple[int, int]]
) -> None:
    narrow = {} if name == "compact" else {"channels": 0.05}
    network = build(name, **arguments, **narrow).eval()
    with torch.inference_mode():
        attention = network(torch.randn(1, 1, *size)).attention
    names = maps_of(name, arguments)
    assert names.names == tuple(maps)
    assert [tuple(m.shape[1:]) for m in attention] == list(maps.values())
    if maps:
        assert names.choices == ("combined", *reversed(maps))
        sums = {round(float(m.sum()), 4) for m in attention}
        assert (names.kind == "share") == (sums == {1.0})
    else:
        assert names.choices == ()


def test_an_unknown_network_has_none() -> None:
    assert maps_of("of tomorrow", {"levels": 3}).choices == ()


def test_names_need_no_torch() -> None:
    code = (
        "import sys; from napari_deepmtj.weights.store import list_models; "
        "print(list_models()[0].attention.choices); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "combined" in done.stdout

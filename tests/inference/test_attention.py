"""Which map is meant, that its values stay what the network said, and how they are shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_deepmtj.core.jobs import Done, Failed, Notice
from napari_deepmtj.errors import WeightsError
from napari_deepmtj.inference.attention import combine, display_of, select, wanted_map
from napari_deepmtj.inference.predictor import Began, TrackedBatch, track
from napari_deepmtj.networks.build import build
from napari_deepmtj.networks.maps import maps_of
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import Model

THREE = maps_of("vgg-attention", {})
MAPS = (torch.rand(2, 4, 8), torch.rand(2, 8, 16), torch.rand(2, 16, 32))


@pytest.fixture
def vgg(card: WeightCard) -> WeightCard:
    return replace(card, network="vgg-attention", decoding={})


def test_a_level_is_what_the_network_said() -> None:
    for name, found in zip(("level-3", "level-2", "level-1"), MAPS, strict=True):
        np.testing.assert_array_equal(select(MAPS, THREE, name), found.numpy())


def test_the_combined_map_is_the_product_of_the_two_deepest() -> None:
    flat = select((torch.full((2, 4, 8), 0.5), *MAPS[1:]), THREE, "combined")
    np.testing.assert_allclose(flat, 0.5 * MAPS[1].numpy())
    spot = torch.zeros(1, 4, 8)
    spot[0, 1, 5] = 1.0
    found = combine(spot, torch.ones(1, 8, 16))[0]
    # bilinear about the middle of the coarse pixel, which lies between fine pixels
    quarter = torch.tensor([0.25, 0.75, 0.75, 0.25])
    wanted = torch.zeros(8, 16)
    wanted[1:5, 9:13] = torch.outer(quarter, quarter)
    np.testing.assert_allclose(found, wanted.numpy())


def test_another_number_of_maps_than_known_is_refused() -> None:
    with pytest.raises(WeightsError, match="gives 2 attention maps where 3 are known"):
        select(MAPS[:2], THREE, "level-1")


def test_which_map_is_meant(vgg: WeightCard) -> None:
    assert wanted_map(vgg, False) is None
    usual, one = wanted_map(vgg, True), wanted_map(vgg, "level-1")
    assert usual is not None
    assert one is not None
    assert (usual.map, usual.kind, usual.model, usual.sha256) == (
        "combined", "share", vgg.id, vgg.sha256,
    )  # fmt: skip
    assert "sums to 1" in one.unit
    with pytest.raises(WeightsError, match="'gate-1'; there is: combined, level-1, level-2, leve"):
        wanted_map(vgg, "gate-1")
    plain = replace(vgg, network="vgg16")
    assert wanted_map(plain, True) is None
    with pytest.raises(WeightsError, match="none, because this network has no attention"):
        wanted_map(plain, "combined")


def events_of(clip, model, attention):  # type: ignore[no-untyped-def]
    return list(track(clip, model, roi="full", device="cpu", attention=attention))


def test_frames_can_be_compared(clip, vgg) -> None:  # type: ignore[no-untyped-def]
    """A frame's values do not depend on the frame: shares sum to 1 over each map."""
    torch.manual_seed(0)
    model = Model(vgg, build("vgg-attention", channels=0.05).eval())
    for name, shape in (("level-1", (64, 128)), ("level-3", (16, 32)), ("combined", (32, 64))):
        began, *events = [
            e for e in events_of(clip, model, name) if isinstance(e, Began | TrackedBatch)
        ]
        assert began.attention.map == name
        maps = np.concatenate([e.attention for e in events])
        assert maps.shape == (40, *shape)
        assert maps.dtype == np.float32
        if name != "combined":
            np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1.0, rtol=1e-4)


def test_a_network_without_attention_says_so(clip, vgg) -> None:  # type: ignore[no-untyped-def]
    model = Model(replace(vgg, network="vgg16"), build("vgg16", channels=0.05).eval())
    events = events_of(clip, model, True)
    assert isinstance(events[-1], Done)
    told = [e.message for e in events if isinstance(e, Notice)]
    assert "the network 'vgg16' has no attention maps" in told
    assert all(e.attention is None for e in events if isinstance(e, TrackedBatch))
    (*_, failed) = events_of(clip, model, "level-1")
    assert isinstance(failed, Failed)


def test_nine_tenths_of_a_typical_map_are_clear_and_its_peak_full() -> None:
    maps = np.zeros((10, 8, 16), np.float32)
    maps[2:9] = np.linspace(0.4, 0.8, 128).reshape(8, 16)
    maps[8, 0, 0] = 0.9
    shown = display_of(maps, "gate")
    assert (maps[2] <= shown.low).mean() == pytest.approx(0.9, abs=0.01)
    assert shown.high == pytest.approx(0.8)
    assert shown.top == pytest.approx(0.9)
    assert shown.gamma == 1.0
    assert display_of(maps, "share").gamma == 0.5
    even = display_of(np.ones((1, 2, 2)), "gate")
    assert (even.low, even.high) == (0.0, 1.0)
    assert display_of(np.zeros((3, 2, 2)), "gate").high == 1.0

"""The default network keeps its promises of shape and size."""

from __future__ import annotations

import pytest
import torch

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.networks.build import build


def test_shapes_and_attention() -> None:
    network = build("compact").eval()
    with torch.inference_mode():
        output = network(torch.rand(2, 1, 128, 256) * 2 - 1)
    assert output.heatmap.shape == (2, 32, 64)
    assert output.presence.shape == (2,)
    assert output.xy is None
    assert [tuple(a.shape) for a in output.attention] == [(2, 16, 32), (2, 32, 64)]
    for attention in output.attention:
        assert attention.min() >= 0
        assert attention.max() <= 1


def test_shrinking_averages_the_input_first() -> None:
    plain = build("compact", channels=(8, 8, 8)).eval()
    shrinking = build("compact", channels=(8, 8, 8), shrink=2).eval()
    shrinking.load_state_dict(plain.state_dict())
    small = torch.rand(1, 1, 32, 64)
    large = small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    with torch.inference_mode():
        torch.testing.assert_close(shrinking(large).heatmap, plain(small).heatmap)


def test_mirror_averages_picture_and_mirror_image() -> None:
    plain = build("compact", channels=(8, 8, 8)).eval()
    mirroring = build("compact", channels=(8, 8, 8), mirror=True).eval()
    mirroring.load_state_dict(plain.state_dict())
    pictures = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        there, back = plain(pictures), plain(pictures.flip(3))
        both, mirrored = mirroring(pictures), mirroring(pictures.flip(3))
    torch.testing.assert_close(both.presence, (there.presence + back.presence) / 2)
    mean = (there.heatmap.exp() + back.heatmap.flip(2).exp()) / 2
    torch.testing.assert_close(both.heatmap.exp(), mean)
    assert not torch.allclose(there.heatmap, both.heatmap)
    torch.testing.assert_close(mirrored.heatmap, both.heatmap.flip(2))
    torch.testing.assert_close(mirrored.attention[1], both.attention[1].flip(2))
    torch.testing.assert_close(mirrored.features, both.features)
    mirroring.train()
    trained = mirroring(pictures)
    assert trained.heatmap.shape == both.heatmap.shape


def test_small_enough() -> None:
    assert sum(p.numel() for p in build("compact").parameters()) <= 2_500_000


def test_attention_decides_what_the_skips_let_through() -> None:
    network = build("compact", channels=(8, 8, 8)).eval()
    picture = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        before = network(picture).heatmap
        network.gate_fine.score.bias += 3.0
        assert not torch.allclose(before, network(picture).heatmap)


def test_unknown_network_or_argument() -> None:
    with pytest.raises(WeightsError, match="unknown network 'resnet9000'; there is"):
        build("resnet9000")
    with pytest.raises(WeightsError, match="cannot be built so"):
        build("compact", depth=3)

"""Sub-pixel positions, honest spreads, and confidence that follows them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.inference.decode import decode
from napari_deepmtj.inference.peak import find_peak
from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.training.losses import gaussian_target

H, W, STRIDE = 128, 256, 4


def maps(xy: list[tuple[float, float]], sigma: float = 5.0) -> torch.Tensor:
    target = gaussian_target(torch.tensor(xy), H // STRIDE, W // STRIDE, STRIDE, sigma)
    return torch.log(target + 1e-9)


def output(heatmap: torch.Tensor, presence: float = 4.0) -> NetworkOutput:
    return NetworkOutput(heatmap, None, torch.full((len(heatmap),), presence), ())


def test_position_is_sub_pixel_everywhere() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform([20, 20], [W - 20, H - 20], size=(200, 2))
    peak = find_peak(maps([tuple(p) for p in truth]), H, W, 5.0)
    assert np.abs(peak.xy - truth).max() < 0.15
    np.testing.assert_allclose(peak.mass, 0.99, atol=0.02)


@pytest.mark.parametrize(("stride", "sigma"), [(4, 5.0), (8, 8.0)])
def test_the_border_does_not_push_positions_inwards(stride: int, sigma: float) -> None:
    near = np.array([0.0, 1.0, 3.0, 5.0, 8.0, 13.0, 21.0])
    across = np.concatenate([near, W - 1 - near])
    down = np.concatenate([near, H - 1 - near])
    truth = torch.tensor(np.stack([across, down], axis=1), dtype=torch.float32)
    target = gaussian_target(truth, H // stride, W // stride, stride, sigma)
    peak = find_peak(torch.log(target + 1e-9), H, W, sigma)
    assert np.abs(peak.xy - truth.numpy()).max() < 0.5


def test_spread_is_the_targets() -> None:
    peak = find_peak(maps([(100.3, 60.2)]), H, W, 5.0)
    np.testing.assert_allclose(np.sqrt(peak.spread[0, 0, 0]), 5.0, rtol=0.08)
    np.testing.assert_allclose(peak.spread[0, 0, 1], 0, atol=0.5)


def test_the_heavier_of_two_spots_wins_and_the_spike_loses() -> None:
    broad = gaussian_target(torch.tensor([[180.0, 90.0]]), 32, 64, STRIDE, 6.0)
    heat = 0.85 * broad
    heat[0, 5, 10] += 0.15  # a spike higher than the broad spot's highest pixel
    assert heat.flatten().argmax() == 5 * 64 + 10
    peak = find_peak(torch.log(heat + 1e-9), H, W, 6.0)
    np.testing.assert_allclose(peak.xy[0], [180, 90], atol=0.5)


def test_wide_maps_have_wide_covariance_and_less_confidence() -> None:
    decoding = {"tolerance_weight": 1.0, "mass_weight": 1.0, "target_sigma_px": 5.0}
    both = torch.cat([maps([(100.0, 60.0)], 5.0), maps([(100.0, 60.0)], 14.0)])
    sharp, wide = (
        decode(output(m[None]), decoding, height=H, width=W, tolerance_px=16.0) for m in both
    )
    assert np.trace(wide.covariance[0]) > 10 * np.trace(sharp.covariance[0])
    assert wide.confidence[0] < sharp.confidence[0]


def test_covariance_is_never_below_its_floor() -> None:
    narrow = maps([(100.0, 60.0)], 2.0)
    decoded = decode(output(narrow), {"sd_floor_px": 1.5}, height=H, width=W, tolerance_px=16.0)
    assert np.linalg.eigvalsh(decoded.covariance[0]).min() >= 1.5**2 - 1e-9


@pytest.mark.parametrize(("presence", "expected"), [(3.0, True), (-3.0, False)])
def test_in_view_is_a_threshold(presence: float, expected: bool) -> None:
    decoded = decode(
        output(maps([(50.0, 50.0)]), presence), {}, height=H, width=W, tolerance_px=16.0
    )
    assert bool(decoded.in_view[0]) is expected


def test_larger_tolerance_more_confidence() -> None:
    decoding = {"tolerance_weight": 2.0}
    heat = output(maps([(50.0, 50.0)]))
    few, many = (
        decode(heat, decoding, height=H, width=W, tolerance_px=t).confidence[0] for t in (4, 30)
    )
    assert few < many


def test_a_card_from_the_future_is_refused() -> None:
    with pytest.raises(WeightsError, match="unknown decoding numbers \\(magic\\)"):
        decode(output(maps([(9.0, 9.0)])), {"magic": 1.0}, height=H, width=W, tolerance_px=9)


def test_a_network_without_any_position_is_refused_clearly() -> None:
    with pytest.raises(WeightsError, match="neither a heat map nor coordinates"):
        decode(NetworkOutput(None, None, None, ()), {}, height=H, width=W, tolerance_px=9)

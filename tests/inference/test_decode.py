"""Sub-pixel positions, honest spreads, and confidence that follows them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.inference.decode import REGION, Decoding, decode
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


def test_a_card_of_one_number_for_both_axes_is_read_as_before() -> None:
    wide = output(maps([(100.0, 60.0)], 14.0))
    before = {"sd_floor_px": 1.5, "sd_gain": 0.6}
    now = {"sd_floor_x_px": 1.5, "sd_floor_y_px": 1.5, "sd_gain_x": 0.6, "sd_gain_y": 0.6}
    old, new = (decode(wide, card, height=H, width=W, tolerance_px=16.0) for card in (before, now))
    np.testing.assert_array_equal(old.covariance, new.covariance)
    excess = find_peak(maps([(100.0, 60.0)], 14.0), H, W, 5.0).spread[0] - 25 * np.eye(2)
    np.testing.assert_allclose(old.covariance[0], 1.5**2 * np.eye(2) + 0.36 * excess, atol=1e-6)
    assert Decoding.from_card(before) == Decoding.from_card(now)


def test_the_axes_have_floors_and_gains_of_their_own() -> None:
    card = {"sd_floor_x_px": 4.0, "sd_floor_y_px": 1.0, "sd_gain_x": 0.0, "sd_gain_y": 0.0}
    decoded = decode(output(maps([(99.0, 60.0)])), card, height=H, width=W, tolerance_px=16.0)
    np.testing.assert_allclose(decoded.covariance[0], np.diag([16.0, 1.0]), atol=1e-9)


def test_a_second_spot_far_away_widens_the_region_by_what_it_weighs() -> None:
    near, far = (
        gaussian_target(torch.tensor([xy]), 32, 64, STRIDE, 5.0)
        for xy in ([60.0, 60.0], [200.0, 60.0])
    )
    card = {"sd_gain": 0.0, "reach_power": 1.0}
    areas, reaches = [], []
    for share in (0.0, 0.1, 0.3):
        heat = torch.log((1 - share) * near + share * far + 1e-9)
        found = decode(output(heat), card, height=H, width=W, tolerance_px=16.0)
        np.testing.assert_allclose(found.xy[0], [60, 60], atol=0.3)
        areas.append(np.sqrt(np.linalg.det(found.covariance[0])))
        reaches.append(find_peak(heat, H, W, 5.0).reach[0])
    np.testing.assert_allclose(
        reaches, np.sqrt([50, 50 + 0.1 * 140**2, 50 + 0.3 * 140**2]), rtol=0.05
    )
    np.testing.assert_allclose(np.array(areas) / areas[0], np.square(reaches) / reaches[0] ** 2)


def test_the_region_of_a_gaussian_holds_nine_in_ten() -> None:
    points = np.random.default_rng(0).normal(size=(200_000, 2))
    assert ((points**2).sum(axis=1) <= REGION).mean() == pytest.approx(0.9, abs=0.003)


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

"""How the numbers and maps of the published networks are read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_deepmtj.core.geometry import PixelMap, Roi
from napari_deepmtj.inference.decode import decode
from napari_deepmtj.networks.interface import NetworkOutput


def regressor(*xy: tuple[float, float]) -> NetworkOutput:
    return NetworkOutput(None, torch.tensor(xy), None, (torch.rand(len(xy), 4, 8),))


def drawn(logits: torch.Tensor) -> NetworkOutput:
    return NetworkOutput(logits, None, None, (torch.rand(len(logits), 4, 8),))


def blob(x: float, y: float, sigma: float, peak: float = 1.0) -> torch.Tensor:
    """Probabilities of a Gaussian of some height, shape (128, 256)."""
    rows, columns = torch.arange(128.0)[:, None], torch.arange(256.0)
    return peak * torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def logits(probability: torch.Tensor) -> torch.Tensor:
    return torch.logit(probability.clamp(1e-6, 1 - 1e-6))[None]


def test_zero_and_one_are_the_centres_of_the_crops_first_and_last_pixels() -> None:
    """A label at pixel p of the 512 px crop was scaled to p / 511 (P20)."""
    crop = Roi(210, 130, 512, 256)
    pixel_map = PixelMap.fit(crop, 64, 128, None, stretch=True)
    labels = np.array([[0.0, 0.0], [511.0, 255.0], [108.0, 21.0]])
    found = decode(
        regressor(*(labels / [511, 255]).tolist()),
        {"label_width": 512.0, "sd_floor_px": 4.0},
        height=64,
        width=128,
        tolerance_px=8.0,
    )
    frame = pixel_map.to_frame(found.xy)
    np.testing.assert_allclose(frame, labels + [crop.x, crop.y], atol=1e-4)
    np.testing.assert_allclose(found.covariance, [16.0 * np.eye(2)] * 3)
    assert found.in_view.all()


def test_without_a_label_width_labels_are_scaled_in_the_input() -> None:
    found = decode(regressor((1.0, 0.5)), {}, height=64, width=128, tolerance_px=8.0)
    np.testing.assert_allclose(found.xy, [[127.0, 31.5]])


def test_a_regressors_confidence_is_what_its_card_says_of_it() -> None:
    valid = 0.8832  # P20, Table IV
    decoding = {"bias": float(np.log(valid / (1 - valid)))}
    found = decode(
        regressor((0.2, 0.3), (0.9, 0.9)), decoding, height=64, width=128, tolerance_px=8.0
    )
    np.testing.assert_allclose(found.confidence, valid)


@pytest.mark.parametrize(("x", "y"), [(100.3, 60.7), (20.0, 110.25)])
def test_the_components_centroid_is_sub_pixel(x: float, y: float) -> None:
    found = decode(drawn(logits(blob(x, y, 5.0))), {}, height=128, width=256, tolerance_px=16.0)
    np.testing.assert_allclose(found.xy, [[x, y]], atol=0.05)
    assert found.in_view[0]


def test_the_largest_component_wins_over_the_likeliest() -> None:
    both = torch.maximum(blob(60, 40, 3.0, 0.99), blob(180, 90, 6.0, 0.8))
    found = decode(drawn(logits(both)), {}, height=128, width=256, tolerance_px=16.0)
    np.testing.assert_allclose(found.xy, [[180, 90]], atol=0.1)


def test_no_component_is_not_in_view() -> None:
    faint = logits(blob(60, 40, 5.0, 0.45))
    found = decode(drawn(faint), {}, height=128, width=256, tolerance_px=16.0)
    assert not found.in_view[0]
    lower = decode(
        drawn(faint), {"presence_threshold": 0.4}, height=128, width=256, tolerance_px=16.0
    )
    assert lower.in_view[0]


def test_a_coarse_map_is_brought_to_the_inputs_pixels() -> None:
    probability = torch.zeros(1, 32, 64)
    probability[0, 10, 20] = 0.9
    found = decode(
        drawn(torch.logit(probability.clamp(1e-6))), {}, height=128, width=256, tolerance_px=16.0
    )
    np.testing.assert_allclose(found.xy, [[20 * 4 + 1.5, 10 * 4 + 1.5]])

"""The published losses against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from napari_deepmtj.inference.published import regressed
from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.training.augment import Batch
from napari_deepmtj.training.losses import (
    coordinate_loss,
    heatmap_loss,
    loss_of,
    scaled_labels,
    soft_label,
    soft_label_loss,
)
from napari_deepmtj.training.settings import Coordinates, Heatmap, Loss, SoftLabel


def batch_of(xy: list[tuple[float, float]], present: list[float], size: tuple[int, int]) -> Batch:
    n = len(xy)
    return Batch(
        torch.zeros(n, 1, *size),
        torch.tensor(xy),
        torch.tensor(present),
        torch.ones(n),
        torch.ones(n, 2),
    )


def output_at(xy: list[tuple[float, float]]) -> NetworkOutput:
    return NetworkOutput(None, torch.tensor(xy), None, ())


def test_eq_1_against_values_by_hand() -> None:
    """1/5 (4 (x - x^)^2 + (y - y^)^2), mean over the batch."""
    # Labels of a crop as wide as the input: x / 127 and y / 63.
    batch = batch_of([(63.5, 31.5), (0.0, 63.0), (127.0, 0.0)], [1.0] * 3, (64, 128))
    loss = Coordinates(4, 1, 128)
    output = output_at([(0.6, 0.5), (0.0, 0.8), (0.7, 0.1)])
    by_hand = [4 * 0.1**2 / 5, 0.2**2 / 5, (4 * 0.3**2 + 0.1**2) / 5]  # 0.008, 0.008, 0.074
    np.testing.assert_allclose(coordinate_loss(output, batch, loss), by_hand, atol=1e-7)
    assert float(loss_of(loss, output, batch)) == pytest.approx(0.03, abs=1e-7)


def test_eq_1_gradient_against_values_by_hand() -> None:
    xy = torch.tensor([[0.6, 0.7]], requires_grad=True)
    batch = batch_of([(63.5, 31.5)], [1.0], (64, 128))
    output = NetworkOutput(None, xy, None, ())
    loss_of(Coordinates(4, 1, 128), output, batch).backward()
    np.testing.assert_allclose(xy.grad, [[8 * 0.1 / 5, 2 * 0.2 / 5]], atol=1e-6)


def test_labels_outside_the_crop_are_clamped() -> None:
    labels = scaled_labels(torch.tensor([[-30.0, 20.0], [150.0, 90.0]]), 64, 128, 512)
    assert labels[0, 0] == 0
    assert 0 < labels[0, 1] < 1
    assert labels[1].tolist() == [1, 1]


@pytest.mark.parametrize("label_width", [128.0, 512.0])
def test_scaled_labels_are_what_inference_reads_back(label_width: float) -> None:
    xy = torch.tensor([[3.25, 60.0], [100.0, 5.5], [64.0, 32.0]])
    peak, _ = regressed(scaled_labels(xy, 64, 128, label_width), 64, 128, label_width)
    np.testing.assert_allclose(peak.xy, xy, atol=1e-4)


def test_soft_label_peaks_at_1_with_its_sigma() -> None:
    drawn = soft_label(torch.tensor([[20.0, 10.0]] * 2), torch.tensor([1.0, 0.0]), 32, 64, 5.0)
    assert drawn[0, 10, 20] == 1
    assert float(drawn[0, 10, 25]) == pytest.approx(math.exp(-0.5))
    assert float(drawn[0, 20, 20]) == pytest.approx(math.exp(-2))
    assert drawn[1].abs().max() == 0


def test_soft_label_loss_against_values_by_hand() -> None:
    """-(t log p + 0.1 (1 - t) log(1 - p)), mean over pixels."""
    target = torch.tensor([[[1.0, 0.25]]])
    logits = torch.tensor([[[0.0, math.log(3)]]])  # p = 1/2, 3/4
    batch = Batch(*[torch.zeros(1, 1, 1, 2)], *[torch.ones(1)] * 4, target)
    by_hand = (math.log(2) - 0.25 * math.log(0.75) - 0.1 * 0.75 * math.log(0.25)) / 2
    output = NetworkOutput(logits, None, None, ())
    assert float(soft_label_loss(output, batch, SoftLabel(5, 0.1))) == pytest.approx(by_hand)


@pytest.mark.parametrize("loss", [Coordinates(), SoftLabel(), Heatmap(5.0)])
def test_parts_of_a_batch_add_up_to_the_whole(loss: Loss) -> None:
    rng = torch.Generator().manual_seed(0)
    n, size = 6, (16, 32)
    batch = Batch(
        torch.zeros(n, 1, *size),
        torch.rand(n, 2, generator=rng) * 16,
        torch.tensor([1.0, 0, 1, 1, 0, 1]),
        torch.tensor([1.0, 1, 0, 1, 1, 1]),
        torch.ones(n, 2),
    )
    output = NetworkOutput(
        torch.randn(n, *size, generator=rng),
        torch.rand(n, 2, generator=rng),
        torch.randn(n, generator=rng),
        (),
    )
    whole = float(loss_of(loss, output, batch))
    parts = 0.0
    for part in (slice(0, 4), slice(4, 6)):
        of_part = NetworkOutput(*(t[part] for t in output[:3]), ())  # type: ignore[index]
        parts += float(loss_of(loss, of_part, batch.of(lambda t, s=part: t[s]), batch))
    assert parts == pytest.approx(whole, rel=1e-6)


def test_heatmap_loss_counts_every_picture_for_presence() -> None:
    """Bit for bit what it was as a mean, on which the default model was trained."""
    rng = torch.Generator().manual_seed(1)
    n = 32
    batch = Batch(
        torch.zeros(n, 1, 16, 32),
        torch.rand(n, 2, generator=rng) * 16,
        (torch.rand(n, generator=rng) < 0.8).float(),
        (torch.rand(n, generator=rng) < 0.9).float(),
        torch.ones(n, 2),
    )
    presence = torch.randn(n, generator=rng)
    flat = NetworkOutput(torch.zeros(n, 4, 8), None, presence, ())
    seen = torch.nn.functional.binary_cross_entropy_with_logits(
        presence, batch.present, reduction="none"
    )
    located = float((batch.present * batch.decided).sum() > 0)
    expected = located * math.log(32) + 0.5 * float((seen * batch.decided).mean())
    found = float(heatmap_loss(flat, batch, sigma_px=5.0, presence_weight=0.5))
    assert found == pytest.approx(expected, rel=1e-6)

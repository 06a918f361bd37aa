"""Whatever is done to a picture, its label stays on the same tissue."""

from __future__ import annotations

import pytest
import torch

from napari_deepmtj.training.augment import augment, blocks

H, W = 192, 384


def dotted(xy: torch.Tensor) -> torch.Tensor:
    """Dark pictures (B, H, W) with a bright round spot at `xy`."""
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    far = (x - xy[:, 0, None, None]) ** 2 + (y - xy[:, 1, None, None]) ** 2
    return (20 + 235 * torch.exp(-far / (2 * 6.0**2))).round().to(torch.uint8)


def test_label_stays_on_the_spot() -> None:
    rng = torch.Generator().manual_seed(0)
    xy = torch.rand(64, 2, generator=rng) * torch.tensor([W - 60.0, H - 60.0]) + 30
    batch = augment(
        dotted(xy), xy, torch.ones(64, dtype=torch.bool), torch.ones(64), (128, 256), rng
    )
    y, x = torch.meshgrid(torch.arange(128), torch.arange(256), indexing="ij")
    checked = 0
    for picture, label, present in zip(batch.pictures, batch.xy, batch.present, strict=True):
        if not present or min(*label, 255 - label[0], 127 - label[1]) < 16:
            continue
        # Only around the label, so that strokes and noise elsewhere do not count.
        near = torch.hypot(x - label[0], y - label[1]) < 15
        weight = ((picture[0] + 1) / 2) ** 4 * near
        if float(weight.sum()) < 1e-3:
            continue
        cx, cy = float((weight * x).sum() / weight.sum()), float((weight * y).sum() / weight.sum())
        assert abs(cx - float(label[0])) < 1.6
        assert abs(cy - float(label[1])) < 1.6
        checked += 1
    assert checked > 25


def test_strength_zero_only_fits() -> None:
    rng = torch.Generator().manual_seed(0)
    xy = torch.tensor([[100.0, 80.0]])
    batch = augment(
        dotted(xy), xy, torch.tensor([True]), torch.tensor([0.2]), (128, 256), rng, strength=0.0
    )
    torch.testing.assert_close(batch.xy, (xy + 0.5) / 1.5 - 0.5, atol=1e-3, rtol=0)
    torch.testing.assert_close(batch.mm_per_px, torch.tensor([[0.3, 0.3]]))
    assert batch.present.item() == 1
    assert batch.decided.item() == 1


def test_outside_is_absent_and_the_border_undecided() -> None:
    rng = torch.Generator().manual_seed(0)
    xy = torch.tensor([[-20.0, 80.0], [383.4, 80.0], [200.0, 80.0]])
    batch = augment(
        dotted(xy), xy, torch.ones(3, dtype=torch.bool), torch.ones(3), (128, 256), rng, strength=0
    )
    assert batch.present.tolist() == [0, 1, 1]
    assert batch.decided.tolist() == [1, 0, 1]


def test_pure_function_of_the_seed() -> None:
    xy = torch.tensor([[100.0, 80.0], [200.0, 90.0]])
    there = torch.ones(2, dtype=torch.bool)

    def draw(seed: int) -> torch.Tensor:
        rng = torch.Generator().manual_seed(seed)
        return augment(dotted(xy), xy, there, torch.ones(2), (64, 128), rng).pictures

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


@pytest.mark.parametrize(("step", "least", "most"), [(0.01, 0.0, 0.1), (20.0, 10.0, 60.0)])
def test_blocks_quantise(step: float, least: float, most: float) -> None:
    picture = torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(0)) * 255
    error = (blocks(picture, torch.tensor([step])) - picture).square().mean().sqrt()
    assert least <= error <= most


def test_blocks_keep_flat_pictures() -> None:
    flat = torch.full((1, 1, 16, 16), 128.0)
    torch.testing.assert_close(blocks(flat, torch.tensor([20.0])), flat)

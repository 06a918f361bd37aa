"""Whatever is done to a picture, its label stays on the same tissue."""

from __future__ import annotations

import pytest
import torch

from napari_deepmtj.core.geometry import PixelMap, Roi
from napari_deepmtj.inference.preprocess import normalise, to_network_input
from napari_deepmtj.training import augment as augment_module
from napari_deepmtj.training.augment import augment, blocks, transfer_grey

H, W = 192, 384


def dotted(xy: torch.Tensor) -> torch.Tensor:
    """Dark pictures (B, H, W) with a bright round spot at `xy`."""
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    far = (x - xy[:, 0, None, None]) ** 2 + (y - xy[:, 1, None, None]) ** 2
    return (20 + 235 * torch.exp(-far / (2 * 6.0**2))).round().to(torch.uint8)


def test_label_stays_on_the_spot(monkeypatch: pytest.MonkeyPatch) -> None:
    # Text, strokes and rings are drawn over the picture, and may come close to the spot.
    for name in ("_controls", "_decorate"):
        monkeypatch.setattr(augment_module, name, lambda picture, *_: picture)
    rng = torch.Generator().manual_seed(0)
    # Far enough from the border that all of the spot is in a picture made small, too.
    xy = torch.rand(64, 2, generator=rng) * torch.tensor([W - 120.0, H - 120.0]) + 60
    batch = augment(
        dotted(xy), xy, torch.ones(64, dtype=torch.bool), torch.ones(64), (128, 256), rng
    )
    y, x = torch.meshgrid(torch.arange(128), torch.arange(256), indexing="ij")
    checked = 0
    for picture, label, present in zip(batch.pictures, batch.xy, batch.present, strict=True):
        if not present or min(*label, 255 - label[0], 127 - label[1]) < 16:
            continue
        # Only around the label, so that noise elsewhere does not count.
        near = torch.hypot(x - label[0], y - label[1]) < 15
        weight = ((picture[0] + 1) / 2) ** 4 * near
        if float(weight.sum()) < 1e-3:
            continue
        cx, cy = float((weight * x).sum() / weight.sum()), float((weight * y).sum() / weight.sum())
        assert abs(cx - float(label[0])) < 0.5
        assert abs(cy - float(label[1])) < 0.5
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


def blob(x: float, y: float) -> torch.Tensor:
    """Return one picture (1, H, W) with a soft spot."""
    rows, columns = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    spot = 255 * torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 50.0)
    return spot.to(torch.uint8)[None]


def centroid(picture: torch.Tensor) -> torch.Tensor:
    """Return (x, y) of the centroid of grey levels above black of one picture (1, H, W)."""
    weight = picture[0].double() + 1
    y, x = torch.meshgrid(*(torch.arange(n) for n in weight.shape), indexing="ij")
    return torch.stack([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def test_geometry_alone_moves_label_and_picture_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """To a hundredth of a pixel, which half a pixel, a flip or a swapped axis would not pass."""
    for name in ("_controls", "_letterbox", "_photometry", "_coded", "_decorate"):
        monkeypatch.setattr(augment_module, name, lambda picture, *_: picture)
    x, y = 190.3, 90.6
    checked, places = 0, set()
    for seed in range(20):
        rng = torch.Generator().manual_seed(seed)
        there, size = torch.tensor([True]), (H * 2 // 3, W * 2 // 3)
        batch = augment(blob(x, y), torch.tensor([[x, y]]), there, torch.ones(1), size, rng)
        label = batch.xy[0].double()
        if min(*label, size[1] - label[0], size[0] - label[1]) > 25:  # the whole spot is inside
            torch.testing.assert_close(centroid(batch.pictures[0]), label, atol=0.01, rtol=0)
            places.add(round(float(label[0])))
            checked += 1
    assert checked >= 10
    assert len(places) >= 8


def test_training_and_inference_see_the_same_picture() -> None:
    x, y = 130.3, 70.6
    stored, size = blob(x, y), (H * 2 // 3, W * 2 // 3)
    rng, there = torch.Generator().manual_seed(0), torch.tensor([True])
    xy = torch.tensor([[x, y]])
    batch = augment(stored, xy, there, torch.ones(1), size, rng, strength=0.0)
    pixel_map = PixelMap.fit(Roi.full(H, W), *size)
    seen = normalise(to_network_input(stored[0].numpy(), pixel_map)[None], "minus-one-one")
    torch.testing.assert_close(batch.pictures, seen, atol=0.03, rtol=0)
    expected = torch.from_numpy(pixel_map.to_network([[x, y]])).float()
    torch.testing.assert_close(batch.xy, expected, atol=1e-4, rtol=0)


def test_grey_levels_are_those_of_the_other_picture() -> None:
    rng = torch.Generator().manual_seed(0)
    dark = 60 * torch.rand(1, 1, 160, 160, generator=rng) + 1
    bright = 100 * torch.rand(1, 1, 160, 160, generator=rng) ** 2 + 150
    dark[..., :8], bright[..., :16] = 0, 0  # black margins
    pictures = torch.cat([dark, bright])
    swapped = torch.Generator().manual_seed(1)  # of two pictures each takes the other's
    changed = transfer_grey(pictures, torch.tensor([True, False]), torch.ones(2), swapped)
    torch.testing.assert_close(changed[1], pictures[1])
    assert (changed[0][pictures[0] == 0] == 0).all()
    own, got, other = (part[part > 0] for part in (pictures[0], changed[0], pictures[1]))
    for level in (0.1, 0.5, 0.9):
        assert abs(got.quantile(level) - other.quantile(level)) < 5
    order = own.argsort()
    assert (got[order].diff() >= -1e-3).all()


def test_share_of_nothing_leaves_the_grey_levels() -> None:
    pictures = 255 * torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    rng = torch.Generator().manual_seed(2)
    changed = transfer_grey(pictures, torch.ones(4, dtype=torch.bool), torch.zeros(4), rng)
    torch.testing.assert_close(changed, pictures)

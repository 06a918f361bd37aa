"""P21's augmentation moves picture, label and soft label alike, within its ranges."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from napari_deepmtj.training.affine import affine_matrices, warp, warped_label
from napari_deepmtj.training.batches import FrameSet
from napari_deepmtj.training.frames import FRAME_COLUMNS, FrameStore
from napari_deepmtj.training.settings import Affine, Network, Scanner, SoftLabel

H, W = 96, 192
P21 = Affine(20.0, 0.2, 0.3, 0.1, flips=True)
STILL = Affine(0.0, 0.0, 0.0, 0.0, flips=False)


def blob(x: float, y: float) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    return 255 * torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 32.0)


def centroid(weight: torch.Tensor) -> torch.Tensor:
    y, x = torch.meshgrid(*(torch.arange(float(n)) for n in weight.shape), indexing="ij")
    return torch.stack([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.fixture
def store(tmp_path: Path) -> FrameStore:
    """Return three stored frames: a spot, one near the border, and nothing visible."""
    places = [(90.3, 50.6), (12.0, 20.0), (60.0, 40.0)]
    pictures = torch.stack([blob(*place) for place in places]).round().byte().numpy()
    np.save(tmp_path / "cut.npy", pictures)
    table = pd.DataFrame(
        [
            ("a", "0", "s", k, x, y, k < 2, 0.2, 0.2, 0, 0, H, W, "cut", k)
            for k, (x, y) in enumerate(places)
        ],
        columns=list(FRAME_COLUMNS),
    )
    table.loc[2, ["x", "y"]] = np.nan
    return FrameStore(tmp_path, table, (H, W))


def frame_set(store: FrameStore, normalisation: str = "minus-one-one") -> FrameSet:
    network = Network("attention-unet", H // 2, W // 2, normalisation)
    return FrameSet(store, np.arange(3), network)


def test_still_is_the_plain_picture(store: FrameStore) -> None:
    frames, rng = frame_set(store), torch.Generator().manual_seed(0)
    plain = frames.plain(np.arange(3))
    still = frames.augmented(np.arange(3), STILL, SoftLabel(), rng)
    torch.testing.assert_close(still.pictures, plain.pictures, atol=0.06, rtol=0)
    torch.testing.assert_close(still.xy[:2], plain.xy[:2], atol=1e-4, rtol=0)
    assert still.present.tolist() == plain.present.tolist() == [1, 1, 0]
    torch.testing.assert_close(still.mm_per_px, plain.mm_per_px.to(still.mm_per_px))
    assert still.target is not None
    assert still.target[2].abs().max() == 0  # not visible


def test_picture_label_and_soft_label_move_alike(store: FrameStore) -> None:
    frames, checked, places = frame_set(store), 0, set()
    for seed in range(25):
        rng = torch.Generator().manual_seed(seed)
        batch = frames.augmented(np.arange(1), P21, SoftLabel(5.0), rng)
        label = batch.xy[0]
        if min(*label, W / 2 - label[0], H / 2 - label[1]) < 20:
            continue
        spot = (batch.pictures[0, 0] + 1).clamp(min=0)
        torch.testing.assert_close(centroid(spot), label, atol=0.05, rtol=0)
        assert batch.target is not None
        soft = batch.target[0]
        peak = torch.tensor(divmod(int(soft.argmax()), W // 2)).flip(0)
        assert (peak - label).abs().max() <= 1
        assert 0.95 < float(soft.max()) <= 1
        places.add(round(float(label[0])))
        checked += 1
    assert checked >= 10
    assert len(places) >= 8


def test_what_is_mirrored_in_is_labelled_too(store: FrameStore) -> None:
    """Shifted out of the picture, the spot appears by reflection, and so does its label."""
    shifted = torch.tensor([[[1.0, 0.0, 20.0], [0.0, 1.0, 0.0]]])  # the result begins at x = 20
    picture, places = warp(blob(12.0, 40.0)[None], shifted, (H // 2, W // 2))
    target = warped_label(places, torch.tensor([[12.0, 40.0]]), torch.ones(1), 10.0)
    # Gone to the left: at the border is what lies 8 px from the spot's middle.
    assert picture[0, 20, 0] == pytest.approx(255 * math.exp(-(8.5**2) / 32), abs=3)
    assert target[0, 20, 0] == pytest.approx(math.exp(-(8.5**2 + 0.5**2) / 200), abs=1e-3)
    other = torch.tensor([[[1.0, 0.0, -40.0], [0.0, 1.0, 0.0]]])  # the result begins at x = -40
    picture, places = warp(blob(12.0, 40.0)[None], other, (H // 2, W // 2))
    target = warped_label(places, torch.tensor([[12.0, 40.0]]), torch.ones(1), 10.0)
    for map_ in (picture[0], target[0]):
        # The spot itself at 52 and its mirror image at 27, stored pixels both.
        row = map_[20]
        assert row[26] > 0.8 * map_.max()
        assert row[13] > 0.8 * map_.max()


def test_ranges_are_those_of_the_recipe() -> None:
    n = 4000
    matrices = affine_matrices(P21, n, (H, W), torch.Generator().manual_seed(0))
    linear, shift = matrices[:, :, :2], matrices[:, :, 2]
    zoom = linear.norm(dim=1)  # of columns: shear leaves the second alone, and the first nearly
    assert 0.7 <= float(zoom.min()) < 0.71
    assert 1.29 < float(zoom.max()) <= 1.3001
    flipped = torch.linalg.det(linear) < 0
    assert 0.45 < float(flipped.float().mean()) < 0.55
    column = linear[:, :, 1] / zoom[:, 1:]
    angle = torch.rad2deg(torch.asin(column[:, 0].abs().clamp(max=1)))
    assert 19 < float(angle.max()) <= 20.01
    assert float(shift.norm(dim=1).max()) <= math.hypot(0.1 * W, 0.1 * H) + 1e-3
    assert float(shift.abs().max()) > 0.09 * W


def test_standardised_pictures_leave_the_black_around_them_out(store: FrameStore) -> None:
    boxed = store.table.copy()
    boxed[["top", "left", "height", "width"]] = [24, 0, 48, 192]
    frames = frame_set(FrameStore(store.folder, boxed, store.size), "standardise")
    rng = torch.Generator().manual_seed(0)
    for batch in (
        frames.plain(np.arange(3)),
        frames.augmented(np.arange(3), STILL, SoftLabel(), rng),
    ):
        inner = batch.pictures[:, 0, 12:36]
        torch.testing.assert_close(inner.mean(dim=(1, 2)), torch.zeros(3), atol=2e-3, rtol=0)
        sd = inner.std(dim=(1, 2), correction=0)
        torch.testing.assert_close(sd, torch.ones(3), atol=2e-2, rtol=0)


@pytest.mark.parametrize("how", [P21, Scanner(0.6)])
def test_a_pure_function_of_the_seed(store: FrameStore, how: Affine | Scanner) -> None:
    frames = frame_set(store)

    def draw(seed: int) -> torch.Tensor:
        rng = torch.Generator().manual_seed(seed)
        return frames.augmented(np.arange(3), how, SoftLabel(), rng).pictures

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))

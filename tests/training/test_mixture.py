"""Several sources as one set: shares of what is drawn, and whose picture a number is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.training.mixture import Mixture, Source, StoredPictures


def pictures(n: int, grey: int, *, present: bool = True) -> StoredPictures:
    return StoredPictures(
        torch.full((n, 4, 8), grey, dtype=torch.uint8),
        torch.full((n, 2), float(grey)),
        torch.full((n,), present),
        torch.full((n,), grey / 100),
    )


def test_pictures_are_drawn_by_the_shares_of_their_sources_not_by_their_number() -> None:
    mixture = Mixture([Source("many", 0.25, pictures(900, 1)), Source("few", 0.75, pictures(3, 2))])
    chosen = mixture.draw(4000, torch.Generator().manual_seed(1))
    few = (mixture.pictures(chosen)[:, 0, 0] == 2).float().mean()
    assert few == pytest.approx(0.75, abs=0.03)
    assert len(chosen.unique()) > 600, "all of the many are drawn"


def test_a_number_means_the_same_picture_position_and_scale() -> None:
    mixture = Mixture([Source("a", 1, pictures(2, 1)), Source("b", 1, pictures(3, 7))])
    numbers = torch.tensor([0, 1, 2, 4])
    assert mixture.pictures(numbers)[:, 0, 0].tolist() == [1, 1, 7, 7]
    assert mixture.positions()[numbers, 0].tolist() == [1, 1, 7, 7]
    assert mixture.mm_per_px[numbers].tolist() == pytest.approx([0.01, 0.01, 0.07, 0.07])


def test_an_empty_source_is_named() -> None:
    with pytest.raises(DeepMTJError, match="nerves"):
        Mixture([Source("a", 1, pictures(2, 1)), Source("nerves", 1, pictures(0, 7))])


def test_stored_pictures_come_back_from_their_file(tmp_path: Path) -> None:
    kept = replace(pictures(2, 5, present=False), cluster=torch.tensor([3, 4]))
    kept.save(tmp_path / "a.npz")
    read = StoredPictures.load(tmp_path / "a.npz")
    for name, value in vars(kept).items():
        assert torch.equal(getattr(read, name), value), name

"""Pictures without a junction: reproducible, of every kind, and without a tip by construction."""

from __future__ import annotations

import pytest
import torch

from napari_deepmtj.phantom import negatives_tissue
from napari_deepmtj.phantom.anatomy import LABEL_THICKNESS_MM
from napari_deepmtj.phantom.negatives import SHARES, render_kind, render_nothing

H, W = 48, 96


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_shares_are_of_one_whole() -> None:
    assert sum(SHARES.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", SHARES)
def test_every_kind_is_drawn_reproducibly_and_differs_by_seed(kind: str) -> None:
    first = render_kind(kind, 3, H, W, seeded(1))
    assert first.shape == (3, H, W)
    assert first.dtype == torch.uint8
    assert torch.equal(first, render_kind(kind, 3, H, W, seeded(1)))
    assert not torch.equal(first, render_kind(kind, 3, H, W, seeded(2)))
    assert len(first.flatten(1).unique(dim=0)) == 3


def test_a_mixture_is_drawn_reproducibly() -> None:
    first = render_nothing(9, H, W, seeded(3))
    assert torch.equal(first, render_nothing(9, H, W, seeded(3)))
    assert len(first.flatten(1).unique(dim=0)) == 9


def test_tissue_of_other_scanners_looks_different() -> None:
    training = render_kind("muscle", 2, H, W, seeded(4))
    assert not torch.equal(training, render_kind("muscle", 2, H, W, seeded(4), styles="test"))


@pytest.mark.parametrize("kind", ["muscle", "tendon", "transverse", "fat"])
def test_no_two_aponeuroses_meet_in_view(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is drawn, every muscle is much thicker than the wedge that is labelled a MTJ."""
    seen = []
    tops_of = negatives_tissue._tops

    def spy(*arguments: object) -> torch.Tensor:
        seen.append(tops_of(*arguments))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(negatives_tissue, "_tops", spy)
    render_kind(kind, 12, H, W, seeded(5))
    apart = torch.cat(seen).diff(dim=1)[:, 2:]
    assert apart.min() > 4 * LABEL_THICKNESS_MM

"""Pictures are a pure function of their random tensors, and tissue moves with its speckle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_deepmtj.phantom.anatomy import sample_scenes
from napari_deepmtj.phantom.families import FAMILIES, FINE, WIDE, Family
from napari_deepmtj.phantom.materials import Motion, sample_materials
from napari_deepmtj.phantom.negatives import render_nothing
from napari_deepmtj.phantom.speckle import render

H, W = 96, 192


def make(n: int = 3, seed: int = 0, margin: int = 0, family: Family = FINE) -> tuple:  # type: ignore[type-arg]
    rng = torch.Generator().manual_seed(seed)
    scene = sample_scenes(n, rng, aspect=H / W, family=family)
    return scene, sample_materials(n, H, W, rng, margin=margin, family=family)


def test_pure_function_of_its_tensors() -> None:
    scene, materials = make()
    first = render(scene, materials, H, W)
    assert first.dtype == torch.uint8
    assert first.shape == (3, H, W)
    assert torch.equal(first, render(scene, materials, H, W))


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_pictures_have_contrast_and_are_not_saturated(family: Family) -> None:
    pictures = render(*make(24, 5, family=family), H, W).float()
    assert (pictures.std(dim=(1, 2)) > 8).all()
    assert ((pictures == 255).float().mean(dim=(1, 2)) < 0.25).all()


def test_batch_and_single_agree() -> None:
    scene, materials = make(3)
    one = type(scene).from_table(scene.to_table()[1:2])
    part = replace(
        materials,
        scatter=materials.scatter[1:2],
        flecks=materials.flecks[1:2],
        lines=materials.lines[1:2],
        look=materials.look[1:2],
        device=materials.device[1:2],
    )
    batch = render(scene, materials, H, W)[1].int()
    assert (batch - render(one, part, H, W)[0].int()).abs().max() <= 1


def test_families_draw_one_scene_differently() -> None:
    """The wide family smooths strongly: neighbouring pixels are more alike than in the fine one."""

    def likeness(family: Family) -> float:
        picture = render(*make(8, 5, family=family), H, W).double().numpy()
        inside = picture[:, H // 2 :, W // 4 : -W // 4]
        return float(np.corrcoef(inside[:, :-1].ravel(), inside[:, 1:].ravel())[0, 1])

    assert likeness(WIDE) > likeness(FINE) + 0.05


def test_slip_moves_the_whole_picture() -> None:
    """Slipping by whole pixels moves the speckle by as many; found by cross-correlation."""
    scene, materials = make(1, 8, margin=12)
    step = float(scene.width_mm) / W
    zero = torch.zeros(1)
    still = render(scene, materials, H, W, Motion(zero, zero, zero))[0].double().numpy()
    slip = torch.tensor([6 * step])
    moved = scene.moved(slip, torch.ones(1))
    there = render(moved, materials, H, W, Motion(zero, zero, slip))[0].double().numpy()

    def similarity(shift: int) -> float:
        a, b = still[:, 20 : W - 20], there[:, 20 + shift : W - 20 + shift]
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    best = max(range(-12, 13), key=similarity)
    assert best == 6


def test_nothing_is_drawn_reproducibly() -> None:
    first = render_nothing(6, H, W, torch.Generator().manual_seed(1))
    again = render_nothing(6, H, W, torch.Generator().manual_seed(1))
    assert first.shape == (6, H, W)
    assert torch.equal(first, again)

"""Sets of devices share no style, and a trapezoid field of view is black beside it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import get_args

import torch

from napari_deepmtj.phantom.anatomy import sample_scenes
from napari_deepmtj.phantom.devices import (
    Device,
    StyleSet,
    outside_fan,
    sample_devices,
    styles,
)
from napari_deepmtj.phantom.materials import sample_materials
from napari_deepmtj.phantom.speckle import render


def test_sets_share_no_style() -> None:
    seen: set[tuple[float, ...]] = set()
    for which in get_args(StyleSet):
        known = styles(which)
        table = torch.stack([getattr(known, field.name) for field in fields(Device)], dim=1)
        rows = {tuple(row) for row in table.tolist()}
        assert len(rows) == len(known)
        assert len(rows) >= 3
        assert not rows & seen
        seen |= rows


def test_sampled_devices_are_of_their_set() -> None:
    drawn = sample_devices(50, torch.Generator().manual_seed(2), "test")
    of_set = {round(value, 6) for value in styles("test").axial_mm.tolist()}
    assert {round(value, 6) for value in drawn.axial_mm.tolist()} <= of_set
    assert len(set(drawn.window_db.tolist())) == 50  # what a person turns differs each time


def test_fan_is_black_beside_it_and_wide_at_depth() -> None:
    rng = torch.Generator().manual_seed(4)
    scene, materials = sample_scenes(2, rng, aspect=0.5), sample_materials(2, 64, 128, rng)
    device = replace(materials.device, fan=torch.tensor([0.1, 0.0]), lift=torch.tensor([0.1, 0.1]))
    pictures = render(scene, replace(materials, device=device), 64, 128)
    across, depth = (torch.arange(128) + 0.5) / 128, (torch.arange(64) + 0.5) / 64
    beside = outside_fan(device, across[None, None], depth[None, :, None])
    assert beside[0, 0, :12].all()
    assert not beside[0, -1].any()
    assert not beside[1].any()
    assert (pictures[beside] == 0).all()
    assert (pictures[~beside] > 0).all()

"""The MTJ is where the definition says, and the layers lie in anatomical order."""

from __future__ import annotations

import pytest
import torch

from napari_deepmtj.phantom.anatomy import (
    LABEL_THICKNESS_MM,
    LabelDefinition,
    Scene,
    layers,
    mtj_mm,
    sample_scenes,
)


def scenes(n: int = 200, seed: int = 3, **kwargs: bool) -> Scene:
    return sample_scenes(n, torch.Generator().manual_seed(seed), aspect=0.5, **kwargs)


@pytest.mark.parametrize("thickness", [0.2, LABEL_THICKNESS_MM, 1.0])
def test_wedge_has_the_defining_thickness_at_the_mtj(thickness: float) -> None:
    scene = scenes()
    x = mtj_mm(scene, LabelDefinition(thickness))[:, :1]
    at = layers(scene, x)
    there = at.muscle_bottom - at.muscle_top
    torch.testing.assert_close(there, torch.full_like(there, thickness), atol=1e-3, rtol=0)
    # From there on it is thinner: on the way to the tip no place is as thick again.
    beyond = x + (scene.tip_mm[:, None] - x) * torch.linspace(0.01, 1.0, 50)[None]
    at = layers(scene, beyond)
    assert (at.muscle_bottom - at.muscle_top < thickness + 1e-3).all()


def test_definition_zero_is_the_tip() -> None:
    scene = scenes()
    tip = mtj_mm(scene, LabelDefinition(0.0))[:, 0]
    torch.testing.assert_close(tip, scene.tip_mm, atol=1e-3, rtol=0)


def test_thicker_definition_lies_more_proximal() -> None:
    scene = scenes()
    thick, thin = (mtj_mm(scene, LabelDefinition(mm))[:, 0] for mm in (1.0, 0.2))
    assert (thick < thin).all()


def test_layers_are_in_order_and_the_muscle_ends_at_the_tip() -> None:
    scene = scenes()
    x = torch.linspace(0, 1, 101)[None] * scene.width_mm[:, None]
    at = layers(scene, x)
    assert (at.muscle_top <= at.muscle_bottom + 1e-5).all()
    assert (at.muscle_bottom <= at.tendon_top + 1e-5).all()
    assert (at.tendon_top < at.tendon_bottom).all()
    assert (at.tendon_bottom <= at.soleus_bottom + 1e-5).all()
    distal = x > scene.tip_mm[:, None] + 1e-3
    torch.testing.assert_close(at.muscle_top[distal], at.muscle_bottom[distal])


def test_mtj_lies_on_the_deep_aponeurosis() -> None:
    scene = scenes()
    x, z = mtj_mm(scene).unbind(1)
    at = layers(scene, x[:, None])
    assert (at.muscle_bottom[:, 0] < z).all()
    assert (z < at.muscle_bottom[:, 0] + 0.5 * scene.deep_mm).all()
    middle = mtj_mm(scene, LabelDefinition(depth=0.5))
    torch.testing.assert_close(middle[:, 0], x)
    torch.testing.assert_close(middle[:, 1], at.tendon_top[:, 0] + 0.5 * scene.deep_mm)


def test_out_of_view_scenes_have_their_tip_beyond_the_picture() -> None:
    scene = scenes(in_view=False)
    assert ((scene.tip_mm < 0) | (scene.tip_mm > scene.width_mm)).all()


def test_table_round_trip() -> None:
    scene = scenes(5)
    again = Scene.from_table(scene.to_table())
    assert all(torch.equal(getattr(again, n), getattr(scene, n)) for n in Scene.names())


def test_same_seed_same_scenes() -> None:
    assert torch.equal(scenes(9, 4).to_table(), scenes(9, 4).to_table())
    assert not torch.equal(scenes(9, 4).to_table(), scenes(9, 5).to_table())

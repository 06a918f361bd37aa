"""Recipes hold the published numbers, and a schedule follows its table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.networks.build import build
from napari_deepmtj.phantom.families import FAMILIES, family_of
from napari_deepmtj.training.recipes import (
    CHUNK,
    FrameRecipe,
    SceneRecipe,
    SceneSet,
    available,
    load_recipe,
)
from napari_deepmtj.training.settings import Affine, Coordinates, Cosine, SoftLabel, Steps

PAPER = ("paper-vgg16", "paper-resnet50", "paper-vgg-attention-2", "paper-vgg-attention-3")


def frames(name: str) -> FrameRecipe:
    recipe = load_recipe(name)
    assert isinstance(recipe, FrameRecipe)
    return recipe


def test_all_recipes_read_under_their_own_names() -> None:
    assert set(available()) >= {*PAPER, "compact", "finetune", "tbme-attention-unet"}
    for name in available():
        recipe = load_recipe(name)
        assert recipe.id == name
        if isinstance(recipe, SceneRecipe):
            assert recipe.training.seed != recipe.calibration.seed
            assert set(recipe.families) <= set(FAMILIES)
            last = recipe.stages[-1]
            assert (last.height, last.width) == (recipe.input_height, recipe.input_width)
        elif recipe.network is not None:
            with torch.device("meta"):
                build(recipe.network.name, **recipe.network.arguments)


@pytest.mark.parametrize("name", PAPER)
def test_paper_recipes_hold_the_numbers_of_p20(name: str) -> None:
    """As the facts of the paper list them: Training (P20)."""
    recipe = frames(name)
    assert (recipe.epochs, recipe.batch) == (300, 32)
    assert recipe.schedule == Steps(0.5, 25)
    assert recipe.loss == Coordinates(4.0, 1.0, 512.0)
    assert recipe.network is not None
    assert (recipe.network.height, recipe.network.width) == (64, 128)
    assert recipe.network.normalisation == "minus-one-one"
    assert recipe.augmentation is None
    assert recipe.split.by == "paper"
    assert round(107 * recipe.split.test) == 12
    optimiser = recipe.optimiser
    if "attention" in name:
        assert (optimiser.kind, optimiser.learning_rate) == ("sgd", 0.01)
        assert (optimiser.momentum, optimiser.l2) == (0.9, 5e-4)
        assert recipe.network.arguments == {"levels": int(name[-1]), "compatibility": "dot"}
    else:
        assert (optimiser.kind, optimiser.learning_rate, optimiser.l2) == ("adam", 1e-3, 0.0)


def test_unet_recipe_holds_the_numbers_of_p21() -> None:
    recipe = frames("tbme-attention-unet")
    assert (recipe.batch, recipe.optimiser.kind, recipe.optimiser.learning_rate) == (
        *(16, "adam", 1e-4),
    )
    assert recipe.loss == SoftLabel(5.0, 0.1)
    assert recipe.augmentation == Affine(20.0, 0.2, 0.3, 0.1, flips=True)
    assert recipe.network is not None
    assert (recipe.network.height, recipe.network.width) == (128, 256)
    assert recipe.network.normalisation == "standardise"


def test_steps_against_a_table() -> None:
    schedule = Steps(0.5, 25)
    table = {0: 1.0, 24: 1.0, 24.99: 1.0, 25: 0.5, 49: 0.5, 50: 0.25, 74: 0.25, 75: 0.125,
             299: 0.5**11}  # fmt: skip
    assert {epoch: schedule.share(epoch, 300) for epoch in table} == table


def test_a_shorter_run_has_its_halvings_in_proportion() -> None:
    recipe = frames("paper-vgg16").lasting(60)
    assert recipe.epochs == 60
    table = {0: 1.0, 4: 1.0, 5: 0.5, 9: 0.5, 10: 0.25, 55: 0.5**11, 59: 0.5**11}
    assert {epoch: recipe.schedule.share(epoch, 60) for epoch in table} == table
    third = Steps(0.5, 25).scaled(1 / 3)  # a halving after every 8 1/3 epochs
    assert third.share(25.0, 100) == 0.125
    with pytest.raises(DeepMTJError, match="0 epochs"):
        recipe.lasting(0)


def test_cosine_rises_then_falls() -> None:
    schedule = Cosine(0.1)
    shares = [schedule.share(epoch, 100) for epoch in range(101)]
    assert shares[5] == pytest.approx(0.5)
    assert max(shares) == shares[10] == 1.0
    assert shares[55] == pytest.approx(0.5)
    assert shares[100] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "adam" ', 'kind = "magic" ', "'magic' is unknown"),
        ('kind = "steps" ', 'kind = "stairs" ', "kind is 'stairs'"),
        ("factor = 0.5", "fctor = 0.5", "malformed"),
        ("epochs = 300", "epochs = 0", "epochs is 0"),
        ('by = "paper"', 'by = "luck"', "'luck' is unknown"),
        ('initial = "keras"', 'initial = "zeros"', "'zeros' are unknown"),
        ("epsilon = 1e-7", "decay = 1e-7", "no decay apart from the loss"),
        ("epsilon = 1e-7", "momentum = 0.9", "takes no momentum"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    from importlib import resources

    text = (resources.files("napari_deepmtj.training") / "recipes/paper-vgg16.toml").read_text()
    assert old in text
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    assert load_recipe(str(path)) == load_recipe("paper-vgg16")
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DeepMTJError, match=message):
        load_recipe(str(path))


def test_unknown_or_malformed_recipe(tmp_path: Path) -> None:
    with pytest.raises(DeepMTJError, match="unknown recipe 'soup'"):
        load_recipe("soup")
    bad = tmp_path / "bad.toml"
    bad.write_text("id = 'x'\n", encoding="utf-8")
    with pytest.raises(DeepMTJError, match="malformed"):
        load_recipe(str(bad))
    bad.write_bytes(b"\xff\xfe")
    with pytest.raises(DeepMTJError, match="malformed"):
        load_recipe(str(bad))


def test_batch_of_nothing_is_refused() -> None:
    with pytest.raises(DeepMTJError, match="batch is 0"):
        replace(frames("finetune"), batch=0)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_that_generators_refuse_is_refused_before_the_run(seed: int) -> None:
    recipe = load_recipe("finetune")
    assert isinstance(recipe, FrameRecipe)
    with pytest.raises(DeepMTJError, match=f"the seed is {seed}; give 0 to 2147483647"):
        replace(recipe, seed=seed)


def test_families_share_the_scenes_of_a_set() -> None:
    recipe = load_recipe("compact")
    assert isinstance(recipe, SceneRecipe)
    halves = replace(recipe, families={"fine": 3.0, "wide": 1.0})
    parts = {part.family: part.count for part in halves.of_families(SceneSet(1, 8 * CHUNK))}
    assert parts == {"fine": 6 * CHUNK, "wide": 2 * CHUNK}
    with pytest.raises(DeepMTJError, match="no family of scenes 'nice'"):
        family_of("nice")

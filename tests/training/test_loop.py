"""A run learns, can be stopped anywhere, and ends with the same weights."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from real_pictures import write_belly

from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.phantom.anatomy import LabelDefinition
from napari_deepmtj.training import loop, scenes
from napari_deepmtj.training import real as real_pictures
from napari_deepmtj.training.augment import Batch
from napari_deepmtj.training.dataset import RenderedScenes, ensure_rendered, render_chunk
from napari_deepmtj.training.events import Learned
from napari_deepmtj.training.losses import gaussian_target, heatmap_loss
from napari_deepmtj.training.mixture import StoredPictures
from napari_deepmtj.training.real import split_of
from napari_deepmtj.training.recipes import (
    CHUNK,
    RealSet,
    SceneRecipe,
    SceneSet,
    Stage,
    load_recipe,
)
from napari_deepmtj.weights.store import load_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiny() -> SceneRecipe:
    return replace(
        load_recipe("compact"),
        id="tiny",
        network_arguments={"channels": [8, 8, 8]},
        input_height=32,
        input_width=64,
        families={"fine": 1.0},
        real=None,
        training=SceneSet(seed=1, count=CHUNK, height=32, width=64),
        calibration=SceneSet(seed=2, count=CHUNK, height=32, width=64),
        stages=(Stage(3, 16, 32), Stage(3, 32, 64)),
        batch=8,
    )


@pytest.fixture(scope="module")
def folder(tiny: SceneRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the scenes rendered, and nothing learned yet."""
    path = tmp_path_factory.mktemp("run")
    for what, name in ((tiny.training, "training"), (tiny.calibration, "calibration")):
        for part in tiny.of_families(what):
            list(ensure_rendered(part, path / name / part.family, 1))
    return path


def finish(recipe: SceneRecipe, folder: Path) -> Path:
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    *_, last = loop.train(recipe, folder, device=CPU, workers=1)
    assert isinstance(last, Done)
    return last.result.path


def test_interrupted_run_ends_like_an_uninterrupted_one(
    tiny: SceneRecipe, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_model(finish(tiny, folder)).network.state_dict()
    (folder / "checkpoint.safetensors").unlink()
    monkeypatch.setattr(scenes, "CHECKPOINT_EVERY", 2)
    monkeypatch.setattr(scenes, "REPORT_EVERY", 1)
    run = loop.train(tiny, folder, device=CPU, workers=1)
    for event in run:
        if isinstance(event, Learned) and event.step == 5:
            break
    run.close()
    *events, last = loop.train(tiny, folder, device=CPU, workers=1)
    assert any("resumed at step 4" in getattr(event, "message", "") for event in events)
    assert isinstance(last, Done)
    resumed = load_model(last.result.path).network.state_dict()
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


def test_card_tells_what_it_was_made_with(tiny: SceneRecipe, folder: Path) -> None:
    model = load_model(finish(tiny, folder))
    assert "phantom" in model.card.trained_on
    assert model.card.made_with["recipe"]["seed"] == tiny.seed
    fitted = {"presence_threshold", "sd_floor_x_px", "region_scale", "bias"}
    assert fitted <= set(model.card.decoding)
    assert all(math.isfinite(v) for v in model.card.decoding.values())


def test_damaged_checkpoint_is_named(tiny: SceneRecipe, folder: Path) -> None:
    (folder / "checkpoint.safetensors").write_bytes(b"not a checkpoint")
    *_, last = loop.train(tiny, folder, device=CPU, workers=1)
    assert isinstance(last, Failed)
    assert "checkpoint.safetensors" in str(last.error)
    (folder / "checkpoint.safetensors").unlink()


def test_checkpoint_of_another_recipe_is_refused(tiny: SceneRecipe, folder: Path) -> None:
    finish(tiny, folder)
    other = replace(tiny, learning_rate=tiny.learning_rate / 2)
    *_, last = loop.train(other, folder, device=CPU, workers=1)
    assert isinstance(last, Failed)
    assert "checkpoint.safetensors: belongs to another run" in str(last.error)
    (folder / "checkpoint.safetensors").unlink()


def test_folder_that_cannot_be_made_is_one_line(tiny: SceneRecipe, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    *_, last = loop.train(tiny, tmp_path / "file" / "run", device=CPU, workers=1)
    assert isinstance(last, Failed)
    assert str(last.error).startswith("run: cannot be written to")


def test_scenes_of_another_recipe_are_refused(tiny: SceneRecipe, folder: Path) -> None:
    other = replace(tiny.training, seed=99)
    with pytest.raises(DeepMTJError, match="another recipe"):
        list(ensure_rendered(other, folder / "training" / "fine", 1))


def test_rendered_positions_follow_the_definition(tiny: SceneRecipe, folder: Path) -> None:
    drawn = RenderedScenes(tiny.training, folder / "training" / "fine")
    assert len(drawn) == CHUNK
    assert 0.7 < float(drawn.present.float().mean()) <= 1.0
    tip, earlier, deeper = (
        drawn.positions(label)
        for label in (LabelDefinition(0.0), LabelDefinition(0.8), LabelDefinition(0.8, 0.5))
    )
    assert (earlier[:, 0] < tip[:, 0]).all()
    assert (earlier[:, 1] < deeper[:, 1]).all()


def test_learning_rate_rises_then_falls(tiny: SceneRecipe) -> None:
    recipe = replace(tiny, stages=(Stage(1000, 32, 64),))
    rates = [scenes.learning_rate(recipe, step) for step in range(1000)]
    assert max(rates) == pytest.approx(recipe.learning_rate)
    assert rates.index(max(rates)) in range(45, 55)
    assert rates[-1] < 1e-4 * recipe.learning_rate


def batch_at(xy: list[float], present: float = 1.0, decided: float = 1.0) -> Batch:
    return Batch(
        torch.zeros(1, 1, 128, 256),
        torch.tensor([xy]),
        torch.tensor([present]),
        torch.tensor([decided]),
        torch.ones(1, 2),
    )


def test_loss_is_least_where_map_and_presence_are_right() -> None:
    def loss(drawn: list[float], presence: float, batch: Batch) -> float:
        heat = torch.log(gaussian_target(torch.tensor([drawn]), 32, 64, 4.0, 5.0) + 1e-9)
        output = NetworkOutput(heat, None, torch.tensor([float(presence)]), ())
        return float(heatmap_loss(output, batch, sigma_px=5.0, presence_weight=0.5))

    there = batch_at([100.0, 60.0])
    assert loss([100, 60], 5, there) < loss([104, 60], 5, there) < loss([140, 60], 5, there)
    assert loss([100, 60], 5, there) < loss([100, 60], -5, there)
    absent = batch_at([100.0, 60.0], present=0.0)
    assert loss([10, 10], -5, absent) == pytest.approx(loss([100, 60], -5, absent))
    assert loss([10, 10], 5, batch_at([0.0, 0.0], decided=0.0)) == 0


def test_loss_of_half_precision_maps_is_taken_in_full_precision() -> None:
    rng = torch.Generator().manual_seed(3)
    heat = torch.randn(1, 32, 64, generator=rng).bfloat16()
    presence = torch.tensor([1.7]).bfloat16()
    batch = batch_at([100.0, 60.0])
    losses = [
        float(heatmap_loss(output, batch, sigma_px=5.0, presence_weight=0.5))
        for output in (
            NetworkOutput(heat, None, presence, ()),
            NetworkOutput(heat.float(), None, presence.float(), ()),
        )
    ]
    assert losses[0] == losses[1]


def test_pupil_that_says_what_its_teacher_says_has_nothing_to_learn() -> None:
    rng = torch.Generator().manual_seed(5)
    heat = torch.randn(2, 32, 64, generator=rng)
    taught = NetworkOutput(heat, None, torch.tensor([2.0, -1.0]), ())
    batch = Batch(
        torch.zeros(2, 1, 128, 256),
        torch.tensor([[9.0, 9.0], [200.0, 60.0]]),  # elsewhere than the teacher says
        torch.ones(2),
        torch.ones(2),
        torch.ones(2, 2),
    )

    def slope(output: NetworkOutput) -> float:
        assert output.heatmap is not None
        assert output.presence is not None
        parts = [output.heatmap.clone().requires_grad_(), output.presence.clone().requires_grad_()]
        said = NetworkOutput(parts[0], None, parts[1], ())
        heatmap_loss(said, batch, sigma_px=8.0, presence_weight=0.5, taught=taught).backward()  # type: ignore[no-untyped-call]
        return max(float(part.grad.abs().max()) for part in parts if part.grad is not None)

    assert slope(taught) < 1e-6
    assert slope(NetworkOutput(heat.flip(2), None, taught.presence, ())) > 1e-3
    assert slope(NetworkOutput(heat, None, torch.zeros(2), ())) > 1e-2


def test_teacher_changes_what_is_learned_and_is_named(tiny: SceneRecipe, folder: Path) -> None:
    teacher = finish(tiny, folder)
    pupil = replace(tiny, id="pupil", teacher=str(teacher))
    (folder / "checkpoint.safetensors").unlink()
    model = load_model(finish(pupil, folder))
    alone = load_model(finish(replace(tiny, id="pupil"), folder))
    assert model.card.sha256 != alone.card.sha256
    assert "distilled from" in model.card.trained_on
    wide = replace(pupil, input_height=64, input_width=128)
    (folder / "checkpoint.safetensors").unlink()
    *_, last = loop.train(wide, folder, device=CPU, workers=1)
    assert isinstance(last, Failed)
    assert "another size" in str(last.error)


def test_pictures_without_a_calf_fill_their_own_chunks() -> None:
    what = SceneSet(seed=3, count=4 * CHUNK, height=64, width=128, out_of_view=0.0, nothing=0.5)
    shares = [float(render_chunk(what, index)[2].float().mean()) for index in range(4)]
    assert shares[0] > 0.8
    assert shares[2] > 0.8
    assert shares[1] == shares[3] == 0


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """Return a folder of bellies with masks and of nerves, some of either for each split."""
    wanted = {("dltrack", "training"): 2, ("dltrack", "fit"): 2, ("nerves", "training"): 1}
    for number in range(200):
        for kind in ("dltrack", "nerves"):
            key = (kind, split_of(f"{kind}{number}.png"))
            if wanted.get(key, 0):
                wanted[key] -= 1
                write_belly(tmp_path / "real" / kind, f"{kind}{number}", 1000 * len(kind) + number)
    assert not any(wanted.values())
    return tmp_path / "real"


def test_real_pictures_are_learned_from_by_their_shares(
    tiny: SceneRecipe, folder: Path, real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_pictures, "STORED", (32, 64))
    of = RealSet(
        5,
        {"composites": 1.0, "nerves": 0.5},
        {"composites": 6, "nerves": 4},
        {"composites": 5},
        ("composites",),
        (),
    )
    recipe = replace(tiny, id="mixed", real=of)
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    *_, last = loop.train(recipe, folder, device=CPU, workers=1, real=real)
    assert isinstance(last, Done), last
    assert "6 of composites, 4 of nerves" in last.result.card.trained_on
    made = StoredPictures.load(folder / "real" / "composites-training.npz")
    assert made.stored.shape == (6, 32, 64)
    changed = replace(recipe, real=replace(of, seed=6))
    *_, last = loop.train(changed, folder, device=CPU, workers=1, real=real)
    assert isinstance(last, Failed)
    assert "another recipe or folder" in str(last.error)
    *_, last = loop.train(tiny, folder, device=CPU, workers=1, real=real)
    assert isinstance(last, Failed)
    assert "leave out --real" in str(last.error)


def test_without_the_real_pictures_a_recipe_says_what_is_missing(
    tiny: SceneRecipe, folder: Path
) -> None:
    of = RealSet(5, {"composites": 1.0}, {"composites": 6}, {"composites": 5}, (), ())
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    run = loop.train(replace(tiny, real=of), folder, device=CPU, workers=1)
    assert "--real" in next(run).message
    *_, last = run
    assert isinstance(last, Done)
    assert "no patient" in last.result.card.trained_on
    (folder / "checkpoint.safetensors").unlink()

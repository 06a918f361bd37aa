"""A run on labelled frames learns, is told of, can be killed anywhere, and leaves a model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.labels.labelled import find_labelled
from napari_deepmtj.training import epochs as epochs_module
from napari_deepmtj.training import stepping
from napari_deepmtj.training.events import Learned, Trained, Validated
from napari_deepmtj.training.loop import train
from napari_deepmtj.training.plan import Plan, plan
from napari_deepmtj.training.recipes import FrameRecipe, load_recipe
from napari_deepmtj.training.result import install
from napari_deepmtj.training.settings import Network
from napari_deepmtj.training.split import SplitRule
from napari_deepmtj.weights.store import MODELS_VARIABLE, list_models, load_model

CPU = torch.device("cpu")
Write = Callable[..., Path]


def tiny(name: str = "paper-vgg16", **changes: Any) -> FrameRecipe:
    """Return a recipe with its network narrowed and its run shortened."""
    recipe = load_recipe(name)
    assert isinstance(recipe, FrameRecipe)
    assert recipe.network is not None
    arguments = {**recipe.network.arguments, "channels": 0.06}
    network = replace(recipe.network, arguments=arguments)
    if recipe.network.name == "attention-unet":
        network = replace(network, height=32, width=64)
    settings = {"network": network, "batch": 4, "split": SplitRule(validation=0.3)} | changes
    return replace(recipe, **settings).lasting(3)


@pytest.fixture
def data(write_labelled: Write, tmp_path: Path) -> Path:
    """Return a folder of three subjects' clips of four labelled frames."""
    for number in (1, 2, 3):
        write_labelled(f"data/s{number}/a.npy", number)
    return tmp_path / "data"


def settled(data: Path, recipe: FrameRecipe) -> Plan:
    return plan(recipe, find_labelled([data]))


def finish(what: Plan, folder: Path) -> tuple[list[Any], Trained]:
    *events, last = train(what, folder, device=CPU, workers=1)
    assert isinstance(last, Done), last
    return events, last.result


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_model(path).network.state_dict()


def test_plan_tells_before_anything_runs(data: Path) -> None:
    what = settled(data, tiny())
    assert {name: (c.subjects, c.clips, c.frames) for name, c in what.counts.items()} == {
        "training": (2, 2, 8),
        "validation": (1, 1, 4),
        "test": (0, 0, 0),
    }
    assert what.steps == 6
    assert any("4 frames for validation are few" in text for text in what.warnings)
    assert what.warnings[1:] == (
        "the recipe calls itself paper-vgg16, and is not the package's: epochs, batch, schedule, "
        "split, network of its own",
    )
    assert plan("paper-vgg16", find_labelled([data]), split="subject").departures == ()
    shorter = plan(tiny(), find_labelled([data]), epochs=1)
    assert "1 epochs in place of the recipe's 3" in shorter.warnings[-1]


@pytest.mark.parametrize("name", ["paper-vgg16", "tbme-attention-unet"])
def test_run_tells_and_leaves_a_model_that_tracks(name: str, data: Path, tmp_path: Path) -> None:
    what = settled(data, tiny(name))
    events, result = finish(what, tmp_path / "run")
    kinds = [type(event) for event in events]
    assert set(kinds) == {Notice, Progress, Learned, Validated}
    validated = [event for event in events if isinstance(event, Validated)]
    assert [event.epoch for event in validated] == [1, 2, 3]
    assert validated == list(result.curves)
    best = min(validated, key=lambda event: event.score)
    table = pd.read_csv(tmp_path / "run" / "curves.csv")
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["error_mm"].tolist() == [event.error_mm for event in validated]

    card = result.card
    assert card.made_with["epoch"] == best.epoch
    assert card.made_with["split"]["training"]["subjects"] != []
    assert card.made_with["recipe"]["optimiser"]["learning_rate"] > 0
    assert "8 frames of 2 clips of 2 subjects, labelled by A" in card.trained_on
    assert "not a test" in card.figures["on"]
    assert all(math.isfinite(number) for number in card.decoding.values())
    assert (result.last is None) == (best.epoch == 3)

    with find_labelled([data])[0].open() as source:
        *_, last = track(source, load_model(result.path), device="cpu")
    assert isinstance(last, Done)
    assert len(last.result) == 4


def test_error_in_mm_is_that_in_px_times_the_scale(data: Path, tmp_path: Path) -> None:
    _, result = finish(settled(data, tiny()), tmp_path / "run")
    for row in result.curves:
        assert row.error_mm is not None
        # 100 px of half a millimetre on 128 px of the input.
        assert row.error_mm / row.error_px == pytest.approx(50 / 128, rel=0.01)


def test_without_a_scale_there_are_no_mm(write_labelled: Write, tmp_path: Path) -> None:
    for number in (1, 2):
        write_labelled(f"data/s{number}/a.npy", number, scale=None)
    _, result = finish(settled(tmp_path / "data", tiny()), tmp_path / "run")
    assert all(row.error_mm is None for row in result.curves)
    assert "calibration_mean_input_px" in result.card.figures


def test_run_that_was_stopped_ends_to_the_bit_like_one_that_was_not(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs_module, "CHECKPOINT_SECONDS", 0.0)  # after every step
    monkeypatch.setattr(epochs_module, "REPORT_EVERY", 1)
    what = settled(data, tiny("paper-vgg-attention-2"))
    _, whole = finish(what, tmp_path / "whole")
    for stop in (1, 2, 4):
        folder = tmp_path / f"stopped-{stop}"
        job = train(what, folder, device=CPU, workers=1)
        for event in job:
            if isinstance(event, Learned) and event.step == stop + 1:
                break
        job.close()
        events, resumed = finish(what, folder)
        assert any(f"resumed at step {stop}" in getattr(e, "message", "") for e in events)
        assert resumed.curves == whole.curves
        for name, value in weights(whole.path).items():
            assert torch.equal(weights(resumed.path)[name], value), name


def test_other_labels_or_numbers_refuse_the_checkpoint(data: Path, tmp_path: Path) -> None:
    what = settled(data, tiny())
    finish(what, tmp_path / "run")
    for other in (
        settled(data, tiny(batch=3)),
        plan(tiny(), find_labelled([data])[::-1], split=SplitRule("clip")),
    ):
        *_, last = train(other, tmp_path / "run", device=CPU, workers=1)
        assert isinstance(last, Failed)
        assert "checkpoint.safetensors: belongs to another run" in str(last.error)


def test_another_calibration_refuses_the_checkpoint(data: Path, tmp_path: Path) -> None:
    finish(settled(data, tiny()), tmp_path / "run")
    for side_car in data.rglob("*.mtj-clip.json"):
        text = side_car.read_text(encoding="utf-8")
        side_car.write_text(text.replace("0.5", "0.25"), encoding="utf-8")
    *_, last = train(settled(data, tiny()), tmp_path / "run", device=CPU, workers=1)
    assert isinstance(last, Failed)
    assert "another scale, region or range of grey levels" in str(last.error)


def test_curves_that_were_not_written_come_with_the_checkpoint(data: Path, tmp_path: Path) -> None:
    finish(settled(data, tiny()), tmp_path / "run")
    table = (tmp_path / "run" / "curves.csv").read_bytes()
    (tmp_path / "run" / "curves.csv").unlink()
    finish(settled(data, tiny()), tmp_path / "run")
    assert (tmp_path / "run" / "curves.csv").read_bytes() == table


def test_early_stopping_keeps_the_best(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = iter([5.0, 3.0, 4.0, 4.0, 2.0])
    plain = epochs_module.validate

    def scripted(*arguments: Any) -> Any:
        return replace(plain(*arguments), error_mm=next(errors))

    monkeypatch.setattr(epochs_module, "validate", scripted)
    recipe = replace(tiny().lasting(5), patience=2)
    events, result = finish(settled(data, recipe), tmp_path / "run")
    assert [row.best for row in result.curves] == [True, True, False, False]
    assert result.card.made_with["epoch"] == 2
    assert "ended after 4 of 5 epochs" in events[-1].message
    assert result.last is not None
    best, last = weights(result.path), weights(result.last)
    assert any(not torch.equal(best[name], last[name]) for name in best)


def test_memory_that_does_not_hold_the_batch_halves_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = stepping.loss_of

    def narrow(loss: Any, output: Any, batch: Any, whole: Any = None) -> torch.Tensor:
        if len(batch.present) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(loss, output, batch, whole)

    monkeypatch.setattr(stepping, "loss_of", narrow)
    events, result = finish(settled(data, tiny()), tmp_path / "run")
    told = [event.message for event in events if isinstance(event, Notice)]
    (halved,) = [text for text in told if "does not hold 4 pictures" in text]
    assert "going on with 2" in halved
    assert "batch norm sees 2" in halved
    assert len(result.curves) == 3


def test_parts_leave_the_gradient_of_the_whole() -> None:
    """With batch norm at rest, where it is the only thing that differs."""
    from napari_deepmtj.networks.build import build
    from napari_deepmtj.training.augment import Batch
    from napari_deepmtj.training.optimise import make_optimiser
    from napari_deepmtj.training.settings import Coordinates, Optimiser

    rng = torch.Generator().manual_seed(0)
    batch = Batch(
        torch.randn(5, 1, 32, 64, generator=rng), torch.rand(5, 2, generator=rng) * 30,
        torch.ones(5), torch.ones(5), torch.ones(5, 2),
    )  # fmt: skip
    after = []
    for part in (5, 2):
        torch.manual_seed(1)
        network = build("vgg16", height=32, width=64, channels=0.05).eval()
        optimiser = make_optimiser(network, Optimiser("sgd", 0.1))
        (loss,) = stepping.Stepper(network, optimiser, Coordinates(), part)(batch, 0.1)
        after.append((loss, network.state_dict()))
    assert after[0][0] == pytest.approx(after[1][0], rel=1e-6)
    for name, value in after[0][1].items():
        torch.testing.assert_close(after[1][1][name], value, msg=name)


def test_memory_that_does_not_hold_one_picture_is_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(stepping, "loss_of", never)
    *_, last = train(settled(data, tiny()), tmp_path / "run", device=CPU, workers=1)
    assert isinstance(last, Failed)
    assert "single picture" in str(last.error)


def test_frames_without_a_junction_are_left_out_of_regressors_only(
    data: Path, tmp_path: Path
) -> None:
    clips = find_labelled([data])
    first = clips[0]
    hidden = replace(first.labels[0], x_px=None, y_px=None)
    clips[0] = replace(first, labels=(hidden, *first.labels[1:]))
    regressor = plan(tiny(), clips)
    assert sum(count.left_out for count in regressor.counts.values()) == 1
    assert any("1 frames in which the MTJ is not visible" in text for text in regressor.warnings)
    assert sum(count.used for count in regressor.counts.values()) == 11
    unet = plan(tiny("tbme-attention-unet"), clips)
    assert sum(count.left_out for count in unet.counts.values()) == 0


def test_finetune_starts_from_a_model_and_is_selectable(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    what = plan("finetune", find_labelled([data]), start="compact", epochs=1, batch=8)
    assert what.name == "compact-finetuned"
    assert what.network == Network.of_card(list_models()[0])
    _, result = finish(what, tmp_path / "run")
    card = result.card
    before = load_model("compact").card
    assert card.made_with["started_from"]["sha256"] == before.sha256
    assert card.sha256 != before.sha256
    assert before.trained_on in card.trained_on
    assert card.recordings == {clip.sha256[:16] for clip in find_labelled([data])}
    again = plan("finetune", find_labelled([data])[:2], start=result.path)
    assert again.to_json()["started_from"]["recordings"] == sorted(card.recordings)

    assert "compact-finetuned" not in {c.id for c in list_models()}
    put = install(result.path)
    assert put.card.id == "compact-finetuned"
    assert load_model("compact-finetuned").card.sha256 == card.sha256
    assert install(result.path).path == put.path  # the same weights once
    for file in (tmp_path / "models").iterdir():
        other = load_model(file)
    from napari_deepmtj.weights.store import save_model

    with torch.no_grad():
        next(other.network.parameters()).add_(1)
    save_model(tmp_path / "other.safetensors", other.network, other.card)
    assert install(tmp_path / "other.safetensors").card.id == "compact-finetuned-2"


def test_plan_refuses_what_cannot_run(data: Path) -> None:
    clips = find_labelled([data])
    with pytest.raises(DeepMTJError, match="starts from a trained model"):
        plan("finetune", clips)
    with pytest.raises(DeepMTJError, match="draws its own scenes"):
        plan("compact", clips)
    with pytest.raises(DeepMTJError, match="of another network than the model compact"):
        plan("paper-vgg16", clips, start="compact")
    with pytest.raises(DeepMTJError, match="cannot be called"):
        plan("paper-vgg16", clips, name="../x")
    with pytest.raises(DeepMTJError, match="no model 'nobody'"):
        plan("finetune", clips, start="nobody")

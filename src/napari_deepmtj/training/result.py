"""What a run on labelled frames leaves: weights, their card, and a place among the models."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.training.augment import Batch
from napari_deepmtj.training.batches import FrameSet
from napari_deepmtj.training.events import Validated
from napari_deepmtj.training.fit import fit_decoding
from napari_deepmtj.training.observed import observe_batches
from napari_deepmtj.training.plan import Plan
from napari_deepmtj.training.settings import Heatmap, Scanner
from napari_deepmtj.training.validation import plain_batches, reading
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import (
    ModelFile,
    find_models,
    load_model,
    save_card,
    save_model,
    user_folder,
)

#: Pictures on which the confidence is fitted, at least, where frames are augmented: every held-out
#: frame as often as it takes, each time changed at random.
FIT_PICTURES = 400


def save_result(
    path: Path,
    network: nn.Module,
    plan: Plan,
    validation: FrameSet,
    curves: tuple[Validated, ...],
    epoch: int,
    device: torch.device,
) -> WeightCard:
    """Fit the confidence of a network on the validation, and save it with its card."""
    start = reading(plan.loss)
    seen = observe_batches(network.eval(), _held_out(plan, validation), start, device=device)
    decoding, figures = fit_decoding(
        seen,
        start,
        width=plan.network.width,
        seed=plan.recipe.seed,
        threshold=isinstance(plan.loss, Heatmap),
    )
    card = _card(plan, decoding, figures, validation.store.fingerprint, curves, epoch)
    plain = copy.deepcopy(network).to("cpu", torch.float32)
    return save_model(path, plain, card)


def _held_out(plan: Plan, validation: FrameSet) -> Iterator[Batch]:
    """Yield what the confidence is fitted on: held-out frames, changed as in training."""
    recipe = plan.recipe
    if not isinstance(recipe.augmentation, Scanner):
        yield from plain_batches(validation, recipe.batch)
        return
    for turn in range(-(-FIT_PICTURES // len(validation))):
        rng = torch.Generator().manual_seed(recipe.seed * 7_919 + turn)
        for which in torch.split(torch.arange(len(validation)), recipe.batch):
            yield validation.augmented(which.numpy(), recipe.augmentation, plan.loss, rng)


def _card(
    plan: Plan,
    decoding: dict[str, float],
    figures: dict[str, float],
    fingerprint: str,
    curves: tuple[Validated, ...],
    epoch: int,
) -> WeightCard:
    network = plan.network
    counts = plan.counts
    labels = [label for clip in plan.split.training for label in clip.labels]
    annotators = sorted({label.annotator for label in labels})
    start = None if plan.start is None else plan.start[1]
    data = (
        f"{counts['training'].used} frames of {counts['training'].clips} clips of "
        f"{counts['training'].subjects} subjects, labelled by {', '.join(annotators)}"
    )
    measured: dict[str, Any] = {
        "on": f"{counts['validation'].used} held-out frames of "
        f"{counts['validation'].subjects} subjects ({plan.split.how}), on which epoch {epoch} "
        "was chosen and the confidence fitted; not a test",
        "confidence": "one doubt for every picture, as large as these errors"
        if not isinstance(plan.loss, Heatmap) and network.name != "attention-unet"
        else "fitted picture by picture",
    }
    return WeightCard(
        id=plan.name,
        version="1",
        licence="LicenseRef-own" if start is None else start.licence,
        network=network.name,
        network_arguments=dict(network.arguments),
        input_height=network.height,
        input_width=network.width,
        normalisation=network.normalisation,
        stretch=network.stretch,
        trained_on=data if start is None else f"{data}; before that: {start.trained_on}",
        label_definition="as these annotators labelled it"
        if not all(clip.made_up for clip in plan.split.training)
        else "the phantom's own",
        decoding=decoding,
        figures=figures | measured,
        made_with={
            "torch": torch.__version__,
            "data_fingerprint": fingerprint,
            "epoch": epoch,
            "curves": [asdict(row) for row in curves],
            **plan.to_json(),
        },
    )


def install(path: Path) -> ModelFile:
    """Put a model among the user's own, where it can be chosen by its id at once.

    Nothing is overwritten: an id that is taken gets a number. A model that is there already, by
    its weights, is left as it is.
    """
    model = load_model(path)
    there, _ = find_models()
    for file in there:
        if file.card.sha256 == model.card.sha256 and file.path.parent == user_folder():
            return file
    taken = {file.card.id for file in there}
    for number in range(1, 1000):
        name = model.card.id if number == 1 else f"{model.card.id}-{number}"
        target = user_folder() / f"{name}.safetensors"
        if name not in taken and not target.exists():
            return ModelFile(target, save_card(path, target, replace(model.card, id=name)))
    raise DeepMTJError(f"there are too many models called {model.card.id}; delete some")


def run_folder(plan: Plan) -> Path:
    """Return where a run keeps what it makes if nobody says where: one folder for each plan."""
    import platformdirs

    cache = platformdirs.user_cache_path("napari-deepmtj", appauthor=False)
    return cache / "runs" / f"{plan.name}-{plan.identity[:12]}"

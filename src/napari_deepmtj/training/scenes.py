"""Learning from rendered scenes: the run of the default model.

A step is a pure function of (recipe, step, state), so a run that was stopped and resumed ends
with the same weights as one that was not (up to the device's own arithmetic).
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_deepmtj.core.jobs import Done, Notice
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.inference.decode import Decoding
from napari_deepmtj.networks.build import build
from napari_deepmtj.training.augment import Batch, augment
from napari_deepmtj.training.checkpoint import (
    NAME,
    damaged,
    moments_of,
    read_checkpoint,
    restore_moments,
    write_checkpoint,
)
from napari_deepmtj.training.dataset import RenderedScenes, ensure_rendered
from napari_deepmtj.training.events import Learned, Trained, TrainingEvent
from napari_deepmtj.training.fit import fit_decoding
from napari_deepmtj.training.fit_out_of_distribution import Kinds, fit_familiar
from napari_deepmtj.training.losses import gate_contrast, heatmap_loss
from napari_deepmtj.training.mixture import Mixture, Source, StoredPictures
from napari_deepmtj.training.observed import observe_batches, scene_batches
from napari_deepmtj.training.real_sources import RealSources, real_sources
from napari_deepmtj.training.recipes import SceneRecipe
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import load_model, save_model

#: Steps between two checkpoints, and between two progress reports.
CHECKPOINT_EVERY = 200
REPORT_EVERY = 10
#: Share of the run over which the learning rate rises.
WARM_UP = 0.05
#: What is near the MTJ for the attention gates, in input pixels: a centimetre in a crop of 6.5 cm.
GATE_RADIUS_PX = 40.0


def train_scenes(
    recipe: SceneRecipe,
    folder: Path,
    *,
    device: torch.device,
    workers: int,
    real: Path | None = None,
) -> Generator[TrainingEvent]:
    """Carry out a recipe of scenes: render, learn, fit the confidence, save.

    Parameters, events and errors are those of `loop.train`, but errors are raised.
    """
    if real is None and recipe.real is not None:
        yield Notice(
            "no folder of real pictures is given (--real): the model learns from phantoms alone, "
            "and errs more on real pictures"
        )
        recipe = replace(recipe, real=None)
    material = yield from prepare(recipe, folder, workers=workers, real=real)
    network = yield from _learn(recipe, material.training.pictures, folder, device, workers)
    yield Done(save_fitted(network, recipe, material, folder / f"{recipe.id}.safetensors"))


@dataclass(frozen=True)
class Labelled:
    """Pictures of all sources of a recipe, and what these are."""

    pictures: Mixture
    kinds: Kinds


@dataclass(frozen=True)
class Material:
    """What a recipe learns from, and what its doubt is fitted on."""

    training: Labelled
    calibration: Labelled


def prepare(
    recipe: SceneRecipe, folder: Path, *, workers: int, real: Path | None
) -> Generator[TrainingEvent, None, Material]:
    """Render the scenes of a recipe and make its real pictures; what `folder` has is read."""
    pictures = RealSources({}, {})
    if real is not None:
        pictures = real_sources(recipe, real, folder / "real")
        for error in pictures.unusable:
            yield Notice(f"no composite is made of it: {error}")
    parts = []
    for what, name, stored in (
        (recipe.training, "training", pictures.training),
        (recipe.calibration, "calibration", pictures.fit),
    ):
        rendered = []
        for part in recipe.of_families(what):
            place = folder / name / part.family
            yield from ensure_rendered(part, place, workers)
            rendered.append(RenderedScenes(part, place))
        parts.append(Labelled(_mixed(recipe, rendered, stored), _kinds(recipe, rendered, stored)))
    return Material(*parts)


def save_fitted(network: nn.Module, recipe: SceneRecipe, material: Material, path: Path) -> Trained:
    """Fit threshold, confidence, covariance and the warning of unfamiliar pictures; save all."""
    held_out = material.calibration.pictures
    start = Decoding(target_sigma_px=recipe.target_sigma_px)
    plain, seen, harder = (
        observe_batches(network, scene_batches(recipe, held_out, **how), start)
        for how in ({"strength": 0.0}, {}, {"stressed": True})
    )
    decoding, figures = fit_decoding(
        seen, start, width=recipe.input_width, seed=recipe.seed, harder=harder, plain=plain
    )
    familiar, told = fit_familiar(
        network,
        recipe,
        *((part.pictures, part.kinds) for part in (material.training, material.calibration)),
    )
    arrays = None if familiar is None else familiar.arrays()
    card = _card(recipe, decoding, figures | told)
    return Trained(path, save_model(path, network, card, familiar=arrays))


def _mixed(
    recipe: SceneRecipe, parts: list[RenderedScenes], pictures: dict[str, StoredPictures]
) -> Mixture:
    """Return families and real sources of a recipe as one set, each with its share."""
    sources = [Source(part.what.family, recipe.families[part.what.family], part) for part in parts]
    if recipe.real is not None:
        shares = recipe.real.shares
        sources += [Source(n, shares[n], stored) for n, stored in pictures.items()]
    return Mixture(sources)


def _kinds(
    recipe: SceneRecipe, parts: list[RenderedScenes], pictures: dict[str, StoredPictures]
) -> Kinds:
    """Return what the pictures of `_mixed` are; phantoms of all families are one source."""
    nothing = np.concatenate([part.without_calf.numpy() for part in parts])
    names = np.concatenate(
        [np.full(len(nothing), ""), *(np.full(len(part), name) for name, part in pictures.items())]
    )
    meant_for, other = names == "", np.zeros(len(names), dtype=bool)
    meant_for[: len(nothing)] &= ~nothing
    other[: len(nothing)] = nothing
    if recipe.real is not None:
        meant_for |= np.isin(names, recipe.real.meant_for)
        other |= np.isin(names, recipe.real.other)
    return Kinds(np.unique(names, return_inverse=True)[1], meant_for, other)


def draw_batch(scenes: Mixture, positions: Tensor, recipe: SceneRecipe, step: int) -> Batch:
    """Draw and degrade the batch of one step."""
    rng = torch.Generator().manual_seed(recipe.seed * 10_000_019 + step)
    stage = recipe.stage_of(step)
    chosen = scenes.draw(recipe.batch, rng)
    return augment(
        scenes.pictures(chosen),
        positions[chosen],
        scenes.present[chosen],
        scenes.mm_per_px[chosen],
        (stage.height, stage.width),
        rng,
        grey_transfer=recipe.grey_transfer,
    )


def _batches(
    scenes: Mixture, recipe: SceneRecipe, start: int
) -> Generator[tuple[int, Batch], None, None]:
    """Yield the steps from `start` on, each batch drawn while the one before is learned from."""
    positions = scenes.positions(recipe.label)
    with ThreadPoolExecutor(1, "draw") as pool:

        def ask(step: int) -> Future[Batch]:
            return pool.submit(draw_batch, scenes, positions, recipe, step)

        waiting = deque(ask(step) for step in range(start, min(start + 2, recipe.steps)))
        for step in range(start, recipe.steps):
            batch = waiting.popleft().result()
            if step + 2 < recipe.steps:
                waiting.append(ask(step + 2))
            yield step, batch


def learning_rate(recipe: SceneRecipe, step: int) -> float:
    """Return the rate at a step: a linear rise, then a cosine down to zero."""
    warm = WARM_UP * recipe.steps
    if step < warm:
        return recipe.learning_rate * (step + 1) / warm
    share = (step - warm) / max(1.0, recipe.steps - warm)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def _learn(
    recipe: SceneRecipe, scenes: Mixture, folder: Path, device: torch.device, threads: int
) -> Generator[TrainingEvent, None, nn.Module]:
    torch.manual_seed(recipe.seed)
    if device.type == "cpu":
        torch.set_num_threads(threads)
    network = build(recipe.network, **recipe.network_arguments)
    if recipe.start:
        network.load_state_dict(load_model(recipe.start).network.state_dict())
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    checkpoint = folder / NAME
    start = 0
    if checkpoint.exists():
        start = _resume(checkpoint, recipe, network, average, optimiser)
    if start:
        yield Notice(f"resumed at step {start} of {recipe.steps}")
    teacher = _teacher(recipe, device)
    network.train()
    total, began = 0.0, time.perf_counter()
    for step, drawn in _batches(scenes, recipe, start):
        batch = drawn.of(lambda part: part.to(device))
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(recipe, step)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            output = network(batch.pictures)
            with torch.no_grad():
                taught = None if teacher is None else teacher(batch.pictures)
        loss = heatmap_loss(
            output,
            batch,
            sigma_px=recipe.target_sigma_px,
            presence_weight=recipe.presence_weight,
            taught=taught,
        )
        if recipe.gate_weight:
            loss = loss + recipe.gate_weight * gate_contrast(output, batch, GATE_RADIUS_PX)
        if not torch.isfinite(loss):
            raise DeepMTJError(f"the loss is no longer finite at step {step}; lower the rate")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        # Early on the average follows fast, so that the first weights are forgotten.
        decay = min(recipe.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in network.state_dict().items():
                if value.dtype.is_floating_point:
                    average[name].lerp_(value, 1 - decay)
                else:
                    average[name].copy_(value)
        total += float(loss.detach())
        if (step + 1) % REPORT_EVERY == 0:
            elapsed = time.perf_counter() - began
            rate = REPORT_EVERY * recipe.batch / elapsed
            yield Learned(step + 1, recipe.steps, total / REPORT_EVERY, rate)
            total, began = 0.0, time.perf_counter()
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == recipe.steps:
            parts = {
                "network": network.state_dict(),
                "average": average,
                "optimiser": moments_of(optimiser),
            }
            write_checkpoint(checkpoint, _identity(recipe), parts, {"step": step + 1})
    network.load_state_dict(average)
    return network.cpu().eval()


def _teacher(recipe: SceneRecipe, device: torch.device) -> nn.Module | None:
    """Load the network that a recipe learns from, if it names one."""
    if not recipe.teacher:
        return None
    model = load_model(recipe.teacher)
    if (model.card.input_height, model.card.input_width) != (
        recipe.input_height,
        recipe.input_width,
    ):
        raise DeepMTJError(
            f"the teacher {recipe.teacher!r} takes pictures of another size than "
            f"{recipe.input_width} x {recipe.input_height} pixels; choose one that takes these"
        )
    return model.network.to(device).eval()


def _identity(recipe: SceneRecipe) -> str:
    """Return every number of a recipe as one line, by which its checkpoints are known."""
    return json.dumps(asdict(recipe), sort_keys=True)


def _resume(
    path: Path,
    recipe: SceneRecipe,
    network: nn.Module,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
) -> int:
    """Take up the state that a checkpoint has; return the step to go on from."""
    parts, state = read_checkpoint(path, _identity(recipe))
    try:
        network.load_state_dict(parts["network"])
        for name, value in parts["average"].items():
            average[name].copy_(value)
        restore_moments(optimiser, parts["optimiser"])
        return int(state["step"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise damaged(path, error) from error


def _card(recipe: SceneRecipe, decoding: dict[str, float], figures: dict[str, float]) -> WeightCard:
    return WeightCard(
        id=recipe.id,
        version="1",
        licence="BSD-3-Clause",
        network=recipe.network,
        network_arguments=recipe.network_arguments,
        input_height=recipe.input_height,
        input_width=recipe.input_width,
        normalisation="minus-one-one",
        stretch=False,
        trained_on=(
            f"{recipe.training.count} phantom scenes of {_shares(recipe)}, seed "
            f"{recipe.training.seed}; {_real(recipe)}"
            + (f"; distilled from {recipe.teacher}" if recipe.teacher else "")
        ),
        label_definition=str(recipe.label),
        decoding=decoding,
        figures=figures,
        made_with={"torch": torch.__version__, "recipe": asdict(recipe)},
    )


def _shares(recipe: SceneRecipe) -> str:
    """Return the families of a recipe with their shares, in words."""
    total = sum(recipe.families.values())
    return ", ".join(f"{share / total:.0%} {name}" for name, share in recipe.families.items())


def _real(recipe: SceneRecipe) -> str:
    """Return what real pictures a recipe learned from, in words."""
    if recipe.real is None:
        return "no patient"
    counts = ", ".join(f"{count} of {name}" for name, count in recipe.real.training.items())
    return f"made of real pictures without an MTJ: {counts}"

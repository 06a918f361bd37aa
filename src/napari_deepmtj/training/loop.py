"""The training run: render, learn, fit the confidence, save; resumable at every stage.

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
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.networks.build import build
from napari_deepmtj.training.augment import Batch, augment
from napari_deepmtj.training.dataset import RenderedScenes, ensure_rendered
from napari_deepmtj.training.fit import fit_decoding
from napari_deepmtj.training.losses import heatmap_loss
from napari_deepmtj.training.recipes import Recipe
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import save_model

#: Steps between two checkpoints, and between two progress reports.
CHECKPOINT_EVERY = 200
REPORT_EVERY = 10
#: Share of the run over which the learning rate rises.
WARM_UP = 0.05


@dataclass(frozen=True, slots=True)
class Learned:
    """Mean loss of the last few steps, and the rate at which pictures are learned from."""

    step: int
    steps: int
    loss: float
    pictures_per_s: float


@dataclass(frozen=True, slots=True)
class Trained:
    """Where the weights of a finished run are, and their card."""

    path: Path
    card: WeightCard


TrainingEvent = Progress | Notice | Learned | Done[Trained] | Failed


def train(
    recipe: Recipe, folder: Path, *, device: torch.device, workers: int
) -> Generator[TrainingEvent, None, None]:
    """Carry out a recipe.

    Parameters
    ----------
    recipe : Recipe
        Every number of the run.
    folder : Path
        Where scenes, checkpoints and the result go; an earlier, unfinished run in it is resumed.
    device : torch.device
        Where to learn.
    workers : int
        Processes that render, and threads that learn on a CPU.

    Yields
    ------
    Progress, Learned, Notice
        As it goes.
    Done of Trained, or Failed
        Last.
    """
    try:
        for what, name in ((recipe.training, "training"), (recipe.calibration, "calibration")):
            yield from ensure_rendered(what, folder / name, workers)
        scenes = RenderedScenes(recipe.training, folder / "training")
        network = yield from _learn(recipe, scenes, folder, device, workers)
        held_out = RenderedScenes(recipe.calibration, folder / "calibration")
        decoding, figures = fit_decoding(recipe, network, held_out)
        card = _card(recipe, decoding, figures)
        path = folder / f"{recipe.id}.safetensors"
        card = save_model(path, network, card)
        yield Done(Trained(path, card))
    except DeepMTJError as error:
        yield Failed(error)
    except OSError as error:  # scenes take gigabytes, disks fill up
        said = error.strerror or error
        yield Failed(
            DeepMTJError(
                f"cannot be written to ({said}); choose a writable folder with space", path=folder
            )
        )


def draw_batch(scenes: RenderedScenes, positions: Tensor, recipe: Recipe, step: int) -> Batch:
    """Draw and degrade the batch of one step."""
    rng = torch.Generator().manual_seed(recipe.seed * 10_000_019 + step)
    stage = recipe.stage_of(step)
    chosen = torch.randint(len(scenes), (recipe.batch,), generator=rng)
    return augment(
        scenes.pictures(chosen),
        positions[chosen],
        scenes.present[chosen],
        scenes.mm_per_px[chosen],
        (stage.height, stage.width),
        rng,
    )


def _batches(
    scenes: RenderedScenes, recipe: Recipe, start: int
) -> Generator[tuple[int, Batch], None, None]:
    """Yield the steps from `start` on, each batch drawn while the one before is learned from."""
    positions = scenes.positions(recipe.label_thickness_mm)
    with ThreadPoolExecutor(1, "draw") as pool:

        def ask(step: int) -> Future[Batch]:
            return pool.submit(draw_batch, scenes, positions, recipe, step)

        waiting = deque(ask(step) for step in range(start, min(start + 2, recipe.steps)))
        for step in range(start, recipe.steps):
            batch = waiting.popleft().result()
            if step + 2 < recipe.steps:
                waiting.append(ask(step + 2))
            yield step, batch


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the rate at a step: a linear rise, then a cosine down to zero."""
    warm = WARM_UP * recipe.steps
    if step < warm:
        return recipe.learning_rate * (step + 1) / warm
    share = (step - warm) / max(1.0, recipe.steps - warm)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def _learn(
    recipe: Recipe, scenes: RenderedScenes, folder: Path, device: torch.device, threads: int
) -> Generator[TrainingEvent, None, nn.Module]:
    torch.manual_seed(recipe.seed)
    if device.type == "cpu":
        torch.set_num_threads(threads)
    network = build(recipe.network, **recipe.network_arguments).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    checkpoint = folder / "checkpoint.safetensors"
    start = 0
    if checkpoint.exists():
        start = _resume(checkpoint, recipe, network, average, optimiser)
    if start:
        yield Notice(f"resumed at step {start} of {recipe.steps}")
    network.train()
    total, began = 0.0, time.perf_counter()
    for step, drawn in _batches(scenes, recipe, start):
        batch = _to(drawn, device)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(recipe, step)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            output = network(batch.pictures)
        loss = heatmap_loss(
            output,
            batch,
            sigma_px=recipe.target_sigma_px,
            presence_weight=recipe.presence_weight,
        )
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
            _checkpoint(checkpoint, recipe, step + 1, network, average, optimiser)
    network.load_state_dict(average)
    return network.cpu().eval()


def _to(batch: Batch, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch
    return Batch(*(getattr(batch, name).to(device) for name in Batch.__dataclass_fields__))


def _identity(recipe: Recipe) -> str:
    """Return every number of a recipe as one line, by which its checkpoints are known."""
    return json.dumps(asdict(recipe), sort_keys=True)


def _checkpoint(
    path: Path,
    recipe: Recipe,
    step: int,
    network: nn.Module,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
) -> None:
    """Write the whole state of a run, atomically."""
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    state |= {f"average.{name}": value for name, value in average.items()}
    for index, moments in optimiser.state_dict()["state"].items():
        state |= {f"optimiser.{index}.{name}": value for name, value in moments.items()}
    state["step"] = torch.tensor(step)
    temporary = path.with_suffix(".tmp")
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in state.items()},
        temporary,
        metadata={"recipe": _identity(recipe)},
    )
    temporary.replace(path)


def _resume(
    path: Path,
    recipe: Recipe,
    network: nn.Module,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
) -> int:
    """Read what `_checkpoint` wrote; return the step to go on from."""
    try:
        with safe_open(path, framework="pt") as opened:
            said = (opened.metadata() or {}).get("recipe")
        if said != _identity(recipe):
            raise ValueError("its recipe has other numbers")  # noqa: TRY301
        state = load_file(path)
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimiser": {}}
        for name, value in state.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = value
        network.load_state_dict(parts["network"])
        for name, value in parts["average"].items():
            average[name].copy_(value)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimiser"].items():
            index, _, key = name.partition(".")
            # A copy: the file stays mapped, and on Windows locked, as long as its tensors live.
            moments.setdefault(int(index), {})[key] = value.clone()
        optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
        return int(state["step"])
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise DeepMTJError(
            f"belongs to another run or is damaged ({error}); choose another folder", path=path
        ) from error


def _card(recipe: Recipe, decoding: dict[str, float], figures: dict[str, float]) -> WeightCard:
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
            f"{recipe.training.count} phantom scenes, seed {recipe.training.seed}; no patient"
        ),
        label_definition=f"where the wedge is {recipe.label_thickness_mm} mm thick",
        decoding=decoding,
        figures=figures,
        made_with={"torch": torch.__version__, "recipe": asdict(recipe)},
    )

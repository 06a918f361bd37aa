"""Learning from labelled frames: epoch after epoch, tried on the validation, resumable.

Every batch is a function of (recipe, epoch, place in it), so a run that was killed and resumed
goes on as if it had not been: on a CPU to the last bit.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_deepmtj.core.jobs import Done, Failed, Notice
from napari_deepmtj.labels.labelled import LabelledClip
from napari_deepmtj.networks.build import build
from napari_deepmtj.training.augment import Batch
from napari_deepmtj.training.batches import FrameSet
from napari_deepmtj.training.checkpoint import (
    NAME,
    damaged,
    moments_of,
    read_checkpoint,
    restore_moments,
    write_checkpoint,
)
from napari_deepmtj.training.events import (
    Learned,
    Trained,
    TrainingEvent,
    Validated,
    write_curves,
)
from napari_deepmtj.training.frames import FrameStore, cut, stored_size
from napari_deepmtj.training.optimise import full_precision, make_optimiser, start_as_keras
from napari_deepmtj.training.plan import Plan
from napari_deepmtj.training.result import save_result
from napari_deepmtj.training.settings import Coordinates
from napari_deepmtj.training.stepping import Stepper
from napari_deepmtj.training.validation import validate

#: Seconds between two checkpoints within an epoch, and steps between two reports.
CHECKPOINT_SECONDS = 60.0
REPORT_EVERY = 10


@dataclass
class RunState:
    """Where a run is, beside its tensors.

    Parameters
    ----------
    epoch, batch : int
        The next to learn from.
    part : int
        Pictures at a time that the memory holds.
    loss : float
        Sum over the pictures of this epoch so far.
    pictures : int
        How many these are.
    curves : list of Validated
        One an epoch.
    data : str
        Fingerprint of the frames, as they were cut and calibrated when the run began.
    """

    part: int
    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    pictures: int = 0
    curves: list[Validated] = field(default_factory=list)
    data: str = ""

    @property
    def best(self) -> Validated | None:
        """The epoch whose weights are kept."""
        return min(self.curves, key=lambda v: v.score, default=None)

    def is_over(self, epochs: int, patience: int | None) -> bool:
        """Whether the run has lasted long enough."""
        best = self.best
        waited = patience is not None and best is not None and self.epoch - best.epoch >= patience
        return self.epoch >= epochs or waited


def train_frames(
    plan: Plan, folder: Path, *, device: torch.device, workers: int
) -> Generator[TrainingEvent]:
    """Carry out a plan: cut, learn, fit the confidence, save.

    Parameters, events and errors are those of `loop.train`, but errors are raised.
    """
    yield from (Notice(text) for text in plan.warnings)
    clips = [*plan.split.training, *plan.split.validation]
    store: FrameStore | None = None
    for event in cut(
        clips,
        folder / "frames",
        size=stored_size(plan.network.height, plan.network.width),
        stretch=plan.network.stretch,
        workers=_processes(clips, workers),
    ):
        if isinstance(event, Done):
            store = event.result
        elif isinstance(event, Failed):
            raise event.error
        else:
            yield event
    assert store is not None  # a job ends in Done or Failed
    n_training = sum(len(clip.labels) for clip in plan.split.training)
    rows = np.arange(len(store))
    if isinstance(plan.loss, Coordinates):
        rows = rows[store.visible]
    training = FrameSet(store, rows[rows < n_training], plan.network)
    validation = FrameSet(store, rows[rows >= n_training], plan.network)
    run = _Run(plan, training, validation, folder / NAME, device)
    if device.type == "cpu":
        torch.set_num_threads(workers)
    yield from run.learn()
    best = run.state.best
    assert best is not None
    curves = tuple(run.state.curves)
    last = None
    run.network.load_state_dict(run.mean)
    if best.epoch != run.state.epoch:
        last = folder / f"{plan.name}-last.safetensors"
        save_result(last, run.network, plan, validation, curves, run.state.epoch, device)
    run.network.load_state_dict(run.kept)
    path = folder / f"{plan.name}.safetensors"
    card = save_result(path, run.network, plan, validation, curves, best.epoch, device)
    yield Done(Trained(path, card, curves, last))


def _processes(clips: list[LabelledClip], workers: int) -> int:
    """How many processes cut: several where frames are drawn, one where they are read."""
    return workers if any(clip.made_up for clip in clips) else 1


class _Run:
    """A run on labelled frames: network, optimiser, best weights, and where it is."""

    def __init__(
        self,
        plan: Plan,
        training: FrameSet,
        validation: FrameSet,
        checkpoint: Path,
        device: torch.device,
    ) -> None:
        self.plan, self.training, self.validation = plan, training, validation
        self.checkpoint, self.device = checkpoint, device
        self.network = _first_network(plan).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        recipe = plan.recipe
        self.state = RunState(recipe.batch, data=training.store.fingerprint)
        self.stepper = Stepper(
            self.network,
            make_optimiser(self.network, recipe.optimiser),
            plan.loss,
            recipe.batch,
            recipe.optimiser.clip_norm,
        )
        self.mean: dict[str, Tensor] = _copied(self.network)
        self.kept: dict[str, Tensor] = _copied(self.network)
        self.batches = -(-len(training) // recipe.batch)

    def learn(self) -> Iterator[TrainingEvent]:
        """Learn to the end, from the checkpoint if there is one."""
        recipe, state = self.plan.recipe, self.state
        if self.checkpoint.exists():
            self._resume()
            state = self.state
            if state.curves:  # what was killed may have written the checkpoint, but not these
                write_curves(self.checkpoint.parent, state.curves)
            yield Notice(f"resumed at step {self._step} of {self.plan.steps}")
        while not state.is_over(recipe.epochs, recipe.patience):
            yield from self._epoch()
            told = self._validate()
            self._write()
            write_curves(self.checkpoint.parent, state.curves)
            yield told
        if state.epoch < recipe.epochs:
            yield Notice(
                f"ended after {state.epoch} of {recipe.epochs} epochs: none of the last "
                f"{recipe.patience} was better on the validation"
            )

    @property
    def _step(self) -> int:
        return self.state.epoch * self.batches + self.state.batch

    def _epoch(self) -> Iterator[TrainingEvent]:
        """Learn from the batches that are left of this epoch."""
        recipe, state = self.plan.recipe, self.state
        self.network.train()
        written = began = time.perf_counter()
        recent: list[float] = []
        for drawn in self._drawn(state.epoch, state.batch):
            rate = self._rate()
            for event in self.stepper(drawn, rate):
                if isinstance(event, Notice):
                    state.part = self.stepper.part
                    yield event
                else:
                    recent.append(event)
                    state.loss += event * len(drawn.present)
                    state.pictures += len(drawn.present)
                    self._follow()
            state.batch += 1
            now = time.perf_counter()
            if len(recent) == REPORT_EVERY or state.batch == self.batches:
                speed = len(recent) * recipe.batch / (now - began)
                mean = sum(recent) / len(recent)
                yield Learned(self._step, self.plan.steps, mean, speed)
                recent, began = [], time.perf_counter()
            if now - written > CHECKPOINT_SECONDS and state.batch < self.batches:
                self._write()
                written = time.perf_counter()

    def _follow(self) -> None:
        """Move the running average of the weights a step on."""
        decay = self.plan.recipe.average
        # Early on it follows fast, so that it is not held back by the first weights.
        decay = min(decay, (1 + self._step) / (10 + self._step))
        for name, value in self.network.state_dict().items():
            if value.dtype.is_floating_point:
                self.mean[name].lerp_(value, 1 - decay)
            else:
                self.mean[name].copy_(value)

    def _rate(self) -> float:
        recipe = self.plan.recipe
        epoch = self.state.epoch + self.state.batch / self.batches
        return recipe.optimiser.learning_rate * recipe.schedule.share(epoch, recipe.epochs)

    def _drawn(self, epoch: int, start: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, each drawn while the one before is learned from."""
        recipe = self.plan.recipe
        shuffle = torch.Generator().manual_seed(recipe.seed * 10_000_019 + epoch)
        order = torch.randperm(len(self.training), generator=shuffle).numpy()

        def draw(place: int) -> Batch:
            which = order[place * recipe.batch : (place + 1) * recipe.batch]
            if recipe.augmentation is None:
                return self.training.plain(which)
            seed = (recipe.seed * 10_000_019 + epoch) * 100_003 + place + 1
            rng = torch.Generator().manual_seed(seed % 2**63)
            return self.training.augmented(which, recipe.augmentation, self.plan.loss, rng)

        with ThreadPoolExecutor(1, "draw") as pool:
            waiting: deque[Future[Batch]] = deque()
            for place in range(start, min(start + 2, self.batches)):
                waiting.append(pool.submit(draw, place))
            for place in range(start, self.batches):
                batch = waiting.popleft().result()
                if place + 2 < self.batches:
                    waiting.append(pool.submit(draw, place + 2))
                yield batch

    def _validate(self) -> Validated:
        """Try the weights on the validation, end the epoch, and keep the best."""
        recipe, state = self.plan.recipe, self.state
        rate = recipe.optimiser.learning_rate * recipe.schedule.share(
            state.epoch + (self.batches - 1) / self.batches, recipe.epochs
        )
        learning = _copied(self.network)
        self.network.load_state_dict(self.mean)
        found = validate(self.network, self.validation, self.plan.loss, recipe.batch, self.device)
        self.network.load_state_dict(learning)
        before = state.best
        score = found.error_px if found.error_mm is None else found.error_mm
        best = before is None or score < before.score
        if best:
            self.kept = {name: value.clone() for name, value in self.mean.items()}
        state.epoch += 1
        state.batch = 0
        told = Validated(
            state.epoch,
            recipe.epochs,
            self._step,
            rate,
            state.loss / state.pictures,
            found.loss,
            found.error_px,
            found.error_mm,
            best,
        )
        state.curves.append(told)
        state.loss, state.pictures = 0.0, 0
        return told

    def _write(self) -> None:
        parts = {
            "network": self.network.state_dict(),
            "mean": self.mean,
            "best": self.kept,
            "optimiser": moments_of(self.stepper.optimiser),
        }
        write_checkpoint(self.checkpoint, self.plan.identity, parts, asdict(self.state))

    def _resume(self) -> None:
        parts, state = read_checkpoint(self.checkpoint, self.plan.identity)
        try:
            self.network.load_state_dict(parts["network"])
            for part, own in (("mean", self.mean), ("best", self.kept)):
                for name, value in parts[part].items():
                    own[name].copy_(value)
            restore_moments(self.stepper.optimiser, parts.get("optimiser", {}))
            curves = [Validated(**row) for row in state.pop("curves")]
            before = self.state.data
            self.state = RunState(**state, curves=curves)
            if self.state.data not in ("", before):
                raise ValueError("its clips have another scale, region or range of grey levels")  # noqa: TRY301
            self.stepper.part = self.state.part
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise damaged(self.checkpoint, error) from error


def _first_network(plan: Plan) -> nn.Module:
    """Return the network that the run starts with."""
    from napari_deepmtj.weights.store import load_model

    torch.manual_seed(plan.recipe.seed)
    if plan.start is not None:
        network = load_model(plan.start[0]).network
    else:
        network = build(plan.network.name, **plan.network.arguments)
        if plan.network.initial == "keras":
            start_as_keras(network)
    if isinstance(plan.loss, Coordinates):
        full_precision(network.get_submodule("head"))
    return network


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}

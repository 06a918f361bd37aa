"""What a training run on labelled frames will do, settled and told before anything runs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.labels.labelled import LabelledClip
from napari_deepmtj.training.recipes import FrameRecipe, Recipe, departures, load_recipe
from napari_deepmtj.training.settings import Coordinates, Loss, Network, loss_of_card
from napari_deepmtj.training.split import By, Sides, Split, SplitRule
from napari_deepmtj.weights.cards import RECORDING, WeightCard
from napari_deepmtj.weights.store import read_card, resolve_model

#: Frames of the validation below which its figures, and a confidence fitted on them, are rough.
FEW_VALIDATION = 30


@dataclass(frozen=True, slots=True)
class Count:
    """How much is on one side of a split.

    Parameters
    ----------
    subjects, clips, frames : int
        All of them.
    left_out : int
        Frames that are not learned from, since the MTJ is not visible and the network always
        gives a position.
    """

    subjects: int
    clips: int
    frames: int
    left_out: int

    @property
    def used(self) -> int:
        """Frames that are not left out."""
        return self.frames - self.left_out


@dataclass(frozen=True)
class Plan:
    """A run that is settled.

    Parameters
    ----------
    recipe : FrameRecipe
        With network and loss.
    split : Split
        The clips.
    start : (Path, WeightCard) or None
        The model whose weights the run starts from.
    published_epochs : int
        How long the recipe itself would run.
    name : str
        Id of the model that is made.
    departures : tuple of str
        Parts in which the recipe is not the package's of the same id.
    """

    recipe: FrameRecipe
    split: Split
    start: tuple[Path, WeightCard] | None
    published_epochs: int
    name: str
    departures: tuple[str, ...] = ()

    @property
    def network(self) -> Network:
        """What learns."""
        assert self.recipe.network is not None
        return self.recipe.network

    @property
    def loss(self) -> Loss:
        """What is minimised."""
        assert self.recipe.loss is not None
        return self.recipe.loss

    @property
    def counts(self) -> dict[str, Count]:
        """What is on each side."""
        return {name: self._count(side) for name, side in self.split.sides.items()}

    @property
    def steps(self) -> int:
        """Steps of the whole run, at most."""
        count = self.counts["training"]
        return -(-count.used // self.recipe.batch) * self.recipe.epochs

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person must be told before the run begins."""
        told = [*self.split.notices, *self.split.doubts]
        validation = self.counts["validation"]
        if validation.used < FEW_VALIDATION:
            told.append(
                f"{validation.used} frames for validation are few: its "
                "errors, and the confidence fitted on them, are rough"
            )
        left_out = sum(count.left_out for count in self.counts.values())
        if left_out:
            told.append(
                f"{left_out} frames in which the MTJ is not visible are left out: this network "
                "always gives a position"
            )
        if self.departures:
            told.append(
                f"the recipe calls itself {self.recipe.id}, and is not the package's: "
                f"{', '.join(self.departures)} of its own"
            )
        if self.recipe.epochs != self.published_epochs:
            told.append(self.length)
        return tuple(told)

    @property
    def length(self) -> str:
        """How long the run is, and its recipe's own length where that is another."""
        if self.recipe.epochs == self.published_epochs:
            return f"{self.recipe.epochs} epochs"
        return (
            f"{self.recipe.epochs} epochs in place of the recipe's {self.published_epochs}, the "
            "schedule of the learning rate in proportion"
        )

    @property
    def identity(self) -> str:
        """Everything that decides the result, as a hash by which checkpoints are known."""
        clips = {
            name: [(c.sha256, c.subject, c.roi, [(k.frame, k.x_px, k.y_px) for k in c.labels])
                   for c in side]
            for name, side in self.split.sides.items()
            if name != "test"
        }  # fmt: skip
        start = None if self.start is None else self.start[1].sha256
        text = json.dumps([asdict(self.recipe), start, clips], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return what the card says of the run."""
        split = {
            name: {
                "subjects": sorted(self.split.subjects(name)),
                "clips": len(side),
                "frames": self.counts[name].frames,
                "recordings": sorted(clip.sha256[:RECORDING] for clip in side),
            }
            for name, side in self.split.sides.items()
        }
        start = None if self.start is None else self.start[1]
        return {
            "recipe": asdict(self.recipe),
            "length": self.length,
            "split": {"how": self.split.how, **split},
            "notices": list(self.warnings),
            "started_from": None
            if start is None
            else {
                "id": start.id,
                "version": start.version,
                "sha256": start.sha256,
                "recordings": sorted(start.recordings),
            },
        }

    def _count(self, side: Sides) -> Count:
        labels = [label for clip in side for label in clip.labels]
        hidden = sum(not label.visible for label in labels)
        always = isinstance(self.loss, Coordinates)
        return Count(
            len({clip.subject for clip in side}), len(side), len(labels), hidden if always else 0
        )


def plan(
    recipe: str | Recipe,
    clips: Sequence[LabelledClip] | Split,
    *,
    split: SplitRule | By | None = None,
    start: str | Path | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    name: str | None = None,
) -> Plan:
    """Settle a run on labelled frames; nothing is read but the card of the model to start from.

    Parameters
    ----------
    recipe : str or FrameRecipe
        A name or a file as `load_recipe` takes them, or the recipe itself.
    clips : sequence of LabelledClip, or Split
        The data; a split that was made already is kept.
    split : SplitRule or {"subject", "clip", "paper"}, optional
        In place of the recipe's; a name keeps the recipe's shares where they fit.
    start : str or Path, optional
        A model, by id or file, whose weights the run starts from.
    epochs, batch, seed : int, optional
        In place of the recipe's; the schedule stays in proportion.
    name : str, optional
        Id of the model that is made. The recipe's by default, and "ID-finetuned" for one that
        starts from ID.

    Raises
    ------
    DeepMTJError
        If the recipe draws its own scenes, lacks a model to start from, starts from one of
        another kind, or the clips cannot be split.
    """
    chosen = load_recipe(recipe) if isinstance(recipe, str) else recipe
    if not isinstance(chosen, FrameRecipe):
        raise DeepMTJError(f"the recipe {chosen.id} draws its own scenes; it takes no labels")
    published, own = chosen.epochs, departures(chosen)
    if epochs is not None:
        chosen = chosen.lasting(epochs)
    chosen = replace(
        chosen,
        batch=chosen.batch if batch is None else batch,
        seed=chosen.seed if seed is None else seed,
        split=split if isinstance(split, SplitRule) else chosen.split.keeping_apart(split),
    )
    begun = None
    if start is not None:
        path = resolve_model(start)
        begun = path, read_card(path)
    chosen = _settled(chosen, None if begun is None else begun[1])
    sides = clips if isinstance(clips, Split) else chosen.split(clips)
    named = name or _name(chosen, begun)
    if not re.fullmatch(r"[\w.-]+", named) or named.startswith("."):
        raise DeepMTJError(f"the model cannot be called {named!r}; use letters, digits, - and _")
    settled = Plan(chosen, sides, begun, published, named, own)
    for side in ("training", "validation"):
        count = settled.counts[side]
        if not count.used:
            raise DeepMTJError(f"no frame of the {side} shows the MTJ; label some in which it is")
    return settled


def _settled(recipe: FrameRecipe, card: WeightCard | None) -> FrameRecipe:
    """Give a recipe the network and loss of the model that it starts from."""
    if card is None:
        if recipe.network is None or recipe.loss is None:
            raise DeepMTJError(
                f"the recipe {recipe.id} starts from a trained model; say from which (--from)"
            )
        return recipe
    own = Network.of_card(card)
    if recipe.network is None:
        return replace(recipe, network=own, loss=recipe.loss or loss_of_card(card))
    same = (recipe.network.name, dict(recipe.network.arguments)) == (own.name, dict(own.arguments))
    if not same:
        raise DeepMTJError(
            f"the recipe {recipe.id} is of another network than the model {card.id}; choose the "
            "recipe finetune"
        )
    return recipe


def _name(recipe: FrameRecipe, start: tuple[Path, WeightCard] | None) -> str:
    return recipe.id if start is None else f"{start[1].id.removesuffix('-finetuned')}-finetuned"

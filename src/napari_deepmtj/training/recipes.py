"""Recipes: every number of a training run, readable, in one TOML file each.

There are two kinds: of scenes that are rendered for the purpose, and of labelled frames.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.training.settings import (
    AUGMENTATIONS,
    LOSSES,
    SCHEDULES,
    Augmentation,
    Loss,
    Network,
    Optimiser,
    Schedule,
)
from napari_deepmtj.training.split import SplitRule

if TYPE_CHECKING:
    from napari_deepmtj.phantom.anatomy import LabelDefinition
    from napari_deepmtj.phantom.devices import StyleSet

#: Scenes in one chunk, the unit of rendering, and of seeding.
CHUNK = 80

#: Seeds are multiplied, and must stay what every generator of random numbers takes.
MOST_SEED = 2**31 - 1


@dataclass(frozen=True)
class SceneSet:
    """What to render.

    Parameters
    ----------
    seed : int
        Chunk k is a pure function of (seed, k).
    count : int
        How many pictures, a multiple of `CHUNK`.
    height, width : int
        Size of the stored pictures in pixels.
    out_of_view, nothing : float
        Shares of scenes with the MTJ beyond the picture, and of pictures without a calf.
    styles : {"training", "calibration", "test"}
        The set of `phantom.devices` that the scanners are of.
    family : str
        The family of `phantom.families` that the scenes are of.
    """

    seed: int
    count: int
    height: int = 192
    width: int = 384
    out_of_view: float = 0.10
    nothing: float = 0.05
    styles: StyleSet = "training"
    family: str = "fine"

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.count // CHUNK)


@dataclass(frozen=True)
class RealSet:
    """What to make of a folder of real pictures, see `real.find_real`.

    A source is "composites", or the name of a folder whose pictures are taken as they are, none of
    which shows an MTJ.

    Parameters
    ----------
    seed : int
        Of what is learned from; what the doubt is fitted on follows from the next.
    shares : dict of str to float
        Share of each source of the pictures learned from, beside `SceneRecipe.families`.
    training, fit : dict of str to int
        How many pictures of each source are made to learn from, and to fit the doubt on.
    meant_for, other : tuple of str
        Sources that a model is meant for though no MTJ is in view, and those of another kind: what
        the warning of unfamiliar pictures has to tell apart.
    """

    seed: int
    shares: dict[str, float]
    training: dict[str, int]
    fit: dict[str, int]
    meant_for: tuple[str, ...]
    other: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """A part of a run: `steps` steps on pictures of `height` x `width` pixels."""

    steps: int
    height: int
    width: int


@dataclass(frozen=True)
class SceneRecipe:
    """A training run on rendered scenes.

    Parameters
    ----------
    id : str
        Name of the recipe, and of the model it makes.
    network : str
        A name of `networks.build`.
    network_arguments : dict
        Its arguments.
    input_height, input_width : int
        Of the network's input, pixels.
    label_thickness_mm : float
        The label definition, with `label_depth`; see `phantom.anatomy.LabelDefinition`.
    training, calibration : SceneSet
        Scenes to learn from, and others to fit the confidence on, of all families together.
    seed : int
        Of initial weights, order and augmentation.
    stages : tuple of Stage
        Parts of the run; coarse pictures first, those of the input's size last.
    batch : int
        Pictures a step.
    learning_rate, weight_decay : float
        Of AdamW; the rate rises over the first twentieth and falls as a cosine.
    ema : float
        Decay a step of the running average of the weights that is kept in the end.
    target_sigma_px, presence_weight : float
        Of the loss.
    teacher : str
        Model whose heat maps and presence are learned in place of the truth's; "" for none.
    start : str
        Model or weight file whose weights the run begins with; "" for random ones.
    gate_weight : float
        Weight of `losses.gate_contrast`, which makes the attention gates choose.
    label_depth : float
        See `label_thickness_mm`.
    families : dict of str to float
        Share of each family of `phantom.families`, of the scenes and of the pictures learned from.
    real : RealSet or None
        What to learn from a folder of real pictures, if one is given.
    grey_transfer : float
        Share of the pictures learned from that take on the grey levels of another of their batch.
    """

    id: str
    network: str
    network_arguments: dict[str, Any]
    input_height: int
    input_width: int
    label_thickness_mm: float
    training: SceneSet
    calibration: SceneSet
    seed: int
    stages: tuple[Stage, ...]
    batch: int
    learning_rate: float
    weight_decay: float
    ema: float
    target_sigma_px: float
    presence_weight: float
    teacher: str = ""
    start: str = ""
    gate_weight: float = 0.0
    label_depth: float = 0.3
    families: dict[str, float] = field(default_factory=lambda: {"fine": 1.0})
    real: RealSet | None = None
    grey_transfer: float = 0.0

    @property
    def label(self) -> LabelDefinition:
        """The label definition."""
        from napari_deepmtj.phantom.anatomy import LabelDefinition

        return LabelDefinition(self.label_thickness_mm, self.label_depth)

    def of_families(self, what: SceneSet) -> list[SceneSet]:
        """Return a set of scenes family by family, by their shares, in whole chunks."""
        total = sum(self.families.values())
        return [
            replace(what, family=name, count=CHUNK * max(1, round(what.chunks * share / total)))
            for name, share in self.families.items()
        ]

    @property
    def steps(self) -> int:
        """Length of the whole run."""
        return sum(stage.steps for stage in self.stages)

    def stage_of(self, step: int) -> Stage:
        """Return the stage that a step belongs to."""
        for stage in self.stages:
            step -= stage.steps
            if step < 0:
                return stage
        return self.stages[-1]


@dataclass(frozen=True)
class FrameRecipe:
    """A training run on labelled frames.

    Parameters
    ----------
    id : str
        Name of the recipe, and of the model it makes.
    epochs : int
        How often every frame of the training is seen, at most.
    batch : int
        Frames a step; the last step of an epoch has those that are left.
    seed : int
        Of initial weights, order and augmentation.
    optimiser, schedule, split
        See their classes.
    network, loss : optional
        See their classes. Without them those of the model that training starts from.
    augmentation : optional
        Without it frames are learned from as they are.
    patience : int, optional
        Epochs without a better validation after which the run ends.
    average : float
        Decay a step of the running average of the weights, which is what is validated and kept;
        0 for the weights themselves.
    """

    id: str
    epochs: int
    batch: int
    seed: int
    optimiser: Optimiser
    schedule: Schedule
    split: SplitRule
    network: Network | None = None
    loss: Loss | None = None
    augmentation: Augmentation | None = None
    patience: int | None = None
    average: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise DeepMTJError(f"{name} is {getattr(self, name)}; give 1 or more")
        if not 0 <= self.seed <= MOST_SEED:
            raise DeepMTJError(f"the seed is {self.seed}; give 0 to {MOST_SEED}")

    def lasting(self, epochs: int) -> FrameRecipe:
        """Return the recipe of a longer or shorter run, its schedule in proportion."""
        if epochs < 1:
            raise DeepMTJError(f"a run of {epochs} epochs is none; give 1 or more")
        schedule = self.schedule.scaled(epochs / self.epochs)
        return replace(self, epochs=epochs, schedule=schedule)


Recipe: TypeAlias = SceneRecipe | FrameRecipe


def available() -> tuple[str, ...]:
    """Names of the recipes in the package."""
    folder = resources.files("napari_deepmtj.training") / "recipes"
    return tuple(sorted(p.name.removesuffix(".toml") for p in folder.iterdir()))


def load_recipe(name: str) -> Recipe:
    """Read a recipe by its name in the package or by the path of a TOML file.

    Raises
    ------
    DeepMTJError
        If there is none, or it lacks or adds a number.
    """
    try:
        if name in available():
            folder = resources.files("napari_deepmtj.training") / "recipes"
            text = (folder / f"{name}.toml").read_text(encoding="utf-8")
        elif Path(name).suffix == ".toml" and Path(name).is_file():
            text = Path(name).read_text(encoding="utf-8")
        else:
            raise DeepMTJError(f"unknown recipe {name!r}; there is {', '.join(available())}")
        data = tomllib.loads(text)
        return _scenes(data) if "stages" in data else _frames(data)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise DeepMTJError(f"recipe {name!r} is malformed: {error}") from error


def departures(recipe: FrameRecipe) -> tuple[str, ...]:
    """Name the parts in which a recipe is not the package's of the same id."""
    if recipe.id not in available():
        return ()
    known = load_recipe(recipe.id)
    names = (part.name for part in fields(recipe))
    return tuple(n for n in names if getattr(recipe, n) != getattr(known, n, None))


def _scenes(data: dict[str, Any]) -> SceneRecipe:
    for key in ("training", "calibration"):
        data[key] = SceneSet(**data[key])
    if "real" in data:
        table = data["real"]
        lists = {name: tuple(table[name]) for name in ("meant_for", "other")}
        data["real"] = RealSet(**table | lists)
    data["stages"] = tuple(Stage(**stage) for stage in data["stages"])
    return SceneRecipe(**data)


def _frames(data: dict[str, Any]) -> FrameRecipe:
    data["optimiser"] = Optimiser(**data["optimiser"])
    data["split"] = SplitRule(**data["split"])
    data["schedule"] = _kind(SCHEDULES, data["schedule"])
    if "network" in data:
        data["network"] = Network(**data["network"])
    for name, kinds in (("loss", LOSSES), ("augmentation", AUGMENTATIONS)):
        if name in data:
            data[name] = _kind(kinds, data[name])
    return FrameRecipe(**data)


def _kind(kinds: Mapping[str, type[Any]], table: dict[str, Any]) -> Any:
    kind = table.pop("kind")
    if kind not in kinds:
        raise TypeError(f"kind is {kind!r}, not one of {', '.join(kinds)}")
    return kinds[kind](**table)

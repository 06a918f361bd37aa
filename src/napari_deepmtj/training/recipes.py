"""Recipes: every number of a training run, readable, in one TOML file each."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.training.dataset import SceneSet


@dataclass(frozen=True)
class Stage:
    """A part of a run: `steps` steps on pictures of `height` x `width` pixels."""

    steps: int
    height: int
    width: int


@dataclass(frozen=True)
class Recipe:
    """A training run.

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
        The label definition, see `phantom.anatomy.LABEL_THICKNESS_MM`.
    training, calibration : SceneSet
        Scenes to learn from, and others to fit the confidence on.
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
    if name in available():
        text = (resources.files("napari_deepmtj.training") / "recipes" / f"{name}.toml").read_text(
            encoding="utf-8"
        )
    elif Path(name).suffix == ".toml" and Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise DeepMTJError(f"unknown recipe {name!r}; there is {', '.join(available())}")
    try:
        data = tomllib.loads(text)
        for key in ("training", "calibration"):
            data[key] = SceneSet(**data[key])
        data["stages"] = tuple(Stage(**stage) for stage in data["stages"])
        return Recipe(**data)
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise DeepMTJError(f"recipe {name!r} is malformed: {error}") from error

"""Average the weights of runs of one lineage, and fit the doubt anew, as for the bundled models.

    python benchmarks/average_weights.py RECIPE FOLDER OUT WEIGHTS [WEIGHTS ...] [--real FOLDER]

RECIPE is a name or a TOML file of recipes of scenes, FOLDER that of a run of it, whose pictures
are used; with one WEIGHTS only threshold, confidence, covariance and the warning of unfamiliar
pictures are new.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from napari_deepmtj.training.recipes import SceneRecipe, load_recipe
from napari_deepmtj.training.scenes import prepare, save_fitted
from napari_deepmtj.weights.store import load_model


def main() -> None:
    """Average, fit and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("weights", nargs="+")
    parser.add_argument("--real", type=Path)
    given = parser.parse_args()
    recipe = load_recipe(given.recipe)
    if not isinstance(recipe, SceneRecipe):
        parser.error(f"{given.recipe} is no recipe of scenes")
    models = [load_model(name) for name in given.weights]
    states = [model.network.state_dict() for model in models]
    mean = {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(value.dtype)
        for name, value in states[0].items()
    }
    network = models[0].network
    network.load_state_dict(mean)
    material = prepare(recipe, given.folder, workers=1, real=given.real)
    while True:
        try:
            print(next(material))
        except StopIteration as end:
            print(save_fitted(network.eval(), recipe, end.value, given.out))
            return


if __name__ == "__main__":
    main()

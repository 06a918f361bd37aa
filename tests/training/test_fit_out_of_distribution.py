"""What the model is meant for is fitted on one half of the pictures; the other sets the limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from napari_deepmtj.inference.out_of_distribution import CALLED_WRONGLY, Familiar
from napari_deepmtj.networks.build import build
from napari_deepmtj.phantom.anatomy import LABEL, LabelDefinition
from napari_deepmtj.training.fit_out_of_distribution import LEAST, fit, fit_familiar
from napari_deepmtj.training.recipes import load_recipe
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import load_model, save_card, save_model

N, F = 4000, 40


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of pictures: a quarter without a calf, of which most lie elsewhere."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(1).normal(size=(F, F)) / np.sqrt(F)
    nothing = rng.random(N) < 0.25
    present = ~nothing & (rng.random(N) < 0.8)
    features = rng.normal(size=(N, F)) @ mix
    features[nothing] = features[nothing] * 1.5 + 0.8
    return features, present, nothing


def test_the_limit_holds_on_new_pictures() -> None:
    features, present, nothing = drawn(2)
    familiar, figures = fit(features, present, nothing, ~present)
    assert familiar is not None
    assert abs(figures["unfamiliar_in_view"] - CALLED_WRONGLY) < 0.003
    fresh, present, nothing = drawn(3)
    strange = familiar.strange(fresh)
    assert 0.003 < strange[present].mean() < 0.025
    assert strange[nothing].mean() > 0.9
    assert abs(strange[nothing].mean() - figures["unfamiliar_without_calf"]) < 0.05
    assert familiar.strange(np.full((1, F), 30.0))[0]  # like nothing at all


def test_too_few_pictures_fit_nothing() -> None:
    features, present, nothing = drawn(2)
    few = np.flatnonzero(nothing)[: 2 * LEAST - 2]
    some = np.concatenate([np.flatnonzero(present), few])
    assert fit(features[some], present[some], nothing[some], ~present[some]) == (None, {})


def test_what_is_fitted_travels_in_the_weights_file(tmp_path: Path) -> None:
    features, present, nothing = drawn(2)
    familiar, _ = fit(features[:, :16], present, nothing, ~present)
    assert familiar is not None
    arguments = {"channels": [4, 6, 8]}
    card = WeightCard(
        id="told",
        version="1",
        licence="BSD-3-Clause",
        network="compact",
        network_arguments=arguments,
        input_height=32,
        input_width=64,
        normalisation="minus-one-one",
        trained_on="nothing",
        label_definition="nowhere",
    )
    network = build("compact", **arguments).eval()
    path = tmp_path / "told.safetensors"
    save_model(path, network, card, familiar=familiar.arrays())
    other = tmp_path / "other.safetensors"
    save_card(path, other, card)
    for file in (path, other):
        found = Familiar.of(load_model(file))
        assert found is not None
        np.testing.assert_array_equal(
            found.score(features[:, :16]), familiar.score(features[:, :16])
        )
    plain = tmp_path / "plain.safetensors"
    without = save_model(plain, network, card)
    assert Familiar.of(load_model(plain)) is None
    assert without.sha256 != load_model(path).card.sha256


def test_a_network_without_features_cannot_tell() -> None:
    class Silent(torch.nn.Module):
        def forward(self, x: torch.Tensor):  # type: ignore[no-untyped-def]
            from napari_deepmtj.networks.interface import NetworkOutput

            return NetworkOutput(None, None, torch.zeros(len(x)), ())

    class Scenes:
        present = torch.ones(4, dtype=torch.bool)
        mm_per_px = torch.ones(4)

        def __len__(self) -> int:
            return 4

        def pictures(self, indices: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(indices), 24, 48, dtype=torch.uint8)

        def positions(self, label: LabelDefinition = LABEL) -> torch.Tensor:
            return torch.full((4, 2), 10.0)

    recipe = load_recipe("compact")
    nothing = np.zeros(4, dtype=bool)
    assert fit_familiar(Silent(), recipe, Scenes(), nothing, nothing) == (None, {})

"""What a model is meant for is fitted on some pictures; others set the limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from napari_deepmtj.inference.out_of_distribution import CALLED_WRONGLY, Familiar
from napari_deepmtj.networks.build import build
from napari_deepmtj.phantom.anatomy import LABEL, LabelDefinition
from napari_deepmtj.training.fit_out_of_distribution import (
    LEAST,
    Kinds,
    fit,
    fit_familiar,
)
from napari_deepmtj.training.recipes import load_recipe
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import load_model, save_card, save_model

N, F = 4000, 40


def drawn(seed: int) -> tuple[np.ndarray, Kinds]:
    """Features of pictures of three sources: two of calves, and one of another kind, of which most
    lie elsewhere.
    """
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(1).normal(size=(F, F)) / np.sqrt(F)
    source = rng.choice(3, N, p=(0.6, 0.15, 0.25))
    features = rng.normal(size=(N, F)) @ mix
    features[source == 2] = features[source == 2] * 1.5 + 0.8
    features[source == 1] += 0.2
    open_question = rng.random(N) < 0.1
    return features, Kinds(source, (source < 2) & ~open_question, (source == 2) & ~open_question)


def some(of: tuple[np.ndarray, Kinds], rows: np.ndarray) -> tuple[np.ndarray, Kinds]:
    return of[0][rows], of[1].at(rows)


def test_the_limit_holds_on_new_pictures() -> None:
    familiar, figures = fit(drawn(2), drawn(4))
    assert familiar is not None
    features, kinds = drawn(3)
    strange = familiar.strange(features)
    shares = [strange[kinds.meant_for & (kinds.source == k)].mean() for k in (0, 1)]
    assert shares[0] < shares[1]  # the limit is that of the source which is most like the other
    assert 0.5 * CALLED_WRONGLY < shares[1] < 2 * CALLED_WRONGLY
    assert strange[kinds.other].mean() > 0.9
    assert abs(strange[kinds.other].mean() - figures["unfamiliar_other"]) < 0.05
    assert abs(strange[kinds.meant_for].mean() - figures["unfamiliar_meant_for"]) < 0.01


def test_a_source_of_few_pictures_counts_as_much_as_one_of_many() -> None:
    whole = drawn(2)
    rare = np.flatnonzero((whole[1].source != 1) | (np.arange(N) % 20 == 0))
    few, all_of_it = (fit(part, drawn(4))[0] for part in (some(whole, rare), whole))
    assert few is not None
    assert all_of_it is not None
    features, kinds = drawn(3)
    strange = few.strange(features)
    assert strange[kinds.meant_for & (kinds.source == 1)].mean() < 2 * CALLED_WRONGLY
    assert strange[kinds.other].mean() > all_of_it.strange(features)[kinds.other].mean() - 0.05


def test_too_few_pictures_fit_nothing() -> None:
    whole = drawn(2)
    other = np.flatnonzero(whole[1].other)[: LEAST - 1]
    few = some(whole, np.concatenate([np.flatnonzero(~whole[1].other), other]))
    assert fit(few, whole) == (None, {})
    assert fit(whole, few) == (None, {})


def test_a_linear_rule_is_a_weighted_sum_of_features() -> None:
    rng = np.random.default_rng(5)
    weights, features = rng.normal(size=F), rng.normal(size=(50, F))
    familiar = Familiar.linear(weights, -0.7).with_limit(1.0)
    np.testing.assert_allclose(familiar.score(features), features @ weights - 0.7, atol=1e-5)
    np.testing.assert_array_equal(familiar.strange(features), features @ weights - 0.7 > 1.0)


def test_what_is_fitted_travels_in_the_weights_file(tmp_path: Path) -> None:
    features, kinds = drawn(2)
    features = features[:, :16]
    familiar, _ = fit((features, kinds), (features, kinds))
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
        np.testing.assert_array_equal(found.score(features), familiar.score(features))
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
    pictures = (Scenes(), Kinds(np.zeros(4, dtype=np.int64), nothing, nothing))
    assert fit_familiar(Silent(), recipe, pictures, pictures) == (None, {})

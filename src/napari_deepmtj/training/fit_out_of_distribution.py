"""Fit what tells pictures that a model is not meant for.

The numbers and what is done with them are `inference.out_of_distribution`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from scipy.special import expit
from torch import nn

from napari_deepmtj.inference.out_of_distribution import CALLED_WRONGLY, Familiar
from napari_deepmtj.training.mixture import Pictures
from napari_deepmtj.training.observed import scene_batches
from napari_deepmtj.training.recipes import SceneRecipe

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

#: Penalty on the squared weights of standardised features, beside the mean log loss. Of 0.005 to 5
#: the one that told pictures of left-out clusters best, in five folds.
RIDGE = 0.05
#: Pictures of each source that are learned from, and that the limit is set on, at most.
OF_A_SOURCE = 800
#: Least pictures of either kind in both halves; with fewer nothing is fitted.
LEAST = 48


@dataclass(frozen=True)
class Kinds:
    """What the pictures of a set are.

    Parameters
    ----------
    source : ndarray of int, shape (n,)
        Number of the source of each picture.
    meant_for, other : ndarray of bool, shape (n,)
        Pictures of a kind that the model is meant for, the MTJ in view or not, and pictures of
        another kind; neither where that is open.
    """

    source: IntArray
    meant_for: BoolArray
    other: BoolArray

    def at(self, rows: IntArray) -> Kinds:
        """Return those of some pictures, by their numbers (m,)."""
        return Kinds(self.source[rows], self.meant_for[rows], self.other[rows])


def fit_familiar(
    network: nn.Module,
    recipe: SceneRecipe,
    learned: tuple[Pictures, Kinds],
    held_out: tuple[Pictures, Kinds],
) -> tuple[Familiar | None, dict[str, float]]:
    """Fit on pictures that the network learned from; set the limit on those held out.

    Many more clusters of real pictures are in the former, and kinds of anatomy are what has to be
    learned. Both are taken as they are: degraded pictures of all kinds are much alike.

    Parameters
    ----------
    network : nn.Module
        On the CPU, in eval mode.
    recipe : SceneRecipe
        Of the run.
    learned, held_out : tuple of Pictures and Kinds
        Pictures to learn from, and to set the limit on.

    Returns
    -------
    familiar : Familiar or None
        None for a network without features, or too few pictures.
    figures : dict
        For the weight card: shares of the pictures held out that are called unfamiliar, of those
        that the model is meant for and of others.
    """
    parts = []
    for pictures, kinds in (learned, held_out):
        rows = np.concatenate([_spread(kinds.source == k) for k in np.unique(kinds.source)])
        features = _features(network, recipe, pictures, rows)
        if features is None:
            return None, {}
        parts.append((features, kinds.at(rows)))
    return fit(*parts)


def _spread(chosen: BoolArray) -> IntArray:
    """Return at most `OF_A_SOURCE` numbers of chosen pictures, evenly spread."""
    rows = np.flatnonzero(chosen)
    return rows[:: -(-len(rows) // OF_A_SOURCE)]


def _features(
    network: nn.Module, recipe: SceneRecipe, pictures: Pictures, rows: IntArray
) -> FloatArray | None:
    features = []
    for batch in scene_batches(recipe, pictures, strength=0.0, which=torch.from_numpy(rows)):
        with torch.inference_mode():
            output = network(batch.pictures)
        if output.features is None:
            return None
        features.append(output.features.double().numpy())
    return np.concatenate(features)


def fit(
    learned: tuple[FloatArray, Kinds], held_out: tuple[FloatArray, Kinds]
) -> tuple[Familiar | None, dict[str, float]]:
    """Fit a penalised logistic regression of features (n, F), and set its limit.

    Within what the model is meant for, and within what is other, each source counts alike,
    whatever its number of pictures. The limit is the highest that `CALLED_WRONGLY` of the pictures
    of any one source that the model is meant for exceed.
    """
    (features, kinds), (others, held) = learned, held_out
    counts = [kind.sum() for part in (kinds, held) for kind in (part.meant_for, part.other)]
    if min(counts) < LEAST:
        return None, {}
    use = kinds.meant_for | kinds.other
    mean, spread = features[use].mean(axis=0), np.maximum(features[use].std(axis=0), 1e-6)
    x = (features[use] - mean) / spread
    y = kinds.other[use].astype(float)
    weight = np.zeros(len(y))
    for kind in (0.0, 1.0):
        sources = np.unique(kinds.source[use][y == kind])
        for source in sources:
            rows = (y == kind) & (kinds.source[use] == source)
            weight[rows] = 0.5 / len(sources) / rows.sum()

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        w, bias = parameters[:-1], parameters[-1]
        z = x @ w + bias
        value = weight @ (np.logaddexp(0, z) - y * z) + 0.5 * RIDGE * w @ w
        slope = weight * (expit(z) - y)
        return float(value), np.append(x.T @ slope + RIDGE * w, slope.sum())

    best = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    familiar = Familiar.linear(best[:-1] / spread, float(best[-1] - best[:-1] @ (mean / spread)))
    score = familiar.score(others)
    limit = max(
        np.quantile(score[held.meant_for & (held.source == source)], 1 - CALLED_WRONGLY)
        for source in np.unique(held.source[held.meant_for])
    )
    familiar = familiar.with_limit(float(limit))
    strange = familiar.strange(others)
    return familiar, {
        "unfamiliar_meant_for": round(float(strange[held.meant_for].mean()), 4),
        "unfamiliar_other": round(float(strange[held.other].mean()), 4),
    }

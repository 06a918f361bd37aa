"""Fit what tells pictures that a model is not meant for, on scenes it never learned from.

The numbers and what is done with them are `inference.out_of_distribution`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_deepmtj.inference.out_of_distribution import CALLED_WRONGLY, Familiar
from napari_deepmtj.training.mixture import Pictures
from napari_deepmtj.training.observed import scene_batches
from napari_deepmtj.training.recipes import SceneRecipe

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Directions that are looked at.
DIRECTIONS = 24
#: Share of covariances between directions that is left out, which keeps what few pictures show
#: by chance small.
SHRINK = 0.05
#: Least pictures of either kind in each half; with fewer, nothing is fitted.
LEAST = 2 * DIRECTIONS


def fit_familiar(
    network: nn.Module, recipe: SceneRecipe, held_out: Pictures, other: BoolArray, meant: BoolArray
) -> tuple[Familiar | None, dict[str, float]]:
    """Fit on one half of the calibration scenes, degraded as in training; the limit on the other.

    Parameters
    ----------
    network : nn.Module
        On the CPU, in eval mode.
    recipe : SceneRecipe
        Of the run.
    held_out : Pictures
        Its calibration scenes.
    other, meant : ndarray of bool, shape (n,)
        Which of them the model is not meant for, and for which it is though they show no MTJ.

    Returns
    -------
    familiar : Familiar or None
        None for a network without features, or too few scenes.
    figures : dict
        For the weight card: shares of the second half that are called unfamiliar, of pictures
        with the MTJ in view, of calves with it out of view, and without a calf.
    """
    features, present = [], []
    for batch in scene_batches(recipe, held_out):
        with torch.inference_mode():
            found = network(batch.pictures).features
        if found is None:
            return None, {}
        features.append(found.double().cpu().numpy())
        # What is on the border is neither in view nor not.
        present.append(torch.where(batch.decided > 0, batch.present, torch.nan).numpy())
    seen = np.concatenate(present)
    known = ((seen == 1) | meant) & ~other
    return fit(np.concatenate(features), known, other, seen == 0)


def fit(
    features: FloatArray, present: BoolArray, nothing: BoolArray, absent: BoolArray
) -> tuple[Familiar | None, dict[str, float]]:
    """Fit on every second picture of a kind, and set the limit on the others.

    Parameters
    ----------
    features : ndarray, shape (n, F)
        Of pictures.
    present, nothing, absent : ndarray of bool, shape (n,)
        Whether the model is meant for it, as with the MTJ in view; whether it is of another kind,
        as without a calf; whether the MTJ is out of view.
    """
    learn = np.zeros(len(features), dtype=bool)
    for kind in (present, nothing, ~present & ~nothing):
        learn[np.flatnonzero(kind)[::2]] = True
    sizes = [(kind & half).sum() for kind in (present, nothing) for half in (learn, ~learn)]
    if min(sizes) < LEAST:
        return None, {}
    unit = 1 / np.maximum(features[learn].std(axis=0), 1e-6)
    centred = (features[learn] - features[learn].mean(axis=0)) * unit
    axes = np.linalg.svd(centred, full_matrices=False)[2][:DIRECTIONS] * unit
    parts: dict[str, Any] = {
        "axes": axes.astype(np.float32),
        "known": _whitening(features[learn & present] @ axes.T),
        "other": _whitening(features[learn & nothing] @ axes.T),
        "limit": np.zeros(1, dtype=np.float32),
    }
    score = Familiar(**parts).score(features)
    limit = np.quantile(score[~learn & present], 1 - CALLED_WRONGLY)
    familiar = Familiar(**parts | {"limit": np.array([limit], dtype=np.float32)})
    strange = score > limit
    kinds = {
        "in_view": present,
        "out_of_view": absent & ~present & ~nothing,
        "without_calf": nothing,
    }
    figures = {
        f"unfamiliar_{name}": round(float(strange[~learn & kind].mean()), 4)
        for name, kind in kinds.items()
        if (~learn & kind).any()
    }
    return familiar, figures


def _whitening(y: FloatArray) -> npt.NDArray[np.float32]:
    """Return W and w, shape (k, k + 1), by which |W y - w|^2 is the squared distance."""
    spread = np.cov(y.T)
    spread = (1 - SHRINK) * spread + SHRINK * np.diag(np.diag(spread))
    spread += 1e-9 * np.trace(spread) * np.eye(len(spread))  # a network may have dead channels
    whiten = np.linalg.inv(np.linalg.cholesky(spread))
    return np.column_stack([whiten, whiten @ y.mean(axis=0)]).astype(np.float32)

"""Fit what turns a network's output into honest uncertainty, on pictures it never learned from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from napari_deepmtj.inference.decode import (
    Decoding,
    calibrated_covariance,
    confidence_features,
    observe,
)
from napari_deepmtj.inference.peak import Peak
from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.training.augment import Batch, augment
from napari_deepmtj.training.dataset import RenderedScenes

if TYPE_CHECKING:
    from napari_deepmtj.training.recipes import SceneRecipe

FloatArray = npt.NDArray[np.float64]

#: Share of pictures with the MTJ in view that may be called "not in view".
MISSED_AT_MOST = 0.015
#: The threshold stays within these, however the phantom pictures fall.
THRESHOLD_RANGE = (0.2, 0.8)
#: Tolerances in input pixels among which the confidence is fitted; 6.3 % of a 256 px wide
#: input, P20's 5 mm, is 16 px.
TOLERANCE_RANGE_PX = (4.0, 40.0)
#: Width of the input that the two numbers around here are given for; others in proportion.
REFERENCE_WIDTH = 256
#: Errors beyond this many input pixels are blunders, which the confidence speaks of, not the sd.
BLUNDER_PX = 16.0


@dataclass(frozen=True)
class Observed:
    """What a network says of n pictures it never learned from, and the truth, in input pixels.

    Parameters
    ----------
    peak : Peak
        Positions, spreads and masses.
    presence : ndarray of float64, shape (n,)
        Logits of "in view".
    truth : ndarray of float64, shape (n, 2)
        Meaningless where not present.
    present : ndarray of bool, shape (n,)
        Whether the MTJ is in the picture.
    mm_per_px : ndarray of float64, shape (n, 2)
        Of the pictures; NaN where no scale is known.
    """

    peak: Peak
    presence: FloatArray
    truth: FloatArray
    present: npt.NDArray[np.bool_]
    mm_per_px: FloatArray


def observe_batches(
    network: nn.Module,
    batches: Iterable[Batch],
    start: Decoding,
    *,
    device: torch.device | None = None,
) -> Observed:
    """Run a network, in eval mode, over batches; what is undecided is left out."""
    device = device or torch.device("cpu")
    peaks, logits, truths, presents, steps = [], [], [], [], []
    for batch in batches:
        with torch.inference_mode():
            output = network(batch.pictures.to(device))
        keep = batch.decided > 0
        peak, presence = observe(on_host(output, keep), start, *batch.pictures.shape[-2:])
        peaks.append(peak)
        logits.append(presence)
        truths.append(batch.xy[keep].double().numpy())
        presents.append(batch.present[keep].bool().numpy())
        steps.append(batch.mm_per_px[keep].double().numpy())
    joined = Peak(
        *(np.concatenate([getattr(p, n) for p in peaks]) for n in ("xy", "spread", "mass"))
    )
    return Observed(
        joined,
        np.concatenate(logits),
        np.concatenate(truths),
        np.concatenate(presents),
        np.concatenate(steps),
    )


def on_host(output: NetworkOutput, keep: Tensor) -> NetworkOutput:
    """Return the predictions for the pictures to keep (B,), on the CPU, without attention."""
    heatmap, xy, presence = (None if part is None else part.cpu()[keep] for part in output[:3])
    return NetworkOutput(heatmap, xy, presence, ())


def scene_batches(recipe: SceneRecipe, scenes: RenderedScenes) -> Iterator[Batch]:
    """Yield every calibration scene once, each degraded by its own seed, as in training."""
    positions = scenes.positions(recipe.label_thickness_mm)
    rng = torch.Generator().manual_seed(recipe.seed + recipe.calibration.seed)
    for index in torch.split(torch.arange(len(scenes)), recipe.batch):
        yield augment(
            scenes.pictures(index),
            positions[index],
            scenes.present[index],
            scenes.mm_per_px[index],
            (recipe.input_height, recipe.input_width),
            rng,
        )


def fit_decoding(
    seen: Observed, start: Decoding, *, width: int, seed: int, threshold: bool = True
) -> tuple[dict[str, float], dict[str, float]]:
    """Fit the numbers of `Decoding`.

    Parameters
    ----------
    seen : Observed
        Pictures that the network never learned from.
    start : Decoding
        What is not fitted: how the network is read.
    width : int
        Of the network's input, in pixels.
    seed : int
        Of the tolerances among which the confidence is fitted.
    threshold : bool
        Whether to fit the threshold of "in view", too.

    Returns
    -------
    decoding : dict
        For the weight card.
    figures : dict
        What the network does on these pictures: errors, shares within 5 mm, missed and invented,
        and how good the confidence is there.
    """
    peak, presence, present = seen.peak, seen.presence, seen.present
    error_px = np.hypot(*(peak.xy - seen.truth).T)
    called = 1 / (1 + np.exp(-presence))
    limit = start.presence_threshold
    if threshold:
        limit = float(np.clip(np.quantile(called[present], MISSED_AT_MOST), *THRESHOLD_RANGE))

    part = width / REFERENCE_WIDTH
    good = present & (error_px < BLUNDER_PX * part)
    if not good.any():  # it has learned nothing: all of its errors are what it is worth
        good = present
    floor, gain = _fit_spread(
        Peak(peak.xy[good], peak.spread[good], peak.mass[good]), seen.truth[good], start
    )
    fitted = replace(start, presence_threshold=limit, sd_floor_px=floor, sd_gain=gain)
    covariance = calibrated_covariance(peak, fitted)
    rng = np.random.default_rng(seed)
    low, high = np.log(TOLERANCE_RANGE_PX) + math.log(part)
    tolerance = np.exp(rng.uniform(low, high, len(error_px)))
    features = confidence_features(peak, presence, covariance, tolerance)
    right = present & (error_px <= tolerance)
    weights = _fit_logistic(features, right)
    names = ("bias", "presence_weight", "mass_weight", "tolerance_weight")
    decoding = asdict(fitted) | dict(zip(names, weights, strict=True))

    figures = _figures(seen, called >= limit)
    told = 1 / (1 + np.exp(-np.clip(features @ np.array(weights), -60, 60)))
    figures["confidence_mean"] = float(told.mean())
    figures["confidence_right"] = float(right.mean())
    figures["confidence_brier"] = float(((told - right) ** 2).mean())
    return decoding, {name: round(value, 4) for name, value in figures.items()}


def _figures(seen: Observed, called: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Errors where the MTJ is in view and called so, in mm if every picture has a scale."""
    found = seen.present & called
    off = (seen.peak.xy - seen.truth)[found]
    figures = {}
    if not found.any():
        pass  # it calls the MTJ in view nowhere, as "missed" says
    elif np.isfinite(seen.mm_per_px).all():
        error_mm = np.hypot(*(off * seen.mm_per_px[found]).T)
        figures = {
            "calibration_mean_mm": float(error_mm.mean()),
            "calibration_median_mm": float(np.median(error_mm)),
            "calibration_within_5mm": float((error_mm <= 5).mean()),
        }
    else:
        error_px = np.hypot(*off.T)
        figures = {
            "calibration_mean_input_px": float(error_px.mean()),
            "calibration_median_input_px": float(np.median(error_px)),
        }
    figures["calibration_missed"] = float((~called[seen.present]).mean())
    if not seen.present.all():
        figures["calibration_invented"] = float(called[~seen.present].mean())
    return figures


def _fit_spread(peak: Peak, truth: FloatArray, start: Decoding) -> tuple[float, float]:
    """Maximum likelihood of the errors under bivariate Gaussians; returns floor and gain."""
    residual = peak.xy - truth
    if not peak.spread.any():  # a network that tells no doubt has one for all pictures
        return float(np.sqrt((residual**2).mean())), start.sd_gain

    def cost(logs: FloatArray) -> float:
        fitted = replace(start, sd_floor_px=math.exp(logs[0]), sd_gain=math.exp(logs[1]))
        covariance = calibrated_covariance(peak, fitted)
        solved = np.linalg.solve(covariance, residual[:, :, None])[:, :, 0]
        distance = (residual * solved).sum(axis=1)
        return float(np.mean(0.5 * distance + 0.5 * np.linalg.slogdet(covariance)[1]))

    best = minimize(cost, np.array([0.0, -0.5]), method="Nelder-Mead")
    return float(np.exp(best.x[0])), float(np.exp(best.x[1]))


def _fit_logistic(features: FloatArray, right: npt.NDArray[np.bool_]) -> list[float]:
    """Logistic regression with a weak ridge; returns one weight a feature."""
    sign = np.where(right, 1.0, -1.0)

    def cost(weights: FloatArray) -> float:
        margin = sign * (features @ weights)
        return float(np.logaddexp(0.0, -margin).mean() + 1e-4 * (weights**2).sum())

    best = minimize(cost, np.zeros(features.shape[1]), method="BFGS")
    return [float(weight) for weight in best.x]

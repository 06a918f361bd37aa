"""Fit what turns a heat map into honest uncertainty, on scenes the network never learned from."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import nn

from napari_deepmtj.inference.decode import (
    Decoding,
    calibrated_covariance,
    confidence_features,
)
from napari_deepmtj.inference.peak import Peak, find_peak
from napari_deepmtj.training.augment import augment
from napari_deepmtj.training.dataset import RenderedScenes

if TYPE_CHECKING:
    from napari_deepmtj.training.recipes import Recipe

FloatArray = npt.NDArray[np.float64]

#: Share of pictures with the MTJ in view that may be called "not in view".
MISSED_AT_MOST = 0.015
#: The threshold stays within these, however the phantom pictures fall.
THRESHOLD_RANGE = (0.2, 0.8)
#: Tolerances in input pixels among which the confidence is fitted; 6.3 % of a 256 px wide
#: input, P20's 5 mm, is 16 px.
TOLERANCE_RANGE_PX = (4.0, 40.0)
#: Errors beyond this many input pixels are blunders, which the confidence speaks of, not the sd.
BLUNDER_PX = 16.0


def fit_decoding(
    recipe: Recipe, network: nn.Module, scenes: RenderedScenes
) -> tuple[dict[str, float], dict[str, float]]:
    """Fit the numbers of `Decoding`.

    Parameters
    ----------
    recipe : Recipe
        Of the run; its label definition and input size.
    network : nn.Module
        In eval mode, on the CPU.
    scenes : RenderedScenes
        Calibration scenes, degraded as in training.

    Returns
    -------
    decoding : dict
        For the weight card.
    figures : dict
        What the network does on these scenes, on degraded pictures: mean error in mm, shares
        within 5 mm, missed and invented.
    """
    peak, presence, truth, present, mm_per_px = _observe(recipe, network, scenes)
    error_px = np.hypot(*(peak.xy - truth).T)
    seen = 1 / (1 + np.exp(-presence))
    threshold = float(np.clip(np.quantile(seen[present], MISSED_AT_MOST), *THRESHOLD_RANGE))

    good = present & (error_px < BLUNDER_PX)
    floor, gain = _fit_spread(
        Peak(peak.xy[good], peak.spread[good], peak.mass[good]),
        truth[good],
        recipe.target_sigma_px,
    )
    fitted = Decoding(
        presence_threshold=threshold,
        target_sigma_px=recipe.target_sigma_px,
        sd_floor_px=floor,
        sd_gain=gain,
    )
    covariance = calibrated_covariance(peak, fitted)
    rng = np.random.default_rng(recipe.seed)
    low, high = np.log(TOLERANCE_RANGE_PX)
    tolerance = np.exp(rng.uniform(low, high, len(error_px)))
    features = confidence_features(peak, presence, covariance, tolerance)
    right = present & (error_px <= tolerance)
    weights = _fit_logistic(features, right)
    names = ("bias", "presence_weight", "mass_weight", "tolerance_weight")
    decoding = asdict(fitted) | dict(zip(names, weights, strict=True))

    called = seen >= threshold
    error_mm = np.hypot(*((peak.xy - truth) * mm_per_px).T)[present & called]
    figures = {
        "calibration_mean_mm": float(error_mm.mean()),
        "calibration_median_mm": float(np.median(error_mm)),
        "calibration_within_5mm": float((error_mm <= 5).mean()),
        "calibration_missed": float((~called[present]).mean()),
        "calibration_invented": float(called[~present].mean()),
    }
    return decoding, {name: round(value, 4) for name, value in figures.items()}


def _observe(
    recipe: Recipe, network: nn.Module, scenes: RenderedScenes
) -> tuple[Peak, FloatArray, FloatArray, npt.NDArray[np.bool_], FloatArray]:
    """Run the network over every scene once, each degraded by its own seed."""
    positions = scenes.positions(recipe.label_thickness_mm)
    peaks, logits, truths, presents, steps = [], [], [], [], []
    rng = torch.Generator().manual_seed(recipe.seed + recipe.calibration.seed)
    for index in torch.split(torch.arange(len(scenes)), recipe.batch):
        batch = augment(
            scenes.pictures(index),
            positions[index],
            scenes.present[index],
            scenes.mm_per_px[index],
            (recipe.input_height, recipe.input_width),
            rng,
        )
        with torch.inference_mode():
            output = network(batch.pictures)
        keep = batch.decided > 0
        size = recipe.input_height, recipe.input_width
        peaks.append(find_peak(output.heatmap[keep], *size, recipe.target_sigma_px))
        logits.append(output.presence[keep].double().numpy())
        truths.append(batch.xy[keep].double().numpy())
        presents.append(batch.present[keep].bool().numpy())
        steps.append(batch.mm_per_px[keep].double().numpy())
    joined = Peak(
        *(np.concatenate([getattr(p, n) for p in peaks]) for n in ("xy", "spread", "mass"))
    )
    return (
        joined,
        np.concatenate(logits),
        np.concatenate(truths),
        np.concatenate(presents),
        np.concatenate(steps),
    )


def _fit_spread(peak: Peak, truth: FloatArray, target_sigma_px: float) -> tuple[float, float]:
    """Maximum likelihood of the errors under bivariate Gaussians; returns floor and gain."""
    residual = peak.xy - truth

    def cost(logs: FloatArray) -> float:
        fitted = Decoding(
            target_sigma_px=target_sigma_px,
            sd_floor_px=math.exp(logs[0]),
            sd_gain=math.exp(logs[1]),
        )
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

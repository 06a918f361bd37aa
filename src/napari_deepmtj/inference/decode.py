"""From a network's output to a position, its covariance and a calibrated confidence.

Everything here is in pixels of the network's input, pixel centres at integers; the predictor
maps it into the frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.inference.peak import Peak, find_peak
from napari_deepmtj.inference.published import component, regressed
from napari_deepmtj.networks.interface import NetworkOutput

FloatArray = npt.NDArray[np.float64]

#: Share of truths that the region of a covariance C holds: where (x - xy)^T C^-1 (x - xy) is at
#: most `REGION`, the quantile of a chi-squared variable with two degrees of freedom.
COVERAGE = 0.9
REGION = -2.0 * math.log1p(-COVERAGE)

#: Decoding numbers that stand for two.
_OF_BOTH_AXES = {
    "sd_floor_px": ("sd_floor_x_px", "sd_floor_y_px"),
    "sd_gain": ("sd_gain_x", "sd_gain_y"),
}


@dataclass(frozen=True)
class Decoding:
    """Fitted numbers that turn a heat map into honest uncertainty.

    Parameters
    ----------
    presence_threshold : float
        Probability of "in view" from which on the MTJ counts as in view.
    label_width : float
        For coordinate regressors: width in pixels of the crop in which labels were scaled to
        0..1; 0 for the width of the input.
    target_sigma_px : float
        Sigma in input pixels of the Gaussian that the heat map was trained to draw; this much
        of its spread is drawing, not doubt.
    sd_floor_x_px, sd_floor_y_px, sd_gain_x, sd_gain_y : float
        Shape of the covariance: on each axis of the picture, which is along and across the tendon
        as far as a probe lies along it, floor^2 + gain^2 * (spread beyond the target's), in input
        pixels. Along the tendon nobody points as exactly as across it.
    region_scale, reach_power : float
        Its size: standard deviations are multiplied by
        region_scale * (reach / that of a perfect map)^reach_power, see `Peak`, so that the
        ellipse of `REGION` holds the truth in `COVERAGE` of pictures, doubtful ones included.
    bias, presence_weight, mass_weight, tolerance_weight : float
        Logistic regression for "within tolerance" on the presence logit, the logit of the mass
        near the peak, and the log of tolerance over sd.
    offset_distal_mm, offset_deep_mm : float
        How much further distally and deeper than this network a laboratory labels; see
        `inference.offset`.
    """

    presence_threshold: float = 0.5
    label_width: float = 0.0
    target_sigma_px: float = 5.0
    sd_floor_x_px: float = 1.0
    sd_floor_y_px: float = 1.0
    sd_gain_x: float = 1.0
    sd_gain_y: float = 1.0
    region_scale: float = 1.0
    reach_power: float = 0.0
    bias: float = 0.0
    presence_weight: float = 0.0
    mass_weight: float = 1.0
    tolerance_weight: float = 0.0
    offset_distal_mm: float = 0.0
    offset_deep_mm: float = 0.0

    @classmethod
    def from_card(cls, values: Mapping[str, float]) -> Decoding:
        """Read the `decoding` of a weight card; some cards have one number for both axes.

        Raises
        ------
        WeightsError
            If it holds a number this version does not know.
        """
        values = dict(values)
        for old, new in _OF_BOTH_AXES.items():
            if old in values:
                values |= dict.fromkeys(new, values.pop(old))
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise WeightsError(
                f"the model's card has unknown decoding numbers ({', '.join(sorted(unknown))}); "
                "update napari-deepmtj"
            )
        return cls(**{name: float(value) for name, value in values.items()})


@dataclass(frozen=True)
class Decoded:
    """B decoded pictures, in pixels of the network's input.

    Parameters
    ----------
    xy : ndarray of float64, shape (B, 2)
        (x, y), sub-pixel.
    covariance : ndarray of float64, shape (B, 2, 2)
        Of (x, y), in px^2; its ellipse of `REGION` is the 90 % region.
    confidence : ndarray of float64, shape (B,)
        Probability of being in view and within tolerance, 0..1.
    in_view : ndarray of bool, shape (B,)
        Whether the MTJ counts as in view.
    unfamiliar : ndarray of bool, shape (B,), or None
        Whether the picture is unlike what the model is meant for; None if it cannot tell.
    """

    xy: FloatArray
    covariance: FloatArray
    confidence: FloatArray
    in_view: npt.NDArray[np.bool_]
    unfamiliar: npt.NDArray[np.bool_] | None = None


def decode(
    output: NetworkOutput,
    decoding: Mapping[str, float],
    *,
    height: int,
    width: int,
    tolerance_px: float,
) -> Decoded:
    """Decode a batch.

    Parameters
    ----------
    output : NetworkOutput
        Of B pictures; arrays, or tensors on the CPU.
    decoding : mapping
        The weight card's fitted numbers, see `Decoding`.
    height, width : int
        Size of the network's input in pixels.
    tolerance_px : float
        Distance in input pixels within which a position counts as right.

    Raises
    ------
    WeightsError
        If the network gives no position.
    """
    fitted = Decoding.from_card(decoding)
    peak, presence = observe(output, fitted, height, width)
    covariance = calibrated_covariance(peak, fitted)
    weights = [fitted.bias, fitted.presence_weight, fitted.mass_weight, fitted.tolerance_weight]
    logit = confidence_features(peak, presence, covariance, tolerance_px) @ np.array(weights)
    return Decoded(
        xy=peak.xy,
        covariance=covariance,
        confidence=_sigmoid(logit),
        in_view=_sigmoid(presence) >= fitted.presence_threshold,
    )


def observe(
    output: NetworkOutput, fitted: Decoding, height: int, width: int
) -> tuple[Peak, FloatArray]:
    """Return what a network says before calibration: its peaks and presence logits (B,).

    Which of the three ways to read it is the right one shows in what it gives: coordinates
    (P20), a heat map with presence (the default network), or a probability map (P21).
    """
    if output.xy is not None:
        return regressed(output.xy, height, width, fitted.label_width or width)
    if output.heatmap is None:
        raise WeightsError("this network gives neither a heat map nor coordinates")
    if output.presence is None:
        return component(output.heatmap, height, width, fitted.presence_threshold)
    peak = find_peak(output.heatmap, height, width, fitted.target_sigma_px)
    return peak, np.asarray(output.presence, dtype=np.float64)


def calibrated_covariance(peak: Peak, fitted: Decoding) -> FloatArray:
    """Turn the maps' spread into the covariance of the position, (B, 2, 2) in input px^2."""
    covariance: FloatArray = (
        shape_of(excess(peak, fitted.target_sigma_px), fitted)
        * (fitted.region_scale * doubt(peak, fitted.target_sigma_px) ** fitted.reach_power)[
            :, None, None
        ]
        ** 2
    )
    return covariance


def excess(peak: Peak, sigma_px: float) -> FloatArray:
    """Return the spread (B, 2, 2) beyond that of the Gaussian that a map was trained to draw."""
    # A map sharper than its target carries no doubt: clip at 0 along its axes.
    values, vectors = np.linalg.eigh(peak.spread - sigma_px**2 * np.eye(2))
    beyond: FloatArray = (vectors * np.maximum(values, 0.0)[:, None, :]) @ vectors.transpose(
        0, 2, 1
    )
    return beyond


def shape_of(beyond: FloatArray, fitted: Decoding) -> FloatArray:
    """Return covariances (B, 2, 2) up to their size, from the spread of `excess`."""
    floor = np.array([fitted.sd_floor_x_px, fitted.sd_floor_y_px])
    gain = np.array([fitted.sd_gain_x, fitted.sd_gain_y])
    shaped: FloatArray = np.diag(floor**2) + np.outer(gain, gain) * beyond
    return shaped


def doubt(peak: Peak, sigma_px: float) -> FloatArray:
    """Return the reach (B,) relative to a perfect map's, not below a half of it; 1 if not told."""
    perfect = math.sqrt(2.0) * sigma_px
    relative: FloatArray = np.where(peak.reach > 0, np.maximum(peak.reach / perfect, 0.5), 1.0)
    return relative


def confidence_features(
    peak: Peak, presence: FloatArray, covariance: FloatArray, tolerance_px: float | FloatArray
) -> FloatArray:
    """Return what the confidence is a logistic regression on, shape (B, 4): 1 and three logs."""
    mass = np.clip(peak.mass, 1e-4, 1 - 1e-4)
    sd = np.sqrt(np.trace(covariance, axis1=1, axis2=2))
    return np.stack(
        [
            np.ones_like(sd),
            np.clip(presence, -8.0, 8.0),
            np.log(mass) - np.log1p(-mass),
            np.log(tolerance_px / sd),
        ],
        axis=1,
    )


def _sigmoid(value: FloatArray) -> FloatArray:
    positive: FloatArray = 1.0 / (1.0 + np.exp(-np.clip(value, -60.0, 60.0)))
    return positive

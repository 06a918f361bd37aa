"""From a network's maps to a position, its covariance and a calibrated confidence.

Everything here is in pixels of the network's input, pixel centres at integers; the predictor
maps it into the frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.networks.interface import NetworkOutput

FloatArray = npt.NDArray[np.float64]

#: Half width, in heat-map pixels, of the window around the peak whose centroid is the position.
PEAK_RADIUS = 3
#: The same for the second moments behind the covariance.
SPREAD_RADIUS = 8


@dataclass(frozen=True)
class Decoding:
    """Fitted numbers that turn a heat map into honest uncertainty.

    Parameters
    ----------
    presence_threshold : float
        Probability of "in view" from which on the MTJ counts as in view.
    target_sigma_px : float
        Sigma in input pixels of the Gaussian that the heat map was trained to draw; this much
        of its spread is drawing, not doubt.
    sd_floor_px, sd_gain : float
        variance = floor^2 + gain^2 * (spread beyond the target's), in input pixels.
    bias, presence_weight, mass_weight, tolerance_weight : float
        Logistic regression for "within tolerance" on the presence logit, the logit of the mass
        near the peak, and the log of tolerance over sd.
    """

    presence_threshold: float = 0.5
    target_sigma_px: float = 5.0
    sd_floor_px: float = 1.0
    sd_gain: float = 1.0
    bias: float = 0.0
    presence_weight: float = 0.0
    mass_weight: float = 1.0
    tolerance_weight: float = 0.0

    @classmethod
    def from_card(cls, values: Mapping[str, float]) -> Decoding:
        """Read the `decoding` of a weight card.

        Raises
        ------
        WeightsError
            If it holds a number this version does not know.
        """
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
        Of (x, y), in px^2.
    confidence : ndarray of float64, shape (B,)
        Probability of being in view and within tolerance, 0..1.
    in_view : ndarray of bool, shape (B,)
        Whether the MTJ counts as in view.
    attention : ndarray of float32, shape (B, h, w), or None
        Combined attention map, non-negative, maximum 1.
    """

    xy: FloatArray
    covariance: FloatArray
    confidence: FloatArray
    in_view: npt.NDArray[np.bool_]
    attention: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class Peak:
    """What a heat map says before any calibration, each a float64 array over B pictures."""

    xy: FloatArray
    spread: FloatArray
    mass: FloatArray


def decode(
    output: NetworkOutput,
    decoding: Mapping[str, float],
    *,
    height: int,
    width: int,
    tolerance_px: float,
    attention: bool = False,
) -> Decoded:
    """Decode a batch.

    Parameters
    ----------
    output : NetworkOutput
        Of B pictures.
    decoding : mapping
        The weight card's fitted numbers, see `Decoding`.
    height, width : int
        Size of the network's input in pixels.
    tolerance_px : float
        Distance in input pixels within which a position counts as right.
    attention : bool
        Whether to combine the attention maps.

    Raises
    ------
    WeightsError
        If the network gives no heat map.
    """
    if output.heatmap is None or output.presence is None:
        raise WeightsError("this network draws no heat map; this version cannot decode it")
    fitted = Decoding.from_card(decoding)
    peak = find_peak(output.heatmap, height, width, fitted.target_sigma_px)
    presence = output.presence.double().cpu().numpy()
    covariance = calibrated_covariance(peak, fitted)
    weights = [fitted.bias, fitted.presence_weight, fitted.mass_weight, fitted.tolerance_weight]
    logit = confidence_features(peak, presence, covariance, tolerance_px) @ np.array(weights)
    return Decoded(
        xy=peak.xy,
        covariance=covariance,
        confidence=_sigmoid(logit),
        in_view=_sigmoid(presence) >= fitted.presence_threshold,
        attention=combine_attention(output.attention) if attention else None,
    )


def find_peak(heatmap: Tensor, height: int, width: int, sigma_px: float) -> Peak:
    """Find the heaviest spot of each heat map, its centroid, spread and mass.

    Parameters
    ----------
    heatmap : Tensor, shape (B, h, w)
        Logits.
    height, width : int
        Size of the input in pixels, a multiple of the map's.
    sigma_px : float
        Sigma in input pixels of the Gaussian that the network was trained to draw.

    Returns
    -------
    Peak
        Position (B, 2) and second moments (B, 2, 2) in input pixels, and the share of
        probability (B,) within `PEAK_RADIUS` of the peak.
    """
    n, rows, columns = heatmap.shape
    probability = heatmap.float().flatten(1).softmax(dim=1).view(n, 1, rows, columns)
    size = 2 * PEAK_RADIUS + 1
    # The heaviest window, not the highest pixel: a lone spike is no junction.
    near = F.avg_pool2d(probability, 3, stride=1, padding=1, count_include_pad=False)
    best = near.flatten(1).argmax(dim=1)
    centre = torch.stack([best % columns, best // columns], dim=1)
    xy, _, mass = _moments(probability[:, 0], centre, size // 2)
    _, spread, _ = _moments(probability[:, 0], xy.round().long(), SPREAD_RADIUS)
    step = torch.tensor([width / columns, height / rows], dtype=torch.float64)
    position = ((xy.cpu() + 0.5) * step - 0.5).numpy()
    axes = ((width, columns), (height, rows))
    return Peak(
        xy=np.stack(
            [_unpushed(position[:, i], *axis, sigma_px) for i, axis in enumerate(axes)], axis=1
        ),
        spread=(spread.cpu() * torch.outer(step, step)).numpy(),
        mass=mass.cpu().numpy(),
    )


def _unpushed(seen: FloatArray, size: int, cells: int, sigma_px: float) -> FloatArray:
    """Undo how the border pushes centroids inwards, along one axis of `size` input pixels.

    The Gaussian that a network learns to draw is cut off at the border, so the centroid of even
    a perfect map lies 0.8 sigma too far inside where the MTJ is on the border, and 0.25 sigma
    where it is one sigma away. Here the centroid of a cut-off Gaussian is inverted.
    """
    cell = (np.arange(cells) + 0.5) * (size / cells) - 0.5
    centre = np.linspace(-0.5, size - 0.5, 8 * size + 1)
    squares = ((cell - centre[:, None]) / sigma_px) ** 2
    weight = np.exp(-0.5 * (squares - squares.min(axis=1, keepdims=True)))
    found: FloatArray = np.interp(seen, (weight @ cell) / weight.sum(axis=1), centre)
    return found


def _moments(probability: Tensor, centre: Tensor, radius: int) -> tuple[Tensor, Tensor, Tensor]:
    """Centroid (B, 2), covariance (B, 2, 2) and mass (B,) of the windows around `centre`."""
    rows, columns = probability.shape[-2:]
    device = probability.device
    x = torch.arange(columns, device=device)[None, None, :]
    y = torch.arange(rows, device=device)[None, :, None]
    cx, cy = centre[:, 0, None, None], centre[:, 1, None, None]
    window = ((x - cx).abs() <= radius) & ((y - cy).abs() <= radius)
    weight = probability * window
    mass = weight.sum(dim=(1, 2)).double()
    share = weight.double() / mass[:, None, None].clamp(min=1e-12)
    mx = (share * x).sum(dim=(1, 2))
    my = (share * y).sum(dim=(1, 2))
    dx, dy = x - mx[:, None, None], y - my[:, None, None]
    xx = (share * dx * dx).sum(dim=(1, 2))
    yy = (share * dy * dy).sum(dim=(1, 2))
    xy = (share * dx * dy).sum(dim=(1, 2))
    covariance = torch.stack([xx, xy, xy, yy], dim=1).view(-1, 2, 2)
    return torch.stack([mx, my], dim=1), covariance, mass


def calibrated_covariance(peak: Peak, fitted: Decoding) -> FloatArray:
    """Turn the maps' spread into the covariance of the position, (B, 2, 2) in input px^2."""
    eye = np.eye(2)
    excess = peak.spread - fitted.target_sigma_px**2 * eye
    # A map sharper than its target carries no doubt: clip the excess at 0 along its axes.
    values, vectors = np.linalg.eigh(excess)
    excess = (vectors * np.maximum(values, 0.0)[:, None, :]) @ vectors.transpose(0, 2, 1)
    covariance: FloatArray = fitted.sd_floor_px**2 * eye + fitted.sd_gain**2 * excess
    return covariance


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


def combine_attention(maps: tuple[Tensor, ...]) -> npt.NDArray[np.float32] | None:
    """Combine attention maps as P20 does: the two finest, at one size, multiplied.

    Returns
    -------
    ndarray of float32, shape (B, h, w), or None
        Of the finest map's size, each picture's maximum scaled to 1; None without maps.
    """
    if not maps:
        return None
    finest = maps[-1].float()
    if len(maps) > 1:
        coarser = F.interpolate(
            maps[-2].float()[:, None], size=finest.shape[-2:], mode="bilinear", align_corners=False
        )
        finest = finest * coarser[:, 0]
    highest = finest.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    combined: npt.NDArray[np.float32] = (finest / highest).cpu().numpy()
    return combined


def _sigmoid(value: FloatArray) -> FloatArray:
    positive: FloatArray = 1.0 / (1.0 + np.exp(-np.clip(value, -60.0, 60.0)))
    return positive

"""What the default network's heat map says, before any calibration: peak, spread, mass, reach.

Positions are in pixels of the network's input, pixel centres at integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

FloatArray = npt.NDArray[np.float64]

#: Half width, in heat-map pixels, of the window around the peak whose centroid is the position.
PEAK_RADIUS = 3
#: The same for the second moments behind the covariance.
SPREAD_RADIUS = 8


@dataclass(frozen=True)
class Peak:
    """What a network says before any calibration, in pixels of the network's input.

    Parameters
    ----------
    xy : ndarray of float64, shape (B, 2)
        (x, y), sub-pixel.
    spread : ndarray of float64, shape (B, 2, 2)
        Second moments around it, in px^2.
    mass : ndarray of float64, shape (B,)
        Share of probability near it, 0..1.
    reach : ndarray of float64, shape (B,)
        Root mean square distance in px of all the map's probability from it, other spots
        included; 0 where a network tells none.
    """

    xy: FloatArray
    spread: FloatArray
    mass: FloatArray
    reach: FloatArray


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
        Position (B, 2), second moments (B, 2, 2) and reach (B,) in input pixels, and the share
        of probability (B,) within `PEAK_RADIUS` of the peak.
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
    found = np.stack(
        [_unpushed(position[:, i], *axis, sigma_px) for i, axis in enumerate(axes)], axis=1
    )
    return Peak(
        xy=found,
        spread=(spread.cpu() * torch.outer(step, step)).numpy(),
        mass=mass.cpu().numpy(),
        reach=_reach(probability[:, 0].double().cpu().numpy(), found, step.numpy()),
    )


def _reach(probability: FloatArray, xy: FloatArray, step: FloatArray) -> FloatArray:
    """Root mean square distance (B,) of maps (B, h, w) from positions (B, 2), in input pixels."""
    squares: FloatArray = np.zeros(len(xy))
    for i, over in enumerate(("brc->bc", "brc->br")):
        marginal = np.einsum(over, probability)
        cell = (np.arange(marginal.shape[1]) + 0.5) * step[i] - 0.5
        squares += ((cell - xy[:, i, None]) ** 2 * marginal).sum(axis=1)
    return np.sqrt(squares)


def _unpushed(seen: FloatArray, size: int, cells: int, sigma_px: float) -> FloatArray:
    """Undo how the border pushes centroids inwards, along one axis of `size` input pixels.

    The Gaussian that a network learns to draw is cut off at the border, so the centroid of even
    a perfect map lies 0.8 sigma too far inside where the MTJ is on the border, and 0.25 sigma
    where it is one sigma away. Here the centroid of a cut-off Gaussian is inverted.
    """
    found: FloatArray = np.interp(seen, *_pushed(size, cells, sigma_px))
    return found


@cache
def _pushed(size: int, cells: int, sigma_px: float) -> tuple[FloatArray, FloatArray]:
    """Return centroids of cut-off Gaussians, ascending, and where their centres are."""
    cell = (np.arange(cells) + 0.5) * (size / cells) - 0.5
    centre = np.linspace(-0.5, size - 0.5, 8 * size + 1)
    squares = ((cell - centre[:, None]) / sigma_px) ** 2
    weight = np.exp(-0.5 * (squares - squares.min(axis=1, keepdims=True)))
    return (weight @ cell) / weight.sum(axis=1), centre


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

"""What the default network's heat map says, before any calibration: peak, spread, mass, reach.

Positions are in pixels of the network's input, pixel centres at integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Half width, in heat-map pixels, of the window around the peak whose centroid is the position.
PEAK_RADIUS = 3
#: The same for the second moments behind the covariance.
SPREAD_RADIUS = 8

#: Probability that is none: what is divided by it is 0 already.
_NOTHING = 1e-12


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


def find_peak(heatmap: npt.ArrayLike, height: int, width: int, sigma_px: float) -> Peak:
    """Find the heaviest spot of each heat map, its centroid, spread and mass.

    Parameters
    ----------
    heatmap : array-like, shape (B, h, w)
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
    logits = np.asarray(heatmap, dtype=np.float32)
    rows, columns = logits.shape[1:]
    probability = _softmax(logits)
    centre = _heaviest(probability)
    near = _moments(probability, centre, PEAK_RADIUS)
    mass = near[:, 0, 0]
    xy = centre + near[:, [0, 1], [1, 0]] / np.maximum(mass, _NOTHING)[:, None]
    centre = np.rint(xy)
    around = _moments(probability, centre, SPREAD_RADIUS)
    step = np.array([width / columns, height / rows])
    position = (xy + 0.5) * step - 0.5
    axes = ((width, columns), (height, rows))
    found = np.stack(
        [_unpushed(position[:, i], *axis, sigma_px) for i, axis in enumerate(axes)], axis=1
    )
    everything = _moments(probability, centre, max(rows, columns))
    return Peak(
        xy=found,
        spread=_covariance(around) * np.outer(step, step),
        mass=mass,
        reach=_reach(everything, (found + 0.5) / step - 0.5 - centre, step),
    )


def _softmax(logits: npt.NDArray[np.float32]) -> FloatArray:
    """Turn logits (B, h, w) into probabilities."""
    weight = np.exp(logits - logits.max(axis=(1, 2), keepdims=True)).astype(np.float64)
    probability: FloatArray = weight / weight.sum(axis=(1, 2), keepdims=True)
    return probability


def _heaviest(probability: FloatArray) -> FloatArray:
    """Return the centre (B, 2), as (x, y), of the heaviest 3 x 3 pixels of each map.

    Not the highest pixel: a lone spike is no junction. At the border fewer pixels are averaged.
    """
    rows, columns = probability.shape[1:]
    beside = probability.copy()
    beside[:, :, 1:] += probability[:, :, :-1]
    beside[:, :, :-1] += probability[:, :, 1:]
    mean = beside.copy()
    mean[:, 1:] += beside[:, :-1]
    mean[:, :-1] += beside[:, 1:]
    mean *= _one_of(rows)[:, None] * _one_of(columns)
    best = mean.reshape(len(mean), -1).argmax(axis=1)
    return np.stack([best % columns, best // columns], axis=1).astype(np.float64)


def _one_of(size: int) -> FloatArray:
    """Return one part of as many as there are pixels at most one away, along one axis."""
    parts = np.full(size, 1.0 / min(size, 3))
    parts[[0, -1]] = 1.0 / min(size, 2)
    return parts


def _moments(probability: FloatArray, centre: FloatArray, radius: int) -> FloatArray:
    """Return the moments of the square windows around pixels.

    Parameters
    ----------
    probability : ndarray of float64, shape (B, h, w)
        Maps.
    centre : ndarray of float64, shape (B, 2)
        Pixels, (x, y), about which moments are taken.
    radius : int
        Half width of the windows; what of them lies outside the maps is nothing.

    Returns
    -------
    ndarray of float64, shape (B, 3, 3)
        At [:, i, j] the sum of probability * dy^i * dx^j, in pixels of the map. A window is a
        product of one along each axis, so this is a product of three matrices.
    """
    across, down = (
        _powers(size, centre[:, i], radius)
        for i, size in enumerate((probability.shape[2], probability.shape[1]))
    )
    moments: FloatArray = down @ probability @ across.transpose(0, 2, 1)
    return moments


def _powers(size: int, centre: FloatArray, radius: int) -> FloatArray:
    """Return d^0, d^1, d^2 (B, 3, size) of the distances from centres (B,); 0 beyond a radius."""
    off = np.arange(size) - centre[:, None]
    inside = (np.abs(off) <= radius).astype(np.float64)
    first = inside * off
    return np.stack([inside, first, first * off], axis=1)


def _covariance(moments: FloatArray) -> FloatArray:
    """Return the covariance (B, 2, 2) of (x, y) from moments (B, 3, 3)."""
    share = moments / np.maximum(moments[:, :1, :1], _NOTHING)
    x, y = share[:, 0, 1], share[:, 1, 0]
    xx, yy, xy = share[:, 0, 2] - x * x, share[:, 2, 0] - y * y, share[:, 1, 1] - x * y
    return np.stack([xx, xy, xy, yy], axis=1).reshape(-1, 2, 2)


def _reach(moments: FloatArray, off: FloatArray, step: FloatArray) -> FloatArray:
    """Return the root mean square distance (B,) from positions, in input pixels.

    Parameters
    ----------
    moments : ndarray of float64, shape (B, 3, 3)
        Those of whole maps.
    off : ndarray of float64, shape (B, 2)
        The positions, (x, y) in pixels of the map from where the moments are taken about.
    step : ndarray of float64, shape (2,)
        Input pixels of a pixel of the map.
    """
    first, second = moments[:, [0, 1], [1, 0]], moments[:, [0, 2], [2, 0]]
    squares = (second - 2.0 * off * first + off**2 * moments[:, :1, 0]) * step**2
    reach: FloatArray = np.sqrt(squares.sum(axis=1))
    return reach


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

"""What the maps and numbers of the published networks say, before any calibration.

The default network's heat map is read in `decode.py`, which also calibrates all of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_deepmtj.inference.peak import Peak

FloatArray = npt.NDArray[np.float64]

#: Presence logit of a network that always gives a position (P20's regressors).
ALWAYS = 8.0


def regressed(
    xy: npt.ArrayLike, height: int, width: int, label_width: float
) -> tuple[Peak, FloatArray]:
    """Read the two sigmoid units of P20's networks (Leitner et al. 2020).

    Parameters
    ----------
    xy : array-like, shape (B, 2)
        (x, y) in 0..1 of the crop: 0 and 1 are the centres of its first and last pixels.
    height, width : int
        Size of the network's input in pixels.
    label_width : float
        Width in pixels of the crop in which labels were scaled to 0..1 (512 in the paper); its
        height is in proportion to the input.

    Returns
    -------
    peak : Peak
        Without spread and with half the mass near it: such a network tells no doubt.
    presence : ndarray, shape (B,)
        `ALWAYS`.
    """
    share = np.asarray(xy, dtype=np.float64)
    n = len(share)
    size = np.array([width, height], dtype=np.float64)
    crop = label_width * size / width
    position = (share * (crop - 1) + 0.5) * (size / crop) - 0.5
    peak = Peak(position, np.zeros((n, 2, 2)), np.full(n, 0.5), np.zeros(n))
    return peak, np.full(n, ALWAYS)


def component(
    heatmap: npt.ArrayLike, height: int, width: int, threshold: float
) -> tuple[Peak, FloatArray]:
    """Read P21's probability map: the largest region above a threshold (Leitner et al. 2022).

    Parameters
    ----------
    heatmap : array-like, shape (B, h, w)
        Logits; their sigmoid is the probability of the MTJ at each pixel.
    height, width : int
        Size of the network's input in pixels.
    threshold : float
        Probability from which on a pixel belongs to a region; 0.5 in the paper.

    Returns
    -------
    peak : Peak
        The probability-weighted centroid of the largest region (by area), its second moments,
        and its highest probability. Where no pixel reaches the threshold, those of the
        likeliest pixel.
    presence : ndarray, shape (B,)
        Logit of the highest probability: below that of the threshold there is no region.
    """
    from scipy import ndimage

    logits = np.asarray(heatmap, dtype=np.float64)
    probability = 1.0 / (1.0 + np.exp(-np.clip(logits, -700.0, 700.0)))
    n, rows, columns = probability.shape
    xy, spread, mass = np.empty((n, 2)), np.zeros((n, 2, 2)), np.empty(n)
    for i, picture in enumerate(probability):
        above = picture >= threshold
        if above.any():
            regions, _ = ndimage.label(above)
            region = regions == 1 + np.argmax(np.bincount(regions.ravel())[1:])
        else:
            region = picture == picture.max()
        y, x = np.nonzero(region)
        weight = picture[region] / picture[region].sum()
        xy[i] = x @ weight, y @ weight
        off = np.stack([x, y], axis=1) - xy[i]
        spread[i] = (weight[:, None] * off).T @ off
        mass[i] = picture[region].max()
    step = np.array([width / columns, height / rows])
    top = np.clip(probability.max(axis=(1, 2)), 1e-6, 1 - 1e-6)
    peak = Peak((xy + 0.5) * step - 0.5, spread * np.outer(step, step), mass, np.zeros(n))
    return peak, np.log(top) - np.log1p(-top)

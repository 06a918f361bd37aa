"""What a frame looks like in a few numbers, so that frames can be chosen for being different.

Reading frames is `io`; which of them are asked for is decided by `strategies` and `useful`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Roi

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

FloatArray = npt.NDArray[np.float64]

#: Rows and columns of a thumbnail. The muscle's wedge, some 10 mm of a picture 60 to 80 mm wide,
#: covers several of its pixels; speckle, of about a millimetre, averages out.
THUMBNAIL = (16, 32)


def thumbnail(picture: npt.NDArray[np.uint8], roi: Roi | None = None) -> FloatArray:
    """Return a picture averaged over areas, with mean 0 and standard deviation 1.

    Parameters
    ----------
    picture : ndarray of uint8, shape (H, W)
        Grey levels.
    roi : Roi, optional
        The part that counts; the whole picture by default.

    Returns
    -------
    ndarray, shape (16 * 32,)
        Row by row; zeros if all is one grey. Where the region has fewer pixels, they repeat.
    """
    region = picture if roi is None else picture[roi.slices]
    small = region.astype(np.float64)
    for axis, wanted in enumerate(THUMBNAIL):
        edges = np.arange(wanted + 1) * small.shape[axis] // wanted
        sums = np.add.reduceat(small, edges[:-1], axis=axis)  # of at least one pixel each
        small = sums / np.expand_dims(np.maximum(np.diff(edges), 1), 1 - axis)
    flat = small.ravel() - small.mean()
    spread = float(flat.std())
    return flat / spread if spread > 0 else np.zeros_like(flat)


def thumbnails(source: VideoSource, frames: Iterable[int]) -> FloatArray:
    """Return the thumbnails of some frames of a clip's region, shape (n, 16 * 32)."""
    return np.array([thumbnail(source.read(frame), source.roi) for frame in frames])


def most_different(features: FloatArray, n: int, seed: int) -> list[int]:
    """Choose `n` rows that represent all: k-means, and the row nearest to each centre.

    The first centres are rows as far apart as can be, from a random one on. Where two centres
    have the same nearest row, the row farthest from those chosen fills up; of rows that are equal
    one is chosen at most.

    Parameters
    ----------
    features : ndarray, shape (rows, d)
        One row a frame.
    n : int
        How many.
    seed : int
        Of the first centre.

    Returns
    -------
    list of int
        Row numbers, increasing; fewer than `n` if fewer rows differ.
    """
    from scipy.cluster.vq import kmeans, vq

    distinct, rows = np.unique(features, axis=0, return_index=True)
    if len(distinct) <= n:
        return sorted(rows.tolist())
    first = int(np.random.default_rng(seed).integers(len(distinct)))
    centres, _ = kmeans(distinct, distinct[_far_apart(distinct, [first], n)])
    nearest, _ = vq(centres, distinct)
    chosen = _far_apart(distinct, sorted(set(nearest.tolist())), n)
    return sorted(rows[chosen].tolist())


def _far_apart(features: FloatArray, chosen: list[int], n: int) -> list[int]:
    """Add to the rows chosen, one after the other, the one farthest from all of them."""
    from scipy.cluster.vq import vq

    _, distance = vq(features, features[chosen])
    chosen = list(chosen)
    while len(chosen) < n:
        chosen.append(int(distance.argmax()))
        _, added = vq(features, features[chosen[-1:]])
        distance = np.minimum(distance, added)
    return chosen

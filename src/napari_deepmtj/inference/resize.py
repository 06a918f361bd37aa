"""Resizing on the CPU: the triangle filter as products of small matrices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]

#: Pixels after resizing whose weights make one matrix: few, so that little of it is zero.
BLOCK = 8

#: Rows of one product: so few that BLAS does not share it among threads, which would take the cores
#: that decode the clip.
ROWS = 256

#: Which pixels after (slice) come of which before (slice), by which weights (before, after).
Block = tuple[slice, slice, npt.NDArray[np.float32]]


def resize(pictures: UInt8Array, height: int, width: int) -> UInt8Array:
    """Return pictures of another size.

    The triangle filter, which widens when shrinking, so that nothing aliases, and is linear
    interpolation when enlarging; pixel centres are at half pixels. As torch and Pillow do with
    bytes, rows are filtered and rounded, then columns: grey levels are theirs but for three in a
    thousand, which differ by 1, because weights are not rounded here.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (B, h, w)
        Grey levels; how many come together does not change any.
    height, width : int
        Size in pixels.

    Returns
    -------
    ndarray of uint8, shape (B, height, width)
    """
    n, rows, columns = pictures.shape
    across, down = _blocks(columns, width), _blocks(rows, height)
    out = np.empty((n, height, width), np.uint8)
    grey = np.empty((rows, columns), np.float32)
    narrow = np.empty((rows, width), np.float32)
    small = np.empty((height, width), np.float32)
    for picture, result in zip(pictures, out, strict=True):
        np.copyto(grey, picture)
        for start in range(0, rows, ROWS):
            part, target = grey[start : start + ROWS], narrow[start : start + ROWS]
            for after, before, weights in across:
                np.matmul(part[:, before], weights, out=target[:, after])
        narrow += 0.5
        np.floor(narrow, out=narrow)
        for after, before, weights in down:
            np.matmul(weights.T, narrow[before], out=small[after])
        small += 0.5
        np.copyto(result, small, casting="unsafe")
    return out


@lru_cache(maxsize=16)
def _blocks(size: int, resized: int) -> Sequence[Block]:
    """Return the weights along one axis, a few pixels after resizing at a time."""
    weights = triangle_weights(size, resized)
    blocks = []
    for start in range(0, resized, BLOCK):
        rows = weights[start : start + BLOCK]
        (used,) = np.nonzero(rows.any(axis=0))
        before = slice(int(used[0]), int(used[-1]) + 1)
        after = slice(start, start + len(rows))
        blocks.append((after, before, np.ascontiguousarray(rows[:, before].T, np.float32)))
    return tuple(blocks)


def triangle_weights(size: int, resized: int) -> FloatArray:
    """Return what the triangle filter takes of each pixel along one axis.

    Parameters
    ----------
    size, resized : int
        Pixels before and after.

    Returns
    -------
    ndarray of float64, shape (resized, size)
        Rows add up to 1.
    """
    step = size / resized
    support = max(step, 1.0)
    weights = np.zeros((resized, size))
    for row in range(resized):
        centre = step * (row + 0.5)
        first = max(int(centre - support + 0.5), 0)
        pixels = np.arange(first, min(int(centre + support + 0.5), size))
        share = np.clip(1.0 - np.abs((pixels - centre + 0.5) / support), 0.0, None)
        weights[row, pixels] = share / share.sum()
    return weights

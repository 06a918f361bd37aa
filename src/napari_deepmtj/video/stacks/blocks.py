"""Arrays that are stored in blocks of several frames: a block is decoded once, not once a frame."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from napari_deepmtj.errors import VideoError

#: A larger block is not kept, and is decoded for every frame.
KEPT_BYTES = 2**28


def require_blocks(chunk: Sequence[int] | None, dtype: Any, most: int, name: str) -> None:
    """Raise `VideoError` if one block takes more memory than `most` bytes."""
    size = math.prod(chunk or (0,)) * np.dtype(dtype).itemsize
    if size > most:
        raise VideoError(
            f"is stored in blocks of {size / 2**30:.3g} GiB, at most {most / 2**30:.3g} are read; "
            "write it again in blocks of one frame",
            path=name,
        )


class Blocks:
    """An array of which the block of frames that was last read is kept; not safe from threads.

    Parameters
    ----------
    array : array-like
        Shape (T, ...), numpy, dask, Zarr or HDF5; its `chunks` say how it is stored.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: Any = array.dtype
        self._ends = _ends(array)
        self._first = 0
        self._block: Any = ()

    def __getitem__(self, frame: int) -> Any:
        if self._first <= frame < self._first + len(self._block):
            return self._block[frame - self._first]
        if not self._ends:
            return self._array[frame]
        at = bisect_right(self._ends, frame)
        first, stop = self._ends[at - 1] if at else 0, self._ends[at]
        size = math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize * (stop - first)
        if stop - first < 2 or size > KEPT_BYTES:
            return self._array[frame]
        self._block = np.asarray(self._array[first:stop])
        self._first = first
        return self._block[frame - first]


def _ends(array: Any) -> list[int]:
    """Return where along the first axis each block ends; none for an array without blocks."""
    chunks = getattr(array, "chunks", None)
    if not chunks:
        return []
    n = int(array.shape[0])
    if isinstance(chunks[0], int):
        return [*range(chunks[0], n, chunks[0]), n] if chunks[0] > 1 else []
    return list(accumulate(int(length) for length in chunks[0]))

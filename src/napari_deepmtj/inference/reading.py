"""What the network is fed with: regions read in one thread, resized in another, a bit ahead.

How far ahead is bounded, so that memory does not grow with the clip; what computes is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import DeepMTJError, VideoError
from napari_deepmtj.inference.prefetch import prefetch
from napari_deepmtj.inference.preprocess import require_region, to_network_inputs

if TYPE_CHECKING:
    from napari_deepmtj.core.geometry import PixelMap, Roi
    from napari_deepmtj.io.video import VideoSource

UInt8Array = npt.NDArray[np.uint8]

#: Gives memory for pictures of a shape.
Allocate = Callable[[tuple[int, ...]], UInt8Array]

#: Frames of the first batch; few, so that the first result appears early.
FIRST_BATCH = 2

#: Batches that reading may be ahead of resizing, and resizing of the network.
READ_AHEAD, RESIZED_AHEAD = 2, 2


def empty(shape: tuple[int, ...]) -> UInt8Array:
    """Return ordinary memory."""
    return np.empty(shape, dtype=np.uint8)


def read_regions(
    source: VideoSource, wanted: range, roi: Roi, size: int, allocate: Allocate = empty
) -> Generator[UInt8Array]:
    """Read frames ahead, in the thread "decode".

    Parameters
    ----------
    source : VideoSource
        The clip.
    wanted : range
        Which frames, ascending.
    roi : Roi
        The part of them.
    size : int
        Frames of a batch; the first one is smaller.
    allocate : callable
        Where to put them.

    Yields
    ------
    ndarray of uint8, shape (n, h, w)
        Grey levels, until the clip ends.
    """
    return prefetch(_regions(source, wanted, roi, size, allocate), READ_AHEAD, "decode")


def read_inputs(
    source: VideoSource, wanted: range, pixel_map: PixelMap, size: int
) -> Generator[UInt8Array]:
    """Read frames ahead as `read_regions` does, and resize them in the thread "resize".

    Yields
    ------
    ndarray of uint8, shape (n, H, W)
        Network inputs.
    """

    def resized() -> Generator[UInt8Array]:
        with closing(read_regions(source, wanted, pixel_map.roi, size)) as several:
            for regions in several:
                yield to_network_inputs(regions, pixel_map)

    return prefetch(resized(), RESIZED_AHEAD, "resize")


def _regions(
    source: VideoSource, wanted: range, roi: Roi, size: int, allocate: Allocate
) -> Generator[UInt8Array]:
    limit, left, n = min(size, FIRST_BATCH), len(wanted), 0
    regions = allocate((0, 0, 0))
    try:
        with closing(source.frames(wanted.start, wanted.stop, wanted.step, roi=roi)) as pictures:
            for picture in pictures:
                require_region(picture, roi)
                if n == 0:
                    regions = allocate((min(limit, left), roi.height, roi.width))
                regions[n] = picture
                n, left = n + 1, left - 1
                if n == len(regions):
                    yield regions
                    n, limit = 0, size
    except DeepMTJError:
        raise
    except Exception as error:
        raise VideoError(
            f"reading failed ({type(error).__name__}: {error})", path=source.name
        ) from error
    if n:
        yield regions[:n]

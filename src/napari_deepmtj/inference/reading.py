"""What the network is fed with: regions read in one thread, resized in another, a bit ahead.

How far ahead is bounded, so that memory does not grow with the clip; what computes is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import DeepMTJError, VideoError
from napari_deepmtj.inference.backends.threads import PICTURES
from napari_deepmtj.inference.prefetch import prefetch
from napari_deepmtj.inference.preprocess import require_region, to_network_inputs

if TYPE_CHECKING:
    from napari_deepmtj.core.geometry import PixelMap, Roi
    from napari_deepmtj.video.opening import VideoSource

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


def even(total: int, most: int) -> Iterator[int]:
    """Yield sizes of batches: a small one for an early result, then all alike, for a device."""
    now = min(FIRST_BATCH, most)
    while total:
        now = min(now, total)
        yield now
        total, now = total - now, most


def tapered(total: int, most: int) -> Iterator[int]:
    """Yield sizes of batches: growing at first, shrinking at the end.

    At either end of a clip reading or the network would wait for the other for as long as a
    whole batch takes it, which is a tenth of the time of a short clip.
    """
    limit = FIRST_BATCH
    while total:
        now = max(FIRST_BATCH, total // 2)
        if now > PICTURES:
            now -= now % PICTURES
        now = min(now, limit, most, total)
        yield now
        total, limit = total - now, 2 * limit


def read_regions(
    source: VideoSource,
    wanted: range,
    roi: Roi,
    sizes: Iterator[int],
    allocate: Allocate = empty,
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
    sizes : iterator of int
        Frames of each batch, those of all adding up to those wanted.
    allocate : callable
        Where to put them.

    Yields
    ------
    ndarray of uint8, shape (n, h, w)
        Grey levels, until the clip ends; black for frames that are `source.unreadable`.
    """
    return prefetch(_regions(source, wanted, roi, sizes, allocate), READ_AHEAD, "decode")


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
        sizes = tapered(len(wanted), size)
        with closing(read_regions(source, wanted, pixel_map.roi, sizes)) as several:
            for regions in several:
                yield to_network_inputs(regions, pixel_map)

    return prefetch(resized(), RESIZED_AHEAD, "resize")


def _regions(
    source: VideoSource, wanted: range, roi: Roi, sizes: Iterator[int], allocate: Allocate
) -> Generator[UInt8Array]:
    n, regions = 0, np.empty((0, 0, 0), dtype=np.uint8)
    try:
        for _, picture in source.numbered(wanted.start, wanted.stop, wanted.step, roi=roi):
            if n == 0:
                regions = allocate((next(sizes), roi.height, roi.width))
            if picture is None:
                regions[n] = 0  # what is computed of it is thrown away: `source.unreadable`
            else:
                require_region(picture, roi)
                regions[n] = picture
            n += 1
            if n == len(regions):
                yield regions
                n = 0
    except DeepMTJError:
        raise
    except Exception as error:
        raise VideoError(
            f"reading failed ({type(error).__name__}: {error})", path=source.name
        ) from error
    if n:
        yield regions[:n]

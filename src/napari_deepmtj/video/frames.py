"""A clip as a lazy array, for viewers that slice: frames are decoded when they are asked for.

How long a frame may take, and when all are listed, is the source's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import VideoError

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

UInt8Array = npt.NDArray[np.uint8]
AnyArray = npt.NDArray[Any]

#: Side in pixels, and the two grey levels, of the squares that stand for a frame not yet listed.
_SQUARE, _DARK, _LIGHT = 16, 24, 40

#: Largest clip, in bytes, that `numpy.asarray` may load whole.
LOAD_LIMIT = 2 * 2**30


class LazyFrames:
    """A clip as a read-only array of shape (T, H, W) that holds no frames.

    Slicing returns numpy arrays and reads only the frames it needs. Safe from several threads
    where the source is.

    Parameters
    ----------
    source : VideoSource
        The clip; it must stay open.
    waits : bool
        Wait for frames that are not listed yet. Without, a dark chequered picture stands for
        them, which nobody takes for ultrasound, and `missed` is the last one.
    """

    def __init__(self, source: VideoSource, *, waits: bool = True) -> None:
        self.source = source
        self.missed: int | None = None
        self._waits = waits
        self.shape = (source.n_frames, source.height, source.width)
        self.dtype = np.dtype(np.uint8)
        self.ndim = 3

    @property
    def size(self) -> int:
        """Number of pixels of the whole clip."""
        n, height, width = self.shape
        return n * height * width

    @property
    def nbytes(self) -> int:
        """Bytes the whole clip would take."""
        return self.size

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> UInt8Array:
        keys = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in [k for k in keys if not isinstance(k, np.ndarray)]:
            at = next(i for i, k in enumerate(keys) if k is Ellipsis)
            keys[at : at + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        if len(keys) > self.ndim:
            raise IndexError(f"a clip has 3 axes (T, H, W), got {len(keys)} indices")
        first, *rest = keys or [slice(None)]
        # numpy's own arithmetic decides which frames are meant, and in what shape
        wanted = np.arange(self.shape[0])[first]
        within = tuple(rest)
        if np.ndim(wanted) == 0:
            return np.array(self._frame(int(wanted))[within])
        if np.ndim(wanted) == 1 and all(isinstance(k, slice | int | np.integer) for k in within):
            cropped = np.empty(self.shape[1:], np.uint8)[within]
            out = np.empty((len(wanted), *cropped.shape), np.uint8)
            for place, frame in enumerate(wanted):
                out[place] = self._frame(int(frame))[within]
            return out
        raise IndexError("a clip is indexed by a number, slice or list of frames, then by slices")

    def _frame(self, frame: int) -> UInt8Array:
        if self._waits or frame < self.source.settled:
            return self.source.read(frame)
        self.missed = frame
        rows, columns = np.ogrid[: self.shape[1], : self.shape[2]]
        light = (rows // _SQUARE + columns // _SQUARE) % 2
        return np.where(light, np.uint8(_LIGHT), np.uint8(_DARK))

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> AnyArray:
        """Load the whole clip, if it is small enough for that."""
        if copy is False:
            raise ValueError("a lazy clip cannot be an array without copying")
        if self.nbytes > LOAD_LIMIT:
            raise VideoError(
                f"the whole clip would take {self.nbytes / 2**30:.1f} GiB of memory; slice it, "
                "for example [::10]",
                path=self.source.name,
            )
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)

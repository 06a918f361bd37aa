"""`.mtj-attention.tif`: attention maps as a TIFF stack, streamed a page at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import ResultError
from napari_deepmtj.io.atomic import atomic_path

#: Above this size classic TIFF, which ImageJ opens as it is, cannot address the pages; BigTIFF
#: can, and ImageJ reads it through Bio-Formats.
CLASSIC_LIMIT = 4_000_000_000


class AttentionWriter:
    """Stream attention maps to a TIFF stack, one 32-bit page a frame, in one piece at the end.

    Use it as a context manager: the file appears when the block ends well, and an exception
    leaves none.

    Parameters
    ----------
    path : str or Path
        The `.mtj-attention.tif`.
    n_frames : int
        How many maps to expect; it only decides between classic TIFF and BigTIFF.
    info : mapping, optional
        JSON-able facts kept in the first page's description: which frames, where the maps lie
        in the picture.
    """

    def __init__(
        self, path: str | Path, n_frames: int, info: Mapping[str, Any] | None = None
    ) -> None:
        self.path = Path(path)
        self.written = 0
        self._expected = n_frames
        self._info = json.dumps(dict(info or {}))
        self._stack = ExitStack()
        self._temporary: Any = None
        self._tiff: Any = None
        self._shape: tuple[int, ...] | None = None

    def append(self, maps: npt.ArrayLike) -> None:
        """Add maps, shape (n, h, w), or one of shape (h, w), any real number type."""
        block = np.asarray(maps, dtype=np.float32)
        block = block[None] if block.ndim == 2 else block
        if block.ndim != 3 or (self._shape is not None and block.shape[1:] != self._shape):
            raise ResultError(
                f"maps of shape {block.shape} do not follow maps of {self._shape}", path=self.path
            )
        if self._temporary is None:
            raise ResultError("the writer is not open; use it in a with block", path=self.path)
        for page in block:
            if self._tiff is None:
                self._begin(page)
            description = None if self.written else self._info
            self._tiff.write(page, photometric="minisblack", metadata=None, description=description)
            self.written += 1

    def _begin(self, page: npt.NDArray[np.float32]) -> None:
        import tifffile

        self._shape = page.shape
        self._tiff = self._stack.enter_context(
            tifffile.TiffWriter(
                self._temporary, bigtiff=page.nbytes * self._expected > CLASSIC_LIMIT
            )
        )

    def __enter__(self) -> Self:
        self._temporary = self._stack.enter_context(atomic_path(self.path))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._temporary = None
        if kind is None and not self.written:
            problem = ResultError("there is no map to save", path=self.path)
            self._stack.__exit__(ResultError, problem, None)
            raise problem
        self._stack.__exit__(kind, error, trace)

"""`.mtj-attention.tif`: attention maps as a TIFF stack, streamed a page at a time, and read back.

What the values mean is `networks.maps`; here they are 32-bit numbers with a note of it.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.atomic import atomic_path
from napari_deepmtj.errors import ResultError

#: Version of the note in the first page. In schema 1, whose note does not say so, each frame's
#: combined map was scaled to a maximum of 1.
SCHEMA = 2

#: Above this size classic TIFF, which ImageJ opens as it is, cannot address the pages; BigTIFF
#: can, and ImageJ reads it through Bio-Formats.
CLASSIC_LIMIT = 4_000_000_000


@dataclass(frozen=True, slots=True)
class AttentionInfo:
    """What the maps of a stack are, and where they lie.

    Parameters
    ----------
    frames : range
        Which frames of the clip, one a page.
    step, origin : tuple of float, as (y, x)
        Frame pixels per map pixel, and the frame position of the centre of map pixel (0, 0), as
        `PixelMap.affine_of_map` gives them.
    map : str
        Name of the map.
    unit : str
        What its values are, in words.
    model : str
        Id of the model; empty where it is not known.
    """

    frames: range
    step: tuple[float, float]
    origin: tuple[float, float]
    map: str
    unit: str
    model: str = ""

    def to_json(self) -> str:
        """Return the note that the first page carries."""
        frames = self.frames
        return json.dumps(
            {
                "schema": SCHEMA,
                "map": self.map,
                "unit": self.unit,
                "model": self.model,
                "frames": {"start": frames.start, "stop": frames.stop, "step": frames.step},
                "frame_px_per_map_px": {"x": self.step[1], "y": self.step[0]},
                "first_map_px_in_frame_px": {"x": self.origin[1], "y": self.origin[0]},
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the note of any schema so far.

        Raises
        ------
        ResultError
            If it is none, or of a later version.
        """
        try:
            said = json.loads(text)
            schema = said.get("schema", 1)
            frames = range(*(int(said["frames"][k]) for k in ("start", "stop", "step")))
            step, origin = (
                (float(said[k]["y"]), float(said[k]["x"]))
                for k in ("frame_px_per_map_px", "first_map_px_in_frame_px")
            )
            if schema == 1:
                return cls(frames, step, origin, "combined", "share of each frame's own maximum")
            if schema != SCHEMA:
                raise ResultError(
                    f"its maps have schema {schema!r}, this version reads up to {SCHEMA}; update "
                    "napari-deepmtj"
                )
            return cls(frames, step, origin, str(said["map"]), str(said["unit"]), said["model"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ResultError(
                "is no stack of attention maps of napari-deepmtj: its first page does not say "
                "which frames these are and where they lie"
            ) from error


def read_attention(path: str | Path) -> tuple[npt.NDArray[np.float32], AttentionInfo]:
    """Read a stack of attention maps.

    Returns
    -------
    maps : ndarray of float32, shape (n, h, w)
    info : AttentionInfo
        What they are; `info.frames` has n members.

    Raises
    ------
    ResultError
        If the file is absent, damaged, or none of ours.
    """
    import tifffile

    path = Path(path)
    try:
        with tifffile.TiffFile(path) as tiff:
            note = str(tiff.pages.first.description)
            maps = np.stack([page.asarray() for page in tiff.pages]).astype(np.float32, copy=False)
    except OSError as error:
        raise ResultError(f"cannot be read ({error.strerror or error})", path=path) from error
    except Exception as error:  # tifffile raises many things on damaged files
        raise ResultError(f"is no TIFF stack or is damaged ({error})", path=path) from error
    try:
        info = AttentionInfo.from_json(note)
    except ResultError as error:
        raise ResultError(error.message, path=path) from error
    if maps.ndim != 3 or len(maps) > len(info.frames):
        raise ResultError(
            f"has {len(maps)} pages of shape {maps.shape[1:]} for {len(info.frames)} frames",
            path=path,
        )
    if len(maps) < len(info.frames):  # the clip ended early
        info = AttentionInfo(
            info.frames[: len(maps)], info.step, info.origin, info.map, info.unit, info.model
        )
    return maps, info


class AttentionWriter:
    """Stream attention maps to a TIFF stack, one 32-bit page a frame, in one piece at the end.

    Use it as a context manager: the file appears when the block ends well, and an exception
    leaves none.

    Parameters
    ----------
    path : str or Path
        The `.mtj-attention.tif`.
    info : AttentionInfo
        What the maps are; kept in the first page's description. The number of its frames
        decides between classic TIFF and BigTIFF.
    """

    def __init__(self, path: str | Path, info: AttentionInfo) -> None:
        self.path = Path(path)
        self.written = 0
        self._expected = len(info.frames)
        self._info = info.to_json()
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

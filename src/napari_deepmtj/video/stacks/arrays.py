"""Arrays on disk as clips: NumPy files, mapped into memory, and Zarr stores, read by chunks.

What makes an array a clip is the business of `ArraySource` in `_stack.py`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import MissingExtraError, VideoError
from napari_deepmtj.video.source import BaseSource, reason
from napari_deepmtj.video.stacks.blocks import require_blocks
from napari_deepmtj.video.stacks.stack import ArraySource, overheard

#: Files one of which lies in the folder of every Zarr store, of format 2 or 3.

#: Most bytes of one block of a Zarr array; blocks are decoded whole.
MOST_BLOCK = 2**30

#: Millimetres and seconds in the units that OME-Zarr recommends (UDUNITS-2 names).
_MM = {"meter": 1e3, "centimeter": 10.0, "millimeter": 1.0, "micrometer": 1e-3, "nanometer": 1e-6}
_SECONDS = {"second": 1.0, "millisecond": 1e-3, "microsecond": 1e-6, "minute": 60.0}


class NpySource(ArraySource):
    """A NumPy file (.npy) with one array, of which only frames that are read are loaded.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        try:
            with overheard("numpy"):  # it warns of sizes that overflow, and then raises
                array = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # a damaged header raises many things
            raise VideoError(
                f"cannot be opened as a NumPy array ({reason(error, path)}); save it again with "
                "numpy.save, as numbers",
                path=path,
            ) from error
        super().__init__(array, path.name)
        self.path = path
        self.metadata = {**self.metadata, "container": "npy"}

    def _hash(self) -> str:
        return BaseSource._hash(self)


class ZarrSource(ArraySource):
    """A Zarr array, or the full resolution of an OME-Zarr image with its units.

    Parameters
    ----------
    path : Path
        The folder.

    Raises
    ------
    MissingExtraError
        If zarr is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import zarr
        except ImportError:
            raise MissingExtraError("reading Zarr", "zarr") from None
        try:
            node: Any = zarr.open(str(path), mode="r")
            attributes = dict(node.attrs)
            ome = attributes.get("ome", attributes).get("multiscales") or [None]
            array = _array(node, ome[0], path)
            scale, times = (None, None) if ome[0] is None else _units(ome[0], array.shape, path)
            require_blocks(array.chunks, array.dtype, MOST_BLOCK, path.name)
            missing = _missing(array, path)
        except VideoError:
            raise
        except Exception as error:  # zarr and hand-written attributes raise many things
            raise VideoError(
                f"cannot be opened as Zarr ({reason(error, path)}); write it again", path=path
            ) from error
        super().__init__(array, path.name, times=times)
        if scale is not None:
            self.take_scale(*scale, "file")
        if missing:
            self.say(
                f"{path.name}: {missing} of its {_blocks(array)} blocks are not there; they are "
                f"read as {array.fill_value}, which may be how it was saved"
            )
        self.path = path
        self.metadata = {**self.metadata, "container": "zarr" if ome[0] is None else "ome-zarr"}


def _array(node: Any, image: Mapping[str, Any] | None, path: Path) -> Any:
    """Return the array of a store: itself, the only one in a group, or the largest of OME."""
    if hasattr(node, "shape"):
        return node
    if image is not None:
        return node[image["datasets"][0]["path"]]
    arrays = [name for name, _ in node.arrays()]
    if len(arrays) != 1:
        raise VideoError(
            f"is a Zarr group of {len(arrays)} arrays; give the folder of one of them", path=path
        )
    return node[arrays[0]]


def _blocks(array: Any) -> int:
    """Return in how many files an array should be stored."""
    block = array.shards or array.chunks
    return math.prod(-(-length // size) for length, size in zip(array.shape, block, strict=True))


def _missing(array: Any, path: Path) -> int:
    """Return how many of an array's files are not there."""
    files = (name for _, _, names in os.walk(path / array.path) for name in names)
    there = sum(not name.startswith((".", "zarr.json")) for name in files)
    return max(0, _blocks(array) - there)


def _units(
    image: Mapping[str, Any], shape: Sequence[int], path: Path
) -> tuple[tuple[float, float] | None, FrameTimes | None]:
    """Return x and y mm per px and times of an OME-Zarr image, each only if its axes have units."""
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in image.get("axes", ())]
    names = [axis["name"] for axis in axes]
    if len(names) != len(shape) or names[-2:] != ["y", "x"]:
        raise VideoError("is OME-Zarr whose axes do not end with y and x", path=path)
    long = [name for name, length in zip(names, shape, strict=True) if length > 1]
    if names[0] != "t" and long[:-2]:
        raise VideoError(
            f"has the axes {''.join(names)} of sizes {tuple(shape)}; write a stack along t",
            path=path,
        )
    steps = np.ones(len(names))
    for level in (image["datasets"][0], image):
        for change in level.get("coordinateTransformations", ()):
            if change["type"] == "scale":
                steps *= np.array(change["scale"], dtype=np.float64)
    units = [str(axis.get("unit")) for axis in axes]
    mm = [_MM.get(unit) for unit in units[-2:]]
    scale = None
    if mm[0] is not None and mm[1] is not None:
        scale = (float(steps[-1] * mm[1]), float(steps[-2] * mm[0]))
    seconds = _SECONDS.get(units[0])
    times = None
    if names[0] == "t" and seconds is not None and shape[0] > 1 and steps[0] > 0:
        times = FrameTimes(
            np.arange(shape[0], dtype=np.float64) * float(steps[0]) * seconds, "container"
        )
    return scale, times

"""Reading the arrays of a Keras HDF5 checkpoint, layer by layer, without TensorFlow.

What network they belong to is the business of `weights/keras_import.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import MissingExtraError, WeightsError

#: Numbers that one checkpoint may hold; the published ones have at most 32 million.
MOST_NUMBERS = 500_000_000


@dataclass(frozen=True)
class KerasLayer:
    """The arrays of one layer that has any.

    Parameters
    ----------
    name : str
        As Keras named it, with those of the models around it.
    arrays : mapping of str to ndarray of float32
        By Keras's own names: "kernel", "bias", "gamma", "beta", "moving_mean",
        "moving_variance", or whatever a layer of the authors' own calls them.
    """

    name: str
    arrays: Mapping[str, npt.NDArray[np.float32]]


def require_h5py() -> None:
    """Say which extra is missing, before anything long is begun.

    Raises
    ------
    MissingExtraError
        If h5py is not installed.
    """
    try:
        importlib.import_module("h5py")
    except ImportError:
        raise MissingExtraError("reading Keras checkpoints", "h5") from None


def read_keras_layers(path: str | Path) -> list[KerasLayer]:
    """Read a file saved by Keras 2's `save_weights` or `save` (HDF5).

    Parameters
    ----------
    path : str or Path
        The checkpoint; its weights are at the root or in the group `model_weights`.

    Returns
    -------
    list of KerasLayer
        In the order of the model's layers.

    Raises
    ------
    WeightsError
        If it is no such file, is damaged, or absurdly large.
    MissingExtraError
        If h5py is not installed.
    """
    path = Path(path)
    require_h5py()
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return _layers(file.get("model_weights", file), path)
    except WeightsError:
        raise
    except Exception as error:  # h5py raises many things on damaged files
        raise WeightsError(
            f"is no Keras HDF5 checkpoint, or is damaged ({error}); only files saved by Keras 2 "
            "as .h5 or .hdf5 are imported",
            path=path,
        ) from error


def _layers(root: Any, path: Path) -> list[KerasLayer]:
    if not {"layer_names", "layer_names0"} & set(root.attrs):
        raise WeightsError(
            "is HDF5 but no Keras checkpoint: the attribute layer_names is missing", path=path
        )
    found: dict[str, dict[str, npt.NDArray[np.float32]]] = {}
    total = 0
    for layer in _texts(root.attrs, "layer_names"):
        group = root[layer]
        for name in _texts(group.attrs, "weight_names"):
            data = group[name]
            total += data.size
            if total > MOST_NUMBERS:
                raise WeightsError(
                    f"holds more than {MOST_NUMBERS:,} numbers; no published network does",
                    path=path,
                )
            # "block1/conv/kernel:0": the array's own name is last. Keras lists a nested model's
            # moving statistics after all its other arrays, so layers are put together by name.
            owner, _, own = name.rpartition("/")
            arrays = found.setdefault(layer if owner in ("", layer) else f"{layer}/{owner}", {})
            arrays[own.split(":")[0]] = np.asarray(data, dtype=np.float32)
    return [KerasLayer(name, arrays) for name, arrays in found.items()]


def _texts(attributes: Any, name: str) -> list[str]:
    """Read a list of names; Keras splits a long one into `name0`, `name1`, ..."""
    chunks = [attributes[name]] if name in attributes else []
    while not chunks or f"{name}{len(chunks)}" in attributes:
        chunks.append(attributes[f"{name}{len(chunks)}"])
    return [
        text.decode("utf-8") if isinstance(text, bytes) else str(text)
        for chunk in chunks
        for text in chunk
    ]

"""How fast each backend computes a model on this machine, with how many threads and pictures."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_deepmtj.inference.backends.base import BackendName
from napari_deepmtj.inference.backends.select import open_backend
from napari_deepmtj.inference.backends.threads import Threads, cores

if TYPE_CHECKING:
    from napari_deepmtj.weights.store import Model

#: Pictures of one computation that are tried.
PICTURES = (1, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class Rate:
    """Frames a second of one way to compute: the network alone, without decoding a clip."""

    backend: BackendName
    threads: int
    pictures: int
    frames_per_s: float


def measure(model: Model, *, seconds: float = 1.0) -> Iterator[Rate]:
    """Yield the speed of every installed backend on the CPU, on noise.

    Parameters
    ----------
    model : Model
        What is computed.
    seconds : float
        How long each way computes, after one computation that is not counted.
    """
    size = (max(PICTURES), model.card.input_height, model.card.input_width)
    pixels = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    for backend in BackendName:
        if backend is BackendName.AUTO or not _installed(backend, model):
            continue
        for threads in sorted({1, cores()}):
            for pictures in PICTURES:
                opened = open_backend(model, backend, "cpu", how=Threads(threads, pictures))
                opened.infer(pixels[:pictures])
                done, began = 0, time.perf_counter()
                while (spent := time.perf_counter() - began) < seconds:
                    opened.infer(pixels[:pictures])
                    done += pictures
                yield Rate(backend, threads, pictures, done / spent)


def _installed(backend: BackendName, model: Model) -> bool:
    if backend is BackendName.ONNXRUNTIME:
        return bool(model.graph)
    return importlib.util.find_spec("torch") is not None

"""onnxruntime on the CPU: the portable second (extra `onnx`).

Where exports are kept is `backends_cache`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.inference.backends.cache import Export, kept_export
from napari_deepmtj.inference.backends.export import Flat, key_of, name_of, output_of, quietly
from napari_deepmtj.inference.backends.speed import fastest_way, thread_counts
from napari_deepmtj.inference.backends.torch_cpu import normalised, what
from napari_deepmtj.networks.interface import NetworkOutput

if TYPE_CHECKING:
    from napari_deepmtj.weights.store import Model

UInt8Array = npt.NDArray[np.uint8]

NAME = "onnxruntime"
_INPUT, _FILE = "pictures", "model.onnx"


class OnnxBackend:
    """A `Backend` that computes an export with onnxruntime.

    Parameters
    ----------
    export : Export
        As `exported` makes it.
    model : Model
        Whose export it is.
    threads : int
        How many may be used; how many are, and how many pictures go together, is found by a
        probe.
    """

    name = NAME
    device = "cpu"

    def __init__(self, export: Export, model: Model, threads: int) -> None:
        import onnxruntime

        self._file = export.files[_FILE]
        self._names: list[str] = list(export.about["outputs"])
        self._normalisation = model.card.normalisation
        self._size = (model.card.input_height, model.card.input_width)
        with quietly(NAME):
            self._way = fastest_way(
                {"name": NAME, NAME: onnxruntime.__version__, **what(model)},
                threads,
                self._probe,
                thread_counts(threads),
            )
            self._session = self._opened(self._way.threads)
        self.about: dict[str, Any] = {
            "name": NAME,
            NAME: onnxruntime.__version__,
            "threads": self._way.threads,
            "batch": self._way.batch,
        }

    def infer(
        self, pixels: UInt8Array, *, content: tuple[slice, slice] | None = None
    ) -> NetworkOutput:
        """Compute any number of pictures; see `Backend`."""
        inputs = normalised(pixels, self._normalisation, content).numpy()
        parts = [
            self._session.run(self._names, {_INPUT: inputs[start : start + self._way.batch]})
            for start in range(0, len(inputs), self._way.batch)
        ]
        whole = [np.concatenate(part) for part in zip(*parts, strict=True)]
        return output_of(dict(zip(self._names, whole, strict=True)))

    def _opened(self, threads: int) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # threads that wait by spinning take the time of those that read the video
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(self._file, options, providers=["CPUExecutionProvider"])

    def _probe(self, threads: int, batch: int) -> Callable[[], int]:
        session = self._opened(threads)
        pictures = np.zeros((batch, 1, *self._size), np.float32)

        def compute() -> int:
            session.run(self._names, {_INPUT: pictures})
            return batch

        return compute


def open_onnxruntime(model: Model, threads: int) -> Generator[Notice, None, OnnxBackend]:
    """Return a backend, exporting the model where that was not done before.

    Yields
    ------
    Notice
        Of an export, and of a damaged one.
    """
    import onnx

    export = yield from kept_export(
        name_of(model, NAME),
        key_of(model, NAME, onnx=onnx.__version__),
        lambda: exported(model),
        f"{model.card.id} is made ready for onnxruntime, once",
    )
    return OnnxBackend(export, model, threads)


def exported(model: Model) -> Export:
    """Return a model as ONNX, for any number of pictures."""
    with quietly(NAME), tempfile.TemporaryDirectory(prefix="napari-deepmtj-") as folder:
        flat = Flat(model)
        path = Path(folder) / _FILE
        torch.onnx.export(
            flat,
            (torch.zeros(2, 1, *flat.size),),
            path,
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=[_INPUT],
            output_names=flat.names,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
        return Export({_FILE: path.read_bytes()}, {"outputs": flat.names})

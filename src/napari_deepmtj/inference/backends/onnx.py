"""ONNX Runtime on the CPU, the default there: it computes the graph of a weights file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import DeviceError
from napari_deepmtj.inference.backends.threads import Threads, threads_for
from napari_deepmtj.inference.preprocess import normalised
from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.weights.graph import INPUT, output_of

if TYPE_CHECKING:
    from napari_deepmtj.weights.store import Model

UInt8Array = npt.NDArray[np.uint8]

NAME = "onnxruntime"


class OnnxBackend:
    """A `Backend` that computes a model's graph with ONNX Runtime.

    Parameters
    ----------
    model : Model
        With a graph; its torch network is not made.
    how : Threads, optional
        Those of `threads_for` by default.

    Raises
    ------
    DeviceError
        If the model has no graph, or ONNX Runtime cannot be loaded or does not take it.
    """

    name = NAME
    device = "cpu"

    def __init__(self, model: Model, how: Threads | None = None) -> None:
        if not model.graph:
            raise DeviceError(
                f"the model {model.card.id} has no ONNX graph; choose --backend torch, or save it "
                "again to add one"
            )
        try:
            import onnxruntime
        except (ImportError, OSError) as error:
            raise DeviceError(
                f"onnxruntime cannot be loaded ({error}); install it again, or choose "
                "--backend torch"
            ) from error
        how = how or threads_for(model.card.network)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = how.threads
        options.log_severity_level = 3
        # threads that wait by spinning take the time of those that read the video
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._weights = {  # kept, because the session reads them where they are
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array, np.float32))
            for name, array in model.weights.items()
            if array.dtype.kind == "f"
        }
        options.add_external_initializers(list(self._weights), list(self._weights.values()))
        try:
            self._session = onnxruntime.InferenceSession(
                model.graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no base class but this
            raise DeviceError(
                f"onnxruntime does not take the model {model.card.id} ({_line(error)}); choose "
                "--backend torch"
            ) from error
        self._names: list[str] = [each.name for each in self._session.get_outputs()]
        self._normalisation, self._batch = model.card.normalisation, how.batch
        self.about: dict[str, Any] = {
            "name": NAME,
            NAME: onnxruntime.__version__,
            "threads": how.threads,
            "batch": how.batch,
        }

    def infer(
        self, pixels: UInt8Array, *, content: tuple[slice, slice] | None = None
    ) -> NetworkOutput:
        """Compute any number of pictures; see `Backend`."""
        inputs = normalised(pixels, self._normalisation, content=content)
        try:
            parts = [
                self._session.run(self._names, {INPUT: inputs[start : start + self._batch]})
                for start in range(0, len(inputs), self._batch)
            ]
        except Exception as error:  # its exceptions have no base class but this
            raise RuntimeError(_line(error)) from error
        whole = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
        return output_of(dict(zip(self._names, whole, strict=True)))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

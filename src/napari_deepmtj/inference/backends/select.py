"""The choice of what computes a model. It is the same at every run on a machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from napari_deepmtj.errors import DeviceError
from napari_deepmtj.inference.backends.base import Backend, BackendName
from napari_deepmtj.inference.device import resolve_device

if TYPE_CHECKING:
    from napari_deepmtj.inference.backends.threads import Threads
    from napari_deepmtj.weights.store import Model

#: Environment variable naming the backend that "auto" stands for.
BACKEND_VARIABLE = "NAPARI_DEEPMTJ_BACKEND"


def open_backend(
    model: Model,
    backend: str = BackendName.AUTO,
    device: str = "auto",
    *,
    how: Threads | None = None,
) -> Backend:
    """Return what computes a model, ready to compute.

    Parameters
    ----------
    model : Model
        What is computed; left as it is.
    backend : str
        A `BackendName`. "auto" is torch on a GPU; on a CPU it is ONNX Runtime, and torch for a
        model without a graph.
    device : str
        As `resolve_device` takes it. ONNX Runtime computes on the CPU, so "auto" means the CPU
        where it is named.
    how : Threads, optional
        How a CPU computes; those of `threads_for` by default.

    Raises
    ------
    DeviceError
        If the backend is unknown, cannot be loaded, or does not compute on that device or model.
    """
    name = _named(backend)
    if name is BackendName.AUTO and (pinned := os.environ.get(BACKEND_VARIABLE)):
        name = _named(pinned)
    if name is BackendName.ONNXRUNTIME and device == "auto":
        device = "cpu"
    where = resolve_device(device)
    if where != "cpu":
        if name is BackendName.ONNXRUNTIME:
            raise DeviceError(
                f"the backend {name.value} computes on the CPU, not on {where}; choose --device "
                "cpu, or --backend torch"
            )
        from napari_deepmtj.inference.backends.accelerator import Accelerator

        return Accelerator(model, where)
    if name is BackendName.ONNXRUNTIME or (name is BackendName.AUTO and model.graph):
        from napari_deepmtj.inference.backends.onnx import OnnxBackend

        return OnnxBackend(model, how)
    from napari_deepmtj.inference.backends.torch_cpu import TorchBackend

    return TorchBackend(model, how)


def _named(text: str) -> BackendName:
    try:
        return BackendName(text)
    except ValueError:
        offered = ", ".join(BackendName)
        raise DeviceError(f"the backend {text!r} is unknown; choose {offered}") from None

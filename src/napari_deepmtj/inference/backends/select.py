"""What computes a network: one protocol, and the choice among those who keep it.

The runtimes themselves are `backends_torch`, `backends_openvino` and `backends_onnx`; what
happens when memory runs out is `device`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Mapping
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.errors import DeviceError
from napari_deepmtj.inference.backends.speed import cores, known, rates, settled

if TYPE_CHECKING:
    import torch

    from napari_deepmtj.networks.interface import NetworkOutput
    from napari_deepmtj.weights.store import Model

UInt8Array = npt.NDArray[np.uint8]

#: Environment variable naming the backend that "auto" stands for.
BACKEND_VARIABLE = "NAPARI_DEEPMTJ_BACKEND"


class BackendName(StrEnum):
    """What may be asked for."""

    AUTO = "auto"
    TORCH = "torch"
    OPENVINO = "openvino"
    OPENVINO_INT8 = "openvino-int8"
    ONNXRUNTIME = "onnxruntime"


#: Among which "auto" chooses: those whose coordinates are the same. 8 bits move them, within the
#: gate, so they are there for who asks; a result does not depend on which machine is fast.
SAME = (BackendName.TORCH, BackendName.OPENVINO, BackendName.ONNXRUNTIME)

#: Packages that each backend needs, the one that computes first, and the extra that brings them.
_NEEDS: Mapping[BackendName, tuple[tuple[str, ...], str]] = {
    BackendName.TORCH: (("torch",), ""),
    BackendName.OPENVINO: (("openvino",), "fast-cpu"),
    BackendName.OPENVINO_INT8: (("openvino", "nncf"), "fast-cpu"),
    BackendName.ONNXRUNTIME: (("onnxruntime", "onnx", "onnxscript"), "onnx"),
}


#: Seconds for which backends are compared.
_COMPARE_S = 1.0

#: What the error of a backend that fails ends with.
REMEDY = "; choose --backend torch"


class Backend(Protocol):
    """Something that computes one network, whose weights it holds."""

    @property
    def name(self) -> str:
        """A `BackendName`, and what else tells its numbers from those of another."""

    @property
    def device(self) -> str:
        """Where it computes, as torch names it."""

    @property
    def about(self) -> Mapping[str, Any]:
        """For the record, JSON-able: name, version of the runtime, threads and the like."""

    def infer(
        self, pixels: UInt8Array, *, content: tuple[slice, slice] | None = None
    ) -> NetworkOutput:
        """Compute any number of pictures.

        Parameters
        ----------
        pixels : ndarray of uint8, shape (B, H, W)
            Network inputs as `preprocess.to_network_inputs` makes them.
        content : tuple of slice, optional
            As `preprocess.normalise` takes it.

        Returns
        -------
        NetworkOutput
            All that the network gives, attention maps too, in memory of the host.
        """


def missing(name: BackendName) -> list[str]:
    """Return the packages that a backend lacks."""
    return [package for package in _NEEDS[name][0] if find_spec(package) is None]


def open_backend(
    model: Model,
    backend: str = BackendName.AUTO,
    device: torch.device | str = "auto",
    *,
    threads: int | None = None,
) -> Generator[Notice, None, Backend]:
    """Make ready what computes a model; the first time that may take a while, and is said.

    Parameters
    ----------
    model : Model
        What is computed; left as it is.
    backend : str
        A `BackendName`. "auto" is torch on a GPU, and on a CPU the fastest of those installed
        whose coordinates are the same, by short probes that are remembered.
    device : torch.device or str
        As `resolve_device` takes it. Backends other than torch compute on the CPU, so "auto"
        means the CPU for them.
    threads : int, optional
        How many may be used at most; all cores by default.

    Yields
    ------
    Notice
        What a person must be told.

    Returns
    -------
    Backend
        Ready: what follows is only computing.

    Raises
    ------
    DeviceError
        If the backend is unknown, not installed, or does not compute on that device.
    """
    from napari_deepmtj.inference.backends.accelerator import Accelerator
    from napari_deepmtj.inference.device import resolve_device

    name = _named(backend)
    if name is BackendName.AUTO and (said := os.environ.get(BACKEND_VARIABLE)):
        name = _named(said)
    if name not in (BackendName.AUTO, BackendName.TORCH) and str(device) == "auto":
        device = "cpu"
    where = resolve_device(str(device))
    if where.type != "cpu":
        if name not in (BackendName.AUTO, BackendName.TORCH):
            raise DeviceError(
                f"the backend {name.value} computes on the CPU, not on {where}; choose --device "
                "cpu, or --backend torch"
            )
        return Accelerator(model, where)
    if name is BackendName.AUTO:
        return (yield from _fastest(model, threads or cores()))
    return (yield from _open(name, model, threads or cores()))


def _named(text: str) -> BackendName:
    try:
        return BackendName(text)
    except ValueError:
        offered = ", ".join(BackendName)
        raise DeviceError(f"the backend {text!r} is unknown; choose {offered}") from None


def _open(name: BackendName, model: Model, threads: int) -> Generator[Notice, None, Backend]:
    """Return a backend of the CPU."""
    if lacking := missing(name):
        raise DeviceError(
            f"the backend {name.value} needs {', '.join(lacking)}; install napari-deepmtj"
            f"[{_NEEDS[name][1]}], or choose --backend torch"
        )
    if name is BackendName.TORCH:
        from napari_deepmtj.inference.backends.torch_cpu import TorchBackend

        return TorchBackend(model, threads)
    from napari_deepmtj.networks.build import is_ours

    if not is_ours(model.network):
        raise DeviceError(
            f"the network {model.card.network!r} is not one of this package's, so {name.value} "
            "cannot be given it; choose --backend torch"
        )
    if name is BackendName.ONNXRUNTIME:
        from napari_deepmtj.inference.backends.onnx import open_onnxruntime

        return (yield from open_onnxruntime(model, threads))
    from napari_deepmtj.inference.backends.openvino import open_openvino

    return (yield from open_openvino(model, threads, int8=name is BackendName.OPENVINO_INT8))


def _fastest(model: Model, threads: int) -> Generator[Notice, None, Backend]:
    """Return the fastest of those that are installed and give the same coordinates.

    Which one that is depends on the network's architecture, not its weights, so that only the
    first model of its kind is exported for all of them.
    """
    from napari_deepmtj.inference.backends.torch_cpu import what
    from napari_deepmtj.networks.build import is_ours

    ours = is_ours(model.network)
    usable = [name for name in SAME[: None if ours else 1] if not missing(name)]
    if len(usable) == 1:
        return (yield from _open(usable[0], model, threads))

    def question(names: Iterable[BackendName]) -> dict[str, Any]:
        versions = {name.value: _version(name) for name in names}
        return {"choice": versions, "pictures": "of the widest", **what(model)}

    answer = known(question(usable), threads)
    wanted = list(usable) if answer is None else [_named(answer["fastest"])]
    opened: dict[BackendName, Backend] = {}
    while wanted:
        name = wanted.pop(0)
        try:
            opened[name] = yield from _open(name, model, threads)
        except DeviceError as error:
            if name is BackendName.TORCH:
                raise
            yield Notice(str(error).removesuffix(REMEDY) + "; it is left out")
            if answer is not None:
                wanted, answer = [each for each in usable if each is not name], None
    if len(opened) == 1:
        return next(iter(opened.values()))
    found = settled(question(opened), threads, lambda: _compared(opened, model))
    speeds = ", ".join(f"{name} {speed:.0f}" for name, speed in found["per_second"].items())
    yield Notice(f"{found['fastest']} computes {model.card.id} fastest here (frames/s: {speeds})")
    return opened[_named(found["fastest"])]


def _version(name: BackendName) -> str:
    try:
        return version(_NEEDS[name][0][0])
    except PackageNotFoundError:  # such as onnxruntime under another package's name
        return "unknown"


def _width(backend: Backend) -> int:
    """Return how many pictures a backend computes at a time."""
    return int(backend.about.get("streams", 1)) * int(backend.about.get("batch", 1))


def _compared(opened: Mapping[BackendName, Backend], model: Model) -> dict[str, Any]:
    """Return how many pictures a second each computes, by turns, and the fastest.

    They are given as many at a time as the widest of them computes side by side: with fewer, as
    never come when a clip is tracked, some of its streams would have nothing to do.
    """
    n = max(_width(each) for each in opened.values())
    pictures = np.zeros((n, model.card.input_height, model.card.input_width), np.uint8)

    def computing(backend: Backend) -> Callable[[], int]:
        def compute() -> int:
            backend.infer(pictures)
            return n

        return compute

    speeds = rates({name.value: computing(each) for name, each in opened.items()}, _COMPARE_S)
    return {"fastest": max(speeds, key=lambda name: speeds[name]), "per_second": speeds}

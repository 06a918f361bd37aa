"""Which device computes, and the only place that falls back: smaller batches, then the CPU.

Every step back is told with a `Notice`; none changes a result beyond rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.errors import DeviceError
from napari_deepmtj.weights.runtime import require_torch

if TYPE_CHECKING:
    import torch
    from torch import nn

T = TypeVar("T")

#: What runs on a device: network on it, pictures, the device, to anything on the host.
Step = Callable[["nn.Module", npt.NDArray[np.uint8], "torch.device"], T]

#: What torch's allocators say when memory runs out and raise as plain RuntimeError.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def resolve_device(spec: str = "auto") -> torch.device:
    """Return the device asked for, or the best there is.

    Parameters
    ----------
    spec : str
        "auto" (CUDA, else Apple's MPS, else the CPU), "cuda", "cuda:N", "mps" or "cpu".

    Raises
    ------
    DeviceError
        If the device is unknown or absent, or torch cannot be loaded.
    """
    require_torch()
    import torch

    kind, _, index = spec.partition(":")
    if spec == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
    elif kind not in ("cuda", "mps", "cpu") or (index and (kind != "cuda" or not index.isdigit())):
        raise DeviceError(f"the device {spec!r} is unknown; choose auto, cuda, cuda:N, mps or cpu")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError(
                "there is no CUDA device that torch can use; choose --device auto or cpu, or "
                "install a CUDA build of torch"
            )
        count = torch.cuda.device_count()
        if int(index or 0) >= count:
            raise DeviceError(f"there is no {spec}; the last CUDA device is cuda:{count - 1}")
    if kind == "mps" and not _has_mps():
        raise DeviceError("there is no MPS device that torch can use; choose --device auto or cpu")
    return torch.device(f"{kind}:{index}" if index else kind)


def _has_mps() -> bool:
    import torch

    return torch.backends.mps.is_available()


class Runner:
    """Runs a network over pictures, with less memory or on the CPU where it must.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode on the CPU; it is never moved, a copy is.
    device : torch.device
        Where to begin.
    batch : int
        Pictures at a time to begin with.

    Attributes
    ----------
    device, batch
        Those in use now.
    """

    def __init__(self, network: nn.Module, device: torch.device, batch: int) -> None:
        if batch < 1:
            raise DeviceError(f"a batch of {batch} frames is impossible; give 1 or more")
        self._original = network
        self._asked = batch
        self.device = device
        self.batch = batch
        self._network: nn.Module | None = None

    def run(self, pictures: npt.NDArray[np.uint8], step: Step[T]) -> Iterator[T | Notice]:
        """Yield `step`'s result for consecutive parts of `pictures`, and a notice a fallback.

        Parameters
        ----------
        pictures : ndarray of uint8, shape (B, H, W)
            Any number; parts hold at most `batch` of them.
        step : callable
            Called without gradients; its result must not stay on the device.

        Raises
        ------
        DeviceError
            If the CPU fails too.
        """
        import torch

        done = 0
        while done < len(pictures):
            part = pictures[done : done + self.batch]
            failure: RuntimeError | MemoryError | None = None
            try:
                with torch.inference_mode():
                    result = step(self._on_device(), part, self.device)
            except (RuntimeError, MemoryError) as error:
                failure = error.with_traceback(None)  # frees the tensors that its frames hold
            if failure is None:
                yield result
                done += len(part)
            else:
                yield self._step_back(failure, len(part))

    def _on_device(self) -> nn.Module:
        if self._network is None:
            on_cpu = self.device.type == "cpu"
            network = self._original if on_cpu else copy.deepcopy(self._original).to(self.device)
            self._network = network
        return self._network

    def _step_back(self, failure: RuntimeError | MemoryError, size: int) -> Notice:
        """Take less memory, or the CPU, or give up."""
        import torch

        short = " ".join(str(failure).split())[:200] or type(failure).__name__
        memory = is_out_of_memory(failure)
        if memory and size > 1:
            self.batch = size // 2
            return Notice(
                f"{self.device} ran out of memory with {size} frames at a time; "
                f"going on with {self.batch}"
            )
        if self.device.type != "cpu":
            gone, self.device = self.device, torch.device("cpu")
            self.batch, self._network = self._asked, None
            return Notice(f"{gone} failed ({short}); going on with the CPU, which is slower")
        if memory:
            raise DeviceError(
                "the memory does not hold a single frame's computation; close other programs "
                "or choose a smaller model"
            ) from failure
        raise DeviceError(f"the network failed on the CPU: {short}") from failure


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device or the host ran out of memory."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)

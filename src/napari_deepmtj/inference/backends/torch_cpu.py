"""Plain torch on the CPU: batch norm folded, channels last, as many threads as are fastest.

What computes on accelerators is `accelerator`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_deepmtj.inference.backends.speed import Way, fastest_way, thread_counts
from napari_deepmtj.inference.preprocess import normalise
from napari_deepmtj.networks.build import is_ours
from napari_deepmtj.networks.interface import NetworkOutput

if TYPE_CHECKING:
    from napari_deepmtj.weights.store import Model

UInt8Array = npt.NDArray[np.uint8]


class TorchBackend:
    """A `Backend` that needs nothing but torch.

    Parameters
    ----------
    model : Model
        Left as it is.
    threads : int
        How many may be used; how many are is found by a probe. A network that is not one of this
        package's is computed as it is, with torch's own number of threads.
    """

    name = "torch"
    device = "cpu"

    def __init__(self, model: Model, threads: int) -> None:
        self._normalisation = model.card.normalisation
        self._network = folded(model.network)
        self._way: Way | None = None
        self.about: dict[str, Any] = {"name": self.name, "torch": torch.__version__}
        if is_ours(model.network):
            size = (model.card.input_height, model.card.input_width)
            way = fastest_way(
                {**self.about, **what(model)},
                threads,
                lambda *way: self._probe(size, *way),
                thread_counts(threads),
            )
            self._way = way
            self.about |= {"threads": way.threads, "batch": way.batch}

    def infer(
        self, pixels: UInt8Array, *, content: tuple[slice, slice] | None = None
    ) -> NetworkOutput:
        """Compute any number of pictures; see `Backend`."""
        with torch.inference_mode():
            inputs = normalised(pixels, self._normalisation, content)
            if self._way is None:
                return NetworkOutput(*self._network(inputs))
            with _threads(self._way.threads):
                n = self._way.batch
                parts = [inputs[i : i + n] for i in range(0, len(inputs), n)]
                return joined([self._network(part) for part in parts])

    def _probe(self, size: tuple[int, int], threads: int, batch: int) -> Callable[[], int]:
        pictures = torch.zeros(batch, 1, *size)

        def compute() -> int:
            with torch.inference_mode(), _threads(threads):
                self._network(pictures)
            return batch

        return compute


def what(model: Model) -> dict[str, Any]:
    """Return what the speed of a model depends on besides runtime and machine, JSON-able."""
    card = model.card
    return {
        "network": card.network,
        "arguments": dict(card.network_arguments),
        "input": [card.input_height, card.input_width],
    }


def normalised(pixels: UInt8Array, how: str, content: tuple[slice, slice] | None = None) -> Tensor:
    """Do as `preprocess.normalise`, with one thread, as the smallest part of a computation.

    More than one gain nothing on so few numbers, and those that torch has called together once
    go on spinning for a while, on the cores that decode the clip.
    """
    with _threads(1), torch.inference_mode():
        return normalise(pixels, how, content=content)


def folded(network: nn.Module) -> nn.Module:
    """Return a copy whose batch norms are part of the convolutions before them.

    A batch norm belongs to the convolution that is registered right before it in the same
    module, as all networks of this package are written.
    """
    network = copy.deepcopy(network).eval()
    for module in list(network.modules()):
        before: tuple[str, nn.Module] | None = None
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d) and before and isinstance(before[1], nn.Conv2d):
                setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
                setattr(module, name, nn.Identity())
            before = name, child
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.requires_grad_(False)


def joined(parts: Sequence[NetworkOutput]) -> NetworkOutput:
    """Return the outputs of consecutive pictures as one."""
    if len(parts) == 1:
        return parts[0]
    fields: list[Any] = []
    for of_all in zip(*parts, strict=True):
        first = of_all[0]
        if isinstance(first, Tensor):
            fields.append(torch.cat(of_all))
        elif first is None:
            fields.append(None)
        else:
            fields.append(tuple(torch.cat(maps) for maps in zip(*of_all, strict=True)))
    return NetworkOutput(*fields)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads, and then again as many as before."""
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

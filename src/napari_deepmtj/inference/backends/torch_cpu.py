"""Plain torch on the CPU: batch norm folded, channels last.

For models without an ONNX graph; what computes on accelerators is `accelerator`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_deepmtj.inference.backends.threads import Threads, threads_for
from napari_deepmtj.inference.preprocess import normalised
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
    how : Threads, optional
        Those of `threads_for` by default. A network that is not one of this package's is computed
        as it is, with torch's own number of threads.
    """

    name = "torch"
    device = "cpu"

    def __init__(self, model: Model, how: Threads | None = None) -> None:
        self._normalisation = model.card.normalisation
        self._network = folded(model.network)
        self._how: Threads | None = None
        self.about: dict[str, Any] = {"name": self.name, "torch": torch.__version__}
        if is_ours(model.network):
            self._how = how = how or threads_for(model.card.network)
            self.about |= {"threads": how.threads, "batch": how.batch}

    def infer(
        self, pixels: UInt8Array, *, content: tuple[slice, slice] | None = None
    ) -> NetworkOutput:
        """Compute any number of pictures; see `Backend`."""
        inputs = torch.from_numpy(normalised(pixels, self._normalisation, content=content))
        with torch.inference_mode():
            if self._how is None:
                return on_host(NetworkOutput(*self._network(inputs)))
            with _threads(self._how.threads):
                n = self._how.batch
                parts = [self._network(inputs[i : i + n]) for i in range(0, len(inputs), n)]
            return on_host(parts[0] if len(parts) == 1 else each_part(torch.cat, *parts))


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


def each_part(change: Callable[..., Any], *outputs: NetworkOutput) -> NetworkOutput:
    """Return an output with all of its tensors changed.

    Parameters
    ----------
    change : callable
        Given a tensor, returns what takes its place; given the list of them where there are
        several outputs.
    *outputs : NetworkOutput
        Of the same network.
    """

    def changed(*parts: Any) -> Any:
        if parts[0] is None:
            return None
        if isinstance(parts[0], tuple):
            return tuple(changed(*maps) for maps in zip(*parts, strict=True))
        return change(list(parts)) if len(parts) > 1 else change(parts[0])

    return NetworkOutput(*(changed(*parts) for parts in zip(*outputs, strict=True)))


def on_host(output: NetworkOutput) -> NetworkOutput:
    """Return an output as arrays of float32."""

    def array(tensor: Tensor) -> npt.NDArray[np.float32]:
        return tensor.detach().float().cpu().numpy()

    return each_part(array, output)


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

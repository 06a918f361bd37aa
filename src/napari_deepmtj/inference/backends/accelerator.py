"""A network on an accelerator: frames go there as bytes, and what comes back is small.

Resizing and normalising happen on the device. On CUDA, copies go from page-locked memory beside
the computation, results are read beside that of the next frames, precision is half where
positions stay, and the whole work is one graph where that is faster.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_deepmtj.inference.backends.device_resize import DeviceResize
from napari_deepmtj.inference.backends.torch_cpu import each_part, folded, on_host
from napari_deepmtj.inference.decode import Decoding, observe
from napari_deepmtj.inference.preprocess import normalise_grey
from napari_deepmtj.networks.interface import NetworkOutput

if TYPE_CHECKING:
    from napari_deepmtj.core.geometry import PixelMap
    from napari_deepmtj.weights.store import Model

UInt8Array = npt.NDArray[np.uint8]
T = TypeVar("T")

#: Half precision is used where it moves no position further than this, in pixels of the
#: network's input.
HALF_PX = 0.02

#: A graph is used where it takes at most this share of the time.
GRAPH_PAYS = 0.95

#: Sizes of work for which a graph is kept.
GRAPHS = 4

#: What runs on the device: regions (B, h, w) there, to the network's output there.
Forward = Callable[[Tensor], NetworkOutput]

#: Waits for a result: it is given what reads the output.
Launched = Callable[[Callable[[NetworkOutput], T]], T]


class Accelerator:
    """The `Backend` of everything that is no CPU.

    Parameters
    ----------
    model : Model
        Left as it is; a copy of its network goes to the device.
    device : torch.device or str
        Where to.
    half : torch.dtype or None
        The half precision to try; by default that of CUDA, none elsewhere.
    capture : callable, optional
        Makes a graph of a `Forward` and an example; by default CUDA's, none elsewhere.

    Attributes
    ----------
    name : str
        With its precision, once that is decided.
    device : str
        As torch names it.
    ahead : int
        How much work may be begun before a result is waited for, it included.
    """

    def __init__(
        self,
        model: Model,
        device: torch.device | str,
        *,
        half: torch.dtype | None = None,
        capture: Callable[[Forward, Tensor], Forward] | None = None,
    ) -> None:
        device = torch.device(device)
        cuda = device.type == "cuda"
        self.name, self.device, self.ahead = "torch", str(device), 2 if cuda else 1
        self._where, self._card = device, model.card
        self._half = torch.float16 if half is None and cuda else half
        self._capture = CudaGraph if capture is None and cuda else capture
        self._lanes = _Lanes(device)
        self._full = self._network = _on(folded(model.network), device, torch.float32)
        self._dtype = torch.float32
        self._decided = self._half is None
        self._forwards: dict[tuple[PixelMap, int, bool], Forward] = {}

    def buffer(self, shape: tuple[int, ...]) -> UInt8Array:
        """Return memory that the device reads while it computes; ordinary memory elsewhere.

        torch keeps page-locked memory that is let go of for the next one, so that a few buffers
        go round.
        """
        if self._where.type == "cuda":
            try:
                return torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy()
            except RuntimeError:
                pass  # a machine that allows no more of it: copies wait, results are the same
        return np.empty(shape, dtype=np.uint8)

    @property
    def about(self) -> dict[str, Any]:
        """For the record."""
        return {"name": self.name, "torch": torch.__version__}

    def infer(
        self, pixels: UInt8Array, *, content: tuple[slice, slice] | None = None
    ) -> NetworkOutput:
        """Compute network inputs and wait for all that comes of them; see `Backend`."""
        with torch.inference_mode():
            grey = torch.from_numpy(pixels).to(self._where)
            return on_host(self._compute(grey, content))

    def launch(
        self, regions: UInt8Array, pixel_map: PixelMap, *, attention: bool = False
    ) -> Launched[Any]:
        """Begin with regions; they must stay as they are until their result is there.

        Parameters
        ----------
        regions : ndarray of uint8, shape (B, h, w)
            Grey levels of `pixel_map.roi`.
        pixel_map : PixelMap
            From there into the network.
        attention : bool
            Whether attention maps are wanted.

        Returns
        -------
        callable
            Given what reads a `NetworkOutput` of arrays, waits and returns what that returns.
        """
        with torch.inference_mode():
            there = self._lanes.send(torch.from_numpy(regions))
            output = self._forward(there, pixel_map, attention)(there)
            event = self._lanes.mark()

        def finish(read: Callable[[NetworkOutput], T]) -> T:
            with torch.inference_mode(), self._lanes.reading(event):
                arrays = on_host(output)
            return read(arrays)

        return finish

    def _forward(self, example: Tensor, pixel_map: PixelMap, attention: bool) -> Forward:
        """Return what computes work of this size, having found out how."""
        key = (pixel_map, len(example), attention)
        if key not in self._forwards:
            resize = DeviceResize(pixel_map, self._where)
            if not self._decided:
                self._decide(resize(example), pixel_map.content)

            def plain(regions: Tensor) -> NetworkOutput:
                output = self._compute(resize(regions), pixel_map.content)
                return output if attention else output._replace(attention=())

            if len(self._forwards) == GRAPHS:
                self._forwards.clear()
            self._forwards[key] = faster(plain, self._capture, example, self._lanes.wait)
        return self._forwards[key]

    def _compute(self, grey: Tensor, content: tuple[slice, slice] | None) -> NetworkOutput:
        inputs = normalise_grey(grey, self._card.normalisation, content=content)
        inputs = inputs.to(self._dtype, memory_format=torch.channels_last)
        output: NetworkOutput = self._network(inputs)
        return each_part(Tensor.float, output)

    def _decide(self, grey: Tensor, content: tuple[slice, slice]) -> None:
        """Choose the precision by the positions in the first pictures."""
        assert self._half is not None
        card = self._card
        fitted = Decoding.from_card(card.decoding)
        found = []
        for dtype in (torch.float32, self._half):
            self._network, self._dtype = _on(self._full, self._where, dtype), dtype
            output = self._compute(grey, content)
            peak, _ = observe(on_host(output), fitted, card.input_height, card.input_width)
            found.append(peak.xy)
        if np.abs(found[1] - found[0]).max() <= HALF_PX:
            self.name = "torch, half precision"
        else:
            self._network, self._dtype = self._full, torch.float32
        self._decided = True


class CudaGraph:
    """A `Forward` that is launched as a whole.

    Parameters
    ----------
    forward : callable
        What to record.
    example : Tensor
        Regions of the size that it is for.
    """

    def __init__(self, forward: Forward, example: Tensor) -> None:
        self._input = example.clone()
        aside = torch.cuda.Stream(example.device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(example.device))
        with torch.cuda.stream(aside):
            for _ in range(3):
                forward(self._input)
        torch.cuda.current_stream(example.device).wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = forward(self._input)

    def __call__(self, regions: Tensor) -> NetworkOutput:
        """Compute; the result is a copy, because the next call writes over the graph's own."""
        self._input.copy_(regions)
        self._graph.replay()
        return each_part(Tensor.clone, self._output)


def faster(
    plain: Forward,
    capture: Callable[[Forward, Tensor], Forward] | None,
    example: Tensor,
    wait: Callable[[], None],
) -> Forward:
    """Return the graph of a `Forward` where it pays, else the `Forward` itself.

    Parameters
    ----------
    plain : callable
        What to compute.
    capture : callable or None
        Makes the graph; None where there are none.
    example : Tensor
        Regions.
    wait : callable
        Waits for the device.
    """
    if capture is None:
        return plain
    try:
        graph = capture(plain, example)
    except RuntimeError:
        return plain  # a network whose work depends on its data, or no memory for a second copy
    return (
        graph
        if _seconds(graph, example, wait) <= GRAPH_PAYS * _seconds(plain, example, wait)
        else plain
    )


def _seconds(forward: Forward, example: Tensor, wait: Callable[[], None], times: int = 3) -> float:
    """Return how long a `Forward` takes at best."""
    best = float("inf")
    for _ in range(times):
        wait()
        began = time.perf_counter()
        forward(example)
        wait()
        best = min(best, time.perf_counter() - began)
    return best


class _Lanes:
    """CUDA's streams for copies and for reading results; elsewhere all is one."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        cuda = device.type == "cuda"
        self._copies = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]
        self._reads = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]

    def send(self, regions: Tensor) -> Tensor:
        """Return a copy on the device, which what is computed from now on waits for."""
        if self._copies is None:
            return regions.to(self._device)
        with torch.cuda.stream(self._copies):
            there = regions.to(self._device, non_blocking=True)
        now = torch.cuda.current_stream(self._device)
        now.wait_stream(self._copies)
        there.record_stream(now)
        return there

    def mark(self) -> torch.cuda.Event | None:
        """Return what is reached when all that was begun is done."""
        if self._copies is None:
            return None
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    @contextmanager
    def reading(self, event: torch.cuda.Event | None) -> Iterator[None]:
        """Read results beside what is computed; everything is read at the end."""
        if self._reads is None or event is None:
            yield
            return
        with torch.cuda.stream(self._reads):
            self._reads.wait_event(event)
            yield
            self._reads.synchronize()

    def wait(self) -> None:
        """Wait for all that was begun."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def _on(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Return a copy on a device."""
    there: nn.Module = copy.deepcopy(network).to(device=device, dtype=dtype)
    return there.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

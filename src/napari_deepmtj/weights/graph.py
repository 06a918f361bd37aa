"""The ONNX graph of a network: its layers without its weights, which it names as the file does.

A weights file holds both, so that ONNX Runtime computes a model without torch. Making a graph needs
torch; reading one does not.
"""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import WeightsError
from napari_deepmtj.networks.interface import NetworkOutput

if TYPE_CHECKING:
    from torch import nn

    from napari_deepmtj.weights.cards import WeightCard

FloatArray = npt.NDArray[np.float32]

#: Name of the graph's input, float32 (B, 1, H, W).
INPUT = "pictures"

#: Beginning of the names of attention maps, which are numbered, coarse to fine.
ATTENTION = "attention_"

_PREFIX = "network."

#: Graphs that this program made, by network, arguments, input size and names of the weights.
_MADE: dict[object, bytes] = {}


def make_graph(network: nn.Module, card: WeightCard) -> bytes:
    """Return a network's layers as ONNX, for any number of pictures.

    Parameters
    ----------
    network : torch.nn.Module
        On any device; left as it is.
    card : WeightCard
        Size of its input.

    Returns
    -------
    bytes
        Without weights: every one is an external initializer with its name in the state dict.
        Batch norms are layers of their own; ONNX Runtime makes them part of convolutions.

    Raises
    ------
    WeightsError
        If torch's exporter does not know one of its layers, or leaves out a weight.
    """
    shapes = tuple((name, tuple(each.shape)) for name, each in network.state_dict().items())
    key = (type(network), str(card.network_arguments), card.input_height, card.input_width, shapes)
    if key not in _MADE:
        needed = {name for name, each in network.state_dict().items() if each.is_floating_point()}
        _MADE[key] = _without_weights(_exported(network, card), needed)
    return _MADE[key]


def named_outputs(output: NetworkOutput) -> dict[str, Any]:
    """Return the parts of an output by name; attention maps are numbered."""
    parts: dict[str, Any] = {}
    for name, part in output._asdict().items():
        if isinstance(part, tuple):
            parts |= {f"{ATTENTION}{number}": one for number, one in enumerate(part)}
        elif part is not None:
            parts[name] = part
    return parts


def output_of(arrays: Mapping[str, FloatArray]) -> NetworkOutput:
    """Return named outputs as what the network would have given."""
    maps = tuple(one for name, one in arrays.items() if name.startswith(ATTENTION))
    fields: dict[str, Any] = {name: arrays.get(name) for name in NetworkOutput._fields}
    return NetworkOutput(**fields | {"attention": maps})


def _exported(network: nn.Module, card: WeightCard) -> bytes:
    """Return what torch's exporter makes of a network.

    The exporter that traces takes 0.3 s and keeps the weights' names; the newer one takes 13 s and
    renames what it folds.
    """
    import torch

    class Flat(torch.nn.Module):
        """A network whose outputs are a tuple of tensors, as exporters want them."""

        def __init__(self) -> None:
            super().__init__()
            self.network = copy.deepcopy(network).to("cpu", torch.float32).eval()
            draw = torch.Generator().manual_seed(0)
            for values in self.network.state_dict().values():
                if values.is_floating_point():  # no two alike: the exporter makes those one
                    values.copy_(torch.rand(values.shape, generator=draw) + 0.5)

        def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(named_outputs(self.network(pictures)).values())

    pictures = torch.zeros(2, 1, card.input_height, card.input_width)
    buffer = io.BytesIO()
    try:
        with torch.no_grad(), _quiet():
            flat = Flat().eval()
            names = list(named_outputs(flat.network(pictures)))
            torch.onnx.export(
                flat,
                (pictures,),
                buffer,  # type: ignore[arg-type]  # as the tracing exporter takes it
                dynamo=False,
                training=torch.onnx.TrainingMode.PRESERVE,  # else it folds and renames weights
                do_constant_folding=False,
                input_names=[INPUT],
                output_names=names,
                dynamic_axes={name: {0: "batch"} for name in (INPUT, *names)},
            )
    except Exception as error:  # exporters raise whatever their parts do
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise WeightsError(
            f"the network {card.network!r} cannot be written as an ONNX graph: {reason}"
        ) from error
    return buffer.getvalue()


def _without_weights(exported: bytes, needed: set[str]) -> bytes:
    """Return an exported network whose weights, all that are needed, are named and left out."""
    import onnx

    graph = onnx.load_from_string(exported)
    renamed = {}
    for initializer in graph.graph.initializer:
        if initializer.name.startswith(_PREFIX):
            name = renamed[initializer.name] = initializer.name.removeprefix(_PREFIX)
            kind, shape = initializer.data_type, tuple(initializer.dims)
            initializer.Clear()
            initializer.name, initializer.data_type = name, kind
            initializer.dims.extend(shape)
            initializer.data_location = onnx.TensorProto.EXTERNAL
            initializer.external_data.add(key="location", value="weights")
    if renamed.keys() != {_PREFIX + name for name in needed}:
        lost = ", ".join(sorted(needed - set(renamed.values()))) or "others than it has"
        raise WeightsError(f"the ONNX graph has not all weights of the network: {lost}")
    for node in graph.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    graph.producer_version = ""
    serialized: bytes = graph.SerializeToString(deterministic=True)
    return serialized


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter warns of to itself: it is about the exporter's own age."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

"""What exports for every runtime have in common: named outputs, and what an export is of.

How each runtime exports and computes is `backends_openvino` and `backends_onnx`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_deepmtj.errors import DeviceError
from napari_deepmtj.inference.backends.select import REMEDY
from napari_deepmtj.inference.backends.torch_cpu import folded, what
from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.weights.store import hash_tensors

if TYPE_CHECKING:
    from napari_deepmtj.weights.store import Model

FloatArray = npt.NDArray[np.float32]

#: Version of what is exported; another one makes all exports anew.
FORMAT = 2

_ATTENTION = "attention_"
_LOGGERS = ("torch.onnx", "nncf", "onnxscript")


class Flat(nn.Module):
    """A network whose outputs are a tuple of tensors, as exporters want them.

    Parameters
    ----------
    model : Model
        Its network is copied, its batch norms folded.

    Attributes
    ----------
    names : list of str
        Of the outputs, in their order.
    size : tuple of int
        Height and width of the input.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = folded(model.network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.size = (model.card.input_height, model.card.input_width)
        with torch.inference_mode():
            self.names = list(_named(self.network(torch.zeros(1, 1, *self.size))))
        self.eval()

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Map pictures (B, 1, H, W) to everything that the network gives."""
        return tuple(_named(self.network(pictures)).values())


def _named(output: NetworkOutput) -> dict[str, Tensor]:
    """Return the tensors of an output by name; attention maps are numbered."""
    found: dict[str, Tensor] = {}
    for name, part in output._asdict().items():
        if isinstance(part, tuple):
            found |= {f"{_ATTENTION}{number}": one for number, one in enumerate(part)}
        elif part is not None:
            found[name] = part
    return found


def output_of(arrays: Mapping[str, FloatArray]) -> NetworkOutput:
    """Return named outputs as what the network would have given."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    maps = tuple(one for name, one in tensors.items() if name.startswith(_ATTENTION))
    fields: dict[str, Any] = {name: tensors.get(name) for name in NetworkOutput._fields}
    return NetworkOutput(**fields | {"attention": maps})


def key_of(model: Model, kind: str, **versions: Any) -> dict[str, Any]:
    """Return all that an export is a function of, JSON-able.

    The hash is that of the weights in memory: those of a card are of what is stored, perhaps in
    half precision, and a network in training has none.
    """
    state = model.network.state_dict()
    weights = hash_tensors({name: value.cpu().numpy() for name, value in state.items()})
    versions = {"torch": torch.__version__, **versions}
    return {"format": FORMAT, "kind": kind, "weights": weights, **what(model), "with": versions}


def name_of(model: Model, kind: str) -> str:
    """Return the beginning of an export's file name, for who looks into the folder."""
    plain = "".join(c if c.isalnum() else "-" for c in model.card.id)[:40]
    return f"{plain}-{kind}"


@contextmanager
def quietly(kind: str) -> Iterator[None]:
    """Keep what exporters warn of and log to themselves; their failure is ours.

    Raises
    ------
    DeviceError
        If the block fails, naming the backend and what else to choose.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of these packages' own ageing; none is of our input
            yield
    except Exception as error:  # exporters raise whatever their parts do
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise DeviceError(f"the network cannot be made ready for {kind} ({why}){REMEDY}") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

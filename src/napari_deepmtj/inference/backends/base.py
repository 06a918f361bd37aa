"""What computes a network: the protocol that every backend keeps, and the names of backends."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_deepmtj.networks.interface import NetworkOutput

UInt8Array = npt.NDArray[np.uint8]


class BackendName(StrEnum):
    """What may be asked for."""

    AUTO = "auto"
    TORCH = "torch"
    ONNXRUNTIME = "onnxruntime"


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
            As `preprocess.normalised` takes it.

        Returns
        -------
        NetworkOutput
            All that the network gives, attention maps too, as arrays of float32.
        """

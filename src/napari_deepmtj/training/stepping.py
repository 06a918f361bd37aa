"""One step of learning, in as many parts as the memory holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.errors import DeepMTJError, DeviceError
from napari_deepmtj.inference.runner import is_out_of_memory
from napari_deepmtj.training.augment import Batch
from napari_deepmtj.training.losses import loss_of
from napari_deepmtj.training.settings import Loss


@dataclass
class Stepper:
    """Learns from one batch after the other.

    Parameters
    ----------
    network : nn.Module
        On its device.
    optimiser : torch.optim.Optimizer
        Of its parameters.
    loss : Loss
        What is minimised.
    part : int
        Pictures at a time. Where the memory does not hold them it is halved, and told; gradients
        add up, so that the step stays that of the whole batch but for batch norm, which then
        sees fewer pictures at a time.
    clip_norm : float
        Longest gradient; 0 for any.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    loss: Loss
    part: int
    clip_norm: float = 0.0

    def __call__(self, drawn: Batch, rate: float) -> Iterator[Notice | float]:
        """Learn from a batch; yields what must be told, then the loss before the step.

        Raises
        ------
        DeviceError
            If not even one picture at a time fits the memory.
        DeepMTJError
            If the loss is no longer finite.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        while True:
            kept = [buffer.clone() for buffer in self.network.buffers()]
            failure: RuntimeError | MemoryError | None = None
            try:
                value = self._gradient(drawn)
            except (RuntimeError, MemoryError) as error:
                failure = error.with_traceback(None)  # frees the tensors that its frames hold
            if failure is None:
                break
            for buffer, before in zip(self.network.buffers(), kept, strict=True):
                buffer.copy_(before)
            yield self._smaller(failure, len(drawn.present))
        if not torch.isfinite(torch.tensor(value)):
            raise DeepMTJError("the loss is no longer finite; lower the learning rate")
        if self.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.optimiser.step()
        yield value

    def _gradient(self, drawn: Batch) -> float:
        """Leave the gradient of the batch in the parameters; return the loss."""
        device = next(self.network.parameters()).device
        self.optimiser.zero_grad()
        total = 0.0
        for start in range(0, len(drawn.present), self.part):
            part = drawn.of(lambda t, s=slice(start, start + self.part): t[s].to(device))  # type: ignore[misc]
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                output = self.network(part.pictures)
            share = loss_of(self.loss, output, part, drawn)
            share.backward()  # type: ignore[no-untyped-call]
            total += float(share.detach())
        return total

    def _smaller(self, failure: RuntimeError | MemoryError, n: int) -> Notice:
        size = min(self.part, n)
        if not is_out_of_memory(failure):
            raise DeviceError(f"learning failed: {' '.join(str(failure).split())[:200]}")
        if size == 1:
            raise DeviceError(
                "the memory does not hold the learning from a single picture; close other "
                "programs, or choose a smaller network or the CPU"
            ) from failure
        self.part = -(-size // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return Notice(
            f"the memory does not hold {size} pictures at a time; going on with {self.part}, "
            f"whose gradients add up to the same step of {n}, but batch norm sees {self.part}"
        )

"""How far a network is off on frames it does not learn from, as inference sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from napari_deepmtj.errors import LabelError
from napari_deepmtj.inference.decode import Decoding, observe
from napari_deepmtj.training.augment import Batch
from napari_deepmtj.training.batches import FrameSet
from napari_deepmtj.training.losses import loss_of
from napari_deepmtj.training.observed import on_host
from napari_deepmtj.training.settings import Coordinates, Loss


@dataclass(frozen=True, slots=True)
class Errors:
    """Mean loss, and mean distance in pixels of the input and, where known, in mm."""

    loss: float
    error_px: float
    error_mm: float | None


def reading(loss: Loss) -> Decoding:
    """Return how the output of a network trained by a loss is read, before anything is fitted."""
    if isinstance(loss, Coordinates):
        return Decoding(label_width=loss.label_width)
    return Decoding(target_sigma_px=loss.sigma_px)


def plain_batches(frames: FrameSet, size: int) -> Iterator[Batch]:
    """Yield all frames of a set in order, as inference sees them."""
    for start in range(0, len(frames), size):
        yield frames.plain(np.arange(start, min(start + size, len(frames))))


def validate(
    network: nn.Module, frames: FrameSet, loss: Loss, batch: int, device: torch.device
) -> Errors:
    """Try a network; it is in eval mode afterwards.

    Distances are those of frames with the MTJ in the crop, whether or not the network would call
    it in view.
    """
    network.eval()
    total = 0.0
    off_px, off_mm = [], []
    start = reading(loss)
    with torch.inference_mode():
        for drawn in plain_batches(frames, batch):
            moved = drawn.of(lambda part: part.to(device))
            output = network(moved.pictures)
            total += float(loss_of(loss, output, moved)) * len(drawn.present)
            there = drawn.present > 0
            if not there.any():
                continue
            peak, _ = observe(on_host(output, there), start, *drawn.pictures.shape[-2:])
            off = peak.xy - drawn.xy[there].numpy()
            off_px.append(np.hypot(*off.T))
            off_mm.append(np.hypot(*(off * drawn.mm_per_px[there].numpy()).T))
    if not off_px:
        raise LabelError("in no frame for validation does the MTJ lie in the B-mode picture")
    px, mm = np.concatenate(off_px), np.concatenate(off_mm)
    known = bool(np.isfinite(mm).all())
    return Errors(total / len(frames), float(px.mean()), float(mm.mean()) if known else None)

"""What the scanner's screen makes of an envelope: compression, gain, post-processing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.phantom.devices import Device, outside_fan
from napari_deepmtj.phantom.tissue import cells


def _box(image: Tensor) -> Tensor:
    """Mean over 3 x 3 pixels of images (B, H, W)."""
    return F.avg_pool2d(F.pad(image[:, None], (1, 1, 1, 1), mode="reflect"), 3, stride=1)[:, 0]


def display(envelope: Tensor, device: Device) -> Tensor:
    """Log compression, window, gamma and post-processing to grey levels, uint8 (B, H, W)."""
    # Compounding and speckle reduction: part of the variance smoothed away.
    decibel = 20 * torch.log10(envelope)
    smooth = cells(device.smooth)
    for _ in range(2):
        decibel = decibel * (1 - smooth) + _box(decibel) * smooth
    flat = decibel.flatten(1)[:, ::7]
    top = torch.quantile(flat, 0.997, dim=1) + device.headroom_db
    grey = ((decibel - cells(top - device.window_db)) / cells(device.window_db)).clamp(0, 1)
    # Whatever the window, the operator turns the gain until the median grey looks right.
    median = grey.flatten(1)[:, ::7].median(dim=1).values.clamp(0.05, 0.95)
    gamma = (torch.log(device.median) / torch.log(median)).clamp(0.5, 2.6)
    grey = grey ** cells(gamma)
    grey = grey + cells(device.edge) * (grey - _box(grey))
    lift = cells(device.lift)
    grey = lift + (1 - lift) * grey
    if bool((device.fan > 0).any()):
        depth, across = ((torch.arange(size) + 0.5) / size for size in grey.shape[1:])
        beside = outside_fan(device, across[None, None, :], depth[None, :, None])
        grey = torch.where(beside, 0.0, grey)
    return (grey.clamp(0, 1) * 255).round().to(torch.uint8)

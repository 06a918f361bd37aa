"""What the scanner's screen makes of an envelope: compression, gain, post-processing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.phantom.devices import Device, outside_fan
from napari_deepmtj.phantom.tissue import cells

#: Where pixels are smaller than this, in mm, a sample of the scanner spreads over several.
SAMPLE_MM = 0.15


def _box(image: Tensor) -> Tensor:
    """Mean over 3 x 3 pixels of images (B, H, W)."""
    return F.avg_pool2d(F.pad(image[:, None], (1, 1, 1, 1), mode="reflect"), 3, stride=1)[:, 0]


def display(
    envelope: Tensor, device: Device, mm_per_px: Tensor, *, across_beam: bool = True
) -> Tensor:
    """Log compression, window, gamma and post-processing to grey levels, uint8 (B, H, W).

    `mm_per_px` (B,) is that of the picture. Speckle is reduced across the beam only, or both ways
    and strongly.
    """
    smooth = cells(device.smooth)
    if across_beam:
        # A scanner's own samples are few where pixels are small: no darkness thinner than they.
        fine = cells(((SAMPLE_MM - mm_per_px) / (0.5 * SAMPLE_MM)).clamp(0.0, 1.0))
        envelope = envelope + fine * (_box(envelope) - envelope)
        # Speckle reduction works on the scanner's lines, much finer along the beam than a pixel
        # here: what is left of it at this scale is across the beam.
        decibel = 20 * torch.log10(envelope)
        wide = F.pad(decibel[:, None], (1, 1, 0, 0), mode="reflect")
        evened = F.avg_pool2d(wide, (1, 3), stride=1)[:, 0]
        decibel = decibel + 0.6 * smooth * (evened - decibel)
    else:
        decibel = 20 * torch.log10(envelope)
        for _ in range(2):
            decibel = decibel + smooth * (_box(decibel) - decibel)
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

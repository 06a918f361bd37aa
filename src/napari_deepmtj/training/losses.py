"""What training minimises."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.training.augment import Batch

#: Sigma of the target in input pixels: P21 draws a Gaussian of variance 100 on a 256 x 512
#: crop, which is 5 px at 128 x 256 (doi:10.1109/TBME.2021.3130548).
TARGET_SIGMA_PX = 5.0


def gaussian_target(xy: Tensor, rows: int, columns: int, stride: float, sigma_px: float) -> Tensor:
    """Draw normalised Gaussians, shape (B, rows, columns), around `xy` (B, 2) in input pixels."""
    x = (torch.arange(columns, device=xy.device) + 0.5) * stride - 0.5
    y = (torch.arange(rows, device=xy.device) + 0.5) * stride - 0.5
    along = torch.exp(-0.5 * ((x[None] - xy[:, :1]) / sigma_px) ** 2)
    down = torch.exp(-0.5 * ((y[None] - xy[:, 1:]) / sigma_px) ** 2)
    target = down[:, :, None] * along[:, None, :]
    return target / target.sum(dim=(1, 2), keepdim=True).clamp(min=1e-12)


def heatmap_loss(
    output: NetworkOutput, batch: Batch, *, sigma_px: float, presence_weight: float
) -> Tensor:
    """Cross-entropy of the heat map where the MTJ is in view, and of "in view" itself.

    Parameters
    ----------
    output : NetworkOutput
        With heat map (B, h, w) and presence (B,).
    batch : Batch
        The truth.
    sigma_px : float
        Sigma of the target in input pixels.
    presence_weight : float
        Weight of the second term.

    Returns
    -------
    Tensor, scalar
    """
    assert output.heatmap is not None
    assert output.presence is not None
    rows, columns = output.heatmap.shape[1:]
    stride = batch.pictures.shape[-1] / columns
    target = gaussian_target(batch.xy, rows, columns, stride, sigma_px)
    log_p = output.heatmap.float().flatten(1).log_softmax(dim=1)  # half precision on a GPU
    where = -(target.flatten(1) * log_p).sum(dim=1)
    located = batch.present * batch.decided
    place = (where * located).sum() / located.sum().clamp(min=1.0)
    seen = F.binary_cross_entropy_with_logits(
        output.presence.float(), batch.present, reduction="none"
    )
    return place + presence_weight * (seen * batch.decided).mean()

"""What training minimises."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.training.augment import Batch
from napari_deepmtj.training.settings import Coordinates, Heatmap, Loss, SoftLabel

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
    output: NetworkOutput,
    batch: Batch,
    *,
    sigma_px: float,
    presence_weight: float,
    whole: Batch | None = None,
    taught: NetworkOutput | None = None,
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
    whole : Batch, optional
        What `batch` is a part of: the losses of all parts then add up to that of the whole.
    taught : NetworkOutput, optional
        What a teacher of the same heat-map size says of the batch: it is learned in place of the
        truth, with the truth deciding which pictures count.

    Returns
    -------
    Tensor, scalar
    """
    assert output.heatmap is not None
    assert output.presence is not None
    present = batch.present
    rows, columns = output.heatmap.shape[1:]
    stride = batch.pictures.shape[-1] / columns
    target = gaussian_target(batch.xy, rows, columns, stride, sigma_px)
    if taught is not None and taught.heatmap is not None and taught.presence is not None:
        target = taught.heatmap.float().flatten(1).softmax(dim=1).view_as(target)
        present = taught.presence.float().sigmoid()
    log_p = output.heatmap.float().flatten(1).log_softmax(dim=1)  # half precision on a GPU
    where = -(target.flatten(1) * log_p).sum(dim=1)
    whole = whole or batch
    located = batch.present * batch.decided
    place: Tensor = (where * located).sum() / (whole.present * whole.decided).sum().clamp(min=1.0)
    seen = F.binary_cross_entropy_with_logits(output.presence.float(), present, reduction="none")
    return place + presence_weight * (seen * batch.decided).sum() / len(whole.present)


def gate_contrast(output: NetworkOutput, batch: Batch, radius_px: float) -> Tensor:
    """Return how much the attention gates let through far from the MTJ, as a share of near it.

    Gates that let everything through give 1. Only their contrast counts, not their level.

    Parameters
    ----------
    output : NetworkOutput
        With attention maps (B, h, w).
    batch : Batch
        The truth; pictures without an MTJ do not count.
    radius_px : float
        What is near, in input pixels.

    Returns
    -------
    Tensor, scalar
    """
    width = batch.pictures.shape[-1]
    counts = (batch.present * batch.decided).clamp(max=1.0)
    total = batch.pictures.new_zeros(())
    for gate in output.attention:
        rows, columns = gate.shape[1:]
        stride = width / columns
        x = (torch.arange(columns, device=gate.device) + 0.5) * stride - 0.5
        y = (torch.arange(rows, device=gate.device) + 0.5) * stride - 0.5
        square = (x[None, None] - batch.xy[:, :1, None]) ** 2
        square = square + (y[None, :, None] - batch.xy[:, 1:, None]) ** 2
        near = (square < radius_px**2).float()
        inside = (gate * near).sum((1, 2)) / near.sum((1, 2)).clamp(min=1.0)
        outside = (gate * (1 - near)).sum((1, 2)) / (1 - near).sum((1, 2)).clamp(min=1.0)
        ratio = (outside / (inside + 1e-3)).clamp(max=2.0)
        total = total + (ratio * counts).sum() / counts.sum().clamp(min=1.0)
    return total / max(len(output.attention), 1)


def scaled_labels(xy: Tensor, height: int, width: int, label_width: float) -> Tensor:
    """Scale positions (B, 2) in input pixels to P20's labels, 0..1 on each axis of its crop.

    0 and 1 are the centres of the crop's first and last pixels, as `inference.published.regressed`
    reads them back; what lies outside the crop is clamped to its border.
    """
    size = torch.tensor([width, height], dtype=torch.float64, device=xy.device)
    crop = label_width * size / width
    label = ((xy.double() + 0.5) * (crop / size) - 0.5) / (crop - 1)
    return label.clamp(0.0, 1.0).float()


def coordinate_loss(output: NetworkOutput, batch: Batch, loss: Coordinates) -> Tensor:
    """Eq. 1 of P20 (Leitner et al. 2020) for each picture, shape (B,)."""
    assert output.xy is not None
    height, width = batch.pictures.shape[-2:]
    label = scaled_labels(batch.xy, height, width, loss.label_width)
    square: Tensor = (output.xy.float() - label) ** 2
    weighted = loss.x_weight * square[:, 0] + loss.y_weight * square[:, 1]
    return weighted / (loss.x_weight + loss.y_weight)


def soft_label(xy: Tensor, present: Tensor, rows: int, columns: int, sigma_px: float) -> Tensor:
    """Draw Gaussians of peak 1, shape (B, rows, columns), around `xy` (B, 2); 0 where absent."""
    x = torch.arange(columns, device=xy.device)
    y = torch.arange(rows, device=xy.device)
    along = torch.exp(-0.5 * ((x[None] - xy[:, :1]) / sigma_px) ** 2)
    down = torch.exp(-0.5 * ((y[None] - xy[:, 1:]) / sigma_px) ** 2)
    drawn = down[:, :, None] * along[:, None, :]
    return torch.where(present[:, None, None] > 0, drawn, 0.0)


def soft_label_loss(output: NetworkOutput, batch: Batch, loss: SoftLabel) -> Tensor:
    """P21's weighted cross-entropy (Leitner et al. 2022) for each picture, shape (B,).

    The mean over pixels of -(t log p + background (1 - t) log (1 - p)).
    """
    assert output.heatmap is not None
    logits = output.heatmap.float()
    target = batch.target
    if target is None:
        rows, columns = logits.shape[1:]
        target = soft_label(batch.xy, batch.present, rows, columns, loss.sigma_px)
    here = target * F.logsigmoid(logits)
    elsewhere = (1 - target) * F.logsigmoid(-logits)
    return -(here + loss.background * elsewhere).mean(dim=(1, 2))


def loss_of(loss: Loss, output: NetworkOutput, batch: Batch, whole: Batch | None = None) -> Tensor:
    """Return the loss of a batch, a scalar; of a part of `whole`, its share of the whole's."""
    if isinstance(loss, Heatmap):
        return heatmap_loss(
            output,
            batch,
            sigma_px=loss.sigma_px,
            presence_weight=loss.presence_weight,
            whole=whole,
        )
    each = (
        coordinate_loss(output, batch, loss)
        if isinstance(loss, Coordinates)
        else soft_label_loss(output, batch, loss)
    )
    return each.sum() / len((whole or batch).present)

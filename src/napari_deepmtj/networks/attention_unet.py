"""The attention U-Net of P21 (Leitner et al. 2022, doi:10.1109/TBME.2021.3130548)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.networks.layers import block, scaled

#: Channels of the five resolutions, fine to coarse.
FEATURES: tuple[int, ...] = (64, 128, 256, 512, 1024)


class SkipGate(nn.Module):
    """Additive attention on a skip connection (Oktay et al. 2018, arXiv:1804.03999).

    Parameters
    ----------
    skip, gating : int
        Channels of the skip, and of the up-sampled features that choose in it. They are compared
        in a quarter of the latter.
    """

    def __init__(self, skip: int, gating: int) -> None:
        super().__init__()
        inner = max(1, gating // 4)
        self.theta = nn.Conv2d(skip, inner, 1)
        self.phi = nn.Conv2d(gating, inner, 1)
        self.psi = nn.Conv2d(inner, 1, 1)

    def forward(self, skip: Tensor, gating: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gated skip (B, C, h, w) and the gate (B, 1, h, w) in 0..1."""
        gate = torch.sigmoid(self.psi(F.relu(self.theta(skip) + self.phi(gating))))
        return skip * gate, gate


class AttentionUNet(nn.Module):
    """A U-Net of depth 4 that draws the probability of the MTJ at every pixel.

    Parameters
    ----------
    channels : float
        Factor on all numbers of channels; 1.0 is the published network (31.9 M parameters, input
        128 x 256).
    """

    def __init__(self, channels: float = 1.0) -> None:
        super().__init__()
        widths = scaled(channels, *FEATURES)
        self.down = nn.ModuleList(
            block(a, b, b) for a, b in zip((1, *widths), widths, strict=False)
        )
        pairs = list(
            zip(widths[-2::-1], widths[:0:-1], strict=True)
        )  # (skip, coarser), coarse first
        self.gates = nn.ModuleList(SkipGate(skip, coarser) for skip, coarser in pairs)
        self.up = nn.ModuleList(block(coarser + skip, skip, skip) for skip, coarser in pairs)
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: Tensor) -> NetworkOutput:
        """Map pictures (B, 1, H, W), sides multiples of 16, to logits (B, H, W) and gates.

        The sigmoid of each logit is the probability that the MTJ is at that pixel; the gates
        are the attention, coarse to fine.
        """
        skips: list[Tensor] = []
        for level, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        gates: list[Tensor] = []
        for gate, up, skip in zip(self.gates, self.up, skips[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            gated, attention = gate(skip, x)
            gates.append(attention[:, 0])
            x = up(torch.cat([x, gated], dim=1))
        return NetworkOutput(
            heatmap=self.head(x)[:, 0], xy=None, presence=None, attention=tuple(gates)
        )

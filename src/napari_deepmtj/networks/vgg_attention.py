"""VGG-Attention-2 and -3: the networks that P20 (Leitner et al. 2020) proposes.

The attention module is that of J18 (Jetley et al. 2018, Learn to Pay Attention, ICLR), tapped
before pooling.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.networks.layers import block, scaled

#: How local and global features are compared: J18's <l, g> or <u, l + g>.
Compatibility = Literal["dot", "parametrised"]


class Attention(nn.Module):
    """J18's attention: where the local features agree with the global one.

    Parameters
    ----------
    local, joint : int
        Channels of the local features, and of the global feature. Where they differ, the local
        ones are projected by a learned linear map.
    compatibility : {"dot", "parametrised"}
        <l, g>, as in the published models, or <u, l + g> with a learned u.
    project_bias : bool
        Whether the projection has a bias; some checkpoints have one.
    """

    def __init__(
        self, local: int, joint: int, compatibility: Compatibility, *, project_bias: bool = False
    ) -> None:
        super().__init__()
        self.project = (
            nn.Identity() if local == joint else nn.Conv2d(local, joint, 1, bias=project_bias)
        )
        self.u = nn.Conv2d(joint, 1, 1, bias=False) if compatibility == "parametrised" else None

    def forward(self, local: Tensor, joint: Tensor) -> tuple[Tensor, Tensor]:
        """Return the attended feature (B, C) and the attention (B, h, w), which sums to 1.

        Parameters
        ----------
        local : Tensor, shape (B, C_local, h, w)
        joint : Tensor, shape (B, C)
        """
        local = self.project(local)
        if self.u is None:
            score = torch.einsum("bchw,bc->bhw", local, joint)
        else:
            score = self.u(local + joint[:, :, None, None])[:, 0]
        attention = score.flatten(1).softmax(dim=1).view_as(score)
        return torch.einsum("bchw,bhw->bc", local, attention), attention


class VggAttention(nn.Module):
    """Fifteen convolutions whose features at two or three depths are weighed by attention.

    Parameters
    ----------
    levels : {2, 3}
        How many depths are attended: the two coarse ones, or also the one at full resolution.
    height, width : int
        Size of the input in pixels, multiples of 32; 64 x 128 in the paper.
    compatibility : {"dot", "parametrised"}
        See `Attention`.
    channels : float
        Factor on all numbers of channels; 1.0 is the published network (21.7 M parameters).
    project_bias : bool
        See `Attention`.

    Raises
    ------
    ValueError
        If an argument is none of these.
    """

    def __init__(
        self,
        levels: int = 3,
        height: int = 64,
        width: int = 128,
        compatibility: Compatibility = "dot",
        channels: float = 1.0,
        project_bias: bool = False,
    ) -> None:
        super().__init__()
        if levels not in (2, 3):
            raise ValueError(f"levels is {levels}, not 2 or 3")
        if compatibility not in ("dot", "parametrised"):
            raise ValueError(f"compatibility is {compatibility!r}, not dot or parametrised")
        if height % 32 or width % 32:
            raise ValueError(f"an input of {height} x {width} px has a side not a multiple of 32")
        c64, c128, c256, c512 = scaled(channels, 64, 128, 256, 512)
        self.local1 = block(1, c64, c64, c128, c128, c256, c256, c256)
        self.local2 = block(c256, c512, c512, c512)
        self.local3 = block(c512, c512, c512, c512)
        self.deep = nn.Sequential(
            block(c512, c512), nn.MaxPool2d(2), block(c512, c512), nn.MaxPool2d(2)
        )
        self.joint = nn.Linear(c512 * (height // 32) * (width // 32), c512)
        taps = (c512, c512, c256)[:levels]
        self.attend = nn.ModuleList(
            Attention(local, c512, compatibility, project_bias=project_bias) for local in taps
        )
        self.head = nn.Linear(levels * c512, 2)

    def forward(self, x: Tensor) -> NetworkOutput:
        """Map pictures (B, 1, H, W) to (x, y) in 0..1 and attention maps, coarse to fine."""
        local1 = self.local1(x)
        local2 = self.local2(F.max_pool2d(local1, 2))
        local3 = self.local3(F.max_pool2d(local2, 2))
        joint = F.relu(self.joint(self.deep(F.max_pool2d(local3, 2)).flatten(1)))
        found = [
            attend(local, joint)
            for attend, local in zip(self.attend, (local3, local2, local1), strict=False)
        ]
        features = torch.cat([feature for feature, _ in found], dim=1)
        return NetworkOutput(
            heatmap=None,
            xy=torch.sigmoid(self.head(features)),
            presence=None,
            attention=tuple(attention for _, attention in found),
        )

"""VGG16 as a regressor of two coordinates (P20: Leitner et al. 2020, Table IV)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.networks.layers import block, scaled

#: Output channels of the thirteen convolutions (Simonyan and Zisserman 2015,
#: arXiv:1409.1556, configuration D); a 2 x 2 pool ends each group.
GROUPS: tuple[tuple[int, ...], ...] = (
    (64, 64),
    (128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (512, 512, 512),
)


class Vgg16(nn.Module):
    """Thirteen convolutions, then two sigmoid units for x and y.

    Parameters
    ----------
    height, width : int
        Size of the input in pixels, multiples of 32; 64 x 128 in the paper.
    channels : float
        Factor on all numbers of channels; 1.0 is the published network.

    Raises
    ------
    ValueError
        If a side of the input is no multiple of 32.

    Notes
    -----
    The layers are those of torchvision's `vgg16_bn` without its classifier, for one grey channel
    and with the epsilon of Keras.
    """

    def __init__(self, height: int = 64, width: int = 128, channels: float = 1.0) -> None:
        super().__init__()
        if height % 32 or width % 32:
            raise ValueError(f"an input of {height} x {width} px has a side not a multiple of 32")
        layers: list[nn.Module] = []
        inputs = 1
        for group in GROUPS:
            outputs = scaled(channels, *group)
            layers += [block(inputs, *outputs), nn.MaxPool2d(2)]
            inputs = outputs[-1]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(inputs * (height // 32) * (width // 32), 2)

    def forward(self, x: Tensor) -> NetworkOutput:
        """Map pictures (B, 1, H, W) to (x, y) in 0..1; this network has no attention."""
        return NetworkOutput(
            heatmap=None,
            xy=torch.sigmoid(self.head(self.features(x).flatten(1))),
            presence=None,
            attention=(),
        )

"""ResNet50 as a regressor of two coordinates (P20: Leitner et al. 2020, Table IV)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.networks.layers import scaled

#: Blocks and inner channels of the four stages (He et al. 2016, doi:10.1109/CVPR.2016.90).
STAGES: tuple[tuple[int, int], ...] = ((3, 64), (4, 128), (6, 256), (3, 512))

#: A block's output has this many times its inner channels.
EXPANSION = 4

#: Epsilon of batch normalisation in the ResNet50 that comes with Keras since 2.2.5.
EPSILON = 1.001e-5


class Bottleneck(nn.Module):
    """Convolutions 1 x 1, 3 x 3, 1 x 1 around a shortcut; the first one strides, as in Keras.

    Parameters
    ----------
    inputs, inner : int
        Channels in, and of the two inner convolutions.
    stride : int
        Of the first convolution and of the shortcut.
    project : bool
        Whether the shortcut is a convolution, as in the first block of each stage.
    epsilon : float
        Of the batch normalisations.
    """

    def __init__(
        self, inputs: int, inner: int, stride: int, *, project: bool, epsilon: float
    ) -> None:
        super().__init__()
        outputs = EXPANSION * inner
        self.conv1 = nn.Conv2d(inputs, inner, 1, stride)
        self.norm1 = nn.BatchNorm2d(inner, eps=epsilon)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(inner, eps=epsilon)
        self.conv3 = nn.Conv2d(inner, outputs, 1)
        self.norm3 = nn.BatchNorm2d(outputs, eps=epsilon)
        self.shortcut = (
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs, eps=epsilon)
            )
            if project
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, 4 * inner, h / stride, w / stride)."""
        inner = F.relu(self.norm1(self.conv1(x)), inplace=True)
        inner = F.relu(self.norm2(self.conv2(inner)), inplace=True)
        return F.relu(self.norm3(self.conv3(inner)) + self.shortcut(x), inplace=True)


class ResNet50(nn.Module):
    """Fifty layers, global average pooling, then two sigmoid units for x and y.

    Parameters
    ----------
    channels : float
        Factor on all numbers of channels; 1.0 is the published network.
    epsilon : float
        Of the batch normalisations.

    Notes
    -----
    Convolutions carry biases and the first one of a block strides, as in the ResNet50 of Keras,
    where the published networks were trained; torchvision's strides in the second.
    """

    def __init__(self, channels: float = 1.0, epsilon: float = EPSILON) -> None:
        super().__init__()
        (stem,) = scaled(channels, 64)
        self.stem = nn.Sequential(
            nn.Conv2d(1, stem, 7, 2, padding=3),
            nn.BatchNorm2d(stem, eps=epsilon),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, padding=1),
        )
        stages: list[nn.Module] = []
        inputs = stem
        for number, (blocks, published) in enumerate(STAGES):
            (inner,) = scaled(channels, published)
            for place in range(blocks):
                first = place == 0
                stride = 2 if first and number else 1
                stages.append(Bottleneck(inputs, inner, stride, project=first, epsilon=epsilon))
                inputs = EXPANSION * inner
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(inputs, 2)

    def forward(self, x: Tensor) -> NetworkOutput:
        """Map pictures (B, 1, H, W) to (x, y) in 0..1; this network has no attention."""
        pooled = self.stages(self.stem(x)).mean((2, 3))
        return NetworkOutput(
            heatmap=None, xy=torch.sigmoid(self.head(pooled)), presence=None, attention=()
        )

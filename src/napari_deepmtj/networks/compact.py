"""The default network: a small attention-gated encoder-decoder with a heat map.

The picture is folded fourfold into channels at once (space to depth), so that no layer runs at
full resolution, which is what makes it fast on a CPU. Two additive attention gates (after
Oktay et al., Attention U-Net, arXiv:1804.03999) choose what the skips let through; their maps
are the network's attention.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_deepmtj.networks.interface import NetworkOutput

#: Pixels of the shrunk input per heat-map pixel.
STRIDE = 4


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a shortcut, the first one dilated.

    Parameters
    ----------
    channels : int
        Channels in and out.
    dilation : int
        Dilation of the first convolution.
    """

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, dilation, dilation, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to the same shape."""
        return F.relu(x + self.body(x), inplace=True)


class Gate(nn.Module):
    """Additive attention: how much of each position of a skip is let through.

    Parameters
    ----------
    skip, context : int
        Channels of the skip and of the coarser, already up-sampled context.
    inner : int
        Channels in which the two are compared.
    """

    def __init__(self, skip: int, context: int, inner: int) -> None:
        super().__init__()
        self.of_skip = nn.Conv2d(skip, inner, 1)
        self.of_context = nn.Conv2d(context, inner, 1, bias=False)
        self.score = nn.Conv2d(inner, 1, 1)

    def forward(self, skip: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gated skip (B, C, h, w) and the attention (B, 1, h, w) in 0..1."""
        joint = F.relu(self.of_skip(skip) + self.of_context(context))
        attention = torch.sigmoid(self.score(joint))
        return skip * attention, attention


class CompactNet(nn.Module):
    """Attention-gated heat-map network for inputs whose sides are multiples of 16 * shrink.

    Parameters
    ----------
    channels : tuple of int
        Channels at 1/4, 1/8 and 1/16 of the shrunk input's resolution.
    shrink : int
        Factor by which the input is averaged down at once. What tells the junction is coarse;
        the finest grain of a picture is the scanner's own, and the least like a made-up one.
    mirror : bool
        In evaluation, average the picture and its mirror image, at twice the time: heat maps as
        probabilities, the rest as it is.
    """

    def __init__(
        self,
        channels: tuple[int, int, int] = (24, 48, 96),
        shrink: int = 1,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.shrink = shrink
        self.mirror = mirror
        fine, middle, coarse = channels
        self.fold = nn.PixelUnshuffle(STRIDE)
        self.fine = nn.Sequential(_conv(STRIDE**2, fine), Residual(fine))
        self.middle = nn.Sequential(_conv(fine, middle, stride=2), Residual(middle))
        self.coarse = nn.Sequential(
            _conv(middle, coarse, stride=2), Residual(coarse, 2), Residual(coarse, 4)
        )
        self.presence = nn.Linear(2 * coarse, 1)
        self.gate_middle = Gate(middle, coarse, middle // 2)
        self.merge_middle = _conv(middle + coarse, middle)
        self.gate_fine = Gate(fine, middle, fine // 2)
        self.merge_fine = nn.Sequential(_conv(fine + middle, fine), Residual(fine))
        self.head = nn.Conv2d(fine, 1, 1)

    def forward(self, x: Tensor) -> NetworkOutput:
        """Map pictures (B, 1, H, W) in -1..1 to a heat map (B, h, w) and attention.

        A heat-map pixel is `STRIDE * shrink` input pixels wide. The features are means and
        maxima of the coarse channels. Presence weighs what they say against the heat map's own
        evidence, the logarithm of its mean, as a class "nowhere" beside the places would.
        """
        heat, presence, attention, features = self._straight(x)
        if self.mirror and not self.training:
            back, presence_back, gates, features_back = self._straight(x.flip(3))
            heat = torch.stack([heat, back.flip(2)]).logsumexp(dim=0) - math.log(2.0)
            presence = (presence + presence_back) / 2
            attention = (
                (attention[0] + gates[0].flip(2)) / 2,
                (attention[1] + gates[1].flip(2)) / 2,
            )
            features = (features + features_back) / 2
        return NetworkOutput(heat, None, presence, attention, features)

    def _straight(self, x: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], Tensor]:
        """Return heat map, presence, attention and features of pictures as they are."""
        if self.shrink > 1:
            x = F.avg_pool2d(x, self.shrink)
        fine = self.fine(self.fold(x))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        pooled = torch.cat([coarse.mean((2, 3)), coarse.amax((2, 3))], dim=1)
        up = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        gated, attention_middle = self.gate_middle(middle, up)
        context = self.merge_middle(torch.cat([gated, up], dim=1))
        up = F.interpolate(context, scale_factor=2.0, mode="bilinear", align_corners=False)
        gated, attention_fine = self.gate_fine(fine, up)
        heat = self.head(self.merge_fine(torch.cat([gated, up], dim=1)))[:, 0]
        places = heat.float().flatten(1)
        evidence = places.logsumexp(dim=1) - math.log(places.shape[1])
        presence = self.presence(pooled)[:, 0] + evidence
        return heat, presence, (attention_middle[:, 0], attention_fine[:, 0]), pooled

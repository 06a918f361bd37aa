"""From the grey levels of a region to the input of a network.

All geometry comes from `core.geometry.PixelMap`; training and inference both go through here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import PixelMap, Roi
from napari_deepmtj.errors import VideoError, WeightsError

if TYPE_CHECKING:
    import torch

UInt8Array = npt.NDArray[np.uint8]

#: Frames that are resized as the channels of one picture, see `to_network_inputs`.
RESIZED_TOGETHER = 4


def to_network_input(frame_roi: UInt8Array, pixel_map: PixelMap) -> UInt8Array:
    """Resize the region of one frame and place it in the network's black input.

    Parameters
    ----------
    frame_roi : ndarray of uint8, shape (h, w)
        Grey levels of `pixel_map.roi`.
    pixel_map : PixelMap
        Where they go.

    Returns
    -------
    ndarray of uint8, shape (H, W)
        What `to_network_inputs` makes of it.

    Raises
    ------
    VideoError
        If the frame is not of the region's size.
    """
    require_region(frame_roi, pixel_map.roi)
    alone: UInt8Array = to_network_inputs(np.array(frame_roi[None]), pixel_map)[0]
    return alone


def to_network_inputs(regions: UInt8Array, pixel_map: PixelMap) -> UInt8Array:
    """Resize the regions of several frames and place each in the network's black input.

    The triangle filter of torch, which widens when shrinking, so nothing aliases, and is linear
    interpolation when enlarging; its convention for pixel centres is that of `PixelMap`. It is
    Pillow's to a grey level, and with four frames as the channels of one picture five times as
    fast, because that is what its vector code is made for. How many frames come together does
    not change any.

    Parameters
    ----------
    regions : ndarray of uint8, shape (B, h, w)
        Grey levels of `pixel_map.roi`; writable, left as they are.
    pixel_map : PixelMap
        Where they go.

    Returns
    -------
    ndarray of uint8, shape (B, H, W)
        `pixel_map.out_height` x `pixel_map.out_width` pixels each.
    """
    import torch
    import torch.nn.functional as F

    size = (pixel_map.content_height, pixel_map.content_width)
    out = np.zeros((len(regions), pixel_map.out_height, pixel_map.out_width), dtype=np.uint8)
    if regions.shape[1:] == size:
        out[:, *pixel_map.content] = regions
        return out
    for start in range(0, len(regions), RESIZED_TOGETHER):
        these = slice(start, start + RESIZED_TOGETHER)
        together = torch.from_numpy(regions[these])[None]
        resized = F.interpolate(together, size=size, mode="bilinear", antialias=True)
        out[these, *pixel_map.content] = resized[0].numpy()
    return out


def require_region(frame_roi: UInt8Array, roi: Roi) -> None:
    """Raise unless a picture has the size of the region.

    Raises
    ------
    VideoError
        If it has another.
    """
    expected = (roi.height, roi.width)
    if frame_roi.shape != expected:
        raise VideoError(
            f"a frame has {frame_roi.shape} grey levels (height, width) where the region has "
            f"{expected}; the picture size changes within the clip"
        )


def normalise(
    batch: UInt8Array,
    how: str,
    *,
    content: tuple[slice, slice] | None = None,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Turn grey levels into the numbers a network was trained on.

    Parameters
    ----------
    batch : ndarray of uint8, shape (B, H, W)
        Network inputs as `to_network_input` makes them.
    how : str
        "minus-one-one": 0..255 to -1..1 (P20, Leitner et al. 2020,
        doi:10.1109/EMBC44109.2020.9176145). "standardise": each picture to mean 0 and
        standard deviation 1 (P21, Leitner et al. 2022, doi:10.1109/TBME.2021.3130548); a
        picture of one grey level becomes 0.
    content : tuple of slice, optional
        Rows and columns of the picture, `PixelMap.content`. Statistics are taken there alone, so
        that padding does not shift the grey of the picture; padding is then what black in the
        picture would be. P21's networks, whose crops fill the input, see no difference. The
        whole input by default.
    device : torch.device or str
        Where the result is computed; grey levels travel there as bytes.

    Returns
    -------
    Tensor of float32, shape (B, 1, H, W)

    Raises
    ------
    WeightsError
        If `how` is unknown.
    """
    import torch

    return normalise_grey(torch.from_numpy(batch).to(device), how, content=content)


def normalise_grey(
    batch: torch.Tensor, how: str, *, content: tuple[slice, slice] | None = None
) -> torch.Tensor:
    """Do as `normalise`, with grey levels, uint8 (B, H, W), that are on their device already."""
    import torch

    grey = batch[:, None].float()
    if how == "minus-one-one":
        return grey.div_(127.5).sub_(1.0)
    if how == "standardise":
        picture = grey if content is None else grey[:, :, content[0], content[1]]
        sd, mean = torch.std_mean(picture, dim=(1, 2, 3), correction=0, keepdim=True)
        return (grey - mean) / torch.where(sd > 0, sd, torch.ones_like(sd))
    raise WeightsError(f"the normalisation {how!r} is unknown to this version")

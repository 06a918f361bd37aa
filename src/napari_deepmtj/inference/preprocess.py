"""From the grey levels of a region to the input of a network.

All geometry comes from `core.geometry.PixelMap`; training and inference both go through here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import PixelMap, Roi
from napari_deepmtj.errors import VideoError, WeightsError
from napari_deepmtj.inference.resize import resize

if TYPE_CHECKING:
    import torch

UInt8Array = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]


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
    alone: UInt8Array = to_network_inputs(frame_roi[None], pixel_map)[0]
    return alone


def to_network_inputs(regions: UInt8Array, pixel_map: PixelMap) -> UInt8Array:
    """Resize the regions of several frames and place each in the network's black input.

    By `resize.resize`, whose convention for pixel centres is that of `PixelMap`. How many frames
    come together does not change any.

    Parameters
    ----------
    regions : ndarray of uint8, shape (B, h, w)
        Grey levels of `pixel_map.roi`.
    pixel_map : PixelMap
        Where they go.

    Returns
    -------
    ndarray of uint8, shape (B, H, W)
        `pixel_map.out_height` x `pixel_map.out_width` pixels each.
    """
    size = (pixel_map.content_height, pixel_map.content_width)
    out = np.zeros((len(regions), pixel_map.out_height, pixel_map.out_width), dtype=np.uint8)
    same = regions.shape[1:] == size
    out[:, *pixel_map.content] = regions if same else resize(regions, *size)
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


def normalised(
    batch: UInt8Array, how: str, *, content: tuple[slice, slice] | None = None
) -> FloatArray:
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

    Returns
    -------
    ndarray of float32, shape (B, 1, H, W)

    Raises
    ------
    WeightsError
        If `how` is unknown.
    """
    grey: FloatArray = batch[:, None].astype(np.float32)
    if how == "minus-one-one":
        grey /= np.float32(127.5)
        grey -= np.float32(1.0)
        return grey
    if how == "standardise":
        picture = batch if content is None else batch[:, content[0], content[1]]
        axes = (1, 2)
        mean = np.asarray(picture.mean(axis=axes, dtype=np.float64), dtype=np.float32)
        sd = np.asarray(picture.std(axis=axes, dtype=np.float64), dtype=np.float32)
        grey -= mean[:, None, None, None]
        grey /= np.where(sd > 0, sd, np.float32(1.0))[:, None, None, None]
        return grey
    raise WeightsError(f"the normalisation {how!r} is unknown to this version")


def normalise(
    batch: UInt8Array, how: str, *, content: tuple[slice, slice] | None = None
) -> torch.Tensor:
    """Do as `normalised`, and return a Tensor."""
    import torch

    return torch.from_numpy(normalised(batch, how, content=content))


def normalise_grey(
    batch: torch.Tensor, how: str, *, content: tuple[slice, slice] | None = None
) -> torch.Tensor:
    """Do as `normalised`, with grey levels, uint8 (B, H, W), that are on a device already."""
    import torch

    grey = batch[:, None].float()
    if how == "minus-one-one":
        return grey.div_(127.5).sub_(1.0)
    if how == "standardise":
        picture = grey if content is None else grey[:, :, content[0], content[1]]
        sd, mean = torch.std_mean(picture, dim=(1, 2, 3), correction=0, keepdim=True)
        return (grey - mean) / torch.where(sd > 0, sd, torch.ones_like(sd))
    raise WeightsError(f"the normalisation {how!r} is unknown to this version")

"""From decoded pictures to exact grey levels, the ones a person would measure.

Full-range luma is taken as it is, limited-range luma is stretched, and colour is weighted by
ITU-R BT.601 so that a grey picture stored as colour comes back unchanged. Nothing here opens
files.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Roi

if TYPE_CHECKING:
    import av

UInt8Array = npt.NDArray[np.uint8]
AnyArray = npt.NDArray[Any]
ColourRange = Literal["full", "limited"]

#: ITU-R BT.601 luma weights 0.299, 0.587, 0.114 in 1/65536; they add up to 65536, so that
#: r == g == b gives exactly that level.
LUMA_WEIGHTS = (19595, 38470, 7471)

#: Lowest and highest luma of limited ("studio") range at 8 bit, ITU-R BT.601.
LIMITED_LOW, LIMITED_SPAN = 16, 219

#: Packed 8-bit formats: offset and step of the luma bytes in a row.
_PACKED = {"yuyv422": (0, 2), "yvyu422": (0, 2), "uyvy422": (1, 2), "ya8": (0, 2)}

#: `profile_idc` of the H.264 profiles whose sequence parameter set names the chroma format
#: (ITU-T H.264, 7.3.2.1.1).
_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)

#: `AVColorRange` of FFmpeg.
_TAGS: dict[int, ColourRange] = {1: "limited", 2: "full"}


def luma(rgb: AnyArray) -> UInt8Array:
    """Return the grey levels of colours.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (..., 3 or more)
        Red, green, blue; anything beyond (alpha) is left out.

    Returns
    -------
    ndarray of uint8, shape (...)
        BT.601 full-range luma, rounded.
    """
    total = np.full(rgb.shape[:-1], 32768, dtype=np.uint32)
    for channel, weight in enumerate(LUMA_WEIGHTS):
        total += rgb[..., channel].astype(np.uint32) * np.uint32(weight)
    grey: UInt8Array = (total >> 16).astype(np.uint8)
    return grey


@cache
def luma_table(colour_range: ColourRange, bits: int = 8) -> UInt8Array:
    """Return the grey level of every luma value, shape (2 ** bits,)."""
    values = np.arange(2**bits, dtype=np.float64)
    if colour_range == "full":
        grey = values * 255 / (2**bits - 1)
    else:
        unit = 2 ** (bits - 8)
        grey = (values - LIMITED_LOW * unit) * 255 / (LIMITED_SPAN * unit)
    table: UInt8Array = np.clip(np.floor(grey + 0.5), 0, 255).astype(np.uint8)
    table.setflags(write=False)
    return table


def range_of(frame: av.VideoFrame, override: ColourRange | None = None) -> tuple[ColourRange, str]:
    """Return the luma range of a frame, and who says so.

    Returns
    -------
    colour_range : {"full", "limited"}
        Colour and palette pictures are always "full".
    said_by : {"override", "format", "tag", "assumed"}
        Untagged greyscale video is taken as full range, untagged YUV as limited, which is
        what FFmpeg and players do.
    """
    name = frame.format.name
    if name.startswith("yuvj") or _is_colour(frame):
        return "full", "format"
    if override is not None:
        return override, "override"
    tag = _TAGS.get(int(frame.color_range))
    if tag is not None:
        return tag, "tag"
    return ("full" if name.startswith(("gray", "ya")) else "limited"), "assumed"


def is_monochrome_h264(extradata: bytes | None) -> bool:
    """Whether an H.264 stream has no colour (4:0:0), which the decoder's pixel format hides.

    Parameters
    ----------
    extradata : bytes or None
        The codec's set-up, as in MP4 ("avcC") or as in a stream (with start codes).
    """
    data = extradata or b""
    start = 8 if data[:1] == b"\1" else data.find(b"\0\0\1") + 3
    sps = data[start : start + 16].replace(b"\0\0\3", b"\0\0")  # undo emulation prevention
    if len(sps) < 5 or sps[0] & 31 != 7 or sps[1] not in _HIGH_PROFILES:
        return False
    bits = "".join(f"{byte:08b}" for byte in sps[4:])
    _, rest = _exp_golomb(bits)  # seq_parameter_set_id
    chroma_format, _ = _exp_golomb(rest)
    return chroma_format == 0


def grey_of(
    frame: av.VideoFrame, roi: Roi | None = None, override: ColourRange | None = None
) -> UInt8Array:
    """Return the grey levels of a decoded frame, cropped to `roi`.

    Returns
    -------
    ndarray of uint8, shape (height, width) of the region
        A copy; the frame may be forgotten.
    """
    crop = (slice(None), slice(None)) if roi is None else roi.slices
    if _is_colour(frame):
        rgb = frame.reformat(format="rgb24")
        rows = _rows(rgb, np.uint8)[:, : 3 * rgb.width].reshape(rgb.height, rgb.width, 3)
        return luma(rows[crop])
    colour_range, _ = range_of(frame, override)
    bits = frame.format.components[0].bits
    name = frame.format.name
    upright = frame.planes[0].line_size > 0
    if name in _PACKED and upright:
        offset, step = _PACKED[name]
        view = _rows(frame, np.uint8)[:, offset : step * frame.width : step]
    elif _has_luma_plane(frame) and upright:
        view = _rows(frame, np.uint8 if bits == 8 else np.dtype("<u2"))[:, : frame.width]
    else:
        tag = "JPEG" if colour_range == "full" else "MPEG"
        frame = frame.reformat(format="yuv444p", src_color_range=tag, dst_color_range=tag)
        view, bits = _rows(frame, np.uint8)[:, : frame.width], 8
    if colour_range == "full" and bits == 8:
        return np.ascontiguousarray(view[crop]).copy()
    grey: UInt8Array = np.take(luma_table(colour_range, bits), view[crop])
    return grey


def _rows(frame: av.VideoFrame, dtype: npt.DTypeLike) -> AnyArray:
    """View the first plane as rows, padding included."""
    plane: Any = frame.planes[0]
    flat: AnyArray = np.frombuffer(plane, dtype=dtype)
    per_row = plane.line_size // flat.itemsize
    return flat[: frame.height * per_row].reshape(frame.height, per_row)


def _is_colour(frame: av.VideoFrame) -> bool:
    """Whether the picture is stored as RGB or through a palette, or one bit deep."""
    form = frame.format
    return bool(form.is_rgb or form.has_palette or form.is_bit_stream)


def _has_luma_plane(frame: av.VideoFrame) -> bool:
    """Whether the first plane is luma alone, as unsigned integers in the machine's order."""
    form = frame.format
    first, *others = form.components
    if any(other.plane == first.plane for other in others):
        return False
    if first.bits == 8:
        return True
    shifted = form.name.startswith(("p0", "p2", "p4", "grayf"))
    return first.bits <= 16 and not form.is_big_endian and not shifted


def _exp_golomb(bits: str) -> tuple[int, str]:
    """Return an unsigned Exp-Golomb number and the bits behind it (ITU-T H.264, 9.1)."""
    zeros = len(bits) - len(bits.lstrip("0"))
    end = 2 * zeros + 1
    return (int(bits[zeros:end], 2) - 1, bits[end:]) if len(bits) >= end else (-1, "")

"""From decoded pictures to exact grey levels, the ones a person would measure.

Full-range luma is taken as it is, limited-range luma is stretched, and colour is weighted by
ITU-R BT.601 so that a grey picture stored as colour comes back unchanged. Nothing here opens
files.
"""

from __future__ import annotations

from dataclasses import dataclass
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

#: ITU-R BT.601 luma weights in thousandths; they add up to 1000, so that r == g == b gives exactly
#: that level.
LUMA_WEIGHTS = (299, 587, 114)

#: Lowest and highest luma of limited ("studio") range at 8 bit, ITU-R BT.601.
LIMITED_LOW, LIMITED_SPAN = 16, 219

#: Grey levels between red, green and blue from which on a colour is no cast of a grey.
STRONG = 80

#: Packed 8-bit formats: offset and step of the luma bytes in a row.
_PACKED = {"yuyv422": (0, 2), "yvyu422": (0, 2), "uyvy422": (1, 2), "ya8": (0, 2)}

#: `profile_idc` of the H.264 profiles whose sequence parameter set names the chroma format
#: (ITU-T H.264, 7.3.2.1.1).
_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)

#: Luma outside of these (8 bit) is beyond what even the ringing of limited range reaches, and a
#: thousandth of a picture out there is no accident.
_NEVER_LIMITED, _NO_ACCIDENT = (8, 243), 1e-3

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
    total = np.full(rgb.shape[:-1], 500, dtype=np.uint32)
    for channel, weight in enumerate(LUMA_WEIGHTS):
        total += rgb[..., channel].astype(np.uint32) * np.uint32(weight)
    grey: UInt8Array = (total // np.uint32(1000)).astype(np.uint8)
    return grey


def coloured(frame: av.VideoFrame) -> float | None:
    """Return the share of a picture in strong colours; None if it cannot have any.

    Looked at on about 64 rows, so that it takes a moment; a colour is strong where red, green and
    blue are further apart than `STRONG`.
    """
    if len(frame.format.components) < 3 and not frame.format.has_palette:
        return None
    few = max(1, frame.height // 64)
    width, height = max(8, frame.width // few), max(8, frame.height // few)
    rgb = frame.reformat(width, height, "rgb24", interpolation="POINT")
    rows = _rows(rgb, np.uint8)[:, : 3 * width].reshape(height, width, 3)
    return float((np.ptp(rows, axis=2) > STRONG).mean())


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


@dataclass(frozen=True, slots=True)
class Levels:
    """Which luma range a clip has, and who says so.

    Parameters
    ----------
    colour_range : {"full", "limited"}
        Pictures in colours or with a palette are "full": they are weighted, not stretched.
    said_by : {"override", "format", "tag", "samples", "assumed"}
        Untagged greyscale is taken as full range, untagged YUV as limited, which is what FFmpeg
        and players do.
    doubt : str or None
        What a person must be told, to follow the name of the clip.
    """

    colour_range: ColourRange
    said_by: str
    doubt: str | None = None

    @classmethod
    def of(
        cls, frame: av.VideoFrame, override: ColourRange | None = None, *, monochrome: bool = False
    ) -> Levels:
        """Return the range of a clip from its first frame.

        Parameters
        ----------
        frame : av.VideoFrame
            The first frame.
        override : {"full", "limited"}, optional
            What a person says, which is believed.
        monochrome : bool
            The stream has no colour though the pixel format has. Some programs write full range
            into such streams without a tag, so the samples are looked at: a range that they
            leave is not theirs.
        """
        if override is not None:
            return cls(override, "override")
        tag = _TAGS.get(int(frame.color_range))
        if _is_colour(frame):
            doubt = (
                "says that its colours are of limited range; they are taken as they are, as FFmpeg "
                f"does; {_remedy('limited')} if its black is grey"
            )
            return cls("full", "format", doubt if tag == "limited" else None)
        if frame.format.name.startswith("yuvj"):
            return cls("full", "format")
        grey = monochrome or frame.format.name.startswith(("gray", "ya"))
        beyond = grey and tag != "full" and _leaves_limited(frame)
        if tag is not None and not beyond:
            return cls(tag, "tag")
        if tag is not None:
            return cls(
                "full",
                "samples",
                "says that it is of limited range, but its first picture goes beyond 16 .. 235; it "
                f"is taken as full range; {_remedy('limited')} if that is wrong",
            )
        if not grey:
            return cls("limited", "assumed")
        if beyond or not monochrome:
            return cls("full", "samples" if beyond else "assumed")
        return cls(
            "limited",
            "assumed",
            "is greyscale that does not say its range; its first picture keeps to 16 .. 235, "
            f"which is stretched to 0 .. 255, as players do; {_remedy('full')} if its contrast "
            "is too high",
        )

    @property
    def forced(self) -> ColourRange | None:
        """The range to use whatever a later frame says; None if each speaks for itself."""
        return None if self.said_by in ("format", "tag") else self.colour_range


def _remedy(colour_range: ColourRange) -> str:
    """Return what a person may do who knows the range of a clip better."""
    return f'write "colour_range": "{colour_range}" into its side-car (<stem>.mtj-clip.json)'


def _leaves_limited(frame: av.VideoFrame) -> bool:
    """Whether the luma of a frame goes where that of limited range never does."""
    view, bits = _luma_of(frame)
    low, high = (level << (bits - 8) for level in _NEVER_LIMITED)
    return float(np.mean((view < low) | (view > high))) > _NO_ACCIDENT


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
        grey = _luma_of_colours(frame, crop)
        return grey if override != "limited" else luma_table("limited")[grey]
    colour_range = Levels.of(frame, override).colour_range
    view, bits = _luma_of(frame, colour_range)
    if colour_range == "full" and bits == 8:
        return np.ascontiguousarray(view[crop]).copy()
    taken: UInt8Array = np.take(luma_table(colour_range, bits), view[crop])
    return taken


def _luma_of_colours(frame: av.VideoFrame, crop: tuple[slice, slice]) -> UInt8Array:
    """Return the luma of a picture in colours."""
    rgb = frame.reformat(format="rgb24")
    return luma(_rows(rgb, np.uint8)[:, : 3 * rgb.width].reshape(rgb.height, rgb.width, 3)[crop])


def _luma_of(frame: av.VideoFrame, colour_range: ColourRange = "limited") -> tuple[AnyArray, int]:
    """View the luma samples of a YUV or grey frame, shape (height, width); return their bits."""
    name = frame.format.name
    upright = frame.planes[0].line_size > 0
    if name in _PACKED and upright:
        offset, step = _PACKED[name]
        return _rows(frame, np.uint8)[:, offset : step * frame.width : step], 8
    if _has_luma_plane(frame) and upright:
        bits = frame.format.components[0].bits
        return _rows(frame, np.uint8 if bits == 8 else np.dtype("<u2"))[:, : frame.width], bits
    tag = "JPEG" if colour_range == "full" else "MPEG"
    frame = frame.reformat(format="yuv444p", src_color_range=tag, dst_color_range=tag)
    return _rows(frame, np.uint8)[:, : frame.width], 8


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

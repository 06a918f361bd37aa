"""From the bytes of one DICOM picture to its grey levels, whatever the photometric kind and codec.

Where the bytes lie in the file is the business of `_dicom_file.py`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.grey import luma, luma_table
from napari_deepmtj.video.stacks.stack import require_size

AnyArray = npt.NDArray[Any]
UInt8Array = npt.NDArray[np.uint8]

#: Photometric interpretations of three and of one sample, DICOM PS3.3 C.7.6.3.1.2.
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_RCT", "YBR_ICT")
_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")

#: Transfer syntaxes of lossless JPEG, DICOM PS3.6 A.
_LOSSLESS_JPEG = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")

#: Markers of the segment that says how large a JPEG picture is; of JPEG-LS the last one.
_JPEG_FRAMES = (*set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}, 0xF7)

#: Samples of a pixel: colour and transparency.
_MOST_SAMPLES = 4

#: A run of PackBits, of 2 bytes, makes 128 at most.
_RLE_GAIN = 64


class Pixels:
    """How the pictures of one DICOM file are laid out, and how they become grey.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The header; it is not kept.

    Attributes
    ----------
    size : int
        Bytes of one picture that is not compressed.
    window : (float, float) or None
        Values shown as black and as white, where the header has a window for deep pictures.
    lut : str or None
        Which tables of the header deep pictures go through.

    Raises
    ------
    VideoError
        If pictures of this kind are not read.
    """

    def __init__(self, dataset: Any) -> None:
        from pydicom.uid import RLELossless

        self.syntax = dataset.file_meta.TransferSyntaxUID
        self.height, self.width = int(dataset.Rows), int(dataset.Columns)
        require_size(self.height, self.width)
        self.photometric = str(dataset.get("PhotometricInterpretation", "")).strip()
        self.samples = int(dataset.get("SamplesPerPixel") or 1)
        self.cell = int(dataset.BitsAllocated)
        self.bits = int(dataset.get("BitsStored") or self.cell)
        self.window: tuple[float, float] | None = None
        self.lut: str | None = None
        self._signed = bool(dataset.get("PixelRepresentation") or 0)
        self._planar = bool(dataset.get("PlanarConfiguration") or 0)
        high = dataset.get("HighBit")
        lowest = 0 if high is None else int(high) + 1 - self.bits
        colour, grey = self.photometric in _COLOUR, self.photometric in _GREY
        if (
            not ((colour and self.samples == 3) or (grey and self.samples == 1))
            or self.cell not in (8, 16)
            or not 0 < self.bits <= self.cell - lowest <= self.cell
        ):
            raise VideoError(
                f"has {self.samples} samples of {self.bits} in {self.cell} bits a pixel; 8 or 16 "
                "bits of grey, palette, RGB or YBR are read"
            )
        compressed = bool(self.syntax.is_encapsulated)
        # Codecs but RLE keep values, and not the cells in which the header places them.
        self._shift = 0 if compressed and self.syntax != RLELossless else lowest
        self._halved = self.photometric.endswith("_422") and not compressed
        if self._halved and (self.width % 2 or self.cell != 8):
            raise VideoError("has 4:2:2 colour of an impossible size; export it again")
        samples = 2 if self._halved else self.samples
        self.size = self.height * self.width * samples * self.cell // 8
        self._table = self._make_table(dataset)

    def grey(self, data: bytes) -> AnyArray:
        """Return one picture.

        Parameters
        ----------
        data : bytes
            As in the file.

        Returns
        -------
        ndarray of uint8, shape (height, width)
            Grey levels; deeper integers where only the whole clip can give them a window.
        """
        if self.syntax.is_encapsulated:
            picture = self._decode(data)
        else:
            order = "<" if self.syntax.is_little_endian else ">"
            picture = self._shaped(np.frombuffer(data, f"{order}u{self.cell // 8}"), self._planar)
        self._require_size(*picture.shape[:2])
        return self._luma(picture) if self.samples == 3 else self._level(picture)

    def contradictions(self, data: bytes) -> list[str]:
        """Return where a JPEG picture says other things of its colours than the header.

        It is then decoded as the picture says.

        Parameters
        ----------
        data : bytes
            As in the file.
        """
        declared = _declared(data)
        if declared is None or self.syntax.is_encapsulated is False:
            return []
        told = []
        if declared[2] != self.samples:
            told.append(
                f"its pictures have {declared[2]} samples a pixel, the header says {self.samples} "
                f"({self.photometric}); they are read as they are"
            )
        model = _colour_model(data)
        stored = "RGB" if self.photometric == "RGB" else "YBR"
        if declared[2] == 3 == self.samples and model not in (None, stored):
            told.append(
                f"its pictures say that their colours are {model}, the header says "
                f"{self.photometric}; the pictures are believed"
            )
        return told

    def _require_size(self, height: int, width: int) -> None:
        if (height, width) != (self.height, self.width):
            raise VideoError(
                f"is a picture of {width} x {height} px, the header says {self.width} x "
                f"{self.height}; export it again"
            )

    def _shaped(self, flat: AnyArray, planar: bool) -> AnyArray:
        """Return the samples of one picture as (height, width) or (height, width, 3)."""
        if self._halved:  # Y Y Cb Cr for two pixels: the luma is all that is needed
            return flat.reshape(self.height, -1, 4)[..., :2].reshape(self.height, self.width)
        if self.samples == 1:
            return flat.reshape(self.height, self.width)
        if planar:
            return np.moveaxis(flat.reshape(3, self.height, self.width), 0, -1)
        return flat.reshape(self.height, self.width, 3)

    def _decode(self, data: bytes) -> AnyArray:
        """Return the samples of one compressed picture; the luma alone of a lossy JPEG."""
        import imagecodecs
        from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, RLELossless

        if self.syntax == RLELossless:
            if self.size > _RLE_GAIN * len(data):
                raise VideoError("is a picture smaller than its header says; export it again")
            kind = f"<u{self.cell // 8}"
            flat = np.frombuffer(imagecodecs.dicomrle_decode(data, kind), kind)
            count = self.height * self.width * self.samples
            if len(flat) < count:
                raise VideoError("is a picture smaller than its header says; export it again")
            return self._shaped(flat[:count], planar=True)
        declared = _declared(data)  # before a decoder takes memory for it
        if declared is None:
            raise VideoError("is a damaged picture; copy the file again")
        self._require_size(*declared[:2])
        if declared[2] > _MOST_SAMPLES:
            raise VideoError(f"is a picture of {declared[2]} samples a pixel; export it again")
        if self.syntax in JPEG2000TransferSyntaxes:
            return np.asarray(imagecodecs.jpeg2k_decode(data))
        if b"\xff\xd9" not in data[-16:]:  # its decoders make up what is missing
            raise VideoError("is a picture that was cut off; copy the file again")
        if self.syntax in JPEGLSTransferSyntaxes:
            return np.asarray(imagecodecs.jpegls_decode(data))
        if self.syntax in _LOSSLESS_JPEG:
            return np.asarray(imagecodecs.jpegsof3_decode(data))
        if self.photometric == "RGB" and not _says_colours(data):
            return np.asarray(imagecodecs.jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB"))
        return np.asarray(imagecodecs.jpeg8_decode(data, outcolorspace="GRAYSCALE"))

    def _luma(self, picture: AnyArray) -> UInt8Array:
        """Return the grey levels of a colour picture."""
        if self.bits > 8:
            picture = picture >> (self.bits - 8)
        if picture.ndim == 3:
            # JPEG 2000 undoes YBR_RCT and YBR_ICT itself
            if self.photometric in ("RGB", "YBR_RCT", "YBR_ICT"):
                return luma(picture.astype(np.uint8))
            picture = picture[..., 0]
        grey: UInt8Array = picture.astype(np.uint8)
        return luma_table("limited")[grey] if self.photometric.startswith("YBR_PARTIAL") else grey

    def _level(self, picture: AnyArray) -> AnyArray:
        """Return the grey levels, or the numbers, of a picture of one sample a pixel."""
        stored = (picture.astype(np.uint16) >> self._shift) & np.uint16(2**self.bits - 1)
        return np.asarray(self._table[stored])

    def _numbers(self, stored: AnyArray) -> npt.NDArray[np.int32]:
        """Return stored bits as numbers."""
        values: npt.NDArray[np.int32] = stored.astype(np.int32)
        sign = 2 ** (self.bits - 1)
        return (values ^ sign) - sign if self._signed else values

    def _make_table(self, dataset: Any) -> AnyArray:
        """Return the grey level, or the number, that every stored value of one sample becomes."""
        stored = np.arange(2**self.bits, dtype=np.uint8 if self.bits <= 8 else np.uint16)
        if self.samples == 3:
            return stored  # not used
        if self.photometric == "PALETTE COLOR":
            colours = _palette(dataset, self._numbers(stored))
            if colours.max() > 255:  # some write 8-bit colours into 16 bits, unscaled
                colours = colours >> 8
            return luma(colours.astype(np.uint8))
        inverse = self.photometric == "MONOCHROME1"
        values = self._numbers(stored).astype(np.float64)
        if self.bits <= 8:
            return _levels((values - values.min()) / (2**self.bits - 1), inverse)
        values = self._rescaled(values, dataset)
        grey = self._shown(values, dataset)
        if grey is not None:
            return _levels(grey, inverse)
        values = values.max() + values.min() - values if inverse else values
        return values.astype(np.float32)

    def _rescaled(self, values: npt.NDArray[np.float64], dataset: Any) -> npt.NDArray[np.float64]:
        """Return what the file says that stored values mean: a table, or a line."""
        table = next(iter(dataset.get("ModalityLUTSequence") or ()), None)
        if table is not None:
            self.lut = "modality"
            return _looked_up(table, values, dataset, self._signed)[0]
        slope = number(dataset, "RescaleSlope")
        return values * (1.0 if slope is None else slope) + (
            number(dataset, "RescaleIntercept") or 0.0
        )

    def _shown(
        self, values: npt.NDArray[np.float64], dataset: Any
    ) -> npt.NDArray[np.float64] | None:
        """Return black as 0 and white as 1, by the file's table or else its window; None without.

        Where a file has both, they are alternatives (DICOM PS3.3 C.11.2): the table is the one
        that a window cannot stand for.
        """
        table = next(iter(dataset.get("VOILUTSequence") or ()), None)
        if table is not None:
            self.lut = "VOI" if self.lut is None else f"{self.lut}, VOI"
            entries, top = _looked_up(table, values, dataset, bool((values < 0).any()))
            return entries / top
        centre, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
        if centre is None or width is None or width <= 0:
            return None
        self.window = (centre - width / 2, centre + width / 2)
        return _windowed(values, centre, width, str(dataset.get("VOILUTFunction") or "LINEAR"))


def _levels(grey: npt.NDArray[np.float64], inverse: bool) -> UInt8Array:
    """Return 0 to 1 as 0 to 255, or as 255 to 0."""
    grey = 1 - grey if inverse else grey
    table: UInt8Array = np.floor(np.clip(grey, 0, 1) * 255 + 0.5).astype(np.uint8)
    return table


def _looked_up(
    item: Any, values: npt.NDArray[np.float64], dataset: Any, signed: bool
) -> tuple[npt.NDArray[np.float64], int]:
    """Return entries of a table for `values`, and the largest possible one; PS3.3 C.11.1.1.1."""
    size, first, bits = (int(value) for value in item.LUTDescriptor)
    size = size % 2**16 or 2**16
    first = first - 2**16 if signed and first >= 2**15 else first
    data = item.LUTData
    if isinstance(data, bytes):
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
        data = np.frombuffer(data, f"{order}u2")
        if len(data) < size:  # two entries of 8 bit a word, the first one in its low byte
            data = data.astype("<u2").view(np.uint8)
    table = np.atleast_1d(np.asarray(data, dtype=np.float64))
    if not 8 <= bits <= 16 or len(table) < size:
        raise VideoError("has a table of grey levels of an impossible size; export it again")
    place = np.clip(np.floor(values + 0.5) - first, 0, size - 1).astype(np.intp)
    return table[place], 2**bits - 1


def numbers(dataset: Any, name: str) -> list[float]:
    """Return the values of a numeric tag; none if it is absent or empty."""
    value = dataset.get(name)
    if value is None or value == "":
        return []
    several = hasattr(value, "__iter__") and not isinstance(value, str)
    return [float(v) for v in (value if several else [value])]


def number(dataset: Any, name: str) -> float | None:
    """Return the first value of a numeric tag, None if it is absent, empty or not finite."""
    values = numbers(dataset, name)
    return values[0] if values and math.isfinite(values[0]) else None


def _palette(dataset: Any, values: npt.NDArray[np.int32]) -> AnyArray:
    """Return the colours of all values, shape (n, 3), 8 or 16 bit; DICOM PS3.3 C.7.6.3.1.5."""
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        from pydicom.pixels.processing import apply_color_lut

        return np.asarray(apply_color_lut(values, dataset))
    order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
    channels = []
    for colour in ("Red", "Green", "Blue"):
        size, first, _ = dataset[f"{colour}PaletteColorLookupTableDescriptor"].value
        size = size or 2**16
        data = dataset[f"{colour}PaletteColorLookupTableData"].value
        table = np.frombuffer(data, f"{order}u2")
        if len(table) < size:  # two entries of 8 bit a word, the first one in its low byte
            table = table.astype("<u2").view(np.uint8)
        channels.append(table[np.clip(values - first, 0, size - 1)])
    return np.stack(channels, axis=-1)


def _segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of each segment of a JPEG picture before its data."""
    at = 2
    while len(head := jpeg[at : at + 4]) == 4 and head[0] == 0xFF and head[1] != 0xDA:
        if head[1] == 0xFF:  # a fill byte
            at += 1
            continue
        length = int.from_bytes(head[2:], "big")
        yield head[1], jpeg[at + 4 : at + 2 + length]
        at += 2 + length


def _colour_model(jpeg: bytes) -> str | None:
    """Return what a JPEG picture says its three samples are, "RGB" or "YBR"; None if nothing."""
    if not jpeg.startswith(b"\xff\xd8"):
        return None
    for _, content in _segments(jpeg):
        if content.startswith(b"JFIF"):
            return "YBR"
        if content.startswith(b"Adobe") and len(content) >= 12:
            return "YBR" if content[11] else "RGB"
    return None


def _says_colours(jpeg: bytes) -> bool:
    """Whether a JPEG picture itself says what its colours are (JFIF or Adobe segment)."""
    return any(content.startswith((b"JFIF", b"Adobe")) for _, content in _segments(jpeg))


def _declared(data: bytes) -> tuple[int, int, int] | None:
    """Return height, width and samples that a picture of the JPEG family says it has."""
    if data.startswith(b"\xff\xd8"):
        for marker, content in _segments(data):
            if marker in _JPEG_FRAMES and len(content) >= 6:
                return *struct.unpack(">HH", content[1:5]), content[5]
        return None
    sizes = data[data.find(b"\xff\x4f\xff\x51") + 8 :][:34]
    if len(sizes) < 34:
        return None
    x1, y1, x0, y0, *_, samples = struct.unpack(">8LH", sizes)
    return y1 - y0, x1 - x0, samples


def _windowed(
    values: npt.NDArray[np.float64], centre: float, width: float, function: str
) -> npt.NDArray[np.float64]:
    """Apply a window, DICOM PS3.3 C.11.2.1.2 and 3; black is 0 and white 1, to be clipped."""
    if function == "SIGMOID":
        grey: npt.NDArray[np.float64] = 1 / (1 + np.exp(-4 * (values - centre) / width))
        return grey
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    if width <= 1:
        return (values > centre - 0.5).astype(np.float64)
    return (values - (centre - 0.5)) / (width - 1) + 0.5

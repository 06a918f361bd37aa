"""One DICOM file: what its header says, and where the bytes of each picture lie.

Only tags without personal data are ever parsed, and nothing that pydicom says (it quotes values)
reaches a message. How bytes become grey is in `_dicom_grey.py`, clips are in `_dicom.py`.
"""

from __future__ import annotations

import struct
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.dicom.pixels import Pixels, number, numbers
from napari_deepmtj.video.dicom.streams import Inflated
from napari_deepmtj.video.stacks.stack import overheard

#: The tags that are parsed. `SeriesInstanceUID` only tells series apart and goes nowhere.
_TAGS = [
    "SeriesInstanceUID",
    "InstanceNumber",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "FrameTimeVector",
    "FrameTime",
    "CineRate",
    "PixelSpacing",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "SequenceOfUltrasoundRegions",
] + [
    f"{kind}{colour}PaletteColorLookupTable{part}"
    for kind, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
    for colour in ("Red", "Green", "Blue")
]

#: What is taken over of an ultrasound region.
_REGION = [
    "RegionSpatialFormat",
    "RegionDataType",
    "RegionLocationMinX0",
    "RegionLocationMinY0",
    "RegionLocationMaxX1",
    "RegionLocationMaxY1",
    "PhysicalUnitsXDirection",
    "PhysicalUnitsYDirection",
    "PhysicalDeltaX",
    "PhysicalDeltaY",
]

_PIXEL_DATA = (0x7FE0, 0x0010)
_ITEM = (0xFFFE, 0xE000)
_UNDEFINED = 0xFFFFFFFF

#: Beginnings of a JPEG (or JPEG-LS) picture, a JPEG 2000 codestream, a JP2 file.
_PICTURE_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")

_MAGIC = b"DICM"
_DEFLATED = b"1.2.840.10008.1.2.1.99"

#: Most bytes that a deflated file may become: to open it, all of them are gone through.
_MOST_INFLATED = 2**30

Span = tuple[int, int]


class NoPictureError(VideoError):
    """A DICOM file is sound, but holds no picture: a report, a directory."""


class DicomFile:
    """The header of a DICOM file and the way to its pictures; it keeps no file open.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    VideoError
        If it is damaged, holds no picture, or pictures of a kind that is not read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pixels: Pixels | None = None
        self.spans: list[list[Span]] = []
        self._swapped = False
        self._inflated: Inflated | None = None
        try:
            with path.open("rb") as file, overheard("pydicom"):  # it quotes the file
                body = _deflated_body(file)
                if body is None:
                    self._parse(file)
                else:
                    self._inflated = Inflated(path, body)
                    self._parse(BufferedReader(self._inflated))
        except VideoError as error:
            raise type(error)(error.message, path=path) from error
        except Exception as error:  # pydicom raises many things on damaged files
            # without its cause, which may quote what identifies a person
            raise VideoError(
                f"its DICOM structure is damaged ({_why(error)}); export it again",
                path=path,
            ) from None

    def _parse(self, file: BinaryIO) -> None:
        import pydicom
        from pydicom.uid import AllTransferSyntaxes, MPEGTransferSyntaxes, RLELossless

        dataset: Any = pydicom.dcmread(
            file, force=True, stop_before_pixels=True, specific_tags=list(_TAGS)
        )
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = _native(
                *dataset.original_encoding, deflated=self._inflated is not None
            )
        self.syntax = dataset.file_meta.TransferSyntaxUID
        if self.syntax not in AllTransferSyntaxes:
            raise VideoError("is of an unknown transfer syntax; export it without compression")
        self.instance = number(dataset, "InstanceNumber")
        self.series = str(dataset.get("SeriesInstanceUID", ""))
        self.frame_times = numbers(dataset, "FrameTimeVector")
        self.frame_time = number(dataset, "FrameTime")
        self.cine_rate = number(dataset, "CineRate")
        #: How many frames the file says it has; 1 where it does not say.
        self.counted = bool(dataset.get("NumberOfFrames"))
        self.promised = max(1, int(dataset.get("NumberOfFrames") or 1))
        self.spacing = numbers(dataset, "PixelSpacing")
        self.regions = [
            {name: number(region, name) for name in _REGION}
            for region in dataset.get("SequenceOfUltrasoundRegions") or ()
        ]
        found = _find_pixels(file, dataset)
        if found is None or not dataset.get("Rows") or not dataset.get("Columns"):
            raise NoPictureError("is DICOM without a picture; give an ultrasound clip")
        self._start, length, representation = found
        if self.syntax.is_encapsulated != (length == _UNDEFINED):
            raise VideoError("its pixel data is not what its transfer syntax says; export it again")
        self.photometric = str(dataset.get("PhotometricInterpretation", "")).strip()
        self.is_video = self.syntax in MPEGTransferSyntaxes
        if self.is_video:
            self.spans = [_fragments(file, self._start)[1]]
            self.n_frames = self.promised if self.spans[0] else 0
        else:
            self.pixels = Pixels(dataset)
            if self.syntax.is_encapsulated:
                self.spans = _frames(
                    file, self._start, self.promised, run_length=self.syntax == RLELossless
                )
                available = len(self.spans)
            else:
                size = self.pixels.size
                available, rest = divmod(self._available(file, length), size)
                if rest > 1:  # more than a byte of padding: it is no whole number of pictures
                    available = min(available, self.promised)
                # 8-bit samples in big-endian words stand in pairs the wrong way round
                big = not self.syntax.is_little_endian
                self._swapped = big and representation == b"OW" and self.pixels.cell == 8
            self.n_frames = available
        if not self.n_frames:
            raise VideoError("holds no complete picture; export or copy it again")

    def _available(self, file: BinaryIO, length: int) -> int:
        """Return how many bytes of the pixel data that should be there are there."""
        if self._inflated is None:
            return min(length, file.seek(0, 2) - self._start)
        assert self.pixels is not None
        wanted = self._start + length
        if wanted > _MOST_INFLATED:
            wanted = self._start + min(length, self.promised * self.pixels.size)
        if wanted > _MOST_INFLATED:
            raise VideoError(
                f"is deflated, and larger than {_MOST_INFLATED >> 30} GiB without; export it "
                "without deflation"
            )
        return self._inflated.reaches(wanted) - self._start

    def load(self, frame: int) -> npt.NDArray[Any]:
        """Return the grey levels of one picture, or its numbers; see `Pixels.grey`."""
        assert self.pixels is not None  # a video has no pictures of its own
        return self.pixels.grey(self._read(frame, self.pixels.size))

    def contradictions(self) -> list[str]:
        """Return where the first compressed picture is not what the header says."""
        if self.pixels is None or not self.spans:
            return []
        return self.pixels.contradictions(self._read(0, self.pixels.size))

    def _read(self, frame: int, size: int) -> bytes:
        """Return the bytes of one picture, which has `size` of them if it is not compressed."""
        try:
            with self._stream() as file:
                if self.spans:
                    return b"".join(_bytes(file, *span) for span in self.spans[frame])
                start = frame * size
                if not self._swapped:
                    return _bytes(file, self._start + start, size)
                lead = start % 2
                whole = lead + size + (lead + size) % 2
                words = _bytes(file, self._start + start - lead, whole)
        except OSError as error:
            raise VideoError(f"cannot be read any more ({error.strerror}); was it moved?") from None
        pairs = np.frombuffer(words, np.uint8).reshape(-1, 2)
        return pairs[:, ::-1].tobytes()[lead : lead + size]

    def _stream(self) -> BinaryIO:
        """Return the file to read its pictures from."""
        if self._inflated is None:
            return self.path.open("rb")
        return BufferedReader(self._inflated)


def _deflated_body(file: BinaryIO) -> int | None:
    """Return where the deflated part of a file begins; None if it is not deflated."""
    head = file.read(4096)
    file.seek(0)
    start = len(_MAGIC) + 128 if head[128:132] == _MAGIC else 0
    if not head.startswith(b"\2\0\0\0UL\4\0", start):
        return None
    body: int = start + 12 + struct.unpack_from("<L", head.ljust(start + 12, b"\0"), start + 8)[0]
    return body if _DEFLATED in head[start:body] else None


def _native(implicit: bool, little: bool, *, deflated: bool) -> Any:
    """Return the transfer syntax of a file without compression that does not name it."""
    from pydicom.uid import (
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
    )

    if implicit:
        return ImplicitVRLittleEndian
    if not little:
        return ExplicitVRBigEndian
    return DeflatedExplicitVRLittleEndian if deflated else ExplicitVRLittleEndian


def _why(error: Exception) -> str:
    """Return what failed without any word of the file: the system's reason, or the kind."""
    return getattr(error, "strerror", None) or type(error).__name__


def _find_pixels(file: BinaryIO, dataset: Any) -> tuple[int, int, bytes] | None:
    """Return position, length and representation of the pixel data, which comes next."""
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    head = file.read(8)
    if len(head) < 8 or struct.unpack(f"{order}HH", head[:4]) != _PIXEL_DATA:
        return None
    if implicit:
        return file.tell(), struct.unpack(f"{order}L", head[4:])[0], b"OW"
    length = struct.unpack(f"{order}L", file.read(4))[0]
    return file.tell(), length, head[4:6]


def _fragments(file: BinaryIO, start: int) -> tuple[tuple[int, ...], list[Span], bool]:
    """Return offset table and complete fragments of encapsulated data, and if it was cut off."""
    end = file.seek(0, 2)
    file.seek(start)
    spans: list[Span] = []
    cut_off = False
    while len(head := file.read(8)) == 8:
        group, element, length = struct.unpack("<HHL", head)
        cut_off = (group, element) == _ITEM and file.tell() + length > end
        if (group, element) != _ITEM or cut_off:
            break
        spans.append((file.tell(), length))
        file.seek(length, 1)
    if not spans:
        return (), [], cut_off
    at, length = spans[0]
    table = struct.unpack(f"<{length // 4}L", _bytes(file, at, length // 4 * 4))
    return table, spans[1:], cut_off


def _frames(file: BinaryIO, start: int, promised: int, *, run_length: bool) -> list[list[Span]]:
    """Return the fragments of each complete frame, from the bytes after the tag of pixel data.

    A frame is a fragment if there are as many; else the offset table says where frames begin. Where
    more fragments begin with the first bytes of a picture, or the table is of no use, these do.
    """
    table, fragments, cut_off = _fragments(file, start)
    if len(fragments) == promised > 1 or not fragments:
        return [[span] for span in fragments]
    heads = [_bytes(file, at, min(12, length)) for at, length in fragments]
    pictures = [n for n, head in enumerate(heads) if head.startswith(_PICTURE_STARTS)]
    if promised == 1 and len(pictures) < 2 and (pictures or len(fragments) == 1 or not run_length):
        return [] if cut_off else [fragments]
    number_at = {at - fragments[0][0]: n for n, (at, _) in enumerate(fragments)}
    begins = [number_at[offset] for offset in table if offset in number_at]
    within = [offset for offset in table if offset <= fragments[-1][0] - fragments[0][0]]
    if (
        len(table) != promised
        or len(begins) != len(within)
        or begins != sorted(set(begins))
        or len(pictures) > promised
    ):
        begins = pictures or list(range(len(fragments)))  # run-length encoding: always a fragment
    frames = [fragments[a:b] for a, b in zip(begins, [*begins[1:], len(fragments)], strict=True)]
    if cut_off and len(frames) < len(fragments):
        frames.pop()  # its last fragment is missing
    return frames


def _bytes(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    data = file.read(size)
    if len(data) < size:
        raise VideoError("the file ends before this picture does; copy it again")
    return data

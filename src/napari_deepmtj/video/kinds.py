"""What kind of clip a file is, by its content; asked once, and handed on to what reads it.

Nothing here opens a clip: `opening.py` does, and the readers of each kind.
"""

from __future__ import annotations

import struct
from pathlib import Path

from napari_deepmtj.errors import VideoError

#: Enough of a file's beginning to tell what it is (three MPEG transport packets of 192 bytes).
_HEAD = 640

#: Boxes that MP4 and QuickTime files begin with.
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")

#: What JPEG 2000 files begin with: pictures, and videos as MATLAB writes them (.mj2).
_JPEG_2000 = b"\0\0\0\x0cjP  \r\n\x87\n"

#: The end of a JPEG picture, and the beginning of another one right behind it.
_JPEG, _NEXT_JPEG = b"\xff\xd8\xff", b"\xff\xd9\xff\xd8\xff"

_KNOWN = (
    "DICOM, AVI, MP4, MOV, MJ2, MKV, WebM, WMV, MPEG, GIF, TIFF, PNG, JPEG, BMP, NPY, Zarr and "
    ".tvd.h5 are read"
)

#: Files that a folder in Zarr format has.
ZARR_FILES = ("zarr.json", ".zgroup", ".zarray")

#: What the first elements of a file without preamble are: the groups of the very first one and
#: of those after it, and the value representations of DICOM PS3.5 6.2 with 2 and with 4 bytes for
#: the length.
_FIRST_GROUPS = (0x0002, 0x0008)
_GROUPS = (*_FIRST_GROUPS, 0x0010, 0x0018, 0x0020, 0x0028)
_SHORT = b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()
_LONG = b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split()


def sniff(path: Path) -> str:
    """Return what kind this is: "dicom", "tiff", "picture", ..., or FFmpeg's container.

    Raises
    ------
    VideoError
        If there is no such file, it is empty, or of no kind that is read.
    """
    try:
        if path.is_dir():
            return "zarr" if any((path / file).is_file() for file in ZARR_FILES) else "folder"
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if head.startswith(_JPEG) and _NEXT_JPEG in head + file.read():
                return "mjpeg"  # a film of them, without a container
    except FileNotFoundError as error:
        raise VideoError("there is no such file; check the path", path=path) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"cannot be opened ({reason}); check its rights", path=path) from error
    if not head:
        raise VideoError("is empty (0 bytes); export or copy the clip again", path=path)
    kind = kind_of(head)
    if kind is None:
        what = "is text, not a video" if _is_text(head) else "is of no kind that is known"
        raise VideoError(f"{what}; {_KNOWN}", path=path)
    return kind


def kind_of(head: bytes) -> str | None:
    """Return the kind of file that begins with `head`, None if unknown."""
    if head[128:132] == b"DICM":
        return "dicom"  # first of all: its preamble may pose as a TIFF file
    starts = head.startswith
    if starts(b"RIFF") and head[8:12] in (b"AVI ", b"AVIX"):
        return "avi"
    if head[4:8] in _BOXES or (starts(_JPEG_2000) and head[20:24] in (b"mjp2", b"mj2s")):
        return "mov"
    if starts((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "tiff"
    if starts((b"\x89PNG\r\n\x1a\n", _JPEG)):
        return "picture"
    if starts(b"\x93NUMPY"):
        return "npy"
    if starts(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if starts(b"BM") and head[6:10] == bytes(4):
        return "picture"
    for magic, container in (
        (b"\x1aE\xdf\xa3", "matroska"),
        (bytes.fromhex("3026b2758e66cf11"), "asf"),
        (b"GIF87a", "gif"),
        (b"GIF89a", "gif"),
        (b"\0\0\1\xba", "mpeg"),
        (b"\0\0\1\xb3", "mpegvideo"),
        (b"\0\0\0\1\x67", "h264"),
        (b"\0\0\0\1\x09", "h264"),
        (b"\0\0\0\1\x40\1", "hevc"),
    ):
        if starts(magic):
            return container
    for offset, packet in ((0, 188), (4, 192)):
        marks = head[offset::packet][:3]
        if marks == b"GGG"[: len(marks)] and len(marks) >= 2:
            return "mpegts"
    return "dicom" if is_dicom(head) else None  # last, it looks closely


def _is_text(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # a character cut in half at the end
    return b"\0" not in head


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with `head` is DICOM, with its preamble or without one.

    Without it, the file must begin with three elements that follow one another as they should.
    """
    if head[128:132] == b"DICM":
        return True
    at, last, found = 0, -1, 0
    while found < 3 and at + 12 <= len(head):
        group, element, length = struct.unpack_from("<HHL", head, at)
        kind, tag = head[at + 4 : at + 6], group << 16 | element
        if group not in (_FIRST_GROUPS if not found else _GROUPS) or tag <= last:
            return False
        if kind in _SHORT:
            length = length >> 16
        elif kind in _LONG:
            at, length = at + 4, struct.unpack_from("<L", head, at + 8)[0]
        elif group == _FIRST_GROUPS[0]:
            return False  # these are never implicit
        at, last, found = at + 8 + length, tag, found + 1
        if length % 2:
            return False
    return found == 3

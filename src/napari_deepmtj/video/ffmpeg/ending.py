"""What FFmpeg's demuxers do not say: if a file ends before it should, if times are made up."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from napari_deepmtj.video.dicom.streams import FilePart

#: Identifiers of the elements that hold head and content of a Matroska file (RFC 9559, 5.1).
_HEAD, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")


def part_there(path: Path | FilePart, container_format: str) -> float | None:
    """Return how much of a file is there by its own lengths, 0 to 1; None where it has none.

    Counts and durations in headers are no measure: frames may be repeated, cut away by an edit
    list, or begin late.
    """
    lengths = {"matroska": _of_matroska, "avi": _of_avi, "mov": _of_mov}.get(container_format)
    if lengths is None or isinstance(path, FilePart):
        return None
    with path.open("rb") as file:
        end = file.seek(0, 2)
        length = lengths(file, end)
    return None if length is None else min(1.0, end / length)


def _of_matroska(file: BinaryIO, _end: int) -> int | None:
    """Return the length of head and segment."""
    file.seek(0)
    head = file.read(4096)
    size, at = _length(head, 4)
    if not head.startswith(_HEAD) or size is None:
        return None
    at += size
    if head[at : at + 4] != _SEGMENT:
        return None
    size, at = _length(head, at + 4)
    return None if size is None else at + size


def _of_avi(file: BinaryIO, end: int) -> int | None:
    """Return the length of all RIFF chunks, of which large files have several (OpenDML)."""
    at = 0
    while at + 12 <= end:
        file.seek(at)
        name, size, kind = struct.unpack("<4sL4s", file.read(12))
        if name != b"RIFF" or kind not in (b"AVI ", b"AVIX") or size < 4:
            break
        at += 8 + size
    return at or None


def _of_mov(file: BinaryIO, end: int) -> int | None:
    """Return the length of all boxes of an MP4 or QuickTime file (ISO/IEC 14496-12, 4.2)."""
    at = 0
    while at + 8 <= end:
        file.seek(at)
        size, name = struct.unpack(">L4s", file.read(8))
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
        if not size or not name.isalnum():
            break  # it reaches to the end, or what follows is none of it
        at += size
    return at or None


def _length(data: bytes, at: int) -> tuple[int | None, int]:
    """Return the length that stands at a position, None if it is left open, and what follows."""
    first = data[at] if at < len(data) else 0
    more = 8 - first.bit_length()
    if more > 7:
        return None, at
    bits = 7 * (more + 1)
    size = int.from_bytes(data[at : at + 1 + more], "big") & (2**bits - 1)
    return (None if size == 2**bits - 1 else size), at + 1 + more


def has_delay(packet: bytes) -> bool:
    """Return True if a GIF picture says how long it is shown (GIF89a specification, 23).

    FFmpeg makes it 0.1 s where it does not, or says 0.
    """
    at = packet.find(b"\x21\xf9\x04")
    return at >= 0 and packet[at + 4 : at + 6] != bytes(2)


def is_whole_gif(packet: bytes) -> bool:
    """Return True if the picture of a packet is there up to its end; the demuxer does not say.

    GIF89a specification, 17 to 26: blocks of a kind, a head, and pieces with their length before
    them, up to one of length 0.
    """
    at = 0
    if packet.startswith(b"GIF8") and len(packet) > 13:
        at = 13 + (3 * 2 ** ((packet[10] & 7) + 1) if packet[10] & 0x80 else 0)
    while at < len(packet):
        picture = packet[at] == 0x2C
        if picture and at + 9 < len(packet):
            about = packet[at + 9]
            at += 11 + (3 * 2 ** ((about & 7) + 1) if about & 0x80 else 0)
        elif packet[at] == 0x21:
            at += 2
        else:
            return False
        while at < len(packet) and packet[at]:
            at += packet[at] + 1
        at += 1
        if picture:
            return at <= len(packet)
    return False

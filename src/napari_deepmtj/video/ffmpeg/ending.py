"""Whether a video file ends before it should, where FFmpeg's demuxers do not say so."""

from __future__ import annotations

from pathlib import Path

from napari_deepmtj.video.dicom.streams import FilePart

#: Identifiers of the elements that hold head and content of a Matroska file (RFC 9559, 5.1).
_HEAD, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")


def ends_early(path: Path | FilePart, container_format: str) -> bool:
    """Whether a Matroska or WebM file is shorter than the segment in it says it is."""
    if container_format != "matroska" or isinstance(path, FilePart):
        return False
    with path.open("rb") as file:
        head = file.read(4096)
        end = file.seek(0, 2)
    size, at = _length(head, 4)
    if not head.startswith(_HEAD) or size is None:
        return False
    at += size
    if head[at : at + 4] != _SEGMENT:
        return False
    size, at = _length(head, at + 4)
    return size is not None and at + size > end


def _length(data: bytes, at: int) -> tuple[int | None, int]:
    """Return the length that stands at a position, None if it is left open, and what follows."""
    first = data[at] if at < len(data) else 0
    more = 8 - first.bit_length()
    if more > 7:
        return None, at
    bits = 7 * (more + 1)
    size = int.from_bytes(data[at : at + 1 + more], "big") & (2**bits - 1)
    return (None if size == 2**bits - 1 else size), at + 1 + more


def is_whole_gif(packet: bytes) -> bool:
    """Whether the picture of a packet is there up to its end, which the demuxer does not say.

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

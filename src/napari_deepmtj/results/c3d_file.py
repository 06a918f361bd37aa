"""Opening C3D files; damaged ones end the process in ezc3d, so they are looked through before."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

#: Bytes of a block, and the mark of a C3D file.
BLOCK, KEY = 512, 0x50
#: Names without which ezc3d reads no points.
NEEDED = {b"POINT", b"USED", b"RATE", b"FRAMES", b"LABELS", b"SCALE", b"DATA_START"}
#: What the parameter section says of the processor that wrote it: little-endian IEEE numbers.
INTEL = 84


def open_c3d(path: Path) -> Any:
    """Return what ezc3d reads of a file.

    Raises
    ------
    ImportError
        If ezc3d is not installed.
    ValueError
        If it is no C3D file, is cut off, or cannot be read.
    OSError
        If the file cannot be read at all.
    """
    import ezc3d

    _check(path)
    try:
        return ezc3d.c3d(str(path))
    except RuntimeError as error:
        raise ValueError(str(error)) from error


def _check(path: Path) -> None:
    """Refuse a file that is shorter than its header says, or whose parameters do not follow."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(BLOCK)
        if len(header) < BLOCK or header[1] != KEY:
            raise ValueError("it has no header of a C3D file")
        file.seek((header[0] - 1) * BLOCK if header[0] else 0)
        parameters = file.read(4)
        if len(parameters) < 4:
            raise ValueError("it is cut off before its parameters")
        section = file.read(parameters[2] * BLOCK - 4)
    if parameters[3] != INTEL:
        return
    points, analog, first, last = struct.unpack_from("<4H", header, 2)
    (scale,) = struct.unpack_from("<f", header, 12)
    (begin,) = struct.unpack_from("<H", header, 16)
    number = 4 if scale < 0 else 2
    frames = max(last - first + 1, 0)
    needed = (begin - 1) * BLOCK + frames * (4 * points + analog) * number
    if begin <= header[0] or size < max(needed, (header[0] - 1 + parameters[2]) * BLOCK):
        raise ValueError(f"it is cut off: {size} bytes, of at least {needed} that its header says")
    _check_parameters(section)


def _check_parameters(section: bytes) -> None:
    """Follow groups and parameters from one to the next, as the format's manual lays them out."""
    at, names = 0, set()
    while at + 2 <= len(section):
        letters, group = struct.unpack_from("<2b", section, at)
        if not letters:
            break
        after_name = at + 2 + abs(letters)
        name = section[at + 2 : after_name]
        if after_name + 2 > len(section) or not name.isascii() or not name.decode().isprintable():
            break
        names.add(name)
        (step,) = struct.unpack_from("<h", section, after_name)
        following = after_name + step if step else len(section)
        if step < 0 or following > len(section) or not group:
            raise ValueError("its parameters are damaged")
        if group > 0 and not _fits(section[after_name + 2 : following]):
            raise ValueError(f"its parameter {name.decode()} is damaged")
        at = following
        if not step:
            break
    if not names >= NEEDED:
        raise ValueError("its parameters are damaged")


def _fits(parameter: bytes) -> bool:
    """Return True if a parameter's values and description fill what is there for it."""
    if len(parameter) < 2:
        return False
    kind, dimensions = struct.unpack_from("<bB", parameter, 0)
    sizes = parameter[2 : 2 + dimensions]
    used = 2 + dimensions + abs(int(kind)) * math.prod(sizes)
    if kind not in (-1, 1, 2, 4) or dimensions > 7 or len(sizes) < dimensions:
        return False
    return used < len(parameter) and bool(used + 1 + parameter[used] <= len(parameter))

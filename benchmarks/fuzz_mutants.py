"""How `fuzz_reader.py` damages valid clips: every way is a function of a clip and a generator.

`ABSURD` are files that no damage makes: whole, but for sizes that no memory holds.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import tifffile
from numpy.random import Generator
from scipy.io import savemat

from fuzz_seeds import HEIGHT, SYNTAXES, WIDTH, Clip, pictures, write_dicom

#: Numbers that break arithmetic of sizes and positions.
INTERESTING = (
    0,
    1,
    2**7,
    2**8 - 1,
    2**15,
    2**16 - 1,
    10**9,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**32 - 8,
)

#: Names after which containers keep sizes, counts and rates, and their distance in bytes.
FIELDS = {
    b"avih": range(8, 56, 4),
    b"strh": range(24, 44, 4),
    b"strf": range(8, 32, 4),
    b"idx1": range(4, 24, 4),
    b"stsz": range(4, 20, 4),
    b"stts": range(8, 20, 4),
    b"stsc": range(8, 24, 4),
    b"stco": range(8, 20, 4),
    b"ctts": range(8, 20, 4),
    b"elst": range(8, 24, 4),
    b"mvhd": range(4, 24, 4),
    b"mdhd": range(12, 24, 4),
    b"tkhd": range(68, 84, 4),
    b"avc1": range(24, 36, 2),
    b"hvc1": range(24, 36, 2),
    b"IHDR": range(4, 16, 4),
    b"\xff\xc0": range(5, 9, 2),
    b"GIF8": range(6, 10, 2),
    b"BM": range(10, 34, 4),
    b"\x28\0\x10\0US": range(8, 9),
    b"\x28\0\x11\0US": range(8, 9),
    b"\x28\0\x02\0US": range(8, 9),
}

Damage = Callable[[Clip, Generator], Clip]


def _target(clip: Clip, rng: Generator) -> str:
    """Choose one of the files, small ones (headers of stores, side-cars) as often as large ones."""
    return str(rng.choice(sorted(clip.files)))


def _with(clip: Clip, name: str, content: bytes) -> Clip:
    return replace(clip, files={**clip.files, name: content})


def truncate(clip: Clip, rng: Generator) -> Clip:
    """Cut a file off: after a few bytes, somewhere, or a few bytes before its end."""
    name = _target(clip, rng)
    content = clip.files[name]
    size = len(content)
    few = int(np.exp(rng.uniform(0, np.log(max(2, size)))))
    keep = (few, int(rng.integers(0, size + 1)), size - few)[rng.integers(3)]
    return _with(clip, name, content[: max(0, keep)])


def flip(clip: Clip, rng: Generator) -> Clip:
    """Flip bits: at the beginning, at the end, or anywhere."""
    name = _target(clip, rng)
    content = bytearray(clip.files[name])
    size = len(content)
    low, high = ((0, min(600, size)), (max(0, size - 600), size), (0, size))[rng.integers(3)]
    for at in rng.integers(low, max(low + 1, high), int(rng.integers(1, 40)) if size else 0):
        content[at] ^= 1 << int(rng.integers(8))
    return _with(clip, name, bytes(content))


def header(clip: Clip, rng: Generator) -> Clip:
    """Overwrite a number near the beginning, of 1 to 8 bytes in either order."""
    name = _target(clip, rng)
    content = bytearray(clip.files[name])
    for _ in range(int(rng.integers(1, 4))):
        size = int(rng.choice([1, 2, 4, 8]))
        at = int(rng.integers(0, max(1, min(len(content), 3000))))
        value = int(rng.choice(INTERESTING)) % 2 ** (8 * size)
        content[at : at + size] = value.to_bytes(size, "little" if rng.integers(2) else "big")
    return _with(clip, name, bytes(content))


def splice(clip: Clip, rng: Generator) -> Clip:
    """Take a piece out, double it, move it, or overwrite it with zeros or noise."""
    name = _target(clip, rng)
    content = clip.files[name]
    a, b = sorted(int(at) for at in rng.integers(0, len(content) + 1, 2))
    piece = content[a : min(b, a + 5000)]
    rest = content[a + len(piece) :]
    choice = rng.integers(5)
    between = (b"", piece * 2, rest[:50] + piece, bytes(len(piece)), rng.bytes(len(piece)))[choice]
    if len(clip.files) > 1 and rng.integers(4) == 0:  # a file of a folder is lost
        return replace(clip, files={k: v for k, v in clip.files.items() if k != name})
    return _with(clip, name, content[:a] + between + rest)


def field(clip: Clip, rng: Generator) -> Clip:
    """Overwrite a size, a count or a position where this kind of file keeps one."""
    name = _target(clip, rng)
    content = bytearray(clip.files[name])
    if name.endswith(("zarr.json", ".zarray")):
        return _with(clip, name, _zarr_numbers(bytes(content), rng))
    spots = [
        (found.start() + int(rng.choice(list(steps))), 2 if max(steps) - min(steps) < 12 else 4)
        for word, steps in FIELDS.items()
        for found in re.finditer(re.escape(word), bytes(content))
    ]
    spots += [(at, 4) for at in _tiff_values(bytes(content))]
    if not spots:
        return header(clip, rng)
    for _ in range(int(rng.integers(1, 3))):
        at, size = spots[int(rng.integers(len(spots)))]
        value = int(rng.choice(INTERESTING)) % 2 ** (8 * size)
        little = bytes(content[:4]) in (b"RIFF", b"II*\0", b"GIF8") or content[:2] == b"BM"
        content[at : at + size] = value.to_bytes(size, "little" if little else "big")
    if content[1:4] == b"PNG":  # Pillow looks at nothing whose checksum is wrong
        content[29:33] = struct.pack(">L", zlib.crc32(content[12:29]))
    return _with(clip, name, bytes(content))


def _zarr_numbers(text: bytes, rng: Generator) -> bytes:
    """Overwrite a number of a Zarr store's description."""
    numbers = list(re.finditer(rb"(?<=[\s\[:])\d+(?=[\s,\]])", text))
    if not numbers:
        return text
    found = numbers[int(rng.integers(len(numbers)))]
    value = str(int(rng.choice([*INTERESTING, 2**40, -1]))).encode()
    return text[: found.start()] + value + text[found.end() :]


def _tiff_values(content: bytes) -> list[int]:
    """Return where the numbers of a little-endian TIFF file's first page stand."""
    if content[:4] != b"II*\0" or len(content) < 10:
        return []
    first = struct.unpack_from("<L", content, 4)[0]
    if first + 2 > len(content):
        return []
    count = struct.unpack_from("<H", content, first)[0]
    return [first + 2 + 12 * n + k for n in range(count) for k in (4, 8)] + [first + 2 + 12 * count]


def swap(clip: Clip, others: list[Clip], rng: Generator) -> Clip:
    """Give a clip another's extension or first bytes, or put another's file among its own."""
    other = others[int(rng.integers(len(others)))]
    name, theirs = _target(clip, rng), _target(other, rng)
    choice = rng.integers(3)
    if choice == 0 and clip.opened in clip.files:
        opened = str(PurePosixPath(clip.opened).with_suffix(PurePosixPath(theirs).suffix or ".x"))
        renamed = {opened if k == clip.opened else k: v for k, v in clip.files.items()}
        return replace(clip, opened=opened, files=renamed)
    if choice == 1:
        size = int(rng.choice([4, 16, 200, 2000]))
        return _with(clip, name, other.files[theirs][:size] + clip.files[name][size:])
    return _with(clip, name, other.files[theirs])


def _npy(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue() + bytes(1000)


def _png(width: int, height: int, real: int) -> bytes:
    """Return a PNG that promises `height` rows and has `real` of them, packed a thousandfold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">L", zlib.crc32(kind + data))
        return struct.pack(">L", len(data)) + kind + data + crc

    squeeze = zlib.compressobj(9)
    row = bytes(width + 1)
    data = b"".join(squeeze.compress(row) for _ in range(real)) + squeeze.flush()
    size = struct.pack(">LLBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _gif(width: int, height: int) -> bytes:
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    frame = b",\0\0\0\0" + struct.pack("<HHB", width, height, 0) + b"\2\2L\1\0"
    return b"GIF89a" + screen + frame * 3 + b";"


def _zarr(shape: list[int], chunks: list[int], packed: bytes) -> dict[str, bytes]:
    about: dict[str, Any] = {
        "zarr_format": 2,
        "shape": shape,
        "chunks": chunks,
        "dtype": "|u1",
        "compressor": {"id": "zlib", "level": 1},
        "fill_value": 0,
        "order": "C",
        "filters": None,
    }
    return {"big.zarr/.zarray": json.dumps(about).encode(), "big.zarr/0.0.0": packed}


def absurd(sound: bytes) -> list[Clip]:
    """Return clips that promise frames, pixels or bytes without end; `sound` is a whole AVI."""
    found: dict[str, bytes] = {
        "frames.npy": _npy((10**9, 64, 64)),
        "pixels.npy": _npy((2, 2**31, 2**31)),
        "empty.npy": _npy((10**15, 0, 5)),
        "bomb.png": _png(60000, 60000, 1000),
        "wide.png": _png(2**31 - 1, 4, 0),
        "tall.png": _png(8000, 8000, 8000),
        "canvas.gif": _gif(65535, 65535),
        "large.gif": _gif(12000, 12000),
        "huge.bmp": b"BM" + struct.pack("<LLLLllHHLL", 99, 0, 54, 40, 2**30, 2**30, 1, 8, 0, 0),
    }
    clips = []
    with TemporaryDirectory() as folder:
        root = Path(folder)
        native, grey = SYNTAXES["explicit"], "MONOCHROME2"
        stack = pictures()
        write_dicom(root / "frames.dcm", native, stack, grey, NumberOfFrames=10**9)
        write_dicom(root / "pixels.dcm", native, stack, grey, Rows=65535, Columns=65535)
        coded = [b"\xff\xd8\xff" + bytes(99)] * 3
        write_dicom(root / "coded.dcm", SYNTAXES["jpeg"], coded, grey, NumberOfFrames=10**9)
        write_dicom(root / "large.dcm", SYNTAXES["rle"], coded, grey, Rows=60000, Columns=60000)
        zeros = np.zeros((3000, 100, 100), np.uint8)
        rows = {"Rows": 100, "Columns": 100, "NumberOfFrames": 10**8}
        write_dicom(root / "bomb.dcm", SYNTAXES["deflated"], zeros, grey, **rows)
        for name, shape in (("frames", (10**9, 64, 64)), ("pixels", (3, 2**31, 2**31))):
            with h5py.File(root / f"{name}.tvd.h5", "w") as file:
                file.create_dataset("frames/gray", shape, "u1", chunks=(1, 64, 64))
        with h5py.File(root / "chunk.tvd.h5", "w") as file:
            data = file.create_dataset(
                "frames/gray", (2**18, 64, 64), "u1", chunks=(2**17, 64, 64), compression=9
            )
            data.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(2**24), 9))
        ome = '<OME><Image><Pixels DimensionOrder="XYCZT" SizeX="64" SizeY="48" SizeC="1" '
        ome += 'SizeZ="1" SizeT="1000000000" Type="uint8"><TiffData/></Pixels></Image></OME>'
        tifffile.imwrite(root / "many.ome.tif", stack, description=ome, metadata=None)
        imagej = "ImageJ=1.11a\nimages=1000000000\nframes=1000000000\n"
        tifffile.imwrite(root / "many.tif", stack, description=imagej, metadata=None)
        tifffile.imwrite(root / "bomb.tif", np.zeros((9000, 9000), np.uint8), compression="zlib")
        ring = io.BytesIO()
        tifffile.imwrite(ring, stack[0], metadata=None)
        loop = bytearray(ring.getvalue())
        last = _tiff_values(bytes(loop))[-1]
        loop[last : last + 4] = loop[4:8]
        found["ring.tif"] = bytes(loop)
        clips += [Clip.of("absurd", root, path.name) for path in sorted(root.iterdir())]
        buffer = io.BytesIO()
        times = {"TVDdata": {"Time": np.zeros(10**7), "Width": 64.0, "Height": 48.0}}
        savemat(buffer, times, do_compression=True)
        beside = {"bomb.avi": sound, "bomb.mat": buffer.getvalue()}
        clips.append(Clip("absurd", "bomb.avi", beside))
    clips += [Clip("absurd", name, {name: content}) for name, content in found.items()]
    packed = zlib.compress(bytes(2**26), 9)
    stores: tuple[tuple[list[int], list[int]], ...] = (
        ([10**9, 64, 64], [1, 64, 64]),
        ([4, 2**31, 2**31], [1, 2**15, 2**15]),
        ([12, HEIGHT, WIDTH], [10**6, HEIGHT, WIDTH]),
        ([12, HEIGHT, WIDTH], [10**9, 2**20, 2**20]),
        ([20000, 64, 64], [2**14, 64, 64]),
    )
    return clips + [Clip("absurd", "big.zarr", _zarr(*store, packed)) for store in stores]

"""DICOM clips that tests write, and how they are held against what was put in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from napari_deepmtj.video.opening import VideoSource, open_video

N, HEIGHT, WIDTH = 4, 24, 40
US = "1.2.840.10008.5.1.4.1.1.3.1"
NATIVE = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def ramps(n: int = N, height: int = HEIGHT, width: int = WIDTH, bits: int = 8) -> np.ndarray:
    """Frames with every level somewhere, each different, shape (n, height, width)."""
    level = np.arange(n * height * width) * 37 % 2**bits
    return level.reshape(n, height, width).astype(np.uint8 if bits <= 8 else np.uint16)


def colours(n: int = N) -> np.ndarray:
    """Colour frames, shape (n, HEIGHT, WIDTH, 3)."""
    return np.random.default_rng(3).integers(0, 256, (n, HEIGHT, WIDTH, 3), np.uint8)


def bt601(rgb: np.ndarray) -> np.ndarray:
    """Luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, rounded; exact in thousandths."""
    thousandths = rgb.astype(np.int64) @ np.array([299, 587, 114])
    return ((thousandths + 500) // 1000).astype(np.uint8)


def write(
    path: Path,
    pixels: np.ndarray | list[bytes],
    photometric: str = "MONOCHROME2",
    syntax: Any = ExplicitVRLittleEndian,
    *,
    shape: tuple[int, int, int] | None = None,
    bits: int = 8,
    table: bool = True,
    fragments: int = 1,
    **tags: Any,
) -> Path:
    """Write frames, as an array or each already encoded, to a DICOM file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = US
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    n, height, width = pixels.shape[:3] if isinstance(pixels, np.ndarray) else shape or (0, 0, 0)
    colour = photometric == "RGB" or photometric.startswith("YBR")
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = height, width, n
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = 8 if bits <= 8 else 16
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = 0
    if colour:
        dataset.PlanarConfiguration = 0
    for name, value in tags.items():
        setattr(dataset, name, value)
    if isinstance(pixels, np.ndarray):
        big = syntax == ExplicitVRBigEndian
        data = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
        dataset.PixelData = data + bytes(len(data) % 2)
        dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    else:
        dataset.PixelData = encapsulate(pixels, fragments_per_frame=fragments, has_bot=table)
        dataset["PixelData"].VR = "OB"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def opened(path: Path, expected: np.ndarray) -> VideoSource:
    """Open a clip, hold every frame against `expected`, out of order and in it."""
    with open_video(path) as source:
        assert (source.n_frames, source.height, source.width) == expected.shape
        for frame in reversed(range(source.n_frames)):
            np.testing.assert_array_equal(source.read(frame), expected[frame])
        np.testing.assert_array_equal(list(source.frames()), expected)
    return source


def rle(picture: np.ndarray) -> bytes:
    """One picture as DICOM's run-length encoding: literal runs, most significant bytes first."""
    cells = picture.reshape(*picture.shape[:2], -1)
    planes = [
        (cells[..., channel] >> shift & 255).astype(np.uint8).tobytes()
        for channel in range(cells.shape[-1])
        for shift in range(8 * picture.itemsize - 8, -1, -8)
    ]
    segments = [imagecodecs.packbits_encode(plane) for plane in planes]
    segments = [segment + bytes(len(segment) % 2) for segment in segments]
    starts = 64 + np.cumsum([0] + [len(segment) for segment in segments[:-1]])
    header = np.zeros(16, "<u4")
    header[0], header[1 : 1 + len(starts)] = len(starts), starts
    return header.tobytes() + b"".join(segments)


def jpeg(picture: np.ndarray, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(picture, level=95, **options))


LOSSLESS = {
    RLELossless: rle,
    JPEGLossless: lambda p: jpeg(p, lossless=True, bitspersample=12 if p.itemsize == 2 else None),
    JPEGLosslessSV1: lambda p: jpeg(
        p, lossless=True, bitspersample=12 if p.itemsize == 2 else None
    ),
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEG2000Lossless: lambda p: imagecodecs.jpeg2k_encode(p, reversible=True, level=0),
    HTJ2KLossless: lambda p: imagecodecs.htj2k_encode(p, reversible=True),
}

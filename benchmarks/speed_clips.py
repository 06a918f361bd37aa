"""Clips for measuring speed: phantom pictures on an 800 x 600 screen, in four kinds of file."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.phantom.cohort import PhantomClip, subjects
from napari_deepmtj.video.writer import VideoWriter

UInt8Array = npt.NDArray[np.uint8]

#: Screen, and where the ultrasound picture is on it.
HEIGHT, WIDTH = 600, 800
ROI = Roi(40, 120, 720, 360)
RATE = 25.0

#: Kinds of file by ending, in the order of the table.
KINDS = {
    "h264.mp4": "H.264",
    "mjpeg.avi": "MJPEG AVI",
    "jpeg.dcm": "DICOM JPEG",
    "stack.tif": "TIFF stack",
}

#: Quality of the JPEG pictures in DICOM.
JPEG_QUALITY = 90


def screens(clip: PhantomClip) -> Iterator[UInt8Array]:
    """Yield frames of a scanner's screen around a phantom's picture."""
    screen = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    screen[40:560:20, 20:30] = 180  # a ruler
    screen[580:590, 40:760:40] = 120
    for picture in clip.frames():
        shown = Image.fromarray(picture).resize((ROI.width, ROI.height), Image.Resampling.BICUBIC)
        frame = screen.copy()
        frame[ROI.slices] = shown
        yield frame


def write_clips(folder: Path, kinds: list[str], n_frames: int, seed: int) -> dict[str, Path]:
    """Write one phantom clip as each kind of file; the pictures are drawn once."""
    frames = np.stack(list(screens(subjects(1, seed)[0].clip(0, n_frames=n_frames))))
    paths = {kind: folder / kind for kind in kinds}
    for kind, path in paths.items():
        if kind.endswith((".mp4", ".avi")):
            with VideoWriter(path, HEIGHT, WIDTH, RATE) as writer:
                for frame in frames:
                    writer.add(frame)
        elif kind.endswith(".tif"):
            import tifffile

            tifffile.imwrite(path, frames, photometric="minisblack")
        else:
            write_dicom(path, frames)
    return paths


def write_dicom(path: Path, frames: UInt8Array) -> None:
    """Write a multi-frame ultrasound DICOM file of JPEG pictures."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEGBaseline8Bit, UltrasoundMultiFrameImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = "US"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.FrameTime = 1000 / RATE
    dataset.PixelData = encapsulate([_jpeg(frame) for frame in frames])
    dataset.save_as(path, enforce_file_format=True)


def _jpeg(frame: UInt8Array) -> bytes:
    file = BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def repeat(path: Path, out: Path, n_frames: int) -> None:
    """Write an H.264 clip whose frames are those of another again and again.

    Every frame is in the file and decoded as any other: packets are copied with later times. Only
    drawing and encoding 100,000 pictures is spared.
    """
    import av

    with av.open(str(path)) as first, av.open(str(out), "w") as writer:
        stream = writer.add_stream_from_template(first.streams.video[0])
        n, shift = first.streams.video[0].frames, 0
        for _ in range(-(-n_frames // n)):
            last = 0
            with av.open(str(path)) as reader:
                source: Any = reader.streams.video[0]
                for packet in reader.demux(source):
                    if packet.dts is None:
                        continue
                    last = max(last, packet.pts + packet.duration)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    writer.mux(packet)
            shift += last

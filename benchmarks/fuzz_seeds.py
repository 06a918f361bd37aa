"""The valid clips that `fuzz_reader.py` damages: every kind that is read, each of a dozen frames.

A clip is a set of files, kept in memory, and the name of the one to open.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import h5py
import imagecodecs
import numpy as np
import pydicom
import tifffile
import zarr
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID
from scipy.io import savemat
from zarr.codecs import GzipCodec

N, HEIGHT, WIDTH = 12, 48, 64

#: What no word of the reader may hold; in every DICOM file.
SECRETS = {
    "PatientName": "DOEBERMANN^JANE",
    "PatientID": "PAT4711",
    "PatientBirthDate": "19700131",
    "InstitutionName": "Saint Elsewhere",
    "StudyInstanceUID": "1.2.826.0.1.99.777",
}

#: file: codec, pixel format, options, container if not from the name
VIDEOS: dict[str, tuple[str, str, dict[str, str], str | None]] = {
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}, None),
    "xvid.avi": ("mpeg4", "yuv420p", {"bf": "2"}, None),
    "msmpeg4.avi": ("msmpeg4", "yuv420p", {}, None),
    "raw.avi": ("rawvideo", "gray", {}, None),
    "palette.avi": ("rawvideo", "pal8", {}, None),
    "huffyuv.avi": ("huffyuv", "rgb24", {}, None),
    "cinepak.avi": ("cinepak", "rgb24", {}, None),
    "h264.avi": ("libx264", "yuv420p", {"bf": "2"}, None),
    "h264.mp4": ("libx264", "yuv420p", {"bf": "3", "g": "250"}, None),
    "hevc.mp4": ("libx265", "yuv420p", {"x265-params": "log-level=none"}, None),
    "png.mov": ("png", "gray", {}, None),
    "full_range.mov": ("libx264", "yuvj420p", {"bf": "2", "g": "5"}, None),
    "ffv1.mkv": ("ffv1", "gray", {}, None),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"deadline": "realtime"}, None),
    "wmv2.wmv": ("wmv2", "yuv420p", {}, "asf"),
    "h264.ts": ("libx264", "yuv420p", {"bf": "2"}, "mpegts"),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", {"bf": "2"}, "mpeg"),
    "h264.264": ("libx264", "yuv420p", {"bf": "2"}, "h264"),
    "loop.gif": ("gif", "gray", {}, None),
}

#: Transfer syntaxes of the DICOM clips: PS3.6 A.
SYNTAXES = {
    "explicit": "1.2.840.10008.1.2.1",
    "implicit": "1.2.840.10008.1.2",
    "big": "1.2.840.10008.1.2.2",
    "deflated": "1.2.840.10008.1.2.1.99",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg": "1.2.840.10008.1.2.4.50",
    "lossless": "1.2.840.10008.1.2.4.70",
    "jpegls": "1.2.840.10008.1.2.4.80",
    "jpeg2000": "1.2.840.10008.1.2.4.90",
    "mpeg4": "1.2.840.10008.1.2.4.102",
}


@dataclass(frozen=True)
class Clip:
    """Files by relative name, and which of them, or which folder, is opened."""

    kind: str
    opened: str
    files: dict[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, kind: str, root: Path, opened: str, *beside: str) -> Clip:
        """Take a clip, and what lies beside it, from the disk."""
        path = root / opened
        paths = [p for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [path]
        paths += [root / name for name in beside]
        return cls(kind, opened, {p.relative_to(root).as_posix(): p.read_bytes() for p in paths})

    def write(self, root: Path) -> Path:
        """Write the files below `root`, and return what is to be opened."""
        for name, content in self.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        return root / self.opened


def pictures() -> np.ndarray:
    """Return a ramp and a bright line that move, shape (N, HEIGHT, WIDTH)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    stack = [(columns * 3 + rows + 5 * n) % 200 + 16 for n in range(N)]
    for n, frame in enumerate(stack):
        frame[10 + n : 13 + n] = 250
    return np.array(stack, dtype=np.uint8)


def write_video(path: Path, codec: str, pixels: str, options: dict[str, str], form: Any) -> None:
    """Encode the pictures at 25 Hz."""
    with av.open(str(path), "w", format=form) as container:
        extra = {"preset": "veryfast"} if codec.startswith("libx26") else {}
        stream: Any = container.add_stream(codec, rate=25, options=options | extra)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, pixels
        for n, grey in enumerate(pictures()):
            if pixels == "pal8":
                palette = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 4, axis=1)
                indexed: Any = (grey, palette)
                frame = av.VideoFrame.from_ndarray(indexed, format="pal8")
            else:
                frame = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format=pixels)
            frame.pts, frame.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_dicom(path: Path, syntax: str, pixels: Any, photometric: str, **tags: Any) -> None:
    """Write a DICOM clip that names a person, with a region."""
    meta: Any = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset: Any = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3"
    dataset.SeriesInstanceUID, dataset.FrameTime = "1.2.4", 40
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = N, HEIGHT, WIDTH
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    region = pydicom.Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 2, 3
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 60, 40
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.02
    dataset.SequenceOfUltrasoundRegions = [region]
    for name, value in (SECRETS | tags).items():
        setattr(dataset, name, value)
    if isinstance(pixels, np.ndarray):
        dataset.PixelData = pixels.tobytes()
    else:
        dataset.PixelData = encapsulate([data + bytes(len(data) % 2) for data in pixels])
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def _rle(grey: np.ndarray) -> bytes:
    """Return one picture of 8 bit in DICOM's run-length encoding, one segment."""
    header = np.array([1, 64, *[0] * 14], "<u4").tobytes()
    return header + bytes(imagecodecs.packbits_encode(grey.tobytes()))


def _dicoms(root: Path) -> list[Clip]:
    stack = pictures()
    coded: dict[str, Any] = {
        "rle": _rle,
        "jpeg": lambda g: bytes(imagecodecs.jpeg8_encode(g, level=90)),
        "lossless": lambda g: bytes(imagecodecs.jpeg8_encode(g, lossless=True)),
        "jpegls": lambda g: bytes(imagecodecs.jpegls_encode(g)),
        "jpeg2000": lambda g: bytes(imagecodecs.jpeg2k_encode(g, reversible=True, level=0)),
    }
    clips = []
    for name, syntax in SYNTAXES.items():
        pixels: Any = stack
        if name in coded:
            pixels = [coded[name](grey) for grey in stack]
        elif name == "mpeg4":
            pixels = [(root / "h264.mp4").read_bytes()]
        photometric = "YBR_PARTIAL_420" if name == "mpeg4" else "MONOCHROME2"
        write_dicom(root / f"{name}.dcm", syntax, pixels, photometric)
        clips.append(Clip.of("DICOM", root, f"{name}.dcm"))
    ramp = np.arange(256, dtype=np.uint8).tobytes()
    palette: dict[str, Any] = {}
    for colour in ("Red", "Green", "Blue"):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        palette[f"{colour}PaletteColorLookupTableData"] = ramp
    write_dicom(root / "palette.dcm", SYNTAXES["explicit"], stack, "PALETTE COLOR", **palette)
    deep = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "FrameTimeVector": [40] * N}
    write_dicom(
        root / "deep.dcm", SYNTAXES["explicit"], stack.astype("<u2") * 16, "MONOCHROME2", **deep
    )
    bare = (root / "implicit.dcm").read_bytes()[132:]
    (root / "bare").write_bytes(bare)
    folder = root / "series"
    folder.mkdir()
    for n, grey in enumerate(stack[:4]):
        tags = {"NumberOfFrames": 1, "InstanceNumber": n + 1}
        write_dicom(folder / f"I{n}", SYNTAXES["explicit"], grey[None], "MONOCHROME2", **tags)
    return clips + [
        Clip.of("DICOM", root, n) for n in ("palette.dcm", "deep.dcm", "bare", "series")
    ]


def _stills(root: Path) -> list[Clip]:
    stack = pictures()
    for ending in ("png", "jpg", "bmp"):
        Image.fromarray(stack[0]).save(root / f"still.{ending}")
    options: dict[str, dict[str, Any]] = {
        "stack": {"metadata": None},
        "zlib": {"compression": "zlib"},
        "imagej": {"imagej": True, "metadata": {"axes": "TYX", "unit": "mm", "finterval": 0.04}},
        "stack.ome": {"metadata": {"axes": "TYX", "TimeIncrement": 40.0}},
    }
    for name, option in options.items():
        tifffile.imwrite(root / f"{name}.tif", stack, photometric="minisblack", **option)
    (root / "frames").mkdir()
    for n, grey in enumerate(stack[:4]):
        Image.fromarray(grey).save(root / "frames" / f"img{n + 8}.png")
    names = ("still.png", "still.jpg", "still.bmp", "frames")
    return [Clip.of("picture", root, name) for name in names] + [
        Clip.of("TIFF", root, f"{name}.tif") for name in options
    ]


def _arrays(root: Path) -> list[Clip]:
    stack = pictures()
    np.save(root / "grey.npy", stack)
    np.save(root / "deep.npy", stack.astype(np.float32) / 7)
    for version in (2, 3):
        array = zarr.create_array(
            root / f"v{version}.zarr",
            shape=stack.shape,
            chunks=(4, HEIGHT, WIDTH),
            dtype="u1",
            zarr_format=version,
            compressors=GzipCodec() if version == 3 else "auto",
        )
        array[:] = stack
    with h5py.File(root / "scan.tvd.h5", "w") as file:
        file.create_dataset("frames/gray", data=stack, chunks=(2, HEIGHT, WIDTH))
        file["timing/time_ms"] = np.arange(N) * 40.0
        edges = {"roi1_x1": 2, "roi1_y1": 2, "roi1_x2": 60, "roi1_y2": 40}
        file.attrs.update({"image_dx_cm_per_px": 0.01, **edges})
    names = ("grey.npy", "deep.npy", "v2.zarr", "v3.zarr", "scan.tvd.h5")
    return [Clip.of("array", root, name) for name in names]


def _with_sidecars(root: Path) -> list[Clip]:
    fields = {"Time": np.arange(N) / 30, "Width": float(WIDTH), "Height": float(HEIGHT)}
    shutil.copy(root / "mjpeg.avi", root / "trial.avi")
    savemat(root / "trial.mat", {"TVDdata": fields | {"cmPerPixX": 0.01, "cmPerPixY": 0.01}})
    (root / "trial.mtj-clip.json").write_text(
        '{"schema": 1, "scale": {"x_mm_per_px": 0.12, "y_mm_per_px": 0.15, "source": "line"}, '
        '"roi": {"x": 2, "y": 3, "width": 50, "height": 40}, "distal_side": "left"}'
    )
    return [Clip.of("side-car", root, "trial.avi", "trial.mat", "trial.mtj-clip.json")]


def make() -> list[Clip]:
    """Return all valid clips."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        clips = []
        for name, (codec, pixels, options, form) in VIDEOS.items():
            write_video(root / name, codec, pixels, options, form)
            clips.append(Clip.of("video", root, name))
        return clips + _stills(root) + _arrays(root) + _dicoms(root) + _with_sidecars(root)

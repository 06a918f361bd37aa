"""Real recordings through the reader, held against decoders that are not the project's.

References: the `ffmpeg` program for videos and pictures, pydicom with its plug-ins for DICOM; both
are then weighted by definition (`matrix_pictures.luma_exactly`). What is known of single files is
held by the tests; here stands what the reader makes of each.
"""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matrix_pictures import luma_exactly
from napari_deepmtj.video.opening import VideoSource, open_video

FloatArray = npt.NDArray[np.float64]


@dataclass
class Real:
    """What the reader makes of one file."""

    file: str
    kind: str
    frames: int
    size: str
    times: str
    mm: str
    region: str
    grey_max: int | None
    misread: int
    told: list[str]


def read_real(path: Path, name: str) -> Real:
    """Read a file in order and at random, and compare its grey with the reference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_video(path) as source:
            frames = list(source.frames())
            order = np.random.default_rng(0).permutation(len(frames))[:60].tolist()
            misread = sum(not np.array_equal(source.read(n), frames[n]) for n in order)
            reference = list(_reference(path, source))
            worst: int | None = None
            if reference:
                assert len(reference) == len(frames), name
                exact = [np.floor(r + 0.5).clip(0, 255) for r in reference]
                worst = max(int(np.abs(f - e).max()) for f, e in zip(frames, exact, strict=True))
            scale, facts = source.scale, source.metadata
            rate = source.times.rate
            return Real(
                file=name,
                kind=str(facts.get("codec") or facts.get("transfer_syntax") or path.suffix[1:]),
                frames=source.n_frames,
                size=f"{source.width} x {source.height}",
                times="none" if rate is None else f"{rate:.4g} Hz",
                mm="" if scale is None else f"{scale.x_mm:.4g} x {scale.y_mm:.4g}",
                region="" if source.roi is None else str(source.roi),
                grey_max=worst,
                misread=misread,
                told=[notice.replace(f"{source.name}: ", "") for notice in source.notices],
            )


def _reference(path: Path, source: VideoSource) -> Iterator[FloatArray]:
    """Yield the grey of each frame by another way, not rounded; nothing where there is none."""
    size = (source.height, source.width)
    if path.suffix.lower() == ".dcm":
        yield from _dicom(path)
    elif path.suffix in (".mp4", ".avi"):
        full = source.metadata["pixel_format"].startswith("yuvj")
        for data in _ffmpeg(path, "yuvj420p" if full else "yuv420p"):
            for frame in np.frombuffer(data, np.uint8).reshape(source.n_frames, -1):
                luma = frame[: size[0] * size[1]].reshape(size).astype(np.float64)
                yield luma if full else (luma - 16) * 255 / 219
    else:
        for data in _ffmpeg(path, "rgb24"):
            yield luma_exactly(np.frombuffer(data, np.uint8).reshape(*size, 3))


def _ffmpeg(path: Path, pixels: str) -> Iterator[bytes]:
    command = ["ffmpeg", "-v", "fatal", "-i", str(path), "-vsync", "passthrough"]
    command += ["-pix_fmt", pixels, "-f", "rawvideo", "-"]
    yield subprocess.run(command, capture_output=True, check=True).stdout


def _dicom(path: Path) -> Iterator[FloatArray]:
    """Yield the grey of a DICOM file of 8-bit samples as pydicom decodes them."""
    import pydicom
    from pydicom.pixels import apply_color_lut, pixel_array

    dataset: Any = pydicom.dcmread(path)
    try:
        stored = pixel_array(dataset, raw=True)
    except (RuntimeError, NotImplementedError, AttributeError):
        return  # no plug-in for it here
    samples = int(dataset.SamplesPerPixel)
    frames = stored.reshape(-1, dataset.Rows, dataset.Columns, *([samples] * (samples > 1)))
    colours = str(dataset.PhotometricInterpretation)
    for frame in frames:
        if colours == "PALETTE COLOR":
            table = apply_color_lut(frame, dataset)
            yield luma_exactly(table >> 8 if table.dtype == np.uint16 else table)
        elif colours.startswith("YBR_FULL"):
            yield frame[..., 0].astype(np.float64)
        elif samples == 3:
            yield luma_exactly(frame)
        else:
            yield frame.astype(np.float64)


def real_table(results: list[Real]) -> str:
    """Return the results as a Markdown table."""
    rows = [
        "| file | kind | frames | size | times | mm/px | region | wrong frames | grey | told |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        grey = "" if r.grey_max is None else str(r.grey_max)
        rows.append(
            f"| `{r.file}` | {r.kind} | {r.frames} | {r.size} | {r.times} | {r.mm} | {r.region} "
            f"| {r.misread} | {grey} | {'; '.join(r.told)} |"
        )
    return "\n".join(rows)

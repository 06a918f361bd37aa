"""Ultrasound DICOM as clips: one file, a video inside one, or a folder of single pictures.

A clip is called after the hash of its content: nothing that names a person, a place or a day
gets from the file into name, metadata, notices or errors. See `file.py` for the file
itself and `regions.py` for region and scale.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.dicom.file import DicomFile, NoPictureError
from napari_deepmtj.video.dicom.regions import choose
from napari_deepmtj.video.dicom.streams import FilePart
from napari_deepmtj.video.kinds import kind_of
from napari_deepmtj.video.source import BaseSource
from napari_deepmtj.video.stacks.stack import StackSource

if TYPE_CHECKING:
    from napari_deepmtj.core.geometry import Scale
    from napari_deepmtj.video.grey import ColourRange

#: Frame rates that differ by a larger factor contradict each other.
RATES_AGREE = 1.1

#: Frames per second that a scanner may make; a rate beyond is a slip in the unit.
LIKELY_RATES = (0.2, 1000.0)

#: Scales that differ by a smaller fraction are the same.
SPACING_AGREES = 0.01


def open_dicom(path: Path, colour_range: ColourRange | None = None) -> BaseSource:
    """Open a DICOM file.

    Parameters
    ----------
    path : Path
        The file.
    colour_range : {"full", "limited"}, optional
        Overrides the range of luma of a video inside.

    Raises
    ------
    VideoError
        If it is damaged, or of a kind that is not read.
    """
    file = DicomFile(path)
    try:
        if file.is_video:
            return _open_stream(file, colour_range)
        return DicomSource(path, [file])
    except VideoError as error:
        raise VideoError(error.message, path=path, frame=error.frame) from error


def open_dicom_series(folder: Path, paths: Sequence[Path]) -> BaseSource:
    """Open the instances of one series in a folder, in the order of their numbers.

    Files without a picture, such as reports, are left out with a notice.

    Parameters
    ----------
    folder : Path
        The folder.
    paths : sequence of Path
        Its DICOM files.

    Raises
    ------
    VideoError
        If the folder does not hold just one series of single pictures, or one clip.
    """
    paths = [path for path in paths if path.name.upper() != "DICOMDIR"]
    files: list[DicomFile] = []
    for path in paths:
        with suppress(NoPictureError):
            files.append(DicomFile(path))
    if not files:
        raise VideoError("is a folder of DICOM files without a picture", path=folder)
    told = _left_out(len(paths) - len(files))
    if len(files) == 1:
        source = open_dicom(files[0].path)
        source.say(*(f"{source.name}: {notice}" for notice in told))
        return source
    if any(file.is_video or max(file.promised, file.n_frames) > 1 for file in files):
        raise VideoError("is a folder of several clips; give one of its files", path=folder)
    series = Counter(file.series for file in files)
    if len(series) > 1:
        counts = ", ".join(str(count) for count in sorted(series.values(), reverse=True)[:9])
        raise VideoError(
            f"is a folder of {len(series)} series, of {counts} pictures; give each series a folder "
            "of its own",
            path=folder,
        )
    numbers = [file.instance for file in files]
    if None in numbers or len(set(numbers)) < len(numbers):
        raise VideoError(
            "is a folder of pictures whose instance numbers do not say their order; export them "
            "again, or as one clip",
            path=folder,
        )
    return DicomSource(folder, sorted(files, key=lambda file: file.instance or 0.0), told)


def _left_out(count: int) -> list[str]:
    """Return what must be said of files in a folder that hold no picture."""
    if not count:
        return []
    which = "1 DICOM file holds" if count == 1 else f"{count} DICOM files hold"
    return [f"{which} no picture and stay{'s' if count == 1 else ''} out of the clip"]


class DicomSource(StackSource):
    """A DICOM file of separate pictures, or single pictures of one series, as a clip.

    Parameters
    ----------
    path : Path
        The file, or the folder.
    files : sequence of DicomFile
        The file, or one for each frame in order.
    told : sequence of str
        What must be said of the folder.
    """

    def __init__(self, path: Path, files: Sequence[DicomFile], told: Sequence[str] = ()) -> None:
        first = files[0]
        assert first.pixels is not None  # videos are not opened here
        digest = _digest(files)
        several = len(files) > 1
        n = len(files) if several else first.n_frames
        name = f"dicom-{digest[:10]}"
        if several:
            times, said = _series_times(files)
            told = [*told, *said, *_gaps(files)]
        else:
            times, told = frame_times(first, n)
            if n > first.promised:
                says = f"says {first.promised}" if first.counted else "does not say how many"
                told.insert(0, f"{n} pictures are there, the file {says}; all are read")
            if n < first.promised:
                told.insert(
                    0,
                    f"ends after {n} of {first.promised} frames: the file was cut off; what is "
                    "there is used",
                )

        def load(frame: int) -> npt.NDArray[Any]:
            try:
                return files[frame].load(0) if several else first.load(frame)
            except VideoError as error:
                raise VideoError(error.message, path=name, frame=frame) from error

        regions = choose(first.regions, first.pixels.height, first.pixels.width)
        if several and any(file.regions != first.regions for file in files):
            regions = choose((), 0, 0)
            told.append("the pictures differ in their ultrasound regions, so that none is used")
        if regions.notice is not None:
            told.append(regions.notice)
        told += [*_spacing(first, regions.scale), *first.contradictions()]
        metadata: dict[str, Any] = {
            "container": "dicom",
            "codec": first.syntax.name,
            "pixel_format": f"{first.photometric.lower()} {first.pixels.bits} bit",
            "regions": list(regions.facts),
        }
        if first.pixels.window is not None:
            metadata |= {"grey_window": list(first.pixels.window), "grey_window_from": "file"}
        if first.pixels.lut is not None:
            metadata["grey_lut"] = first.pixels.lut
        super().__init__(
            name,
            path,
            load,
            times,
            scale=regions.scale,
            metadata=metadata,
            notices=tuple(f"{name}: {notice}" for notice in told),
        )
        self.sha256 = digest
        self.roi = regions.roi
        self.promised = 0 if several else first.promised


def _open_stream(file: DicomFile, colour_range: ColourRange | None) -> BaseSource:
    """Open the video inside a DICOM file whose transfer syntax is MPEG-2, H.264 or HEVC."""
    from napari_deepmtj.video.ffmpeg.source import AvSource

    digest = _digest([file])
    part = FilePart(f"dicom-{digest[:10]}", file.path, tuple(file.spans[0]))
    told: list[str] = []

    def times(n: int) -> FrameTimes | None:
        found, notices = frame_times(file, n)
        told.extend(notices if found.known else notices[:-1])
        return found if found.known else None

    kind = kind_of(part.head(1024)) or _bare_stream(file.syntax)
    source = AvSource(part, kind, colour_range, times=times)
    if source.n_frames != file.promised:
        told.append(f"the header says {file.promised} frames, there are {source.n_frames}")
    regions = choose(file.regions, source.height, source.width)
    if regions.notice is not None:
        told.append(regions.notice)
    told += _spacing(file, regions.scale)
    source.say(*(f"{source.name}: {notice}" for notice in told))
    source.scale, source.roi = regions.scale, regions.roi
    source.metadata = {
        **source.metadata,
        "container": f"dicom ({kind})",
        "regions": list(regions.facts),
    }
    source.sha256 = digest
    return source


def _bare_stream(syntax: str) -> str:
    """Return FFmpeg's name of the bare stream of a transfer syntax, 1.2.840.10008.1.2.4.N."""
    number = int(syntax.split(".")[7])
    return "mpegvideo" if number < 102 else "h264" if number < 107 else "hevc"


def _spacing(file: DicomFile, scale: Scale | None) -> list[str]:
    """Return what must be said of the file's PixelSpacing, which is never taken by itself.

    Scanners write it for the whole screen, or for another picture than the one that was exported;
    only an ultrasound region says what it is of.
    """
    if len(file.spacing) != 2 or not all(0 < mm < np.inf for mm in file.spacing):
        return []
    y, x = file.spacing  # DICOM PS3.3 10.7.1.3: between rows, then between columns
    size = f"its PixelSpacing is {x:g} x {y:g} mm (x, y)"
    if scale is None:
        return [
            f"{size}, but no ultrasound region says what it is of: no millimetres are taken; if it "
            f"is that of the B-mode picture, give the scale {x:g},{y:g}"
        ]
    if np.allclose([scale.x_mm, scale.y_mm], [x, y], rtol=SPACING_AGREES):
        return []
    return [
        f"{size}, its ultrasound region says {scale.x_mm:g} x {scale.y_mm:g}; the region is used"
    ]


def frame_times(file: DicomFile, n: int) -> tuple[FrameTimes, list[str]]:
    """Return the times of the `n` frames of a clip, and what must be said of them.

    The vector of frame times counts first, then the frame time, then the cine rate; but the cine
    rate where it contradicts the others, and only it can be.
    """
    notices = []
    if n == 1:
        return FrameTimes.unknown(1), []
    steps = np.array(file.frame_times[:n])
    times: FrameTimes | None = None
    if len(steps) and len(steps) < n:
        notices.append(
            f"its vector of frame times was cut off ({len(file.frame_times)} of {n}) and is not "
            "used"
        )
    elif len(steps) and not (np.isfinite(steps).all() and (steps[1:] > 0).all()):
        notices.append("its vector of frame times does not increase and is not used")
    elif len(steps):
        seconds = np.concatenate([[0.0], np.cumsum(steps[1:])]) / 1000
        times = FrameTimes(seconds, "DICOM frame time vector")
    if times is None and file.frame_time is not None and file.frame_time > 0:
        times = FrameTimes(np.arange(n) * file.frame_time / 1000, "DICOM frame time")
    cine = None
    if file.cine_rate is not None and file.cine_rate > 0:
        cine = FrameTimes.from_rate(n, file.cine_rate, "DICOM cine rate")
    if times is None and cine is None:
        notices.append("the file says nothing of when its frames were taken")
        return FrameTimes.unknown(n), notices
    chosen = times or cine
    assert chosen is not None
    if times is not None and cine is not None:
        ratio = cine.interval / times.interval
        if not 1 / RATES_AGREE <= ratio <= RATES_AGREE:
            chosen = times if _can_be(times) or not _can_be(cine) else cine
            notices.append(
                f"its {times.source.removeprefix('DICOM ')} says {1 / times.interval:.6g} frames "
                f"per second, its cine rate {1 / cine.interval:.6g}; the "
                f"{chosen.source.removeprefix('DICOM ')} is used: check it"
            )
    if not _can_be(chosen):
        notices.append(
            f"its {chosen.source.removeprefix('DICOM ')} says {1 / chosen.interval:.6g} frames per "
            "second, which no scanner makes; check the times"
        )
    return chosen, notices


def _can_be(times: FrameTimes) -> bool:
    """Return True if a scanner can have made frames at such a rate."""
    slowest, fastest = LIKELY_RATES
    return slowest <= 1 / times.interval <= fastest


def _series_times(files: Sequence[DicomFile]) -> tuple[FrameTimes, list[str]]:
    """Return the times of single pictures, which must agree on how far apart they are."""
    if len({(file.frame_time, file.cine_rate) for file in files}) > 1:
        return FrameTimes.unknown(len(files)), ["its pictures differ in frame time; none is used"]
    return frame_times(files[0], len(files))


def _gaps(files: Sequence[DicomFile]) -> list[str]:
    """Return what must be said of instance numbers that are left out."""
    numbers = [int(file.instance or 0) for file in files]
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    return [f"{missing} instance numbers are missing; frames may be lost"] if missing else []


def _digest(files: Sequence[DicomFile]) -> str:
    """Return the SHA-256 of a file's bytes; of several, of their hashes in order."""
    digests = []
    for file in files:
        with file.path.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()

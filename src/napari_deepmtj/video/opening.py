"""Opening a clip, whatever its kind, by its content: `open_video` and the `VideoSource` it gives.

What kind a file is says `kinds.py`; the kinds themselves are in `ffmpeg/` (video containers),
`dicom/` and `stacks/` (pictures, TIFF, arrays, folders, Telemed).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Notice, Progress
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import CalibrationError
from napari_deepmtj.video.kinds import sniff

if TYPE_CHECKING:
    from napari_deepmtj.video.grey import ColourRange
    from napari_deepmtj.video.source import BaseSource

UInt8Array = npt.NDArray[np.uint8]


@runtime_checkable
class VideoSource(Protocol):
    """A clip: exact frames at exact times, read one at a time.

    `read` may be called from several threads; every `frames` iterator is independent of them.
    """

    @property
    def name(self) -> str:
        """Base name, "MG_012.avi"."""

    @property
    def path(self) -> Path | None:
        """The file, if it is one."""

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes, or of the frames where there is no file."""

    @property
    def n_frames(self) -> int:
        """Number of frames."""

    @property
    def height(self) -> int:
        """Rows of a frame."""

    @property
    def width(self) -> int:
        """Columns of a frame."""

    @property
    def times(self) -> FrameTimes:
        """When each frame was taken."""

    @property
    def scale(self) -> Scale | None:
        """Millimetres per pixel, if the file or its side-car says."""

    @property
    def roi(self) -> Roi | None:
        """The region of the B-mode picture, if the file or its side-car says."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """JSON-able facts: container, codec, colour range, ..."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person must be told: a shortened clip, assumed times."""

    @property
    def complete(self) -> bool:
        """Whether number and times of the frames are final; see `open_video`."""

    @property
    def settled(self) -> int:
        """Number of frames, from the first on, that can be read without waiting."""

    @property
    def listed(self) -> float:
        """How much of the listing of frames is done, 0 to 1."""

    def wait(self, progress: Callable[[float], None] | None = None) -> None:
        """Wait until the clip is complete; `progress` is given the part done, 0 to 1."""

    def when_complete(self, callback: Callable[[], None]) -> None:
        """Call back once, from another thread or at once, when no more is to be waited for."""

    def read(self, frame: int) -> UInt8Array:
        """Return frame number `frame`, shape (height, width), grey levels."""

    @property
    def promised(self) -> int:
        """Number of frames that the file should have, if that is more than it has."""

    @property
    def unreadable(self) -> frozenset[int]:
        """Frames that cannot be decoded, as far as they were met."""

    def frames(
        self, start: int = 0, stop: int | None = None, step: int = 1, roi: Roi | None = None
    ) -> Iterator[UInt8Array]:
        """Yield frames in order, cropped to `roi`; unreadable ones are left out."""

    def numbered(
        self, start: int = 0, stop: int | None = None, step: int = 1, roi: Roi | None = None
    ) -> Iterator[tuple[int, UInt8Array | None]]:
        """Yield frames in order with their numbers; None for those that cannot be decoded."""

    def close(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_video(
    path: str | Path, *, colour_range: ColourRange | None = None, background: bool = False
) -> VideoSource:
    """Open a clip by what it contains, never by its extension.

    A side-car `<stem>.mtj-clip.json` beside it gives scale, region and colour range; only the
    region of a DICOM file stands above it.

    Parameters
    ----------
    path : str or Path
        The file, or a folder: one DICOM series, a sequence of pictures, Zarr.
    colour_range : {"full", "limited"}, optional
        Overrides the range of luma that a video file states or implies, and its side-car.
    background : bool
        A long video may come back before all its frames are listed: `complete` is then false,
        number and times of the frames are the file's claim, and reading waits for the frame it
        needs. The listing goes on in a thread; with its end, number, times and notices are
        final.

    Returns
    -------
    VideoSource
        Close it, or use it as a context manager.

    Raises
    ------
    VideoError
        If there is no such file, or it cannot be read; the message says what to do.
    CalibrationError
        If its side-car is not as documented, or its region reaches beyond the picture.
    """
    from napari_deepmtj.video.sidecar import read_sidecar, sidecar_path

    path = Path(path)
    kind = sniff(path)
    info = read_sidecar(path)
    said = None if info is None else info.colour_range
    source = _open_as(path, kind, colour_range or said, background)
    try:
        if said is not None and source.metadata.get("colour_range_from") != "override":
            source.say(
                f"{source.name}: the colour range of its side-car counts for a video alone; it "
                "is not used"
            )
        if info is not None:
            if info.roi is not None:
                try:
                    roi = info.roi.inside(source.height, source.width)
                except CalibrationError as error:
                    raise CalibrationError(
                        f"{error.message}, in this side-car", path=sidecar_path(path)
                    ) from error
                if source.roi is not None and str(source.roi) != str(roi):
                    source.say(
                        f"{source.name}: the region {roi} of its side-car differs from that of the "
                        f"file, {source.roi}, which is used; give numbers to use another"
                    )
                source.roi = source.roi or roi
            if info.scale is not None:
                try:
                    info.scale.for_picture(source.height, source.width, source.roi)
                except CalibrationError as error:
                    raise CalibrationError(
                        f"{error.message} (in this side-car)", path=sidecar_path(path)
                    ) from error
                source.say(*_scales_differ(source.name, source.scale, info.scale))
                source.scale = info.scale
    except Exception:
        source.close()
        raise
    return source


def until_complete(source: VideoSource) -> Iterator[Notice | Progress]:
    """Wait for a clip within a job, whose first events these are; none if it is complete.

    Parameters
    ----------
    source : VideoSource
        The clip.

    Yields
    ------
    Notice
        That the work waits.
    Progress
        In frames that are listed, a few times a second.

    Raises
    ------
    VideoError
        If its frames cannot be listed, or it is closed.
    """
    if source.complete:
        return
    yield Notice(f"{source.name}: work begins when all frames are listed.")
    ended = threading.Event()
    source.when_complete(ended.set)
    while not ended.wait(0.2):
        yield Progress(source.settled, source.n_frames, "frame", "listing them")
    source.wait()


def _scales_differ(name: str, ours: Scale | None, given: Scale) -> list[str]:
    """Say that a side-car's scale stands in the place of another one of the file's own."""
    if ours is None or np.allclose([ours.x_mm, ours.y_mm], [given.x_mm, given.y_mm], rtol=1e-3):
        return []
    return [
        f"{name}: the scale of its side-car, {given.x_mm:g} x {given.y_mm:g} mm/px, is used; that "
        f"of the {ours.source} is {ours.x_mm:g} x {ours.y_mm:g} mm/px"
    ]


def _open_as(
    path: Path, kind: str, colour_range: ColourRange | None, background: bool
) -> BaseSource:
    """Open a file of a known kind; the libraries are imported only when needed."""
    if kind == "folder":
        from napari_deepmtj.video.stacks.folder import open_folder

        return open_folder(path)
    if kind == "dicom":
        from napari_deepmtj.video.dicom.source import open_dicom

        return open_dicom(path, colour_range)
    if kind == "tiff":
        from napari_deepmtj.video.stacks.tiff import TiffSource

        return TiffSource(path)
    if kind == "picture":
        from napari_deepmtj.video.stacks.stack import PictureSource

        return PictureSource(path)
    if kind in ("npy", "zarr"):
        from napari_deepmtj.video.stacks.arrays import NpySource, ZarrSource

        return NpySource(path) if kind == "npy" else ZarrSource(path)
    if kind == "hdf5":
        from napari_deepmtj.video.stacks.telemed import TvdSource

        return TvdSource(path)
    from napari_deepmtj.video.ffmpeg.source import AvSource
    from napari_deepmtj.video.stacks.telemed import apply_mat, mat_path

    # the times beside a clip count only where there is one for every frame
    background = background and mat_path(path) is None
    source = AvSource(path, kind, colour_range, background=background)
    try:
        apply_mat(source, path)
    except BaseException:
        source.close()
        raise
    return source

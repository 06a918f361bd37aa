"""What every video source shares: its nouns, its hash, frame numbers and closing.

How frames are decoded is the business of `ffmpeg/` and `stacks/`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import CalibrationError, VideoError
from napari_deepmtj.video.dicom.streams import FilePart

UInt8Array = npt.NDArray[np.uint8]

#: A notice lists so many runs of unreadable frames at most.
MOST_RUNS = 5


class BaseSource(ABC):
    """A clip whose frames are read one at a time; the common half of every `VideoSource`.

    Parameters
    ----------
    name : str
        Base name of the clip.
    path : Path or None
        The file, if it is one.
    height, width : int
        Size of a frame in pixels.
    times : FrameTimes
        When each frame was taken; their number is the number of frames.
    scale : Scale, optional
        Millimetres per pixel, if the file knows.
    metadata : mapping
        JSON-able facts about the file.
    notices : tuple of str
        What a person must be told.
    """

    def __init__(
        self,
        name: str,
        path: Path | None,
        height: int,
        width: int,
        times: FrameTimes,
        *,
        scale: Scale | None = None,
        metadata: Mapping[str, Any] | None = None,
        notices: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.path = path
        self.height = height
        self.width = width
        self.times = times
        self.scale = scale
        self.roi: Roi | None = None
        self.metadata: Mapping[str, Any] = dict(metadata or {})
        self._notices = list(notices)
        self._unreadable: dict[int, str] = {}
        self._sha256: str | None = None
        self._closed = False
        #: Frames that the file should have, where it was cut off; 0 or fewer than there are else.
        self.promised = 0

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def complete(self) -> bool:
        """Whether number and times of the frames are final; only a long video begins without."""
        return True

    @property
    def settled(self) -> int:
        """Number of frames, from the first on, that can be read without waiting."""
        return self.n_frames

    @property
    def listed(self) -> float:
        """How much of the listing of frames is done, 0 to 1."""
        return 1.0

    def wait(self, progress: Callable[[float], None] | None = None) -> None:
        """Wait until the clip is complete; `progress` is given the part done, 0 to 1."""
        if progress is not None:
            progress(1.0)

    def when_complete(self, callback: Callable[[], None]) -> None:
        """Call back once when the clip is complete, or cannot be; at once if it is."""
        callback()

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user must know; grows when frames turn out to be unreadable."""
        return (*self._notices, *self._unreadable_notice())

    @property
    def unreadable(self) -> frozenset[int]:
        """Frames that cannot be decoded, as far as they were met."""
        return frozenset(self._unreadable)

    def _mark_unreadable(self, frames: Iterable[int], why: str) -> None:
        """Remember that frames cannot be decoded, and why."""
        for frame in frames:
            self._unreadable.setdefault(frame, why)

    def _unreadable_notice(self) -> Iterator[str]:
        """Yield one line that counts the frames that cannot be decoded, if there are any."""
        frames = sorted(self._unreadable.copy())
        if not frames:
            return
        runs = [f"{a} to {b}" if b > a else str(a) for a, b in _runs(frames)]
        which = ", ".join(runs[:MOST_RUNS]) + (", ..." if len(runs) > MOST_RUNS else "")
        frame = "frame" if len(frames) == 1 else "frames"
        yield (
            f"{self.name}: {len(frames)} of {self.n_frames} frames cannot be read "
            f"({frame} {which}: {self._unreadable[frames[0]]}); they are flagged unreadable, the "
            "others are used"
        )

    @property
    def sha256(self) -> str:
        """SHA-256 of the file's bytes, or of the frames where there is no file."""
        if self._sha256 is None:
            self._sha256 = self._hash()
        return self._sha256

    @sha256.setter
    def sha256(self, digest: str) -> None:
        self._sha256 = digest

    def say(self, *notices: str) -> None:
        """Add what a person must be told and was not yet."""
        self._notices.extend(notice for notice in notices if notice not in self._notices)

    def take_scale(self, x_mm: float, y_mm: float, source: str, file: str = "") -> None:
        """Take the scale that a file states of its pictures, or say why it cannot be.

        Parameters
        ----------
        x_mm, y_mm : float
            Millimetres per pixel, whatever is stated.
        source : str
            Where in the file they stand.
        file : str
            Name of a file beside the clip that states them, if it is not the clip's own.
        """
        try:
            self.scale = Scale(x_mm, y_mm, source).for_picture(self.height, self.width)
        except CalibrationError as error:
            whose = f"the scale in {file}" if file else "its scale"
            self.say(f"{self.name}: {whose} is not used: {error.message}")

    def read(self, frame: int) -> UInt8Array:
        """Return one frame.

        Parameters
        ----------
        frame : int
            Zero-based number.

        Returns
        -------
        ndarray of uint8, shape (height, width)
            Grey levels; read-only, because it may be cached.

        Raises
        ------
        VideoError
            If there is no such frame, or it cannot be decoded.
        """
        self._require_open()
        self._require(frame)
        picture = self._read(int(frame))
        picture.setflags(write=False)
        return picture

    def frames(
        self, start: int = 0, stop: int | None = None, step: int = 1, roi: Roi | None = None
    ) -> Iterator[UInt8Array]:
        """Iterate over frames in order, cropped at the source.

        Frames that cannot be decoded are left out, with a notice that counts them: `numbered`
        says which frame is which.

        Parameters
        ----------
        start, stop, step : int
            As in a slice; `step` is positive.
        roi : Roi, optional
            The part to return; the whole picture by default.

        Yields
        ------
        ndarray of uint8, shape (roi.height, roi.width)
            Grey levels.
        """
        numbered = self.numbered(start, stop, step, roi)
        return _readable(numbered)

    def numbered(
        self, start: int = 0, stop: int | None = None, step: int = 1, roi: Roi | None = None
    ) -> Generator[tuple[int, UInt8Array | None]]:
        """Iterate over frames in order with their numbers; takes what `frames` takes.

        Yields
        ------
        int
            Number of the frame; none is left out.
        ndarray of uint8, shape (roi.height, roi.width), or None
            Grey levels; None for a frame that cannot be decoded.

        Raises
        ------
        VideoError
            If the file as a whole cannot be read any more.
        """
        self._require_open()
        if step < 1:
            raise VideoError(f"a frame step of {step} is impossible; use 1 or more", path=self.name)
        if roi is not None:
            roi.inside(self.height, self.width)
        numbers = range(*slice(start, stop, step).indices(self.n_frames))
        return self._numbered(numbers, roi)

    def close(self) -> None:
        """Let go of the file; reading afterwards raises `VideoError`. Closing twice is fine."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.name}: {self.n_frames} frames of "
            f"{self.width} x {self.height} px>"
        )

    @abstractmethod
    def _read(self, frame: int) -> UInt8Array:
        """Return frame `frame`, which exists."""

    def _numbered(
        self, numbers: range, roi: Roi | None
    ) -> Generator[tuple[int, UInt8Array | None]]:
        """Yield frames `numbers`; overridden where sequential reading has its own way."""
        for frame in numbers:
            try:
                picture = self.read(frame)
            except VideoError as error:
                if error.frame is None or self._closed:
                    raise
                self._mark_unreadable([frame], error.message)
                yield frame, None
            else:
                yield frame, picture if roi is None else picture[roi.slices]

    def _hash(self) -> str:
        """Return the hash of the file."""
        if self.path is None:
            raise VideoError("has neither a file nor a hash", path=self.name)
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise VideoError(
                f"cannot be read any more ({error.strerror}); was it moved?", path=self.name
            ) from error

    def _require_open(self) -> None:
        if self._closed:
            raise VideoError("the clip was closed; open it again", path=self.name)

    def _require(self, frame: int) -> None:
        if not 0 <= frame < self.n_frames:
            raise VideoError(
                f"there is no such frame; the clip has {self.n_frames}, numbered from 0",
                path=self.name,
                frame=frame,
            )


def _readable(
    numbered: Generator[tuple[int, UInt8Array | None]],
) -> Generator[UInt8Array]:
    """Yield the frames that can be decoded."""
    with closing(numbered):
        for _, picture in numbered:
            if picture is not None:
                yield picture


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of consecutive numbers, which ascend."""
    first = numbers[0]
    for number, following in zip(numbers, [*numbers[1:], None], strict=True):
        if following != number + 1:
            yield first, number
            first = following if following is not None else 0


def reason(error: BaseException, path: Path | FilePart | None = None) -> str:
    """Return why something failed, in one line and without the folder of `path`."""
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)
    if path is not None:
        for folder in (path.parent.absolute(), path.parent):
            text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "")
    return " ".join(text.split())

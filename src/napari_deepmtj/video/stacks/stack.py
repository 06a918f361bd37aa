"""Single pictures and arrays as clips, and what they share with TIFF stacks (`_tiff.py`).

Pictures deeper than 8 bit get one grey window for the whole clip, never one a frame.
"""

from __future__ import annotations

import hashlib
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.grey import luma
from napari_deepmtj.video.source import BaseSource, reason
from napari_deepmtj.video.stacks.blocks import Blocks

if TYPE_CHECKING:
    from collections.abc import Callable

UInt8Array = npt.NDArray[np.uint8]
AnyArray = npt.NDArray[Any]

#: The grey window of deep pictures: percentiles of this many frames spread over the clip.
WINDOW_PERCENTILES = (0.1, 99.9)
WINDOW_FRAMES = 32


#: A frame of more pixels, or a clip of more frames (4.6 days at 25 Hz), is no ultrasound clip but
#: a damaged header: memory is not asked for.
MOST_PIXELS = 2**26
MOST_FRAMES = 10**7

#: Of a frame, about as many values at most go into the grey window.
_WINDOW_VALUES = 2**20


def require_size(
    height: int, width: int, n_frames: int = 1, path: str | Path | None = None
) -> None:
    """Raise `VideoError` if a header says what no clip can be, before memory is asked for."""
    if height * width > MOST_PIXELS or n_frames > MOST_FRAMES:
        raise VideoError(
            f"says that it has {n_frames} frame{'s' * (n_frames != 1)} of {width} x {height} px; "
            f"at most {MOST_FRAMES} of {MOST_PIXELS} pixels are read: its header is damaged, save "
            "it again",
            path=path,
        )


class ArrayLike(Protocol):
    """What an array must have to be a clip: numpy, dask and zarr do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes."""

    @property
    def dtype(self) -> Any:
        """Type of its numbers."""

    def __getitem__(self, key: Any) -> Any: ...


class StackSource(BaseSource):
    """A clip made of separate pictures, each loaded when it is asked for.

    Parameters
    ----------
    name : str
        Base name.
    path : Path or None
        The file, if it is one.
    load : callable
        Returns picture n, shape (H, W) or (H, W, 3 or more), of any number type.
    times : FrameTimes
        When each picture was taken.
    **more
        `scale`, `metadata`, `notices` of `BaseSource`.
    """

    def __init__(
        self,
        name: str,
        path: Path | None,
        load: Callable[[int], AnyArray],
        times: FrameTimes,
        *,
        scale: Scale | None = None,
        metadata: Mapping[str, Any] | None = None,
        notices: tuple[str, ...] = (),
    ) -> None:
        self._load = load
        self._lock = Lock()
        self._window: tuple[float, float] | None = None
        self.name, self.path = name, path  # errors of the first picture name them
        first = self.picture(0)
        height, width = first.shape[:2]
        super().__init__(
            name, path, height, width, times, scale=scale, metadata=metadata, notices=notices
        )
        if first.dtype not in (np.uint8, np.bool_):
            self._window = self._find_window()
            low, high = self._window
            self.metadata = {**self.metadata, "grey_window": [low, high]}
            self.say(
                f"{name} is deeper than 8 bit: values {low:g} to {high:g} are shown as 0 to 255, "
                "the same for all frames"
            )

    def _read(self, frame: int) -> UInt8Array:
        try:
            return self._grey(frame)
        except MemoryError:
            raise VideoError(
                f"{self.width} x {self.height} px need more memory than there is",
                path=self.name,
                frame=frame,
            ) from None

    def _grey(self, frame: int) -> UInt8Array:
        picture = self.picture(frame)
        if picture.shape[:2] != (self.height, self.width):
            raise VideoError(
                f"is {picture.shape[1]} x {picture.shape[0]} px, the first one {self.width} x "
                f"{self.height}; give pictures of one size",
                path=self.name,
                frame=frame,
            )
        if picture.dtype == np.bool_:
            picture = picture.astype(np.uint8) * np.uint8(255)
        if picture.dtype == np.uint8:
            return luma(picture) if picture.ndim == 3 else np.array(picture)
        assert self._window is not None
        low, high = self._window
        with np.errstate(over="ignore", invalid="ignore"):  # damaged files hold any number
            grey = (_flat(picture) - low) * (255 / (high - low))
        return np.clip(np.floor(np.nan_to_num(grey) + 0.5), 0, 255).astype(np.uint8)

    def picture(self, frame: int) -> AnyArray:
        """Return one picture as it is stored, (H, W) or (H, W, 3 or more) of any number type."""
        try:
            with self._lock:
                picture = np.asarray(self._load(frame))
        except VideoError:
            raise
        except Exception as error:  # third-party decoders raise anything
            raise VideoError(
                f"cannot be decoded ({reason(error, self.path)}); save it again, as TIFF "
                "or PNG without compression",
                path=self.name,
                frame=frame,
            ) from error
        if picture.ndim == 3 and picture.shape[2] in (1, 2):
            picture = picture[..., 0]  # grey, and how transparent it is
        if picture.ndim not in (2, 3) or not picture.size:
            raise VideoError(
                f"is no picture but an array of shape {picture.shape}; save it again",
                path=self.name,
                frame=frame,
            )
        if picture.dtype.kind not in "buif":
            raise VideoError(
                f"is made of {picture.dtype}, not of grey levels; give integers or real numbers",
                path=self.name,
            )
        return picture

    def _find_window(self) -> tuple[float, float]:
        """Return the values shown as 0 and 255, from frames spread over the clip."""
        count = min(WINDOW_FRAMES, self.n_frames)
        spread = np.unique(np.linspace(0, self.n_frames - 1, count).round().astype(int))
        every = max(2, math.isqrt(self.height * self.width // _WINDOW_VALUES))
        values = [_flat(self.picture(int(n))[::every, ::every]).ravel() for n in spread]
        finite = np.concatenate(values)
        finite = finite[np.isfinite(finite)]
        if not len(finite):
            raise VideoError("holds no finite value; give grey levels", path=self.name)
        with np.errstate(over="ignore"):
            low, high = (float(v) for v in np.percentile(finite, WINDOW_PERCENTILES))
            if not np.isfinite(high - low):
                raise VideoError(
                    "holds numbers that are no grey levels; save it again", path=self.name
                )
        return (low, high) if high > low else (low, low + 1.0)


class PictureSource(StackSource):
    """A PNG, JPEG or BMP file as a clip of one frame.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        with opened_picture(path) as image:
            extra = getattr(image, "n_frames", 1) - 1
            facts = {"container": str(image.format).lower(), "pixel_format": image.mode}
            picture = pillow_array(image)
        super().__init__(
            path.name,
            path,
            lambda _: picture,
            FrameTimes.unknown(1),
            metadata=facts,
            notices=(f"{path.name} is animated; only its first frame is used",) if extra else (),
        )


class ArraySource(StackSource):
    """An array in memory, or a lazy one (dask, zarr), as a clip; one frame is touched at a time.

    Parameters
    ----------
    array : array-like
        Shape (T, Y, X), (Y, X) for one frame, (T, Y, X, 3 or 4) or (T, 3 or 4, Y, X) for
        colour; axes of length 1 between the first and the last two are skipped.
    name : str
        What to call it.
    times : FrameTimes, optional
        When each frame was taken; unknown by default.
    scale : Scale, optional
        Millimetres per pixel.
    roi : Roi, optional
        Where the B-mode picture is.
    """

    def __init__(
        self,
        array: ArrayLike,
        name: str = "array",
        *,
        times: FrameTimes | None = None,
        scale: Scale | None = None,
        roi: Roi | None = None,
    ) -> None:
        n, load = _frames_of(array, name)
        if np.dtype(array.dtype).kind not in "buif":
            raise VideoError(
                f"is an array of {array.dtype}, not of grey levels; give integers or real numbers",
                path=name,
            )
        if times is not None and len(times) != n:
            raise VideoError(f"has {n} frames but {len(times)} times; give as many", path=name)
        super().__init__(
            name,
            None,
            load,
            FrameTimes.unknown(n) if times is None else times,
            scale=scale,
            metadata={"container": "array", "pixel_format": str(array.dtype)},
        )
        if roi is not None:
            self.roi = roi.inside(self.height, self.width)

    def _hash(self) -> str:
        digest = hashlib.sha256(f"{self.n_frames},{self.height},{self.width}".encode())
        for frame in range(self.n_frames):
            digest.update(self.read(frame).tobytes())
        return digest.hexdigest()


def holds_clip(array: ArrayLike) -> bool:
    """Whether `ArraySource` takes arrays of this shape; no pixel is looked at."""
    try:
        _frames_of(array, "array")
    except VideoError:
        return False
    return True


def _frames_of(array: ArrayLike, name: str) -> tuple[int, Callable[[int], AnyArray]]:
    """Return the number of frames of an array, and how to get one as (Y, X) or (Y, X, colour)."""
    try:
        shape = tuple(int(length) for length in array.shape)
    except (TypeError, ValueError) as error:  # dask: NaN where it is not known before computing
        raise VideoError(
            "is an array whose shape is not known; compute its chunk sizes first", path=name
        ) from error
    if 0 in shape or len(shape) < 2:
        raise VideoError(f"an array of shape {shape} holds no picture", path=name)
    if len(shape) == 2:
        require_size(shape[0], shape[1], 1, name)
        return 1, lambda _: np.asarray(array[:])
    inner = tuple(length for length in shape[1:-2] if length > 1)
    first = len(shape) > 3 and (inner in ((3,), (4,)) or not inner)
    last = len(shape) == 4 and shape[-1] in (3, 4)
    if len(shape) == 3 and shape[-1] in (3, 4):
        raise VideoError(
            f"an array of shape {shape} looks like one colour picture; give it as array[None]",
            path=name,
        )
    if first and last:
        raise VideoError(
            f"an array of shape {shape} may have its colours first or last; give (T, Y, X)",
            path=name,
        )
    if len(shape) > 3 and not (first or last):
        raise VideoError(
            f"an array of shape {shape} is no clip; give (T, Y, X), (Y, X), or colour as "
            "(T, Y, X, 3) or (T, 3, Y, X)",
            path=name,
        )
    height, width = shape[1:3] if last else shape[-2:]
    require_size(height, width, shape[0], name)
    array = Blocks(array)
    if not first:
        return shape[0], lambda frame: array[frame]

    def load(frame: int) -> AnyArray:
        return np.moveaxis(np.asarray(array[frame]).reshape(*inner, *shape[-2:]), 0, -1)

    def load_grey(frame: int) -> AnyArray:
        return np.asarray(array[frame]).reshape(shape[-2:])

    return shape[0], load if inner else load_grey


def _flat(picture: AnyArray) -> npt.NDArray[np.float64]:
    """Return grey values of a deep picture, colours weighted by BT.601."""
    with np.errstate(invalid="ignore"):  # not every NaN is a quiet one
        values = picture.astype(np.float64)
    if values.ndim == 3:
        flat: npt.NDArray[np.float64] = values[..., :3] @ np.array([0.299, 0.587, 0.114])
        return flat
    return values


@contextmanager
def overheard(logger: str) -> Iterator[list[str]]:
    """Keep what a library logs and warns in this thread off the screen, and give it out."""
    thread = get_ident()
    heard: list[str] = []

    def catch(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        heard.append(record.getMessage())
        return False

    source = logging.getLogger(logger)
    source.addFilter(catch)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield heard
    finally:
        source.removeFilter(catch)


@contextmanager
def opened_picture(path: Path) -> Iterator[Any]:
    """Open a PNG, JPEG or BMP file with Pillow, which reads its pixels only when asked for them.

    Raises
    ------
    VideoError
        If that, or what is done with it, fails.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=("PNG", "JPEG", "BMP"))
        with image:
            require_size(image.height, image.width, path=path)
            yield image
    except VideoError:
        raise
    except Exception as error:  # Pillow raises many things on damaged files
        raise VideoError(
            f"cannot be opened as a picture ({reason(error, path)}); save it again", path=path
        ) from error


def pillow_array(image: Any) -> AnyArray:
    """Return the pixels of a Pillow image, grey or RGB, palettes looked up."""
    if image.format == "JPEG" and image.mode == "RGB":
        image.draft("L", image.size)  # the luma plane itself, without a way through RGB
    if image.mode in ("1", "L", "RGB", "I", "F") or image.mode.startswith("I;16"):
        return np.array(image)
    return np.array(image.convert("L" if image.mode == "LA" else "RGB"))

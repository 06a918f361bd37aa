"""Writing videos, a frame at a time: annotated ones for people, grey ones for made-up clips.

What is drawn on the frames is decided elsewhere. Reading is `video.opening`.
"""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.atomic import atomic_path
from napari_deepmtj.errors import ResultError

if TYPE_CHECKING:
    from av.video.stream import VideoStream

#: Constant rate factor of x264 (its own default is 23; 18 is taken as visually lossless) and
#: the quantiser of MJPEG (1 best, 31 worst).
H264_CRF = 18
MJPEG_QUANTISER = 2


class VideoWriter:
    """Encode frames of one size at a constant rate; the file appears whole when closed.

    Use it as a context manager: an exception inside leaves no file. Nothing but the encoder's
    own few frames is held.

    Parameters
    ----------
    path : str or Path
        Where to; ".avi" becomes MJPEG at full range, anything else H.264 in MP4.
    height, width : int
        Size of the frames. H.264 with shared colour samples needs even sizes, so an odd one is
        filled up with a copy of the last row or column.
    rate : float
        Frames per second.

    Raises
    ------
    ResultError
        If the codec is not there or the file cannot be written.
    """

    def __init__(self, path: str | Path, height: int, width: int, rate: float) -> None:
        import av

        self.path = Path(path)
        self._size = (height, width)
        self._even = height % 2, width % 2
        mjpeg = self.path.suffix.lower() == ".avi"
        codec = "mjpeg" if mjpeg else "libx264"
        if codec not in av.codecs_available:
            raise ResultError("this build of PyAV has no H.264; name it .avi", path=self.path)
        self._stack = ExitStack()
        try:
            temporary = self._stack.enter_context(atomic_path(self.path))
            self._container = self._stack.enter_context(
                av.open(str(temporary), mode="w", format="avi" if mjpeg else "mp4")
            )
            # Rates are written as ratios of small numbers, the only ones all containers take.
            added = self._container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
            self._stream = cast("VideoStream", added)
            self._stream.height, self._stream.width = (
                height + self._even[0],
                width + self._even[1],
            )
            if mjpeg:
                self._stream.pix_fmt = "yuvj420p"
                self._stream.codec_context.qmin = MJPEG_QUANTISER
                self._stream.codec_context.qmax = MJPEG_QUANTISER
            else:
                self._stream.pix_fmt = "yuv420p"
                self._stream.options = {"crf": str(H264_CRF)}
        except BaseException as error:
            self._leave(error)
            raise

    def add(self, frame: npt.NDArray[np.uint8]) -> None:
        """Append a frame, uint8, shape (H, W) for grey or (H, W, 3) for RGB."""
        import av

        if frame.dtype != np.uint8 or frame.shape[:2] != self._size:
            raise ResultError(
                f"a frame of {frame.shape} {frame.dtype} does not fit a video of "
                f"{self._size} uint8",
                path=self.path,
            )
        pad = [(0, self._even[0]), (0, self._even[1]), (0, 0)][: frame.ndim]
        whole = np.ascontiguousarray(np.pad(frame, pad, mode="edge"))
        picture = av.VideoFrame.from_ndarray(whole, format="gray" if frame.ndim == 2 else "rgb24")
        self._container.mux(self._stream.encode(picture))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            try:
                self._container.mux(self._stream.encode(None))
            except BaseException as late:
                self._leave(late)
                raise
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        """Close the container, then keep the file (no error) or throw it away."""
        self._stack.__exit__(None if error is None else type(error), error, None)

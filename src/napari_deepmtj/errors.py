"""Every error a user can meet; one root, one family for each thing that can be wrong.

A message says what failed, in which file and frame, and what to do about it.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

#: Characters of a message at most; a word of a damaged file may have any number.
LONGEST = 1000


def _short(message: str) -> str:
    """Return a message of at most `LONGEST` characters, its middle left out."""
    half = (LONGEST - 5) // 2
    return message if len(message) <= LONGEST else f"{message[:half]} ... {message[-half:]}"


class DeepMTJError(Exception):
    """Root of all errors this package raises on purpose.

    Parameters
    ----------
    message : str
        What failed and what to do about it, in one line.
    path : str or PathLike, optional
        The file concerned; its name (never its folder) leads the message.
    frame : int, optional
        The frame concerned, zero-based.
    """

    def __init__(
        self, message: str, *, path: str | PathLike[str] | None = None, frame: int | None = None
    ) -> None:
        self.message = _short(" ".join(message.split()))
        self.path = None if path is None else Path(path)
        self.frame = frame
        where = []
        if self.path is not None:
            where.append(self.path.name or str(self.path))
        if frame is not None:
            where.append(f"frame {frame}")
        super().__init__(": ".join([", ".join(where), self.message]) if where else self.message)


class VideoError(DeepMTJError):
    """A clip cannot be opened; or, where it has a `frame`, this one cannot be read."""


class LabelError(DeepMTJError):
    """A label file is malformed or does not belong to the clip."""


class CalibrationError(DeepMTJError):
    """A region of interest or a scale makes no sense for the picture."""


class WeightsError(DeepMTJError):
    """A model is unknown, or a weights file is not one of ours or is damaged."""


class DeviceError(DeepMTJError):
    """The computing device asked for is absent or failed."""


class ResultError(DeepMTJError):
    """A result cannot be read or written, or would overwrite one."""


class ChannelError(DeepMTJError):
    """A file of torque, angle or the like cannot be read, or not be brought to the clip's time."""


class MissingExtraError(DeepMTJError):
    """An optional dependency is not installed; the message names the extra.

    Parameters
    ----------
    feature : str
        What was asked for, as a noun ("the time plot").
    extra : str
        The extra of this package that brings the dependency.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f'{feature} needs the extra "{extra}": pip install "napari-deepmtj[{extra}]"'
        )

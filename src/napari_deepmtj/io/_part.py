"""A part of a file as a stream of its own: the video that is kept in pieces inside a DICOM file."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from io import RawIOBase
from itertools import accumulate
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FilePart:
    """Pieces of a file that make up one stream; stands where the path of a video does.

    Parameters
    ----------
    name : str
        What messages call it.
    path : Path
        The file.
    spans : tuple of (int, int)
        Position and length of each piece.
    """

    name: str
    path: Path
    spans: tuple[tuple[int, int], ...]

    @property
    def parent(self) -> Path:
        """The folder of the file."""
        return self.path.parent

    def __fspath__(self) -> str:
        return self.name

    def stream(self) -> RawIOBase:
        """Return the pieces as one file to read."""
        return _Joined(self.path, self.spans)

    def head(self, size: int) -> bytes:
        """Return the first `size` bytes, or fewer if the first piece has no more."""
        return self.stream().read(size) or b""


class _Joined(RawIOBase):
    """Pieces of a file as one; it opens the file for each reading, and keeps none open."""

    def __init__(self, path: Path, spans: tuple[tuple[int, int], ...]) -> None:
        self._path = path
        self._spans = spans
        self._ends = list(accumulate(length for _, length in spans))
        self._at = 0

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether its position can be set."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the position, and return it."""
        base = (0, self._at, self._ends[-1])[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position on, as far as the part there reaches."""
        part = bisect_right(self._ends, self._at)
        if part == len(self._spans):
            return 0
        start, length = self._spans[part]
        into = self._at - (self._ends[part] - length)
        with self._path.open("rb") as file:
            file.seek(start + into)
            data = file.read(min(len(buffer), length - into))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

"""Parts of a file as streams of their own: pieces that make up a video, a deflated rest of a file.

What is in them is the business of `_dicom_file.py` and `_dicom.py`.
"""

from __future__ import annotations

import zlib
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


#: A deflated stream can be entered every so many bytes; each entry keeps about 50 kB.
_CHECKPOINT = 8 * 2**20

#: Bytes inflated, and read, at a time.
_BLOCK, _PACKED = 2**18, 2**14


class Inflated(RawIOBase):
    """A file from some position on, inflated as it is read; it keeps no file open.

    Nothing is inflated beyond what is asked for, and little of it is kept: the states of the
    decoder on the way, so that going back means to inflate a few megabytes again.

    Parameters
    ----------
    path : Path
        The file.
    start : int
        Where the deflated bytes begin (RFC 1951, without a header).
    """

    def __init__(self, path: Path, start: int) -> None:
        self.name = path.name
        self._path = path
        self._at = 0
        # (position inflated, position in the file, decoder) of each entry, and of the end
        first = (0, start, zlib.decompressobj(-zlib.MAX_WBITS))
        self._entries = [first]
        self._now = (0, start, first[2].copy())
        self._block = b""  # inflated, ends at `_now`

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
        """Set the position from the beginning or from here, and return it."""
        if whence not in (0, 1):
            raise ValueError("the end of a deflated stream is not known")
        self._at = max(0, offset + self._at * whence)
        return self._at

    def close(self) -> None:
        """Do nothing: no file is open, and several readers may come one after the other."""

    def reaches(self, position: int) -> int:
        """Return how many of the first `position` bytes there are."""
        while self._now[0] < position and self._step():
            pass
        return min(position, self._now[0])

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position on, as far as the block there reaches."""
        if self._at < self._now[0] - len(self._block):
            at, file_at, decoder = next(e for e in reversed(self._entries) if e[0] <= self._at)
            self._now, self._block = (at, file_at, decoder.copy()), b""
        while self._at >= self._now[0]:
            if not self._step():
                return 0
        begin = self._at - (self._now[0] - len(self._block))
        data = self._block[begin : begin + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _step(self) -> bool:
        """Inflate one more block; False at the end, and where the stream is damaged."""
        at, file_at, decoder = self._now
        with self._path.open("rb") as file:
            file.seek(file_at)
            data = b""
            while not (data or decoder.eof):
                packed = file.read(_PACKED)
                try:
                    data = decoder.decompress(packed, _BLOCK)
                except zlib.error:
                    return False
                file.seek(-len(decoder.unconsumed_tail), 1)
                if not packed and not data:
                    return False
            file_at = file.tell()
        if not data:
            return False
        self._block = data
        self._now = (at + len(data), file_at, decoder)
        if self._now[0] >= self._entries[-1][0] + _CHECKPOINT:
            self._entries.append((*self._now[:2], decoder.copy()))
        return True

"""Whether a file is still the one that was opened: frames are never read from another by mistake.

The table of a video's frames holds for the bytes it was made from alone.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple, Self

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.dicom.streams import FilePart

#: Seconds that a file must have been left alone before what was found in it is kept for who opens
#: it again: clocks of file systems are too coarse to tell two writings in one of their ticks apart.
SETTLED_FILE = 2.0


class Stamp(NamedTuple):
    """What changes when a file is written or replaced: its size in bytes, its time in ns."""

    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path | FilePart) -> Self | None:
        """Return the stamp of a file; None if there is none any more."""
        try:
            facts = _file(path).stat()
        except OSError:
            return None
        return cls(facts.st_size, facts.st_mtime_ns)


def require_unchanged(path: Path | FilePart, stamp: Stamp | None) -> None:
    """Refuse a file that was written since it had this stamp; one that is gone is no concern here.

    Raises
    ------
    VideoError
        If it was.
    """
    now = Stamp.of(path)
    if None not in (now, stamp) and now != stamp:
        raise VideoError(
            "was changed since it was opened; open it again, when nothing writes to it any more",
            path=path,
        )


def identity(path: Path | FilePart) -> tuple[str | int, ...] | None:
    """Return what no other content of a file, or of another, has; None if that cannot be told."""
    if isinstance(path, FilePart):
        return None
    try:
        facts = path.stat()
    except OSError:
        return None
    # A copy may bring its time along; on POSIX the other time, of the change, cannot be set.
    changed_ns = max(facts.st_mtime_ns, facts.st_ctime_ns)
    if abs(time.time() - changed_ns / 1e9) < SETTLED_FILE:
        return None
    times = facts.st_mtime_ns, facts.st_ctime_ns
    return str(path.absolute()), facts.st_dev, facts.st_ino, facts.st_size, *times


def _file(path: Path | FilePart) -> Path:
    return path.path if isinstance(path, FilePart) else path

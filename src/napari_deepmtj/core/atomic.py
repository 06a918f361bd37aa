"""Writing files so that a reader sees the old one or the new one whole, never a part."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from napari_deepmtj.errors import ResultError

#: A temporary file this old was left behind by a program that was killed.
STALE_SECONDS = 3600.0


class LockedError(ResultError):
    """Another program holds the file open; the new one stays beside it.

    Parameters
    ----------
    path : Path
        The file that could not be replaced.
    kept : Path
        The new file.
    why : str
        What the operating system said.
    """

    def __init__(self, path: Path, kept: Path, why: str) -> None:
        super().__init__(
            f"is locked by another program ({why}); the new file stays as {kept.name}: close "
            "that program and rename it",
            path=path,
        )
        self.kept = kept
        self.why = why


def atomic_write(path: str | Path, content: bytes | Callable[[BinaryIO], object]) -> Path:
    """Write a whole file at once: temporary file in the same folder, fsync, replace.

    Parameters
    ----------
    path : str or Path
        The file to write or replace.
    content : bytes or callable
        The bytes, or a function that writes them to an open binary file.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ResultError
        If the folder is not writable or the disk is full.
    LockedError
        If another program holds the file open; the new one stays beside it as
        `<name>.new.<extension>`.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if callable(content):
            content(file)
        else:
            file.write(content)
    return Path(path)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to, which becomes `path` if the block succeeds.

    Raises
    ------
    ResultError
        As `atomic_write` does.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{time.monotonic_ns():x}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clean(path)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
    except OSError as error:
        _discard(temporary)
        raise ResultError(
            f"cannot be written ({error.strerror or error}); choose a writable folder with space",
            path=path,
        ) from error
    except BaseException:
        _discard(temporary)
        raise
    try:
        temporary.replace(path)
    except OSError as error:
        kept = path.with_suffix(f".new{path.suffix}")
        try:
            temporary.replace(kept)
        except OSError:
            _discard(temporary)
            raise ResultError(
                f"cannot be replaced ({error.strerror or error}); close the program that has "
                "it open and run again",
                path=path,
            ) from error
        raise LockedError(path, kept, str(error.strerror or error)) from error


def _discard(temporary: Path) -> None:
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


def _clean(path: Path) -> None:
    """Remove temporaries of the same file that a killed program left behind."""
    for old in path.parent.glob(f".{_literal(path.name)}.*.tmp"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > STALE_SECONDS:
                old.unlink()


def _literal(name: str) -> str:
    """Escape what `glob` would take as a pattern."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)

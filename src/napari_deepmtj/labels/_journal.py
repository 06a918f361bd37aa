"""The journal of a label file: one line for the edits of one call, on disk before the call returns.

A line is `<crc32 of the JSON, 8 hex digits> <JSON>`; the JSON has no line breaks. Lines are
numbered from 1 after a head. A line whose write failed is cut off, else overwritten by the next.
What is in no whole line was never acknowledged. Which value wins when a journal meets its label
file is decided in `labels._merge`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_deepmtj.core.labels import Edit, Label, StateEdit
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.table import SUFFIX

SCHEMA = 1


@dataclass(frozen=True)
class Left:
    """What a journal that was left behind says.

    Parameters
    ----------
    path : Path
        The journal.
    lines : int
        How many calls of `apply` were acknowledged.
    edits : tuple of Edit or StateEdit
        Their edits, oldest first.
    notices : tuple of str
        What was dropped, if anything.
    """

    path: Path
    lines: int
    edits: tuple[Edit | StateEdit, ...]
    notices: tuple[str, ...]


class Journal:
    """The journal of one holder of the lock.

    Its name has a number, greater than those of all journals before it, and the holder's token, so
    that no two programs ever write into one journal.

    Parameters
    ----------
    path : Path
        A file that does not exist yet.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        self._end = 0
        self._file = path.open("xb", buffering=0)
        try:
            self._write(_line({"schema": SCHEMA}))
            sync_folder(path.parent)
        except OSError:
            self.delete()
            raise
        self._head = self._end

    def append(self, edits: Sequence[Edit | StateEdit], confirm: Callable[[], None]) -> None:
        """Write the edits of one call and wait until they are on the disk.

        Parameters
        ----------
        edits : sequence of Edit or StateEdit
            Oldest first.
        confirm : callable
            Called when they are on the disk; if it raises, they are taken back.

        Raises
        ------
        OSError
            If they cannot be written; the next line then takes their place.
        """
        line = _line({"n": self.lines + 1, "edits": [_packed(edit) for edit in edits]})
        start = self._end
        try:
            self._write(line)
            confirm()
        except BaseException:
            self._end = start
            with suppress(OSError):  # the next line overwrites what cannot be cut off
                self._file.truncate(start)
            raise
        self.lines += 1

    def clear(self) -> None:
        """Forget all lines, as the files now hold what they say."""
        self._file.truncate(self._head)
        self._end, self.lines = self._head, 0

    def close(self) -> None:
        """Close the file and leave it."""
        self._file.close()

    def delete(self) -> None:
        """Close the file and remove it."""
        self._file.close()
        discard(self.path)

    def _write(self, line: bytes) -> None:
        """Write at the end of what is acknowledged; all of it, or OSError."""
        rest = memoryview(line)
        self._file.seek(self._end)
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())
        self._end += len(line)


def read_journal(path: Path) -> Left:
    """Read a journal that was left behind; what was never acknowledged is dropped.

    Raises
    ------
    LabelError
        If it cannot be read, is of another version, or an acknowledged line is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LabelError(f"cannot be read ({error.strerror or error})", path=path) from error
    batches: list[list[Edit | StateEdit]] = []
    dropped = 0
    headed = False
    for number, line in enumerate(content.split(b"\n"), start=1):
        data = _understood(line)
        if data is None:
            dropped += bool(line.strip(b"\0"))
            continue
        if not headed:
            if data.get("schema") != SCHEMA:
                raise _damaged(path, number)
            headed = True
            continue
        try:
            count, edits = data["n"], [_unpacked(item) for item in data["edits"]]
        except (KeyError, TypeError, ValueError, LabelError) as error:
            raise _damaged(path, number) from error
        if count != len(batches) + 1:
            raise _damaged(path, number)
        batches.append(edits)
    notices = []
    if dropped:
        notices.append(
            "the program that wrote the labels stopped in the middle of an edit; "
            "that edit, which was not saved yet, is dropped"
        )
    steps = tuple(edit for batch in batches for edit in batch)
    return Left(path, len(batches), steps, tuple(notices))


def journal_stem(labels: Path) -> str:
    """Return how the names of a label file's journals and lock begin."""
    return labels.name.removesuffix(SUFFIX) + SUFFIX.removesuffix(".csv")


def journals(folder: Path, stem: str) -> list[Path]:
    """Return the journals of a label file, oldest first."""
    name = re.compile(re.escape(stem) + r"\.(\d+)-[0-9a-f]+\.journal")
    numbers = {path: match for path in folder.iterdir() if (match := name.fullmatch(path.name))}
    return sorted(numbers, key=lambda path: (int(numbers[path][1]), path.name))


def journal_path(folder: Path, stem: str, token: str) -> Path:
    """Return a name for a journal that sorts after all that are there."""
    there = journals(folder, stem)
    last = int(there[-1].name[len(stem) + 1 :].partition("-")[0]) if there else 0
    return folder / f"{stem}.{last + 1:04d}-{token}.journal"


def discard(path: Path) -> None:
    """Remove a journal; where another program holds it open, empty it.

    Raises
    ------
    OSError
        If neither can be done.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError:
        os.truncate(path, 0)


def sync_folder(folder: Path) -> None:
    """Wait until names made, replaced and removed in a folder are on the disk, where one can."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network drives cannot, and need not
            os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(path: Path, line: int) -> LabelError:
    return LabelError(
        f"line {line} of this journal is damaged or of another version of the program; "
        "move the journal elsewhere to open the labels without it",
        path=path,
    )


def _line(data: dict[str, Any]) -> bytes:
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _understood(line: bytes) -> dict[str, Any] | None:
    """Return what a line says, None if it is not whole."""
    check, _, text = line.partition(b" ")
    if not text or check != b"%08x" % zlib.crc32(text):
        return None
    data = json.loads(text)
    return data if isinstance(data, dict) else None


def _packed(edit: Edit | StateEdit) -> dict[str, Any]:
    if isinstance(edit, StateEdit):
        return {"state": edit.name, "before": edit.before, "after": edit.after}
    return {
        "before": None if edit.before is None else asdict(edit.before),
        "after": None if edit.after is None else asdict(edit.after),
    }


def _unpacked(data: dict[str, Any]) -> Edit | StateEdit:
    before, after = data["before"], data["after"]
    if "state" in data:
        return StateEdit(data["state"], before, after)
    return Edit(_label(before), _label(after))


def _label(data: dict[str, Any] | None) -> Label | None:
    return None if data is None else Label(**{**data, "origin": Origin(data["origin"])})

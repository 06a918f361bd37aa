"""What of a batch is finished: one line a clip, appended when its result is on disk.

The ledger is the commit: a clip without a line is done again, whatever lies in the folder. Lines
are appended and synchronised by one process at a time, which holds the ledger's lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from napari_deepmtj.errors import LabelError, ResultError
from napari_deepmtj.labels.lock import Lock

#: Name of the ledger in a batch's folder, and of its lock.
NAME, LOCK_NAME = "mtj-batch.jsonl", ".mtj-batch.lock"
SCHEMA = 1

#: A result of which a smaller share of the frames could be read is partial.
WHOLE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How one clip ended, the last time it was tried.

    Parameters
    ----------
    result : str
        Its `.mtj.csv`, relative to the batch's folder, `/` between folders.
    clip : str
        Its file, as it was given.
    size, modified_ns : int
        Of the file then: as long as they are the same, so is its hash.
    sha256 : str
        Of its content.
    key : str
        What the result is a function of; see `run.key_of`.
    failed : str
        Why there is no result; "" if there is one.
    facts : mapping
        What the run says of itself: frames, seconds, notices.
    """

    result: str
    clip: str
    size: int = 0
    modified_ns: int = 0
    sha256: str = ""
    key: str = ""
    failed: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def partial(self) -> str:
        """Why a result stands for a part of its clip only; "" if it stands for all of it."""
        frames, missing = self.facts.get("frames", 0), self.facts.get("missing", 0)
        read, promised = frames - self.facts.get("unreadable", 0), frames + missing
        if read >= WHOLE * promised:
            return ""
        return f"{read} of {promised} frames could be read"


class Ledger:
    """The lines of a batch, the last one of each result.

    Parameters
    ----------
    path : Path
        The file, read or about to be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, Line] = {}
        self._end = 0
        self._load()

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Read the ledger of a batch's folder, empty where there is none."""
        return cls(folder / NAME)

    def line(self, result: str) -> Line | None:
        """Return the last line of a result."""
        return self._lines.get(result)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())

    def append(self, line: Line) -> None:
        """Add a line; it is on disk when this returns.

        Raises
        ------
        ResultError
            If it cannot be written, as on a full disk; then it is as if it had not been.
        """
        text = json.dumps({"schema": SCHEMA} | asdict(line), allow_nan=False) + "\n"
        try:
            with self.path.open("r+b" if self.path.exists() else "xb") as file:
                file.truncate(self._end)  # what a kill or a full disk left of a line
                file.seek(self._end)
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
                self._end = file.tell()
        except OSError as error:
            raise ResultError(
                f"cannot be written ({error.strerror or error}); make room or choose another "
                "folder, and run the batch again: it goes on where it stopped",
                path=self.path,
            ) from error
        self._lines[line.result] = line

    def _load(self) -> None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise ResultError(f"cannot be read ({error.strerror})", path=self.path) from error
        self._end = content.rfind(b"\n") + 1
        for number, text in enumerate(content[: self._end].splitlines(), start=1):
            try:
                data = json.loads(text)
                schema = data.pop("schema")
                if schema != SCHEMA:
                    raise ValueError(f"its schema is {schema!r}, this version reads {SCHEMA}")  # noqa: TRY301
                line = Line(**data)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise ResultError(
                    f"line {number} is damaged ({error}); delete that line, and its clip is "
                    "tracked again",
                    path=self.path,
                ) from error
            self._lines[line.result] = line


@contextmanager
def only_here(folder: Path) -> Iterator[None]:
    """Hold a batch's folder, so that no second batch writes to it.

    Raises
    ------
    ResultError
        If another one does, with who, where and since when; or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock.acquire(folder / LOCK_NAME, folder / NAME, take_over=False)
    except LabelError as error:
        who = getattr(error, "holder", None)
        if who is None:
            raise ResultError(error.message, path=folder) from error
        raise ResultError(
            f"another batch writes to this folder ({who}); wait for it, or choose another folder",
            path=folder,
        ) from error
    except OSError as error:
        raise ResultError(
            f"cannot be made a folder for results ({error.strerror}); choose another",
            path=folder,
        ) from error
    try:
        yield
    finally:
        lock.release()

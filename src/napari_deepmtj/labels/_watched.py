"""A label file and its state file, held in memory and watched for changes made outside.

What becomes of such a change is `labels._merge`; when the files are written is `labels.store`.
"""

from __future__ import annotations

import hashlib
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from napari_deepmtj.core.atomic import LockedError, atomic_write
from napari_deepmtj.core.labels import Json, Label
from napari_deepmtj.errors import LabelError, ResultError
from napari_deepmtj.labels._merge import Key, Value
from napari_deepmtj.labels.table import SUFFIX, label_bytes, parse_labels

SCHEMA = 1

STATE_SUFFIX = ".mtj-annotation.json"


def state_path(labels: str | Path) -> Path:
    """Return where the state of annotation lies: beside the label file."""
    labels = Path(labels)
    return labels.with_name(labels.name.removesuffix(SUFFIX) + STATE_SUFFIX)


class Sight(NamedTuple):
    """What tells one content of a file from another: when it was changed (ns), size, hash."""

    changed: int
    size: int
    sha256: str


class Found(NamedTuple):
    """A file as it is now."""

    sight: Sight
    values: dict[Key, Value]


class WatchedFile(ABC):
    """What is to be in a file, and how the file was when last looked at.

    Parameters
    ----------
    path : Path
        The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[Key, Value] = {}
        self.seen: Sight | None = None

    @abstractmethod
    def _parse(self, content: bytes) -> dict[Key, Value]:
        """Return what the content says; LabelError if it is malformed."""

    @abstractmethod
    def _content(self) -> bytes:
        """Return the content that says `values`."""

    def look(self, *, exact: bool = False) -> Found | None:
        """Return the file as it is, None if it is as it was seen, or missing.

        Parameters
        ----------
        exact : bool
            Compare contents even if time and size are as they were.

        Raises
        ------
        LabelError
            If it cannot be read or is malformed.
        """
        try:
            stat = self.path.stat()
            now = (stat.st_mtime_ns, stat.st_size)
            if not exact and self.seen is not None and now == self.seen[:2]:
                return None
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LabelError(
                f"cannot be read ({error.strerror or error})", path=self.path
            ) from error
        sight = Sight(*now, hashlib.sha256(content).hexdigest())
        if self.seen is not None and sight.sha256 == self.seen.sha256:
            self.seen = sight
            return None
        return Found(sight, self._parse(content))

    def vanished(self) -> bool:
        """Whether the file was there and is no more."""
        return self.seen is not None and not self.path.exists()

    def put(self, key: Key, value: Value) -> None:
        """Set one value, or take it away."""
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value

    def write(self, confirm: Callable[[], None]) -> None:
        """Write the file at once.

        Parameters
        ----------
        confirm : callable
            Called last before the file is replaced; what it raises leaves the file as it is.

        Raises
        ------
        LabelError
            If the file was changed outside while it was written.
        ResultError
            If it cannot be written.
        """
        content = self._content()

        def write(file: BinaryIO) -> None:
            file.write(content)
            if self.look() is not None:
                raise LabelError("was changed by another program just now", path=self.path)
            confirm()

        try:
            atomic_write(self.path, write)
        except LockedError as error:
            with suppress(OSError):  # the journal has it all; no second file is wanted
                error.kept.unlink()
            raise ResultError(
                f"is held open by another program ({error.why}); close it there", path=self.path
            ) from error
        stat = self.path.stat()
        self.seen = Sight(stat.st_mtime_ns, stat.st_size, hashlib.sha256(content).hexdigest())


class LabelFile(WatchedFile):
    """`*.mtj-labels.csv`: labels by their keys."""

    def _parse(self, content: bytes) -> dict[Key, Value]:
        return {label.key: label for label in parse_labels(io.BytesIO(content), self.path)}

    def _content(self) -> bytes:
        return label_bytes(cast("Iterable[Label]", self.values.values()))

    def keep_removed(self, removed: Iterable[Label]) -> str:
        """Write what another program removed, by putting an old copy back perhaps, beside the file.

        Returns
        -------
        str
            Name of the new file, a label file but for its name.

        Raises
        ------
        ResultError
            If it cannot be written.
        """
        stem = self.path.name.removesuffix(SUFFIX)
        number = 1
        while (path := self.path.with_name(f"{stem}.removed-{number}.csv")).exists():
            number += 1
        return atomic_write(path, label_bytes(removed)).name


class StateFile(WatchedFile):
    """`*.mtj-annotation.json`: the state of annotation, entries by their names."""

    def _parse(self, content: bytes) -> dict[Key, Value]:
        try:
            data = json.loads(content)
        except ValueError as error:  # that it is not UTF-8 among them
            raise LabelError(
                f"is not JSON ({error}); correct or delete it", path=self.path
            ) from error
        if not isinstance(data, dict) or data.keys() != {"schema", "state"}:
            raise LabelError('must have "schema" and "state"; correct or delete it', path=self.path)
        if data["schema"] != SCHEMA:
            raise LabelError(
                f"has schema {data['schema']!r}, this version reads {SCHEMA}", path=self.path
            )
        if not isinstance(data["state"], dict):
            raise LabelError("state must be an object; correct or delete it", path=self.path)
        return {name: value for name, value in data["state"].items() if value is not None}

    def _content(self) -> bytes:
        data = {"schema": SCHEMA, "state": cast("Mapping[str, Json]", self.values)}
        return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()

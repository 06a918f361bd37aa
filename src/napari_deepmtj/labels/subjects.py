"""Whose clip is whose: the rules that name the subject of a clip. Splitting is `training.split`.

A rule sees all clips at once, because what tells two folders apart depends on the others.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from napari_deepmtj.errors import LabelError

#: Clips -> the subject of each, in their order.
SubjectRule: TypeAlias = Callable[[Sequence[Path]], list[str]]

#: Columns of a table of subjects.
TABLE_COLUMNS = ("clip", "subject")


def by_folder(clips: Sequence[Path]) -> list[str]:
    """Name subjects by their clips' folders, with as many of those above as tell them apart."""
    folders = {clip.resolve().parent.parts for clip in clips}
    depth = 1
    while len({parts[-depth:] for parts in folders}) < len(folders):
        depth += 1
    return ["/".join(clip.resolve().parent.parts[-depth:]) for clip in clips]


@dataclass(frozen=True)
class ByPattern:
    """A regular expression with a group named `subject`, searched for in the name of each clip.

    Parameters
    ----------
    pattern : str
        Such as `(?P<subject>S[0-9]+)_`.

    Raises
    ------
    LabelError
        If it is no regular expression or has no such group.
    """

    pattern: str

    def __post_init__(self) -> None:
        try:
            groups = re.compile(self.pattern).groupindex
        except re.error as error:
            raise LabelError(f"the pattern {self.pattern!r} cannot be read: {error}") from error
        if "subject" not in groups:
            raise LabelError(
                f"the pattern {self.pattern!r} has no group named subject; write it as in "
                "(?P<subject>S[0-9]+)_"
            )

    def __call__(self, clips: Sequence[Path]) -> list[str]:
        """Return the subject of each clip, or raise for a name without one."""
        found = []
        for clip in clips:
            match = re.search(self.pattern, clip.name)
            if match is None or not match["subject"]:
                raise LabelError(
                    f"the pattern {self.pattern!r} finds no subject in this name", path=clip
                )
            found.append(match["subject"])
        return found


@dataclass(frozen=True)
class ByTable:
    """A CSV with the columns clip and subject, one row a clip, and others that do not matter.

    Parameters
    ----------
    path : Path
        The table. A clip is called by its file's name, with or without the extension.
    """

    path: Path

    def __call__(self, clips: Sequence[Path]) -> list[str]:
        """Return the subject of each clip, or raise for one without a row."""
        rows = self._rows()
        found = []
        for clip in clips:
            subject = rows.get(clip.name, rows.get(clip.stem))
            if subject is None:
                raise LabelError(f"has no row for the clip {clip.name}; add one", path=self.path)
            found.append(subject)
        return found

    def _rows(self) -> dict[str, str]:
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                missing = set(TABLE_COLUMNS) - set(reader.fieldnames or ())
                if missing:
                    raise LabelError(f"lacks the column {min(missing)}", path=self.path)
                rows: dict[str, str] = {}
                for number, row in enumerate(reader, start=2):
                    clip, subject = ((row[name] or "").strip() for name in TABLE_COLUMNS)
                    if not clip or not subject:
                        raise LabelError(f"row {number} lacks clip or subject", path=self.path)
                    if rows.setdefault(clip, subject) != subject:
                        raise LabelError(
                            f"row {number} gives the clip {clip} another subject than a row before",
                            path=self.path,
                        )
                return rows
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise LabelError(f"cannot be read as a CSV table ({error})", path=self.path) from error


def subject_rule(table: Path | None = None, pattern: str | None = None) -> SubjectRule:
    """Return the rule that a person asked for: a table, or a pattern, else folders.

    Raises
    ------
    LabelError
        If both were given, or the pattern cannot be used.
    """
    if table is not None and pattern:
        raise LabelError("give a table of subjects or a pattern that finds them, not both")
    if table is not None:
        return ByTable(table)
    return ByPattern(pattern) if pattern else by_folder

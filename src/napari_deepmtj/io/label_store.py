"""The labels of one file while they are edited: every edit is on disk before the next.

The journal's lines are `io._journal`, the lock is `io._lock`, the label file is `io.labels`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from napari_deepmtj.core.labels import Edit, Json, Label, StateEdit


@dataclass(frozen=True)
class OutsideChange:
    """What another program changed in the files since they were read.

    Parameters
    ----------
    edits : tuple of Edit or StateEdit
        From ours to theirs, where only theirs changed.
    conflicts : tuple of Edit or StateEdit
        From ours to theirs, where both changed, differently: a person must be asked.
    """

    edits: tuple[Edit | StateEdit, ...]
    conflicts: tuple[Edit | StateEdit, ...]

    @property
    def added(self) -> tuple[Label, ...]:
        """Labels that only the file has."""
        raise NotImplementedError

    @property
    def changed(self) -> tuple[Edit, ...]:
        """Labels that the file has otherwise: from ours to theirs."""
        raise NotImplementedError

    @property
    def removed(self) -> tuple[Label, ...]:
        """Labels that the file no longer has."""
        raise NotImplementedError


class LabelStore:
    """One label file, its journal, its lock and the state of its annotation.

    Undo and redo are inverse edits: `store.apply(edit.inverse())`. Use it from one thread at a
    time. `with LabelStore.open(path) as store:` closes it.
    """

    path: Path
    notices: tuple[str, ...]  # what a person should be told, oldest first

    @classmethod
    def open(cls, path: str | Path, *, take_over: bool = False) -> Self:
        """Lock, read, and take up what a program that died left in its journal.

        Raises
        ------
        LabelLocked
            If another program edits the file: `.user`, `.host`, `.pid`, `.since`.
        LabelError
            If a file is malformed or the folder is not writable.
        """
        raise NotImplementedError

    @property
    def labels(self) -> tuple[Label, ...]:
        """All labels, in the order of the file, newer ones last."""
        raise NotImplementedError

    def get(self, clip_sha256: str, frame: int, annotator: str, round: int) -> Label | None:  # noqa: A002
        """Return one label, None where there is none."""
        raise NotImplementedError

    @property
    def state(self) -> Mapping[str, Json]:
        """The state of annotation; change it by `StateEdit` only, never in place."""
        raise NotImplementedError

    def apply(self, *edits: Edit | StateEdit) -> None:
        """Edit; all edits of one call are on disk, together, when it returns.

        Raises
        ------
        LabelLocked
            If another program took the file over. Nothing was saved.
        LabelError
            If `before` is not what is there, or the disk refuses. Nothing was saved or changed.
        """
        raise NotImplementedError

    def outside_change(self) -> OutsideChange | None:
        """Return what another program changed in the files, None if nothing."""
        raise NotImplementedError

    def merge(self, change: OutsideChange, prefer: Literal["ours", "theirs"] | None = None) -> None:
        """Take up what changed outside; conflicts go as `prefer` says.

        Raises
        ------
        LabelError
            If there are conflicts and `prefer` is None, or the files changed again since.
        """
        raise NotImplementedError

    def compact(self) -> None:
        """Write labels and state into their files and empty the journal.

        What changed outside without conflict is merged, with a notice.

        Raises
        ------
        LabelError
            If it cannot: conflicts, a malformed file, a full disk. The journal keeps all edits.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Compact and give the lock back; the lock goes even if compacting fails."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

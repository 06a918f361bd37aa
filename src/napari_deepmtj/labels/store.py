"""The labels of one file while they are edited: every edit is on disk before the next.

The journal's lines are `labels._journal`, the lock is `labels.lock`, the files themselves are
`labels._watched`, and what changed outside is `labels._merge`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, Self, cast

from napari_deepmtj.core.labels import Edit, Json, Label, StateEdit
from napari_deepmtj.errors import LabelError, ResultError
from napari_deepmtj.labels._journal import (
    Journal,
    discard,
    journal_path,
    journal_stem,
    journals,
    read_journal,
    sync_folder,
)
from napari_deepmtj.labels._merge import Key, OutsideChange, Said, Value, compare, key_of
from napari_deepmtj.labels._watched import Found, LabelFile, StateFile, WatchedFile, state_path
from napari_deepmtj.labels.lock import LabelLocked, Lock

__all__ = ["LabelLocked", "LabelStore", "OutsideChange", "state_path"]

#: After so many calls `apply` writes the files by itself, which bounds the journal.
COMPACT_AFTER = 2000


class LabelStore:
    """One label file, its journal, its lock and the state of its annotation.

    Undo and redo are inverse edits: `store.apply(edit.inverse())`. Call `compact` when a person
    pauses; otherwise closing does it. Use it from one thread at a time, and as a context manager.
    `LabelStore.open` makes it.
    """

    def __init__(self, path: Path, lock: Lock) -> None:
        self.path = path
        self._lock = lock
        self._stem = journal_stem(path)
        self._labels = LabelFile(path)
        self._state = StateFile(state_path(path))
        self._said = Said()
        self._notices: list[str] = []
        self.merges = 0  #: how often changes made outside were taken up: whoever keeps labels looks
        self._closed = self._lost = False
        try:
            self._clean()
            self._left = journals(path.parent, self._stem)
            self._load()
            self._journal = Journal(journal_path(path.parent, self._stem, lock.me.token))
        except OSError as error:
            raise LabelError(
                f"cannot be edited in this folder ({error.strerror or error}); choose a writable "
                "one with space",
                path=path,
            ) from error
        if self._left:
            self._try_compact()

    @classmethod
    def open(cls, path: str | Path, *, take_over: bool = False) -> Self:
        """Lock, read, and take up what a program that died left in its journal.

        Parameters
        ----------
        path : str or Path
            The label file; it need not exist yet.
        take_over : bool
            Take it even from a program that runs and holds it; that one is refused from then on.

        Raises
        ------
        LabelLocked
            If another program edits the file: `.user`, `.host`, `.pid`, `.since`.
        LabelError
            If a file is malformed or the folder is not writable.
        """
        path = Path(os.path.realpath(path))
        lock = Lock.acquire(path.with_name(f"{journal_stem(path)}.lock"), path, take_over=take_over)
        try:
            return cls(path, lock)
        except BaseException:
            lock.release()
            raise

    @property
    def labels(self) -> tuple[Label, ...]:
        """All labels, in the order of the file, newer ones last."""
        return tuple(cast("Iterable[Label]", self._labels.values.values()))

    def get(self, clip_sha256: str, frame: int, annotator: str, round: int) -> Label | None:  # noqa: A002
        """Return one label, None where there is none."""
        return cast("Label | None", self._labels.values.get((clip_sha256, frame, annotator, round)))

    @property
    def state(self) -> Mapping[str, Json]:
        """The state of annotation; change it by `StateEdit` only, never in place."""
        return MappingProxyType(cast("dict[str, Json]", self._state.values))

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should be told, oldest first."""
        return tuple(self._notices)

    def apply(self, *edits: Edit | StateEdit) -> None:
        """Edit; all edits of one call are on disk, together, when it returns.

        Raises
        ------
        LabelLocked
            If another program took the file over. Nothing was saved.
        LabelError
            If `before` is not what is there, or the disk refuses. Nothing was saved or changed.
        """
        self._check_open()
        edits = tuple(_plain(edit) for edit in edits)
        after: dict[Key, Value] = {}
        for edit in edits:
            key = key_of(edit)
            there = after[key] if key in after else self._file(key).values.get(key)
            if there != edit.before:
                raise LabelError(
                    f"{_what(edit)} has been changed since; the edit was not saved, look again",
                    path=self.path,
                )
            after[key] = edit.after
        if not edits:
            return
        self._save(edits)
        if self._journal.lines % COMPACT_AFTER == 0:
            self._try_compact()

    def outside_change(self) -> OutsideChange | None:
        """Return what another program changed in the files, None if nothing.

        Raises
        ------
        LabelError
            If a file is now malformed. What was edited here is safe in the journal.
        """
        self._check_open()
        return self._change(self._look())

    def merge(self, change: OutsideChange, prefer: Literal["ours", "theirs"] | None = None) -> None:
        """Take up what changed outside; conflicts go as `prefer` says. Then the files are written.

        Raises
        ------
        LabelError
            If there are conflicts and `prefer` is None, or the files changed again since.
        """
        self._check_open()
        found = self._look()
        if self._change(found) != change:
            raise LabelError("has changed again; look at the changes anew", path=self.path)
        if change.conflicts and prefer is None:
            raise self._conflict(change)
        if change.conflicts:
            # either way the journal then knows both values, so that nobody is asked again
            theirs = prefer == "theirs"
            self._save([edit if theirs else edit.inverse() for edit in change.conflicts])
        self._take(change, found)
        self._try_compact()  # so that what the journal says of earlier is not held against theirs

    def compact(self) -> None:
        """Write labels and state into their files and empty the journal.

        What changed outside without conflict is merged, with a notice.

        Raises
        ------
        LabelError
            If it cannot: conflicts, a malformed file, a full disk. The journal keeps all edits.
        """
        self._check_open()
        try:
            self._check_lock()
            found = self._look(exact=True)
            if change := self._change(found):
                if change.conflicts:
                    raise self._conflict(change)
                self._take(change, found)
                self._tell(f"was changed by another program and merged: {change}")
            for file in self._files:
                if file.vanished():
                    self._tell(f"{file.path.name} was removed by another program; written anew")
                    file.write(self._check_lock)
                elif any(self._file(key) is file for key, _ in self._said.newest()):
                    file.write(self._check_lock)
            self._empty_journals()
        except (OSError, ResultError) as error:
            why = error.message if isinstance(error, ResultError) else error.strerror or error
            raise LabelError(
                f"not written yet: {why}; all edits are safe in the journal beside it",
                path=getattr(error, "path", None) or self.path,
            ) from error

    def close(self) -> None:
        """Compact and give the lock back; the lock goes even if compacting fails.

        Raises
        ------
        LabelError
            As `compact` does. The journal then stays, for the next `open`.
        """
        if self._closed:
            return
        try:
            if not self._lost:
                self.compact()
        finally:
            self._closed = True
            self._journal.close()
            if not self._lost and self._journal.lines == 0:
                with suppress(OSError):  # an empty one does no harm and goes with the next `open`
                    self._journal.delete()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _files(self) -> tuple[WatchedFile, WatchedFile]:
        return self._labels, self._state

    def _file(self, key: Key) -> WatchedFile:
        """Return the file that holds what has this key."""
        return self._state if isinstance(key, str) else self._labels

    def _load(self) -> None:
        """Read the files and put on them what the journals that were left behind say."""
        lines = 0
        for path in self._left:
            left = read_journal(path)
            lines += left.lines
            self._said.add(left.edits)
            for notice in left.notices:
                self._tell(notice)
        if lines:
            self._tell(f"{lines} edits of a program that stopped were taken up from its journal")
        found = self._look()
        for file in self._files:
            if file in found:
                file.values = dict(found[file].values)
            elif any(self._file(key) is file for key in self._said.edited_first()):
                self._tell(f"{file.path.name} is missing; what only it had is not there")
        for key, value in self._said.newest():
            self._file(key).put(key, value)
        change = self._change(found)
        if change and not change.conflicts:  # conflicts stay a change outside, to be asked about
            self._take(change, found)

    def _save(self, edits: Iterable[Edit | StateEdit]) -> None:
        """Write edits into the journal, then into memory."""
        edits = tuple(edits)
        try:
            self._check_lock()
            self._journal.append(edits, confirm=self._check_lock)
        except LabelLocked as error:
            raise LabelLocked(
                self.path, error.holder, f"the edit was not saved: {error.message}"
            ) from error
        except OSError as error:
            raise LabelError(
                f"the edit was not saved ({error.strerror or error}); make room or mend the "
                "connection, then do it again",
                path=self.path,
            ) from error
        self._said.add(edits)
        self._put(edits)

    def _put(self, edits: Iterable[Edit | StateEdit]) -> None:
        for edit in edits:
            key = key_of(edit)
            self._file(key).put(key, edit.after)

    def _look(self, *, exact: bool = False) -> dict[WatchedFile, Found]:
        """Return the files that are not as they were when seen last."""
        found = {}
        for file in self._files:
            try:
                now = file.look(exact=exact)
            except LabelError as error:
                raise LabelError(
                    f"{error.message}; edits made here are safe in the journal", path=file.path
                ) from error
            if now is not None:
                found[file] = now
        return found

    def _change(self, found: Mapping[WatchedFile, Found]) -> OutsideChange | None:
        """Return what the files say otherwise; files that say the same are taken as seen."""
        edits: list[Edit | StateEdit] = []
        conflicts: list[Edit | StateEdit] = []
        for file, now in found.items():
            change = compare(file.values, now.values, self._said)
            edits += change.edits
            conflicts += change.conflicts
        change = OutsideChange(tuple(edits), tuple(conflicts))
        if change:
            return change
        self._take(change, found)
        return None

    def _take(self, change: OutsideChange, found: Mapping[WatchedFile, Found]) -> None:
        """Put theirs into memory, keep what they removed, and hold the files as seen."""
        if change.removed:
            kept = self._labels.keep_removed(change.removed)
            self._tell(f"{len(change.removed)} labels that another program removed are in {kept}")
        self._put(change.edits)
        self.merges += bool(change)
        for file, now in found.items():
            file.seen = now.sight

    def _empty_journals(self) -> None:
        """Remove the journals, whose edits the files now hold, and empty our own."""
        if not self._left and not self._said:
            return
        sync_folder(self.path.parent)
        while self._left:  # oldest first: what is left at any moment still ends as the files do
            discard(self._left[0])
            sync_folder(self.path.parent)
            del self._left[0]
        self._journal.clear()
        self._said.clear()

    def _try_compact(self) -> None:
        """Compact where it is not asked for: that it fails is told, as the journal has it all."""
        try:
            self.compact()
        except LabelError as error:
            self._tell(error.message)

    def _clean(self) -> None:
        """Remove what programs that were killed left half written; the lock is ours."""
        names = tuple(f".{file.path.name}." for file in self._files)
        for path in self.path.parent.iterdir():
            if path.name.startswith(names) and path.suffix == ".tmp":
                with suppress(OSError):  # its program may have been quicker
                    path.unlink()

    def _check_open(self) -> None:
        if self._closed:
            raise LabelError("is closed; open it again to edit", path=self.path)

    def _check_lock(self) -> None:
        try:
            self._lock.check()
        except LabelLocked:
            self._lost = True
            raise

    def _conflict(self, change: OutsideChange) -> LabelError:
        return LabelError(
            f"was changed by another program: {change}; choose which to keep", path=self.path
        )

    def _tell(self, notice: str) -> None:
        if notice not in self._notices[-1:]:
            self._notices.append(notice)


def _what(edit: Edit | StateEdit) -> str:
    if isinstance(edit, StateEdit):
        return f"the state's entry {edit.name!r}"
    label = edit.before or edit.after
    assert label is not None
    return f"the label of {label.clip}, frame {label.frame}, by {label.annotator}"


def _plain(edit: Edit | StateEdit) -> Edit | StateEdit:
    """Return the edit with a copy of its JSON, as a file would give it back."""
    if isinstance(edit, Edit):
        return edit
    try:
        before, after = json.loads(json.dumps([edit.before, edit.after], allow_nan=False))
    except (TypeError, ValueError) as error:
        raise LabelError(
            f"the state's entry {edit.name!r} is no JSON ({error}); it was not saved"
        ) from error
    return StateEdit(edit.name, before, after)

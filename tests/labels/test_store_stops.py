"""Compacting that stops at any step, disks that fail, and files that are damaged."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from label_folders import NAME, journal_of, killed, label, new, reopened

from napari_deepmtj.core.labels import Edit, StateEdit
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels import _journal
from napari_deepmtj.labels import store as label_store
from napari_deepmtj.labels.store import LabelStore, state_path
from napari_deepmtj.labels.table import read_labels, write_labels


class Broken:
    """A journal's file on a disk that fails: after some bytes, on cutting off, or on syncing."""

    def __init__(self, file: Any, room: int, *, cuts: bool = True) -> None:
        self._file, self.room, self._cuts = file, room, cuts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = self._file.write(data[: self.room])
        self.room -= done
        return int(done)

    def truncate(self, size: int) -> int:
        if not self._cuts:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return int(self._file.truncate(size))


class Snapshots:
    """Copies of a folder from before and after every step that changes the disk."""

    def __init__(self, folder: Path, into: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder, self._into = folder, into
        self.taken: list[Path] = []
        for owner, name in (
            (os, "fsync"),
            (os, "truncate"),
            (Path, "replace"),
            (Path, "unlink"),
            (_journal.Journal, "_write"),
            (_journal.Journal, "clear"),
        ):
            patch.setattr(owner, name, self._around(getattr(owner, name)))

    def take(self) -> None:
        copy = self._into / str(len(self.taken))
        shutil.copytree(self._folder, copy)
        self.taken.append(copy)

    def _around(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **named: Any) -> Any:
            self.take()
            result = step(*arguments, **named)
            self.take()
            return result

        return stepped


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Path]:
    """A folder with a label file of three labels and a state."""
    folder = tmp_path / "there"
    with LabelStore.open(folder_of(folder) / NAME) as store:
        store.apply(new(0), new(1), new(2), StateEdit("position", None, 0))
    return folder


def folder_of(folder: Path) -> Path:
    folder.mkdir()
    return folder


def steps_of_taking_up(folder: Path, into: Path, patch: pytest.MonkeyPatch) -> list[Path]:
    """Open and close a folder; return how it lay at every step."""
    into.mkdir()
    with patch.context() as within:
        steps = Snapshots(folder, into, within)
        with reopened(folder):
            pass
    return steps.taken


def test_stopping_at_any_step_of_compacting_and_reopening_loses_nothing_and_doubles_nothing(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed, twice = tmp_path / "crashed", tmp_path / "twice"
    store = LabelStore.open(there / NAME)
    store.apply(Edit(label(0), label(0, 7.0)), Edit(label(1), None), new(3))
    store.apply(Edit(label(0, 7.0), label(0, 8.0)), StateEdit("position", 0, 2))
    store.apply(new(1))  # back to what the file says
    shutil.copytree(there, crashed)
    store.close()
    once = steps_of_taking_up(crashed, tmp_path / "1", monkeypatch)
    middle = next(x for x in once if (x / NAME).read_bytes() != (once[0] / NAME).read_bytes())
    shutil.copytree(middle, twice)  # the label file is written, nothing else
    steps = once + steps_of_taking_up(twice, tmp_path / "2", monkeypatch)
    assert len(steps) > 30
    wanted = {label(0, 8.0), label(1), label(2), label(3)}
    for step in steps:
        read_labels(step / NAME)
        with reopened(step) as store:
            assert set(store.labels) == wanted, step
            assert len(store.labels) == 4
            assert store.state == {"position": 2}
            assert store.outside_change() is None
        assert set(read_labels(step / NAME)) == wanted
        assert sorted(p.name for p in step.iterdir() if ".lock." not in p.name) == [
            state_path(NAME).name,
            NAME,
        ]


def test_two_journals_are_taken_up_in_their_order(there: Path) -> None:
    store = LabelStore.open(there / NAME)
    store.apply(Edit(label(0), label(0, 7.0)))
    old = journal_of(there)
    kept = old.read_bytes()
    store.apply(Edit(label(0, 7.0), label(0, 8.0)))
    killed(store)
    later = old.with_name("a.mtj-labels.10000-00.journal")
    line = old.read_bytes().splitlines()[2].partition(b" ")[2].replace(b'"n":2', b'"n":1')
    head = kept.splitlines(keepends=True)[0]
    later.write_bytes(head + b"%08x %s\n" % (_journal.zlib.crc32(line), line))
    old.write_bytes(kept)
    old.rename(old.with_name("a.mtj-labels.9999-ff.journal"))
    with reopened(there) as again:
        assert again.get("ff", 0, "anna", 1) == label(0, 8.0)
        assert journal_of(there).name.split(".")[2].startswith("10001-")


@pytest.mark.parametrize("cuts", [True, False])
def test_a_full_disk_refuses_the_edit_and_spoils_no_later_one(
    there: Path, cuts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LabelStore.open(there / NAME)
    store.apply(Edit(label(0), label(0, 7.0)))
    file = store._journal._file
    size = os.fstat(file.fileno()).st_size
    store._journal._file = broken = Broken(file, 0, cuts=cuts)
    for room in (0, 1, 200, 400):
        broken.room = room
        with pytest.raises(LabelError, match=r"a.mtj-labels.csv: the edit was not saved \(No sp"):
            store.apply(new(3), new(4), StateEdit("position", 0, 2))
        assert store.labels == (label(0, 7.0), label(1), label(2))
        assert store.state == {"position": 0}
        assert not cuts or os.fstat(file.fileno()).st_size == size
        with shot(there) as again:
            assert set(again.labels) == {label(0, 7.0), label(1), label(2)}
    broken.room = 10**6
    store.apply(new(5))  # shorter than what the failed one may have left behind
    with shot(there) as again:
        assert set(again.labels) == {label(0, 7.0), label(1), label(2), label(5)}
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LabelError, match=r"not saved \(Input/output error\)"):
        store.apply(new(6))
    monkeypatch.undo()
    store.apply(new(7))
    with shot(there) as again:
        assert [entry.frame for entry in again.labels] == [0, 1, 2, 5, 7]
    broken._cuts = True
    store.close()
    assert [entry.frame for entry in read_labels(there / NAME)] == [0, 1, 2, 5, 7]


def fail(*_: Any) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def shot(folder: Path) -> LabelStore:
    """Open a copy of a folder whose program still runs."""
    copy = folder.with_name(f"copy{len(list(folder.parent.iterdir()))}")
    shutil.copytree(folder, copy)
    return reopened(copy)


def test_a_folder_that_cannot_be_written_is_one_clear_line(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def guarded(self: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if set(mode) & set("xwa"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(self, mode, *arguments, **named)

    monkeypatch.setattr(Path, "open", guarded)
    with pytest.raises(LabelError, match=r"^a.mtj-labels.csv: cannot be locked .*\(Permission"):
        LabelStore.open(there / NAME)
    monkeypatch.undo()
    assert sorted(p.name for p in there.iterdir()) == [state_path(NAME).name, NAME]
    with pytest.raises(LabelError, match="cannot be locked"):
        LabelStore.open(there / "missing" / NAME)


def test_a_file_that_a_spreadsheet_holds_open_is_written_later(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.replace

    def locked(self: Path, target: Path) -> Path:
        if Path(target).name == NAME:
            raise PermissionError(errno.EACCES, "used by another process")
        return real(self, target)

    store = LabelStore.open(there / NAME)
    store.apply(new(3))
    monkeypatch.setattr(Path, "replace", locked)
    with pytest.raises(LabelError, match=r"held open by another program .* safe in the journal"):
        store.compact()
    store.apply(new(4))
    assert [entry.frame for entry in read_labels(there / NAME)] == [0, 1, 2]
    with pytest.raises(LabelError, match="held open"):
        store.close()
    store.close()
    with LabelStore.open(there / NAME) as store:  # still held open
        assert [entry.frame for entry in store.labels] == [0, 1, 2, 3, 4]
        assert "2 edits of a program that stopped" in store.notices[0]
        assert "held open by another program" in store.notices[1]
        store.apply(new(5))
        monkeypatch.undo()
    assert sorted(p.name for p in there.iterdir()) == [state_path(NAME).name, NAME]
    assert [entry.frame for entry in read_labels(there / NAME)] == [0, 1, 2, 3, 4, 5]


def test_the_journal_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_store, "COMPACT_AFTER", 5)
    with LabelStore.open(tmp_path / NAME) as store:
        for frame in range(12):
            store.apply(new(frame))
        assert len(read_labels(tmp_path / NAME)) == 10
        assert journal_of(tmp_path).read_bytes().count(b"\n") == 3
        monkeypatch.setattr(os, "fsync", lambda _: None)
        monkeypatch.setattr(store._labels, "write", fail)
        for frame in range(12, 16):  # that compacting fails is told, and no reason to refuse edits
            store.apply(new(frame))
        assert len(store.labels) == 16
        assert "not written yet: Input/output error; all edits are safe" in store.notices[0]
        monkeypatch.undo()
    assert len(read_labels(tmp_path / NAME)) == 16


def test_what_killed_programs_left_half_written_goes(there: Path) -> None:
    ours = there / f".{NAME}.123-ab.tmp", there / f".{state_path(NAME).name}.123-ab.tmp"
    other = there / ".b.mtj-labels.csv.123-ab.tmp"
    for path in (*ours, other):
        path.write_text("half")
    with LabelStore.open(there / NAME):
        assert [path.exists() for path in (*ours, other)] == [False, False, True]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", r"annotation.json: is not JSON .*; correct or delete it"),
        ("[]", 'must have "schema" and "state"'),
        ('{"schema": 2, "state": {}}', "has schema 2, this version reads 1"),
        ('{"schema": 1, "state": []}', "state must be an object"),
    ],
)
def test_a_malformed_state_is_told(there: Path, content: str, complaint: str) -> None:
    state_path(there / NAME).write_text(content)
    with pytest.raises(LabelError, match=complaint):
        LabelStore.open(there / NAME)
    assert not list(there.glob("*.lock"))


def test_a_malformed_label_file_is_left_and_so_is_the_journal(there: Path) -> None:
    store = LabelStore.open(there / NAME)
    store.apply(new(3))
    killed(store)
    write_labels(there / NAME, [label(0)])
    whole = (there / NAME).read_bytes()
    (there / NAME).write_bytes(whole + b"a,b\n")
    with pytest.raises(LabelError, match="row 3 has 2 cells"):
        reopened(there)
    assert (there / NAME).read_bytes() == whole + b"a,b\n"
    (there / NAME).write_bytes(whole)
    with reopened(there) as store:
        assert store.labels == (label(0), label(3))

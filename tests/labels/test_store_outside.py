"""What another program makes of the files is merged or asked about, never overwritten."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_deepmtj.core.labels import Edit, Label, StateEdit
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.store import LabelStore, OutsideChange, state_path
from napari_deepmtj.labels.table import read_labels, write_labels

NAME = "a.mtj-labels.csv"


def label(frame: int, x: float = 1.0, **changes: Any) -> Label:
    values: dict[str, Any] = {"x_px": x, "y_px": 2.0, "timestamp": "2026-01-02T03:04:05+00:00"}
    return Label(clip="a.avi", clip_sha256="ff", frame=frame, annotator="anna", **values | changes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A label file with frames 0 to 3 and a state."""
    path = tmp_path / NAME
    with LabelStore.open(path) as store:
        store.apply(*(Edit(None, label(n)) for n in range(4)), StateEdit("position", None, 0))
    return path


@pytest.fixture
def store(path: Path) -> Iterator[LabelStore]:
    """The label file while it is edited: frame 0 moved, 1 taken away, 9 new, the position on."""
    store = LabelStore.open(path)
    store.apply(Edit(label(0), label(0, 7.0)), Edit(label(1), None), Edit(None, label(9)))
    store.apply(StateEdit("position", 0, 5))
    yield store
    store.close()


OURS = [label(0, 7.0), label(2), label(3), label(9)]


def test_nothing_changed_is_nothing(store: LabelStore, path: Path) -> None:
    assert store.outside_change() is None
    os.utime(path, (1, 1))
    assert store.outside_change() is None
    path.write_bytes(path.read_bytes())
    assert store.outside_change() is None
    store.compact()
    assert store.notices == ()
    assert store.outside_change() is None
    assert read_labels(path) == OURS


def test_what_only_they_changed_is_merged(store: LabelStore, path: Path) -> None:
    write_labels(path, [label(0), label(1), label(2, 5.0), label(4)])
    change = store.outside_change()
    assert change == OutsideChange(
        (Edit(label(2), label(2, 5.0)), Edit(label(3), None), Edit(None, label(4))), ()
    )
    assert change.added == (label(4),)
    assert change.changed == (Edit(label(2), label(2, 5.0)),)
    assert change.removed == (label(3),)
    assert str(change) == "1 added, 1 changed, 1 removed"
    assert list(store.labels) == OURS
    store.merge(change)
    merged = [label(0, 7.0), label(2, 5.0), label(9), label(4)]
    assert list(store.labels) == merged
    assert read_labels(path.with_name("a.removed-1.csv")) == [label(3)]
    assert store.notices[-1] == "1 labels that another program removed are in a.removed-1.csv"
    assert store.outside_change() is None
    assert read_labels(path) == merged


def test_what_they_do_after_a_merge_is_not_taken_for_older(store: LabelStore, path: Path) -> None:
    """The journal knows that label 9 was not there once; that they removed it is news."""
    write_labels(path, [*read_labels(path), label(9, 5.0)])
    change = store.outside_change()
    assert change is not None
    assert [edit.key[1] for edit in change.conflicts] == [9]
    store.merge(change, "ours")
    assert label(9) in read_labels(path)
    write_labels(path, [found for found in read_labels(path) if found.frame != 9])
    change = store.outside_change()
    assert change is not None
    assert change.removed == (label(9),)


def test_an_old_copy_that_is_put_back_loses_nothing(store: LabelStore, path: Path) -> None:
    old = path.read_bytes()
    store.compact()
    path.write_bytes(old.splitlines(keepends=True)[0])
    store.compact()
    assert store.labels == ()
    assert read_labels(path.with_name("a.removed-1.csv")) == OURS
    write_labels(path, OURS)
    store.compact()
    write_labels(path, OURS[1:])
    store.compact()
    assert read_labels(path.with_name("a.removed-2.csv")) == OURS[:1]
    assert store.labels == tuple(OURS[1:])


def test_compacting_merges_and_tells(store: LabelStore, path: Path) -> None:
    write_labels(path, [label(0), label(1), label(2, 5.0), label(3)])
    store.compact()
    assert store.notices == ("was changed by another program and merged: 1 changed",)
    assert read_labels(path) == [label(0, 7.0), label(2, 5.0), label(3), label(9)]


def test_a_change_of_the_same_size_and_time_is_still_noticed_before_writing(
    store: LabelStore, path: Path
) -> None:
    stat = path.stat()
    path.write_bytes(path.read_bytes().replace(b"ff,2,,1.0,", b"ff,2,,5.0,"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    store.compact()
    assert label(2, 5.0) in read_labels(path)


@pytest.mark.parametrize("prefer", ["ours", "theirs"])
def test_conflicts_are_asked_about_once(store: LabelStore, path: Path, prefer: Any) -> None:
    theirs = [label(0, 8.0), label(1, 8.0), label(2), label(9, 8.0), label(4)]
    write_labels(path, theirs)
    state_path(path).write_text('{"schema": 1, "state": {"position": 3, "flags": [2]}}')
    change = store.outside_change()
    assert change is not None
    assert change.conflicts == (
        Edit(label(0, 7.0), label(0, 8.0)),
        Edit(label(9), label(9, 8.0)),
        Edit(None, label(1, 8.0)),
        StateEdit("position", 5, 3),
    )
    assert change.edits == (
        Edit(label(3), None),
        Edit(None, label(4)),
        StateEdit("flags", None, [2]),
    )
    assert str(change) == "1 added, 1 removed, 4 in conflict with edits made here"
    for refused in (lambda: store.merge(change), store.compact):
        with pytest.raises(LabelError, match=r"4 in conflict .*; choose which to keep"):
            refused()
    assert list(store.labels) == OURS
    assert read_labels(path) == theirs
    store.apply(Edit(None, label(6)))  # edits go on all the same
    store.merge(change, prefer)
    ours = [label(0, 7.0), label(2), label(9), label(4), label(6)]
    wanted = ours if prefer == "ours" else [*theirs, label(6)]
    assert sorted(store.labels, key=lambda x: x.frame) == sorted(wanted, key=lambda x: x.frame)
    assert store.state == {"position": 5 if prefer == "ours" else 3, "flags": [2]}
    store._journal.close()  # killed before the files are written: nobody is asked again
    store._closed = True
    store._lock.path.unlink()
    with LabelStore.open(path) as again:
        assert set(again.labels) == set(wanted)
        assert again.outside_change() is None
    assert set(read_labels(path)) == set(wanted)


def test_conflicts_of_a_left_journal_wait_for_a_person(path: Path) -> None:
    store = LabelStore.open(path)
    store.apply(Edit(label(0), label(0, 7.0)), Edit(None, label(9)))
    write_labels(path, [label(0, 8.0), label(1)])
    with pytest.raises(LabelError, match=r"1 in conflict"):
        store.close()
    for _ in range(2):
        store = LabelStore.open(path)
        assert set(store.labels) == {label(0, 7.0), label(1), label(9)}
        assert any("1 in conflict" in notice for notice in store.notices)
        change = store.outside_change()
        assert change == OutsideChange((), (Edit(label(0, 7.0), label(0, 8.0)),))
        with pytest.raises(LabelError, match="1 in conflict"):
            store.close()
        assert read_labels(path) == [label(0, 8.0), label(1)]
    with LabelStore.open(path) as store:
        store.merge(change, "theirs")
    assert set(read_labels(path)) == {label(0, 8.0), label(1), label(9)}


def test_the_same_change_on_both_sides_is_none(store: LabelStore, path: Path) -> None:
    write_labels(path, [label(3), label(0, 7.0), label(2)])
    assert store.outside_change() is None


def test_an_older_state_of_ours_is_no_change_of_theirs(store: LabelStore, path: Path) -> None:
    older = read_labels(path)
    store.apply(Edit(label(0, 7.0), label(0, 8.0)))
    write_labels(path, [label(0, 7.0), *older[1:]])  # a sync tool puts it back, say
    assert store.outside_change() is None
    store.compact()
    assert label(0, 8.0) in read_labels(path)


def test_what_we_edited_and_edited_back_is_theirs_to_change(store: LabelStore, path: Path) -> None:
    store.apply(Edit(label(0, 7.0), label(0)))
    write_labels(path, [label(0, 8.0), *(label(n) for n in (1, 2, 3))])
    assert store.outside_change() == OutsideChange((Edit(label(0), label(0, 8.0)),), ())


def test_ten_digits_of_a_spreadsheet_are_no_change(tmp_path: Path) -> None:
    path = tmp_path / NAME
    exact = label(0, 1234.567890123456, time_s=1 / 3)
    with LabelStore.open(path) as store:
        store.apply(Edit(None, exact), Edit(None, label(1)))
        store.compact()
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
        rounded = label(0, 1234.56789, time_s=0.333333333)
        write_labels(path, [rounded, label(1)])
        assert store.outside_change() is None
        write_labels(path, [label(0, 1234.568, time_s=1 / 3), label(1)])
        change = store.outside_change()
        assert change is not None
        assert len(change.changed) == 1
        write_labels(path, [label(0, 1234.567890123456), label(1)])
        assert store.outside_change() is not None  # the time is gone


def test_a_malformed_change_is_told_and_nothing_is_overwritten(
    store: LabelStore, path: Path
) -> None:
    whole = path.read_bytes()
    for bad in (b"", b"frame;x\n1;2\n", whole + b"a,b\n"):
        path.write_bytes(bad)
        for operation in (store.outside_change, store.compact):
            with pytest.raises(LabelError, match=r"^a.mtj-labels.csv: .*safe in the journal"):
                operation()
        assert path.read_bytes() == bad
        assert list(store.labels) == OURS
    store.apply(Edit(None, label(5)))
    path.write_bytes(whole)
    store.compact()
    assert read_labels(path) == [*OURS, label(5)]


def test_a_change_between_looking_and_merging_is_looked_at_anew(
    store: LabelStore, path: Path
) -> None:
    write_labels(path, [label(n) for n in range(5)])
    change = store.outside_change()
    assert change is not None
    write_labels(path, [label(n) for n in range(6)])
    with pytest.raises(LabelError, match="changed again"):
        store.merge(change)
    assert list(store.labels) == OURS


def test_a_change_while_the_file_is_written_stops_the_writing(
    store: LabelStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = store._labels._content

    def late() -> bytes:
        write_labels(path, [label(n) for n in range(6)])
        return content()

    monkeypatch.setattr(store._labels, "_content", late)
    with pytest.raises(LabelError, match="changed by another program just now"):
        store.compact()
    assert len(read_labels(path)) == 6
    monkeypatch.undo()
    store.compact()
    assert {x.frame for x in read_labels(path)} == {0, 2, 3, 4, 5, 9}


def test_files_that_vanish_are_written_anew(store: LabelStore, path: Path) -> None:
    path.unlink()
    state_path(path).unlink()
    assert store.outside_change() is None
    store.compact()
    assert store.notices == (
        "a.mtj-labels.csv was removed by another program; written anew",
        "a.mtj-annotation.json was removed by another program; written anew",
    )
    assert read_labels(path) == OURS
    path.unlink()
    store.compact()  # though nothing was edited since
    assert read_labels(path) == OURS


def test_a_journal_without_its_label_file_is_told(path: Path) -> None:
    store = LabelStore.open(path)
    store.apply(Edit(label(0), label(0, 7.0)))
    store._journal.close()
    store._lock.release()
    path.unlink()
    with LabelStore.open(path) as again:
        assert again.labels == (label(0, 7.0),)
        assert "a.mtj-labels.csv is missing; what only it had is not there" in again.notices

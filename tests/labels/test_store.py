"""What was acknowledged is there again, whenever the program stopped and whatever the disk did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from label_folders import NAME, journal_of, killed, label, new, reopened

from napari_deepmtj.core.labels import Edit, StateEdit
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.store import LabelStore, state_path
from napari_deepmtj.labels.table import read_labels


def test_edits_are_there_again_and_undone_by_their_inverse(tmp_path: Path) -> None:
    moved = Edit(label(1), label(1, 5.5))
    with LabelStore.open(tmp_path / NAME) as store:
        assert store.labels == ()
        store.apply(new(1), new(0), new(2, None))
        store.apply(moved, StateEdit("position", None, [1, "é"]))
        store.apply()
        assert store.get("ff", 1, "anna", 1) == label(1, 5.5)
        assert store.get("ff", 9, "anna", 1) is None
    assert sorted(p.name for p in tmp_path.iterdir()) == [state_path(NAME).name, NAME]
    assert read_labels(tmp_path / NAME) == [label(1, 5.5), label(0), label(2, None)]
    with LabelStore.open(tmp_path / NAME) as store:
        assert store.state == {"position": [1, "é"]}
        store.apply(moved.inverse(), StateEdit("position", [1, "é"], None), Edit(label(0), None))
        assert store.notices == ()
    with LabelStore.open(tmp_path / NAME) as store:
        assert store.labels == (label(1), label(2, None))
        assert store.state == {}


def test_a_closed_store_takes_no_edits(tmp_path: Path) -> None:
    store = LabelStore.open(tmp_path / NAME)
    store.close()
    for operation in (lambda: store.apply(new(1)), store.compact, store.outside_change):
        with pytest.raises(LabelError, match="is closed; open it again"):
            operation()


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    with LabelStore.open(tmp_path / NAME):
        pass
    assert list(tmp_path.iterdir()) == []


def test_edits_of_one_call_hold_together_and_fit_what_is_there(tmp_path: Path) -> None:
    with LabelStore.open(tmp_path / NAME) as store:
        store.apply(new(1))
        with pytest.raises(LabelError, match=r"frame 1, by anna has been changed since"):
            store.apply(new(2), new(1, 9.0))
        with pytest.raises(LabelError, match="entry 'position' has been changed"):
            store.apply(new(2), StateEdit("position", 4, 5))
        with pytest.raises(LabelError, match="entry 'x' is no JSON"):
            store.apply(new(2), StateEdit("x", None, float("nan")))
        with pytest.raises(LabelError, match="entry 'x' is no JSON"):
            store.apply(new(2), StateEdit("x", None, {1, 2}))  # type: ignore[arg-type]
        assert store.labels == (label(1),)
        store.apply(new(3), Edit(label(3), label(3, 2.0)))  # each sees the one before it
        assert store.labels == (label(1), label(3, 2.0))


def test_the_state_is_kept_apart_from_what_the_caller_changes(tmp_path: Path) -> None:
    queue: list[Any] = [1, 2]
    with LabelStore.open(tmp_path / NAME) as store:
        store.apply(StateEdit("queue", None, queue))
        queue.append(3)
        assert store.state == {"queue": [1, 2]}
        store.apply(StateEdit("queue", (1, 2), queue))
        with pytest.raises(TypeError):
            store.state["queue"] = 1  # type: ignore[index]


def test_a_journal_cut_off_at_any_byte_keeps_every_whole_call(tmp_path: Path) -> None:
    store = LabelStore.open(tmp_path / NAME)
    ends = [journal_of(tmp_path).stat().st_size]
    for frame in range(3):
        store.apply(new(frame), StateEdit("position", frame or None, frame + 1))
        ends.append(journal_of(tmp_path).stat().st_size)
    content = journal_of(tmp_path).read_bytes()
    name = journal_of(tmp_path).name
    store.close()
    near = {end + step for end in ends for step in (-2, -1, 0, 1)}
    cuts = sorted({*range(0, len(content), 101), *near} & set(range(len(content) + 1)))
    for cut in cuts:
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / name).write_bytes(content[:cut])
        whole = sum(cut >= end - 1 for end in ends[1:])  # the line break need not be there
        with LabelStore.open(folder / NAME) as store:
            assert [entry.frame for entry in store.labels] == list(range(whole)), cut
            assert store.state == ({"position": whole} if whole else {})
            torn = any("dropped" in notice for notice in store.notices)
            assert torn == (cut not in {0, *ends, *(end - 1 for end in ends)}), cut
        assert not list(folder.glob("*.journal"))


@pytest.mark.parametrize("tail", [b"\0" * 700, b"garbage\n", b"\n\n", b"00000000 \n"])
def test_what_a_power_cut_leaves_at_the_end_is_dropped(tmp_path: Path, tail: bytes) -> None:
    store = LabelStore.open(tmp_path / NAME)
    store.apply(new(1))
    killed(store)
    with journal_of(tmp_path).open("ab") as file:
        file.write(tail)
    with reopened(tmp_path) as store:
        assert store.labels == (label(1),)


def test_a_damaged_line_before_acknowledged_ones_is_not_passed_over(tmp_path: Path) -> None:
    store = LabelStore.open(tmp_path / NAME)
    for frame in range(3):
        store.apply(new(frame))
    killed(store)
    path = journal_of(tmp_path)
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b"anna", b"bert")
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(LabelError, match=r"journal: line 4 .* is damaged.*move the journal"):
        reopened(tmp_path)
    assert path.read_bytes() == b"\n".join(lines)
    assert not list(tmp_path.glob("*.lock"))

"""Two programs never write into one label file; who lost the lock is told in time."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_deepmtj.core.labels import Edit, Label
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels import lock as _lock
from napari_deepmtj.labels.lock import Holder, Lock
from napari_deepmtj.labels.store import LabelLocked, LabelStore
from napari_deepmtj.labels.table import read_labels

NAME = "a.mtj-labels.csv"
LOCK = "a.mtj-labels.lock"


def new(frame: int) -> Edit:
    return Edit(
        None,
        Label(clip="a.avi", clip_sha256="ff", frame=frame, x_px=1.0, y_px=2.0, annotator="anna"),
    )


def frames(store: LabelStore) -> list[int]:
    return sorted(label.frame for label in store.labels)


@pytest.fixture
def ended() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.fixture
def running() -> Iterator[int]:
    """The number of another process that runs."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def lock_of(folder: Path, **changes: Any) -> Path:
    """Leave a lock as another program would."""
    path = folder / LOCK
    path.write_text(json.dumps(dataclasses.asdict(dataclasses.replace(Holder(), **changes))))
    return path


def test_a_second_program_is_told_who_edits(tmp_path: Path) -> None:
    with LabelStore.open(tmp_path / NAME) as store:
        store.apply(new(0))
        with pytest.raises(LabelLocked) as caught:
            LabelStore.open(tmp_path / NAME)
        error = caught.value
        assert isinstance(error, LabelError)
        assert error.pid == os.getpid()
        assert str(error) == (
            f"{NAME}: is being edited by {error.user} on {error.host} (process {os.getpid()}) "
            f"since {error.since}; close it there, or take over if that program is gone"
        )
        if hasattr(os, "symlink"):
            (tmp_path / "link.csv").symlink_to(tmp_path / NAME)
            with pytest.raises(LabelLocked):
                LabelStore.open(tmp_path / "link.csv")
        store.apply(new(1))
        assert frames(store) == [0, 1]
    with LabelStore.open(tmp_path / NAME) as store:
        assert frames(store) == [0, 1]
    assert not (tmp_path / LOCK).exists()


def test_the_lock_of_a_dead_program_is_taken_over(tmp_path: Path, ended: int) -> None:
    path = lock_of(tmp_path, pid=ended, started="")
    with LabelStore.open(tmp_path / NAME) as store:
        store.apply(new(0))
        assert json.loads(path.read_text())["pid"] == os.getpid()
        assert store.notices == ()


@pytest.mark.skipif(sys.platform != "linux", reason="tells processes of one number by /proc")
def test_another_process_of_the_same_number_does_not_hold_it(tmp_path: Path, running: int) -> None:
    started = _lock._started(running)
    assert started
    lock_of(tmp_path, pid=running, started=started, token="00")
    with pytest.raises(LabelLocked):
        LabelStore.open(tmp_path / NAME)
    lock_of(tmp_path, pid=running, started=f"{started}1", token="00")
    with LabelStore.open(tmp_path / NAME) as store:
        store.apply(new(0))


@pytest.mark.parametrize(
    "changes", [{"host": "elsewhere"}, {"machine": "another of this name"}, {"since": "3000"}]
)
def test_a_lock_that_cannot_be_judged_is_kept_unless_taken_over(
    tmp_path: Path, ended: int, changes: dict[str, Any]
) -> None:
    lock_of(tmp_path, pid=os.getpid() if "since" in changes else ended, token="00", **changes)
    with pytest.raises(LabelLocked, match="or take over") as caught:
        LabelStore.open(tmp_path / NAME)
    assert caught.value.host == changes.get("host", Holder().host)
    with LabelStore.open(tmp_path / NAME, take_over=True) as store:
        store.apply(new(0))


@pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux")
def test_a_container_does_not_take_its_host_for_dead(
    tmp_path: Path, ended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shares name and network card, but cannot see the processes of the host."""
    lock_of(tmp_path, pid=ended, token="00")
    with monkeypatch.context() as inside:
        inside.setattr(os, "readlink", lambda _: "pid:[1]")
        with pytest.raises(LabelLocked, match="or take over"):
            LabelStore.open(tmp_path / NAME)
    with LabelStore.open(tmp_path / NAME) as store:
        store.apply(new(0))


def test_a_lock_in_unknown_words_is_kept_and_an_empty_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lock, "GRACE_SECONDS", 0.05)
    for words in ("[1]", '{"token": 1}', "half {", "{}"):
        (tmp_path / LOCK).write_text(words)
        with pytest.raises(LabelLocked, match="by an unknown program on an unknown computer"):
            LabelStore.open(tmp_path / NAME)
        assert (tmp_path / LOCK).read_text() == words
    (tmp_path / LOCK).write_text("")  # its program was killed while it made it
    with LabelStore.open(tmp_path / NAME) as store:
        store.apply(new(0))


def test_the_loser_notices_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    loser = LabelStore.open(tmp_path / NAME)
    loser.apply(new(0))
    (journal,) = tmp_path.glob("*.journal")
    winner = LabelStore.open(tmp_path / NAME, take_over=True)
    assert frames(winner) == [0]
    winner.apply(new(1))
    with pytest.raises(
        LabelLocked, match=r"the edit was not saved: was taken over by .*; close it there, then"
    ):
        loser.apply(new(2))
    assert frames(loser) == [0]
    with pytest.raises(LabelLocked):
        loser.compact()
    assert not journal.exists()
    loser.close()
    winner.apply(new(3))
    winner.close()
    assert sorted(label.frame for label in read_labels(tmp_path / NAME)) == [0, 1, 3]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_loser_that_only_closes_leaves_all_to_the_winner(tmp_path: Path) -> None:
    loser = LabelStore.open(tmp_path / NAME)
    loser.apply(new(0))
    with LabelStore.open(tmp_path / NAME, take_over=True) as winner:
        winner.apply(new(1))
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(LabelLocked, match="was taken over"):
            loser.close()
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        winner.apply(new(2))
    assert len(read_labels(tmp_path / NAME)) == 3


def test_an_edit_under_way_when_the_lock_is_taken_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loser = LabelStore.open(tmp_path / NAME)
    loser.apply(new(0))
    winners = []
    write = loser._journal._write

    def slow(line: bytes) -> None:
        winners.append(LabelStore.open(tmp_path / NAME, take_over=True))
        write(line)  # into a journal that the winner has already read

    monkeypatch.setattr(loser._journal, "_write", slow)
    with pytest.raises(LabelLocked, match="not saved"):
        loser.apply(new(1))
    assert frames(loser) == [0]
    loser.close()
    (winner,) = winners
    winner.close()
    with LabelStore.open(tmp_path / NAME) as store:
        assert frames(store) == [0]


def test_a_loser_in_the_middle_of_compacting_does_not_overwrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loser = LabelStore.open(tmp_path / NAME)
    loser.apply(new(0))
    content = loser._labels._content()

    def late() -> bytes:
        with LabelStore.open(tmp_path / NAME, take_over=True) as winner:
            winner.apply(new(1))
        return content

    monkeypatch.setattr(loser._labels, "_content", late)
    with pytest.raises(LabelError):
        loser.compact()
    assert len(read_labels(tmp_path / NAME)) == 2
    with pytest.raises(LabelLocked, match=r"its lock a.mtj-labels.lock was removed"):
        loser.apply(new(2))
    loser.close()
    assert len(read_labels(tmp_path / NAME)) == 2


def test_a_lock_lost_while_the_file_is_written_leaves_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loser = LabelStore.open(tmp_path / NAME)
    loser.apply(new(0))
    content = loser._labels._content
    winners = []

    def late() -> bytes:
        winners.append(LabelStore.open(tmp_path / NAME, take_over=True))
        winners[0].apply(new(1))
        monkeypatch.setattr(loser._labels, "look", lambda **_: None)  # as if nothing had changed
        return content()

    monkeypatch.setattr(loser._labels, "_content", late)
    with pytest.raises(LabelLocked, match="was taken over"):
        loser.compact()
    assert len(read_labels(tmp_path / NAME)) == 1  # the winner took it up on opening
    loser.close()
    winners[0].close()
    assert len(read_labels(tmp_path / NAME)) == 2
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("good", [0, 1])
def test_a_lock_that_cannot_be_read_before_or_after_the_edit_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    real = Path.read_bytes
    reads = []

    def gone(self: Path) -> bytes:
        if self.name == LOCK:
            reads.append(self)
            if len(reads) > good:
                raise OSError(errno.EIO, "Network is unreachable")
        return real(self)

    store = LabelStore.open(tmp_path / NAME)
    store.apply(new(0))
    monkeypatch.setattr(Path, "read_bytes", gone)
    with pytest.raises(LabelError, match=r"the edit was not saved \(Network is unreachable\)"):
        store.apply(new(1))
    monkeypatch.undo()
    store.apply(new(2))
    store._journal.close()  # killed
    (tmp_path / LOCK).unlink()
    with LabelStore.open(tmp_path / NAME) as again:
        assert frames(again) == [0, 2]
        assert len(again.notices) == 1  # nothing was torn


def test_a_lock_that_cannot_be_written_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LabelError, match=r"cannot be locked for editing \(No space left"):
        LabelStore.open(tmp_path / NAME)
    assert list(tmp_path.iterdir()) == []
    lock_of(tmp_path, token="00")
    with pytest.raises(LabelError, match="cannot be locked"):
        LabelStore.open(tmp_path / NAME, take_over=True)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_programs_that_run_are_seen(running: int) -> None:
    assert _lock._alive(running)
    assert _lock._alive(os.getpid())
    assert not Holder().dead
    assert not Holder(pid=1, started="").dead or os.name == "nt"  # init, which is another user's


def test_a_held_lock_is_given_back_only_by_its_holder(tmp_path: Path) -> None:
    first = Lock.acquire(tmp_path / LOCK, tmp_path / NAME, take_over=False)
    second = Lock.acquire(tmp_path / LOCK, tmp_path / NAME, take_over=True)
    first.release()
    second.check()
    with pytest.raises(LabelLocked):
        first.check()
    second.release()
    assert list(tmp_path.iterdir()) == []

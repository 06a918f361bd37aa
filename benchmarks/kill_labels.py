"""Kill a program that labels, at random moments, and look whether all that counts is there.

    python benchmarks/kill_labels.py [--kills 300] [--seed 0] [--folder DIR] [--output FILE]

A child process edits labels as fast as it can and says after each `apply` that it returned. It is
killed (SIGKILL) at a random moment of one of these ways of working:

- `fast`: nothing slowed down;
- `slow`: every write goes in small pieces with pauses, every sync, replacement and removal is slow,
  so that kills land in the middle of them;
- `compact`: slow, and the files are written after every third call;
- `full`: on a disk with hardly any room (a small tmpfs where one may be mounted, else writes that
  fail half way, as on a full disk);
- `taken`: not killed, but its lock is taken over by force, and it must notice.

Afterwards the label file must parse as it lies there, and opened again it must hold exactly what
was acknowledged, or that and the one call that was under way. Some kills follow on another without
a look in between, so that taking up a journal is killed too. Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import hashlib
import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from napari_deepmtj.core.labels import Edit, Label, StateEdit
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError
from napari_deepmtj.io import _journal, label_store
from napari_deepmtj.io.label_store import LabelLocked, LabelStore
from napari_deepmtj.io.labels import read_labels

CLIPS = ("Läufer 1.avi", '=cmd|"x",y.avi', "b\n.mp4")
FRAMES = 15
MODES = ("fast", "slow", "compact", "full", "taken")
WEIGHTS = (3, 3, 3, 2, 1)

#: Size of the small disk, and how much of it may be free when a child starts, bytes.
DISK, FREE = 192 * 1024, 48 * 1024

#: What a kill in the middle of taking a lock over leaves; it goes after an hour.
LOCK_PART = re.compile(r"\.a\.mtj-labels\.lock\.[0-9a-f]+\.tmp")

#: What is there: labels and entries of the state as JSON texts, by key as text.
Content = dict[str, str]


def content_of(store: LabelStore) -> Content:
    """Return all that a store holds."""
    held = {repr(label.key): json.dumps(dataclasses.asdict(label)) for label in store.labels}
    return held | {name: json.dumps(value) for name, value in store.state.items()}


def digest(content: Content) -> str:
    """Return a hash of all that is there, whatever the order."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def told(edits: list[Edit | StateEdit]) -> dict[str, str | None]:
    """Return what edits make of what they touch."""
    result: dict[str, str | None] = {}
    for edit in edits:
        if isinstance(edit, StateEdit):
            result[edit.name] = None if edit.after is None else json.dumps(edit.after)
        else:
            label = edit.after
            result[repr(edit.key)] = (
                None if label is None else json.dumps(dataclasses.asdict(label))
            )
    return result


def edited(content: Content, change: dict[str, str | None]) -> Content:
    """Return what is there after an edit."""
    return {k: v for k, v in (content | change).items() if v is not None}


def some_edits(store: LabelStore, rng: random.Random, count: int) -> list[Edit | StateEdit]:
    """Make up one call of `apply`: labels set, moved, hidden, taken away, and the position."""
    edits: dict[Any, Edit | StateEdit] = {}
    for _ in range(rng.choice((1, 1, 1, 2, 20))):
        clip = rng.randrange(len(CLIPS))
        sha, frame, annotator = f"{clip:064x}", rng.randrange(FRAMES), rng.choice(("anna", "-bö"))
        before = store.get(sha, frame, annotator, 1)
        hidden = rng.random() < 0.2
        after = Label(
            clip=CLIPS[clip],
            clip_sha256=sha,
            frame=frame,
            time_s=frame / 25,
            x_px=None if hidden else rng.uniform(0, 800),
            y_px=None if hidden else rng.uniform(0, 600),
            annotator=annotator,
            origin=rng.choice(list(Origin)),
        )
        taken = before is not None and rng.random() < 0.3
        edits[after.key] = Edit(before, None if taken else after)
    return [*edits.values(), StateEdit("position", store.state.get("position"), count)]


def child(path: Path, mode: str, seed: int, disk: int | None, out: Connection) -> None:
    """Label until killed."""
    rng = random.Random(seed)
    if mode in {"slow", "compact"}:
        slow_down(rng)
    if mode == "compact":
        label_store.COMPACT_AFTER = 3
    if disk is not None:
        fill_up(disk)

    def say(*words: Any) -> None:
        out.send_bytes(json.dumps(words).encode())

    try:
        store = LabelStore.open(path)
    except LabelError as error:
        say("unopened", str(error))
        return
    say("opened", digest(content_of(store)))
    for count in range(seed * 100_000, (seed + 1) * 100_000):
        edits = some_edits(store, rng, count)
        say("try", told(edits))
        try:
            store.apply(*edits)
        except LabelLocked:
            say("locked")
            return
        except LabelError as error:
            say("refused", str(error), digest(content_of(store)))
        else:
            say("done")


def slow_down(rng: random.Random) -> None:
    """Make this process slow wherever it changes the disk, so that kills land there."""

    def pause() -> None:
        time.sleep(rng.random() * 1e-3)

    class Slow:
        """A file that writes at most 40 bytes at once."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def write(self, data: bytes) -> int:
            pause()
            return int(self._file.write(data[: rng.randint(1, 40)]))

    def slowly(function: Any) -> Any:
        def slow(*arguments: Any, **named: Any) -> Any:
            pause()
            result = function(*arguments, **named)
            pause()
            return result

        return slow

    wrap_journal(Slow)
    os.fsync = slowly(os.fsync)
    for name in ("replace", "unlink"):
        setattr(Path, name, slowly(getattr(Path, name)))


def fill_up(room: int) -> None:
    """Let the journals of this process have only so many bytes of room."""

    class Full:
        """A file that fails half way once it has written too much."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def write(self, data: bytes) -> int:
            rest = room - self._file.tell()
            if rest <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return int(self._file.write(data[:rest]))

    wrap_journal(Full)


def wrap_journal(wrapper: Any) -> None:
    """Put a layer between the journals of this process and their files."""
    write = _journal.Journal._write

    def wrapped(self: Any, line: bytes) -> None:
        if not isinstance(self._file, wrapper):
            self._file = wrapper(self._file)
        write(self, line)

    _journal.Journal._write = wrapped  # type: ignore[method-assign]


class Bench:
    """One label file that is edited by children, and what has to be in it."""

    def __init__(self, folder: Path, rng: random.Random, counts: Counter[str]) -> None:
        self.folder = folder
        self.path = folder / "a.mtj-labels.csv"
        self.rng = rng
        self.counts = counts
        self.surely: Content = {}
        self.perhaps: Content | None = None  # with the call that was under way
        self.temporaries: set[str] = set()
        self.wrong: list[str] = []

    def run(self, number: int, mode: str, *, small: bool) -> None:
        """Start a child, kill it or take its lock, and look at what is left."""
        ballast = self._ballast() if small else None
        full = mode == "full" and not small
        context: Any = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
        ours, theirs = context.Pipe(duplex=False)
        room = self.rng.randint(200, 40_000) if full else None
        process = context.Process(target=child, args=(self.path, mode, number, room, theirs))
        process.start()
        theirs.close()
        end = time.monotonic() + self.rng.uniform(0.0, 0.6)
        while (rest := end - time.monotonic()) > 0 and process.is_alive():
            if ours.poll(rest) and not self._hear(ours):
                break
        if mode == "taken":
            self._take_over(ours, process)
        else:
            process.kill()
            self.counts["kills"] += 1
            self.counts[f"kills, {mode}"] += 1
            while self._hear(ours):
                pass
            process.join()
        ours.close()
        if ballast:
            ballast.unlink()
        self._count_remains()
        if self.rng.random() < 0.7 or mode == "taken":
            self.look()

    def look(self) -> None:
        """Compare what is on the disk with what was acknowledged."""
        try:
            if self.path.exists():
                read_labels(self.path)
            with LabelStore.open(self.path) as store:
                self._agree(digest(content_of(store)))
                kept = content_of(store)
            if self.path.exists():
                labels = {
                    repr(x.key): json.dumps(dataclasses.asdict(x)) for x in read_labels(self.path)
                }
                if labels.items() - kept.items() or not (
                    kept.keys() - labels.keys() <= {"position"}
                ):
                    self.wrong.append("the written label file differs from the store")
            over = {p.name for p in self.folder.iterdir() if not LOCK_PART.fullmatch(p.name)} - {
                self.path.name,
                "a.mtj-annotation.json",
            }
            if over:
                self.wrong.append(f"left over: {sorted(over)}")
            self.counts["looks"] += 1
        except LabelError as error:
            self.wrong.append(str(error))

    def _hear(self, ours: Connection) -> bool:
        """Take note of one thing the child says; False when it says no more."""
        try:
            word, *rest = json.loads(ours.recv_bytes())
        except EOFError:
            return False
        if word == "opened":
            self._agree(rest[0])
            self.counts["opened by a child"] += 1
        elif word == "try":
            self.perhaps = edited(self.surely, rest[0])
        elif word == "done":
            assert self.perhaps is not None
            self.surely, self.perhaps = self.perhaps, None
            self.counts["acknowledged"] += 1
        elif word == "refused":
            self.counts["refused, disk full"] += 1
            self.perhaps = None
            if digest(self.surely) != rest[1]:
                self.wrong.append("a refused edit changed what is held")
        elif word == "locked":
            self.counts["noticed that it was taken over"] += 1
        elif word == "unopened":
            self.counts["not opened, disk full"] += 1
        return True

    def _agree(self, found: str) -> None:
        """Settle whether the call under way came through; or something is wrong."""
        if self.perhaps is not None and found == digest(self.perhaps):
            self.surely = self.perhaps
            self.counts["under way, kept"] += 1
        elif found != digest(self.surely):
            self.wrong.append("labels are not those that were acknowledged")
        elif self.perhaps is not None:
            self.counts["under way, dropped"] += 1
        self.perhaps = None

    def _take_over(self, ours: Connection, process: Any) -> None:
        """Take the lock by force; what the child said until it noticed must be there."""
        with LabelStore.open(self.path, take_over=True) as store:
            while self._hear(ours):
                pass
            process.join()
            self._agree(digest(content_of(store)))
        self.counts["taken over"] += 1

    def _ballast(self) -> Path:
        """Fill the small disk up to a random rest."""
        path = self.folder / "ballast"
        room = shutil.disk_usage(self.folder).free - self.rng.randrange(0, FREE)
        path.write_bytes(b"x" * max(room, 0))
        return path

    def _count_remains(self) -> None:
        for path in self.folder.iterdir():
            if path.suffix == ".tmp" and path.name not in self.temporaries:
                self.temporaries.add(path.name)
                self.counts["temporaries left"] += 1
            if path.suffix == ".journal":
                self.counts["journals left"] += 1
                tail = path.read_bytes().rpartition(b"\n")[2]
                self.counts["lines torn"] += bool(tail)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """Mount a small tmpfs, if one may."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    mounted = sys.platform == "linux" and (
        subprocess.run(command, capture_output=True, check=False).returncode == 0
    )
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def main() -> int:
    """Kill as often as asked, print what happened."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--folder", type=Path, help="where to work; a temporary folder if not given"
    )
    parser.add_argument("--output", type=Path, help="write the counts as JSON")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    counts: Counter[str] = Counter()
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(dir=arguments.folder) as name,
        small_disk(Path(name) / "small") as small,
    ):
        plain = Path(name) / "plain"
        plain.mkdir()
        benches = [Bench(plain, rng, counts)]
        if small is not None:
            benches.append(Bench(small, rng, counts))
        number = 0
        while counts["kills"] < arguments.kills:
            (mode,) = rng.choices(MODES, WEIGHTS)
            bench = benches[-1 if mode == "full" else 0]
            bench.run(number, mode, small=bench.folder == small)
            number += 1
        for bench in benches:
            bench.look()
    wrong = [line for bench in benches for line in bench.wrong]
    counts["wrong"] = len(wrong)
    width = max(map(len, counts))
    print(f"full disk: {'a small tmpfs' if small is not None else 'an injected failure'}")
    for what, count in sorted(counts.items()):
        print(f"{what:<{width}} {count:>8}")
    print(f"{time.monotonic() - started:.0f} s, seed {arguments.seed}")
    for line in wrong[:20]:
        print("WRONG:", line)
    if arguments.output:
        arguments.output.write_text(json.dumps(dict(sorted(counts.items())), indent=2) + "\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

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

from kill_labels_child import Content, child, content_of, digest, edited
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.store import LabelStore
from napari_deepmtj.labels.table import read_labels

MODES = ("fast", "slow", "compact", "full", "taken")
WEIGHTS = (3, 3, 3, 2, 1)

#: Size of the small disk, and how much of it may be free when a child starts, bytes.
DISK, FREE = 192 * 1024, 48 * 1024

#: What a kill in the middle of taking a lock over leaves; it goes after an hour.
LOCK_PART = re.compile(r"\.a\.mtj-labels\.lock\.[0-9a-f]+\.tmp")


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

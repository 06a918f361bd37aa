"""The program that `kill_labels.py` kills: it labels as fast as it can, and says what it did.

What it can be made to suffer is here too: slow writes, a full disk. Killing and looking is there.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from napari_deepmtj.core.labels import Edit, Label, StateEdit
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels import _journal
from napari_deepmtj.labels import store as label_store
from napari_deepmtj.labels.store import LabelLocked, LabelStore

CLIPS = ("Läufer 1.avi", '=cmd|"x",y.avi', "b\n.mp4")
FRAMES = 15

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

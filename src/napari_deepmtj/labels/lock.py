"""The lock beside a label file: who edits it, and whether that program still runs.

The lock is advice that programs keep to, a small file with its holder's name made by exclusive
creation, so that it works on network drives and on every system. It is held by its token, not by
its age, so clocks do not matter. Whoever takes it over replaces it; the loser sees a token that is
not its own.
"""

from __future__ import annotations

import datetime as dt
import getpass
import json
import os
import secrets
import socket
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from glob import escape
from pathlib import Path
from typing import Self, TypeVar

import psutil

from napari_deepmtj.core.atomic import STALE_SECONDS
from napari_deepmtj.errors import LabelError

#: How long a lock may stay without content, as one that is being made has none.
GRACE_SECONDS = 2.0

#: How often and how long an operation is tried again that another program's glance can disturb.
TRIES, PAUSE = 10, 0.02

T = TypeVar("T")


class LabelLocked(LabelError):  # noqa: N818 - named for what it says, as LockedError is taken
    """Another program edits the labels.

    Parameters
    ----------
    path : Path
        The label file.
    holder : Holder or None
        The program; None if its lock cannot be read.
    message : str
        What to do about it.
    """

    def __init__(self, path: Path, holder: Holder | None, message: str) -> None:
        super().__init__(message, path=path)
        self.holder = holder
        self.user = holder.user if holder else "unknown"
        self.host = holder.host if holder else "unknown"
        self.pid = holder.pid if holder else None
        self.since = holder.since if holder else "unknown"


@dataclass(frozen=True)
class Holder:
    """A program that holds a lock.

    Parameters
    ----------
    token : str
        Made up for this lock, never used again.
    user, host : str
        Who, on which computer.
    machine : str
        What tells computers of one name apart, and containers, which number processes anew.
    pid : int
        Number of the process.
    started : str
        When the process started, by a clock that nobody sets; "" where there is none. It tells
        processes of one number apart.
    since : str
        When the lock was made, ISO 8601, for people only.
    """

    token: str = field(default_factory=lambda: secrets.token_hex(8))
    user: str = field(default_factory=lambda: _user())
    host: str = field(default_factory=socket.gethostname)
    machine: str = field(default_factory=lambda: _machine())
    pid: int = field(default_factory=os.getpid)
    started: str = field(default_factory=lambda: _started(os.getpid()))
    since: str = field(
        default_factory=lambda: dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    )

    @property
    def dead(self) -> bool:
        """Whether the program is known to have ended; False for one on another computer."""
        if (self.host, self.machine) != (socket.gethostname(), _machine()):
            return False
        if not _alive(self.pid):
            return True
        started = _started(self.pid)
        return bool(started and self.started) and started != self.started

    def __str__(self) -> str:
        return f"{self.user} on {self.host} (process {self.pid}) since {self.since}"


#: Stands for a lock in words we do not know, of a later version perhaps.
UNKNOWN = Holder("", "an unknown program", "an unknown computer", "", 0, "", "an unknown time")


class Lock:
    """The lock of one label file, held from `acquire` to `release` or until it is taken over."""

    def __init__(self, path: Path, labels: Path) -> None:
        self.path = path
        self.labels = labels
        self.me = Holder()
        self._content = (json.dumps(asdict(self.me)) + "\n").encode()

    @classmethod
    def acquire(cls, path: Path, labels: Path, *, take_over: bool) -> Self:
        """Take the lock.

        Parameters
        ----------
        path : Path
            The lock's own file.
        labels : Path
            The label file, for messages.
        take_over : bool
            Take it even from a program that runs.

        Raises
        ------
        LabelLocked
            If another program holds it.
        LabelError
            If no lock can be made there.
        """
        lock = cls(path, labels)
        try:
            while not lock._create():
                holder = lock._await_holder()
                if holder is None and not os.path.lexists(path):
                    continue  # it was given back just now
                if holder is not None and not holder.dead and not take_over:
                    raise LabelLocked(
                        labels,
                        holder,
                        f"is being edited by {holder}; close it there, or take over if that "
                        "program is gone",
                    )
                lock._replace()
                break
            lock.check()
        except OSError as error:
            raise LabelError(
                f"cannot be locked for editing ({error.strerror or error}); labels are edited in "
                "a writable folder with space",
                path=labels,
            ) from error
        return lock

    def check(self) -> None:
        """Raise LabelLocked unless the lock is still ours; OSError if that cannot be known."""
        if self._raw() == self._content:
            return
        holder = self._read()
        if holder is None:
            raise LabelLocked(
                self.labels,
                None,
                f"its lock {self.path.name} was removed; close and open the labels again",
            )
        raise LabelLocked(
            self.labels,
            holder,
            f"was taken over by {holder}; close it there, then open the labels again",
        )

    def release(self) -> None:
        """Give the lock back if it is still ours."""
        with suppress(OSError):
            if self._raw() == self._content:
                _insist(self.path.unlink)

    def _create(self) -> bool:
        """Make the lock unless there is one."""
        try:
            file = _insist(lambda: self.path.open("xb"))
        except FileExistsError:
            return False
        try:
            with file:
                file.write(self._content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                self.path.unlink()
            raise
        return True

    def _replace(self) -> None:
        """Put our lock in the place of another."""
        for old in self.path.parent.glob(f".{escape(self.path.name)}.*.tmp"):
            with suppress(OSError):  # a program was killed here, or is here just now
                if time.time() - old.stat().st_mtime > STALE_SECONDS:
                    old.unlink()
        temporary = self.path.with_name(f".{self.path.name}.{self.me.token}.tmp")
        try:
            with temporary.open("xb") as file:
                file.write(self._content)
                file.flush()
                os.fsync(file.fileno())
            _insist(lambda: temporary.replace(self.path))
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _raw(self) -> bytes | None:
        """Return the lock's content, None if there is no lock."""
        try:
            return _insist(self.path.read_bytes)
        except FileNotFoundError:
            return None

    def _read(self) -> Holder | None:
        """Return who holds the lock, None if there is none or nobody's name is in it."""
        content = self._raw()
        if not content:
            return None
        try:
            said = json.loads(content)
            return Holder(**{entry.name: said[entry.name] for entry in fields(Holder)})
        except (ValueError, TypeError, KeyError):
            return UNKNOWN

    def _await_holder(self) -> Holder | None:
        """Return who holds the lock; one that is being made is given time to get its content."""
        end = time.monotonic() + GRACE_SECONDS
        while (holder := self._read()) is None and self.path.exists():
            if time.monotonic() > end:
                break
            time.sleep(PAUSE)
        return holder


def _insist(operation: Callable[[], T]) -> T:
    """Try again what Windows refuses while another program has the file open for a moment."""
    for _ in range(TRIES - 1):
        try:
            return operation()
        except PermissionError:
            if sys.platform != "win32":
                raise
            time.sleep(PAUSE)
    return operation()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a process without a name of its user
        return "unknown"


def _machine() -> str:
    """Return what the number of a process is to be understood with."""
    node = f"{uuid.getnode():012x}"
    with suppress(OSError):  # no Linux
        return f"{node} {Path('/proc/self/ns/pid').readlink()}"
    return node


def _alive(pid: int) -> bool:
    """Return whether a process of this number runs on this computer."""
    if sys.platform == "win32":  # where signal 0 is not a question but Ctrl+C
        return psutil.pid_exists(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> str:
    """Return what tells a process from earlier and later ones of its number, "" if nothing does.

    On Linux ticks since the computer started, and which start that was: psutil's time of creation
    there moves with the clock, as may that of macOS.
    """
    try:
        if sys.platform == "linux":
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            stat = Path(f"/proc/{pid}/stat").read_text()
            return f"{boot} {stat.rpartition(')')[2].split()[19]}"
        if sys.platform == "win32":
            return f"{psutil.Process(pid).create_time():.3f}"
    except (OSError, IndexError, psutil.Error):
        return ""
    return ""

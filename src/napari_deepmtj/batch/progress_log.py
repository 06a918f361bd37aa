"""What a run has done so far: lines of the ledger, counts, and the models it needs."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from napari_deepmtj.batch.events import ClipDone, ClipFailed, ClipKept
from napari_deepmtj.batch.ledger import Ledger, Line
from napari_deepmtj.batch.plan import Plan, Task, is_done, weights_sha256
from napari_deepmtj.core.paths import attention_path, video_path
from napari_deepmtj.inference.runner import Runner
from napari_deepmtj.weights.store import load_model

if TYPE_CHECKING:
    from napari_deepmtj.errors import DeepMTJError
    from napari_deepmtj.weights.store import Model

#: What an earlier run may have left beside a result, which shows other positions than the new one.
_MADE = {"attention": attention_path, "video": video_path}

#: What the system says when no more can be written.
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Models:
    """Networks and what computes them, each loaded once.

    Parameters
    ----------
    device, backend
        As `inference.backends.select.open_backend` takes them.
    batch : int
        Frames computed at a time, at most.
    """

    def __init__(self, device: str, backend: str, batch: int) -> None:
        self._device, self._backend, self._batch = device, backend, batch
        self._loaded: dict[str, tuple[Model, Runner]] = {}

    def __getitem__(self, name: str) -> tuple[Model, Runner]:
        """Return a model by its id or file, and what runs it."""
        if name not in self._loaded:
            model = load_model(name)
            self._loaded[name] = model, Runner(model, self._device, self._batch, self._backend)
        return self._loaded[name]


class Books:
    """The ledger of a plan while it runs.

    Parameters
    ----------
    plan : Plan
        The batch; its folder is held.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.ledger = Ledger.of(plan.options.out)
        self.weights: Callable[[str], str] = cache(weights_sha256)
        self.done = self.kept = self.failed = 0

    @property
    def ended(self) -> int:
        """Clips that came to an end in this run."""
        return self.done + self.kept + self.failed

    def is_done(self, task: Task) -> bool:
        """Whether nothing need be done for a clip."""
        return is_done(task, self.ledger, self.weights)

    def write_done(
        self, task: Task, line: Line, facts: Mapping[str, Any], notices: list[str]
    ) -> ClipDone:
        """Commit a clip whose result is on disk; what was made of the one before goes."""
        old = self.ledger.line(task.name)
        for name, path in _MADE.items():
            if old is not None and old.facts.get(name) and not facts.get(name):
                try:
                    path(task.result).unlink(missing_ok=True)
                except OSError as error:  # a player has it open
                    said = f"{path(task.result).name} shows the result before this one; remove it"
                    notices = [*notices, f"{said} ({error.strerror})"]
        line = replace(line, facts={**facts, "notices": notices})
        self.ledger.append(line)
        self.done += 1
        return ClipDone(task, line)

    def write_kept(self, task: Task, line: Line) -> ClipKept:
        """Commit that a clip is still the one of its result."""
        old = self.ledger.line(task.name)
        assert old is not None  # it was compared with
        line = replace(line, facts=old.facts)
        if line != old:  # only its date, if that: a folder of pictures is looked at each time
            self.ledger.append(line)
        self.kept += 1
        return ClipKept(task)

    def write_failed(self, task: Task, line: Line, reason: str) -> ClipFailed:
        """Commit that a clip has no result, and why."""
        self.ledger.append(replace(line, failed=reason))
        self.failed += 1
        return ClipFailed(task, reason)


def ends_all(error: DeepMTJError) -> bool:
    """Whether the clips that follow would fail for the same reason: the disk is full."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL

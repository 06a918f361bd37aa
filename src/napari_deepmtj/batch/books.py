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
from napari_deepmtj.inference.device import Runner, resolve_device
from napari_deepmtj.weights.store import load_model

if TYPE_CHECKING:
    from napari_deepmtj.errors import DeepMTJError
    from napari_deepmtj.weights.store import Model

#: What the system says when no more can be written.
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Models:
    """Networks on their device, each loaded once.

    Parameters
    ----------
    device : str
        As `inference.device.resolve_device` takes it.
    batch : int
        Frames computed at a time, at most.
    """

    def __init__(self, device: str, batch: int) -> None:
        self._device, self._batch = device, batch
        self._loaded: dict[str, tuple[Model, Runner]] = {}

    def __getitem__(self, name: str) -> tuple[Model, Runner]:
        """Return a model by its id or file, and what runs it."""
        if name not in self._loaded:
            model = load_model(name)
            runner = Runner(model.network, resolve_device(self._device), self._batch)
            self._loaded[name] = model, runner
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
        """Commit a clip whose result is on disk."""
        line = replace(line, facts={**facts, "notices": notices})
        self.ledger.append(line)
        self.done += 1
        return ClipDone(task, line)

    def write_kept(self, task: Task, line: Line) -> ClipKept:
        """Commit that a clip is still the one of its result."""
        old = self.ledger.line(task.name)
        assert old is not None  # it was compared with
        self.ledger.append(replace(line, facts=old.facts))
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

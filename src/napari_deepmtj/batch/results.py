"""What is there of each clip of a batch, worst first; from the ledger, no result is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from napari_deepmtj.batch.ledger import Ledger
from napari_deepmtj.batch.plan import Plan, Task

Status = Literal["failed", "partial", "done", "not tracked yet"]


@dataclass(frozen=True, slots=True)
class Result:
    """How a clip came out, the last time it was tracked.

    Parameters
    ----------
    task : Task
        The clip; `task.result` is its file.
    status : {"failed", "partial", "done", "not tracked yet"}
        What is there.
    reason : str
        Why it failed, or is partial; else "".
    frames, in_view, flagged : int
        Frames; those with the MTJ in view; those that the quality gate flags.
    confidence : float
        Median over the frames in view; NaN if there is none.
    notices : tuple of str
        What was told while it was tracked.
    """

    task: Task
    status: Status
    reason: str = ""
    frames: int = 0
    in_view: int = 0
    flagged: int = 0
    confidence: float = math.nan
    notices: tuple[str, ...] = ()

    @property
    def badness(self) -> tuple[int, float, float]:
        """What results are ordered by: failed, partial, then share of flags, then confidence."""
        order = ("failed", "partial", "done", "not tracked yet").index(self.status)
        share = self.flagged / self.frames if self.frames else 0.0
        return order, -share, 0.0 if math.isnan(self.confidence) else self.confidence


def results(plan: Plan) -> tuple[Result, ...]:
    """Return what is there of each clip, worst first, then as in the plan.

    Raises
    ------
    ResultError
        If the ledger is damaged.
    """
    ledger = Ledger.of(plan.options.out)
    return tuple(
        sorted((_result(task, ledger) for task in plan.tasks), key=lambda result: result.badness)
    )


def _result(task: Task, ledger: Ledger) -> Result:
    line = ledger.line(task.name)
    if line is None:
        return Result(task, "not tracked yet")
    if line.failed:
        return Result(task, "failed", line.failed)
    if not task.is_there:
        return Result(task, "not tracked yet")
    said = line.facts
    confidence = said.get("confidence")
    return Result(
        task,
        "partial" if line.partial else "done",
        line.partial,
        said["frames"],
        said["in_view"],
        said.get("flagged", 0),
        math.nan if confidence is None else confidence,
        tuple(said.get("notices", ())),
    )

"""What a batch tells while it runs, beside the events of `core.jobs`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress

if TYPE_CHECKING:
    from napari_deepmtj.batch.ledger import Line
    from napari_deepmtj.batch.plan import Plan, Task
    from napari_deepmtj.batch.tables import Tables


@dataclass(frozen=True, slots=True)
class ClipBegan:
    """Decoding of a clip has begun, or a worker has it."""

    task: Task


@dataclass(frozen=True, slots=True)
class ClipProgress:
    """How far one clip is, in frames, and in how many seconds it will be done."""

    task: Task
    done: int
    total: int
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class ClipDone:
    """A clip's result is on disk and in the ledger."""

    task: Task
    line: Line


@dataclass(frozen=True, slots=True)
class ClipKept:
    """A clip that seemed to have changed, by its date or as a folder, has not."""

    task: Task


@dataclass(frozen=True, slots=True)
class ClipFailed:
    """A clip has no result; the reason is in the ledger."""

    task: Task
    reason: str


@dataclass(frozen=True, slots=True)
class Paused:
    """The batch is held up; told again and again until it goes on."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing has been heard of the workers; told so that a consumer gets its turn."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a batch.

    Parameters
    ----------
    plan : Plan
        The batch.
    tables : Tables
        What all clips come to.
    done, kept, failed : int
        Clips tracked now, clips that were done already, and clips without a result.
    seconds : float
        Wall time.
    """

    plan: Plan
    tables: Tables
    done: int
    kept: int
    failed: int
    seconds: float


ClipEnded = ClipDone | ClipKept | ClipFailed
BatchEvent = (
    Progress
    | Notice
    | ClipBegan
    | ClipProgress
    | ClipEnded
    | Paused
    | Waiting
    | Done[Finished]
    | Failed
)

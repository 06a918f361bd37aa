"""The one contract of long work: a generator of these, ending in `Done` or `Failed`.

Cancelling is closing the generator. Nothing here knows who consumes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from napari_deepmtj.errors import DeepMTJError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come, in units that the job names."""

    done: int
    total: int
    unit: str = "frame"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person must be told: a fallback, an assumption, a shortened clip."""

    message: str


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The last event of a job that succeeded, with its result."""

    result: T


@dataclass(frozen=True, slots=True)
class Failed:
    """The last event of a job that could not be finished."""

    error: DeepMTJError

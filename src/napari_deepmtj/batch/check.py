"""A clip before it is tracked: opened, its content hashed, compared with what is done already."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_deepmtj.batch.ledger import Line
from napari_deepmtj.batch.plan import Plan, Task, is_valid, key_of, known_sha256
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.inference.attention import wanted_map
from napari_deepmtj.pipeline.clip import require_extras
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.weights.store import read_card, resolve_model

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """A clip that is open, or why it is not.

    Parameters
    ----------
    task : Task
        The clip.
    line : Line
        What is known for its line in the ledger.
    source : VideoSource or None
        The clip, open.
    error : DeepMTJError or None
        Why it is not.
    same : bool
        Whether its result is there and valid.
    """

    task: Task
    line: Line
    source: VideoSource | None = None
    error: DeepMTJError | None = None
    same: bool = False

    def close(self) -> None:
        """Close the clip unless somebody else opened it."""
        if self.source is not None and self.source is not self.task.entry.source:
            self.source.close()


def open_task(task: Task, old: Line | None, weights: Callable[[str], str]) -> Opened:
    """Open a clip; what goes wrong is in what is returned.

    Parameters
    ----------
    task : Task
        The clip.
    old : Line or None
        Its line in the ledger.
    weights : callable
        Gives the hash of a model's weights by its id or file.
    """
    line = Line(result=task.name, clip=task.clip.as_posix())
    opened = Opened(task, line)
    try:
        if task.entry.source is not None:
            opened = replace(opened, source=task.entry.source)
            sha256 = task.entry.source.sha256
        else:
            stat = task.clip.stat() if task.clip.exists() else None
            source = open_video(task.clip)
            opened = replace(opened, source=source)
            sha256 = known_sha256(old, task) or source.sha256
            if stat is not None:
                line = replace(line, size=stat.st_size, modified_ns=stat.st_mtime_ns)
        key = key_of(task, sha256, weights(task.model))
        line = replace(line, sha256=sha256, key=key)
        return replace(opened, line=line, same=is_valid(task, old, key))
    except Exception as error:
        logger.debug("opening %s", task.clip, exc_info=True)
        opened.close()
        return Opened(task, line, error=said_of(error))


def require_possible(plan: Plan) -> None:
    """Raise before any clip is touched if what is asked of all of them cannot be.

    Raises
    ------
    WeightsError
        If a model is not there, or has no attention map of the name that is wanted.
    MissingExtraError
        If a package that is needed is not installed.
    """
    for model in {task.model for task in plan.tasks}:
        wanted_map(read_card(resolve_model(model)), plan.options.attention or False)
    for task in plan.tasks[:1]:  # extras are the same for all
        require_extras(task.request)


def said_of(error: Exception) -> DeepMTJError:
    """Return an error as one a person can read."""
    if isinstance(error, DeepMTJError):
        return error
    text = getattr(error, "strerror", None) or error
    return DeepMTJError(f"an unexpected error: {type(error).__name__}: {text}")

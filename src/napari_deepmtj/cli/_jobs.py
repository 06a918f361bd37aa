"""How a command consumes a job, or waits for a long clip: a bar for progress, lines for notices."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deepmtj.cli._console import print_notice, progress_bar
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource


def run_job(
    events: Iterator[Any], description: str, other: Callable[[Any], Progress | None] | None = None
) -> Any:
    """Consume a job to its end and return its result.

    Parameters
    ----------
    events : iterator
        The job; it is closed when this returns or raises, so that Ctrl-C cancels it.
    description : str
        What the bar is called.
    other : callable, optional
        Takes the job's own events, and may turn one into a `Progress`.

    Raises
    ------
    DeepMTJError
        What the job failed with.
    """
    with ExitStack() as stack:
        if isinstance(events, Generator):
            stack.enter_context(closing(events))
        bar = stack.enter_context(progress_bar())
        tasks: dict[str, Any] = {}
        for event in events:
            if isinstance(event, Done):
                return event.result
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Notice):
                print_notice(event.message)
                continue
            shown = event if isinstance(event, Progress) else other(event) if other else None
            if shown is not None:
                if shown.unit not in tasks:
                    tasks[shown.unit] = bar.add_task(f"{description} ({shown.unit}s)")
                bar.update(tasks[shown.unit], completed=shown.done, total=shown.total)
    raise DeepMTJError(f"{description} ended without a result; please report this")


def open_clip(path: Path) -> VideoSource:
    """Open a clip, with a bar for as long as its frames are listed, if that takes long.

    Raises
    ------
    DeepMTJError
        As `open_video`.
    """
    from napari_deepmtj.video.opening import open_video

    source = open_video(path, background=True)
    try:
        if not source.complete:
            with progress_bar() as bar:
                task = bar.add_task(f"{path.name}: list frames (%)", total=100)
                source.wait(lambda done: bar.update(task, completed=round(100 * done)))
    except BaseException:
        source.close()
        raise
    return source

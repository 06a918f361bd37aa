"""What every command prints with: results to stdout; errors, notices, progress to stderr.

No command logic lives here.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress

if TYPE_CHECKING:
    from rich import progress as rich_progress


def print_line(text: str = "") -> None:
    """Write one line of result to stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_error(text: str) -> None:
    """Write one line "error: ..." to stderr."""
    _stderr_line(f"error: {text}")


def print_notice(text: str) -> None:
    """Write one line "note: ..." to stderr."""
    _stderr_line(f"note: {text}")


def progress_bar() -> rich_progress.Progress:
    """Return a bar on stderr with count, rate and remaining time; use it as a context manager.

    Where stderr is no terminal nothing is drawn. While one is open, `print_error` and
    `print_notice` write above it.
    """
    from rich import progress as rich_progress
    from rich.console import Console

    console = Console(file=sys.stderr)
    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TextColumn("left"),
        rich_progress.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def run_job(events: Generator[Any], title: str) -> Any:
    """Follow a job to its end, with a bar for its progress, and return its result.

    Parameters
    ----------
    events : generator of `core.jobs` events
        Closed when this returns or raises. Events other than those of `core.jobs` are passed
        over; a command that wants them loops itself.
    title : str
        What the bar says while the job gives no note.

    Raises
    ------
    DeepMTJError
        The one that the job failed with.
    """
    with closing(events), progress_bar() as bar:
        task = bar.add_task(title, total=None)
        for event in events:
            match event:
                case Progress(done, total, _, note):
                    bar.update(task, completed=done, total=total, description=note or title)
                case Notice(message):
                    print_notice(message)
                case Failed(error):
                    raise error
                case Done(result):
                    return result
    raise AssertionError("a job ends in Done or Failed")


def _stderr_line(text: str) -> None:
    sys.stderr.write(" ".join(text.splitlines()) + "\n")
    sys.stderr.flush()

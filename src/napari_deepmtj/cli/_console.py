"""What every command prints with: results to stdout; errors, notices, progress to stderr.

No command logic lives here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

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


def _stderr_line(text: str) -> None:
    sys.stderr.write(" ".join(text.splitlines()) + "\n")
    sys.stderr.flush()

"""What every command prints with: results to stdout; errors, notices, progress to stderr.

No command logic lives here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


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


def progress_bar() -> Progress:
    """Return a bar on stderr with count, rate and remaining time; use it as a context manager.

    Where stderr is no terminal nothing is drawn. While one is open, `print_error` and
    `print_notice` write above it.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(file=sys.stderr)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _stderr_line(text: str) -> None:
    sys.stderr.write(" ".join(text.splitlines()) + "\n")
    sys.stderr.flush()

"""What every command prints with: results to stdout; errors, notices, progress to stderr.

No command logic lives here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
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


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> None:
    """Write a table to stdout; where it is too wide one block a row, nothing cut or folded.

    A pipe or a file has no width, so that a table in it is as wide as it needs.
    """
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    rows = list(rows)
    console = Console(file=sys.stdout, highlight=False, markup=False)
    table = Table(*header, title=title or None, title_justify="left")
    for row in rows:
        table.add_row(*row)
    needed = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    if not console.is_terminal:
        console.width = needed
    if needed <= console.width:
        console.print(table)
        return
    if title:
        print_line(title)
    for row in rows:
        print_line()
        for name, value in zip(header, row, strict=True):
            print_line(f"{' '.join(name.split())}: {value}")


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

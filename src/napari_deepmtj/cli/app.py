"""The command `napari-deepmtj`: collects the commands, and turns errors into lines and codes.

Exit codes: 0 all well, 1 something failed (each failure is one line on stderr), 2 bad usage,
130 interrupted with Ctrl-C.
"""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from napari_deepmtj.cli._console import print_error, print_line
from napari_deepmtj.cli._help import COMMANDS, Command, Group
from napari_deepmtj.errors import DeepMTJError

app = typer.Typer(
    name="napari-deepmtj",
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from napari_deepmtj.version import __version__

        print_line(f"napari-deepmtj {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Track the muscle-tendon junction in B-mode ultrasound videos."""


for _name in (name for names in COMMANDS.values() for name in names):
    _file = _name.replace("-", "_")
    _module = importlib.import_module(f"napari_deepmtj.cli.{_file}")
    _command = getattr(_module, _file)
    if isinstance(_command, typer.Typer):  # one with commands of its own
        app.add_typer(_command, name=_name, cls=Group)
    else:
        app.command(_name, cls=Command)(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after the program's name; those of the process by default.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's code page lacks is written as \\x.., as stderr does anyway.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="napari-deepmtj")
    except DeepMTJError as error:
        print_error(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()

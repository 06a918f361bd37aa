"""The command line: one file a command, and the frame around them.

How to add a command: write `cli/<name>.py` with one public function of the same name, whose
parameters are annotated for typer (`Annotated[..., typer.Argument(help=...)]`) and whose
docstring's first paragraph is the help text, and put `<name>` into `COMMANDS` in `cli/app.py`.
The file's own imports stay light (typer, the standard library, `core`, `errors`, `cli._console`):
torch, av, pandas and the rooms that use them are imported inside the function, so that `--help`
is immediate and a missing extra costs only the command that needs it.

Inside a command, raise a `DeepMTJError` for what a user can mend (`app.main` prints it as one
line and exits with 1), `typer.BadParameter` for an argument that makes no sense (exit 2), and
`typer.Exit(1)` after partial success. Results go to stdout with `print_line`; notices, errors and
progress bars go to stderr through `cli._console`; `cli._jobs.run_job` follows a generator of
`core.jobs` events to its result.
"""

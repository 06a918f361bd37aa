"""Options that several commands for labelled clips share; those of tracking are in `track`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SubjectsOption = Annotated[Path | None, typer.Option(help="CSV with the columns clip and subject.")]
SubjectPatternOption = Annotated[
    str | None,
    typer.Option(help="Regular expression for clip names, with a group named subject."),
]
AnnotatorOption = Annotated[
    str | None, typer.Option(help="Whose labels, where several people labelled.")
]

"""`napari-deepmtj reproduce`: make a result again from its log, and say whether it is the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepmtj.cli._console import print_line
from napari_deepmtj.cli._jobs import run_job
from napari_deepmtj.core.paths import CSV_SUFFIX, JSON_SUFFIX
from napari_deepmtj.errors import ResultError

if TYPE_CHECKING:
    from napari_deepmtj.pipeline.reproduce import Reproduction

#: Exit code where the result was made again and is another one.
DIFFERS = 3


def reproduce(
    result: Annotated[
        Path, typer.Argument(metavar="CLIP.mtj.json", help="The log of a result, or its .mtj.csv.")
    ],
    clip: Annotated[
        Path | None,
        typer.Option(help="The clip; by default the one beside the result with its content hash."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="ID|FILE", help="Where the same weights are, if under another name."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help="Compute here, not where the result was computed."),
    ] = None,
) -> None:
    """Track the clip of a result again, and do all that its log says; compare with the result.

    Exit codes: 0 identical (positions to 0.001 px), 3 not identical, 1 it could not be done.
    """
    from napari_deepmtj.pipeline.reproduce import open_recorded
    from napari_deepmtj.pipeline.reproduce import reproduce as run
    from napari_deepmtj.results.trajectory_file import read_trajectory
    from napari_deepmtj.video.finding import find_clip

    csv = result
    if result.name.endswith(JSON_SUFFIX):
        csv = result.with_name(result.name.removesuffix(JSON_SUFFIX) + CSV_SUFFIX)
    elif not result.name.endswith(CSV_SUFFIX):
        raise ResultError(f"is neither a {JSON_SUFFIX} nor a {CSV_SUFFIX}", path=result)
    saved = read_trajectory(csv)
    path = find_clip(saved.provenance, csv.absolute().parent, clip)
    with open_recorded(path, saved.provenance) as source:
        events = run(source, saved, model=model, device=device)
        found: Reproduction = run_job(events, path.name)
    print_line(f"{csv.name}: {found.describe()}")
    if not found.identical:
        raise typer.Exit(DIFFERS)

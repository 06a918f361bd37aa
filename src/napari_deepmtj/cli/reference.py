"""`napari-deepmtj reference`: follow a second point of a clip, from which the MTJ is measured.

How it is followed is `tracking.reference`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_deepmtj.cli._console import print_line
from napari_deepmtj.cli._jobs import open_clip, run_job
from napari_deepmtj.errors import ResultError


class How(StrEnum):
    """Ways of following a point."""

    LUCAS_KANADE = "lucas-kanade"
    BLOCKS = "block-matching"


def reference(
    clip: Annotated[Path, typer.Argument(metavar="CLIP")],
    name: Annotated[str, typer.Option(help="What the point is: skin, calcaneus, fascia ...")],
    at: Annotated[str, typer.Option(metavar="FRAME:X,Y", help="Where it is, in frame pixels.")],
    method: Annotated[How, typer.Option(help="How it is followed.")] = How.LUCAS_KANADE,
    result: Annotated[
        Path | None,
        typer.Option(metavar="CLIP.mtj.csv", help="The clip's result; beside the clip by default."),
    ] = None,
) -> None:
    """Follow a point to both ends of a clip; write <stem>.mtj-reference-<name>.csv.

    Scale and region are those of the result. `napari-deepmtj mechanics --reference` subtracts it.
    """
    from napari_deepmtj.core.paths import result_path
    from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory
    from napari_deepmtj.tracking.flow import BlockMatching, LucasKanade
    from napari_deepmtj.tracking.reference import follow_reference, reference_path

    try:
        number, _, where = at.partition(":")
        frame, (x, y) = int(number), (float(v) for v in where.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{at!r} is not FRAME:X,Y", param_hint="--at") from error
    result = result_path(clip) if result is None else result
    path = reference_path(result, name)
    if path.exists():
        raise ResultError("exists, and a person made it; choose another --name", path=path)
    with open_clip(clip) as source:
        said = read_trajectory(result).provenance
        if said.clip_sha256 != source.sha256:
            raise ResultError(f"is not of this {clip.name}; track it again", path=result)
        how = LucasKanade() if method is How.LUCAS_KANADE else BlockMatching()
        job = follow_reference(
            source, name, frame, (x, y), method=how, roi=said.roi, scale=said.scale
        )
        done = run_job(job, name)
    write_trajectory(done, path)
    print_line(f"{name}: followed in {int(done.table['in_view'].sum())} of {len(done)} -> {path}")

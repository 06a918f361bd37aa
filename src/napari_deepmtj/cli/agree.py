"""`napari-deepmtj agree`: how far raters agree on where the MTJ is.

What is compared is `evaluation`, how it reads and is saved `report.study`; here it is asked for and
printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepmtj.cli._console import print_line, print_notice, print_table
from napari_deepmtj.cli.track import parse_scale

if TYPE_CHECKING:
    pass


def agree(
    files: Annotated[list[Path], typer.Argument(metavar="LABELS", help=".mtj-labels.csv")],
    model: Annotated[
        list[Path] | None,
        typer.Option(metavar="CLIP.mtj.csv", help="A model's result as one more rater; repeatable"),
    ] = None,
    scale: Annotated[
        str | None, typer.Option(metavar="MM_PER_PX", help="Of all clips; X,Y where they differ.")
    ] = None,
    rater: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this rater, named as printed; repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for agreement.csv, agreement-frames.csv, the plots.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier ones.")] = False,
) -> None:
    """Print bias, limits of agreement, ICC(2,1), SEM and MDC of every two raters.

    Each annotator and round of the files is a rater. Scales come from --scale, else from the
    models' results and the side-cars beside the files; if one is lacking, all is in pixels.
    """
    from napari_deepmtj.evaluation.raters import gather
    from napari_deepmtj.report.study import (
        remarks,
        require_new,
        save_study,
        table_rows,
        together_rows,
    )
    from napari_deepmtj.results.trajectory_file import read_trajectory

    given = None if scale is None else parse_scale(scale)
    trajectories = [read_trajectory(path) for path in model or []]
    result = gather(files, trajectories, scale=given).compare(rater or None)
    if out is not None and not overwrite:
        require_new(out, "add --overwrite or choose another --out")
    for pair in result.pairs:
        title = f"{pair.second} minus {pair.first} ({pair.frames} frames, {result.clips} clips)"
        header, *rows = table_rows(pair)
        print_table(header, rows, title)
    if result.together:
        header, *rows = together_rows(result)
        print_table(header, rows, "all raters together")
    for remark in remarks(result):
        print_notice(remark)
    if out is not None:
        written, notices = save_study(result, out)
        for notice in notices:
            print_notice(notice)
        print_line(f"{', '.join(written)}: {out}")

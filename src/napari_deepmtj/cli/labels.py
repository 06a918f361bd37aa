"""`napari-deepmtj labels import|export`: label files of other programs, into ours and out of it.

What the formats hold is `labels.formats`; here files are chosen, and it is told what was left over.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepmtj.cli._console import print_error, print_line, print_notice
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.formats import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deepmtj.core.labels import Label

labels = typer.Typer(no_args_is_help=True, help="Import and export labels of other programs.")

Clips = Annotated[
    list[Path] | None,
    typer.Option("--clips", metavar="CLIP|FOLDER", help="Clips, or folders of them; repeatable."),
]


@labels.command("import")
def import_labels(
    file: Annotated[Path, typer.Argument(help="labels.csv, CollectedData, .slp, COCO, ...")],
    out: Annotated[Path, typer.Option(help="The .mtj-labels.csv to make; never replaced.")],
    clips: Clips = None,
    annotator: Annotated[
        str | None, typer.Option(help="Whose labels; DeepLabCut's scorer by default.")
    ] = None,
    round_: Annotated[int, typer.Option("--round", min=1, help="Round of annotation.")] = 1,
    point: Annotated[str | None, typer.Option(help="Point to take, if not 'MTJ'.")] = None,
    individual: Annotated[str | None, typer.Option(help="Animal to take, of several.")] = None,
    skip_empty: Annotated[
        bool,
        typer.Option("--skip-empty", help="Rows without a position: not labelled, not 'hidden'."),
    ] = False,
    min_likelihood: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out less likely predictions.")
    ] = 0.0,
) -> None:
    """Turn labels of another program into a .mtj-labels.csv.

    The format is recognised by what is in the file. Rows without a clip, a frame or a place in the
    picture are listed, and the exit code is then 1.
    """
    from napari_deepmtj.labels.formats import convert
    from napari_deepmtj.labels.table import SUFFIX, write_labels

    if not out.name.endswith(SUFFIX):
        raise typer.BadParameter(f"must end in {SUFFIX}", param_hint="--out")
    if out.exists():
        raise LabelError("exists, and labels are never replaced; choose another --out", path=out)
    result = convert.read(
        file,
        clips or [],
        annotator=annotator,
        round=round_,
        point=point,
        individual=individual,
        empty="not labelled" if skip_empty else "not visible",
        min_likelihood=min_likelihood,
    )
    for notice in result.notices:
        print_notice(notice)
    for problem in result.unmatched:
        print_error(f"{file.name}: {problem}")
    if result.labels:
        write_labels(out, result.labels)
        of = len({label.clip_sha256 for label in result.labels})
        print_line(f"{len(result.labels)} labels of {of} {'clip' if of == 1 else 'clips'}: {out}")
    if result.unmatched or not result.labels:
        print_error(f"{file.name}: {len(result.unmatched)} rows became no label")
        raise typer.Exit(1)


@labels.command("export")
def export_labels(
    file: Annotated[Path, typer.Argument(help="The .mtj-labels.csv.")],
    to: Annotated[Format, typer.Option(help="The program to write for.")],
    out: Annotated[Path, typer.Option(help="The file to make.")],
    clips: Clips = None,
    annotator: Annotated[str | None, typer.Option(help="Only this annotator's labels.")] = None,
    round_: Annotated[
        int | None, typer.Option("--round", min=1, help="Only labels of this round.")
    ] = None,
    individual: Annotated[
        str | None, typer.Option(help="DeepLabCut: name of the animal (multi-animal project).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write labels as another program reads them, and say what its format cannot hold.

    Label Studio needs --clips for the size of the pictures; SLEAP and COCO use it if given.
    """
    from napari_deepmtj.labels.formats import convert
    from napari_deepmtj.labels.table import SUFFIX
    from napari_deepmtj.labels.written import read_written

    if out.name.endswith(SUFFIX):
        raise typer.BadParameter(f"must not end in {SUFFIX}", param_hint="--out")
    if out.exists() and not overwrite:
        raise LabelError("exists; add --overwrite or choose another --out", path=out)
    chosen = _chosen(read_written(file), annotator, round_, file)
    index = convert.ClipIndex(clips) if clips else None
    for notice in convert.write(out, chosen, to, clips=index, individual=individual):
        print_notice(notice)
    print_line(f"{len(chosen)} labels: {out}")


def _chosen(
    found: Sequence[Label], annotator: str | None, round_: int | None, file: Path
) -> list[Label]:
    chosen = [
        label
        for label in found
        if annotator in (None, label.annotator) and round_ in (None, label.round)
    ]
    if not chosen:
        who = sorted({f"{label.annotator}, round {label.round}" for label in found})
        raise LabelError(f"has no such labels, only by {'; '.join(who) or 'nobody'}", path=file)
    return chosen

"""`napari-deepmtj batch`: every clip of a study, resumable.

What is done with each clip is `batch.plan` and `batch.run`; here it is asked for and told.
"""

from __future__ import annotations

import fnmatch
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_deepmtj.cli._console import (
    print_error,
    print_line,
    print_notice,
    print_table,
    progress_bar,
)
from napari_deepmtj.cli.track import BackendOption, expand, parse_scale
from napari_deepmtj.errors import DeepMTJError, VideoError
from napari_deepmtj.inference.backends.base import BackendName
from napari_deepmtj.weights.store import DEFAULT_MODEL

if TYPE_CHECKING:
    import pandas as pd

    from napari_deepmtj.batch.plan import Plan
    from napari_deepmtj.batch.run import Finished
    from napari_deepmtj.batch.study import Entry

#: Rows of a dry run that are printed; its file has all.
_PRINTED = 40


def batch(
    out: Annotated[Path, typer.Option(help="Folder for results, tables and the ledger.")],
    clips: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CLIP|FOLDER]...", help="Videos, patterns, and folders of them."),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE", help="CSV or XLSX with a column file; see docs/how-to/batch.md."
        ),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Of folders, only files of such names; repeatable."),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX", help="What paths say: '(?P<subject>S[0-9]+)_(?P<movement>mvc|rom)'."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be done, and what lacks a scale.")
    ] = False,
    model: Annotated[
        str, typer.Option(metavar="ID|FILE", help="See `napari-deepmtj models`.")
    ] = DEFAULT_MODEL,
    roi: Annotated[
        str, typer.Option(metavar="ROI", help="auto, full, preset:NAME, or X,Y,WIDTH,HEIGHT in px.")
    ] = "auto",
    scale: Annotated[
        str | None,
        typer.Option(metavar="MM_PER_PX", help="Of clips that have none in the table, or X,Y."),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Region, scale and distal side of an instrument, said nowhere else.",
        ),
    ] = "",
    presets: Annotated[
        Path | None,
        typer.Option(metavar="TOML", help="File of presets; your own by default."),
    ] = None,
    attention: Annotated[
        str | None,
        typer.Option(metavar="MAP", help="Also save these attention maps, as `track` does."),
    ] = None,
    video: Annotated[
        bool, typer.Option("--video", help="Also make an annotated video of each clip.")
    ] = False,
    fuse: Annotated[
        bool, typer.Option("--fuse", help="Fuse positions with the motion of the tissue (flow).")
    ] = False,
    subtract_slip: Annotated[
        bool, typer.Option("--subtract-slip", help="Subtract how far the probe slipped.")
    ] = False,
    smooth: Annotated[
        str,
        typer.Option(
            metavar="METHOD[:NAME=VALUE,...]", help="Gate and smooth, as `process` does; see there."
        ),
    ] = "",
    sync: Annotated[
        str,
        typer.Option(
            metavar="HOW:NAME=VALUE,...",
            help="Of external files without a sync_offset_s: trigger:channel=NAME, "
            "correlation:channel=NAME, or clock:offset_s=0.",
        ),
    ] = "",
    read: Annotated[
        str,
        typer.Option(metavar="NAME=VALUE,...", help="rate_hz, time, time_unit, part of them."),
    ] = "",
    lowpass: Annotated[
        float | None, typer.Option(metavar="HZ", help="Of their channels, before resampling.")
    ] = None,
    measure: Annotated[
        str,
        typer.Option(
            metavar="NAME=VALUE,...",
            help="What their channels are: ankle=Angle,torque=Torque,moment_arm=50,knee=0 ...; "
            "see docs/how-to/batch.md.",
        ),
    ] = "",
    report: Annotated[bool, typer.Option(help="Write report.html at the end.")] = True,
    with_partial: Annotated[
        bool,
        typer.Option(
            "--with-partial", help="Count clips in means of which less than 90 % could be read."
        ),
    ] = False,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="auto, cuda, cuda:N, mps or cpu.")
    ] = "auto",
    backend: BackendOption = BackendName.AUTO,
    frames_at_once: Annotated[
        int, typer.Option("--batch", min=1, help="Frames computed at a time, at most.")
    ] = 16,
    clips_at_once: Annotated[
        int, typer.Option(min=1, help="Clips decoded at the same time, for one network.")
    ] = 2,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that track, each with a network of its own.")
    ] = 1,
    scheduler: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS|local",
            help="Have the workers of a Dask scheduler track; see docs/how-to/batch.md. "
            "local: a process for every core of this machine, or --workers of them.",
        ),
    ] = "",
) -> None:
    """Track every clip of a study; run it again to go on, or to do only what has changed.

    OUT gets each clip's .mtj.csv and .mtj.json in the clips' own folders, frames.csv, clips.csv
    and excursions.csv of all of them, report.html about them, and the ledger of what is done.
    """
    if not clips and study is None:
        raise typer.BadParameter("give clips, folders, or --study TABLE")

    from napari_deepmtj.batch import plan as planning
    from napari_deepmtj.batch.external_channels import Beside

    options = planning.Options(
        out=out,
        model=model,
        roi=roi,
        scale=None if scale is None else parse_scale(scale),
        preset=preset,
        presets=presets,
        attention=attention,
        video=video,
        fuse=fuse,
        subtract_slip=subtract_slip,
        smooth=smooth,
        report=report,
        with_partial=with_partial,
        beside=Beside(read=read, sync=sync, lowpass_hz=lowpass, measure=measure),
        device=device,
        backend=backend.value,
        batch=frames_at_once,
        at_once=clips_at_once,
        workers=workers,
        scheduler=scheduler,
    )
    plan = planning.make_plan(_entries(clips or [], study, include or ["*"], pattern), options)
    if dry_run:
        from napari_deepmtj.batch.check import require_possible

        require_possible(plan)
        _print_plan(planning.dry_run(plan), out)
        return
    finished = _run(plan)
    print_line(
        f"{finished.done} clips tracked, {finished.kept} kept, {finished.failed} failed -> {out}"
    )
    if finished.tables.report is not None:
        print_line(f"which to look at first: {finished.tables.report}")
    if finished.failed:
        raise typer.Exit(1)


def _entries(
    clips: list[str], study: Path | None, include: list[str], pattern: str | None
) -> list[Entry]:
    """Return what is meant: rows of the table, then files, each once."""
    from napari_deepmtj.batch.study import entries_of_files, read_study
    from napari_deepmtj.video.folders import find_clips

    entries = [] if study is None else read_study(study, pattern)
    known = {os.path.realpath(entry.clip) for entry in entries}
    files: list[Path] = []
    for path in expand(clips):
        if path.is_dir():
            there = find_clips(path) or [path]
            meant = [f for f in there if any(fnmatch.fnmatch(f.name, g) for g in include)]
            if not meant:
                raise VideoError(
                    f"has {len(there)} clips, none of them called like {' or '.join(include)}; "
                    "choose another --include",
                    path=path.absolute(),
                )
            files += meant
        else:
            files.append(path)
    new = [file for file in files if os.path.realpath(file) not in known]
    return entries + entries_of_files(new, pattern)


def _print_plan(listed: pd.DataFrame, out: Path) -> None:
    from napari_deepmtj.core.atomic import atomic_write

    shown = [name for name in listed.columns if name != "file"]
    rows = listed[shown].head(_PRINTED).itertuples(index=False)
    print_table(shown, [[str(value) for value in row] for row in rows])
    if len(listed) > _PRINTED:
        print_line(f"and {len(listed) - _PRINTED} more")
    path = atomic_write(out / "plan.csv", listed.to_csv(index=False, lineterminator="\n").encode())
    for name in ("state", "scale"):
        counts = listed[name].value_counts()
        print_line(f"{name}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    print_line(f"all rows: {path}")


def _run(plan: Plan) -> Finished:
    """Run a batch, with a bar for all of it and one for each clip under way."""
    from napari_deepmtj.batch import events as told
    from napari_deepmtj.batch.run import run
    from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
    from napari_deepmtj.core.paths import led_by

    bars: dict[str, Any] = {}
    with closing(run(plan)) as events, progress_bar() as screen:
        whole = screen.add_task("batch (clips)", total=len(plan.tasks))
        for event in events:
            match event:
                case Progress(done, total, note=note):
                    screen.update(whole, description=f"batch {note}", completed=done, total=total)
                case Notice(message):
                    print_notice(message)
                case told.ClipBegan(task):
                    bars[task.name] = screen.add_task(task.shown, total=None)
                case told.ClipProgress(task, done, total) if task.name in bars:
                    screen.update(bars[task.name], completed=done, total=total)
                case told.ClipDone(task, line):
                    seen, frames = line.facts["in_view"], line.facts["frames"]
                    print_line(f"{task.shown}: MTJ in view in {seen} of {frames} frames")
                case told.ClipFailed(task, reason):
                    print_error(led_by(task.shown, reason))
                case Failed(error):
                    raise error
                case Done(finished):
                    return finished
            if isinstance(event, told.ClipEnded) and event.task.name in bars:
                screen.remove_task(bars.pop(event.task.name))
    raise DeepMTJError("the batch ended without a result; please report this")

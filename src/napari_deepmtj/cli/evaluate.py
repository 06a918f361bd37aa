"""`napari-deepmtj evaluate`: how far a model's positions lie from labels.

What is measured is `evaluation.metrics`; here it is asked for, printed and saved.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepmtj.cli._console import print_line
from napari_deepmtj.cli._jobs import run_job
from napari_deepmtj.core.jobs import Progress
from napari_deepmtj.errors import ResultError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deepmtj.evaluation.metrics import Interval
    from napari_deepmtj.evaluation.runner import Evaluation
    from napari_deepmtj.weights.store import Model

#: Files that are written, for every frame and in sum.
CSV_NAME, JSON_NAME = "evaluation.csv", "evaluation.json"


def evaluate(
    clips: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER_OR_CLIP]...", help="Clips with .mtj-labels.csv beside."),
    ] = None,
    phantom: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Evaluate on N made-up subjects instead."),
    ] = None,
    videos: Annotated[int, typer.Option(min=1, help="Clips of each made-up subject.")] = 2,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each made-up clip.")] = 60,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the made-up subjects; no recipe trains with 1000.")
    ] = 1000,
    model: Annotated[
        str, typer.Option(metavar="ID|FILE", help="See `napari-deepmtj models`.")
    ] = "compact",
    roi: Annotated[
        str, typer.Option(metavar="ROI", help="auto, full, preset:NAME, or X,Y,WIDTH,HEIGHT in px.")
    ] = "auto",
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="auto, cuda, cuda:N, mps or cpu.")
    ] = "auto",
    out: Annotated[Path, typer.Option(help=f"Folder for {CSV_NAME} and {JSON_NAME}.")] = Path(),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier evaluation there.")
    ] = False,
) -> None:
    """Track labelled clips and print how far the model is from the labels.

    A clip's subject is the name of its folder; intervals are drawn over subjects.
    """
    if bool(clips) == (phantom is not None):
        raise typer.BadParameter("give either labelled clips (or folders of them) or --phantom N")
    if not overwrite:
        for name in (CSV_NAME, JSON_NAME):
            if (out / name).exists():
                raise ResultError(
                    "exists; add --overwrite or choose another --out", path=out / name
                )

    from napari_deepmtj.weights.store import load_model

    loaded = load_model(model)
    if phantom is None:
        result = _evaluated(clips or [], loaded, roi, device)
    else:
        from napari_deepmtj.phantom import write_cohort

        with tempfile.TemporaryDirectory(prefix="napari-deepmtj-") as folder:
            job = write_cohort(phantom, videos, seed, Path(folder), n_frames=frames)
            run_job(job, "rendering")
            result = _evaluated([Path(folder)], loaded, roi, device)
    settings: dict[str, object] = {"roi": roi}
    if phantom is not None:
        made = {"subjects": phantom, "videos": videos, "frames": frames, "seed": seed}
        settings["phantom"] = made
    _print_table(result)
    _save(result, settings, out)
    print_line(f"every frame: {out / CSV_NAME}; in sum: {out / JSON_NAME}")


def _evaluated(clips: Sequence[Path], model: Model, roi: str, device: str) -> Evaluation:
    """Run the job with a bar of frames and one of clips."""
    from napari_deepmtj.evaluation.runner import CaseDone, find_cases
    from napari_deepmtj.evaluation.runner import evaluate as run
    from napari_deepmtj.inference.device import resolve_device

    def clip_done(event: CaseDone) -> Progress:
        return Progress(event.done, event.total, "clip")

    cases = find_cases(clips)
    device = str(resolve_device(device))
    job = run(cases, model, roi=roi, device=device)
    result: Evaluation = run_job(job, "evaluating", clip_done)
    return result


def table_rows(result: Evaluation) -> list[tuple[str, str]]:
    """Return what is printed, as names and values."""
    s = result.summary
    clips = {"phantom": "made-up clips (phantom)", "real": "real clips"}
    rows = [
        ("data", clips.get(result.data, result.data)),
        ("model", f"{result.model['id']}, version {result.model['version']}"),
        ("subjects, clips, frames", f"{s.subjects}, {s.clips}, {s.frames}"),
        ("mean error", f"{_number(s.mean)} {s.unit}{_between(s.mean_interval)}"),
        ("SD, pooled", f"{_number(s.sd)} {s.unit}"),
        ("median", f"{_number(s.median)} {s.unit}"),
        ("RMS", f"{_number(s.rms)} {s.unit}, {_number(s.rms_percent)} % of the diagonal"),
        ("bias x, y", f"{_number(s.bias_x)}, {_number(s.bias_y)} {s.unit}"),
    ]
    rows += [
        (
            f"within {radius:g} mm",
            f"{_number(share, 1)} %" + (_between(s.valid_interval, 1) if radius == 5 else ""),
        )
        for radius, share in s.within.items()
    ]
    rows += [
        ("in view but missed", f"{s.missed} of {s.visible} frames"),
        ("not in view but invented", f"{s.invented} of {s.hidden} frames"),
        ("time", f"{result.ms_per_frame:.1f} ms a frame"),
    ]
    return rows


def _number(value: float, digits: int = 2) -> str:
    return "-" if value != value else f"{value:.{digits}f}"


def _between(interval: Interval, digits: int = 2) -> str:
    """Return the interval in words, nothing where there are too few subjects for one."""
    if interval.low != interval.low:
        return ""
    return f" ({interval.low:.{digits}f} to {interval.high:.{digits}f}, 95 % over subjects)"


def _print_table(result: Evaluation) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False)
    for row in table_rows(result):
        table.add_row(*row)
    Console(file=sys.stdout, highlight=False, markup=False).print(table)


def _save(result: Evaluation, settings: dict[str, object], out: Path) -> None:
    from napari_deepmtj.io.atomic import atomic_write

    text = result.errors.to_csv(index=False, lineterminator="\n", float_format="%.10g")
    atomic_write(out / CSV_NAME, text.encode())
    data = result.to_json() | {"settings": settings}
    atomic_write(out / JSON_NAME, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())

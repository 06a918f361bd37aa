"""`napari-deepmtj evaluate`: how far methods' positions lie from labels.

What is measured is `evaluation`, how it reads and is saved `report.evaluation`; here it is asked
for and printed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_deepmtj.cli._console import print_line, print_notice, print_table
from napari_deepmtj.cli._jobs import run_job
from napari_deepmtj.cli._options import AnnotatorOption, SubjectPatternOption, SubjectsOption
from napari_deepmtj.cli.phantom import Styles
from napari_deepmtj.cli.track import BackendOption
from napari_deepmtj.core.jobs import Progress
from napari_deepmtj.inference.backends.base import BackendName

if TYPE_CHECKING:
    from napari_deepmtj.evaluation.cases import Case
    from napari_deepmtj.evaluation.comparison import Comparison
    from napari_deepmtj.evaluation.methods import Method, Network


class TrackerName(StrEnum):
    """Classical trackers of `tracking.flow`."""

    LUCAS_KANADE = "lucas-kanade"
    BLOCK_MATCHING = "block-matching"


class Published(StrEnum):
    """Published collections that can be evaluated on, once a person has them."""

    DEEPMTJ_2021 = "deepmtj-2021"


def evaluate(
    clips: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER_OR_CLIP]...", help="Clips with .mtj-labels.csv beside."),
    ] = None,
    data: Annotated[
        Published | None,
        typer.Option(help="What the one folder given is: P21's test set, unpacked."),
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
    styles: Annotated[
        Styles,
        typer.Option(help="Their set of scanners; no default model learns from test's."),
    ] = Styles.TRAINING,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="ID|FILE", help="See `napari-deepmtj models`; repeat to compare."),
    ] = None,
    tracker: Annotated[
        list[TrackerName] | None,
        typer.Option(help="Also a classical tracker, started from the first label; repeatable."),
    ] = None,
    subjects: SubjectsOption = None,
    subject_pattern: SubjectPatternOption = None,
    annotator: AnnotatorOption = None,
    roi: Annotated[
        str, typer.Option(metavar="ROI", help="auto, full, preset:NAME, or X,Y,WIDTH,HEIGHT in px.")
    ] = "auto",
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="auto, cuda, cuda:N, mps or cpu.")
    ] = "auto",
    backend: BackendOption = BackendName.AUTO,
    labelled_only: Annotated[
        bool, typer.Option("--labelled-only", help="Models look at the labelled frames only.")
    ] = False,
    worst: Annotated[
        int, typer.Option(min=0, help="Worst frames of each model shown in the report.")
    ] = 12,
    out: Annotated[Path, typer.Option(help="Folder for report.html and the CSV files.")] = Path(
        "evaluation"
    ),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier evaluation there.")
    ] = False,
) -> None:
    """Track labelled clips, print how far methods are from the labels, and write a report.

    A clip's subject is the name of its folder unless --subjects or --subject-pattern says
    otherwise; intervals are drawn over subjects.
    """
    if bool(clips) == (phantom is not None):
        raise typer.BadParameter("give either labelled clips (or folders of them) or --phantom N")
    if data is not None and len(clips or []) != 1:
        raise typer.BadParameter("--data needs the folder of the unpacked collection, and no other")
    if (data or phantom) and any((subjects, subject_pattern, annotator)):
        raise typer.BadParameter("--subjects, --subject-pattern and --annotator are of own clips")
    from napari_deepmtj.evaluation.cases import find_cases
    from napari_deepmtj.labels.subjects import subject_rule
    from napari_deepmtj.report.evaluation_files import require_new

    if not overwrite:
        require_new(out, "add --overwrite or choose another --out")
    methods = _methods(model or ["compact"], tracker or [], device, backend.value)
    settings: dict[str, Any] = {"roi": roi, "labelled_only": labelled_only}
    if data is not None:
        from napari_deepmtj.evaluation.published import deepmtj_2021

        cases, notices = deepmtj_2021((clips or [])[0])
        for notice in notices:
            print_notice(notice)
        settings["published"] = data.value
        _report(cases, methods, settings, worst, out)
        return
    if phantom is None:
        rule = subject_rule(subjects, subject_pattern)
        said = {
            "subjects": subjects and subjects.name,
            "subject_pattern": subject_pattern,
            "annotator": annotator,
        }
        settings |= {key: value for key, value in said.items() if value}
        _report(find_cases(clips or [], rule, annotator=annotator), methods, settings, worst, out)
        return
    from napari_deepmtj.phantom import write_cohort

    settings["phantom"] = {
        "subjects": phantom,
        "videos": videos,
        "frames": frames,
        "seed": seed,
        "styles": styles.value,
    }
    with tempfile.TemporaryDirectory(prefix="napari-deepmtj-") as folder:
        job = write_cohort(
            phantom, videos, seed, Path(folder), n_frames=frames, styles=styles.value
        )
        run_job(job, "rendering")
        _report(find_cases([folder]), methods, settings, worst, out)


def _methods(
    models: Sequence[str], trackers: Sequence[TrackerName], device: str, backend: str
) -> list[Method]:
    """Return the methods asked for, each once; models that share an id are told by their hash."""
    from napari_deepmtj.evaluation.methods import Network, Tracker
    from napari_deepmtj.inference.device import resolve_device
    from napari_deepmtj.weights.store import load_model

    resolve_device(device)  # an error before anything is drawn
    loaded = {each.card.sha256: each for each in map(load_model, models)}
    ids = [each.card.id for each in loaded.values()]
    methods: list[Method] = [
        Network(
            each,
            device,
            label=f"{name} ({sha256[:8]})" if ids.count(name) > 1 else "",
            backend=backend,
        )
        for name, (sha256, each) in zip(ids, loaded.items(), strict=True)
    ]
    if trackers:
        from napari_deepmtj.tracking.flow import BlockMatching, LucasKanade

        known = {
            TrackerName.LUCAS_KANADE: LucasKanade,
            TrackerName.BLOCK_MATCHING: BlockMatching,
        }
        methods += [Tracker(name.value, known[name]()) for name in dict.fromkeys(trackers)]
    return methods


def _report(
    cases: Sequence[Case],
    methods: Sequence[Method],
    settings: dict[str, Any],
    worst: int,
    out: Path,
) -> None:
    """Evaluate, print, and write everything; the clips must still be there."""
    from napari_deepmtj.evaluation.gallery import gallery
    from napari_deepmtj.evaluation.methods import Network
    from napari_deepmtj.evaluation.runner import CaseDone
    from napari_deepmtj.evaluation.runner import evaluate as run
    from napari_deepmtj.report.evaluation import save_report
    from napari_deepmtj.report.evaluation_files import save_tables

    def case_done(event: CaseDone) -> Progress:
        return Progress(event.done, event.total, "clip")

    job = run(cases, methods, roi=settings["roi"], labelled_only=settings["labelled_only"])
    comparison: Comparison = run_job(job, "evaluating", case_done)
    _print_tables(comparison)
    written = save_tables(comparison, settings, out)
    networks: list[Network] = [method for method in methods if isinstance(method, Network)]
    pictures = run_job(gallery(comparison, cases, networks, worst), "worst frames")
    names, notices = save_report(comparison, pictures, settings, out)
    for notice in notices:
        print_notice(notice)
    print_line(f"{', '.join([*names, *written])}: {out}")


def _print_tables(comparison: Comparison) -> None:
    from napari_deepmtj.report.evaluation_tables import (
        DATA_WORDS,
        overview,
        paired_table,
        remarks,
    )

    s = comparison.evaluations[0].summary
    said = (
        f"{DATA_WORDS[comparison.data]}: {s.subjects} subjects, {s.clips} clips, {s.frames} frames"
    )
    print_line(said)
    for table in (overview(comparison), paired_table(comparison)):
        if table is not None:
            print_table(table.header, table.rows)
    for remark in remarks(comparison):
        print_notice(remark)

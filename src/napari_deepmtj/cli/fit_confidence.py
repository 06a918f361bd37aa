"""`napari-deepmtj fit-confidence`: a model's doubt, fitted on a laboratory's own labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_deepmtj.cli._options import AnnotatorOption, SubjectPatternOption, SubjectsOption


def fit_confidence(
    labels: Annotated[
        list[Path], typer.Argument(help="Labels: folders, label files, or clips with one.")
    ],
    model: Annotated[str, typer.Option(help="Whose weights to keep: an id, or a file.")],
    offset: Annotated[
        bool,
        typer.Option(
            "--offset",
            help="Fit how far from the model's point these labels lie along the tendon, too.",
        ),
    ] = False,
    model_id: Annotated[
        str | None, typer.Option("--id", help="Id of the new model; default ID-lab.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model of that id.")
    ] = False,
    subjects: SubjectsOption = None,
    subject_pattern: SubjectPatternOption = None,
    annotator: AnnotatorOption = None,
    roi: Annotated[str, typer.Option(help="As `track` takes it.")] = "auto",
) -> None:
    """Fit confidence and uncertainty of a model on labels that it has not seen.

    The weights stay; the new model, ID-lab, differs in its card only and is there to be chosen at
    once. Label some frames of many clips: 40 labels of two clips at least, more of more subjects
    for a narrow interval of the coverage. The label offset is fitted from 20 labels on, in clips
    whose scale and distal side are known.
    """
    from napari_deepmtj.cli._console import print_line
    from napari_deepmtj.cli._jobs import run_job
    from napari_deepmtj.labels.labelled import find_labelled
    from napari_deepmtj.labels.subjects import subject_rule
    from napari_deepmtj.training.fit_confidence import fit_confidence as fit

    rule = subject_rule(subjects, subject_pattern)
    clips = find_labelled(labels, rule, roi=roi, annotator=annotator)
    job = fit(clips, model, offset=offset, model_id=model_id, overwrite=overwrite)
    fitted = run_job(job, "looking at")
    for line in told(fitted.card.figures["laboratory"]):
        print_line(line)
    print_line(f"installed as {fitted.card.id}: {fitted.path}")


def told(figures: dict[str, Any]) -> list[str]:
    """Return what was fitted, in sentences."""
    lines = []
    if (moved := figures.get("offset")) is not None:
        low, high = moved["distal_interval_mm"]
        lines.append(
            f"label offset: {moved['distal_mm']:+.2f} mm distally (95 % interval {low:+.2f} to "
            f"{high:+.2f}), {moved['deep_mm']:+.2f} mm deeper; median of {moved['labels']} labels "
            f"of {moved['clips']} clips"
        )
    if "coverage_interval" not in figures:
        return lines
    low, high = figures["coverage_interval"]
    before, crossed = figures["coverage_before"], figures["coverage_crossed"]
    lines += [
        f"labels: {figures['labels']} in view, {figures['labels_not_in_view']} not, of "
        f"{figures['clips']} clips and {figures['subjects']} subjects; halves that share no "
        f"{figures['halves_share_no']}",
        f"90 % region: held {before:.1%} of these labels before; each half, with what the other "
        f"says, {crossed:.1%}",
        f"  its coverage from now on: 95 % interval {low:.1%} to {high:.1%}, for clips like "
        "these and if labels were independent; those of one clip are not quite",
        f"confidence: off by {figures['confidence_error_before']:.3f} in the mean before, "
        f"{figures['confidence_error_crossed']:.3f} on halves that took no part; "
        f"{figures['right']:.1%} of labels within tolerance",
        f"in view but missed: {figures['missed']:.1%}"
        + (
            ""
            if figures["invented"] is None
            else f"; not in view but found: {figures['invented']:.1%}"
        ),
    ]
    return lines

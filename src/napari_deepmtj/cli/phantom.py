"""`napari-deepmtj phantom`: write made-up clips with their truth."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class CohortPart(StrEnum):
    """The splits of the phantom cohort, `phantom.study.Part`, without loading torch."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Styles(StrEnum):
    """The sets of made-up scanners, `phantom.devices.StyleSet`, without loading torch."""

    TRAINING = "training"
    CALIBRATION = "calibration"
    TEST = "test"


def phantom(
    out: Annotated[Path, typer.Option(help="Folder for the clips.")],
    subjects: Annotated[int, typer.Option(min=1, help="How many subjects.")] = 5,
    videos: Annotated[int, typer.Option(min=1, help="Clips of each subject.")] = 2,
    frames: Annotated[
        int | None,
        typer.Option(min=2, help="Frames of each clip, at 25 Hz.", show_default="60"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Another seed, other subjects.", show_default="0"),
    ] = None,
    styles: Annotated[
        Styles,
        typer.Option(help="The set of made-up scanners; no default model learns from test's."),
    ] = Styles.TRAINING,
    cohort: Annotated[
        CohortPart | None,
        typer.Option(
            help="Whole clips (375 frames) of this split of the phantom cohort of "
            "docs/explanation/paper.md, with labels of its annotated frames only; subjects of both "
            "groups, as far as they go."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that holds something already.")
    ] = False,
) -> None:
    """Write made-up ultrasound clips whose MTJ is known exactly.

    Each clip lies in its subject's folder, with its scale (.mtj-clip.json) and its truth
    (.mtj-labels.csv) beside it.
    """
    from napari_deepmtj.cli._console import print_line
    from napari_deepmtj.cli._jobs import run_job
    from napari_deepmtj.errors import ResultError
    from napari_deepmtj.phantom import write_cohort

    if not overwrite and out.is_dir() and any(out.iterdir()):
        raise ResultError(
            "is not empty, and clips in it may be replaced; add --overwrite or choose another "
            "--out",
            path=out.absolute(),
        )
    if cohort is None:
        number = 0 if seed is None else seed
        job = write_cohort(
            subjects, videos, number, out, n_frames=frames or 60, styles=styles.value
        )
    else:
        from napari_deepmtj.phantom.study import study, write_study

        if frames is not None or seed is not None or styles is not Styles.TRAINING:
            raise typer.BadParameter(
                "the cohort has its own length, seed and scanners; leave --frames, --seed and "
                "--styles out"
            )
        job = write_study(study().some(cohort.value, subjects, videos), out)
    clips = run_job(job, "rendering")
    print_line(f"{len(clips)} clips with their truth in {out}")

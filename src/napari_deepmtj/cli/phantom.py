"""`napari-deepmtj phantom`: write made-up clips with their truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def phantom(
    out: Annotated[Path, typer.Option(help="Folder for the clips.")],
    subjects: Annotated[int, typer.Option(min=1, help="How many subjects.")] = 5,
    videos: Annotated[int, typer.Option(min=1, help="Clips of each subject.")] = 2,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each clip, at 25 Hz.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other subjects.")] = 0,
) -> None:
    """Write made-up ultrasound clips whose MTJ is known exactly.

    Each clip lies in its subject's folder, with its scale (.mtj-clip.json) and its truth
    (.mtj-labels.csv) beside it.
    """
    from napari_deepmtj.cli._console import print_line
    from napari_deepmtj.cli._jobs import run_job
    from napari_deepmtj.phantom import write_cohort

    clips = run_job(write_cohort(subjects, videos, seed, out, n_frames=frames), "rendering")
    print_line(f"{len(clips)} clips with their truth in {out}")

"""`napari-deepmtj composites`: junctions with their truth out of real muscle bellies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def composites(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Pictures of muscle bellies, each with NAME_aponeuroses.png beside it, a mask of "
            "both aponeuroses; scales.csv (file, mm_per_px) gives scales."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the composites.")],
    stills: Annotated[int, typer.Option(min=0, help="How many pictures.")] = 100,
    clips: Annotated[int, typer.Option(min=0, help="How many clips.")] = 0,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each clip, at 25 Hz.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other wedges.")] = 0,
) -> None:
    """Turn pictures of muscle bellies into muscle-tendon junctions whose place is known.

    The deep aponeurosis is lifted onto the superficial one along a drawn wedge. Each picture and
    clip has its scale (.mtj-clip.json) and its truth (.mtj-labels.csv) beside it, as `train` and
    `evaluate` read them.
    """
    from napari_deepmtj.cli._console import print_line
    from napari_deepmtj.cli._jobs import run_job
    from napari_deepmtj.phantom.composite_clips import write_composites

    job = write_composites(folder, out, stills=stills, clips=clips, seed=seed, n_frames=frames)
    written = run_job(job, "drawing")
    print_line(f"{len(written)} composites with their truth in {out}")

"""`napari-deepmtj train`: carry out a recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from napari_deepmtj.core.jobs import Progress


def train(
    recipe: Annotated[str, typer.Option(help="Name of a recipe, or a TOML file.")] = "compact",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for scenes, checkpoints and the result; default runs/RECIPE."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto",
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that render, threads that learn.")
    ] = os.cpu_count() or 1,
) -> None:
    """Train a model by a recipe; an interrupted run in the same folder is resumed.

    The result is OUT/RECIPE.safetensors, which --model takes.
    """
    from napari_deepmtj.cli._console import print_line
    from napari_deepmtj.cli._jobs import run_job
    from napari_deepmtj.core.jobs import Progress
    from napari_deepmtj.inference.device import resolve_device
    from napari_deepmtj.training.loop import Learned
    from napari_deepmtj.training.loop import train as carry_out
    from napari_deepmtj.training.recipes import load_recipe

    chosen = load_recipe(recipe)
    folder = out or Path("runs") / chosen.id

    def learned(event: object) -> Progress | None:
        if not isinstance(event, Learned):
            return None
        if event.step % 100 == 0:
            print_line(
                f"step {event.step} of {event.steps}: loss {event.loss:.3f}, "
                f"{event.pictures_per_s:.0f} pictures/s"
            )
        return Progress(event.step, event.steps, "step")

    job = carry_out(chosen, folder, device=resolve_device(device), workers=workers)
    result = run_job(job, "training", learned)
    print_line(f"{result.path}")
    for name, value in result.card.figures.items():
        print_line(f"  {name}: {value}")

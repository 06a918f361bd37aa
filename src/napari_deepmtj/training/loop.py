"""Training as one job, whatever from: `train` carries out a plan or a recipe, and is resumable.

Learning from rendered scenes is `scenes.py`, from labelled frames `epochs.py`.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import torch

from napari_deepmtj.core.jobs import Failed
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.training.epochs import train_frames
from napari_deepmtj.training.events import TrainingEvent
from napari_deepmtj.training.plan import Plan
from napari_deepmtj.training.recipes import SceneRecipe
from napari_deepmtj.training.scenes import train_scenes


def train(
    what: Plan | SceneRecipe,
    folder: Path,
    *,
    device: torch.device | str,
    workers: int,
    real: Path | None = None,
) -> Generator[TrainingEvent]:
    """Train a model.

    Parameters
    ----------
    what : Plan or SceneRecipe
        Labelled frames and how to learn from them, or a recipe that draws its own scenes.
    folder : Path
        Where pictures, checkpoints and the result go; an earlier, unfinished run in it is resumed.
    device : torch.device or str
        Where to learn.
    workers : int
        Processes that render, and threads that learn on a CPU.
    real : Path, optional
        Folder of real pictures, for recipes that say what to make of it.

    Yields
    ------
    Progress, Notice, Learned, Validated
        As it goes.
    Done of Trained, or Failed
        Last.
    """
    where = torch.device(device)
    try:
        if isinstance(what, Plan):
            yield from train_frames(what, folder, device=where, workers=workers)
        else:
            yield from train_scenes(what, folder, device=where, workers=workers, real=real)
    except DeepMTJError as error:
        yield Failed(error)
    except OSError as error:  # pictures take gigabytes, disks fill up
        said = error.strerror or error
        yield Failed(
            DeepMTJError(
                f"cannot be written to ({said}); choose a writable folder with space", path=folder
            )
        )

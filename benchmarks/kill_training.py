"""Kill a training run with SIGKILL again and again; it must end to the bit like one left alone.

python benchmarks/kill_training.py --kills 20
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Failed, Notice
from napari_deepmtj.core.labels import Label
from napari_deepmtj.labels.labelled import find_labelled
from napari_deepmtj.labels.table import labels_path, write_labels
from napari_deepmtj.training import epochs
from napari_deepmtj.training.loop import train
from napari_deepmtj.training.plan import plan
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar
from napari_deepmtj.weights.store import load_model

#: A narrow VGG-Attention-2 by P20's optimiser; 12 epochs of 6 steps.
RECIPE = """
id = "killed"
epochs = 12
batch = 4
seed = 1
[network]
name = "vgg-attention"
height = 32
width = 64
arguments = { levels = 2, height = 32, width = 64, channels = 0.06 }
initial = "keras"
[loss]
kind = "coordinates"
[optimiser]
kind = "sgd"
learning_rate = 0.01
momentum = 0.9
l2 = 5e-4
[schedule]
kind = "steps"
factor = 0.5
every = 3
[augmentation]
kind = "affine"
rotation_deg = 20.0
shear_deg = 0.2
zoom = 0.3
shift = 0.1
flips = true
[split]
by = "subject"
"""


@dataclass(frozen=True)
class Killed:
    """What came of a run that was killed."""

    kills: int
    resumed: bool
    same: bool


def write_data(folder: Path) -> None:
    """Write five subjects' clips of six frames with one spot each, labelled."""
    for number in range(5):
        rng = np.random.default_rng(number)
        xy = rng.uniform([10, 8], [110, 52], (6, 2))
        y, x = np.mgrid[:60, :120]
        far = (x - xy[:, 0, None, None]) ** 2 + (y - xy[:, 1, None, None]) ** 2
        clip = folder / f"s{number}" / "a.npy"
        clip.parent.mkdir(parents=True, exist_ok=True)
        np.save(clip, (20 + 235 * np.exp(-far / 18)).round().astype(np.uint8))
        scale = Scale.isotropic(0.5, "given by hand")
        write_sidecar(clip, ClipInfo(scale, Roi(0, 0, 120, 60)))
        with open_video(clip) as source:
            sha256 = source.sha256
        write_labels(
            labels_path(clip),
            [
                Label(
                    clip=clip.name, clip_sha256=sha256, frame=k, x_px=px, y_px=py, annotator="spot"
                )
                for k, (px, py) in enumerate(xy)
            ],
        )


def run(folder: Path, *, tell: bool = False) -> bool:
    """Carry the run on here, a checkpoint after every step; return whether one was there."""
    epochs.CHECKPOINT_SECONDS = 0.0
    recipe = folder / "killed.toml"
    what = plan(str(recipe), find_labelled([folder / "data"]))
    resumed = False
    for event in train(what, folder / "run", device=torch.device("cpu"), workers=1):
        if tell:
            print(event, flush=True)
        if isinstance(event, Failed):
            raise event.error
        resumed |= isinstance(event, Notice) and event.message.startswith("resumed")
    return resumed


def result(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights that a finished run left."""
    weights: dict[str, torch.Tensor] = load_model(
        folder / "run" / "killed.safetensors"
    ).network.state_dict()
    return weights


def prepare(folder: Path) -> None:
    """Write data and recipe of a run."""
    write_data(folder / "data")
    (folder / "killed.toml").write_text(RECIPE, encoding="utf-8")


def kill_and_resume(kills: int, seed: int, folder: Path, delay: tuple[float, float]) -> Killed:
    """Kill a run `kills` times at random moments, let it finish, and compare.

    Parameters
    ----------
    kills : int
        How often, at most: a run that ends before is not killed any more.
    seed : int
        Of the moments.
    folder : Path
        An empty one.
    delay : (float, float)
        Shortest and longest time in seconds from the first sign of life of a run to its end.
    """
    whole, broken = folder / "whole", folder / "broken"
    for place in (whole, broken):
        prepare(place)
    run(whole)
    rng = random.Random(seed)
    done = 0
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, __file__, "--run", str(broken)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        time.sleep(rng.uniform(*delay))
        process.send_signal(signal.SIGKILL)
        process.stdout.close()
        if process.wait() == 0:
            break
        done += 1
    resumed = run(broken)
    one, other = result(whole), result(broken)
    return Killed(done, resumed, all(torch.equal(one[name], other[name]) for name in one))


def main() -> None:
    """Kill, resume, compare, say."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=2.0, help="seconds before a kill")
    parser.add_argument("--run", type=Path, help="carry the run of this folder on, and no more")
    options = parser.parse_args()
    if options.run:
        run(options.run, tell=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        killed = kill_and_resume(options.kills, options.seed, Path(folder), (0.0, options.longest))
    print(
        f"{killed.kills} kills; resumed in the end: {'yes' if killed.resumed else 'no'}; the same "
        f"weights to the bit: {'yes' if killed.same else 'NO'}"
    )
    sys.exit(not killed.same)


if __name__ == "__main__":
    main()

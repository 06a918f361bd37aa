"""Let each network learn 8 phantom frames by heart, to half a pixel of an input 128 px wide.

Nothing about accuracy follows from it: it shows that network, loss, labels, optimiser and decoding
speak of the same pixel. With `--width 1` the networks are the published ones, by their recipes'
own optimisers; narrower ones learn by Adam, and `--shrink 2` gives them inputs half as wide and
high as the recipe's.

In the frames the MTJ lies well inside the picture: where it does not, the coordinates that P20's
networks regress are near 0 or 1, and a sigmoid that the first steps have driven beyond them hardly
learns any more, since the gradient of a squared error through it vanishes there.

    python benchmarks/overfit.py --width 1 paper-vgg16 paper-resnet50
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from napari_deepmtj.core.jobs import Done
from napari_deepmtj.core.labels import Label
from napari_deepmtj.labels.labelled import LabelledClip
from napari_deepmtj.networks.build import build
from napari_deepmtj.phantom.anatomy import mtj_mm, sample_scenes
from napari_deepmtj.phantom.materials import sample_materials
from napari_deepmtj.phantom.speckle import render
from napari_deepmtj.training.batches import FrameSet
from napari_deepmtj.training.frames import FrameStore, cut
from napari_deepmtj.training.optimise import make_optimiser, start_as_keras
from napari_deepmtj.training.recipes import FrameRecipe, available, load_recipe
from napari_deepmtj.training.settings import Coordinates, Cosine, Heatmap, Loss, Network, Optimiser
from napari_deepmtj.training.stepping import Stepper
from napari_deepmtj.training.validation import validate
from napari_deepmtj.video.stacks.stack import ArraySource

#: Frames to learn by heart, the seed they are drawn by, and their size in px.
FRAMES, SEED, SIZE = 8, 77, (128, 256)
#: How far from the borders the MTJ lies in them at least, as a share of width or height.
INSIDE = 0.2
#: Largest mean error, in px of an input 128 px wide.
ENOUGH_PX = 0.5
#: How narrow networks learn.
NARROW = Optimiser("adam", 4e-3)


@dataclass(frozen=True)
class Outcome:
    """How far a network came."""

    name: str
    parameters: int
    steps: int
    error_px: float
    seconds: float


def frames(folder: Path) -> FrameStore:
    """Draw the frames and cut them as any labelled clip's."""
    rng = torch.Generator().manual_seed(SEED)
    drawn, places = [], []
    while len(drawn) < FRAMES:
        scene = sample_scenes(1, rng, aspect=SIZE[0] / SIZE[1])
        materials = sample_materials(1, *SIZE, rng)
        (at,) = (mtj_mm(scene) / (scene.width_mm / SIZE[1])[:, None] - 0.5).double().numpy()
        share = at / SIZE[::-1]
        if share.min() < INSIDE or share.max() > 1 - INSIDE:
            continue
        with torch.inference_mode():
            drawn.append(render(scene, materials, *SIZE).numpy()[0])
        places.append(at)
    pictures = np.stack(drawn)
    source = ArraySource(pictures, "eight")
    labels = tuple(
        Label(clip="eight", clip_sha256=source.sha256, frame=k, x_px=x, y_px=y, annotator="phantom")
        for k, (x, y) in enumerate(places)
    )
    clip = LabelledClip(
        "eight", source.sha256, "nobody", labels, partial(ArraySource, pictures, "eight"), "full"
    )
    *_, last = cut([clip], folder, size=SIZE)
    assert isinstance(last, Done), last
    return last.result


def task(name: str, width: float, shrink: int = 1) -> tuple[Network, Loss, Optimiser]:
    """Return network, loss and optimiser of a recipe, the network `width` times as wide.

    Its input is the recipe's over `shrink`, and so is what the loss counts in pixels of it.
    """
    recipe = load_recipe(name)
    if not isinstance(recipe, FrameRecipe):
        channels = [max(4, round(width * c)) for c in recipe.network_arguments["channels"]]
        arguments = recipe.network_arguments | {"channels": channels}
        network = Network(
            recipe.network, recipe.input_height, recipe.input_width, arguments=arguments
        )
        loss: Loss = Heatmap(recipe.target_sigma_px)
        own = Optimiser("adamw", recipe.learning_rate, decay=recipe.weight_decay)
    else:
        assert recipe.network is not None
        assert recipe.loss is not None
        arguments = {**recipe.network.arguments, "channels": width}
        network = replace(recipe.network, arguments=arguments)
        loss, own = recipe.loss, recipe.optimiser
    if shrink > 1:
        size = {"height": network.height // shrink, "width": network.width // shrink}
        if isinstance(loss, Coordinates):  # its networks are built for a size
            network = replace(network, arguments={**network.arguments, **size}, **size)
        else:
            network = replace(network, **size)
            loss = replace(loss, sigma_px=loss.sigma_px / shrink)
    return network, loss, own if width == 1 else NARROW


def overfit(
    name: str, width: float, store: FrameStore, steps: int, shrink: int = 1, seed: int = SEED
) -> Iterator[Outcome]:
    """Learn the frames by heart from weights drawn by a seed; yields how far it came, ten times.

    The rate falls as a cosine, and batch norm remembers as torch's does, so that its means
    settle in so short a run.
    """
    network, loss, optimiser = task(name, width, shrink)
    torch.manual_seed(seed)
    module = build(network.name, **network.arguments)
    if network.initial == "keras":
        start_as_keras(module)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = 0.1
    data = FrameSet(store, np.arange(len(store)), network)
    everything = data.plain(np.arange(len(store)))
    stepper = Stepper(module, make_optimiser(module, optimiser), loss, len(store))
    schedule, cpu = Cosine(0.05), torch.device("cpu")
    began = time.perf_counter()
    for step in range(1, steps + 1):
        module.train()
        rate = optimiser.learning_rate * schedule.share(step, steps + 1)
        for _ in stepper(everything, rate):
            pass
        if step % max(1, steps // 10) == 0:
            error = validate(module, data, loss, len(store), cpu).error_px
            yield Outcome(
                name,
                sum(p.numel() for p in module.parameters()),
                step,
                error * 128 / network.width,
                time.perf_counter() - began,
            )


def main() -> None:
    """Learn, and say how far it came."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    names = [name for name in available() if name != "finetune"]
    parser.add_argument("recipes", nargs="*", default=names)
    parser.add_argument("--width", type=float, default=0.1)
    parser.add_argument("--shrink", type=int, default=1)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=SEED, help="of the first weights")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        store = frames(Path(folder))
        for name in options.recipes:
            for done in overfit(
                name, options.width, store, options.steps, options.shrink, options.seed
            ):
                said = f"{done.error_px:.3f} px after {done.steps} steps, {done.seconds:.1f} s"
                print(f"{name:24} {done.parameters / 1e6:7.3f} M  {said}", flush=True)
                if done.error_px < ENOUGH_PX:
                    break
            failed |= done.error_px >= ENOUGH_PX
    sys.exit(failed)


if __name__ == "__main__":
    main()

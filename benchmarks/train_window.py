"""Label 20 frames, fine-tune, and track with the new model, in one real window.

Run it where there is a screen, or under `xvfb-run -a -s "-screen 0 1920x1200x24"`:

    python benchmarks/train_window.py [--epochs 12] [--picture docs/images/training.png]

Clips of two made-up subjects are opened, and ten frames of each labelled by mouse clicks, a few
pixels beside the truth as a hand would; the Train MTJ model widget fine-tunes `compact` on one
subject, tried on the other; the clip of the demonstration, of a third subject, is tracked with the
model that comes out. Printed are what the plan said, the longest time that the window did not
answer while it trained, and the mean error on the third clip before and after. Twenty frames are
too few for a better model: this shows the way, `finetune_device.py` what it is good for. It ends
with 1 if the new model was not used.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from qtpy.QtWidgets import QApplication, QDockWidget

from annotate_latency import Window

SEED, FRAMES, PER_CLIP = 77, 40, 10
#: Pixels that the hand is off, standard deviation on each axis.
HAND = 3.0
SIZE = (1600, 1000)


def main() -> int:
    """Drive the window; 1 if the clip was not tracked with the new model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument(
        "--picture", type=Path, default=None, help="after training; FILE-tracked after tracking"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["NAPARI_DEEPMTJ_MODELS"] = str(folder / "models")
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        return drive(folder, arguments)


def drive(folder: Path, arguments: argparse.Namespace) -> int:
    """Label, train, track, compare."""
    from napari_deepmtj._napari.layers import convert
    from napari_deepmtj._napari.layers.convert import Kind
    from napari_deepmtj._napari.training.controller import training_controller_of
    from napari_deepmtj.phantom.cohort import demo_clip, subjects, write_clip

    phantoms = [subject.clip(0, n_frames=FRAMES) for subject in subjects(2, SEED)]
    phantoms.append(demo_clip(FRAMES))
    paths = [folder / f"S{i + 1}" / f"S{i + 1}_rom.avi" for i in range(len(phantoms))]
    for phantom, path in zip(phantoms, paths, strict=True):
        for _ in write_clip(phantom, path):
            pass
        path.with_name(f"{path.stem}.mtj-labels.csv").unlink()  # the truth is for the end
    truths = {p.name: phantom.truth for p, phantom in zip(paths, phantoms, strict=True)}

    labels = folder / "study.mtj-labels.csv"
    window = Window(paths[:2], labels, "Ann")
    window.viewer.window.resize(*SIZE)
    window.build(PER_CLIP)
    core, hand = window.annotation.core, np.random.default_rng(0)
    for _ in range(len(core.place.queue)):
        window.wait(0.1)
        item = core.item
        window.click(*(truths[item.clip][item.frame] + hand.normal(0, HAND, 2)))
    print(f"labelled {len(core.book.store.labels)} frames")

    _, train = window.viewer.window.add_plugin_dock_widget("napari-deepmtj", "Train MTJ model")
    training = training_controller_of(window.viewer)
    window.wait(0.5)
    train.epochs.setValue(arguments.epochs)
    train.look.click()
    window.wait(120, until=lambda: not training.running)
    print(train.summary.text(), training.message, sep="\n")
    train.run.click()
    longest = lived(window, lambda: not training.running)
    print(training.message)
    print(f"longest time without an answer while it trained: {longest:.2f} s")
    if arguments.picture is not None:
        arguments.picture.parent.mkdir(parents=True, exist_ok=True)
        for dock in window.viewer.window._qt_window.findChildren(QDockWidget):
            if "Annotate" in dock.windowTitle():
                dock.close()
        window.wait(1.0)
        window.viewer.screenshot(str(arguments.picture), canvas_only=False)

    window.viewer.open(str(paths[2]), plugin="napari-deepmtj")
    _, track = window.viewer.window.add_plugin_dock_widget("napari-deepmtj", "Track MTJ")
    session, used = window.annotation.session, []
    for model in ("compact", track.model.value):
        window.wait(1.0)
        track.model.value = model
        track.run.native.click()
        window.wait(120, until=lambda: not session.running)
        trajectory = convert.trajectory_of(session.find(session.active, Kind.TRAJECTORY))
        scale = trajectory.provenance.scale
        error = np.linalg.norm(scale.to_mm(trajectory.xy_px - truths[paths[2].name]), axis=1)
        ran = trajectory.provenance.operations[-1].arguments["model"]["id"]
        used.append(ran)
        print(f"{ran}: mean error {np.nanmean(error):.2f} mm, missed {np.isnan(error).sum()}")
        old = session.find(session.active, Kind.TRAJECTORY)
        if model == "compact":
            window.viewer.layers.remove(old)
    window.wait(1.0)
    if arguments.picture is not None:
        tracked = arguments.picture.with_stem(f"{arguments.picture.stem}-tracked")
        window.viewer.screenshot(str(tracked), canvas_only=False)
    window.viewer.close()
    return 0 if used == ["compact", training.model] else 1


def lived(window: Window, until: Callable[[], bool], limit: float = 900.0) -> float:
    """Let the window live until something is so; return the longest time it did not answer."""
    longest, before = 0.0, time.perf_counter()
    end = before + limit
    while not until() and before < end:
        QApplication.processEvents()
        time.sleep(0.005)
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
    return longest


if __name__ == "__main__":
    sys.exit(main())

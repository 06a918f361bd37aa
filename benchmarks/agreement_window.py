"""Drive the Compare annotators widget in a real window, on made-up labels of the moving phantom.

Two raters who do not exist label every fifth frame: the truth plus normal noise, and a bias that
only the second has. What the window says is compared with what was made, and the longest time is
taken that it did not answer. Run it where there is a screen, or under
`xvfb-run -a -s "-screen 0 1920x1200x24"`:

    python benchmarks/agreement_window.py [--png docs/images/agreement.png] [--seed 0]

It ends with 1 if a figure or a frame is not what it must be.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

WINDOW = (1600, 1000)
EVERY = 5
#: SD of each rater's noise in x and y, and the second rater's bias, in mm.
NOISE_MM = (1.2, 0.4)
BIAS_MM = (0.9, -0.2)


def make(folder: Path, seed: int) -> tuple[Path, np.ndarray]:
    """Write clip and labels; return the clip and all differences, second minus first, in mm."""
    from napari_deepmtj.labels.table import labels_path, read_labels, write_labels
    from napari_deepmtj.phantom import demo_clip
    from napari_deepmtj.phantom.cohort import write_clip

    path = folder / "phantom.avi"
    with demo_clip() as phantom:
        for _ in write_clip(phantom, path):
            pass
        step = np.array([phantom.scale.x_mm, phantom.scale.y_mm])
    true = labels_path(path)
    labels = [la for la in read_labels(true) if la.visible][::EVERY]
    true.unlink()
    rng = np.random.default_rng(seed)
    off = rng.normal(0, NOISE_MM, (2, len(labels), 2))
    off[1] += BIAS_MM
    for name, away in zip(("first rater", "second rater"), off / step, strict=True):
        made = [
            dataclasses.replace(la, x_px=la.x_px + dx, y_px=la.y_px + dy, annotator=name)
            for la, (dx, dy) in zip(labels, away.tolist(), strict=True)
        ]
        write_labels(folder / f"{name.replace(' ', '-')}.mtj-labels.csv", made)
    return path, off[1] - off[0]


def main() -> int:
    """Open, track, compare, look; 1 if a number is not what it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--png", type=Path, help="where the picture for the manual goes")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    import napari
    from qtpy.QtWidgets import QApplication

    from napari_deepmtj._napari.viewer.session import session_of

    gaps: list[float] = []

    def wait(until: Callable[[], bool] = lambda: False, limit: float = 300.0) -> None:
        end = time.monotonic() + limit
        while not until() and time.monotonic() < end:
            begun = time.monotonic()
            QApplication.processEvents()
            time.sleep(0.005)
            gaps.append(time.monotonic() - begun)

    with tempfile.TemporaryDirectory() as folder:
        clip, away = make(Path(folder), arguments.seed)
        viewer = napari.Viewer()
        viewer.window.resize(*WINDOW)
        viewer.open(str(clip), plugin="napari-deepmtj")
        session = session_of(viewer)
        dock, form = viewer.window.add_plugin_dock_widget("napari-deepmtj", "Compare annotators")
        dock.setMinimumWidth(480)
        comparison = form.comparison
        wait(lambda: not comparison.running)
        wait(limit=0.5)
        gaps.clear()
        form.compare.click()
        wait(lambda: not comparison.running)
        first = max(gaps)
        gaps.clear()
        form.compare.click()
        wait(lambda: not comparison.running)
        (pair,) = comparison.result.pairs
        form.worst.selectRow(0)
        form.worst.cellActivated.emit(0, 0)
        wait(limit=1.0)
        worst = int(pair.table["frame"][np.hypot(*away.T).argmax()])
        found = [
            *(pair.limits[axis].bias.value for axis in "xy"),
            *(pair.limits[axis].upper.value for axis in "xy"),
        ]
        mean, sd = away.mean(axis=0), away.std(axis=0, ddof=1)
        rows = [
            ("frames", len(pair.table), len(away)),
            ("bias and upper limits [mm]", found, [*mean, *(mean + 1.96 * sd)]),
            ("frame shown", session.frame(), worst),
        ]
        for name, got, wanted in rows:
            print(f"{name:>28}: {np.round(got, 4)} (should be {np.round(wanted, 4)})")
        print(f"{'longest without an answer':>28}: {first:.2f} s at first, {max(gaps):.2f} s later")
        if arguments.png is not None:
            arguments.png.parent.mkdir(parents=True, exist_ok=True)
            viewer.screenshot(str(arguments.png), canvas_only=False, flash=False)
        viewer.close()
    return 0 if all(np.allclose(got, wanted, atol=1e-6) for _, got, wanted in rows) else 1


if __name__ == "__main__":
    sys.exit(main())

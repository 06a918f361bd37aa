"""Track six opened layers from the Batch track widget, and queue 2,000 clips, in a real window.

Run it where there is a screen, or under `xvfb-run -a -s "-screen 0 1920x1200x24"`:

    python benchmarks/batch_window.py [--queue 2000] [--picture docs/images/batch.png] [--output F]

Six layers are opened, each with other frames of one made-up clip: our video, a TIFF read by this
plugin, and arrays of numpy, dask, zarr and colours. The widget takes them all and runs; each must
get Points, attention and a `.mtj.csv` whose positions are those of `track` on the same frames.

Then a folder of so many small clips (hard links to one of 3 frames, with a tiny untrained network)
is listed, run for a while with the table watched and sorted, paused, and cancelled. A timer of
10 ms beats on the main thread all the time: printed is the longest time between two beats, by the
wall clock, and the longest work that the main thread did itself, which others' use of the machine
does not lengthen. It ends with 1 if a layer lacks something, or a position differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import dask.array as da
import napari
import numpy as np
import tifffile
import zarr
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from batch_clips import MODEL, make_model
from napari_deepmtj._napari.batch.controller import batch_controller_of
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj.inference.backends.select import BACKEND_VARIABLE
from napari_deepmtj.results.trajectory_file import read_trajectory
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar
from napari_deepmtj.video.writer import VideoWriter

#: Frames of the made-up clip, and of each layer, which starts `STEP` after the one before.
FRAMES, PER_LAYER, STEP = 13, 8, 1
SIZE = (1600, 1000)
#: Give up when a run has not ended by then, in seconds.
LIMIT = 1800.0


class Beats:
    """Longest time that the window did not answer, in seconds: by the clock, and by own work."""

    def __init__(self) -> None:
        self._beats: list[tuple[float, float]] = []
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(10)

    def _beat(self) -> None:
        self._beats.append((time.perf_counter(), time.thread_time()))

    def take(self) -> dict[str, float]:
        """Return the longest gaps since the last time this was asked."""
        self._beat()
        gaps = [[b - a for a, b in zip(*pair, strict=True)] for pair in pairwise(self._beats)]
        self._beats = self._beats[-1:]
        wall, own = (max(column) for column in zip(*gaps, strict=True))
        return {"wall_s": round(wall, 3), "own_s": round(own, 3)}


def main() -> int:
    """Drive the window; 1 if a layer lacks a result or has another than `track` gives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--queue", type=int, default=2000, help="clips that are queued; 0 is none")
    parser.add_argument("--model", default="compact", help="for the layers")
    parser.add_argument("--picture", type=Path, default=None, help="PNG; PNG-queue of the queue")
    parser.add_argument("--output", type=Path, default=None, help="JSON of the figures")
    arguments = parser.parse_args()
    os.environ.setdefault(BACKEND_VARIABLE, "torch")  # what `track` is compared with computes alike
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        viewer = napari.Viewer()
        viewer.window.resize(*SIZE)
        _, widget = viewer.window.add_plugin_dock_widget("napari-deepmtj", "Batch track")
        beats = Beats()
        figures, right = drive_layers(viewer, widget, beats, folder, arguments)
        if arguments.queue:
            figures |= drive_queue(viewer, widget, beats, folder, arguments)
        viewer.close()
    for what, value in figures.items():
        print(f"{what}: {value}")
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if right else 1


def live(until: Callable[[], bool], limit: float = LIMIT) -> None:
    """Let the window live until something is so."""
    end = time.monotonic() + limit
    while not until() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.003)


def idle(seconds: float) -> None:
    """Let the window live for some time."""
    live(lambda: False, seconds)


def drive_layers(
    viewer: Any, widget: Any, beats: Beats, folder: Path, arguments: argparse.Namespace
) -> tuple[dict[str, Any], bool]:
    """Open six layers, run them, compare with `track`."""
    from napari_deepmtj.inference.predictor import track
    from napari_deepmtj.weights.store import load_model

    open_layers(viewer, folder)
    controller, session = batch_controller_of(viewer), session_of(viewer)
    widget.form.out.setText(str(folder / "results"))
    widget.form.model.setCurrentText(arguments.model)
    widget.form.device.setCurrentText("cpu")
    widget.form.attention.setCurrentText("combined")
    widget.form.out.editingFinished.emit()
    widget.add_layers.click()
    idle(0.5)
    beats.take()
    widget.run.click()
    live(lambda: not (controller.running or controller.showing))
    idle(0.5)
    figures: dict[str, Any] = {"six layers": beats.take()}
    print(controller.message)
    model, right = load_model(arguments.model), True
    for row, layer in zip(controller.rows, controller.layers, strict=True):
        *_, done = track(clips.source_of(layer), model, device="cpu")
        points, attention = (
            session.find(layer, kind) for kind in (Kind.TRAJECTORY, Kind.ATTENTION)
        )
        saved = read_trajectory(folder / "results" / row.name)
        if points is None or attention is None:
            right = False
            figures[layer.name] = "lacks points or attention"
            continue
        shown = convert.trajectory_of(points)
        off = [np.nanmax(abs(t.xy_px - done.result.xy_px)) for t in (saved, shown)]
        figures[layer.name] = f"{len(saved)} frames, at most {max(off):.1e} px from track"
        right = right and max(off) < 1e-6 and len(saved) == len(done.result)
    widget.table.selectRow(0)
    widget.open.click()
    live(lambda: not (controller.opening or controller.showing))
    idle(6.0)  # until napari has taken its messages away
    shoot(viewer, arguments.picture)
    return figures, right


def open_layers(viewer: Any, folder: Path) -> None:
    """Open a video, a TIFF, and arrays of numpy, dask, zarr and colours."""
    from napari_deepmtj.phantom.cohort import demo_clip

    clip = demo_clip(FRAMES)
    frames = np.stack(list(clip.frames()))
    parts = [frames[k * STEP : k * STEP + PER_LAYER] for k in range(6)]
    height, width = frames.shape[1:]
    with VideoWriter(folder / "video.avi", height, width, 25.0) as writer:
        for frame in parts[0]:
            writer.add(frame)
    tifffile.imwrite(folder / "stack.tif", parts[1], photometric="minisblack")
    for name in ("video.avi", "stack.tif"):
        write_sidecar(folder / name, ClipInfo(scale=clip.scale))
        viewer.open(str(folder / name), plugin="napari-deepmtj")
    scale = {"scale": (0.04, clip.scale.y_mm, clip.scale.x_mm), "units": ("s", "mm", "mm")}
    viewer.add_image(parts[2], name="numpy", **scale)
    viewer.add_image(da.from_array(parts[3], chunks=(4, height, width)), name="dask", **scale)
    stored = zarr.open(str(folder / "a.zarr"), mode="w", shape=parts[4].shape, dtype="uint8")
    stored[:] = parts[4]
    viewer.add_image(stored, name="zarr", **scale)
    viewer.add_image(np.repeat(parts[5][..., None], 3, axis=3), name="colour", rgb=True, **scale)


def drive_queue(
    viewer: Any, widget: Any, beats: Beats, folder: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    """List, watch, sort, pause and cancel a long queue."""
    os.environ["NAPARI_DEEPMTJ_MODELS"] = str(folder / "models")
    make_model(folder / "models")
    first = folder / "queue" / "S000" / "clip00000.avi"
    first.parent.mkdir(parents=True)
    with VideoWriter(first, 32, 64, 25.0) as writer:
        for level in (40, 90, 140):
            writer.add(np.full((32, 64), level, np.uint8))
    for number in range(1, arguments.queue):
        copy = folder / "queue" / f"S{number // 20:03}" / f"clip{number:05}.avi"
        copy.parent.mkdir(exist_ok=True)
        copy.hardlink_to(first)
    controller = batch_controller_of(viewer)
    controller.use((), [folder / "queue"])
    widget.form.out.setText(str(folder / "queued"))
    widget.form.model.addItem(MODEL)
    widget.form.model.setCurrentText(MODEL)
    widget.form.attention.setCurrentText("none")
    widget.form.out.editingFinished.emit()
    idle(1.0)
    figures: dict[str, Any] = {}

    def note(what: str) -> None:
        figures[f"{arguments.queue} clips: {what}"] = beats.take()

    beats.take()
    began = time.monotonic()
    widget.look.click()
    live(lambda: not controller.running)
    idle(0.3)
    note("listed")
    figures["seconds to list"] = round(time.monotonic() - began, 1)
    widget.run.click()
    live(lambda: sum(row.has_result for row in controller.rows) >= min(60, arguments.queue // 4))
    note("run")
    for line in range(0, widget.rows.rowCount(), max(1, widget.rows.rowCount() // 40)):
        widget.table.scrollTo(widget.rows.index(line, 0))
        idle(0.02)
    note("scrolled while it runs")
    for column in range(widget.rows.columnCount()):
        widget.table.horizontalHeader().setSortIndicator(column, Qt.SortOrder.DescendingOrder)
        idle(0.2)
    widget.shown.setCurrentIndex(1)
    idle(0.5)
    note("sorted and filtered while it runs")
    widget.hold.click()
    live(lambda: controller.paused)
    idle(1.0)
    done = sum(row.has_result for row in controller.rows)
    idle(1.0)
    held = sum(row.has_result for row in controller.rows)
    note("paused")
    figures["clips finished during a pause"] = held - done
    widget.shown.setCurrentIndex(0)
    widget.table.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
    widget.hold.click()
    idle(1.0)
    queue = arguments.picture
    shoot(viewer, None if queue is None else queue.with_stem(f"{queue.stem}-queue"))
    beats.take()
    widget.cancel.click()
    live(lambda: not controller.running)
    note("cancelled")
    return figures


def shoot(viewer: Any, path: Path | None) -> None:
    """Save the window as it is."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        viewer.screenshot(str(path), canvas_only=False, flash=False)


if __name__ == "__main__":
    sys.exit(main())

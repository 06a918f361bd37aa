"""Label as a person does, in a real window, and measure from click to next frame.

Run it where there is a screen, or under `xvfb-run -a -s "-screen 0 1920x1200x24"`:

    python benchmarks/annotate_latency.py [--clicks 100] [--pause 0.3] [--picture FILE.png]

Two clips of 800 x 600 px are made, H.264 with a keyframe every 250 frames, a phantom moving
to and fro in the middle of a dark screen. A queue over both is labelled by mouse clicks on the
canvas, a few pixels beside the truth as a hand would; every tenth frame is flagged, the last ten
labels are undone and redone by keys. Then the window is closed, and another opened on the same
file. What was clicked is compared with what is in the file. With `--picture`, a second annotator
then has the queue predicted and corrects a frame, and the window is saved.

The time runs from the press of the button, which is sent as the operating system would, to the
end of the drawing of a canvas that has the next frame; the label is on disk by then. Between two
clicks the window is idle for `--pause` seconds, as for a person who looks.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from scipy.ndimage import zoom

from napari_deepmtj._napari.annotation.controller import annotation_of
from napari_deepmtj.labels.table import read_labels
from napari_deepmtj.phantom import subjects
from napari_deepmtj.video.writer import VideoWriter

HEIGHT, WIDTH, FRAMES, RATE = 600, 800, 300, 25.0
#: The window, as on a small laptop; without a graphics card every pixel of it takes time.
SIZE = (1280, 800)
#: Frames that are drawn; a clip shows them there and back.
DRAWN = 40
FLAG_EVERY, UNDONE = 10, 10
#: Pixels that the hand is off, standard deviation on each axis.
HAND = 4.0

FloatArray = npt.NDArray[np.float64]


class Window:
    """A napari window with the Annotate widget on some clips, and a hand for mouse and keys."""

    def __init__(self, clips: list[Path], labels: Path, annotator: str) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window.resize(*SIZE)
        for clip in clips:
            self.viewer.open(str(clip), plugin="napari-deepmtj")
        _, self.widget = self.viewer.window.add_plugin_dock_widget("napari-deepmtj", "Annotate MTJ")
        self.annotation = annotation_of(self.viewer)
        self.canvas = self.viewer.window._qt_viewer.canvas
        self.draws: list[tuple[float, int]] = []
        self.canvas._scene_canvas.events.draw.connect(self._drawn, position="last")
        self.wait(1.0)
        self.widget.round.annotator.setText(annotator)
        self.open(labels)

    def _drawn(self, event: Any) -> None:
        self.draws.append((time.perf_counter(), self.annotation.session.frame()))

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let the window live for some time, or until something is so."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and not until():
            QApplication.processEvents()
            time.sleep(0.001)

    def open(self, labels: Path) -> None:
        """Open a label file by the widget."""
        self.widget.round.path.setText(str(labels))
        self.widget.open.click()
        self.wait(0.5)

    def build(self, per_clip: int) -> None:
        """Build a queue of frames evenly spread over all clips, by the widget."""
        self.widget.queue.scope.setCurrentText("all open clips")
        self.widget.queue.n.setValue(per_clip)
        self.widget.build.click()
        self.wait(60, until=lambda: not self.annotation.session.running)
        self.wait(0.5)

    def place_of(self, x: float, y: float) -> QPoint:
        """Return where a pixel of the shown clip lies on the canvas."""
        camera, size = self.viewer.scene.camera, self.canvas.native.size()
        clip = self.annotation.session.active
        world = clip.data_to_world((self.annotation.session.frame(), y, x))[-2:]
        right = (world[1] - camera.center[-1]) * camera.zoom + size.width() / 2
        down = (world[0] - camera.center[-2]) * camera.zoom + size.height() / 2
        return QPoint(round(right), round(down))

    def click(self, x: float, y: float) -> float | None:
        """Click a pixel; return the seconds until the next frame is drawn, None at the end."""
        core, place = self.annotation.core, self.place_of(x, y)
        before = core.item
        self.draws.clear()
        start = time.perf_counter()
        QTest.mouseClick(
            self.canvas.native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place
        )
        if core.item == before:
            return None
        self.wait(10, until=lambda: any(frame == core.item.frame for _, frame in self.draws))
        return next(when for when, frame in self.draws if frame == core.item.frame) - start

    def press(self, key: Any, modifiers: Any = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key over the canvas."""
        QTest.keyClick(self.canvas.native, key, modifiers)
        self.wait(0.05)


def write_clip(path: Path, seed: int) -> FloatArray:
    """Write a phantom that moves to and fro in a dark screen; return its truth, shape (n, 2)."""
    source = subjects(1, seed)[0].clip(0, n_frames=DRAWN)
    factor = min(HEIGHT / source.height, WIDTH / source.width) * 0.96
    top = (HEIGHT - round(source.height * factor)) // 2
    left = (WIDTH - round(source.width * factor)) // 2
    pictures = []
    for frame in source.frames():
        screen = np.full((HEIGHT, WIDTH), 12, np.uint8)
        large = zoom(frame, factor, order=1, grid_mode=True, mode="nearest")
        screen[top : top + large.shape[0], left : left + large.shape[1]] = large
        pictures.append(screen)
    there_and_back = [*range(DRAWN), *range(DRAWN - 2, 0, -1)]
    shown = [there_and_back[n % len(there_and_back)] for n in range(FRAMES)]
    with VideoWriter(path, HEIGHT, WIDTH, RATE) as writer:
        for number in shown:
            writer.add(pictures[number])
    truth: FloatArray = (source.truth[shown] + 0.5) * factor - 0.5 + [left, top]
    return truth


def main() -> int:
    """Drive the window; 1 if anything that was done is not in the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clicks", type=int, default=100, help="over both clips")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between two clicks")
    parser.add_argument("--picture", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=None, help="figures as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips = [Path(folder) / f"passive-rom_{n}.mp4" for n in (1, 2)]
        truths = {clip.name: write_clip(clip, seed) for seed, clip in enumerate(clips)}
        return drive(clips, truths, Path(folder) / "both.mtj-labels.csv", arguments)


def drive(
    clips: list[Path], truths: dict[str, FloatArray], labels: Path, arguments: argparse.Namespace
) -> int:
    """Label, undo, redo, flag, close, reopen, compare."""
    window = Window(clips, labels, "Ann")
    window.build(arguments.clicks // len(clips))
    core, times, wanted = window.annotation.core, [], {}
    hand = np.random.default_rng(0)
    for n in range(len(core.place.queue)):
        window.wait(arguments.pause)
        if n % FLAG_EVERY == 0:
            window.press(Qt.Key.Key_G, Qt.KeyboardModifier.ShiftModifier)
        item = core.item
        wanted[item.key] = x, y = truths[item.clip][item.frame] + hand.normal(0, HAND, 2)
        seconds = window.click(x, y)
        if seconds is not None:
            times.append(1e3 * seconds)
    for key in (Qt.Key.Key_Z,) * UNDONE:
        window.press(key, Qt.KeyboardModifier.ControlModifier)
    left = len(core.book.store.labels)
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    for key in (Qt.Key.Key_Z,) * UNDONE:
        window.press(key, both)
    window.press(Qt.Key.Key_Q)
    here = core.item
    window.viewer.close()
    window.wait(0.5)
    again = Window(clips, labels, "Ann")
    found = again.annotation.core
    made = [(la.x_px, la.y_px, *wanted[la.clip_sha256, la.frame]) for la in found.book.store.labels]
    checks = {
        "labelled": len(read_labels(labels)) == len(wanted) == len(made),
        "within a pixel of the click": all(math.dist(m[:2], m[2:]) < 1 for m in made),
        "undone": left == len(wanted) - UNDONE,
        "flagged": len(found.book.flagged()) == -(-len(wanted) // FLAG_EVERY),
        "reopened at the same frame": found.item == here
        and again.annotation.session.frame() == here.frame,
    }
    if arguments.picture is not None:
        take(again, labels, arguments.picture)
    again.viewer.close()
    again.wait(0.2)
    figures = {
        "clicks": len(wanted),
        "median_ms": round(float(np.median(times)), 1),
        "p95_ms": round(float(np.percentile(times, 95)), 1),
        "max_ms": round(max(times), 1),
        **checks,
    }
    for name, value in figures.items():
        print(f"{name}: {value}")
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if all(checks.values()) else 1


def take(window: Window, labels: Path, png: Path) -> None:
    """Have the queue predicted by a second annotator's wish, correct a frame, take a picture."""
    widget, annotation = window.widget, window.annotation
    widget.open.click()
    widget.round.annotator.setText("Bea")
    window.open(labels)
    window.build(10)
    widget.predict.click()
    window.wait(120, until=lambda: not annotation.session.running)
    widget.toggles["others"].click()
    for _ in range(4):
        window.press(Qt.Key.Key_G)
    for key in (Qt.Key.Key_K, Qt.Key.Key_K, Qt.Key.Key_U):
        window.press(key)
    annotation.session.look_at(annotation.session.active)
    window.wait(0.5)
    png.parent.mkdir(parents=True, exist_ok=True)
    window.viewer.screenshot(str(png), canvas_only=False, flash=False)


if __name__ == "__main__":
    sys.exit(main())

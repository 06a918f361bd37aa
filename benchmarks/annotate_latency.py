"""Label as a person does, in a real window, and measure from click to next frame.

Run it where there is a screen, or under `xvfb-run -a -s "-screen 0 1920x1200x24"`:

    python benchmarks/annotate_latency.py [--clicks 100] [--pause 0.3] [--screenshot FILE.png]

Two clips of 800 x 600 px are made, H.264 with a keyframe every 250 frames, a phantom moving
to and fro in the middle of a dark screen. A queue over both is labelled by mouse clicks on the
canvas; every tenth frame is flagged, the last ten labels are undone and redone by keys. Then the
window is closed, and another opened on the same file. What was clicked is compared with what is
in the file.

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from scipy.ndimage import zoom

from napari_deepmtj._napari.annotating import annotation_of
from napari_deepmtj.io.encode import VideoWriter
from napari_deepmtj.io.labels import read_labels
from napari_deepmtj.phantom import subjects

HEIGHT, WIDTH, FRAMES, RATE = 600, 800, 300, 25.0
#: The window, as on a small laptop; without a graphics card every pixel of it takes time.
SIZE = (1280, 800)
#: Frames that are drawn; a clip shows them there and back.
DRAWN = 40
FLAG_EVERY, UNDONE = 10, 10


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
        self.widget.round.path.setText(str(labels))
        self.widget.round.annotator.setText(annotator)
        self.widget.open.click()
        self.wait(0.5)

    def _drawn(self, event: Any) -> None:
        self.draws.append((time.perf_counter(), self.annotation.window.frame()))

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let the window live for some time, or until something is so."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and not until():
            QApplication.processEvents()
            time.sleep(0.001)

    def build(self, per_clip: int) -> None:
        """Build a queue of frames evenly spread over all clips, by the widget."""
        self.widget.queue.scope.setCurrentText("all open clips")
        self.widget.queue.n.setValue(per_clip)
        self.widget.build.click()
        self.wait(60, until=lambda: not self.annotation.window.running)
        self.wait(0.5)

    def place_of(self, x: float, y: float) -> QPoint:
        """Return where a pixel of the shown clip lies on the canvas."""
        camera, size = self.viewer.scene.camera, self.canvas.native.size()
        clip = self.annotation.window.active
        world = clip.data_to_world((self.annotation.window.frame(), y, x))[-2:]
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


def write_clip(path: Path, seed: int) -> None:
    """Write a phantom that moves to and fro in the middle of a dark screen."""
    source = subjects(1, seed)[0].clip(0, n_frames=DRAWN)
    pictures = []
    for frame in source.frames():
        screen = np.full((HEIGHT, WIDTH), 12, np.uint8)
        large = zoom(frame, min(HEIGHT / frame.shape[0], WIDTH / frame.shape[1]) * 0.96, order=1)
        top, left = (HEIGHT - large.shape[0]) // 2, (WIDTH - large.shape[1]) // 2
        screen[top : top + large.shape[0], left : left + large.shape[1]] = large
        pictures.append(screen)
    there_and_back = [*range(DRAWN), *range(DRAWN - 2, 0, -1)]
    with VideoWriter(path, HEIGHT, WIDTH, RATE) as writer:
        for n in range(FRAMES):
            writer.add(pictures[there_and_back[n % len(there_and_back)]])


def targets(n: int) -> Iterator[tuple[float, float]]:
    """Yield where to click, (x, y) in pixels: all over the picture."""
    rng = np.random.default_rng(0)
    for _ in range(n):
        yield float(rng.integers(120, WIDTH - 120)), float(rng.integers(120, HEIGHT - 120))


def main() -> int:
    """Drive the window; 1 if anything that was done is not in the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clicks", type=int, default=100, help="over both clips")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between two clicks")
    parser.add_argument("--screenshot", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=None, help="figures as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips = [Path(folder) / f"passive-rom_{n}.mp4" for n in (1, 2)]
        for seed, clip in enumerate(clips):
            write_clip(clip, seed)
        labels = Path(folder) / "both.mtj-labels.csv"
        return drive(clips, labels, arguments)


def drive(clips: list[Path], labels: Path, arguments: argparse.Namespace) -> int:
    """Label, undo, redo, flag, close, reopen, compare."""
    window = Window(clips, labels, "A. Notator")
    window.build(arguments.clicks // len(clips))
    core, times, wanted = window.annotation.core, [], {}
    for n, (x, y) in enumerate(targets(len(core.place.queue))):
        window.wait(arguments.pause)
        if n % FLAG_EVERY == 0:
            window.press(Qt.Key.Key_G, Qt.KeyboardModifier.ShiftModifier)
        wanted[core.item.key] = (x, y)
        seconds = window.click(x, y)
        if seconds is not None:
            times.append(1e3 * seconds)
        if arguments.screenshot and n == len(core.place.queue) // 4:
            take(window, arguments.screenshot)
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
    again = Window(clips, labels, "A. Notator")
    found = again.annotation.core
    misses = [
        math.hypot(la.x_px - wanted[la.clip_sha256, la.frame][0],
                 la.y_px - wanted[la.clip_sha256, la.frame][1])
        for la in read_labels(labels)
    ]  # fmt: skip
    checks = {
        "labelled": len(misses) == len(wanted),
        "within a pixel of the click": float(max(misses)) < 1.0,
        "undone": left == len(wanted) - UNDONE,
        "redone": len(found.book.store.labels) == len(wanted),
        "flagged": len(found.book.flagged()) == -(-len(wanted) // FLAG_EVERY),
        "reopened at the same frame": found.item == here
        and again.annotation.window.frame() == here.frame,
    }
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


def take(window: Window, png: Path) -> None:
    """Take a picture of the window, a label in view."""
    window.press(Qt.Key.Key_Q)
    window.wait(0.5)
    png.parent.mkdir(parents=True, exist_ok=True)
    window.viewer.screenshot(str(png), canvas_only=False, flash=False)
    window.press(Qt.Key.Key_W)


if __name__ == "__main__":
    sys.exit(main())

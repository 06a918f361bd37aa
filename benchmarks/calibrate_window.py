"""Drive the Calibrate widget in a real window, with the mouse, on a made-up scanner screen.

The screen's region and scale are known, so what the window says is compared with them. Run it
where there is a screen, or under `xvfb-run -a -s "-screen 0 1920x1200x24"`:

    python benchmarks/calibrate_window.py shots [--png docs/images/calibrate.png]

It leaves a picture of each step in the folder, prints a table, and ends with 1 if the scale that
was measured with the mouse is off by more than 1 %, or a number does not follow it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WINDOW = (1600, 1000)
FRAMES = 24
#: Largest error of the scale taken from two clicks on marks, as a fraction.
TOLERANCE = 0.01


def make_clip(folder: Path, layout: str, seed: int) -> tuple[Path, Any]:
    """Write a recording of a scanner's screen with a moving calf in it; return it and its truth."""
    from napari_deepmtj.phantom import demo_clip
    from napari_deepmtj.video.writer import VideoWriter

    sys.path.append(str(Path(__file__).parents[1] / "tests/support"))
    from scanner_screens import draw_screen, sample_screen

    with demo_clip() as calf:
        pictures = np.stack(list(calf.frames(0, FRAMES)))
    screen = draw_screen(sample_screen(layout, seed), FRAMES, pictures)  # type: ignore[arg-type]
    path = folder / "screen.avi"
    height, width = screen.frames.shape[1:]
    with VideoWriter(path, height, width, 25.0) as writer:
        for frame in screen.frames:
            writer.add(frame)
    return path, screen


class Person:
    """Looks, waits, and drags the mouse over the picture of a viewer."""

    def __init__(self, viewer: Any, shots: Path) -> None:
        self.viewer, self._shots, self._n = viewer, shots, 0

    def wait(self, until: Callable[[], bool] = lambda: False, limit: float = 120.0) -> bool:
        """Let the window work until something holds; say whether it does."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + limit
        while not (held := until()) and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)
        return held

    def look(self, name: str) -> Path:
        """Save a picture of the window."""
        self.wait(limit=0.5)
        self._n += 1
        path = self._shots / f"{self._n:02d}-{name}.png"
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)
        return path

    def drag(self, layer: Any, start_xy: Any, end_xy: Any) -> None:
        """Press on one pixel of a layer, move to another, and let go."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        canvas = self.viewer.window._qt_viewer.canvas.native
        camera = self.viewer.scene.camera
        points = []
        for x, y in (start_xy, end_xy):
            world = np.array(layer.data_to_world((*(0,) * (layer.ndim - 2), y, x))[-2:])
            middle = np.array([canvas.height(), canvas.width()]) / 2
            down, right = (world - np.array(camera.center[-2:])) * camera.zoom + middle
            points.append(QPoint(round(right), round(down)))
        start, end = points
        QTest.mouseMove(canvas, start)
        self.wait(limit=0.1)
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
        for share in np.linspace(0.2, 1, 5):
            step = start + (end - start) * float(share)
            QTest.mouseMove(canvas, step)
            self.wait(limit=0.05)
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=end)
        self.wait(limit=0.2)


def main() -> int:
    """Open, find, measure, apply, track, change; 1 if a number is not what it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shots", type=Path, help="folder for the pictures")
    parser.add_argument("--png", type=Path, help="where the picture for the manual goes")
    parser.add_argument("--layout", default="cart")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.shots.mkdir(parents=True, exist_ok=True)

    import napari

    from napari_deepmtj._napari.layers import convert
    from napari_deepmtj._napari.layers.convert import Kind
    from napari_deepmtj._napari.viewer import clips
    from napari_deepmtj._napari.viewer.session import session_of

    with tempfile.TemporaryDirectory() as folder:
        path, screen = make_clip(Path(folder), arguments.layout, arguments.seed)
        truth = screen.scale.x_mm
        viewer = napari.Viewer()
        viewer.window.resize(*WINDOW)
        person = Person(viewer, arguments.shots)
        _, form = viewer.window.add_plugin_dock_widget("napari-deepmtj", "Calibrate")
        (clip,) = viewer.open(str(path), plugin="napari-deepmtj")
        session = session_of(viewer)
        person.wait(limit=1.0)
        person.look("opened")

        form.find.native.click()
        person.wait(lambda: not session.running)
        person.look("picture")
        found = clips.info_of(clip).roi

        form.suggest.native.click()
        person.wait(lambda: not session.running)
        person.look("ruler")
        suggested = session.proposal

        first, last = screen.ticks[0], screen.ticks[-1]
        form.mm.value = screen.mm_per_tick * (len(screen.ticks) - 1)
        form.draw.native.click()
        person.drag(clip, first, last)
        picture = person.look("line")
        drawn = session.proposal
        still = clips.info_of(clip).scale
        form.apply.native.click()
        person.look("applied")

        form.x_mm.value = 2 * truth
        form.apply.native.click()
        _, track = viewer.window.add_plugin_dock_widget("napari-deepmtj", "Track MTJ")
        track.run.native.click()
        person.wait(lambda: not session.running, 600.0)
        person.wait(limit=1.0)
        points = session.find(clip, Kind.TRAJECTORY)
        before = convert.trajectory_of(points).table["x_mm"].to_numpy()
        form.x_mm.value = truth
        form.apply.native.click()
        result = convert.trajectory_of(points)
        after = result.table["x_mm"].to_numpy()
        person.look("rescaled")
        session.go_to(7)
        shown = np.asarray(clip._slice.image.raw)
        rows = [
            ("region found", found, screen.roi),
            ("ruler suggests", None if suggested is None else suggested.x_mm, truth),
            ("before Apply", still, None),
            ("line says", None if drawn is None else drawn.x_mm, truth),
            ("x_mm, half of the scale", np.nanmax(after / before), 0.5),
            ("frame 7 is frame 7", np.array_equal(shown, clip.data.source.read(7)), True),
            ("seconds", viewer.canvas.overlays.text.text, f"frame 7 / {FRAMES - 1}   0.280 s"),
            ("unit of the scale bar", str(viewer.layers.units[-1]), "millimeter"),
            ("last operation", result.provenance.operations[-1].name, "scale changed"),
        ]
        for row in rows:
            print(f"{row[0]:>24}: {row[1]} (should be {row[2]})")
        if arguments.png is not None:
            arguments.png.parent.mkdir(parents=True, exist_ok=True)
            arguments.png.write_bytes(picture.read_bytes())
        held = [str(got) == str(wanted) for _, got, wanted in rows[5:]]
        close = drawn is not None and abs(drawn.x_mm / truth - 1) < TOLERANCE
        viewer.close()
    return 0 if close and still is None and np.allclose(after, before / 2) and all(held) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Drive the MTJ over time widget in a real window, on the moving phantom and on 20,000 rows.

The phantom, a few of its frames mixed up and a few black, is tracked with the dock open, clicked,
gated, smoothed, undone and exported; then a made-up trajectory of 20,000 rows is panned. What the
window shows is compared with what the core computes. Run it where there is a screen, or under
`xvfb-run -a -s "-screen 0 1920x1200x24"`:

    python benchmarks/plot_window.py shots [--png docs/images/plot.png] [--seed 0]

It leaves a picture of each step in the folder, prints a table, and ends with 1 if a number is
not what it must be. Times are seconds of CPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

WINDOW = (1600, 1000)
ROWS = 20_000
RATE = 25.0
#: Frames that are shown in the place of others, frame that they show; frames that are black.
MIXED_UP, SHOWN, BLACK = range(60, 63), 30, range(100, 112)
#: Limit of speed in the form, mm/s.
SPEED = 100.0


class Person:
    """Looks, waits, and works the dock with the mouse."""

    def __init__(self, shots: Path) -> None:
        import napari

        from napari_deepmtj._napari.viewer.session import session_of

        self.viewer = napari.Viewer()
        self.viewer.window.resize(*WINDOW)
        self.session = session_of(self.viewer)
        self.shots, self._n = shots, 0
        self.checks: list[tuple[str, str, bool]] = []
        self.dock, self.form = self.viewer.window.add_plugin_dock_widget(
            "napari-deepmtj", "MTJ over time"
        )
        self.dock.setMinimumWidth(430)
        self.over_time = self.form.over_time

    def wait(self, until: Callable[[], bool] = lambda: False, limit: float = 120.0) -> bool:
        """Let the window work until something holds; say whether it does."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + limit
        while not (held := until()) and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)
        return held

    def settle(self) -> None:
        """Let everything be drawn and computed."""
        self.wait(limit=0.8)
        self.wait(lambda: not (self.over_time.running or self.session.running))
        self.wait(limit=0.5)

    def look(self, name: str, *others: Path) -> None:
        """Save a picture of the window."""
        self.settle()
        self._n += 1
        for path in (self.shots / f"{self._n:02d}-{name}.png", *others):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.viewer.screenshot(str(path), canvas_only=False, flash=False)

    def check(self, what: str, found: object, held: bool) -> None:
        """Note whether something is as it must be."""
        self.checks.append((what, str(found), bool(held)))

    def point(self, t: float) -> Any:
        """Return where a time is on the uppermost panel."""
        from qtpy.QtCore import QPoint

        canvas = self.form.canvas
        axes = canvas.panels.axes[0]
        x, _ = axes.transData.transform((t, np.mean(axes.get_ylim())))
        y = canvas.figure.bbox.height - (axes.bbox.y0 + axes.bbox.y1) / 2
        ratio = canvas.device_pixel_ratio
        return QPoint(round(x / ratio), round(y / ratio))

    def click(self, t: float) -> None:
        """Click on the plot at a time."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        QTest.mouseClick(self.form.canvas, Qt.MouseButton.LeftButton, pos=self.point(t))

    def drag(self, pixels: int, steps: int) -> list[float]:
        """Drag the plot with the mouse; return the CPU seconds that drawing each step took."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication

        canvas = self.form.canvas
        start = QPoint(canvas.width() // 2, canvas.height() // 8)
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
        taken = []
        for step in range(1, steps + 1):
            begun = time.thread_time()
            QTest.mouseMove(canvas, start - QPoint(pixels * step // steps, 0))
            taken.append(time.thread_time() - begun)
            QApplication.processEvents()
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=start - QPoint(pixels, 0))
        return taken


def make_clip(folder: Path) -> Path:
    """Write the moving phantom with a few frames mixed up and a few black."""
    from napari_deepmtj.phantom import demo_clip
    from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar
    from napari_deepmtj.video.writer import VideoWriter

    path = folder / "phantom.avi"
    with demo_clip() as phantom:
        pictures = list(phantom.frames())
        write_sidecar(path, ClipInfo(scale=phantom.scale))
        with VideoWriter(path, phantom.height, phantom.width, RATE) as writer:
            for number, picture in enumerate(pictures):
                shown = pictures[SHOWN] if number in MIXED_UP else picture
                writer.add(np.zeros_like(picture) if number in BLACK else shown)
    return path


def track(person: Person, clip: Path) -> None:
    """Track the phantom with the dock open; count how often it is drawn anew."""
    from napari_deepmtj._napari.tracking.run import Request, TrackRun

    drawn: list[float] = []
    person.form.canvas.mpl_connect("draw_event", lambda event: drawn.append(time.monotonic()))
    person.viewer.open(str(clip), plugin="napari-deepmtj")
    person.settle()
    drawn.clear()
    TrackRun(person.session, person.session.active, Request("compact", device="cpu")).start()
    person.wait(lambda: not person.session.running)
    gaps = np.diff(drawn)
    rate = 1 / gaps.min() if len(gaps) else 0.0
    person.check("most drawings a second while tracking", f"{rate:.1f}", 0 < rate <= 5.5)
    person.look("tracked")


def slider_and_clicks(person: Person) -> None:
    """Move the slider, look at the cursor; click, look at the slider."""
    canvas, session = person.form.canvas, person.session
    times = person.over_time.times()
    for frame in range(0, len(times), 5):
        session.go_to(frame)
    shown = [float(line.get_xdata()[0]) for line in canvas._cursors]
    person.check("cursor follows the slider", f"{shown[0]:.3f} s", np.allclose(shown, times[frame]))
    alone = []
    for t in times[::5]:
        begun = time.thread_time()
        canvas.set_cursor_time(float(t))
        alone.append(time.thread_time() - begun)
    person.wait(limit=0.2)
    person.check("moving the cursor, median", f"{1e3 * np.median(alone):.1f} ms of CPU", True)
    person.click(float(times[40]))
    person.check("frame after a click at frame 40", session.frame(), session.frame() == 40)


def gate_and_smooth(person: Person, png: Path | None) -> None:
    """Work the two forms, and compare with the core."""
    from napari_deepmtj.core.trajectory import Flag
    from napari_deepmtj.mechanics.motion import motion
    from napari_deepmtj.tracking.gate import Limits, gate
    from napari_deepmtj.tracking.series import flagged
    from napari_deepmtj.tracking.smooth import smooth

    form, over_time, session = person.form, person.over_time, person.session
    before = over_time.trajectory()
    form.side.setCurrentText("right")
    form.side.activated.emit(form.side.currentIndex())
    form.limits.values["max_speed_mm_s"].setValue(SPEED)
    person.settle()
    wanted = gate(before, replace(Limits(), max_speed_mm_s=SPEED))
    table = form.findings.model
    rows = table.rowCount()
    person.check("findings in the table", rows, rows == len(wanted.findings) > 0)
    form.findings.table.selectRow(rows - 1)
    frame = int(wanted.findings["frame"].iloc[-1])
    person.check("frame of the row chosen", session.frame(), session.frame() == frame)
    form.findings.apply.click()
    person.settle()
    person.look("gated")
    marked = flagged(over_time.trajectory(), list(Flag))
    person.check(
        "frames flagged", marked.sum(), (marked == flagged(wanted.trajectory, list(Flag))).all()
    )
    form.tabs.setCurrentWidget(form.smoothing)
    form.smoothing.apply.click()
    person.settle()
    after, core = over_time.trajectory(), smooth(wanted.trajectory).trajectory
    person.check(
        "smoothed as by the core", "", np.allclose(after.xy_px, core.xy_px, equal_nan=True)
    )
    raw = ["x_raw_px", "y_raw_px"]
    person.check("raw kept", "", after.table[raw].equals(before.table[raw]))
    said = f"excursion {motion(core, 'right').excursion:.1f} mm"
    person.check("mechanics", form.motion.text(), said in form.motion.text())
    person.look("smoothed")
    form.tabs.setCurrentWidget(form.findings)
    form.findings.table.selectRow(1)
    person.look("findings", *([] if png is None else [png]))
    form.undo.click()
    person.settle()
    same = over_time.trajectory().table.equals(wanted.trajectory.table)
    person.check("undone exactly", "", same)
    for suffix in (".png", ".svg", ".pdf"):
        path = person.shots / f"exported{suffix}"
        over_time.save_plot(path, form.canvas.panels.names, form.canvas.panels.view)
        person.check(
            f"exported {suffix}", f"{path.stat().st_size} bytes", path.stat().st_size > 5000
        )


def long_trajectory(person: Person, seed: int) -> None:
    """Pan 20,000 rows, and move the cursor over them."""
    from napari_deepmtj._napari.layers import convert
    from napari_deepmtj._napari.layers.placement import Placement
    from napari_deepmtj.core.geometry import Scale
    from napari_deepmtj.core.provenance import Provenance
    from napari_deepmtj.core.timebase import FrameTimes
    from napari_deepmtj.core.trajectory import FramePrediction, Trajectory

    rng, t = np.random.default_rng(seed), np.arange(ROWS) / RATE
    xy = np.column_stack([300 + 80 * np.sin(2 * t), 120 + 8 * np.sin(2 * t)])
    xy += rng.normal(0, 1.5, xy.shape)
    rows = [
        FramePrediction(i, x, y, np.diag([9.0, 4.0]), 0.9, True)
        for i, (x, y) in enumerate(xy.tolist())
    ]
    said = Provenance("long.avi", "ab" * 32, ROWS, 360, 720, scale=Scale(0.1, 0.1, "made"))
    times = FrameTimes.from_rate(ROWS, RATE, "container")
    trajectory = Trajectory.from_predictions(rows, times, said)
    person.viewer.layers.clear()
    layer = convert.layer_of_trajectory(trajectory, Placement.of(times, said.scale), "")
    person.session.viewer.add_points(layer[0], **layer[1])
    person.settle()
    canvas = person.form.canvas
    for name, zoom in (("all", 1.0), ("a tenth", 0.1), ("a hundredth", 0.1)):
        canvas.panels.zoomed(zoom, 400.0)
        canvas.draw()
        begun = time.thread_time()
        canvas.draw()
        whole = time.thread_time() - begun
        first = canvas.panels.view[0]
        taken = np.array(person.drag(100, 25)[1:])
        moved = canvas.panels.view[0] - first
        step, worst, whole = (1e3 * s for s in (np.median(taken), taken.max(), whole))
        text = f"{step:.0f} ms of CPU, worst {worst:.0f}; drawing all anew {whole:.0f}"
        person.check(f"a step of panning, {name} of {ROWS} rows", text, moved > 0)
        person.settle()
    person.look("long")


def work(person: Person, clip: Path, arguments: argparse.Namespace) -> None:
    """Go through all of it."""
    track(person, clip)
    slider_and_clicks(person)
    gate_and_smooth(person, arguments.png)
    long_trajectory(person, arguments.seed)
    person.viewer.close()


def main() -> int:
    """Work through it; 1 if anything is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shots", type=Path, help="where a picture of each step goes")
    parser.add_argument("--png", type=Path, help="where the picture for the manual goes")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    person = Person(arguments.shots)
    with tempfile.TemporaryDirectory() as folder:
        work(person, make_clip(Path(folder)), arguments)
    for what, found, held in person.checks:
        print(f"{'ok' if held else 'WRONG':>5}  {what:45} {found}")
    return 0 if all(held for *_, held in person.checks) else 1


if __name__ == "__main__":
    sys.exit(main())

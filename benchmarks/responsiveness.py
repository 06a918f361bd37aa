"""Measure how long the window does not answer while a clip is tracked, by the wall clock.

Run it where there is a screen, or under `xvfb-run -a -s "-screen 0 1920x1200x24"`:

    python benchmarks/responsiveness.py CLIP [--runs 3]

A timer of 10 ms beats on the main thread; the longest time between two beats is printed for each
run. The first run also loads torch and makes the layers.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise

import napari
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_deepmtj._napari.viewer.session import session_of


def main() -> None:
    """Open the clip, track it several times, print the longest gap of each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    viewer = napari.Viewer()
    viewer.window.resize(1600, 1000)
    _, widget = viewer.window.add_plugin_dock_widget("napari-deepmtj", "Track MTJ")
    viewer.open(arguments.clip, plugin="napari-deepmtj")
    session = session_of(viewer)
    beats: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(time.monotonic()))
    timer.start(10)

    def settle(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end or session.running:
            QApplication.processEvents()
            time.sleep(0.002)

    settle(2.0)
    for run in range(1, arguments.runs + 1):
        beats.clear()
        widget.run.native.click()
        settle(0.5)
        gaps = [after - before for before, after in pairwise(beats)]
        print(f"run {run}: longest gap {max(gaps):.2f} s, {len(beats)} beats")
    timer.stop()
    viewer.close()


if __name__ == "__main__":
    main()

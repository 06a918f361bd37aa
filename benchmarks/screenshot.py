"""Take the README's picture: a real window that has tracked a clip.

Run it where there is a screen, or under `xvfb-run -a -s "-screen 0 1920x1200x24"`:

    python benchmarks/screenshot.py CLIP docs/images/tracking.png [--frame 20] [--model compact]

Without CLIP (`demo`) the moving phantom is tracked.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

WINDOW = (1600, 1000)
#: Give up when the run has not ended by then, in seconds.
LIMIT = 600.0


def main() -> int:
    """Open, track, look, save; 1 if the run failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", help="a clip, or 'demo' for the moving phantom")
    parser.add_argument("png", type=Path)
    parser.add_argument("--frame", type=int, default=None, help="shown; the middle by default")
    parser.add_argument("--model", default=None, help="id or file; the preferred one by default")
    arguments = parser.parse_args()

    import napari
    from qtpy.QtWidgets import QApplication

    from napari_deepmtj._napari.layers.convert import Kind
    from napari_deepmtj._napari.viewer.session import session_of

    def wait(until: Callable[[], bool], limit: float = LIMIT) -> None:
        end = time.monotonic() + limit
        while not until() and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)

    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    _, widget = viewer.window.add_plugin_dock_widget("napari-deepmtj", "Track MTJ")
    if arguments.clip == "demo":
        viewer.open_sample("napari-deepmtj", "moving-phantom")
    else:
        viewer.open(arguments.clip, plugin="napari-deepmtj")
    session = session_of(viewer)
    if arguments.model is not None:
        if arguments.model not in widget.model.choices:
            widget.model.choices = [*widget.model.choices, arguments.model]
        widget.model.value = arguments.model
    widget.path.value = True
    widget.run.native.click()
    wait(lambda: not session.running)
    wait(lambda: session.find(session.active, Kind.PATH) is not None, 5.0)
    points = session.find(session.active, Kind.TRAJECTORY)
    if points is None:
        print(session.message, file=sys.stderr)
        return 1
    frames = session.active.data.shape[0]
    session.go_to(frames // 2 if arguments.frame is None else arguments.frame)
    viewer.reset_view(layers=[session.active])
    wait(lambda: False, 1.0)
    arguments.png.parent.mkdir(parents=True, exist_ok=True)
    viewer.screenshot(str(arguments.png), canvas_only=False, flash=False)
    print(f"{arguments.png}: {len(points.data)} of {frames} frames with a position")
    viewer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Take the pictures of the window in README and docs: the panel with a clip, light and dark.

    scripts/with-screen python benchmarks/screenshot.py [--folder docs/images] [--size 1440 900]

The moving phantom, written as a clip, is opened, tracked with attention, and plotted over time by
the panel's own buttons. `make screenshots` does it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

#: Give up when the run has not ended by then, in seconds.
LIMIT = 300.0
#: Colours of the saved pictures, which makes them small.
COLOURS = 256
THEMES = {"dark": "tracking.png", "light": "tracking-light.png"}


def wait(until: Callable[[], bool], limit: float = LIMIT) -> None:
    """Let the window work until something holds."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + limit
    while not until() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def save(viewer: object, path: Path) -> None:
    """Save the whole window with few colours."""
    shot = viewer.screenshot(canvas_only=False, flash=False)  # type: ignore[attr-defined]
    picture = Image.fromarray(np.asarray(shot)[..., :3])
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {picture.width} x {picture.height} px, {path.stat().st_size // 1000} kB")


def main() -> None:
    """Open, track, plot, and save a picture in each theme."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    parser.add_argument("--size", type=int, nargs=2, default=(1440, 900))
    parser.add_argument("--frame", type=int, default=60, help="that is shown")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["NAPARI_CONFIG"] = str(Path(temporary) / "settings.yaml")
        pictures(Path(temporary), folder, tuple(asked.size), asked.frame)


def pictures(work: Path, folder: Path, size: tuple[int, int], frame: int) -> None:
    """Drive one window."""
    import napari

    from napari_deepmtj._napari.layers.convert import Kind
    from napari_deepmtj._napari.panel.docking import PANEL, show_widget
    from napari_deepmtj._napari.viewer.session import session_of
    from napari_deepmtj.phantom.cohort import demo_clip, write_clip

    clip = work / "subject_001" / "passive-rom_1.avi"
    clip.parent.mkdir()
    for _ in write_clip(demo_clip(), clip, ()):
        pass
    viewer = napari.Viewer()
    viewer.window.resize(*size)
    viewer.open(str(clip), plugin="napari-deepmtj")
    panel = show_widget(viewer, PANEL)
    session = session_of(viewer)
    wait(lambda: session.active is not None)
    wait(lambda: False, 2.0)
    panel.track.form.attention.value = next(iter(panel.track.form.attention.choices))
    panel.track.form.show_attention = True
    panel.track.main.click()
    wait(lambda: session.running, 10.0)
    wait(lambda: not session.running)
    assert session.find(session.active, Kind.TRAJECTORY) is not None, session.message
    panel.check.plot.click()
    session.go_to(frame)
    for theme, name in THEMES.items():
        viewer.theme = theme
        wait(lambda: False, 2.0)
        session.look_at(session.active)
        wait(lambda: False, 1.0)
        save(viewer, folder / name)
    viewer.close()


if __name__ == "__main__":
    main()

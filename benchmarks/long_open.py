"""How a video of an hour opens in a window: time to the first frame, memory while it is scrubbed.

Run it where there is a screen, or under `xvfb-run -a -s "-screen 0 1920x1200x24"`:

    python benchmarks/long_open.py [--kind h264.mp4] [--frames 60000] [--size 320x240]
        [--clip FILE] [--stops 600] [--output long.json] [--png FOLDER]

A clip of barcodes is made first (minutes), or one made before is taken (`--clip`). It is opened as
a person does, all of it is scrubbed, and every frame is checked. A second window, with an empty
layer of the same size, is scrubbed in the same way; memory is the difference of the two peaks. Each
window is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from barcodes import KINDS, number_of, write_clip

#: Consecutive frames that are shown at the beginning, in the middle and at the end.
RUN = 100
#: Seconds that the listing of all frames may take.
LIMIT = 900.0


def places(n_frames: int, stops: int) -> Iterable[int]:
    """Return the frames that are shown: all over the clip, and some runs; ten at random first."""
    yield from np.random.default_rng(0).integers(0, n_frames, 10).tolist()
    yield from np.linspace(0, n_frames - 1, stops).astype(int).tolist()
    for start in (0, n_frames // 2, n_frames - RUN):
        yield from range(max(0, start), min(n_frames, start + RUN))


def show(path: Path | None, shape: tuple[int, int, int], stops: int, png: Path | None) -> None:
    """Open a window on a clip, or on nothing, scrub it, and print what was measured as JSON."""
    import napari
    import psutil
    from qtpy.QtWidgets import QApplication

    process = psutil.Process()
    viewer = napari.Viewer()
    viewer.window.resize(1600, 1000)
    found: dict[str, Any] = {}

    def settle(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.002)

    settle(2.0)
    found["window_mb"] = peak = process.memory_info().rss / 2**20
    start = time.perf_counter()
    if path is None:
        layer = viewer.add_image(
            np.broadcast_to(np.zeros(shape[1:], np.uint8), shape),
            contrast_limits=(0, 255),
            rgb=False,
        )
    else:
        (layer,) = viewer.open(str(path), plugin="napari-deepmtj")
    found["returned_s"] = time.perf_counter() - start
    while (picture := viewer.screenshot(canvas_only=True, flash=False))[..., :3].std() < 1:
        if path is None:
            break
        QApplication.processEvents()
    found["first_frame_s"] = time.perf_counter() - start
    if path is not None:
        source = layer.data.source
        found["provisional"] = not source.complete
        found["claimed_frames"] = layer.data.shape[0]
        save(picture, png, "first_frame.png")
        gaps, last = [0.0], time.monotonic()
        while layer.metadata["deepmtj"].get("provisional"):
            QApplication.processEvents()
            gaps.append(time.monotonic() - last)
            last = time.monotonic()
            if last > start + LIMIT:
                raise SystemExit("the frames were not listed in time")
            if png is not None and len(gaps) == 40:
                save(viewer.screenshot(canvas_only=False, flash=False), png, "provisional.png")
            time.sleep(0.002)
        found["complete_s"] = time.perf_counter() - start
        found["longest_gap_s"] = max(gaps)
        found["frames"] = layer.data.shape[0]
    wrong = 0
    took = []
    for frame in places(shape[0], stops):
        start = time.perf_counter()
        viewer.dims.set_current_step(0, frame)
        QApplication.processEvents()
        took.append(time.perf_counter() - start)
        if path is not None:
            wrong += number_of(np.asarray(layer.data[frame])) != frame
        peak = max(peak, process.memory_info().rss / 2**20)
    settle(0.5)
    save(viewer.screenshot(canvas_only=False, flash=False), png, f"{path and 'scrubbed'}.png")
    found |= {"peak_mb": peak, "wrong": wrong, "median_stop_ms": 1000 * float(np.median(took))}
    print(json.dumps(found))
    viewer.close()


def save(picture: Any, folder: Path | None, name: str) -> None:
    """Write a screenshot, if they are wanted."""
    from PIL import Image

    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[..., :3]).save(folder / name)


def child(*arguments: str) -> dict[str, Any]:
    """Run this file in a process of its own, and return what it prints."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Read the command line, make the clip, open both windows, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, default="h264.mp4")
    parser.add_argument("--frames", type=int, default=60_000)
    parser.add_argument("--size", default="320x240", help="WIDTHxHEIGHT in pixels")
    parser.add_argument("--clip", type=Path, help="made by this file before, with --keep")
    parser.add_argument("--keep", type=Path, help="keep the clip there")
    parser.add_argument("--stops", type=int, default=600)
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--png", type=Path, help="folder for screenshots")
    parser.add_argument("--show", choices=["clip", "nothing"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    shape = (options.frames, height, width)
    if options.show:
        path = options.clip if options.show == "clip" else None
        show(path, shape, options.stops, options.png)
        return
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or options.keep or Path(folder) / f"long_{options.kind}"
        if options.clip is None:
            write_clip(clip, options.kind, options.frames, height=height, width=width)
        same = ["--frames", str(options.frames), "--size", options.size]
        same += ["--stops", str(options.stops), "--clip", str(clip)]
        pictures = [] if options.png is None else ["--png", str(options.png)]
        empty = child(*same, "--show", "nothing")
        ours = child(*same, *pictures, "--show", "clip")
        size = clip.stat().st_size / 1e6
    ours["growth_mb"] = ours["peak_mb"] - empty["peak_mb"]
    print(f"{clip.name}: {options.frames} frames of {options.size}, {size:.0f} MB")
    for name, value in ours.items():
        print(f"  {name:16} {value:.2f}" if isinstance(value, float) else f"  {name:16} {value}")
    if options.output is not None:
        facts = {"kind": options.kind, "frames": options.frames, "size": options.size}
        both = {**facts, "clip": ours, "empty": empty}
        options.output.write_text(json.dumps(both, indent=1) + "\n")


if __name__ == "__main__":
    main()

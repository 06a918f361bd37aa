"""How a video of an hour opens in a window: time to the first frame, memory while it is scrubbed.

Run it where there is a screen, or under `xvfb-run -a -s "-screen 0 1920x1200x24"`:

    python benchmarks/long_open.py [--kind h264.mp4 ...] [--frames 60000] [--size 320x240]
        [--stops 600] [--keep FOLDER] [--output long.json] [--png FOLDER] [--docs]

Clips of barcodes are made first (a minute or two each), or those that `--keep` kept are taken
again. Each is opened as a person does, in a window in which a short clip was opened before; all of
it is scrubbed, and every frame is checked. Memory is compared with a window in which nothing but
napari's own empty layers were opened, the second one of the size of the clip, and scrubbed in the
same way. Each window is a process of its own.
"""

from __future__ import annotations

import argparse
import gc
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
from markdown_tables import FORMATS, markdown, write_between

#: Containers that are opened if none is named.
COMMON = ("h264.mp4", "h264.mkv", "mjpeg.avi", "wmv2.wmv")
#: Frames of the clip that is opened first, so that napari has started up.
WARM = 100
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


class Window:
    """A napari window, and what is measured in it.

    Parameters
    ----------
    shape : tuple of int
        Of the long clip: frames, rows, columns.
    png : Path, optional
        Folder for screenshots.
    """

    def __init__(self, shape: tuple[int, int, int], png: Path | None) -> None:
        import napari
        import psutil
        from qtpy.QtWidgets import QApplication

        self._shape = shape
        self._png = png
        self._memory = psutil.Process().memory_info
        self._events = QApplication.processEvents
        self.viewer = napari.Viewer()
        self.viewer.window.resize(1600, 1000)
        self.found: dict[str, Any] = {}

    def wait(self, seconds: float) -> None:
        """Let the window live."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._events()
            time.sleep(0.002)

    def mebibytes(self) -> float:
        """Return the resident memory of the process."""
        return float(self._memory().rss) / 2**20

    def open(self, path: Path | None, n_frames: int) -> tuple[Any, float]:
        """Open a clip, or an empty layer; return it and the seconds until it was drawn."""
        start = time.perf_counter()
        busy = time.thread_time()
        if path is None:
            empty = np.broadcast_to(
                np.zeros(self._shape[1:], np.uint8), (n_frames, *self._shape[1:])
            )
            layer = self.viewer.add_image(empty, contrast_limits=(0, 255), rgb=False)
        else:
            (layer,) = self.viewer.open(str(path), plugin="napari-deepmtj")
        while self._picture()[..., :3].std() < 1 and path is not None:
            self._events()
        self.found["busy_s"] = time.thread_time() - busy
        return layer, time.perf_counter() - start

    def warm_up(self, path: Path | None) -> None:
        """Open something short, and close it again: napari has then started up."""
        self.wait(1.0)
        layer, self.found["cold_first_frame_s"] = self.open(path, WARM)
        self.wait(1.0)
        self.viewer.layers.remove(layer)
        del layer
        self.wait(1.0)
        gc.collect()
        self.found["window_mb"] = self.mebibytes()

    def follow(self, layer: Any) -> None:
        """Stay until all frames of a long clip are listed."""
        self.found["provisional"] = not layer.data.source.complete
        self.found["claimed_frames"] = layer.data.shape[0]
        self._save(self._picture(), "first_frame.png")
        start = last = time.monotonic()
        looks, longest = 0, 0.0
        while layer.metadata["deepmtj"].get("provisional"):
            self._events()
            now = time.monotonic()
            looks, longest, last = looks + 1, max(longest, now - last), now
            if now > start + LIMIT:
                raise SystemExit("the frames were not listed in time")
            if looks == 40:
                self._save(self._picture(canvas_only=False), "provisional.png")
                last = time.monotonic()
            time.sleep(0.002)
        self.found["listed_s"] = time.monotonic() - start
        self.found["longest_gap_s"] = longest
        self.found["frames"] = layer.data.shape[0]

    def scrub(self, layer: Any, stops: int, checked: bool) -> None:
        """Go all over the clip."""
        wrong, took, peak = 0, [], self.mebibytes()
        for frame in places(self._shape[0], stops):
            start = time.perf_counter()
            self.viewer.dims.set_current_step(0, frame)
            self._events()
            took.append(time.perf_counter() - start)
            if checked:
                wrong += number_of(np.asarray(layer.data[frame])) != frame
            peak = max(peak, self.mebibytes())
        self.wait(0.5)
        self._save(self._picture(canvas_only=False), "scrubbed.png" if checked else "empty.png")
        self.found |= {
            "peak_mb": peak,
            "stops": len(took),
            "wrong": wrong,
            "median_stop_ms": 1000 * float(np.median(took)),
        }

    def _picture(self, canvas_only: bool = True) -> Any:
        return self.viewer.screenshot(canvas_only=canvas_only, flash=False)

    def _save(self, picture: Any, name: str) -> None:
        from PIL import Image

        if self._png is not None:
            self._png.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture[..., :3]).save(self._png / name)


def show(options: argparse.Namespace, shape: tuple[int, int, int]) -> None:
    """Measure one window, on a clip or on empty layers, and print the figures as JSON."""
    window = Window(shape, options.png)
    window.warm_up(options.warm)
    layer, window.found["first_frame_s"] = window.open(options.clip, shape[0])
    if options.clip is not None:
        window.follow(layer)
    window.scrub(layer, options.stops, checked=options.clip is not None)
    print(json.dumps(window.found))
    window.viewer.close()


def child(options: argparse.Namespace, *arguments: object) -> dict[str, Any]:
    """Run this file in a process of its own, and return what it prints."""
    same = ["--frames", options.frames, "--size", options.size, "--stops", options.stops]
    command = [sys.executable, __file__, "--child", *map(str, (*same, *arguments))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the figures as Markdown."""
    head = "clip|MB|first frame s|all listed s|longest pause s|memory MB|stops|wrong|a stop ms"
    rows = [
        (
            kind,
            f"{row['file_mb']:.0f}",
            f"{row['first_frame_s']:.2f}",
            f"{row['listed_s']:.1f}",
            f"{row['longest_gap_s']:.2f}",
            f"{row['growth_mb']:+.0f}",
            row["stops"],
            row["wrong"],
            f"{row['median_stop_ms']:.0f}",
        )
        for kind, row in results.items()
    ]
    return markdown(head.split("|"), rows)


def main() -> None:
    """Read the command line, make the clips, open the windows, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=KINDS, nargs="+", default=COMMON)
    parser.add_argument("--frames", type=int, default=60_000)
    parser.add_argument("--size", default="320x240", help="WIDTHxHEIGHT in pixels")
    parser.add_argument("--stops", type=int, default=600)
    parser.add_argument("--keep", type=Path, help="folder for the clips; kept, and used again")
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--png", type=Path, help="folder for screenshots")
    parser.add_argument("--docs", action="store_true", help=f"write the table into {FORMATS.name}")
    for inner in ("--clip", "--warm"):
        parser.add_argument(inner, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    if options.child:
        show(options, (options.frames, height, width))
        return
    empty = child(options)
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for kind in options.kind:
            clip, warm = folder / f"long_{kind}", folder / f"short_{kind}"
            for path, n_frames in ((clip, options.frames), (warm, WARM)):
                if not path.exists():
                    write_clip(path, kind, n_frames, height=height, width=width)
            pictures = [] if options.png is None else ["--png", options.png / kind]
            found = child(options, "--clip", clip, "--warm", warm, *pictures)
            found["growth_mb"] = found["peak_mb"] - empty["peak_mb"]
            found["file_mb"] = clip.stat().st_size / 1e6
            results[kind] = found
            print(kind, json.dumps(found), flush=True)
            if options.keep is None:
                clip.unlink()
    text = table(results)
    print(f"{options.frames} frames of {options.size}\n{text}")
    if options.output is not None:
        facts = {"frames": options.frames, "size": options.size, "empty": empty}
        options.output.write_text(json.dumps({**facts, "clips": results}, indent=1) + "\n")
    if options.docs:
        write_between(FORMATS, "long clips", text)


if __name__ == "__main__":
    main()

"""How quickly the plugin answers a person: live preview, first result, opening, streaming.

Run it where there is a screen, or under `xvfb-run -a -s "-screen 0 1920x1200x24"`:

    python benchmarks/interactive.py [--output PAGE.md] [--seed 4177] [--steps 60]

A phantom clip is drawn on a scanner's screen of 800 x 600, shown there and back, as H.264 with a
keyframe every 250 frames. Every part has processes of its own: the live preview alone, and in
napari with the slider stepped on and put anywhere; tracking, with the import of what it needs; the
widget's import and opening in a window that is there.
Less than two minutes on two quiet cores. It ends with 1 if a figure is not what is asked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from machine import features
from markdown_tables import markdown, write_between

#: Subject of the clip; no recipe trains on it.
SEED = 4177
#: Frames that are drawn; the clip shows them there and back.
DRAWN = 16
#: Frames of the clip that is scrubbed, more than the cache of frames holds (200 MB), and of the one
#: that is tracked in the window.
SCRUBBED, TRACKED = 1000, 2000
WINDOW = (1280, 800)
#: Give up when something has not happened by then, in seconds.
LIMIT = 120.0
#: What is asked: milliseconds to decode any frame, for 95 % of them.
SEEK_MS = 60.0
#: What is asked: milliseconds a frame, seconds, seconds, updates a second.
FRAME_MS, FIRST_S, OPEN_S, RATE_HZ = 5.0, 0.5, 0.5, (5.0, 10.0)


# ----- parts, each in a process of its own ----------------------------------------------------


class Window:
    """A napari window with a clip."""

    def __init__(self, clip: Path) -> None:
        import napari

        from napari_deepmtj._napari.viewer.session import session_of

        self.viewer = napari.Viewer()
        self.viewer.window.resize(*WINDOW)
        self.viewer.open(str(clip), plugin="napari-deepmtj")
        self.session = session_of(self.viewer)
        self.wait(limit=1.0)

    def wait(self, until: Callable[[], bool] = lambda: False, limit: float = LIMIT) -> bool:
        """Let the window live until something is so, or for some time; say whether it is."""
        from qtpy.QtWidgets import QApplication

        end = time.perf_counter() + limit
        while not (held := until()) and time.perf_counter() < end:
            QApplication.processEvents()
            time.sleep(0.0005)
        return held

    def form(self, model: str) -> Any:
        """Open the Track form, with a model, on the CPU."""
        _, form = self.viewer.window.add_plugin_dock_widget("napari-deepmtj", "Track MTJ")
        if model not in form.model.choices:
            form.model.choices = [*form.model.choices, model]
        form.model.value, form.device.value = model, "cpu"
        self.wait(limit=1.0)
        return form


def look(clip: Path, asked: argparse.Namespace) -> dict[str, list[float]]:
    """Look at frames one by one, without a window; return seconds of decoding and of finding."""
    from napari_deepmtj.inference.live import Seen, Wish, Wishes, preview
    from napari_deepmtj.video.opening import open_video
    from speed_clips import ROI

    wishes, found = Wishes(), {}
    events = preview(wishes, asked.model, device="cpu")
    for way, frames in ways(asked):
        decoding, finding = [], []
        with open_video(clip) as source:
            for frame in (0, *frames):  # the first one loads the model
                began = time.perf_counter()
                source.read(frame)
                read = time.perf_counter()
                wishes.put(Wish(source, frame, ROI))
                next(event for event in events if isinstance(event, Seen))
                decoding.append(read - began)
                finding.append(time.perf_counter() - read)
        found |= {f"{way}: decoding": decoding[1:], f"{way}: finding": finding[1:]}
    wishes.close()
    list(events)
    return found


def ways(asked: argparse.Namespace) -> tuple[tuple[str, list[int]], ...]:
    """Return the frames that are looked at, one after the other and anywhere."""
    anywhere = np.random.default_rng(asked.seed).choice(SCRUBBED, asked.steps, replace=False)
    return ("on", list(range(1, asked.steps + 1))), ("anywhere", anywhere.tolist())


def scrub(clip: Path, asked: argparse.Namespace) -> dict[str, list[float]]:
    """Step the slider; return seconds until the picture is there, and until its MTJ is."""
    from napari_deepmtj._napari.layers.convert import Kind

    window = Window(clip)
    session, form = window.session, window.form(asked.model)
    form.live.native.click()
    layer: Any = None

    def shown(frame: int) -> Callable[[], bool]:
        return lambda: form.seen.value.startswith(f"frame {frame}:")

    require(window.wait(shown(session.frame())), form.seen.value or session.message)
    layer = session.find(session.active, Kind.PREVIEW)
    found: dict[str, list[float]] = {}
    for way, frames in ways(asked):
        slices, all_ = [], []
        for frame in frames:
            window.wait(limit=0.05)
            began = time.perf_counter()
            session.go_to(frame)
            slices.append(time.perf_counter() - began)
            require(window.wait(shown(frame)), form.seen.value)
            all_.append(time.perf_counter() - began)
        found |= {f"{way}: picture": slices, f"{way}: MTJ": all_}
    require(layer in session.viewer.layers, "the layer of the preview is gone")
    if asked.picture:
        window.wait(limit=1.0)
        window.viewer.screenshot(str(asked.picture), canvas_only=False, flash=False)
    window.viewer.close()
    return found


def stream(clip: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Track the clip in the window; return when points came into the layer."""
    from qtpy.QtCore import QTimer

    from napari_deepmtj._napari.layers.convert import Kind

    window = Window(clip)
    session, form = window.session, window.form(asked.model)
    form.attention.value = ""
    beats: list[float] = []

    def count() -> None:
        points = session.find(session.active, Kind.TRAJECTORY)
        if points is not None and len(points.data):
            beats.append(time.perf_counter())

    # progress is told just before points are shown
    session.events.progress.connect(lambda _: QTimer.singleShot(0, count))
    began = time.perf_counter()
    form.run.native.click()
    require(window.wait(lambda: not session.running), session.message)
    points = session.find(session.active, Kind.TRAJECTORY)
    require(points is not None and len(points.data) > 0, session.message)
    window.viewer.close()
    return {"first": beats[0] - began, "updates": [b - a for a, b in pairwise(beats)]}


def start(clip: Path, asked: argparse.Namespace) -> dict[str, float]:
    """Return seconds to the first result of tracking, imports included, without a window."""
    began = time.perf_counter()
    from napari_deepmtj.inference.predictor import TrackedBatch, track
    from napari_deepmtj.video.opening import open_video
    from napari_deepmtj.weights.store import load_model

    with open_video(clip) as source:
        for event in track(source, load_model(asked.model), device="cpu"):
            if isinstance(event, TrackedBatch):
                first = time.perf_counter() - began
                require("torch" not in sys.modules, "torch was loaded")
                return {"first": first}
    raise SystemExit("nothing was tracked")


def opening(_: Path, __: argparse.Namespace) -> dict[str, float]:
    """Return seconds of importing the widget, and of opening it, in a window that is there."""
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    for _n in range(20):
        QApplication.processEvents()
    began = time.perf_counter()
    import napari_deepmtj._napari.tracking.widget  # noqa: F401

    imported = time.perf_counter()
    viewer.window.add_plugin_dock_widget("napari-deepmtj", "Track MTJ")
    QApplication.processEvents()
    opened = time.perf_counter()
    require("torch" not in sys.modules, "torch was loaded")
    viewer.close()
    return {"import": imported - began, "open": opened - imported}


def require(held: bool, why: str) -> None:
    """End with what the window says unless something holds."""
    if not held:
        raise SystemExit(f"it did not come to that: {why}")


# ----- the whole ------------------------------------------------------------------------------


def write_clips(folder: Path, seed: int) -> dict[str, Path]:
    """Write the clips that are scrubbed and tracked."""
    from napari_deepmtj.phantom.cohort import subjects
    from napari_deepmtj.video.writer import VideoWriter
    from speed_clips import HEIGHT, RATE, WIDTH, repeat, screens

    drawn = list(screens(subjects(1, seed)[0].clip(0, n_frames=DRAWN)))
    there_and_back = [*range(DRAWN), *range(DRAWN - 2, 0, -1)]
    paths = {name: folder / f"{name}.mp4" for name in ("scrubbed", "tracked")}
    with VideoWriter(paths["scrubbed"], HEIGHT, WIDTH, RATE) as writer:
        for n in range(SCRUBBED):
            writer.add(drawn[there_and_back[n % len(there_and_back)]])
    repeat(paths["scrubbed"], paths["tracked"], TRACKED)
    return paths


def in_own_process(part: str, clip: Path, asked: argparse.Namespace) -> Any:
    """Measure one part in a fresh interpreter."""
    command = [sys.executable, __file__, "--part", part, "--clip", str(clip)]
    if asked.picture and part == "scrub":
        command += ["--picture", str(asked.picture.resolve())]
    command += ["--model", asked.model, "--steps", str(asked.steps), "--seed", str(asked.seed)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{part} failed: {run.stderr[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


def several(part: str, clip: Path, asked: argparse.Namespace) -> dict[str, list[float]]:
    """Measure a part `--runs` times after one that fills the caches."""
    runs = [in_own_process(part, clip, asked) for _ in range(asked.runs + 1)][1:]
    return {name: [run[name] for run in runs] for name in runs[0]}


def row(what: str, values: Iterable[float], unit: str, asked: str, held: bool | None) -> list[str]:
    """Return one line of the table."""
    found = np.array(list(values)) * {"ms": 1e3, "s": 1.0}[unit]
    digits = 0 if unit == "ms" else 2
    cells = [f"{value:.{digits}f} {unit}" for value in (np.median(found), np.percentile(found, 95))]
    return [what, *cells, asked, "" if held is None else "yes" if held else "no"]


def measured(asked: argparse.Namespace, folder: Path) -> list[list[str]]:
    """Measure everything; return the lines of the table."""
    clips = write_clips(folder, asked.seed)
    rows = []
    alone = in_own_process("look", clips["scrubbed"], asked)
    window = in_own_process("scrub", clips["scrubbed"], asked)
    limit = f"< {FRAME_MS:.0f} ms"
    for way, said in (("on", "next frame"), ("anywhere", "any frame")):
        decoding, finding = (np.array(alone[f"{way}: {what}"]) for what in ("decoding", "finding"))
        seek = bool(np.percentile(decoding, 95) * 1e3 < SEEK_MS)
        limit_95 = f"95 % < {SEEK_MS:.0f} ms"
        rows.append(
            row(f"{said}: decoding it, for picture and MTJ", decoding, "ms", limit_95, seek)
        )
        held = bool(np.median(finding) * 1e3 < FRAME_MS)
        rows.append(row(f"{said}: finding the MTJ", finding, "ms", limit, held))
        picture, whole = (np.array(window[f"{way}: {what}"]) for what in ("picture", "MTJ"))
        what = f"{said}: slider to MTJ in the window, drawn by the processor"
        rows.append(row(what, whole, "ms", "", None))
        rows.append(row(f"{said}: of that, napari slicing the picture", picture, "ms", "", None))
    first = several("start", clips["tracked"], asked)["first"]
    rows.append(row("import and first result, no window", first, "s", "", None))
    limit = f"< {FIRST_S:g} s"
    streamed = in_own_process("stream", clips["tracked"], asked)
    held = streamed["first"] < FIRST_S
    rows.append(row("click on Track to first points", [streamed["first"]], "s", limit, held))
    gaps = np.array(streamed["updates"])
    rate = len(gaps) / gaps.sum()
    held = bool(RATE_HZ[0] <= rate <= RATE_HZ[1])
    limit = f"{RATE_HZ[0]:g} to {RATE_HZ[1]:g} a second"
    rows.append(row(f"between two updates ({rate:.1f} a second)", gaps, "ms", limit, held))
    opened = several("open", clips["scrubbed"], asked)
    both = np.array(opened["import"]) + np.array(opened["open"])
    rows.append(row("import of the widget", opened["import"], "s", "", None))
    held = float(np.median(both)) < OPEN_S
    rows.append(row("import and opening of the widget", both, "s", f"< {OPEN_S:g} s", held))
    return rows


PARTS = {"look": look, "scrub": scrub, "stream": stream, "start": start, "open": opening}
HEAD = ["", "median", "95 %", "asked", "met"]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--steps", type=int, default=60, help="frames that are scrubbed to")
    parser.add_argument("--runs", type=int, default=3, help="fresh processes of start and opening")
    parser.add_argument("--output", type=Path, help="a document with a place for the table")
    parser.add_argument("--picture", type=Path, help="where to save one of the live preview")
    parser.add_argument("--part", choices=[*PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--clip", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        print(json.dumps(PARTS[asked.part](asked.clip, asked)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        rows = measured(asked, Path(name))
    table = f"{features()}\n\n{markdown(HEAD, rows)}"
    print(table)
    if asked.output:
        write_between(asked.output, "interactive", table)
    return int(any(line[-1] == "no" for line in rows))


if __name__ == "__main__":
    sys.exit(main())

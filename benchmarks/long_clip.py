"""How much memory a long clip takes over a short one: opening, reading, scrubbing, tracking.

Each measurement runs in a process of its own:

    python benchmarks/long_clip.py [--frames 20000] [--reads 300] [--clip h264.mp4] [--model ID]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

SHORT = 100
HEIGHT, WIDTH, RATE = 160, 320, 50
CODECS = {"h264.mp4": ("libx264", "yuv420p"), "mjpeg.avi": ("mjpeg", "yuvj420p")}


def make_clip(path: Path, n_frames: int) -> None:
    """Write a clip of drifting speckle, long groups of pictures and B-frames where possible."""
    import av
    import numpy as np

    codec, pixels = next(kind for name, kind in CODECS.items() if path.name.endswith(name))
    speckle = np.random.default_rng(0).integers(0, 255, (HEIGHT, 4 * WIDTH), dtype=np.uint8)
    speckle = (speckle // 4 + np.roll(speckle, 1, axis=1) // 4 + 60).astype(np.uint8)
    options = {"preset": "ultrafast", "crf": "30"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, pixels
        stream.codec_context.gop_size = 250
        stream.codec_context.max_b_frames = 2 if codec == "libx264" else 0
        for n in range(n_frames):
            shift = n % (3 * WIDTH)
            grey = np.ascontiguousarray(speckle[:, shift : shift + WIDTH])
            frame = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format=pixels)
            frame.pts, frame.time_base = n, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure(path: Path, reads: int, model: str | None) -> dict[str, float]:
    """Return resident memory in MB (2 ** 20 bytes) after each step, and frames per second."""
    import numpy as np
    import psutil

    from napari_deepmtj.video.opening import open_video

    process = psutil.Process()
    result: dict[str, float] = {}

    def step(name: str, work: Callable[[], int]) -> None:
        start = time.perf_counter()
        frames = work()
        result[f"{name}_per_s"] = frames / (time.perf_counter() - start)
        result[f"{name}_mb"] = process.memory_info().rss / 2**20

    with open_video(path) as source:
        result["open_mb"] = process.memory_info().rss / 2**20
        step("sequential", lambda: sum(1 for _ in source.frames()))
        order = np.random.default_rng(0).integers(0, source.n_frames, reads).tolist()
        step("random", lambda: len([source.read(n) for n in order]))
        if model is not None:
            from napari_deepmtj.core.jobs import Done, Failed
            from napari_deepmtj.inference.predictor import track
            from napari_deepmtj.weights.store import load_model

            loaded = load_model(model)

            def run() -> int:
                last = None
                for last in track(source, loaded, roi="full", device="cpu"):
                    if isinstance(last, Failed):
                        raise last.error
                assert isinstance(last, Done)
                return len(last.result)

            step("track", run)
    return result


def compare(
    names: list[str], n_frames: int, reads: int, model: str | None
) -> dict[str, dict[str, float]]:
    """Return, for each kind of clip, the growth over the short clip in MB and the speeds."""
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            results = []
            for n in (SHORT, n_frames):
                path = Path(folder) / f"{n}_{name}"
                make_clip(path, n)
                command = [sys.executable, __file__, "--measure", str(path), "--reads", str(reads)]
                command += [] if model is None else ["--model", model]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                results.append(json.loads(done.stdout))
                path.unlink()
            short, long = results
            report[name] = {
                key: value - short[key] if key.endswith("_mb") else value
                for key, value in long.items()
            }
    return report


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--reads", type=int, default=300, help="random frames to read")
    parser.add_argument("--clip", choices=CODECS, action="append", help="all kinds by default")
    parser.add_argument("--model", help="also track, with this model")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measure(options.measure, options.reads, options.model)))
        return
    report = compare(options.clip or list(CODECS), options.frames, options.reads, options.model)
    if options.json:
        print(json.dumps(report))
        return
    print(f"growth of {options.frames} frames over {SHORT}, {WIDTH} x {HEIGHT} px")
    for name, values in report.items():
        for key, value in values.items():
            step, _, unit = key.partition("_")
            what = f"{value:+8.1f} MB" if unit == "mb" else f"{value:8.0f} frames/s"
            print(f"  {name:10} {step:10} {what}")


if __name__ == "__main__":
    main()

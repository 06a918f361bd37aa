"""How long a frame takes that somebody scrubs to, in a clip with few keyframes.

    python benchmarks/reader_latency.py [--frames 1000] [--size 800x600] [--gop 250]
        [--stops 200] [--seed 0] [--output latency.json] [--docs]

The clip is made first, from the seed: H.264 in MP4 with B-frames, speckle that drifts and changes.
Each order is read from a source of its own, so that none finds what another has left. Every
frame's barcode is checked. Processor time is that of all threads, the first frame left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from barcodes import number_of, write_clip
from markdown_tables import FORMATS, markdown, write_between
from napari_deepmtj.video.opening import open_video

#: Frames that one movement of a mouse passes over, at most.
STRIDE = 40


def orders(n_frames: int, stops: int, seed: int) -> dict[str, list[int]]:
    """Return the frames that are asked for, in order, by the name of the way to scrub."""
    rng = np.random.default_rng(seed)
    stops = min(stops, n_frames // 2)
    middle = n_frames // 2 - stops // 2
    steps = rng.integers(1, STRIDE + 1, stops)
    drag = np.cumsum(steps) % n_frames
    jumps = rng.integers(0, n_frames, stops)
    named: dict[str, Iterable[int]] = {
        "next frame": range(middle, middle + stops),
        "previous frame": reversed(range(middle, middle + stops)),
        "drag forward": drag,
        "drag backward": drag[::-1],
        "jump anywhere": jumps,
        "scrub: forward, backward, jumps": np.concatenate([drag, drag[::-1], jumps]),
    }
    return {name: [int(frame) for frame in frames] for name, frames in named.items()}


def measure(path: Path, order: list[int]) -> tuple[list[float], float]:
    """Return how many milliseconds each frame took, and processor milliseconds a frame.

    The first frame, which opens the file, is left out.

    Raises
    ------
    SystemExit
        If a frame is not the one that was asked for.
    """
    took = []
    with open_video(path) as source:
        source.read(order[0])
        busy = time.process_time()
        for frame in order[1:]:
            start = time.perf_counter()
            grey = source.read(frame)
            took.append(1000 * (time.perf_counter() - start))
            if number_of(grey) != frame:
                raise SystemExit(f"frame {frame} was asked for, {number_of(grey)} came")
        busy = time.process_time() - busy
    return took, 1000 * busy / len(took)


def main() -> None:
    """Read the command line, make the clip, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", default="800x600", help="WIDTHxHEIGHT in pixels")
    parser.add_argument("--gop", type=int, default=250, help="frames from keyframe to keyframe")
    parser.add_argument("--stops", type=int, default=200, help="frames read in each order")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="also write the table as JSON")
    parser.add_argument("--docs", action="store_true", help=f"write the table into {FORMATS.name}")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long_gop.mp4"
        write_clip(
            path,
            "h264_fine.mp4",
            options.frames,
            height=height,
            width=width,
            gop=options.gop,
            seed=options.seed,
        )
        size = path.stat().st_size / options.frames
        rows = {
            name: measure(path, order)
            for name, order in orders(options.frames, options.stops, options.seed).items()
        }
    table = {
        name: {
            "median_ms": round(float(np.median(took)), 2),
            "p95_ms": round(float(np.percentile(took, 95)), 2),
            "busy_ms": round(busy, 2),
            "frames": len(took),
        }
        for name, (took, busy) in rows.items()
    }
    what = (
        f"H.264, {options.size}, a keyframe every {options.gop} of {options.frames} frames, "
        f"{size / 1000:.1f} kB a frame, {os.cpu_count()} cores"
    )
    text = markdown(
        ("order", "median ms", "95 % ms", "processor ms a frame", "frames"),
        [
            (
                name,
                f"{row['median_ms']:.1f}",
                f"{row['p95_ms']:.1f}",
                f"{row['busy_ms']:.1f}",
                row["frames"],
            )
            for name, row in table.items()
        ],
    )
    print(f"{what}\n{text}")
    if options.docs:
        write_between(FORMATS, "latency", f"{what}:\n\n{text}")
    if options.output is not None:
        facts = {"argv": sys.argv[1:], "cores": os.cpu_count(), "bytes_per_frame": size}
        options.output.write_text(json.dumps({**facts, "orders": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()

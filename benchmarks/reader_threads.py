"""Read one source from three threads at once, and check every frame by the number it shows.

    python benchmarks/reader_threads.py [--seconds 60] [--kind h264.mp4] [--frames 1500]
        [--size 320x240] [--gop 250] [--seed 0] [--output threads.json] [--docs]

Two threads read frames at random, the third reads all in order, over and over. A wrong frame or an
error ends with status 1; a crash ends the process.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from barcodes import KINDS, number_of, write_clip
from markdown_tables import FORMATS, write_between
from napari_deepmtj.video.opening import VideoSource, open_video


class Reader(threading.Thread):
    """One thread that reads until told to stop.

    Parameters
    ----------
    source : VideoSource
        Shared with others.
    seed : int or None
        Of the frames it reads; None reads all in order.
    stop : threading.Event
        When to stop.
    """

    def __init__(self, source: VideoSource, seed: int | None, stop: threading.Event) -> None:
        super().__init__()
        self.read = 0
        self.wrong: list[str] = []
        self._source = source
        self._seed = seed
        self._stop_reading = stop

    def run(self) -> None:
        """Read; what goes wrong is kept."""
        rng = np.random.default_rng(self._seed)
        try:
            while not self._stop_reading.is_set():
                if self._seed is None:
                    for frame, grey in enumerate(self._source.frames()):
                        self._check(frame, grey)
                        if self._stop_reading.is_set():
                            break
                else:
                    frame = int(rng.integers(self._source.n_frames))
                    self._check(frame, self._source.read(frame))
        except Exception as error:  # whatever it is, it counts
            self.wrong.append(f"{type(error).__name__}: {error}")

    def _check(self, frame: int, grey: np.ndarray) -> None:
        self.read += 1
        if (shown := number_of(grey)) != frame:
            self.wrong.append(f"frame {frame} was asked for, {shown} came")


def main() -> int:
    """Read the command line, make the clip, read it, print; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kind", choices=KINDS, default="h264.mp4")
    parser.add_argument("--frames", type=int, default=1500)
    parser.add_argument("--size", default="320x240", help="WIDTHxHEIGHT in pixels")
    parser.add_argument("--gop", type=int, default=250, help="frames from keyframe to keyframe")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--docs", action="store_true", help=f"write the line into {FORMATS.name}")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"clip_{options.kind}"
        write_clip(
            path,
            options.kind,
            options.frames,
            height=height,
            width=width,
            gop=options.gop,
            seed=options.seed,
        )
        with open_video(path) as source:
            stop = threading.Event()
            seeds = (options.seed, options.seed + 1, None)
            readers = [Reader(source, seed, stop) for seed in seeds]
            for reader in readers:
                reader.start()
            time.sleep(options.seconds)
            stop.set()
            for reader in readers:
                reader.join()
    wrong = [line for reader in readers for line in reader.wrong]
    found = {
        "kind": options.kind,
        "seconds": options.seconds,
        "cores": os.cpu_count(),
        "read": [reader.read for reader in readers],
        "wrong": len(wrong),
    }
    at_random, again, in_order = found["read"]
    line = (
        f"{options.kind}, {options.size}, {options.seconds:g} s: {at_random} + {again} frames at "
        f"random, {in_order} in order; {len(wrong)} wrong"
    )
    print(line)
    for line in wrong[:10]:
        print(f"  {line}")
    if options.output is not None:
        options.output.write_text(json.dumps(found, indent=1) + "\n")
    if options.docs:
        write_between(FORMATS, "threads", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

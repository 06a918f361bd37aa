"""Two Dask workers against one, on clips that cost more to decode than to compute.

    python benchmarks/batch_scaling.py [--clips 24] [--frames 150] [--output scaling.json]

Large H.264 pictures and a network of four channels: nearly all of the time is decoding. Throughput
is counted from when each worker has done its first clip, so that starting the workers and loading
the network, which a real batch does once, is left out. A second batch of two workers loses one of
them midway.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import psutil
from distributed import LocalCluster

from batch_clips import MODEL, drifting, make_model, write_h264
from markdown_tables import markdown
from napari_deepmtj.batch.events import ClipDone, ClipFailed
from napari_deepmtj.batch.plan import Options, make_plan
from napari_deepmtj.batch.run import run
from napari_deepmtj.batch.study import entries_of_files
from napari_deepmtj.core.jobs import Failed


def batch(clips: Path, out: Path, workers: int, kill_after: int | None = None) -> dict[str, Any]:
    """Run a batch on workers of this machine, and return how fast, and what came of it."""
    began = ended = 0.0
    done: list[str] = []
    failed = 0
    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        dashboard_address=None,
        env={"OMP_NUM_THREADS": "1"},
        silence_logs=logging.CRITICAL,
    ) as cluster:
        options = Options(
            out=out,
            model=MODEL,
            roi="full",
            device="cpu",
            backend="torch",
            scheduler=cluster.scheduler_address,
            report=False,
        )
        for event in run(make_plan(entries_of_files(sorted(clips.iterdir())), options)):
            match event:
                case ClipDone(task):
                    done.append(task.name)
                    ended = time.monotonic()
                    if len(done) == workers:
                        began = ended
                    if len(done) == kill_after:
                        os.kill(a_worker(), signal.SIGKILL)
                case ClipFailed():
                    failed += 1
                case Failed(error):
                    raise SystemExit(str(error))
    return {
        "workers": workers,
        "killed": "" if kill_after is None else f"one, after {kill_after} clips",
        "done": len(set(done)),
        "twice": len(done) - len(set(done)),
        "failed": failed,
        "seconds": round(ended - began, 2),
        "clips_per_s": round((len(done) - workers) / (ended - began), 3),
    }


def a_worker() -> int:
    """Return the process of a worker."""
    below = psutil.Process().children(recursive=True)
    return next(p.pid for p in below if "spawn_main" in " ".join(p.cmdline()))


def main() -> None:
    """Make the clips, run the batches and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--height", type=int, default=624)
    parser.add_argument("--width", type=int, default=1148)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["NAPARI_DEEPMTJ_MODELS"] = str(folder / "models")
        make_model(folder / "models")
        (folder / "clips").mkdir()
        for n in range(arguments.clips):
            frames = drifting(rng, arguments.frames, arguments.height, arguments.width)
            write_h264(folder / "clips" / f"{n:02d}.mp4", frames, crf=20)
        found = [
            batch(folder / "clips", folder / "one", 1),
            batch(folder / "clips", folder / "two", 2),
            batch(folder / "clips", folder / "killed", 2, max(1, arguments.clips // 2)),
        ]
        tables = {(folder / out / "frames.csv").read_bytes() for out in ("one", "two", "killed")}
    ratio = found[1]["clips_per_s"] / found[0]["clips_per_s"]
    print(markdown(tuple(found[0]), (tuple(row.values()) for row in found)))
    print(f"\ntwo workers against one: {ratio:.2f} times; same tables: {len(tables) == 1}")
    if arguments.output:
        arguments.output.write_text(json.dumps({"runs": found, "ratio": ratio}, indent=1))
    if len(tables) > 1 or any(row["failed"] or row["twice"] for row in found):
        raise SystemExit("a batch lost a clip, or did one twice")


if __name__ == "__main__":
    main()

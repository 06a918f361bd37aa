"""A batch of many clips of every kind, killed again and again, against one that ran unbroken.

Clips are small (`batch_clips.py`); ten cannot be read, five are copies, names hold blanks and
several alphabets, one of their folders is read-only. The batch is killed by SIGKILL at random
moments, the whole program or, with several workers, sometimes one of them, and run again. At the
end its tables must be those of a batch that ran unbroken, and no clip be tracked twice. Numbers may
differ by rounding: each process finds out how many pictures at a time are fastest (`ROUNDING`):

    python benchmarks/batch_soak.py [--clips 300] [--kills 20] [--workers 2] [--output soak.json]

Memory of the unbroken run is looked at after each clip. With `--overhead N` a batch of N longer
clips is held against `track` on the same ones, in time of the processor.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from batch_clips import MODEL, make_clips, make_model, write_h264
from markdown_tables import markdown

#: By how much numbers may differ, in part and in their own unit.
ROUNDING = {"rtol": 1e-4, "atol": 1e-3}

#: Height and width of the clips of `--overhead`, as a recorder of screens gives them.
LONG = (624, 1148)

#: After how many clips memory must not grow any more, and by how much it may.
SETTLED, GROWTH = 20, 0.05


def plan_of(clips: Path, out: Path, workers: int) -> Any:
    """Return the plan of the clips' study table, as `napari-deepmtj batch` makes it."""
    from napari_deepmtj.batch.plan import Options, make_plan
    from napari_deepmtj.batch.study import read_study

    options = Options(
        out=out, model=MODEL, roi="full", device="cpu", backend="torch", workers=workers
    )
    return make_plan(read_study(clips / "study.csv"), options)


def run_batch(clips: Path, out: Path, workers: int, memory: Path | None = None) -> None:
    """Run a batch to its end; in a process of its own."""
    import psutil
    import torch

    from napari_deepmtj.batch.run import ClipDone, ClipFailed, run
    from napari_deepmtj.core.jobs import Done, Failed

    torch.set_num_threads(1)
    used: list[int] = []
    process = psutil.Process()
    for event in run(plan_of(clips, out, workers)):
        match event:
            case Failed(error):
                raise SystemExit(str(error))
            case Done():
                if memory is not None:
                    memory.write_text(json.dumps(used))
            case ClipDone() | ClipFailed():
                used.append(process.memory_info().rss)


def lines_of(out: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a batch's ledger."""
    ledger = out / "mtj-batch.jsonl"
    if not ledger.exists():
        return []
    return [json.loads(line) for line in ledger.read_bytes().split(b"\n")[:-1]]


class Runs:
    """Runs batches in processes that begin with everything imported.

    Parameters
    ----------
    folder : Path
        Holds clips and results.
    workers : int
        Of each batch.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder, self.workers = folder, workers
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["torch", "napari_deepmtj.batch.tables", "av", "psutil"]
        )

    def start(self, out: str, memory: Path | None = None) -> Any:
        """Begin a batch, and return its process."""
        arguments = (self.folder / "clips", self.folder / out, self.workers, memory)
        process = self._context.Process(target=run_batch, args=arguments)
        process.start()
        return process

    def finish(self, out: str, memory: Path | None = None) -> None:
        """Run a batch to its end."""
        process = self.start(out, memory)
        process.join()
        if process.exitcode:
            raise SystemExit(f"the batch {out} ended with {process.exitcode}")

    def kill_and_resume(self, out: str, kills: int, total: int, seed: int) -> dict[str, int]:
        """Run a batch, killed so often, to its end; return how often what was killed."""
        rng = random.Random(seed)
        killed = {"program": 0, "worker": 0}
        marks = sorted(rng.sample(range(1, total), min(kills, total - 1)))
        process = self.start(out)
        for mark in marks:
            while process.is_alive() and len(lines_of(self.folder / out)) < mark:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.05))
            if not process.is_alive():
                break
            victim = self._worker_of(process.pid) if rng.random() < 0.5 else None
            if victim is None:
                process.kill()
                process.join()
                killed["program"] += 1
                process = self.start(out)
            else:
                os.kill(victim, signal.SIGKILL)
                killed["worker"] += 1
        process.join()
        self.finish(out)  # the last one, whatever became of the former
        return killed

    def _worker_of(self, pid: int) -> int | None:
        """Return a worker of a batch, if it has any by now."""
        import psutil

        try:
            below = psutil.Process(pid).children(recursive=True)
            found = [p.pid for p in below if "spawn_main" in " ".join(p.cmdline())]
        except psutil.Error:
            return None
        return found[-1] if found else None


def same_table(one: Path, other: Path) -> bool:
    """Whether two tables hold the same: texts to the letter, numbers up to `ROUNDING`."""
    import pandas as pd

    a, b = (pd.read_csv(path) for path in (one, other))
    try:
        pd.testing.assert_frame_equal(a, b, check_exact=False, **ROUNDING)
    except AssertionError as error:
        print(f"{one.name}: {error}")
        return False
    return True


def compare(folder: Path) -> dict[str, Any]:
    """Return what the broken batch has that the unbroken one has not, and what it did twice."""
    same = {
        name: same_table(folder / "unbroken" / name, folder / "broken" / name)
        for name in ("frames.csv", "clips.csv", "excursions.csv")
    }
    done: dict[str, int] = {}
    for line in lines_of(folder / "broken"):
        done[line["result"]] = done.get(line["result"], 0) + (not line["failed"])
    results = len(list((folder / "broken").rglob("*.mtj.csv")))
    return {
        "same": same,
        "done_twice": sum(count > 1 for count in done.values()),
        "done": sum(count > 0 for count in done.values()),
        "results": results,
    }


def overhead(folder: Path, n: int, n_frames: int, seed: int) -> dict[str, float]:
    """Return processor seconds of a batch and of `track` on the same clips, one after the other."""
    import numpy as np

    from batch_clips import drifting

    rng = np.random.default_rng(seed)
    clips = folder / "long"
    clips.mkdir()
    for i in range(n):
        write_h264(clips / f"{i}.mp4", drifting(rng, n_frames, *LONG))
    context = multiprocessing.get_context("forkserver")
    times: dict[str, float] = {}
    for name, target in (("track", track_all), ("batch", batch_all)) * 2:
        told = folder / "seconds"
        out = folder / f"{name} {len(times)}"
        process = context.Process(target=target, args=(clips, out, told))
        process.start()
        process.join()
        times[name] = min(times.get(name, np.inf), float(told.read_text()))
    times["overhead_percent"] = 100 * (times["batch"] / times["track"] - 1)
    return times


def track_all(clips: Path, out: Path, told: Path) -> None:
    """Track clips one after the other, as the command `track` does."""
    import torch

    from napari_deepmtj.inference.runner import Runner
    from napari_deepmtj.pipeline.clip import Request, track_clip
    from napari_deepmtj.video.opening import open_video
    from napari_deepmtj.weights.store import load_model

    torch.set_num_threads(1)
    model = load_model()
    runner = Runner(model, "cpu", 16, "torch")
    began = time.process_time()
    for clip in sorted(clips.iterdir()):
        with open_video(clip) as source:
            request = Request(result=out / f"{clip.stem}.mtj.csv", roi="full")
            for _ in track_clip(source, request, model, runner):
                pass
    told.write_text(str(time.process_time() - began))


def batch_all(clips: Path, out: Path, told: Path) -> None:
    """Track the same clips as a batch, its tables made at the end; not its report."""
    import torch

    from napari_deepmtj.batch.plan import Options, make_plan
    from napari_deepmtj.batch.run import run
    from napari_deepmtj.batch.study import entries_of_files

    torch.set_num_threads(1)
    options = Options(out=out, roi="full", device="cpu", backend="torch", report=False)
    plan = make_plan(entries_of_files(sorted(clips.iterdir())), options)
    began = time.process_time()
    for _ in run(plan):
        pass
    told.write_text(str(time.process_time() - began))


def growth_of(memory: list[int]) -> float:
    """Return by which part memory grew after the clips in which it settles."""
    return max(memory[SETTLED:]) / memory[SETTLED - 1] - 1 if len(memory) > SETTLED else 0.0


def main() -> None:
    """Make the clips, run both batches, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--corrupt", type=int, default=10)
    parser.add_argument("--copies", type=int, default=5)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--overhead", type=int, default=0, metavar="N")
    parser.add_argument("--frames", type=int, default=200, help="of the clips of --overhead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batch soak ") as name:
        folder = Path(name)
        os.environ["NAPARI_DEEPMTJ_MODELS"] = str(folder / "models")
        make_model(folder / "models")
        good, bad = make_clips(
            folder / "clips", arguments.clips, arguments.corrupt, arguments.copies, arguments.seed
        )
        runs = Runs(folder, arguments.workers)
        began = time.monotonic()
        runs.finish("unbroken", folder / "memory.json")
        unbroken = time.monotonic() - began
        memory = json.loads((folder / "memory.json").read_text())
        killed = runs.kill_and_resume("broken", arguments.kills, good + bad, arguments.seed)
        found: dict[str, Any] = compare(folder) | {
            "good": good,
            "bad": bad,
            "killed": killed,
            "memory_growth_percent": 100 * growth_of(memory),
            "memory_mb": [round(memory[min(SETTLED, len(memory)) - 1] / 2**20)]
            + [round(max(memory) / 2**20)],
            "memory_mb_midway": round(memory[len(memory) // 2] / 2**20),
            "seconds_unbroken": round(unbroken, 1),
        }
        if arguments.overhead:
            found["overhead"] = overhead(
                folder, arguments.overhead, arguments.frames, arguments.seed
            )
        (folder / "clips" / "read only").chmod(0o755)
    print(markdown(("what", "found"), found.items()))
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=1))
    if not all(found["same"].values()) or found["done_twice"] or found["done"] != good:
        raise SystemExit("the broken batch differs from the unbroken one")


if __name__ == "__main__":
    main()

"""Whether speed and memory stay over 100,000 frames; run in a process of its own.

python benchmarks/speed_length.py CLIP [--model ID] [--backend NAME]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

#: Parts of the clip whose speeds are compared, and frames after which memory has settled.
TENTHS, SETTLED = 10, 1000


def measure(clip: Path, model_id: str, backend: str) -> dict[str, float]:
    """Return frames a second of the first and last tenth, and memory in MB (2 ** 20 bytes)."""
    import psutil

    from napari_deepmtj.core.jobs import Done, Failed
    from napari_deepmtj.inference.predictor import TrackedBatch, track
    from napari_deepmtj.inference.runner import Runner
    from napari_deepmtj.video.opening import open_video
    from napari_deepmtj.weights.store import load_model

    process, model = psutil.Process(), load_model(model_id)
    runner = Runner(model, "cpu", 16, backend)
    runner.ready()
    with open_video(clip) as source:
        n, settled, most = source.n_frames, 0, 0
        reached: list[float] = []  # seconds at the end of each tenth
        for _ in track(source, model, roi="full", frames=range(100), runner=runner):
            pass  # warm
        for event in track(source, model, roi="full", runner=runner):
            match event:
                case TrackedBatch(done=done, seconds=seconds):
                    if done >= min(SETTLED, n // TENTHS) and not settled:
                        settled = process.memory_info().rss
                    if done >= (len(reached) + 1) * n // TENTHS:
                        reached.append(seconds)
                        most = max(most, process.memory_info().rss)
                case Failed(error):
                    raise error
                case Done(trajectory):
                    assert len(trajectory) == n
                    most = max(most, process.memory_info().rss)
    tenth = n / TENTHS
    return {
        "frames": n,
        "first_per_s": tenth / reached[0],
        "last_per_s": tenth / (reached[-1] - reached[-2]),
        "per_s": n / reached[-1],
        "settled_mb": settled / 2**20,
        "growth_mb": (most - settled) / 2**20,
    }


def in_own_process(clip: Path, model_id: str, backend: str) -> dict[str, float]:
    """Return what `measure` finds in a process that has done nothing else."""
    command = [sys.executable, __file__, str(clip), "--model", model_id, "--backend", backend]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure one clip and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--backend", default="auto")
    asked = parser.parse_args()
    print(json.dumps(measure(asked.clip, asked.model, asked.backend)))


if __name__ == "__main__":
    main()

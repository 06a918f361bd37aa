"""A slice of `benchmarks/batch_soak.py`: a batch is killed and run again, its tables are whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "batch_soak.py"

CLIPS, CORRUPT, COPIES, KILLS = 14, 3, 2, 3


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_killed_at_random_moments_a_batch_ends_as_an_unbroken_one_does(tmp_path):
    counts = tmp_path / "counts.json"
    command = [sys.executable, str(SCRIPT), f"--clips={CLIPS}", f"--corrupt={CORRUPT}"]
    command += [f"--copies={COPIES}", f"--kills={KILLS}", "--seed=5", f"--output={counts}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(counts.read_text())
    assert found["same"] == {"frames.csv": True, "clips.csv": True, "excursions.csv": True}
    assert found["killed"]["program"] > 0
    assert found["done"] == found["results"] == CLIPS - CORRUPT
    assert found["done_twice"] == 0

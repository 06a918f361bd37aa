"""A slice of `benchmarks/kill_labels.py`: a labelling program is killed, its labels are there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_labels.py"

KILLS = 12


def test_killed_at_random_moments_every_acknowledged_label_is_there(tmp_path: Path) -> None:
    counts = tmp_path / "counts.json"
    command = [sys.executable, str(SCRIPT), f"--kills={KILLS}", "--seed=7", f"--output={counts}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(counts.read_text())
    assert found["wrong"] == 0
    assert found["kills"] == KILLS
    assert found["acknowledged"] > 3
    assert found["looks"] > 2

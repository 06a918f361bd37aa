"""Several threads read one source: a slice of `benchmarks/reader_threads.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "reader_threads.py"


@pytest.mark.parametrize("kind", ["h264.mp4", "mjpeg.avi"])
def test_three_threads_for_a_while(kind, tmp_path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, str(BENCHMARK), "--kind", kind, "--output", str(report)]
    command += ["--seconds", "2", "--frames", "120", "--gop", "50", "--size", "208x64"]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    found = json.loads(report.read_text())
    assert found["wrong"] == 0
    assert min(found["read"]) > 0  # none kept the others from reading

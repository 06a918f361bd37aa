"""A slice of `benchmarks/fuzz_reader.py`: damaged clips read, or are refused in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "fuzz_reader.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants are opened in forked processes")
def test_a_slice_of_the_fuzzer_finds_nothing() -> None:
    pytest.importorskip("h5py")
    pytest.importorskip("zarr")
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--first", "500", "--files", "80"],
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "80 mutants, 0 failed" in done.stdout

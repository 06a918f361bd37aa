"""A slice of `benchmarks/fuzz_tables.py`: damaged tables read, or are refused in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "fuzz_tables.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants are read in forked processes")
def test_a_slice_of_the_fuzzer_finds_nothing() -> None:
    for name in ("h5py", "ezc3d", "openpyxl", "sleap_io", "h5netcdf", "tables"):
        pytest.importorskip(name)
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--first", "700", "--files", "120"],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "120 mutants, 0 failed" in done.stdout

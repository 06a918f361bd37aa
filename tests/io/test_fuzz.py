"""A slice of `benchmarks/fuzz_reader.py`: damaged clips read, or are refused in one line."""

from __future__ import annotations

import os
import re
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
        [sys.executable, str(BENCHMARK), "--first", "500", "--files", "120", "--seconds", "12"],
        capture_output=True,
        text=True,
        timeout=180,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) mutants, 0 failed", done.stdout)
    assert found is not None
    assert int(found[1]) >= 20

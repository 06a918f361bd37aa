"""Time whole processes from the shell: tracking one still, and the help.

    python benchmarks/start_up.py [--runs N]

Prints minimum, median and maximum of the wall time in seconds, after one run that does not count.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from markdown_tables import markdown
from napari_deepmtj.phantom.cohort import demo_clip


def seconds(words: list[str], runs: int) -> list[float]:
    """Return the wall times of a command in seconds, sorted."""
    command = [sys.executable, "-m", "napari_deepmtj.cli.app", *words]
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        times.append(time.perf_counter() - began)
    return sorted(times[1:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        still = Path(folder) / "still.png"
        Image.fromarray(demo_clip(1).read(0)).save(still)
        rows = []
        for words in (["track", str(still), "--roi", "full", "--overwrite"], ["--help"]):
            times = seconds(words, runs)
            name = "track still.png" if words[0] == "track" else words[0]
            middle = statistics.median(times)
            rows.append((f"`{name}`", *(f"{t:.2f} s" for t in (times[0], middle, times[-1]))))
    print(markdown(("process", "minimum", "median", "maximum"), rows))


if __name__ == "__main__":
    main()

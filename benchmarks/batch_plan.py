"""How long the dry run of a large study takes: rows of a table, nothing done yet and all done.

    python benchmarks/batch_plan.py [--rows 10000] [--output plan.json]

The files are there, and every tenth has a side-car, but they hold nothing: a dry run opens none.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from batch_clips import MODEL, make_model
from markdown_tables import markdown
from napari_deepmtj.batch.ledger import Ledger, Line
from napari_deepmtj.batch.plan import Options, Plan, dry_run, key_of, make_plan, weights_sha256
from napari_deepmtj.batch.study import read_study
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.paths import json_path
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar


def write_study(folder: Path, rows: int) -> Path:
    """Write a study table of ten subjects' clips, and empty files for them."""
    table = folder / "study.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "subject", "side", "movement", "trial", "scale", "start", "notes"])
        for n in range(rows):
            clip = folder / f"S{n % 10}" / f"clip_{n:05d}.avi"
            clip.parent.mkdir(exist_ok=True)
            clip.write_bytes(b"")
            if n % 10 == 0:
                write_sidecar(clip, ClipInfo(scale=Scale(0.1, 0.1, "made up")))
            scale = "" if n % 3 else "0.0883"
            name = clip.relative_to(folder).as_posix()
            writer.writerow([name, f"S{n % 10}", "left", "rom", n // 10, scale, "", "as written"])
    return table


def mark_done(plan: Plan) -> None:
    """Write ledger and results as if all had been tracked; the ledger in one go."""
    plan.options.out.mkdir()
    ledger = Ledger.of(plan.options.out)
    weights = weights_sha256(MODEL)
    sync, os.fsync = os.fsync, lambda file: None  # the disk is not what is measured
    try:
        for task in plan.tasks:
            stat = task.clip.stat()
            line = Line(
                result=task.name,
                clip=task.clip.as_posix(),
                size=stat.st_size,
                modified_ns=stat.st_mtime_ns,
                sha256="made up",
                key=key_of(task, "made up", weights),
            )
            ledger.append(line)
            task.result.parent.mkdir(exist_ok=True)
            task.result.touch()
            json_path(task.result).touch()
    finally:
        os.fsync = sync


def timed(table: Path, out: Path) -> tuple[Plan, dict[str, float], dict[str, int]]:
    """Read the table, plan it and run it dry; return the seconds of each, and the states.

    The processor's seconds of all three are not lengthened by what else the machine does.
    """
    began = [time.perf_counter()]
    worked = time.process_time()
    entries = read_study(table)
    began.append(time.perf_counter())
    plan = make_plan(entries, Options(out=out, model=MODEL))
    began.append(time.perf_counter())
    listed = dry_run(plan)
    began.append(time.perf_counter())
    seconds = {
        name: round(after - before, 3)
        for name, before, after in zip(
            ("read", "plan", "dry run"), began[:-1], began[1:], strict=True
        )
    }
    seconds["processor"] = round(time.process_time() - worked, 3)
    return plan, seconds, listed["state"].value_counts().to_dict()


def main() -> None:
    """Time both dry runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["NAPARI_DEEPMTJ_MODELS"] = str(folder / "models")
        make_model(folder / "models")
        table = write_study(folder, arguments.rows)
        plan, seconds, states = timed(table, folder / "out")
        found.append({"case": "nothing done", **seconds, "states": states})
        mark_done(plan)
        _, seconds, states = timed(table, folder / "out")
        found.append({"case": "all done", **seconds, "states": states})
    print(markdown(tuple(found[0]), (tuple(row.values()) for row in found)))
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

"""Run a folder of reported situations in one go: each makes its input and shows what comes of it.

    scripts/with-screen python benchmarks/cases.py FOLDER [NAME ...]

FOLDER has one folder a case: `make.py` or `make.sh` makes the input, `look.py`, `expect.py` or
`repro.py` reads it. Each case runs in a copy of its folder, with names of modules that were moved
since put right; one that takes a clip or a result gets those of the demonstration. What it prints
follows its name, and the exit status is 1 if any script fails. What is right the scripts say.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

#: Scripts of a case in the order in which they are run.
SCRIPTS = ("make.py", "make.sh", "look.py", "expect.py", "repro.py")
SECONDS = 300
#: Names in scripts that were written before modules moved.
MOVED = {
    "napari_deepmtj.io.interchange": "napari_deepmtj.results.formats",
    "import Options, write": "import write\n"
    "from napari_deepmtj.results.formats.track import Options",
    "from napari_deepmtj._napari import convert": "from napari_deepmtj._napari.layers "
    "import convert",
    "napari_deepmtj._napari.convert": "napari_deepmtj._napari.layers.convert",
    "napari_deepmtj._napari.session": "napari_deepmtj._napari.viewer.session",
}
#: Scripts that are given a file of the demonstration, by its ending.
GIVEN = {"c3d_65535/make.py": ".mtj.csv", "second_result_layer/repro.py": ".avi"}


def run_case(folder: Path, demo: Path) -> bool:
    """Run one case in a copy; return False if a script failed."""
    fine = True
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / folder.name
        shutil.copytree(folder, copy)
        copy.chmod(0o755)
        # the program `napari-deepmtj` is that of this interpreter
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        for name in SCRIPTS:
            if not (copy / name).exists():
                continue
            script = copy / name
            text = script.read_text(encoding="utf-8")
            for before, now in MOVED.items():
                text = text.replace(before, now)
            script.chmod(0o644)
            script.write_text(text, encoding="utf-8")
            command = ["bash" if name.endswith(".sh") else sys.executable, name]
            if ending := GIVEN.get(f"{folder.name}/{name}"):
                command.append(str(next(demo.rglob(f"*{ending}"))))
            done = subprocess.run(
                command,
                cwd=copy,
                env=os.environ | {"PATH": path},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            print(f"--- {folder.name}/{name}: exit {done.returncode}\n{done.stdout.strip()}")
            fine &= done.returncode == 0
    return fine


def main() -> int:
    """Run all cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", help="of cases; all by default")
    options = parser.parse_args()
    names = options.names or sorted(p.name for p in options.folder.iterdir() if p.is_dir())
    with tempfile.TemporaryDirectory() as temporary:
        program = [sys.executable, "-m", "napari_deepmtj.cli.app", "demo", "--out", temporary]
        subprocess.run(program, check=True, capture_output=True)
        demo = Path(temporary)
        failed = [name for name in names if not run_case(options.folder / name, demo)]
    print(f"\n{len(names)} cases, {len(failed)} with a script that failed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

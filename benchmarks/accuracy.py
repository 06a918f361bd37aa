"""Measure every figure of docs/explanation/accuracy.md: errors, coverage and calibration.

    python benchmarks/accuracy.py [SECTION ...] [--model MODEL ...] [--data DATA] [--write]

MODEL is an id, a file, or COMMIT:ID for the weights that this repository held then.

Sections: real (the development set that decides which model ships), composite-nuisances,
composite-stress and warnings (its pictures spoilt; whether unfamiliar ones are told), phantom,
devices, stress, nuisances (made-up pictures), stills, clip, without (real ones, where DATA is
there), speed. All by default; each writes its own part of the document.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import accuracy_development
import accuracy_phantom
import accuracy_real
from accuracy_frames import Judge, Piece, draw_pieces
from markdown_tables import markdown, write_between
from napari_deepmtj.inference.backends.base import BackendName
from napari_deepmtj.weights.store import bundled_folder, load_model, read_card

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "explanation" / "accuracy.md"
DATA = ROOT.parent / "shared" / "data" / "real"
#: Subjects and seeds: unseen ones on known scanners, and others on scanners of the test set.
SUBJECTS, SEED = 40, 1000
DEVICE_SUBJECTS, DEVICE_SEED = 32, 1001
#: Pictures of a batch, and seconds, of the speed.
SPEED_BATCH, SPEED_SECONDS = 16, 3.0


class Run:
    """What sections share: models, and pictures that are drawn when first needed."""

    def __init__(self, models: dict[str, str], data: Path, workers: int) -> None:
        self.models, self.data, self.workers = models, data, workers
        self.real_train = data.parent / "real_train"

    @cached_property
    def judges(self) -> list[Judge]:
        """The models, ready to track."""
        return [Judge(file, title=title) for title, file in self.models.items()]

    @cached_property
    def unseen(self) -> list[Piece]:
        """Unseen subjects on the scanners that training draws."""
        return draw_pieces(SUBJECTS, SEED, "training", self.workers)

    @cached_property
    def devices(self) -> list[Piece]:
        """Unseen subjects on scanners of the test set."""
        return draw_pieces(DEVICE_SUBJECTS, DEVICE_SEED, "test", self.workers)


def speed(run: Run) -> str:
    """Forward passes a second on one core, of every backend that is installed."""
    rows = []
    for name in run.models.values():
        model = load_model(name)
        shape = (SPEED_BATCH, model.card.input_height, model.card.input_width)
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        for backend in (BackendName.TORCH, BackendName.ONNXRUNTIME):
            rate = _rate(name, backend, pixels)
            rows.append((f"{model.card.id} {model.card.version}", backend.value, f"{rate:.0f}"))
    return markdown(("model", "backend", "frames/s on one core"), rows)


def _rate(name: str, backend: BackendName, pixels: np.ndarray) -> float:
    from napari_deepmtj.inference.backends.select import open_backend
    from napari_deepmtj.inference.backends.threads import Threads

    ready = open_backend(load_model(name), backend, "cpu", how=Threads(1))
    ready.infer(pixels)
    best, began = 0.0, time.perf_counter()
    while time.perf_counter() - began < SPEED_SECONDS:
        start = time.perf_counter()
        ready.infer(pixels)
        best = max(best, len(pixels) / (time.perf_counter() - start))
    return best


SECTIONS: dict[str, Callable[[Run], str]] = {
    "real": lambda run: accuracy_development.development(run.judges, run.data, run.real_train),
    "composite-nuisances": lambda run: accuracy_development.composite_nuisances(
        run.judges, run.real_train
    ),
    "composite-stress": lambda run: accuracy_development.composite_stress(
        run.judges, run.real_train
    ),
    "warnings": lambda run: accuracy_development.warnings(run.judges, run.data, run.real_train),
    "phantom": lambda run: accuracy_phantom.accuracy(run.judges, run.unseen),
    "devices": lambda run: accuracy_phantom.accuracy(run.judges, run.devices, by_style=True),
    "stress": lambda run: accuracy_phantom.stress(run.judges, run.devices),
    "nuisances": lambda run: accuracy_phantom.nuisances(
        run.judges, accuracy_phantom.some_frames(run.unseen)
    ),
    "stills": lambda run: accuracy_real.stills(run.judges, run.data),
    "clip": lambda run: accuracy_real.clip(run.judges, run.data),
    "without": lambda run: accuracy_real.without(run.judges, run.data),
    "speed": speed,
}
REAL = ("real", "composite-nuisances", "composite-stress", "warnings", "stills", "clip", "without")


def main() -> None:
    """Print, and write if asked, the sections asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION")
    parser.add_argument(
        "--model", action="append", help="id, file or COMMIT:ID; all bundled ones by default"
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--write",
        type=Path,
        nargs="?",
        const=DOCUMENT,
        help="document; docs/explanation/accuracy.md if bare",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    files = sorted(bundled_folder().glob("*.safetensors"))
    with TemporaryDirectory() as folder:
        asked = arguments.model or [read_card(file).id for file in files]
        models = dict(model_file(name, Path(folder)) for name in asked)
        measure(Run(models, arguments.data, arguments.workers), arguments)


def model_file(name: str, folder: Path) -> tuple[str, str]:
    """Return the title and the id or file of a model; weights of a commit are put into `folder`.

    Raises
    ------
    SystemExit
        If the commit holds no weights of that id.
    """
    if found := re.fullmatch(r"([0-9a-f]{7,40}):([\w-]+)", name):
        commit, model = found.groups()
        listed = _git("ls-tree", "-r", "--name-only", commit).decode().splitlines()
        paths = [path for path in listed if Path(path).name == f"{model}.safetensors"]
        if not paths:
            raise SystemExit(f"commit {commit} holds no weights of {model}")
        path = folder / f"{commit}-{model}.safetensors"
        path.write_bytes(_git("show", f"{commit}:{paths[0]}"))
        name = str(path)
    card = load_model(name).card
    of = found.group(1) if found else card.version
    return f"{card.id} {of} `{card.sha256[:8]}`", name


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.decode().strip())
    return done.stdout


def measure(run: Run, arguments: argparse.Namespace) -> None:
    """Measure, print and write the sections asked for."""
    hashes = ", ".join(
        f"{title.split()[0]} {load_model(name).card.sha256[:12]}"
        for title, name in run.models.items()
    )
    print(f"models {hashes}; {platform.processor() or platform.machine()}\n")
    for name in arguments.sections or SECTIONS:
        if name in REAL and not arguments.data.is_dir():
            print(f"{name}: skipped, there is no {arguments.data}\n")
            continue
        began = time.perf_counter()
        text = SECTIONS[name](run)
        print(f"## {name} ({time.perf_counter() - began:.0f} s)\n\n{text}\n", flush=True)
        if arguments.write:
            write_between(arguments.write, f"accuracy {name}", f"Weights: {hashes}.\n\n{text}")


if __name__ == "__main__":
    main()

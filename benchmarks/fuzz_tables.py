"""Damaged labels, tables, channels, side-cars, results and weights, and how each ends.

From valid files of every kind that is read beside clips mutants are made: damaged bytes as by
`fuzz_mutants.py`, hostile cells, rows, columns and encodings of texts, and hostile values of JSON.
The n-th of a seed is always the same. Each is read in a process of its own with 1 GiB of memory
more than the libraries and 10 s of processor time, as `fuzz_reader.py` does.

    python benchmarks/fuzz_tables.py [--seed 22] [--files 2000] [--only N]
        [--output docs/reference/labels.md]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

import fuzz_mutants as mutants
from fuzz_reader import CPU_SECONDS, OUTCOMES, Verdict, run, table
from fuzz_seeds import Clip, write_video
from napari_deepmtj.batch.presets import read_presets
from napari_deepmtj.batch.study import read_study
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.labels.formats import convert
from napari_deepmtj.labels.table import Label, read_labels, write_labels
from napari_deepmtj.mechanics.channels import read_channels
from napari_deepmtj.results import formats
from napari_deepmtj.results.formats.track import Options
from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory
from napari_deepmtj.training.recipes import load_recipe
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, read_sidecar, sidecar_path, write_sidecar
from napari_deepmtj.weights.keras_file import read_keras_layers
from napari_deepmtj.weights.store import DEFAULT_MODEL, bundled_folder, load_model

MARKS = ("<!-- fuzz-tables:begin -->", "<!-- fuzz-tables:end -->")

#: Cells that break arithmetic, parsing or spreadsheets.
CELLS = (
    *("", "nan", "inf", "-inf", "1e308", "-1", "0", "1e-300", "0x10", "1_000", "1,5", "٣", "½"),
    *("9" * 400, "a" * 70_000, '"', "'", "=1+1", "\0", "\ufeff", "a\nb", "../../etc/passwd"),
    *("2026-13-45", "True", "None", "[]", "{}", "\ud83d\ude00".encode("utf-16", "surrogatepass")
      .decode("utf-16")),
)  # fmt: skip
ENCODINGS = ("utf-16", "utf-32", "latin-1", "cp1252", "utf-8-sig", "utf-16-be")
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**400, "", "x" * 70_000),
    *([], {}, [[[]]], {"": {}}, "\0"),
)


@dataclass(frozen=True)
class Seed:
    """A valid file, and what reads it."""

    clip: Clip
    read: Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """One mutant."""

    number: int
    damage: str
    clip: Clip
    read: Callable[[Path], object]

    def judge(self, path: Path) -> Verdict:
        """Read, and look at what is said."""
        try:
            self.read(path)
        except DeepMTJError as error:
            message = str(error)
            names = {path.name, *(Path(name).name for name in self.clip.files)}
            one_line = "\n" not in message and len(message) < 2000
            if not one_line or not any(name in message for name in names):
                return Verdict("no name", message[:500])
            return Verdict(OUTCOMES[2], message)
        return Verdict(OUTCOMES[0], "")


def cell(clip: Clip, rng: Generator) -> Clip:
    """Replace a cell of a text by a hostile one."""

    def change(lines: list[str]) -> list[str]:
        row = int(rng.integers(len(lines)))
        parts = lines[row].split(mark := _separator(lines[row]))
        parts[int(rng.integers(len(parts)))] = str(rng.choice(CELLS))
        return [*lines[:row], mark.join(parts), *lines[row + 1 :]]

    return _lines(clip, rng, change)


def rows(clip: Clip, rng: Generator) -> Clip:
    """Double, drop, cut or exchange rows."""

    def change(lines: list[str]) -> list[str]:
        a, b = (int(k) for k in rng.integers(0, len(lines), 2))
        return [
            [*lines[:a], lines[a], *lines[a:]],
            [*lines[:a], *lines[a + 1 :]],
            [*lines[:a], lines[a][: len(lines[a]) // 2], *lines[a + 1 :]],
            [*lines[:a], lines[b], *lines[a + 1 :]],
            [*lines, *lines],
        ][int(rng.integers(5))]

    return _lines(clip, rng, change)


def columns(clip: Clip, rng: Generator) -> Clip:
    """Drop, double or exchange columns, or change what parts them."""

    def change(lines: list[str]) -> list[str]:
        mark = _separator(lines[0])
        if rng.integers(4) == 0:
            other = str(rng.choice([",", ";", "\t", "|", " "]))
            return [line.replace(mark, other) for line in lines]
        width = len(lines[0].split(mark))
        order = list(range(width))
        a, b = (int(k) for k in rng.integers(0, width, 2))
        order = [order[:a] + order[a + 1 :], [*order, a], [b if k == a else k for k in order]][
            int(rng.integers(3))
        ]
        cells = [line.split(mark) for line in lines]
        return [mark.join(part[k] for k in order if k < len(part)) for part in cells]

    return _lines(clip, rng, change)


def encoding(clip: Clip, rng: Generator) -> Clip:
    """Write a text in another encoding, or with other ends of lines."""
    name = _target(clip, rng)
    text = clip.files[name].decode("utf-8", "replace")
    if rng.integers(3) == 0:
        text = text.replace("\n", str(rng.choice(["\r", "\r\n", "\n\n", "\u2028"])))
    return _with(clip, name, text.encode(str(rng.choice(ENCODINGS)), "replace"))


def values(clip: Clip, rng: Generator) -> Clip:
    """Replace a value of JSON by a hostile one; of other texts a cell."""
    names = [name for name in sorted(clip.files) if name.endswith("json")]
    if not names:
        return cell(clip, rng)
    name = names[int(rng.integers(len(names)))]
    content = json.loads(clip.files[name])
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(content)
    node, key = places[int(rng.integers(len(places)))]
    if isinstance(node, dict) and rng.integers(4) == 0:
        del node[key]
    else:
        node[key] = VALUES[int(rng.integers(len(VALUES)))]
    return _with(clip, name, json.dumps(content).encode())


def elsewhere(clip: Clip, rng: Generator) -> Clip:
    """Put nothing, an archive that lies, or noise in the place of a file."""
    name = _target(clip, rng)
    heads = (
        b"",
        b"PK\x03\x04",
        b"\x89HDF\r\n\x1a\n",
        (2**62).to_bytes(8, "little") + b"{",
        b"\x1f\x8b",
    )
    return _with(
        clip, name, heads[int(rng.integers(len(heads)))] + rng.bytes(int(rng.integers(600)))
    )


def _target(clip: Clip, rng: Generator) -> str:
    return str(rng.choice(sorted(clip.files)))


def _with(clip: Clip, name: str, content: bytes) -> Clip:
    return replace(clip, files={**clip.files, name: content})


def _separator(line: str) -> str:
    return max(",;\t", key=line.count)


def _lines(clip: Clip, rng: Generator, change: Callable[[list[str]], list[str]]) -> Clip:
    name = _target(clip, rng)
    lines = clip.files[name].decode("utf-8", "surrogateescape").splitlines()
    if not lines:
        return clip
    text = "\n".join(change(lines)) + "\n"
    return _with(clip, name, text.encode("utf-8", "surrogateescape"))


DAMAGES: dict[str, Callable[[Clip, Generator], Clip]] = {
    "cut off": mutants.truncate,
    "bits flipped": mutants.flip,
    "header edited": mutants.header,
    "spliced": mutants.splice,
    "cells": cell,
    "rows": rows,
    "columns": columns,
    "encoding": encoding,
    "values": values,
    "something else": elsewhere,
}


def trajectory(clip: str, sha256: str) -> Trajectory:
    """Return a result of twelve frames."""
    predictions = [
        FramePrediction(k, 20.0 + k, 12.0, np.diag([2.0, 1.0]), 0.8, in_view=True)
        for k in range(12)
    ]
    provenance = Provenance(clip, sha256, 12, 64, 48, scale=Scale(0.2, 0.2, "test"))
    times = FrameTimes.from_rate(12, 25, "container")
    return Trajectory.from_predictions(predictions, times, provenance.and_then("track"))


def seeds_in(folder: Path) -> list[Seed]:
    """Write valid files of every kind, read each once, and return them."""
    folder.mkdir(parents=True)
    video = folder / "clip.avi"
    write_video(video, "mjpeg", "yuvj420p", {}, "avi")
    with open_video(video) as source:
        sha256 = source.sha256
    labels = [
        Label(clip=video.name, clip_sha256=sha256, frame=k, x_px=10.0 + k, y_px=8.0, annotator="A")
        for k in range(5)
    ]
    imported = partial(convert.read, clips=[video], annotator="A")
    seeds: list[Seed] = []

    def add(kind: str, opened: str, read: Callable[[Path], object], *beside: str) -> None:
        read(folder / opened)  # what cannot be read whole says nothing when damaged
        seeds.append(Seed(Clip.of(kind, folder, opened, *beside), read))

    write_labels(folder / "clip.mtj-labels.csv", labels)
    add("labels", "clip.mtj-labels.csv", read_labels)
    for form, name in {
        convert.Format.AUTHORS: "authors.csv",
        convert.Format.DEEPLABCUT: "CollectedData_A.csv",
        convert.Format.COCO: "coco.json",
        convert.Format.LABEL_STUDIO: "studio.json",
        convert.Format.SLEAP: "labels.slp",
    }.items():
        convert.write(folder / name, labels, form, clips=[video])
        add("foreign labels", name, imported)
    saved = trajectory(video.name, sha256)
    write_trajectory(saved, folder / "clip.mtj.csv")
    add("result", "clip.mtj.csv", read_trajectory, "clip.mtj.json")
    for key, name in {
        "tidy": "clip.csv", "netcdf": "clip.nc", "dlc-csv": "clipDLC.csv", "dlc-h5": "clipDLC.h5",
        "sto": "clip.sto", "mot": "clip.mot", "trc": "clip.trc", "c3d": "clip.c3d",
    }.items():  # fmt: skip
        formats.write(saved, folder / name, key, Options())
        add("exported result", name, partial(formats.read, key=key))
    table = pd.DataFrame({"file": ["clip.avi"], "subject": ["S1"], "scale": [0.2], "notes": ["é"]})
    table.to_csv(folder / "study.csv", index=False)
    add("study", "study.csv", read_study)
    table.to_excel(folder / "study.xlsx", index=False)
    add("study", "study.xlsx", read_study)
    times = np.arange(30) / 100
    pd.DataFrame({"time (s)": times, "Torque (Nm)": times**2, "Angle (deg)": -times}).to_csv(
        folder / "channels.csv", index=False
    )
    add("channels", "channels.csv", read_channels)
    add("channels", "clip.c3d", partial(read_channels, part=None))
    add("channels", "clip.mot", read_channels)
    write_sidecar(video, ClipInfo(Scale(0.2, 0.2, "given by hand"), distal_side="right"))
    add("side-car", sidecar_path(video).name, lambda path: read_sidecar(path.with_name(video.name)))
    presets = '[lab]\nroi = [2, 3, 40, 30]\nscale = 0.2\ndistal_side = "right"\n'
    (folder / "presets.toml").write_text(presets, encoding="utf-8")
    add("presets", "presets.toml", read_presets)
    recipes = Path(sys.modules[load_recipe.__module__].__file__ or "").parent / "recipes"
    shutil.copy(recipes / "compact.toml", folder / "recipe.toml")
    add("recipe", "recipe.toml", lambda path: load_recipe(str(path)))
    shutil.copy(bundled_folder() / "compact-fast.safetensors", folder / "net.safetensors")
    add("weights", "net.safetensors", load_model)
    _keras(folder / "keras.h5")
    add("weights", "keras.h5", read_keras_layers)
    return seeds


def _keras(path: Path) -> None:
    """Write a file as Keras 2 saves weights."""
    import h5py

    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"conv"]
        layer = group.create_group("conv")
        layer.attrs["weight_names"] = [b"conv/kernel:0"]
        layer.create_dataset("conv/kernel:0", data=np.ones((3, 3, 1, 2), np.float32))


def case(seeds: list[Seed], seed: int, number: int) -> Case:
    """Return mutant `number` of a seed."""
    rng = np.random.default_rng([seed, number])
    # as often as kinds of files, not as often as files
    kinds = sorted({each.clip.kind for each in seeds})
    kind = kinds[int(rng.integers(len(kinds)))]
    among = [each for each in seeds if each.clip.kind == kind]
    chosen = among[int(rng.integers(len(among)))]
    damage = list(DAMAGES)[int(rng.integers(len(DAMAGES)))]
    return Case(number, damage, DAMAGES[damage](chosen.clip, rng), chosen.read)


def main() -> int:
    """Run all mutants asked for, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=22)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--only", type=int, help="run this mutant alone, and show what it says")
    parser.add_argument("--memory", type=int, default=1024, help="MiB beyond the libraries")
    parser.add_argument("--output", type=Path, help=f"file whose {MARKS[0]} part is replaced")
    options = parser.parse_args()
    load_model(DEFAULT_MODEL)
    work = Path(tempfile.mkdtemp(prefix="fuzz"))
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    failed, began = 0, time.monotonic()
    try:
        seeds = seeds_in(work / "valid")
        numbers = range(options.first, options.first + options.files)
        for number in numbers if options.only is None else [options.only]:
            mutant = case(seeds, options.seed, number)
            verdict, _ = run(mutant, work / "case", options.memory)
            counts[mutant.clip.kind, mutant.damage][verdict.outcome] += 1
            bad = verdict.outcome not in OUTCOMES
            failed += bad
            if bad or options.only is not None:
                line = f"{number}: {mutant.clip.opened}, {mutant.damage}"
                print(f"{line}: {verdict.outcome}: {verdict.text[:600]}", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    total = sum(counts.values(), Counter()).total()
    print(f"\nseed {options.seed}, {len(seeds)} valid files, {total} mutants, {failed} failed, ")
    print(f"{time.monotonic() - began:.0f} s\n\n{table(counts)}")
    if options.output is not None:
        first, rest = options.output.read_text(encoding="utf-8").split(MARKS[0])
        caption = (
            f"`python benchmarks/fuzz_tables.py --seed {options.seed} --files {total}`: mutants of "
            f"{len(seeds)} valid files, each read in a process with {options.memory} MiB and "
            f"{CPU_SECONDS} s of processor time.\n\n"
        )
        text = f"{first}{MARKS[0]}\n{caption}{table(counts)}\n{MARKS[1]}{rest.split(MARKS[1])[1]}"
        options.output.write_text(text, encoding="utf-8")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

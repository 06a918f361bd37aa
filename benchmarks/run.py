"""How fast tracking is, beside its parts and beside what a person would use instead.

    python benchmarks/run.py [--output PAGE.md] [--long] [--quick] [--profile]

One phantom clip is drawn and written as each kind of file. Decoding alone, the network alone, and
tracking, which is both, take turns, so that a ratio compares what the machine gave at the same
time; of several rounds the best counts. Less than six minutes on two quiet cores; `--long` adds a
clip of 100,000 frames, `--quick` is a slice that takes seconds and measures nothing well.
`--profile` looks only where the time of tracking goes, in less than two minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

import speed_parts as parts
from machine import features
from markdown_tables import markdown, write_between
from napari_deepmtj.errors import DeviceError
from napari_deepmtj.inference.backends.base import BackendName
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.weights.store import Model, bundled_folder, find_models, load_model
from speed_clips import KINDS, ROI, repeat, write_clips
from speed_length import in_own_process
from speed_profile import shares

#: P20 (Leitner et al. 2020, doi:10.1109/EMBC44109.2020.9176145): 200 frames in 1.5 s.
PAPER_PER_S = 200 / 1.5

#: Subject of the clip; no recipe trains on it.
SEED = 4177

FIRST = "h264.mp4"
BACKENDS = [name.value for name in BackendName if name is not BackendName.AUTO]

#: Frames of the clips whose length is compared, the last one with `--long` only.
LENGTHS, LONG = (200, 2000), 100_000

#: Frames that are drawn for the profile alone, and of the clip that they make.
PROFILE_DRAWN, PROFILED = 20, 600


@dataclass
class Speed:
    """Best times of one clip, model and backend, in seconds; `n` frames."""

    kind: str
    model: str
    backend: str
    n: int
    decode_s: float = float("inf")
    network_s: float = float("inf")
    track_s: float = float("inf")
    first_s: float = float("inf")

    @property
    def ratio(self) -> float:
        """Frames a second of tracking over those of its slower part alone."""
        return max(self.decode_s, self.network_s) / self.track_s


@dataclass
class Found:
    """All that a run measures."""

    machine: str
    frames: int
    speeds: list[Speed] = field(default_factory=list)
    by_hand_s: dict[str, float] = field(default_factory=dict)
    flow_s: float = float("inf")
    lengths: list[dict[str, Any]] = field(default_factory=list)
    profile: dict[str, dict[str, float]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def bundled() -> list[str]:
    """Return the ids of the models that come with the package."""
    return [file.card.id for file in find_models()[0] if file.path.parent == bundled_folder()]


def usable(asked: argparse.Namespace, found: Found) -> Iterator[tuple[Model, str]]:
    """Yield models and the backends that compute them here."""
    for id_ in asked.models:
        model = load_model(id_)
        for name in asked.backends:
            print(f"{id_}, {name}", flush=True)
            try:
                parts.alone(model, name)
            except DeviceError as error:
                found.left_out.append(f"{id_} with {name}: {error}")
                continue
            yield model, name


def measure_speeds(asked: argparse.Namespace, clips: dict[str, Path], found: Found) -> None:
    """Time parts and whole of every clip, model and backend by turns."""
    ready = [
        (model, name, parts.alone(model, name), parts.runner(model, name))
        for model, name in usable(asked, found)
    ]
    for kind, path in clips.items():
        with open_video(path) as source:
            lines = [Speed(kind, m.card.id, name, source.n_frames) for m, name, _, _ in ready]
            found.speeds.extend(lines)
            pixels = {model.card.id: parts.inputs_of(source, model) for model, *_ in ready}
            for model, _, _, runner in ready:
                parts.track_s(source, model, runner)  # warm
            for _ in range(asked.rounds):
                for line, (model, _, alone, runner) in zip(lines, ready, strict=True):
                    content = parts.pixel_map(model).content
                    line.decode_s = min(line.decode_s, parts.decode_s(source))
                    took = parts.network_s(alone, pixels[line.model], content)
                    line.network_s = min(line.network_s, took)
                    took, first = parts.track_s(source, model, runner)
                    line.track_s, line.first_s = min(line.track_s, took), min(line.first_s, first)
            for line in lines:
                print(" ".join(str(cell) for cell in speed_row(line)), flush=True)


def measure_others(asked: argparse.Namespace, path: Path, found: Found) -> None:
    """Time what a person would use instead, on the same clip."""
    middle = torch.tensor([ROI.x + ROI.width / 2, ROI.y + ROI.height / 2]).double().numpy()
    with open_video(path) as source:
        for _ in range(asked.rounds):
            found.flow_s = min(found.flow_s, parts.flow_s(source, middle))
            for id_ in asked.models:
                before = found.by_hand_s.get(id_, float("inf"))
                took = parts.by_hand_s(path, load_model(id_))
                found.by_hand_s[id_] = min(before, took)


def measure_profile(asked: argparse.Namespace, path: Path, found: Found) -> None:
    """Look where the time of tracking goes."""
    with open_video(path) as source:
        for id_ in asked.models:
            model = load_model(id_)
            runner = parts.runner(model, asked.profile_backend)
            parts.track_s(source, model, runner)

            def work(model: Model = model, runner: Any = runner) -> None:
                for _ in range(asked.rounds):
                    parts.track_s(source, model, runner)

            found.profile[f"{id_}, {runner.backend.name}"] = shares(work)


def measure_lengths(asked: argparse.Namespace, path: Path, folder: Path, found: Found) -> None:
    """Track clips of several lengths, each in a process of its own."""
    for n in (*LENGTHS, *((LONG,) if asked.long else ())):
        clip = folder / f"{n}.mp4"
        repeat(path, clip, n)
        found.lengths.append(in_own_process(clip, asked.models[0], "torch"))
        clip.unlink()
        print(found.lengths[-1], flush=True)


SPEED_HEAD = [
    "clip",
    "model",
    "backend",
    "decode alone, /s",
    "network alone, /s",
    "tracking, /s",
    "of the slower part",
    "first result, s",
]


def speed_row(line: Speed) -> list[str]:
    """Return one line of the first table."""
    rates = [f"{line.n / s:.0f}" for s in (line.decode_s, line.network_s, line.track_s)]
    kind = KINDS[line.kind]
    return [kind, line.model, line.backend, *rates, f"{line.ratio:.2f}", f"{line.first_s:.2f}"]


def against_table(found: Found) -> str:
    """Return tracking the H.264 clip beside everything else that could be done with it."""
    lines = [line for line in found.speeds if line.kind == FIRST]
    n = found.frames
    others = {f"{model}, eager torch fed by OpenCV": s for model, s in found.by_hand_s.items()}
    others |= {"OpenCV Lucas-Kanade, one point": found.flow_s, "paper (P20)": n / PAPER_PER_S}
    if lines:
        others["decoding alone"] = min(line.decode_s for line in lines)
    rows = []
    for line in lines:
        by_hand = found.by_hand_s.get(line.model, float("nan"))
        times = [
            f"{other / line.track_s:.2f}"
            for other in (n / PAPER_PER_S, by_hand, found.flow_s, line.decode_s)
        ]
        seconds = f"{line.track_s:.2f}"
        rows.append([line.model, line.backend, seconds, f"{n / line.track_s:.0f}", *times])
    for name, seconds in others.items():
        rows.append([name, "", f"{seconds:.2f}", f"{n / seconds:.0f}", "", "", "", ""])
    head = ["", "backend", f"{n} frames, s", "frames/s", "times the paper"]
    return markdown([*head, "times by hand", "times flow", "times decoding"], rows)


def length_table(found: Found) -> str:
    """Return speed and memory by length of the clip."""
    names = ("first_per_s", "last_per_s", "settled_mb", "growth_mb")
    rows = [
        [f"{one['frames']:,}", *(f"{one[name]:.0f}" for name in names)] for one in found.lengths
    ]
    head = ["frames", "first tenth, /s", "last tenth, /s", "memory after 1000, MB", "growth, MB"]
    return markdown(head, rows)


def profile_table(found: Found) -> str:
    """Return where the time goes."""
    names = list(dict.fromkeys(part for of in found.profile.values() for part in of))
    rows = [[n, *(f"{of.get(n, 0.0):.1%}" for of in found.profile.values())] for n in names]
    return markdown(["part", *found.profile], rows)


def tables(found: Found) -> dict[str, str]:
    """Return the text of each place in the document."""
    left_out = "".join(f"\n\nNot measured: {what}." for what in dict.fromkeys(found.left_out))
    if not torch.cuda.is_available():
        left_out += "\n\nNot measured: every device but the CPU; no GPU was at hand."
    if not found.speeds:
        return {"profile": f"{found.machine}\n\n{profile_table(found)}"}
    made = {
        "machine": found.machine,
        "speeds": markdown(SPEED_HEAD, map(speed_row, found.speeds)) + left_out,
        "against": against_table(found),
        "profile": f"{found.machine}\n\n{profile_table(found)}",
    }
    if any(one["frames"] >= LONG for one in found.lengths):
        made["lengths"] = length_table(found)
    elif found.lengths:
        made["short lengths"] = length_table(found)
    return made


def profile_alone(asked: argparse.Namespace, folder: Path, found: Found) -> None:
    """Look where the time goes, on a few frames repeated."""
    few = write_clips(folder, [FIRST], min(asked.frames, PROFILE_DRAWN), asked.seed)[FIRST]
    clip = folder / "repeated.mp4"
    repeat(few, clip, min(PROFILED, 50 * asked.frames))
    measure_profile(asked, clip, found)


def show(asked: argparse.Namespace, found: Found) -> None:
    """Print the tables, and put them where they are asked for."""
    made = tables(found)
    for what, text in made.items():
        print(f"\n{what}\n\n{text}")
    if asked.json:
        asked.json.write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")
    if asked.output:
        for what, text in made.items():
            write_between(asked.output, what, text)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a slice, to see that it runs")
    parser.add_argument("--profile", action="store_true", help="only where the time goes")
    parser.add_argument("--long", action="store_true", help=f"also {LONG:,} frames")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=bundled())
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--profile-backend", choices=["auto", *BACKENDS], default="auto")
    parser.add_argument("--output", type=Path, help="a document with places for the tables")
    parser.add_argument("--json", type=Path, help="all figures")
    asked = parser.parse_args()
    if asked.quick:
        asked.frames, asked.rounds, asked.models = 12, 1, asked.models[:1]
        asked.kinds, asked.backends, asked.profile_backend = [FIRST], ["torch"], "torch"
    found = Found(features(), asked.frames)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.profile:
            profile_alone(asked, folder, found)
            show(asked, found)
            return
        clips = write_clips(folder, asked.kinds, asked.frames, asked.seed)
        measure_speeds(asked, clips, found)
        first = next(iter(clips.values()))
        measure_others(asked, first, found)
        measure_profile(asked, first, found)
        if not asked.quick and FIRST in clips:
            measure_lengths(asked, clips[FIRST], folder, found)
    show(asked, found)


if __name__ == "__main__":
    sys.exit(main())

"""Damaged and absurd clips through the reader and the command line, and how each ends.

From valid clips of every kind (`fuzz_seeds.py`) mutants are made (`fuzz_mutants.py`), the n-th of
a seed always the same. Each is opened in a process of its own that is forked from one where all
libraries are loaded, with 1 GiB of memory more than that and 10 s of processor time: first, last
and random frames, then all in order. One in twenty goes through `napari-deepmtj track` instead.

    python benchmarks/fuzz_reader.py [--seed 1] [--files 3000] [--seconds S] [--memory 1024]
        [--only N] [--keep FOLDER] [--output docs/reference/clips.md]

What counts as a failure is listed at `FAILURES`; it exits with 1 if there was any.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, Protocol

import numpy as np

import fuzz_mutants as mutants
import fuzz_seeds as seeds
from napari_deepmtj.errors import CalibrationError, DeepMTJError, VideoError
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.weights.store import DEFAULT_MODEL, load_model

CPU_SECONDS = 10
WALL_SECONDS = 90  # a process that waits for ever, on a machine that is busy

#: Frames that are read in order at most.
IN_ORDER = 40

#: One in so many mutants goes through the command line.
CLI_EVERY = 20

MARKS = ("<!-- fuzz:begin -->", "<!-- fuzz:end -->")

OUTCOMES = ("read", "read with a notice", "refused in one line")

FAILURES = {
    "crash": "the process died of a signal",
    "hang": f"more than {CPU_SECONDS} s of processor time, or {WALL_SECONDS} s in all",
    "exception": "anything raised but the package's own errors, MemoryError included",
    "traceback": "the command line printed one, or more or less than one line of error",
    "no name": "a message without the file's name, of several lines, or with its folder",
    "identifier": "something said names the person in the file",
    "silent loss": "a file that was cut off gave fewer frames, and no notice",
    "wrong frame": "a file that was cut off gave another picture for a frame",
}

#: Streams without any count or index: what is lost at their end cannot be known (clips.md).
ENDLESS = (".ts", ".mpg", ".264", ".wmv")

#: So many of their last pictures may be damaged: the last stored, and B-frames that refer to it.
ENDLESS_LAST = 3


@dataclass(frozen=True)
class Verdict:
    """How one mutant ended: an outcome, or a failure, and what was said."""

    outcome: str
    text: str


@dataclass(frozen=True)
class Case:
    """One mutant, where it comes from, and what the clip it was made from gives."""

    number: int
    damage: str
    clip: seeds.Clip
    sums: tuple[int, ...]
    notices: frozenset[str]

    @property
    def cli(self) -> bool:
        """Whether it goes through the command line."""
        return self.number % CLI_EVERY == 3

    def judge(self, path: Path) -> Verdict:
        """Open it; in the child."""
        if not self.cli:
            warnings.simplefilter("ignore")
        return (examine_cli if self.cli else examine)(self, path)


def read_all(path: Path) -> tuple[tuple[int, ...], frozenset[str]]:
    """Return checksums of the frames of a whole clip, and its notices."""
    with open_video(path) as source:
        return tuple(zlib.crc32(f.tobytes()) for f in source.frames()), frozenset(source.notices)


class Maker:
    """Makes mutant n of a seed, whatever was made before.

    Parameters
    ----------
    seed : int
        Of all random choices.
    folder : Path
        Where valid clips are read once.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self._seed = seed
        self.clips = seeds.make()
        sound = next(clip for clip in self.clips if clip.opened == "mjpeg.avi")
        self._absurd = mutants.absurd(sound.files["mjpeg.avi"])
        self._whole = {}
        for at, clip in enumerate(self.clips):
            sums, notices = read_all(clip.write(folder / str(at)))
            if len(sums) < (4 if len(clip.files) > 1 else 1):
                raise SystemExit(f"{clip.opened} is not valid: {len(sums)} frames")
            self._whole[clip.opened] = sums, notices
        self._damages: dict[str, Callable[[seeds.Clip, np.random.Generator], seeds.Clip]] = {
            "cut off": mutants.truncate,
            "bits flipped": mutants.flip,
            "header edited": mutants.header,
            "sizes and counts": mutants.field,
            "spliced": mutants.splice,
            "swapped": lambda clip, rng: mutants.swap(clip, self.clips, rng),
        }

    def case(self, number: int) -> Case:
        """Return mutant `number`."""
        rng = np.random.default_rng([self._seed, number])
        if number < len(self._absurd) or rng.integers(25) == 0:
            clip = self._absurd[number % len(self._absurd)]
            if number >= len(self._absurd):
                clip = mutants.header(clip, rng)
            return Case(number, "absurd", clip, (), frozenset())
        whole = self.clips[int(rng.integers(len(self.clips)))]
        damage = str(rng.choice(list(self._damages), p=[0.28, 0.22, 0.14, 0.18, 0.1, 0.08]))
        clip = self._damages[damage](whole, rng)
        return Case(number, damage, clip, *self._whole[whole.opened])


def examine(case: Case, path: Path) -> Verdict:
    """Open, read out of order and in order, close; in the child."""
    said: list[str] = []
    outcome = OUTCOMES[2]
    try:
        with open_video(path) as source:
            n = source.n_frames
            rng = np.random.default_rng(case.number)
            for frame in (0, n - 1, *rng.integers(0, n, 3).tolist()):
                with contextlib.suppress(VideoError):
                    try:
                        assert source.read(frame).shape == (source.height, source.width)
                    except VideoError as error:
                        said.append(str(error))
                        raise
            sums = [zlib.crc32(f.tobytes()) for f in islice(source.frames(), IN_ORDER)]
            facts = [source.name, source.metadata, source.times.source, repr(source)]
            told = set(source.notices) - case.notices
            said += [json.dumps(facts), *source.notices, f"{source.scale} {source.roi}"]
            outcome = OUTCOMES[bool(told or len(sums) < min(n, IN_ORDER))]
            said_by = {path.name, source.name}
            bad = [text for text in said[: -3 - len(source.notices)] if not _named(text, said_by)]
            if bad:
                return Verdict("no name", bad[0])
            if len(sums) < min(n, IN_ORDER) and not told:
                return Verdict("silent loss", f"{len(sums)} of {n} frames, no notice")
            if case.damage == "cut off" and not told:
                lost = _loss(case, path, sums, "grey_window" in source.metadata)
                if lost is not None:
                    return lost
    except DeepMTJError as error:
        said.append(str(error))
        names = {path.name, *(Path(name).name for name in case.clip.files)}
        if isinstance(error, CalibrationError):
            names.add(f"{path.stem}.mtj-clip.json")
        if not _named(str(error), names) or str(path.parent) in str(error):
            return Verdict("no name", str(error))
    return Verdict(outcome, "\n".join(said))


def _named(text: str, names: set[str]) -> bool:
    return "\n" not in text and any(text.startswith(name) for name in names)


def _loss(case: Case, path: Path, sums: list[int], windowed: bool) -> Verdict | None:
    """Hold what a cut-off file gave without a word against the whole one."""
    whole = list(case.sums[:IN_ORDER])
    if path.suffix in ENDLESS:
        sums = sums[:-ENDLESS_LAST]
        whole = whole[: len(sums)]
    if len(sums) < len(whole):
        return Verdict("silent loss", f"{len(sums)} of {len(whole)} frames, no notice")
    if not windowed and sums != whole:
        return Verdict("wrong frame", f"{sums} are not {whole}")
    return None


def examine_cli(case: Case, path: Path) -> Verdict:
    """Run `napari-deepmtj track` on two frames; in the child."""
    from napari_deepmtj.cli.app import main

    out = path.parent / "results"
    with tempfile.TemporaryFile("w+") as stderr, tempfile.TemporaryFile("w+") as stdout:
        os.dup2(stderr.fileno(), 2)
        os.dup2(stdout.fileno(), 1)
        try:
            main(["track", str(path), "--frames", "0:2", "--out", str(out), "--device", "cpu"])
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for file in (stderr, stdout):
            file.seek(0)
        said, printed = stderr.read(), stdout.read()
    text = said + printed + "".join(p.read_text("utf-8", "replace") for p in out.rglob("*.mtj*"))
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    others = [line for line in said.splitlines() if not line.startswith(("error: ", "note: "))]
    if "Traceback" in text or others or len(errors) != (code != 0):
        return Verdict("traceback", said)
    if errors and not _named(errors[0].removeprefix("error: "), {path.name}):
        return Verdict("no name", errors[0])
    return Verdict(OUTCOMES[2] if errors else OUTCOMES["note: " in said], text)


class Judged(Protocol):
    """A mutant that can be written, and judged in the child."""

    @property
    def clip(self) -> seeds.Clip:
        """Its files."""

    def judge(self, path: Path) -> Verdict:
        """Read it."""


def child(case: Judged, path: Path, memory: int, pipe: int) -> NoReturn:
    """Examine a mutant within limits, write the verdict to the pipe, and end."""
    try:
        data = int(re.findall(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())[0])
        limit = data * 1024 + memory * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
        verdict = case.judge(path)
        if any(secret in verdict.text for secret in seeds.SECRETS.values()):
            verdict = Verdict("identifier", verdict.text)
    except BaseException as error:
        verdict = Verdict("exception", f"{type(error).__name__}: {error} {_where(error)}")
    os.write(pipe, json.dumps(asdict(Verdict(verdict.outcome, verdict.text[:9000]))).encode())
    os._exit(0)


def _where(error: BaseException) -> str:
    trace, places = error.__traceback__, []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return " < ".join(reversed(places[-6:]))


def run(case: Judged, folder: Path, memory: int) -> tuple[Verdict, float]:
    """Write a mutant, fork, and wait for its verdict; return it and the seconds it took."""
    path = case.clip.write(folder)
    began = time.monotonic()
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        child(case, path, memory, writer)
    os.close(writer)
    answer = b""
    while time.monotonic() - began < WALL_SECONDS:
        if select.select([reader], [], [], 1)[0]:
            data = os.read(reader, 65536)
            answer += data
            if not data:
                break
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(reader)
    status = os.waitpid(pid, 0)[1]
    seconds = time.monotonic() - began
    shutil.rmtree(folder)
    if answer:
        return Verdict(**json.loads(answer)), seconds
    died = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    hung = died in (signal.SIGXCPU, signal.SIGKILL) and seconds > CPU_SECONDS - 1
    return Verdict("hang" if hung else "crash", f"signal {died}, {seconds:.1f} s"), seconds


def table(counts: dict[tuple[str, str], Counter[str]]) -> str:
    """Return outcomes by kind of clip and by damage, in Markdown."""
    columns = [*OUTCOMES, "failed"]
    lines = [f"| | files | {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) + 1)]
    for place in (0, 1):
        groups: dict[str, Counter[str]] = defaultdict(Counter)
        for key, counter in counts.items():
            groups[key[place]].update(counter)
        lines += [_row(name, groups[name]) for name in sorted(groups)]
    lines.append(_row("**all**", sum(counts.values(), Counter())))
    return "\n".join(lines)


def _row(name: str, counter: Counter[str]) -> str:
    good = [counter[outcome] for outcome in OUTCOMES]
    numbers = [counter.total(), *good, counter.total() - sum(good)]
    return f"| {name} | {' | '.join(str(number) for number in numbers)} |"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=3000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--memory", type=int, default=1024, help="MiB beyond the libraries")
    parser.add_argument("--only", type=int, help="run this mutant alone, and show what it says")
    parser.add_argument("--keep", type=Path, help="folder for the mutants that failed")
    parser.add_argument("--output", type=Path, help=f"file whose {MARKS[0]} part is replaced")
    return parser.parse_args(arguments)


def main() -> int:
    """Run, print, and return the exit status."""
    options = parse()
    for module in (
        "cli.app",
        "inference.predictor",
        "results.trajectory_file",
        "video.stacks.folder",
        "video.dicom.source",
    ):
        importlib.import_module(f"napari_deepmtj.{module}")
    load_model(DEFAULT_MODEL)
    work = Path(tempfile.mkdtemp(prefix="fuzz"))
    try:
        return fuzz(options, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def fuzz(options: argparse.Namespace, work: Path) -> int:
    """Run all mutants asked for."""
    maker = Maker(options.seed, work / "valid")
    gc.collect()
    gc.freeze()
    numbers = range(options.first, options.first + options.files)
    if options.only is not None:
        numbers = range(options.only, options.only + 1)
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    slowest, failed, began = 0.0, 0, time.monotonic()
    for number in numbers:
        if time.monotonic() - began > options.seconds:
            break
        if number % 100 == 0:
            print(f"{number} after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        case = maker.case(number)
        verdict, seconds = run(case, work / "case", options.memory)
        slowest = max(slowest, seconds)
        counts[case.clip.kind, case.damage][verdict.outcome] += 1
        if verdict.outcome not in OUTCOMES or options.only is not None:
            failed += verdict.outcome not in OUTCOMES
            line = f"{number}: {case.clip.opened}, {case.damage}{', cli' * case.cli}"
            print(f"{line}: {verdict.outcome}: {verdict.text}", flush=True)
            if options.keep is not None:
                case.clip.write(options.keep / str(number))
    total = sum(counts.values(), Counter()).total()
    print(
        f"\nseed {options.seed}, {len(maker.clips)} valid clips, {total} mutants, {failed} failed,"
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"slowest {slowest:.1f} s, processor {used.ru_utime + used.ru_stime:.0f} s in all, "
        f"{options.memory} MiB\n\n{table(counts)}"
    )
    if options.output is not None:
        write_table(options.output, maker, options, counts)
    return int(failed > 0)


def write_table(path: Path, maker: Maker, options: argparse.Namespace, counts: Any) -> None:
    """Replace the marked part of a document."""
    first, rest = path.read_text().split(MARKS[0])
    total = sum(counts.values(), Counter()).total()
    text = (
        f"{MARKS[0]}\n`python benchmarks/fuzz_reader.py --seed {options.seed} --files {total}`: "
        f"mutants of {len(maker.clips)} valid clips, each in a process with {options.memory} MiB "
        f"and {CPU_SECONDS} s\nof processor time, one in {CLI_EVERY} through `track`. Failures "
        "would be: " + "; ".join(f"{name}, {what}" for name, what in FAILURES.items()) + ".\n\n"
    )
    path.write_text(f"{first}{text}{table(counts)}\n{MARKS[1]}{rest.split(MARKS[1])[1]}")


if __name__ == "__main__":
    sys.exit(main())

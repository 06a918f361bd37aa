"""Hold every figure of mechanics against trials of which the answer is known.

    python benchmarks/known_mechanics.py [--subjects 8] [--seed 1808] [--folder DIR] [--write]

Twice: from the true positions of the frames, where nothing but the mechanics can be wrong (within
2 %), and end to end (within 1 mm, or 10 % for what is no length): clips of subjects no model was
trained on, tracked by the default model, then gated and smoothed, or fused with optical flow;
torque and angle brought to the clip's time by the trigger. All at even times and at uneven ones.

`--positions` leaves the tracking out. Clips that were drawn and results stay in `--folder`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

import known_trials as trials
from markdown_tables import markdown, write_between
from napari_deepmtj.core.jobs import Done
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.mechanics.analysis import Analysis, Plan, analyse, passive_curve
from napari_deepmtj.mechanics.cycles import find_cycles
from napari_deepmtj.mechanics.resample import resample
from napari_deepmtj.mechanics.sync import by_trigger
from napari_deepmtj.mechanics.tendon import PassiveCurve
from napari_deepmtj.phantom.cohort import subjects
from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory
from napari_deepmtj.tracking.fusion import fuse
from napari_deepmtj.tracking.gate import gate
from napari_deepmtj.tracking.smooth import smooth
from napari_deepmtj.video.opening import VideoSource, open_video
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar
from napari_deepmtj.weights.store import load_model

TRACKING_DOC = Path(__file__).parents[1] / "docs" / "explanation" / "tracking.md"
#: Seconds at rest with which a contraction begins.
REST_S = 0.4
#: The excursion is taken from smoothed positions, which hold less of a contraction's tremor.
LEAST_EXCURSION = 3.0
LEAST_TRUE, LEAST_MM, LEAST_PERCENT = 2.0, 1.0, 10.0
PASSIVE, CONTRACTION = "passive", "contraction"
TRUE_EVEN, TRUE_UNEVEN = "true positions, 25/s", "true positions, 15 to 60/s"
SMOOTHED_EVEN, SMOOTHED_UNEVEN = "smoothed, 25/s", "smoothed, 8 to 25/s"
FUSED_EVEN, FUSED_UNEVEN = "fused, 25/s", "fused, 8 to 25/s"
POSITIONS = (TRUE_EVEN, TRUE_UNEVEN)
TRACKED = (SMOOTHED_EVEN, SMOOTHED_UNEVEN, FUSED_EVEN, FUSED_UNEVEN)


@dataclass(frozen=True)
class Answer:
    """One figure of one trial, and what it should be."""

    subject: int
    movement: str
    way: str
    figure: str
    unit: str
    value: float
    true: float

    @property
    def error(self) -> float:
        """Return the error in the figure's unit."""
        return self.value - self.true

    @property
    def percent(self) -> float:
        """Return the error in percent of the true value."""
        return 100 * self.error / abs(self.true)

    @property
    def met(self) -> bool:
        """Return whether it is as near as it must be."""
        if self.way.startswith("true"):
            smoothed = self.figure == "excursion"
            return abs(self.percent) <= (LEAST_EXCURSION if smoothed else LEAST_TRUE)
        if self.unit == "mm":
            return abs(self.error) <= LEAST_MM
        return abs(self.percent) <= LEAST_PERCENT


def true_figures(trial: trials.Trial, movement: str) -> dict[str, tuple[float, str]]:
    """Return what is true, from the MTJ at 1000 Hz and how the trial was made."""
    speed = np.gradient(trial.d, trial.t)
    known = {
        "excursion": (float(np.ptp(trial.d)), "mm"),
        "excursion, raw": (float(np.ptp(trial.d)), "mm"),
        "peak velocity, proximally": (float(speed.max()), "mm/s"),
        "peak velocity, distally": (float(speed.min()), "mm/s"),
    }
    if movement == PASSIVE:
        cycles = find_cycles(trial.t, trial.d)
        if len(cycles):
            known["cycle excursion, mean"] = (float(cycles.excursions.mean()), "mm")
            known["cycle duration, mean"] = (float(cycles.durations.mean()), "s")
            known["range of the mean cycle"] = (float(np.ptp(cycles.mean)), "mm")
        mtu = 0.00214 * trials.SHANK_MM  # mm a degree
        known["MTU change"] = (mtu * float(np.ptp(trial.ankle_deg)), "mm")
        known["tendon change"] = (
            (mtu - trials.MM_PER_DEG) * float(np.ptp(trial.ankle_deg)), "mm",
        )  # fmt: skip
        known["muscle's share"] = (100 * trials.MM_PER_DEG / mtu, "%")
        return known
    elongation = trial.elongation_mm - trial.elongation_mm[trial.t <= REST_S].mean()
    force = trials.STIFFNESS_N_MM * trial.elongation_mm
    known["elongation, greatest"] = (float(elongation.max()), "mm")
    known["force, greatest"] = (float(force.max()), "N")
    known["stiffness"] = (trials.STIFFNESS_N_MM, "N/mm")
    return known


def measured(
    trial: trials.Trial, movement: str, trajectory: Trajectory, passive: PassiveCurve | None
) -> Analysis:
    """Measure a trial as a person would, with what the dynamometer recorded."""
    seconds = trajectory.table["time_s"].to_numpy(dtype=np.float64)
    offset = by_trigger(trial.channels, "Trigger").offset_s
    beside = resample(trial.channels, offset, seconds, lowpass_hz=20.0).channels
    rest = trajectory.frames[seconds <= REST_S]
    plan = Plan(trial.clip.distal_side, ankle="Ankle")
    if movement == PASSIVE:
        plan = Plan(
            trial.clip.distal_side, ankle="Ankle", knee=trials.KNEE_DEG, shank_mm=trials.SHANK_MM
        )
    else:
        plan = Plan(
            trial.clip.distal_side,
            rest=(int(rest[0]), int(rest[-1])),
            cycles=False,
            ankle="Ankle",
            torque="Torque",
            moment_arm=trials.ARM_MM,
        )
    return analyse(trajectory, plan, channels=beside, passive=passive)


def true_trajectory(trial: trials.Trial, seconds: np.ndarray) -> Trajectory:
    """Return a result that has the true positions."""
    assert trial.clip.scale is not None
    xy = trials.at_times(trial, seconds) / [trial.clip.scale.x_mm, trial.clip.scale.y_mm]
    rows = [FramePrediction(i, x, y, np.diag([1.0, 1.0]), 0.9, True) for i, (x, y) in enumerate(xy)]
    said = Provenance("true", "aa", len(xy), trial.clip.height, trial.clip.width,
                      scale=trial.clip.scale)  # fmt: skip
    return Trajectory.from_predictions(rows, FrameTimes(seconds), said)


def tracked(trial: trials.Trial, way: str, folder: Path) -> Trajectory:
    """Track a clip, then smooth or fuse it; what was tracked and fused is kept in `folder`."""
    even = way in (SMOOTHED_EVEN, FUSED_EVEN)
    facts = trial.clip.metadata
    name = f"{facts['subject_seed']}_{facts['clip']}_{'even' if even else 'uneven'}"
    path, fused = folder / f"{name}.mtj.csv", folder / f"{name}_fused.mtj.csv"
    wanted = fused if way in (FUSED_EVEN, FUSED_UNEVEN) else path
    if not wanted.exists():
        with _source(trial, even, folder, name) as source:
            if not path.exists():
                write_trajectory(_finished(track(source, load_model("compact"))), path)
            if wanted is fused:
                write_trajectory(_finished(fuse(read_trajectory(path), source)), fused)
    found = read_trajectory(wanted)
    return found if wanted is fused else smooth(gate(found).trajectory).trajectory


def _source(trial: trials.Trial, even: bool, folder: Path, name: str) -> VideoSource:
    frames = trials.pictures(trial, folder)
    if even:
        return trials.even_source(trial, frames)
    clip, _ = trials.write_uneven(trial, frames, folder / f"{name}.mkv")
    write_sidecar(clip, ClipInfo(trial.clip.scale, trial.clip.roi, trial.clip.distal_side))
    return open_video(clip)


def _finished(job: Iterator[object]) -> Trajectory:
    *_, last = job
    assert isinstance(last, Done), last
    return last.result


def answers(seed: int, ways: tuple[str, ...], folder: Path) -> Iterator[Answer]:
    """Yield every figure of one subject."""
    pair = {PASSIVE: trials.make(seed, 0), CONTRACTION: trials.make(seed, 1)}
    for way in ways:
        passive = None
        for movement, trial in pair.items():
            if way.startswith("true"):
                even = way == TRUE_EVEN
                seconds = (
                    trial.clip.times.seconds if even else trials.uneven(trial.t[-1], seed % 2**31)
                )
                trajectory = true_trajectory(trial, seconds)
            else:
                trajectory = tracked(trial, way, folder)
            done = measured(trial, movement, trajectory, passive)
            found = {f.name: f.value for f in done.figures}
            if movement == PASSIVE:
                passive = passive_curve(done.table)
                if done.cycles is not None and len(done.cycles):
                    found["range of the mean cycle"] = float(np.ptp(done.cycles.mean))
            for figure, (true, unit) in true_figures(trial, movement).items():
                yield Answer(seed, movement, way, figure, unit, found[figure], true)


def table(found: list[Answer], ways: tuple[str, ...]) -> str:
    """Return a table of the documents: median and worst error, and how many are near enough."""
    rows = []
    for movement, figure in sorted(
        dict.fromkeys((a.movement, a.figure) for a in found), reverse=True
    ):
        row = [f"{movement}: {figure}"]
        for way in ways:
            some = [a for a in found if (a.movement, a.figure, a.way) == (movement, figure, way)]
            in_mm = some[0].unit == "mm" and way not in POSITIONS
            size = np.abs([a.error if in_mm else a.percent for a in some])
            digits, unit = ("{:.2f}", "mm") if in_mm else ("{:.3g}", "%")
            middle, worst = (digits.format(v) for v in (np.median(size), np.max(size)))
            row.append(f"{middle}, {worst} {unit}: {sum(a.met for a in some)} of {len(some)}")
        rows.append(row)
    return markdown(["median, worst error: met", *ways], rows)


def main() -> None:
    """Print the table, and write it into the document if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1808)
    parser.add_argument("--folder", type=Path, default=Path("known_mechanics"))
    parser.add_argument("--positions", action="store_true", help="from true positions only")
    parser.add_argument("--output", type=Path, help="every figure, as JSON")
    parser.add_argument("--write", action="store_true", help=f"the table into {TRACKING_DOC.name}")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    ways = POSITIONS if asked.positions else (*POSITIONS, *TRACKED)
    found: list[Answer] = []
    for subject in subjects(asked.subjects, asked.seed):
        found += answers(subject.seed, ways, asked.folder)
        print(f"subject {subject.seed} done", flush=True)
    text = "\n\n".join(table(found, some) for some in (POSITIONS, ways[2:]) if some)
    print(text)
    if asked.output:
        asked.output.write_text(json.dumps([asdict(a) for a in found], indent=1))
    if asked.write:
        said = f"Seed {asked.seed}, {asked.subjects} made-up subjects, the default model."
        write_between(TRACKING_DOC, "known mechanics", f"{said}\n\n{text}")


if __name__ == "__main__":
    main()

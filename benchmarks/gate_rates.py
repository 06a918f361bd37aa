"""How often the quality gate flags what it should, and what it should not, on made-up clips.

    python benchmarks/gate_rates.py --seed 812 --clips 20 [--folder DIR] [--write]

Corrupted clips (`corruption.py`) of subjects no model was trained on, tracked by the default model.
The default limits were chosen on seed 811 and are reported on another. Clips that were drawn and
results of tracking stay in `--folder`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import corruption
from markdown_tables import markdown, write_between
from napari_deepmtj.core.jobs import Done
from napari_deepmtj.core.trajectory import Flag, Trajectory
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory
from napari_deepmtj.tracking.gate import Limits, gate
from napari_deepmtj.weights.store import load_model

TRACKING_DOC = Path(__file__).parents[1] / "docs" / "explanation" / "tracking.md"
#: A position further away than this is wrong (the published tolerance).
WRONG_MM = 5.0
#: A step that changes the error by more than this is a break; one in which the MTJ itself goes
#: further than `FAST_MM` (50 mm/s), without a break, is counted apart.
BREAK_MM, FAST_MM = 2.5, 2.0
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Count:
    """Rows that should be flagged, and those that should not."""

    name: str
    flagged: int
    should: int
    wrongly: int
    should_not: int


@dataclass(frozen=True)
class Truth:
    """What is true of a clip: (x, y) of the MTJ, px, NaN out of view; mm a pixel; the size."""

    xy: npt.NDArray[np.float64]
    mm: float
    width: int
    height: int


def clip(seed: int, number: int, folder: Path) -> tuple[Truth, Trajectory]:
    """Return what is true of a clip, and its result, from files if they are there."""
    known = folder / f"{seed}_{number:03d}.npz"
    result = folder / f"{seed}_{number:03d}.mtj.csv"
    if not (known.exists() and result.exists()):
        made = corruption.make(seed, number, folder)
        assert made.source.scale is not None
        *_, last = track(made.source, load_model("compact"), device="cpu")
        assert isinstance(last, Done), last
        write_trajectory(last.result, result)
        size = [made.source.width, made.source.height]
        np.savez(known, xy=made.truth, mm=made.source.scale.x_mm, size=size)
    with np.load(known) as kept:
        width, height = (int(n) for n in kept["size"])
        truth = Truth(kept["xy"], float(kept["mm"]), width, height)
    return truth, read_trajectory(result)


def counts(true: Truth, trajectory: Trajectory, limits: Limits) -> list[Count]:
    """Count the flags of one clip against what is true of it."""
    mm = true.mm
    lists = gate(trajectory, limits).trajectory.table["flags"].fillna("").str.split(";")

    def has(*flags: Flag) -> BoolArray:
        return np.array([not {f.value for f in flags}.isdisjoint(row) for row in lists])

    error = (trajectory.xy_px - true.xy) * mm
    size = np.hypot(*error.T)
    seen, out = np.isfinite(trajectory.xy_px[:, 0]), np.isnan(true.xy[:, 0])
    wrong = seen & (out | (size > WRONG_MM))
    right = seen & ~wrong
    unsure = (Flag.LOW_CONFIDENCE, Flag.HIGH_SD)
    away = np.column_stack([true.xy, [true.width - 1, true.height - 1] - true.xy]).min(axis=1)
    edge = seen & ~out & ((away + 0.5) * mm < (limits.edge_mm or 0))

    rows = np.flatnonzero(seen)
    before, after = rows[:-1], rows[1:]
    change = np.hypot(*(error[after] - error[before]).T)
    broken = ~(change <= BREAK_MM)  # with an invented position, too
    own = np.hypot(*(true.xy[after] - true.xy[before]).T) * mm / (after - before)
    fast = ~broken & (own > FAST_MM)
    outlier = has(Flag.OUTLIER)
    said = has(Flag.JUMP)[after] | (outlier[after] != outlier[before])

    def count(name: str, flagged: BoolArray, should: BoolArray, should_not: BoolArray) -> Count:
        return Count(
            name,
            int((flagged & should).sum()),
            int(should.sum()),
            int((flagged & should_not).sum()),
            int(should_not.sum()),
        )

    everything = has(*unsure, Flag.OUTLIER, Flag.JUMP, Flag.AT_EDGE, Flag.OUTSIDE_ROI)
    still = np.zeros_like(fast)
    return [
        count("`not_in_view`: out of view, in view", ~seen, out, ~out),
        count(f"`low_confidence`: wrong by {WRONG_MM:g} mm, right", has(unsure[0]), wrong, right),
        count(f"`high_sd`: wrong by {WRONG_MM:g} mm, right", has(unsure[1]), wrong, right),
        count("any flag: wrong, right", everything, wrong, right),
        count("`outlier`, `jump`: broken steps, slow ones", said, broken, ~broken & ~fast),
        count("`outlier`, `jump`: none, steps above 50 mm/s", said, still, fast),
        count("`at_edge`: within 2 mm of the border, not", has(Flag.AT_EDGE), edge, right & ~edge),
    ]


def table(found: list[list[Count]]) -> str:
    """Return the table of the documents, over all clips."""
    rows = []
    for same in zip(*found, strict=True):
        flagged, should = sum(c.flagged for c in same), sum(c.should for c in same)
        wrongly, should_not = sum(c.wrongly for c in same), sum(c.should_not for c in same)
        rows.append((same[0].name, _share(flagged, should), _share(wrongly, should_not)))
    return markdown(["flag: should, should not", "should and is", "should not and is"], rows)


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "-"


def main() -> None:
    """Print the table, and write it into the document if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=812)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=Path("corrupted"))
    parser.add_argument("--write", action="store_true", help=f"the table into {TRACKING_DOC.name}")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for number in range(asked.clips):
        found.append(counts(*clip(asked.seed, number, asked.folder), Limits()))
        print(f"clip {number} done", flush=True)
    text = table(found)
    print(text)
    if asked.write:
        said = f"Seed {asked.seed}, {asked.clips} corrupted clips of 8 s, the default model."
        write_between(TRACKING_DOC, "gate rates", f"{said}\n\n{text}")


if __name__ == "__main__":
    main()

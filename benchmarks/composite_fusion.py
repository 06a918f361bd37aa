"""Fuse detector and flow on moving composites of bellies that no model has learned from.

    python benchmarks/composite_fusion.py REAL_TRAIN [--clips N] [--frames N] [--model ID]

REAL_TRAIN is the folder of real pictures that training knows; only its `development` split is used.
Prints errors against the truth, of the detector alone and fused, and how much either jitters.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from accuracy_frames import Judge
from markdown_tables import markdown
from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.phantom.composite_clips import CompositeClip
from napari_deepmtj.phantom.motion import Movement
from napari_deepmtj.tracking.fusion import fuse
from napari_deepmtj.training.real import find_real, of_split
from napari_deepmtj.training.sources import REAL_TRAIN

#: Of the clips' wedges and movements.
SEED = 812


def fused(trajectory: Trajectory, clip: CompositeClip) -> Trajectory:
    """Return a trajectory with the motion of the tissue."""
    for event in fuse(trajectory, clip):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Done):
            return event.result
    raise AssertionError("a job ends in Done or Failed")


def figures(trajectory: Trajectory, clip: CompositeClip) -> tuple[float, float, float, float]:
    """Return median and 95th percentile of the error, jitter, all in mm, and the share in view."""
    scale = clip.scale
    assert scale is not None
    table = trajectory.table
    off = (table[["x_px", "y_px"]].to_numpy(float) - clip.truth) * [scale.x_mm, scale.y_mm]
    error = np.hypot(*off.T)
    there = error[np.isfinite(error)]
    if not len(there):
        return np.nan, np.nan, np.nan, 0.0
    jitter = np.nanmedian(np.hypot(*np.diff(off, axis=0).T))
    low, high = np.percentile(there, [50, 95])
    return float(low), float(high), float(jitter), len(there) / len(error)


def main() -> None:
    """Print one row for the detector and one for detector and flow."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("real_train", type=Path)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--model", default="compact")
    arguments = parser.parse_args()
    held_out = of_split(find_real(arguments.real_train, **REAL_TRAIN), "development")
    clusters = {picture.cluster: picture.belly for picture in held_out if picture.belly is not None}
    bellies = [clusters[name] for name in sorted(clusters)]
    judge = Judge(arguments.model, backend="auto")
    rows: dict[str, list[tuple[float, float, float, float]]] = {"detector": [], "with flow": []}
    for number in range(arguments.clips):
        movement = list(Movement)[number % len(Movement)]
        belly = bellies[number % len(bellies)]
        clip = CompositeClip(belly, SEED + number, arguments.frames, movement)
        tracked = judge.track(clip)
        rows["detector"].append(figures(tracked, clip))
        rows["with flow"].append(figures(fused(tracked, clip), clip))
    table = []
    for name, values in rows.items():
        middle, high, jitter, view = np.nanmedian(np.array(values), axis=0)
        worst = np.nanmax(np.array(values)[:, 0])
        table.append(
            (
                *(name, f"{middle:.2f} mm", f"{worst:.2f} mm", f"{high:.2f} mm"),
                *(f"{jitter:.2f} mm", f"{view:.0%}"),
            )
        )
    head = ("positions", "median error", "worst clip's", "95th percentile", "jitter", "in view")
    print(f"{arguments.clips} clips of {arguments.frames} frames; medians over clips\n")
    print(markdown(head, table))


if __name__ == "__main__":
    main()

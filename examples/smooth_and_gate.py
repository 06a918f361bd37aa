"""Flag what is not to be trusted, and smooth the rest by its own uncertainty."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

from napari_deepmtj.phantom.cohort import demo_clip
from napari_deepmtj.tracking.gate import gate
from napari_deepmtj.tracking.smooth import Kalman, smooth
from tracked import tracked


def main(picture: Path, n_frames: int = 75) -> None:
    """Save raw, flagged and smoothed positions as `picture`."""
    gated = gate(tracked(demo_clip(n_frames))).trajectory
    smoothed = smooth(gated, Kalman()).trajectory.table
    raw = gated.table
    flagged = raw[raw["flags"] != ""]
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    axes.plot(raw["time_s"], raw["x_mm"], ".", color="0.6", label="tracked")
    axes.plot(flagged["time_s"], flagged["x_mm"], "rx", label="flagged")
    axes.plot(smoothed["time_s"], smoothed["x_mm"], label="smoothed")
    axes.set(xlabel="time (s)", ylabel="x (mm)")
    axes.legend()
    figure.savefig(picture, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "smooth_and_gate.png"))

"""Measure how far the junction moves along the tendon, and how fast."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

from napari_deepmtj.mechanics.motion import motion
from napari_deepmtj.phantom.cohort import demo_clip
from napari_deepmtj.tracking.smooth import Kalman, smooth
from tracked import tracked


def main(picture: Path, n_frames: int = 75) -> None:
    """Save displacement and velocity over time as `picture`."""
    clip = demo_clip(n_frames)
    moved = motion(smooth(tracked(clip), Kalman()).trajectory, clip.distal_side)
    figure, (above, below) = plt.subplots(2, sharex=True, figsize=(8, 5), layout="constrained")
    above.plot(moved.t, moved.displacement)
    above.set(ylabel=f"proximally ({moved.length_unit})", title=f"excursion {moved.excursion:.1f}")
    below.plot(moved.t, moved.velocity)
    below.set(xlabel=f"time ({moved.time_unit})", ylabel="velocity")
    figure.savefig(picture, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "displacement.png"))

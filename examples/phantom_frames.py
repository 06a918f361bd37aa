"""Draw frames of six made-up subjects, each with its true junction."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

from napari_deepmtj.phantom.cohort import subjects


def main(picture: Path, seed: int = 0) -> None:
    """Save the first frame of six subjects as `picture`."""
    figure, grid = plt.subplots(2, 3, figsize=(12, 6), layout="constrained")
    for axes, subject in zip(grid.flat, subjects(6, seed), strict=True):
        clip = subject.clip(0, n_frames=2)
        label = clip.labels(clip.name, clip.sha256)[0]
        axes.imshow(clip.read(0), cmap="gray")
        axes.plot(label.x_px, label.y_px, "c+", markersize=12)
        axes.axis("off")
    figure.savefig(picture, dpi=80)
    plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "phantom_frames.png"))

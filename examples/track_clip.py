"""Track a drawn clip and plot where its junction is, with uncertainty and truth."""

import sys
from pathlib import Path

from napari_deepmtj.phantom.cohort import demo_clip
from napari_deepmtj.report.plots import save_figure, time_plot
from tracked import tracked


def main(picture: Path, n_frames: int = 75) -> None:
    """Track `n_frames` frames and save the plot as `picture`."""
    clip = demo_clip(n_frames)
    truth = clip.labels(clip.name, clip.sha256)
    save_figure(time_plot(tracked(clip, "compact"), truth), picture)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "track_clip.png"))

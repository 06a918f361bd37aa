"""Follow the junction by optical flow from its first frame, and see how far it drifts."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from napari_deepmtj.phantom.cohort import demo_clip
from napari_deepmtj.tracking.flow import BlockMatching, LucasKanade, follow


def main(picture: Path, n_frames: int = 75) -> None:
    """Save both methods' distance from the truth as `picture`."""
    clip = demo_clip(n_frames)
    labels = clip.labels(clip.name, clip.sha256)
    truth = np.array([(label.x_px, label.y_px) for label in labels])
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for name, method in (("Lucas-Kanade", LucasKanade()), ("block matching", BlockMatching())):
        followed = follow(clip, truth[0], 0, n_frames - 1, method=method)
        off_mm = np.linalg.norm(clip.scale.to_mm(followed.xy - truth[followed.frames]), axis=1)
        axes.plot(followed.frames, off_mm, label=name)
    axes.set(xlabel="frame", ylabel="from the truth (mm)")
    axes.legend()
    figure.savefig(picture, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "optical_flow.png"))

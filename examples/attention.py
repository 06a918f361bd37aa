"""Lay the network's attention over the frame it looked at."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from napari_deepmtj import load_model, track
from napari_deepmtj.core.jobs import Failed
from napari_deepmtj.inference.predictor import Began, TrackedBatch
from napari_deepmtj.phantom.cohort import demo_clip


def main(picture: Path, frame: int = 40) -> None:
    """Save one frame of the demonstration's clip with its attention map as `picture`."""
    clip = demo_clip(frame + 1)
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    axes.imshow(clip.read(frame), cmap="gray")
    model, only = load_model("compact"), range(frame, frame + 1)
    for event in track(clip, model, roi="full", frames=only, attention=True):
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Began):
            pixel_map = event.pixel_map
        if isinstance(event, TrackedBatch) and event.attention is not None:
            attention, prediction = event.attention[0], event.predictions[0]
    step, origin = pixel_map.affine_of_map(*attention.shape)
    top, left = origin - step / 2
    bottom, right = origin + step * (np.array(attention.shape) - 0.5)
    shown = axes.imshow(attention, extent=(left, right, bottom, top), cmap="magma", alpha=0.45)
    figure.colorbar(shown, label="attention")
    axes.plot(prediction.x_px, prediction.y_px, "c+", markersize=14)
    axes.set(xlim=(0, clip.width - 1), ylim=(clip.height - 1, 0), title=f"frame {frame}")
    figure.savefig(picture, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "attention.png"))

"""Draw the examples of docs/explanation/paper.md: frames of twelve subjects.

python benchmarks/paper_pictures.py [--output docs/images/cohort.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from napari_deepmtj.phantom.study import Group, StudyClip, study

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PER_GROUP = 6


def main() -> None:
    """Draw the first annotated frame of the first video of the first subjects of each group."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=IMAGES / "cohort.png")
    output = parser.parse_args().output
    firsts: dict[str, StudyClip] = {}
    for clip in study().clips:
        firsts.setdefault(clip.subject, clip)
    figure, axes = plt.subplots(4, 3, figsize=(12, 8.6), layout="constrained")
    shown = [
        clip
        for group in Group
        for clip in [clip for clip in firsts.values() if clip.group is group][:PER_GROUP]
    ]
    for axis, clip in zip(axes.flat, shown, strict=True):
        source = clip.source()
        frame = clip.frames[0]
        axis.imshow(source.read(frame), cmap="gray", vmin=0, vmax=255)
        axis.plot(*source.truth[frame], "+", color="tab:red", markersize=14)
        assert source.scale is not None
        kind = "healthy" if clip.group is Group.HEALTHY else "impaired-like"
        width = source.width * source.scale.x_mm
        axis.set_title(f"{clip.subject}, {kind}, {width:.0f} mm wide", fontsize=9)
        axis.axis("off")
    figure.savefig(output, dpi=72, pil_kwargs={"optimize": True})
    print(output)


if __name__ == "__main__":
    main()

"""Measure a model on the published real images whose MTJ is known, and on a real clip.

    python benchmarks/real_images.py DATA [--model ID|FILE]

DATA is the folder that holds `mtj/still_a.png`, `still_b.png`, `still_c.png` and `mtj_clip.avi`,
made from figures of the deepMTJ repository (data CC BY 4.0), which are not part of this one.
The stills' positions are those of their makers' raters, as uncertain as stated below; the clip has
no truth, only a course: proximally until frame 33, and a cut back at frame 39. Where DATA also
holds `muscle_still` and `muscle_video`, mid-belly pictures without a junction, the share of them
that is called "not in view" is printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.io.video import open_video
from napari_deepmtj.weights.store import Model, load_model

#: x, y and their uncertainty in pixels, pixels per mm.
STILLS = {
    "still_a.png": ((104.6, 24.3), (1.2, 1.2), 3.1),
    "still_b.png": ((341.0, 52.0), (15.0, 5.0), 6.5),
    "still_c.png": ((437.0, 56.0), (15.0, 5.0), 6.5),
}
PROXIMAL_UNTIL, CUT = 33, 39
#: Pictures without a junction, and of the videos the B-mode region and every how manieth frame.
WITHOUT = ("muscle_still/timtrack_gastroc_*", "muscle_still/timtrack_GM_*", "muscle_video/*.mp4")
REGION, EVERY = "215,45,720,574", 20


def tracked(path: Path, model: Model, roi: str = "full", every: int = 1) -> Trajectory:
    """Track a clip or a still."""
    with open_video(path) as source:
        frames = range(0, source.n_frames, every)
        for event in track(source, model, roi=roi, frames=frames, device="cpu"):
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Done):
                return event.result
    raise AssertionError("a job ends in Done or Failed")


def main() -> None:
    """Print one line a still, and one for the clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="compact")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    print(f"model {model.card.id}, version {model.card.version}, sha256 {model.card.sha256[:12]}")
    for name, (truth, doubt, px_per_mm) in STILLS.items():
        row = tracked(arguments.data / "mtj" / name, model).table.iloc[0]
        if not row["in_view"]:
            print(f"{name}: not in view (confidence {row['confidence']:.2f})")
            continue
        off = np.array([row["x_px"], row["y_px"]]) - truth
        print(
            f"{name}: x {off[0]:+.1f} px, y {off[1]:+.1f} px from the raters "
            f"(+- {doubt[0]:g}, {doubt[1]:g}), {np.hypot(*off) / px_per_mm:.1f} mm, "
            f"confidence {row['confidence']:.2f}"
        )
    table = tracked(arguments.data / "mtj" / "mtj_clip.avi", model).table
    x = table["x_px"].to_numpy(dtype=float)
    first = x[: PROXIMAL_UNTIL + 1]
    steps = np.diff(x[:CUT])
    print(
        f"mtj_clip.avi: in view {int(table['in_view'].sum())} of {len(table)}; frames 0 to "
        f"{PROXIMAL_UNTIL}: {first[-1] - first[0]:+.1f} px, Spearman "
        f"{spearmanr(np.arange(len(first)), first, nan_policy='omit').statistic:.3f}, greatest "
        f"backward step {np.nanmax(np.diff(first)):.1f} px; greatest step before the cut "
        f"{np.nanmax(np.abs(steps)):.1f} px; at the cut {x[CUT] - x[CUT - 1]:+.1f} px"
    )
    for pattern in WITHOUT:
        absent: list[bool] = []
        for path in sorted(arguments.data.glob(pattern)):
            video = path.suffix == ".mp4"
            found = tracked(path, model, REGION if video else "full", EVERY if video else 1)
            absent += (found.table["in_view"] == 0).tolist()
        if absent:
            print(f"{pattern}: not in view in {sum(absent)} of {len(absent)} pictures without MTJ")


if __name__ == "__main__":
    main()

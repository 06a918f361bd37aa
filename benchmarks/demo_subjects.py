"""Show how usual the demonstration's subject is: the same measure on those it was chosen from.

    python benchmarks/demo_subjects.py [--model ID|FILE]

The subject of `napari-deepmtj demo` was chosen among seeds 2020 to 2045 after the errors of an
unfinished model on them had been seen. Twelve frames of each subject's first clip are tracked here,
without a codec in between.
"""

from __future__ import annotations

import argparse

import numpy as np

from napari_deepmtj.core.jobs import Done
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.phantom import Subject
from napari_deepmtj.phantom.cohort import DEMO_SEED
from napari_deepmtj.weights.store import load_model

SEEDS = range(2020, 2046)


def main() -> None:
    """Print each subject's mean error and missed frames, then how many stay within 1 mm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="compact")
    model = load_model(parser.parse_args().model)
    within = 0
    for seed in SEEDS:
        clip = Subject(seed).clip(0, n_frames=12)
        assert clip.scale is not None
        *_, last = track(clip, model, device="cpu")
        assert isinstance(last, Done)
        error = np.hypot(*(last.result.xy_px - clip.truth).T) * clip.scale.x_mm
        missed = int(np.isnan(error).sum())
        mean = float(np.nanmean(error)) if missed < len(error) else float("nan")
        within += missed == 0 and mean <= 1.0
        chosen = "  <- the demonstration's" if seed == DEMO_SEED else ""
        print(f"{seed}: mean {mean:.2f} mm, missed {missed} of {len(error)}{chosen}")
    print(f"{within} of {len(SEEDS)} subjects: no frame missed and a mean of at most 1.0 mm")


if __name__ == "__main__":
    main()

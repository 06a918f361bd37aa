"""Fine-tune the default model on 40 frames of a device it never saw; measure on other subjects.

The device is made up: its numbers lie outside the ranges from which the default model's pictures
were drawn (`phantom/materials.py` draws each look as a number in 0..1; a device beyond that range
has a number below 0 or above 1). Subjects differ between learning, validation and test. Phantom
images only.

    python benchmarks/finetune_device.py --out runs/finetune-device --output finetune.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from napari_deepmtj.core.jobs import Done, Failed, Notice
from napari_deepmtj.evaluation.metrics import compare
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.labels.labelled import LabelledClip
from napari_deepmtj.phantom.cohort import PhantomClip, Subject, subjects
from napari_deepmtj.training.events import Validated
from napari_deepmtj.training.loop import train
from napari_deepmtj.training.plan import plan
from napari_deepmtj.weights.store import Model, load_model

#: Seed of the device's subjects; neither training nor evaluation draws from it.
SEED = 9301
#: Frames of a clip, and which of them are labelled to learn from and to test on.
CLIP, LABELLED, TESTED = 60, range(9, 60, 36), range(6, 60, 12)
#: Subjects to learn from (two of them for validation), and others to test on; two clips each.
LEARN, TEST = 10, 10

#: The device: name -> (number of `Device`, its value, what it is beside the range of all others).
#: Its display is inverted besides.
DEVICE: dict[str, tuple[str, float, str]] = {
    "axial point spread": ("axial_mm", 0.38, "0.38 mm for 0.08 to 0.26 (a lower frequency)"),
    "lateral point spread": ("lateral_mm", 0.93, "0.93 mm for 0.24 to 0.72 (a small aperture)"),
}


class DeviceClip(PhantomClip):
    """A clip of the new device."""

    def __init__(self, subject_seed: int, index: int) -> None:
        super().__init__(subject_seed, index, CLIP)
        self.name = f"{subject_seed}_{self.name}"
        turned = {name: torch.tensor([value]) for name, value, _ in DEVICE.values()}
        self.device = replace(self.device, **turned)

    def _read(self, frame: int) -> npt.NDArray[np.uint8]:
        inverted: npt.NDArray[np.uint8] = 255 - super()._read(frame)
        return inverted

    def _hash(self) -> str:
        return hashlib.sha256(f"{super()._hash()} {DEVICE} inverted".encode()).hexdigest()


def labelled(subject: Subject, index: int, frames: range) -> LabelledClip:
    """Return a clip of the device with the truth of some frames."""
    source = partial(DeviceClip, subject.seed, index)
    clip = source()
    every = clip.labels(clip.name, clip.sha256)
    labels = tuple(every[frame] for frame in frames)
    return LabelledClip(clip.name, clip.sha256, str(subject.seed), labels, source)


@dataclass(frozen=True)
class Found:
    """How a model does on the test subjects.

    `mean_mm` and `median_mm` are over all frames, the model made to give a position in every one
    of them, so that before and after are of the same frames. `valid` (percent of all frames) and
    `frames` (those with a position) are as `track` has them, which leaves out what the model calls
    out of view.
    """

    mean_mm: float
    median_mm: float
    valid: float
    frames: int


def measure(model: Model, clips: list[LabelledClip]) -> Found:
    """Track the labelled frames of clips as `track` does, and compare."""
    always = replace(model.card, decoding={**model.card.decoding, "presence_threshold": 0.0})
    every = errors(model.with_card(always), clips)
    assert len(every.dropna()) == len(every)
    tracked = errors(model, clips)
    return Found(
        float(every.mean()),
        float(every.median()),
        100 * float((tracked <= 5).mean()),
        int(tracked.notna().sum()),
    )


def errors(model: Model, clips: list[LabelledClip]) -> pd.Series:
    """Return the distance to the truth in mm of every tested frame, NaN without a position."""
    tables = []
    for clip in clips:
        with clip.open() as source:
            *_, last = track(source, model, frames=TESTED, device="cpu")
        if isinstance(last, Failed):
            raise last.error
        assert isinstance(last, Done)
        tables.append(compare(last.result, clip.labels, clip.subject))
    return pd.concat(tables, ignore_index=True)["error_mm"]


def main() -> None:
    """Measure, fine-tune, measure again."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=Path("runs/finetune-device"))
    parser.add_argument("--start", default="compact", help="the model to start from")
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, help="write the result as JSON")
    options = parser.parse_args()

    people = subjects(LEARN + TEST, SEED)
    learn = [labelled(p, index, LABELLED) for p in people[:LEARN] for index in (0, 1)]
    test = [labelled(p, index, TESTED) for p in people[LEARN:] for index in (0, 1)]

    what = plan("finetune", learn, start=options.start, epochs=options.epochs)
    for side, count in what.counts.items():
        print(f"{side}: {count.frames} frames of {count.subjects} subjects")
    before = measure(load_model(options.start), test)
    began = time.perf_counter()
    result = None
    for event in train(what, options.out, device=torch.device("cpu"), workers=options.workers):
        if isinstance(event, Validated):
            print(
                f"epoch {event.epoch}: loss {event.training_loss:.3f}, validation "
                f"{event.loss:.3f}, {event.error_mm:.2f} mm{' *' * event.best}",
                flush=True,
            )
        elif isinstance(event, Notice):
            print(f"note: {event.message}")
        elif isinstance(event, Failed):
            raise event.error
        elif isinstance(event, Done):
            result = event.result
    minutes = (time.perf_counter() - began) / 60
    assert result is not None
    after = measure(load_model(result.path), test)

    print("\ndevice (value for the range the default model was trained on)")
    for name, (_, _, said) in DEVICE.items():
        print(f"  {name}: {said}")
    print("  display: inverted, dark on white")
    print(f"\n{'on other subjects of the device':34}{'before':>10}{'after':>10}")
    print(f"{'mean error, mm':34}{before.mean_mm:10.2f}{after.mean_mm:10.2f}")
    print(f"{'median error, mm':34}{before.median_mm:10.2f}{after.median_mm:10.2f}")
    print(f"{'within 5 mm, % of all frames':34}{before.valid:10.1f}{after.valid:10.1f}")
    print(f"{'frames with a position':34}{before.frames:10d}{after.frames:10d}")
    cut = 1 - after.mean_mm / before.mean_mm
    print(f"\nmean error cut by {100 * cut:.0f} % in {minutes:.1f} min ({options.workers} threads)")
    if options.output:
        row = {
            "before": vars(before),
            "after": vars(after),
            "cut": cut,
            "minutes": minutes,
            "threads": options.workers,
            "seed": SEED,
            "device": DEVICE,
        }
        options.output.write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""What a network says of a laboratory's own labels, read as tracking reads them.

What is fitted on that is `fit_confidence.py`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from napari_deepmtj.core.jobs import Notice, Progress
from napari_deepmtj.errors import LabelError
from napari_deepmtj.inference.decode import Decoding, observe
from napari_deepmtj.inference.offset import distal_side_of
from napari_deepmtj.inference.preprocess import normalise, to_network_input
from napari_deepmtj.inference.setup import Setup, prepare
from napari_deepmtj.labels.labelled import LabelledClip
from napari_deepmtj.training.observed import Observed, joined
from napari_deepmtj.video.opening import VideoSource
from napari_deepmtj.weights.store import Model

FloatArray = npt.NDArray[np.float64]

#: Frames that the network sees at a time.
BATCH = 16
#: Clips without which labels cannot be halved.
FEWEST_CLIPS = 2
#: With so many subjects the halves share none; with fewer they share no clip.
FEWEST_SUBJECTS = 4


@dataclass(frozen=True)
class LabLabels:
    """Labelled frames of a laboratory, and what a network says of them, in input pixels.

    Parameters
    ----------
    seen : Observed
        Predictions and labels.
    clip, subject : ndarray of str, shape (n,)
        Which clip, by its hash, and whose.
    tolerance : ndarray of float64, shape (n,)
        What counts as right, in input pixels.
    towards : ndarray of float64, shape (n,)
        1 where the distal side is the right one, -1 where the left one, NaN where not known.
    """

    seen: Observed
    clip: npt.NDArray[np.str_]
    subject: npt.NDArray[np.str_]
    tolerance: FloatArray
    towards: FloatArray

    def where(self, chosen: npt.NDArray[Any]) -> Self:
        """Return some of the labels, by a mask (n,) or their numbers."""
        parts = (self.clip, self.subject, self.tolerance, self.towards)
        return type(self)(self.seen.where(chosen), *(part[chosen] for part in parts))

    def shifted(self, decoding: Decoding) -> Self:
        """Return the same with the predictions moved by an offset, where it can be drawn."""
        mm = np.array([decoding.offset_distal_mm, decoding.offset_deep_mm])
        sign = np.stack([self.towards, np.ones_like(self.towards)], axis=1)
        move = mm * sign / self.seen.mm_per_px
        known = np.isfinite(move).all(axis=1, keepdims=True)
        peak = self.seen.peak
        moved = replace(peak, xy=peak.xy + np.where(known, move, 0.0))
        return replace(self, seen=replace(self.seen, peak=moved))


def look_at(
    clips: Sequence[LabelledClip], model: Model
) -> Generator[Progress | Notice, None, LabLabels]:
    """Run a model over labelled frames.

    Raises
    ------
    LabelError
        If a clip was changed since it was labelled, or lacks a frame that is labelled.
    """
    total, done = sum(len(clip.labels) for clip in clips), 0
    found: list[LabLabels] = []
    told: set[str] = set()
    for clip in clips:
        with clip.open() as source:
            if source.sha256 != clip.sha256:
                raise LabelError("was changed since it was labelled", path=clip.name)
            if clip.frames[-1] >= source.n_frames:
                raise LabelError(
                    f"is labelled, but the last frame is {source.n_frames - 1}",
                    path=clip.name,
                    frame=clip.frames[-1],
                )
            setup = prepare(source, model, clip.roi, None, None)
            for text in setup.notices:
                if text not in told:
                    told.add(text)
                    yield Notice(f"{clip.name}: {text}")
            for start in range(0, len(clip.labels), BATCH):
                labels = clip.labels[start : start + BATCH]
                found.append(_seen(replace(clip, labels=labels), source, setup))
                done += len(labels)
                yield Progress(done, total, "labelled frame")
    arrays = (
        np.concatenate([getattr(part, name) for part in found])
        for name in ("clip", "subject", "tolerance", "towards")
    )
    return LabLabels(joined([part.seen for part in found]), *arrays)


def _seen(clip: LabelledClip, source: VideoSource, setup: Setup) -> LabLabels:
    """Run the model over the labels of one part of a clip."""
    card, pixel_map = setup.model.card, setup.pixel_map
    rows = pixel_map.roi.slices
    pictures = np.stack(
        [to_network_input(source.read(frame)[rows], pixel_map) for frame in clip.frames]
    )
    inputs = normalise(pictures, card.normalisation, content=pixel_map.content)
    with torch.inference_mode():
        output = setup.model.network(inputs)
    peak, presence = observe(
        output, Decoding.from_card(card.decoding), card.input_height, card.input_width
    )
    xy = np.array(
        [(label.x_px, label.y_px) if label.visible else (np.nan, np.nan) for label in clip.labels],
        dtype=np.float64,
    )
    n, scale, side = len(xy), setup.scale, distal_side_of(source)
    step = np.full(2, np.nan)
    if scale is not None:
        step = np.array([scale.x_mm, scale.y_mm]) / pixel_map.factors
    return LabLabels(
        Observed(
            peak,
            presence,
            pixel_map.to_network(xy),
            np.array([label.visible for label in clip.labels]),
            np.tile(step, (n, 1)),
        ),
        np.full(n, clip.sha256),
        np.full(n, clip.subject),
        np.full(n, setup.tolerance_px),
        np.full(n, {"right": 1.0, "left": -1.0}.get(side or "", np.nan)),
    )


def halves(labels: LabLabels) -> tuple[npt.NDArray[np.int64], str]:
    """Return which half (n,), 0 or 1, each label is of, and what the halves do not share.

    The largest subjects, or clips, go first, each to the half that has fewer labels.

    Raises
    ------
    LabelError
        If there are fewer than `FEWEST_CLIPS` clips.
    """
    if len(np.unique(labels.clip)) < FEWEST_CLIPS:
        raise LabelError(
            f"the labels are of one clip; at least {FEWEST_CLIPS} are needed, of which some shape "
            "the region and others say how large it must be"
        )
    subjects = len(np.unique(labels.subject)) >= FEWEST_SUBJECTS
    key = labels.subject if subjects else labels.clip
    names, place, counts = np.unique(key, return_inverse=True, return_counts=True)
    half_of = np.zeros(len(names), dtype=np.int64)
    filled = [0, 0]
    for which in np.argsort(-counts, kind="stable"):
        half_of[which] = int(filled[1] < filled[0])
        filled[half_of[which]] += int(counts[which])
    return half_of[place], "subject" if subjects else "clip"

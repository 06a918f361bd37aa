"""The frames in which methods did worst, and examples of all of them, with attention maps.

Only here are pictures kept, and only those that are shown; drawing them is `report`'s.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError, ResultError
from napari_deepmtj.evaluation.cases import Case
from napari_deepmtj.evaluation.comparison import (
    ClipKey,
    Comparison,
    Evaluation,
    Marks,
    examples,
    marks_on,
)
from napari_deepmtj.evaluation.methods import Network
from napari_deepmtj.inference.predictor import Began, TrackedBatch, track
from napari_deepmtj.video.opening import until_complete

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

UInt8Array = npt.NDArray[np.uint8]

#: Frames of one clip that are shown lie at least this part of it apart: neighbours go wrong
#: together, and look alike.
APART = 0.1

Why = Literal["far", "missed", "invented"]


@dataclass(frozen=True, slots=True)
class Attention:
    """Where a network looked.

    Attributes
    ----------
    values : ndarray of float32, shape (h, w)
        The combined map over the network's whole input.
    step, origin : (float, float)
        Frame pixels per map pixel, and the frame position of the centre of map pixel (0, 0),
        both as (y, x).
    """

    values: npt.NDArray[np.float32]
    step: tuple[float, float]
    origin: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame as it is shown.

    Attributes
    ----------
    marks : Marks
        Label, ring and positions.
    grey : ndarray of uint8, shape (h, w)
        The region of the frame.
    time_s : float
        When, NaN if the clip has no times.
    attention : Attention or None
        None for an example, and for a network without maps.
    """

    marks: Marks
    grey: UInt8Array
    time_s: float
    attention: Attention | None = None


@dataclass(frozen=True, slots=True)
class Worst:
    """A frame that a method got wrong.

    Attributes
    ----------
    why : {"far", "missed", "invented"}
        Far from the label, in view but not found, or found where there is none.
    picture : Picture
        The frame, with the method's attention.
    """

    why: Why
    picture: Picture


@dataclass(frozen=True)
class Pictures:
    """Everything of a comparison that needs frames.

    Attributes
    ----------
    examples : tuple of (float, Picture)
        Percentile of the methods' mean error, and the frame that lies there.
    worst : dict of str to tuple of Worst
        By the method's name.
    """

    examples: tuple[tuple[float, Picture], ...]
    worst: dict[str, tuple[Worst, ...]]


def worst_frames(one: Evaluation, most: int) -> list[tuple[Why, ClipKey, int]]:
    """Choose the frames of a method to look at: the farthest first, then missed, then invented.

    Two thirds are the farthest, where there are others. Of each clip no more are shown than it
    takes for `most` if all are shown alike, and those lie `APART`.
    """
    errors = one.errors[~one.errors["given"].to_numpy(dtype=bool)]
    visible = errors["truth_visible"].to_numpy(dtype=bool)
    in_view = errors["in_view"].to_numpy(dtype=bool)
    error = f"error_{one.summary.unit}"
    far = errors[visible & in_view & errors[error].notna()]
    kinds: list[tuple[Why, pd.DataFrame]] = [
        ("far", far.sort_values(error, ascending=False, kind="stable")),
        ("missed", errors[visible & ~in_view]),
        ("invented", errors[~visible & in_view]),
    ]
    clips = errors.groupby(["subject", "clip", "clip_sha256"])["frame"]
    spans = dict(zip(clips.groups, (clips.max() - clips.min()).tolist(), strict=True))
    each = -(-most // max(len(spans), 1))
    chosen: dict[Why, list[tuple[Why, ClipKey, int]]] = {}
    for why, table in kinds:
        taken: dict[ClipKey, list[int]] = {}
        chosen[why] = []
        places = table[["subject", "clip", "clip_sha256", "frame"]]
        for subject, clip, sha256, frame in places.itertuples(index=False, name=None):
            if len(chosen[why]) == most:
                break
            key = (subject, clip, sha256)
            before = taken.setdefault(key, [])
            near = any(abs(frame - other) < APART * spans[key] for other in before)
            if len(before) < each and not near:
                before.append(frame)
                chosen[why].append((why, key, int(frame)))
    others = [*chosen["missed"], *chosen["invented"]]
    of_far = chosen["far"][: max(most - len(others), -(-2 * most // 3))]
    return [*of_far, *others[: most - len(of_far)]]


def gallery(
    comparison: Comparison, cases: Sequence[Case], networks: Sequence[Network], worst: int
) -> Generator[Notice | Progress | Done[Pictures] | Failed]:
    """Read the example frames and every network's worst ones again, now with attention.

    Parameters
    ----------
    comparison : Comparison
        What was measured.
    cases : sequence of Case
        On what; those that are needed are opened again.
    networks : sequence of Network
        Those whose worst frames are shown; of `comparison`, by name.
    worst : int
        Frames of each, at most.

    Yields
    ------
    Notice, Progress
        As any job; in frames.
    Done of Pictures, or Failed
        Last.
    """
    try:
        shown = examples(comparison)
        by_name = {one.name: one for one in comparison.evaluations}
        wanted = {n.name: worst_frames(by_name[n.name], worst) for n in networks}
        total = len(shown) + sum(map(len, wanted.values()))
        opener = _Opener(comparison, cases)
        of_examples: list[tuple[float, Picture]] = []
        of_networks: dict[str, tuple[Worst, ...]] = {}
        done = 0
        for percentile, key, frame in shown:
            picture = yield from opener.picture(key, frame, None)
            of_examples.append((percentile, picture))
            done += 1
            yield Progress(done, total)
        for network in networks:
            found: list[Worst] = []
            for why, key, frame in wanted[network.name]:
                picture = yield from opener.picture(key, frame, network)
                found.append(Worst(why, picture))
                done += 1
                yield Progress(done, total)
            of_networks[network.name] = tuple(found)
        yield Done(Pictures(tuple(of_examples), of_networks))
    except DeepMTJError as error:
        yield Failed(error)


class _Opener:
    """Finds the case of a clip again, and reads a frame of it."""

    def __init__(self, comparison: Comparison, cases: Sequence[Case]) -> None:
        self.comparison = comparison
        self.cases = {
            (case.subject, label.clip_sha256): case for case in cases for label in case.labels[:1]
        }

    def picture(
        self, key: ClipKey, frame: int, network: Network | None
    ) -> Generator[Notice | Progress, None, Picture]:
        """Return a frame with what is drawn on it; with attention if there is a network."""
        marks = marks_on(self.comparison, key, frame)
        subject, clip, sha256 = key
        case = self.cases.get((subject, sha256))
        if case is None:
            raise ResultError("is not among the clips to draw from", path=clip)
        with case.open() as source:
            yield from until_complete(source)
            grey = np.array(source.read(frame)[marks.clip.roi.slices])
            time_s = float(source.times.seconds[frame]) if source.times.known else float("nan")
            attention = None if network is None else _attention(source, network, marks, frame)
        return Picture(marks, grey, time_s, attention)


def _attention(source: VideoSource, network: Network, marks: Marks, frame: int) -> Attention | None:
    """Let a network look at one frame once more, and keep its map."""
    began: Began | None = None
    job = track(
        source,
        network.model,
        roi=marks.clip.roi,
        frames=range(frame, frame + 1),
        runner=network.runner,
        attention=True,
    )
    with closing(job) as events:
        for event in events:
            match event:
                case Began():
                    began = event
                case TrackedBatch(attention=maps) if maps is not None and began is not None:
                    values = maps[0].astype(np.float32)
                    step, origin = began.pixel_map.affine_of_map(*values.shape)
                    (a, b), (c, d) = step.tolist(), origin.tolist()
                    return Attention(values, (a, b), (c, d))
                case Failed(error):
                    raise error
    return None

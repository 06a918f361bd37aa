"""The queue: which frames of which clips are labelled, in which order, in batches.

How frames of one clip are chosen is `strategies`; what is done with them is `session`. Files are
opened one after the other, only when the queue needs their frames, and closed again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_deepmtj.annotation.rounds import Tolerance, disagree
from napari_deepmtj.annotation.selection import Evenly, Strategy, from_json, to_json
from napari_deepmtj.core.jobs import Done, Notice, Progress
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import DeepMTJError, LabelError
from napari_deepmtj.video.opening import VideoSource, open_video, until_complete

#: Frames in one batch; Leitner et al. 2020, doi:10.1109/EMBC44109.2020.9176145, had theirs
#: annotated "in small batches".
BATCH = 100

#: Version of what `Queue.to_json` returns.
SCHEMA = 1

#: Finds an existing prediction of a clip.
FindPrediction = Callable[[VideoSource], Trajectory | None]


@dataclass(frozen=True, slots=True)
class Item:
    """One frame to label.

    Parameters
    ----------
    clip_sha256, clip : str
        Content hash and base name of its clip.
    frame : int
        Number in the clip, from 0.
    """

    clip_sha256: str
    clip: str
    frame: int

    @property
    def key(self) -> tuple[str, int]:
        """What tells frames apart, whatever their clip is called."""
        return self.clip_sha256, self.frame


class Filter(StrEnum):
    """Which frames of a clip may be chosen."""

    ANY = "any"
    UNLABELLED = "unlabelled"
    LABELLED = "labelled"
    DISAGREEING = "disagreeing"
    FLAGGED = "flagged"


@dataclass(frozen=True, slots=True)
class Plan:
    """How the frames are chosen.

    Parameters
    ----------
    strategy : Strategy
        Chooses frames of each clip among those that `filter` leaves.
    filter : Filter
        Which frames may be chosen. Unlabelled and labelled are meant of the annotator and round
        that the queue is made for.
    batch : int
        Frames in a batch.
    tolerance : Tolerance
        How far annotators may be apart without disagreeing.
    """

    strategy: Strategy = field(default_factory=Evenly)
    filter: Filter = Filter.ANY
    batch: int = BATCH
    tolerance: Tolerance = Tolerance()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise LabelError(f"a batch of {self.batch} frames is impossible; choose 1 or more")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known when a queue is made, as of that moment.

    Parameters
    ----------
    labels : sequence of Label
        All labels of the file.
    flagged : set of (clip_sha256, frame)
        Frames that somebody flagged.
    annotator : str
        For whom the queue is made.
    round : int
        In which round.
    """

    labels: Sequence[Label] = ()
    flagged: frozenset[tuple[str, int]] = frozenset()
    annotator: str = ""
    round: int = 1

    def candidates(self, source: VideoSource, plan: Plan) -> npt.NDArray[np.int64]:
        """Return the frames of a clip that a plan's filter leaves, increasing."""
        every = np.arange(source.n_frames)
        if plan.filter is Filter.ANY:
            return every
        frames: dict[int, list[Label]] = {}
        for label in self.labels:
            if label.clip_sha256 == source.sha256:
                frames.setdefault(label.frame, []).append(label)
        if plan.filter is Filter.DISAGREEING:
            chosen = {
                f for f, said in frames.items() if disagree(said, plan.tolerance, source.scale)
            }
        elif plan.filter is Filter.FLAGGED:
            chosen = {frame for sha256, frame in self.flagged if sha256 == source.sha256}
        else:
            mine = (self.annotator, self.round)
            chosen = {
                f for f, said in frames.items() if mine in {(la.annotator, la.round) for la in said}
            }
        inside = np.isin(every, list(chosen))
        return every[~inside if plan.filter is Filter.UNLABELLED else inside]


@dataclass(frozen=True, slots=True)
class Queue:
    """Frames in the order of labelling, and the files that were not looked into yet.

    Parameters
    ----------
    plan : Plan
        How frames are chosen.
    items : tuple of Item
        Those chosen so far.
    pending : tuple of str
        Files to look into when the items run out, relative to the label file's folder.
    files : mapping
        Content hash -> file, relative likewise, of the clips that the items are of.
    """

    plan: Plan = field(default_factory=Plan)
    items: tuple[Item, ...] = ()
    pending: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    def index(self, key: tuple[str, int]) -> int | None:
        """Return where a frame stands first in the queue, None if it does not."""
        return next((i for i, item in enumerate(self.items) if item.key == key), None)

    def with_item(self, position: int, item: Item) -> Self:
        """Return the queue with an item put in at a position."""
        return replace(self, items=(*self.items[:position], item, *self.items[position:]))

    def batch_at(self, position: int) -> range:
        """Return the positions of the batch that a position belongs to."""
        first = position - position % self.plan.batch
        return range(first, min(first + self.plan.batch, len(self)))

    @property
    def batches(self) -> int:
        """Number of batches so far; more may come while files are pending."""
        return -(-len(self) // self.plan.batch)

    def to_json(self) -> dict[str, Any]:
        """Return the queue as it is stored: one row of frame numbers for each run of a clip."""
        plan = self.plan
        clips: dict[str, str] = {item.clip_sha256: item.clip for item in self.items}
        numbers = {sha256: i for i, sha256 in enumerate(clips)}
        runs: list[list[Any]] = []
        for item in self.items:
            number = numbers[item.clip_sha256]
            if not runs or runs[-1][0] != number:
                runs.append([number, []])
            runs[-1][1].append(item.frame)
        return {
            "schema": SCHEMA,
            "strategy": to_json(plan.strategy),
            "filter": plan.filter.value,
            "batch": plan.batch,
            "tolerance": [plan.tolerance.value, plan.tolerance.unit],
            "clips": [[sha256, name, self.files.get(sha256)] for sha256, name in clips.items()],
            "items": runs,
            "pending": list(self.pending),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the queue that was stored.

        Raises
        ------
        LabelError
            If it is not as this version stores it.
        """
        try:
            if data["schema"] != SCHEMA:
                raise LabelError(f"the queue has schema {data['schema']!r}; build it anew")
            clips = data["clips"]
            items = tuple(
                Item(str(clips[number][0]), str(clips[number][1]), int(frame))
                for number, frames in data["items"]
                for frame in frames
            )
            plan = Plan(
                from_json(data["strategy"]),
                Filter(data["filter"]),
                int(data["batch"]),
                Tolerance(*data["tolerance"]),
            )
            files = {str(sha256): str(file) for sha256, _, file in clips if file}
            return cls(plan, items, tuple(map(str, data["pending"])), files)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise LabelError(f"the stored queue is malformed ({error!r}); build it anew") from error

    def grow(
        self,
        n: int,
        known: Known,
        root: Path,
        find_prediction: FindPrediction,
        opened: Iterable[VideoSource] = (),
    ) -> Generator[Progress | Notice | Done[Queue]]:
        """Choose at least `n` more items, if there are so many.

        All of `opened` are used. Pending files are opened one after the other until there are
        enough, and closed again; one that cannot be used is told and left out.

        Parameters
        ----------
        n : int
            How many.
        known : Known
            Labels and flags so far.
        root : Path
            Folder that pending files are relative to.
        find_prediction : callable
            Returns a clip's prediction, if there is one.
        opened : iterable of VideoSource
            Clips that are open already; they stay open.

        Yields
        ------
        Progress in items, Notice, and Done with the longer queue
        """
        items, files = list(self.items), dict(self.files)
        before = {item.clip_sha256 for item in items}
        left = list(self.pending)
        labelled = {label.clip for label in known.labels}

        def choose(source: VideoSource) -> Iterator[Notice]:
            if source.sha256 in before:
                yield Notice(f"{source.name} is in the queue already; it is not added again")
                return
            before.add(source.sha256)
            candidates = known.candidates(source, self.plan)
            prediction = find_prediction(source)
            frames = self.plan.strategy.choose(candidates, source, prediction)
            items.extend(Item(source.sha256, source.name, frame) for frame in frames)
            if frames and source.path is not None:
                files[source.sha256] = relative(source.path, root)

        def progress() -> Progress:
            return Progress(min(len(items) - len(self), n), n)

        for source in opened:
            yield from until_complete(source)
            yield from _telling(choose, source)
            yield progress()
        while left and len(items) < len(self) + n:
            path = root / left.pop(0)
            needs_labels = self.plan.filter in (Filter.LABELLED, Filter.DISAGREEING)
            if needs_labels and not _may_be_named(path, labelled):
                continue
            yield from _telling(choose, path)
            yield progress()
        yield Done(replace(self, items=tuple(items), pending=tuple(left), files=files))


def runs_of(frames: Iterable[int]) -> list[range]:
    """Return frames as few ranges of even step, so that they can be worked on range by range."""
    runs: list[range] = []
    for frame in sorted(set(frames)):
        last = runs[-1] if runs else None
        if last is not None and len(last) == 1 and frame > last[0]:
            runs[-1] = range(last[0], frame + 1, frame - last[0])
        elif last is not None and frame == last[-1] + last.step:
            runs[-1] = range(last[0], frame + 1, last.step)
        else:
            runs.append(range(frame, frame + 1))
    return runs


def relative(path: Path, root: Path) -> str:
    """Return a file as seen from a folder, with slashes; absolute if on another drive."""
    try:
        return Path(os.path.relpath(path, root)).as_posix()
    except ValueError:
        return path.absolute().as_posix()


def _may_be_named(path: Path, names: set[str]) -> bool:
    """Whether a clip of this file may have one of the names (DICOM clips are not named so)."""
    return path.name in names or any(name.startswith("dicom-") for name in names)


def _telling(
    choose: Callable[[VideoSource], Iterator[Notice]], clip: VideoSource | Path
) -> Iterator[Notice]:
    """Choose frames of a clip that is open, or of a file; tell why one is left out."""
    try:
        with open_video(clip) if isinstance(clip, Path) else nullcontext(clip) as source:
            yield from choose(source)
    except DeepMTJError as error:
        yield Notice(f"Left out: {error}")

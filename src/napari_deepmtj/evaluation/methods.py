"""What can be evaluated: a network, or a classical tracker that starts from the first label.

Both give the positions of one clip as a `Trajectory`, and the time that took.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.trajectory import Flag, FramePrediction, Trajectory
from napari_deepmtj.inference.predictor import Began, TrackedBatch, track
from napari_deepmtj.inference.runner import Runner
from napari_deepmtj.weights.cards import RECORDING

if TYPE_CHECKING:
    from napari_deepmtj.evaluation.cases import Case
    from napari_deepmtj.tracking.flow import Method as FlowMethod
    from napari_deepmtj.video.opening import VideoSource
    from napari_deepmtj.weights.store import Model

Kind = Literal["network", "tracker"]
FindEvent = Notice | Progress | Failed


@dataclass(frozen=True)
class Found:
    """The positions of one clip, and what they took.

    Parameters
    ----------
    trajectory : Trajectory
        Of all frames that were asked for.
    seconds : float
        Wall time, reading included.
    frames : int
        Frames that were read for it.
    device : str
        Where it was computed, as "cpu".
    given : frozenset of int
        Frames whose position was taken from a label.
    """

    trajectory: Trajectory
    seconds: float
    frames: int
    device: str
    given: frozenset[int] = frozenset()


class Method(Protocol):
    """Something that says where the MTJ is in a clip."""

    @property
    def name(self) -> str:
        """What it is called; no two methods of one evaluation share a name."""

    @property
    def kind(self) -> Kind:
        """Whether it needs to be started by hand."""

    @property
    def about(self) -> Mapping[str, str]:
        """What it is, for the record: id, version and hash, or library and settings."""

    def knows(self, case: Case) -> bool:
        """Whether it learned from this very clip, or was chosen on it."""

    def find(
        self, source: VideoSource, labels: Sequence[Label], roi: Roi, *, labelled_only: bool
    ) -> Generator[FindEvent, None, Found | None]:
        """Say where the MTJ is in a clip; None after a `Failed`."""


@dataclass(frozen=True)
class Network:
    """A network, which looks at every frame by itself.

    Parameters
    ----------
    model : Model
        What it is.
    device : str
        As `inference.device.resolve_device` takes it.
    batch : int
        Frames that it sees at a time, at most.
    label : str
        What it is called; its id by default.
    backend : str
        As `inference.backends.select.open_backend` takes it.
    """

    model: Model
    device: str = "auto"
    batch: int = 16
    label: str = ""
    backend: str = "auto"

    @property
    def name(self) -> str:
        """What it is called."""
        return self.label or self.model.card.id

    @property
    def kind(self) -> Kind:
        """A network needs no start."""
        return "network"

    @property
    def about(self) -> Mapping[str, str]:
        """Id, version and hash of the weights."""
        card = self.model.card
        return {"id": card.id, "version": card.version, "sha256": card.sha256}

    @cached_property
    def runner(self) -> Runner:
        """What computes it, made ready once for all clips."""
        return Runner(self.model, self.device, self.batch, self.backend)

    def knows(self, case: Case) -> bool:
        """Whether its card names the clip, as those of own trainings do."""
        return case.labels[0].clip_sha256[:RECORDING] in self.model.card.recordings

    def find(
        self, source: VideoSource, labels: Sequence[Label], roi: Roi, *, labelled_only: bool
    ) -> Generator[FindEvent, None, Found | None]:
        """Track all frames, or the labelled ones."""
        wanted = [range(source.n_frames)]
        if labelled_only:
            wanted = list(even_runs(sorted({label.frame for label in labels})))
        total = sum(map(len, wanted))
        found: list[FramePrediction] = []
        provenance: Provenance | None = None
        seconds, device, told = 0.0, "", set[str]()
        for frames in wanted:
            spent = 0.0
            job = track(source, self.model, roi=roi, frames=frames, runner=self.runner)
            with closing(job) as events:
                for event in events:
                    match event:
                        case Began():
                            provenance = provenance or event.provenance
                        case TrackedBatch(predictions=new):
                            found.extend(new)
                            spent = event.seconds
                            yield Progress(len(found), total)
                        case Notice(message) if message not in told:
                            told.add(message)
                            yield event
                        case Failed():
                            yield event
                            return None
                        case Done(tracked):
                            device = tracked.provenance.operations[-1].arguments["device"]
            seconds += spent
        assert provenance is not None  # a job that does not fail has begun
        trajectory = Trajectory.from_predictions(found, source.times, provenance)
        return Found(trajectory, seconds, len(found), device)


@dataclass(frozen=True)
class Tracker:
    """A classical tracker, put on the true place in the first frame whose label is visible.

    It follows from there to the end of the clip; where it loses the place it says so, and from
    then on has none. The frame it starts from is given, and counts nowhere.

    Parameters
    ----------
    name : str
        What it is called.
    method : tracking.flow.Method
        How it follows: `LucasKanade` or `BlockMatching`.
    """

    name: str
    method: FlowMethod

    @property
    def kind(self) -> Kind:
        """A tracker must be started."""
        return "tracker"

    @property
    def about(self) -> Mapping[str, str]:
        """Its class, settings and all."""
        return {"id": self.name, "settings": repr(self.method)}

    def knows(self, case: Case) -> bool:
        """A tracker learns nothing."""
        del case
        return False

    def find(
        self, source: VideoSource, labels: Sequence[Label], roi: Roi, *, labelled_only: bool
    ) -> Generator[FindEvent, None, Found | None]:
        """Follow from the first visible label to the end of the clip, every frame of it."""
        from napari_deepmtj.tracking.flow import follow, opencv

        opencv()  # loaded before any time is measured
        places: dict[int, tuple[float, float]] = {}
        start = min((label.frame for label in labels if label.visible), default=None)
        seconds, followed = 0.0, 0
        if start is None:
            yield Notice("no label is visible, so no tracker can be started")
        else:
            first = next(label for label in labels if label.frame == start)
            assert first.x_px is not None
            assert first.y_px is not None
            began = time.perf_counter()
            result = follow(
                source,
                (first.x_px, first.y_px),
                start,
                source.n_frames - 1,
                method=self.method,
                roi=roi,
            )
            seconds = time.perf_counter() - began
            for frame, (x, y) in zip(result.frames.tolist(), result.xy, strict=True):
                if np.isfinite(x):
                    places[frame] = float(x), float(y)
            followed = min(len(places) + 1, source.n_frames - start)  # the one it was lost in
            yield Progress(followed, followed)
        frames = sorted({label.frame for label in labels} | places.keys())
        provenance = Provenance(
            source.name,
            source.sha256,
            source.n_frames,
            source.height,
            source.width,
            source.times.source,
            roi,
            source.scale,
        ).and_then("follow", method=repr(self.method), start=start)
        trajectory = Trajectory.from_predictions(
            [_prediction(frame, places.get(frame)) for frame in frames], source.times, provenance
        )
        given = frozenset() if start is None else frozenset({start})
        return Found(trajectory, seconds, followed, "cpu", given)


def _prediction(frame: int, place: tuple[float, float] | None) -> FramePrediction:
    """Return a tracker's word on a frame: no doubt and no confidence are known."""
    x, y = place or (np.nan, np.nan)
    flags = () if place else (Flag.NOT_IN_VIEW,)
    return FramePrediction(frame, x, y, np.full((2, 2), np.nan), np.nan, place is not None, flags)


def even_runs(frames: Sequence[int]) -> Iterator[range]:
    """Cut increasing numbers into the fewest ranges, greedily: evenly spaced ones stay together.

    >>> list(even_runs([0, 10, 20, 21, 22]))
    [range(0, 21, 10), range(21, 23)]
    """
    i = 0
    while i < len(frames):
        stop = i + 1
        step = frames[stop] - frames[i] if stop < len(frames) else 1
        while stop < len(frames) and frames[stop] - frames[stop - 1] == step:
            stop += 1
        yield range(frames[i], frames[stop - 1] + 1, step)
        i = stop

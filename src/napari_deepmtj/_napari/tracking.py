"""One tracking run: the core's generator in a worker, its results into layers as they come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Layer

from napari_deepmtj._napari import clips, convert
from napari_deepmtj._napari.convert import Kind
from napari_deepmtj._napari.jobs import Job
from napari_deepmtj._napari.placement import Placement
from napari_deepmtj._napari.session import Session
from napari_deepmtj.core.geometry import PixelMap, Roi
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.provenance import Operation, Provenance
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory
from napari_deepmtj.errors import DeepMTJError

if TYPE_CHECKING:
    from napari_deepmtj.inference.predictor import TrackedBatch
    from napari_deepmtj.io.video import VideoSource


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks for.

    Parameters
    ----------
    model : str
        Id or file of the network.
    roi : str or Roi
        As `inference.predictor.track` takes it.
    frames : range or None
        Which frames; None is all.
    device : str
        auto, cuda, mps or cpu.
    attention : bool
        Whether to show where the network looked.
    path : bool
        Whether to draw the path through all positions.
    """

    model: str
    roi: str | Roi = "auto"
    frames: range | None = None
    device: str = "auto"
    attention: bool = True
    path: bool = False


@dataclass(frozen=True, slots=True)
class Began:
    """What is settled before the first frame."""

    provenance: Provenance
    pixel_map: PixelMap


def track_events(source: VideoSource, request: Request) -> Iterator[Any]:
    """Load the model and track, on a file handle of its own; runs in the worker's thread.

    Yields
    ------
    Began, then the events of `inference.predictor.track`
    """
    from napari_deepmtj.calibration.roi import resolve_roi
    from napari_deepmtj.inference.predictor import track
    from napari_deepmtj.io.video import open_video
    from napari_deepmtj.weights.store import load_model

    own = nullcontext(source) if source.path is None else open_video(source.path)
    with own as clip:
        model = load_model(request.model)
        roi = request.roi
        if not isinstance(roi, Roi):
            roi, notices = resolve_roi(roi, clip)
            yield from (Notice(text) for text in notices)
        card, frames = model.card, request.frames or range(clip.n_frames)
        pixel_map = PixelMap.fit(
            roi, card.input_height, card.input_width, source.scale, stretch=card.stretch
        )
        provenance = Provenance(
            clip=clip.name,
            clip_sha256=clip.sha256,
            n_frames=clip.n_frames,
            height=clip.height,
            width=clip.width,
            times_source=clip.times.source,
            roi=roi,
            scale=source.scale,
        ).and_then(
            "track",
            model={"id": card.id, "sha256": card.sha256},
            frames={"start": frames.start, "stop": frames.stop, "step": frames.step},
            stopped=True,
        )
        yield Began(provenance, pixel_map)
        yield from track(
            clip,
            model,
            roi=roi,
            scale=source.scale,
            frames=request.frames,
            device=request.device,
            attention=request.attention,
        )


class TrackRun:
    """Tracks one clip of a session into its layers.

    Parameters
    ----------
    session : Session
        Shows progress and messages, and may cancel.
    clip : Image
        The layer of the clip; any (t, y, x) layer is adopted.
    request : Request
        What to do.
    """

    def __init__(self, session: Session, clip: Any, request: Request) -> None:
        self._session = session
        self._clip = session.adopt(clip)
        self._request = request
        self._source = clips.source_of(clip)
        self._began: Began | None = None
        self._failed = False
        self._job = Job(
            lambda: track_events(self._source, request),
            self._on_events,
            self._on_end,
            f"Track MTJ in {clip.name}",
        )

    def start(self) -> None:
        """Begin; returns at once."""
        self._session.take(self._job)
        self._job.start()

    # ----- events, on the main thread ---------------------------------------------------------

    def _on_events(self, events: list[Any]) -> None:
        viewer = self._session.viewer
        if viewer is None or self._clip not in viewer.layers or self._failed:
            self._job.cancel()
            return
        try:
            with self._session.updating():
                self._consume(events)
        except DeepMTJError as error:  # the result that is there belongs to another file
            self._fail(error)

    def _consume(self, events: list[Any]) -> None:
        from napari_deepmtj.inference.predictor import TrackedBatch

        batches = [event for event in events if isinstance(event, TrackedBatch)]
        for event in events:
            if isinstance(event, Notice):
                self._session.tell(event.message)
            elif isinstance(event, Began):
                self._began = event
                self._require_same_clip(event.provenance)
        if batches:
            self._show_progress(batches[-1])
            self._show_attention(batches)
            self._merge([p for batch in batches for p in batch.predictions])
        last = events[-1]
        if isinstance(last, Done):
            self._finish(last.result)
        elif isinstance(last, Failed):
            self._fail(last.error)

    def _on_end(self) -> None:
        session = self._session
        if session.viewer is not None and self._clip in session.viewer.layers:
            with session.updating():
                self._show_path()
            if self._job.cancelled and not self._failed:
                session.tell("Stopped; the frames that were done are kept.")
        session.release()

    def _fail(self, error: DeepMTJError) -> None:
        self._failed = True
        self._job.cancel()
        self._session.tell(str(error))

    # ----- layers -----------------------------------------------------------------------------

    def _points(self) -> Any:
        return self._session.find(self._clip, Kind.TRAJECTORY)

    def _require_same_clip(self, provenance: Provenance) -> None:
        if (layer := self._points()) is not None:
            empty = Trajectory.from_predictions([], self._source.times, provenance)
            convert.trajectory_of(layer).updated_by(empty)

    def _merge(self, predictions: list[FramePrediction]) -> None:
        assert self._began is not None
        part = Trajectory.from_predictions(predictions, self._source.times, self._began.provenance)
        self._show(part)

    def _show(self, part: Trajectory) -> None:
        """Put newer rows into the Points layer; rows that a person made stay."""
        layer = self._points()
        if layer is None:
            self._add(convert.layer_of_trajectory(part, self._placement(), self._id()))
        else:
            convert.show_trajectory(layer, convert.trajectory_of(layer).updated_by(part))

    def _finish(self, result: Trajectory) -> None:
        """Replace the note that a run is under way by the full account of it."""
        assert self._began is not None
        layer, interim = self._points(), self._began.provenance.operations[-1]
        shown = convert.trajectory_of(layer)
        rest: tuple[Operation, ...] = tuple(
            op for op in shown.provenance.operations if op != interim
        )
        shown = replace(shown, provenance=replace(shown.provenance, operations=rest))
        convert.show_trajectory(layer, shown.updated_by(result))
        if self._clip is self._session.active:
            self._session.viewer.layers.selection.active = layer

    def _show_progress(self, batch: TrackedBatch) -> None:
        rate = batch.done / batch.seconds if batch.seconds else float("inf")
        left = (batch.total - batch.done) / rate
        note = f"{rate:.0f} frames/s, {left:.0f} s left"
        self._session.progress = Progress(batch.done, batch.total, "frame", note)

    def _show_attention(self, batches: list[TrackedBatch]) -> None:
        found = [b for b in batches if b.attention is not None]
        if not found or self._began is None:
            return
        maps = np.concatenate([np.asarray(b.attention) for b in found])
        frames = np.array([p.frame for b in found for p in b.predictions])
        layer = self._attention_layer(maps.shape[1:])
        layer.data[frames] = maps
        if self._clip is self._session.active and self._session.frame() in frames:
            layer.refresh()

    def _attention_layer(self, shape: tuple[int, ...]) -> Any:
        """Return the layer for maps of this shape, a new one if the old one does not fit."""
        assert self._began is not None
        empty: npt.NDArray[np.float16] = np.zeros((self._source.n_frames, *shape), np.float16)
        made = Layer.create(
            *convert.layer_of_attention(
                empty, self._began.pixel_map, self._clip.name, self._placement(), self._id()
            )
        )
        old = self._session.find(self._clip, Kind.ATTENTION)
        layers = self._session.viewer.layers
        if old is not None:
            if old.data.shape == made.data.shape and Placement.of_layer(old) == Placement.of_layer(
                made
            ):
                return old
            layers.remove(old)
        return self._add(made, above=self._clip)

    def _show_path(self) -> None:
        points, path = self._points(), self._session.find(self._clip, Kind.PATH)
        if points is None or not len(points.data):
            return
        trajectory = convert.trajectory_of(points)
        if path is not None:
            convert.show_path(path, trajectory)
        elif self._request.path:
            made = convert.layer_of_path(trajectory, self._placement(), self._id())
            self._add(made, below=points)

    def _add(self, made: Any, above: Any = None, below: Any = None) -> Any:
        """Add a layer of the clip; nothing else moves, and a hidden clip stays hidden."""
        layer = made if isinstance(made, Layer) else Layer.create(*made)
        layers = self._session.viewer.layers
        selected = layers.selection.active
        layer.visible = self._clip is self._session.active
        if above is not None:
            layers.insert(layers.index(above) + 1, layer)
        elif below is not None:
            layers.insert(layers.index(below), layer)
        else:
            layers.append(layer)
        layers.selection.active = selected
        return layer

    def _placement(self) -> Placement:
        return Placement.of_layer(self._clip)

    def _id(self) -> str:
        return clips.id_of(self._clip)

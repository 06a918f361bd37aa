"""One tracking run: the core's generator in a worker, its results into layers as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj._napari.calibration import controller as calibration
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.tracking import saving
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.jobs import Job, later
from napari_deepmtj._napari.viewer.session import Session
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.provenance import Operation, Provenance
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory
from napari_deepmtj.errors import DeepMTJError

if TYPE_CHECKING:
    from napari_deepmtj.inference.predictor import Began, TrackedBatch
    from napari_deepmtj.video.opening import VideoSource


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
    attention : str or bool
        Which attention map to show, as `inference.predictor.track` takes it.
    show_attention : bool
        Whether the layer of attention is visible at once.
    path : bool
        Whether to draw the path through all positions.
    fuse, subtract_slip, smooth
        What is done with the positions once all are there, as `pipeline.clip.Steps` says.
    backend : str
        What computes on a CPU, as `inference.backends.open_backend` takes it.
    """

    model: str
    roi: str | Roi = "auto"
    frames: range | None = None
    device: str = "auto"
    attention: str | bool = True
    path: bool = False
    show_attention: bool = False
    fuse: bool = False
    subtract_slip: bool = False
    smooth: str = ""
    backend: str = "auto"


#: Seconds that the worker waits for the window to make the layers. napari needs 0.1 to 0.5 s
#: of Python for each, and twice that against a worker that computes.
PATIENCE = 3.0


def track_events(
    source: VideoSource, request: Request, ready: threading.Event | None = None
) -> Iterator[Any]:
    """Load the model and track, on a file handle of its own; runs in the worker's thread.

    Parameters
    ----------
    source : VideoSource
        The clip; its file is opened anew.
    request : Request
        What to do.
    ready : threading.Event, optional
        Waited for, `PATIENCE` seconds at most, after `Began`.

    Yields
    ------
    The events of `pipeline.clip.positions`, after those of waiting for a provisional clip
    """
    from napari_deepmtj.inference.predictor import Began
    from napari_deepmtj.inference.runner import Runner
    from napari_deepmtj.pipeline.clip import Steps, positions, require_extras
    from napari_deepmtj.video.opening import open_video, until_complete
    from napari_deepmtj.weights.store import load_model

    steps = Steps(
        roi=request.roi,
        scale=source.scale,
        frames=slice(None) if request.frames is None else request.frames,
        attention=request.attention,
        fuse=request.fuse,
        subtract_slip=request.subtract_slip,
        smooth=request.smooth,
    )
    require_extras(steps)  # an error before anything is tracked
    yield from until_complete(source)
    own = nullcontext(source) if source.path is None else open_video(source.path)
    with own as clip:
        model = load_model(request.model)
        runner = Runner(model, request.device, backend=request.backend)
        with closing(positions(clip, steps, model, runner)) as events:
            for event in events:
                yield event
                if isinstance(event, Began) and ready is not None:
                    ready.wait(PATIENCE)


def interim(provenance: Provenance) -> Provenance:
    """Return the provenance of a run under way, which says that it was stopped if it stays."""
    *before, tracking = provenance.operations
    marked = replace(tracking, arguments={**tracking.arguments, "stopped": True})
    return replace(provenance, operations=(*before, marked))


#: What is waited for before the first frame.
LOADING = "Loading the model..."


def removed_by_hand(trajectory: Trajectory, frames: range | None) -> npt.NDArray[np.int64]:
    """Return the frames, of those asked for, whose point somebody deleted."""
    table = trajectory.table
    gone = trajectory.by_hand & ~table["in_view"].to_numpy(dtype=bool)
    if frames is not None:
        gone &= np.isin(trajectory.frames, frames)
    found: npt.NDArray[np.int64] = trajectory.frames[gone]
    return found


def without_rows(trajectory: Trajectory, frames: npt.NDArray[np.int64]) -> Trajectory:
    """Return a trajectory without the rows of some frames; its log says so."""
    table = trajectory.table[~trajectory.table["frame"].isin(frames)]
    log = trajectory.provenance.and_then("forget removals", frames=[int(f) for f in frames])
    return replace(trajectory, table=table.reset_index(drop=True), provenance=log)


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
        self._source = clips.source_of(self._clip)
        self._layer = session.find(self._clip, Kind.TRAJECTORY)
        self._began: Began | None = None
        self._failed = False
        self._attention_fits = False
        self._display: Any = None
        self._ready = threading.Event()
        self._job = Job(
            lambda: track_events(self._source, request, self._ready),
            self._on_events,
            self._on_end,
            f"Track MTJ in {clip.name}",
        )

    def start(self) -> None:
        """Begin; returns at once."""
        self._session.take(self._job, LOADING, self._clip)
        self._job.start()

    # ----- events, on the main thread ---------------------------------------------------------

    def _on_events(self, events: list[Any]) -> None:
        if self._failed or not self._open():
            self._give_up()
            return
        try:
            with self._session.updating():
                self._consume(events)
        except DeepMTJError as error:  # the result that is there belongs to another file
            self._fail(error)

    def _consume(self, events: list[Any]) -> None:
        from napari_deepmtj.inference.predictor import Began, TrackedBatch

        batches = [event for event in events if isinstance(event, TrackedBatch)]
        for event in events:
            if isinstance(event, Notice):
                self._session.tell(event.message)
            elif isinstance(event, Progress):
                self._session.progress = event
            elif isinstance(event, Began):
                self._began = replace(event, provenance=interim(event.provenance))
                self._make_points()
                later(self._make_attention)
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
        if self._open():
            with session.updating():
                self._drop_empty()
                self._show_whole_range()
            if self._job.cancelled and not self._failed:
                session.tell("Stopped; the frames that were done are kept.")
            later(self._show_path)
            later(self._show_region)
        session.release()
        if self._layer is not None and self._open() and not self._failed:
            saving.autosave(session, self._layer)
            session.signals.result_finished.emit(self._layer)

    def _open(self) -> bool:
        viewer = self._session.viewer
        return viewer is not None and self._clip in viewer.layers

    def _fail(self, error: DeepMTJError) -> None:
        self._failed = True
        self._give_up()
        self._session.tell(str(error))

    def _give_up(self) -> None:
        self._job.cancel()
        self._ready.set()

    # ----- layers -----------------------------------------------------------------------------

    def _points(self) -> Any:
        """Return the layer that is filled, whatever else is selected meanwhile."""
        if self._layer is not None and self._layer not in self._session.viewer.layers:
            self._layer = None
        return self._layer

    def _make_points(self) -> None:
        """Make the layer that will be filled; refuses one that belongs to another file."""
        assert self._began is not None
        self._show(Trajectory.from_predictions([], self._source.times, self._began.provenance))

    def _make_attention(self) -> None:
        """Make the attention layer, in a turn of its own so that the window stays alive."""
        wanted = self._began is not None and self._began.attention
        if self._open() and wanted and self._attention() is None:
            nothing = np.zeros((self._source.n_frames, 1, 1), np.float32)
            with self._session.updating():
                self._add(self._layer_of_attention(nothing), above=self._clip)
        self._ready.set()

    def _drop_empty(self) -> None:
        """Take away layers that were made for a run that found nothing at all."""
        layers = self._session.viewer.layers
        points, attention = self._points(), self._attention()
        if points is not None and not len(convert.trajectory_of(points)):
            layers.remove(points)
        if attention is not None and attention.data.shape[-2:] == (1, 1):
            layers.remove(attention)

    def _merge(self, predictions: list[FramePrediction]) -> None:
        assert self._began is not None
        part = Trajectory.from_predictions(predictions, self._source.times, self._began.provenance)
        self._show(part)

    def _show(self, part: Trajectory) -> None:
        """Put newer rows into the Points layer; rows that a person made stay."""
        layer = self._points()
        if layer is None:
            made = convert.layer_of_trajectory(part, self._placement(), self._id(), self._clip.name)
            self._layer = self._add(made)
        else:
            convert.show_trajectory(layer, convert.trajectory_of(layer).updated_by(part))

    def _finish(self, result: Trajectory) -> None:
        """Replace the note that a run is under way by the full account of it."""
        assert self._began is not None
        layer, under_way = self._points(), self._began.provenance.operations[-1]
        shown = convert.trajectory_of(layer)
        rest: tuple[Operation, ...] = tuple(
            op for op in shown.provenance.operations if op != under_way
        )
        shown = replace(shown, provenance=replace(shown.provenance, operations=rest))
        convert.show_trajectory(layer, shown.updated_by(result))
        self._tell_kept(convert.trajectory_of(layer))
        if self._clip is self._session.active:
            self._session.viewer.layers.selection.active = layer

    def _tell_kept(self, result: Trajectory) -> None:
        """Say how many rows that somebody set were left as they are."""
        asked = self._request.frames
        mine = result.by_hand if asked is None else result.by_hand & np.isin(result.frames, asked)
        if kept := int(mine.sum()):
            hidden = len(removed_by_hand(result, asked))
            said = f", {hidden} of them as not in view" if hidden else ""
            self._session.tell(f"{kept} rows that were set by hand were kept{said}.")

    def _show_progress(self, batch: TrackedBatch) -> None:
        rate = batch.done / batch.seconds if batch.seconds else float("inf")
        left = (batch.total - batch.done) / rate
        rest = f", {left:.0f} s left" if batch.done < batch.total else ""
        note = f"{rate:.0f} frames/s{rest}"
        self._session.progress = Progress(batch.done, batch.total, "frame", note)

    def _show_attention(self, batches: list[TrackedBatch]) -> None:
        found = [b for b in batches if b.attention is not None]
        if not found or self._began is None:
            return
        maps = self._in_region(np.concatenate([np.asarray(b.attention) for b in found]))
        frames = np.array([p.frame for b in found for p in b.predictions])
        if not self._attention_fits or self._attention() is None:
            self._fit_attention(maps)
        layer = self._attention()
        layer.data[frames] = maps.reshape(len(maps), *layer.data.shape[1:])
        if self._clip is self._session.active and self._session.frame() in frames:
            layer.refresh()

    def _in_region(self, maps: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return maps without what lies outside the region: the network's input has margins."""
        assert self._began is not None
        roi = self._began.provenance.roi
        if roi is None:
            return maps
        height, width = maps.shape[1:]
        step, origin = self._began.pixel_map.affine_of_map(height, width)
        y, x = origin[0] + step[0] * np.arange(height), origin[1] + step[1] * np.arange(width)
        rows = (y > roi.y - 0.5) & (y < roi.y + roi.height - 0.5)
        columns = (x > roi.x - 0.5) & (x < roi.x + roi.width - 0.5)
        return np.where(rows[:, None] & columns, maps, np.zeros_like(maps))

    def _attention(self) -> Any:
        return self._session.find(self._clip, Kind.ATTENTION)

    def _fit_attention(self, maps: npt.NDArray[Any]) -> None:
        """Have a layer for maps of this shape and place; maps of another run stay if they fit."""
        data, wanted, kind = self._layer_of_attention(
            np.zeros((self._source.n_frames, *maps.shape[1:]), dtype=np.float32)
        )
        layer = self._attention()
        if layer is None:  # a person removed it while the run went on
            layer = self._add((data, wanted, kind), above=self._clip)
        placed = [np.allclose(getattr(layer, n), wanted[n]) for n in ("scale", "translate")]
        same = convert.ours(layer) == wanted["metadata"][convert.KEY]
        if layer.data.shape != data.shape or not all(placed) or not same:
            layer.data = data
            layer.scale, layer.translate = wanted["scale"], wanted["translate"]
            layer.metadata = {**layer.metadata, **wanted["metadata"]}
            self._display = convert.show_attention(layer, maps)
        self._attention_fits = True

    def _show_whole_range(self) -> None:
        """Fit the display to all frames of the run, unless a person has set it meanwhile."""
        layer = self._attention()
        if self._display is not None and layer is not None:
            if convert.display_shown(layer) == self._display:
                convert.show_attention(layer, layer.data)
            self._display = None

    def _layer_of_attention(self, maps: npt.NDArray[np.float32]) -> convert.LayerTuple:
        assert self._began is not None
        assert self._began.attention is not None  # layers are made where maps come
        data, looks, kind = convert.layer_of_attention(
            maps,
            self._began.pixel_map.affine_of_map(*maps.shape[1:]),
            self._clip.name,
            self._placement(),
            self._id(),
            self._began.attention,
        )
        looks["visible"] = self._request.show_attention
        return data, looks, kind

    def _show_path(self) -> None:
        with self._session.updating():
            if self._open():
                self._update_path()

    def _update_path(self) -> None:
        points, path = self._points(), self._session.find(self._clip, Kind.PATH)
        if points is None or not len(points.data):
            return
        trajectory = convert.trajectory_of(points)
        if path is not None:
            convert.show_path(path, trajectory)
        elif self._request.path:
            made = convert.layer_of_path(trajectory, self._placement(), self._id(), self._clip.name)
            self._add(made, below=points)

    def _show_region(self) -> None:
        """Draw the region that was used, unless it is the picture or one is drawn already."""
        if self._began is None or self._failed or not self._open():
            return
        roi = self._began.provenance.roi
        whole = Roi.full(self._source.height, self._source.width)
        if roi is None or str(roi) == str(whole):
            return
        if self._session.find(self._clip, Kind.REGION) is None:
            calibration.show_region(self._session, self._clip, roi)

    def _add(self, made: Any, above: Any = None, below: Any = None) -> Any:
        return self._session.add(self._clip, made, above=above, below=below)

    def _placement(self) -> Placement:
        return Placement.of_layer(self._clip)

    def _id(self) -> str:
        return clips.id_of(self._clip)

"""The long work of annotation, in a worker: building a queue, predicting it, the next frames.

`annotation.queue` and `annotation.informativeness` choose, `inference` predicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.jobs import Job
from napari_deepmtj._napari.viewer.settings import read_settings
from napari_deepmtj.annotation.informativeness import next_most_useful
from napari_deepmtj.annotation.proposals import saved_prediction
from napari_deepmtj.annotation.queue import Plan, Queue, relative, runs_of
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import DeepMTJError, LabelError
from napari_deepmtj.video.folders import find_clips

if TYPE_CHECKING:
    from napari_deepmtj._napari.annotation.state import AnnotationState
    from napari_deepmtj.annotation.session import AnnotationSession
    from napari_deepmtj.core.geometry import Roi
    from napari_deepmtj.video.opening import VideoSource


def build(annotation: AnnotationState, plan: Plan, scope: str | Path) -> None:
    """Choose frames anew and begin with the first.

    Parameters
    ----------
    annotation : AnnotationState
        Whose round it is for.
    plan : Plan
        How they are chosen.
    scope : "clip", "clips" or Path
        The active clip, all that are open, or a folder whose files are opened as needed.
    """
    core = _core(annotation)
    if core is None:
        return
    session = annotation.session
    sources: list[VideoSource] = []
    queue = Queue(plan)
    try:
        if isinstance(scope, Path):
            files = tuple(relative(path, core.root) for path in find_clips(scope))
            queue = replace(queue, pending=files)
        else:
            layers = session.clips() if scope == "clips" else [session.active]
            sources = [clips.source_of(clip) for clip in layers if clip is not None]
    except DeepMTJError as error:
        annotation.message = str(error)
        return
    if not sources and not queue.pending:
        annotation.message = "There is no clip to choose frames from; open one first."
        return

    def take(grown: Queue) -> None:
        if len(grown):
            core.place.set_queue(grown)
        else:
            annotation.tell("No frame was chosen; choose other frames or another way.")

    _grow(annotation, core, queue, sources, take)


def grow(annotation: AnnotationState) -> None:
    """Look into the files that are left for one more batch."""
    core = _core(annotation)
    if core is not None:
        _grow(annotation, core, core.place.queue, [], core.place.extend)


def _grow(
    annotation: AnnotationState,
    core: AnnotationSession,
    queue: Queue,
    sources: list[VideoSource],
    take: Callable[[Queue], None],
) -> None:
    shown = {}  # taken now, on the main thread
    for clip in annotation.session.clips():
        if (layer := annotation.session.find(clip, Kind.TRAJECTORY)) is not None:
            trajectory = convert.trajectory_of(layer)
            shown[trajectory.provenance.clip_sha256] = trajectory

    def find(source: VideoSource) -> Trajectory | None:
        return shown.get(source.sha256) or saved_prediction(source)

    known = core.known
    _run(
        annotation,
        lambda: queue.grow(queue.plan.batch, known, core.root, find, sources),
        take,
        "Choose frames",
    )


def most_useful(annotation: AnnotationState) -> None:
    """Go to the frame whose label would teach most, and put it into the queue."""
    if (core := _core(annotation)) is None:
        return
    annotation.forget_closed()
    for clip in annotation.session.clips():
        find_prediction(annotation, clip)
    try:
        job = next_most_useful(core, annotation.looks)
    except DeepMTJError as error:
        annotation.message = str(error)
        return
    _run(annotation, lambda: job, core.place.add, "Find the next most useful frame")


def find_prediction(annotation: AnnotationState, clip: Any) -> None:
    """Make a clip's prediction known to the round: that in its layer, else that saved beside it."""
    core = annotation.core
    assert core is not None
    source = clips.source_of(clip)
    if (layer := annotation.session.find(clip, Kind.TRAJECTORY)) is not None:
        core.predict(convert.trajectory_of(layer))
    elif source.sha256 not in annotation.searched:
        annotation.searched.add(source.sha256)
        try:
            found = saved_prediction(source)
        except DeepMTJError as error:
            annotation.tell(str(error))
        else:
            if found is not None and source.sha256 not in core.predictions:
                core.predict(found)


def predict(annotation: AnnotationState) -> None:
    """Predict the frames of the queue whose clips are open and that have no label yet."""
    if (core := _core(annotation)) is None:
        return
    annotation.forget_closed()
    wanted: dict[str, list[int]] = {}
    for item in core.place.queue.items:
        if item.clip_sha256 in core.clips and core.label_of(item) is None:
            wanted.setdefault(item.clip_sha256, []).append(item.frame)
    if not wanted:
        annotation.message = "There is no unlabelled frame of an open clip in the queue."
        return
    settings = read_settings()
    regions: dict[str, str | Roi] = {}
    for clip in annotation.session.clips():
        regions[clips.source_of(clip).sha256] = clips.info_of(clip).roi or settings.roi
    sources = [(core.clips[sha256], regions[sha256], found) for sha256, found in wanted.items()]

    def take(found: list[Trajectory]) -> None:
        for trajectory in found:
            core.predict(trajectory)
        annotation.predictions = True

    _run(
        annotation,
        lambda: _predicted(sources, settings.model, settings.device),
        take,
        "Predict the queue",
    )


def _predicted(
    wanted: list[tuple[VideoSource, str | Roi, list[int]]], model_id: str, device: str
) -> Iterator[Notice | Progress | Done[list[Trajectory]] | Failed]:
    """Track just some frames of clips, in a region of each; torch is imported here, in the worker.

    Every clip is opened anew, so that the window keeps its own.
    """
    from napari_deepmtj.inference.predictor import track
    from napari_deepmtj.video.opening import open_video
    from napari_deepmtj.weights.store import load_model

    model = load_model(model_id)
    total, done = sum(len(frames) for *_, frames in wanted), 0
    found: list[Trajectory] = []
    for source, roi, frames in wanted:
        own = nullcontext(source) if source.path is None else open_video(source.path)
        parts: list[Trajectory] = []
        with own as clip:
            for run in runs_of(frames):
                job = track(clip, model, roi=roi, scale=source.scale, frames=run, device=device)
                with closing(job):
                    for event in job:
                        if isinstance(event, Notice | Failed):
                            yield event
                        if isinstance(event, Failed):
                            return
                        if isinstance(event, Done):
                            parts.append(event.result)
                done += len(run)
                yield Progress(done, total)
        found.append(reduce(Trajectory.updated_by, parts))
    yield Done(found)


def _core(annotation: AnnotationState) -> AnnotationSession | None:
    """Return the round if there is one and nothing else runs; say so otherwise."""
    if annotation.core is None:
        annotation.message = "Open a label file first."
    elif annotation.session.running:
        annotation.message = "Wait for the work that runs, or cancel it."
    else:
        return annotation.core
    return None


def _run(
    annotation: AnnotationState,
    make: Callable[[], Iterator[Any]],
    take: Callable[[Any], None],
    what: str,
) -> None:
    """Run a job of annotation; its result is taken on the main thread if the round is still on."""
    core, session = annotation.core, annotation.session
    annotation.message = ""

    def on_events(events: list[Any]) -> None:
        for event in events:
            if isinstance(event, Notice):
                annotation.tell(event.message)
            elif isinstance(event, Progress):
                session.progress = event
            elif isinstance(event, Failed):
                annotation.tell(str(event.error))
            elif isinstance(event, Done) and annotation.core is core:
                try:
                    take(event.result)
                except LabelError as error:
                    annotation.tell(str(error))
                annotation.show()

    job = Job(make, on_events, session.release, what)
    session.take(job, f"{what}...")
    job.start()

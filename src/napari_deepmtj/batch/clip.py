"""One clip, from frames to its saved trajectory."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.errors import DeepMTJError, VideoError
from napari_deepmtj.inference.predictor import Began, TrackedBatch, track
from napari_deepmtj.io.exports import write_trajectory

if TYPE_CHECKING:
    from napari_deepmtj.batch.plan import Task
    from napari_deepmtj.core.trajectory import Trajectory
    from napari_deepmtj.inference.device import Runner
    from napari_deepmtj.io.video import VideoSource
    from napari_deepmtj.weights.store import Model


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of a clip.

    Parameters
    ----------
    frames, in_view : int
        Frames tracked, and those of them with the MTJ in view.
    seconds : float
        Since its tracking began, other clips' turns included.
    device : str
        Which computed it, in the end.
    """

    frames: int
    in_view: int
    seconds: float
    device: str


def track_clip(
    source: VideoSource, task: Task, model: Model, runner: Runner
) -> Generator[Notice | Progress | Done[Written] | Failed]:
    """Track a clip and write what comes of it.

    Rows that a person made survive; rows of an earlier run are replaced, since a batch runs only
    what has changed.

    Yields
    ------
    Notice, Progress
        As it goes; progress in frames.
    Done of Written, or Failed
        Last. Nothing is written of a clip that fails.
    """
    try:
        entry = task.entry
        frames = range(source.n_frames)[entry.start : entry.stop]
        if not frames:
            raise VideoError(
                f"has {source.n_frames} frames, and start {entry.start or 0} to stop "
                f"{entry.stop} holds none of them",
                path=task.clip,
            )
        with ExitStack() as stack:
            events = track(
                source,
                model,
                roi=task.roi,
                scale=task.scale,
                frames=frames,
                runner=runner,
            )
            stack.enter_context(closing(events))
            seconds = 0.0
            trajectory: Trajectory | None = None
            for event in events:
                match event:
                    case Notice() | Failed():
                        yield event
                    case Began():
                        pass
                    case TrackedBatch(done=done, total=total, seconds=seconds):
                        yield Progress(done, total)
                    case Done(found):
                        trajectory = found
            if trajectory is None:
                return
            write_trajectory(trajectory, task.result, overwrite=True)
            in_view = int(trajectory.table["in_view"].sum())
            yield Done(Written(len(trajectory), in_view, seconds, str(runner.device)))
    except DeepMTJError as error:
        yield Failed(error)

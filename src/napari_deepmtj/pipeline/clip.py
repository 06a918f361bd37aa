"""One clip, from frames to its saved result; `track`, `batch` and the window all go through here.

`positions` tracks and refines, `track_clip` writes what comes of it. Which clips, and with what
scale and region, is decided before; where frames come from is `video`.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.paths import attention_path, video_path
from napari_deepmtj.core.trajectory import Flag
from napari_deepmtj.errors import DeepMTJError, ResultError, VideoError
from napari_deepmtj.inference import predictor
from napari_deepmtj.pipeline.outputs import smoothed, with_rows_by_hand
from napari_deepmtj.report.video import write_annotated_video
from napari_deepmtj.results.attention_file import AttentionInfo, AttentionWriter
from napari_deepmtj.results.trajectory_file import check_overwrite, write_trajectory
from napari_deepmtj.tracking.gate import gate

if TYPE_CHECKING:
    from napari_deepmtj.core.geometry import Roi, Scale
    from napari_deepmtj.core.trajectory import Trajectory
    from napari_deepmtj.inference.runner import Runner
    from napari_deepmtj.video.opening import VideoSource
    from napari_deepmtj.weights.store import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """How a clip is tracked, and what is done with its positions then.

    Parameters
    ----------
    roi, scale
        As `inference.predictor.track` takes them.
    frames : slice or range
        Which frames; a slice takes what there is of it, a range must lie in the clip.
    attention : str, bool or None
        The attention map that comes with the positions, as `inference.predictor.track` takes it.
    fuse : bool
        Whether positions are fused with the motion of the tissue.
    subtract_slip : bool
        Whether the probe's slip on the skin is subtracted.
    smooth : str
        "METHOD:NAME=VALUE,...": gated and smoothed so; "" is not. Not with either of the former.
    """

    roi: str | Roi = "auto"
    scale: Scale | None = None
    frames: slice | range = field(default_factory=lambda: slice(None))
    attention: str | bool | None = None
    fuse: bool = False
    subtract_slip: bool = False
    smooth: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Steps):
    """How a clip is tracked, and what is written of it.

    Parameters
    ----------
    result : Path
        Its `.mtj.csv`; all else goes beside it.
    video : bool
        Whether an annotated video is made.
    overwrite : bool
        Whether rows that a model made before are replaced; corrected ones never are.
    """

    result: Path
    video: bool = False
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of a clip.

    Parameters
    ----------
    trajectory : Trajectory
        The result, with the rows by hand of an earlier one, without its other frames.
    seconds : float
        Since its tracking began, other clips' turns included.
    device : str
        Which computed it, in the end.
    attention : str or None
        The map that was saved too.
    video : bool
        Whether a video was.
    missing : int
        Frames at the end that the file should have, and has not: it was cut off.
    """

    trajectory: Trajectory
    seconds: float
    device: str
    attention: str | None = None
    video: bool = False
    missing: int = 0

    def facts(self) -> dict[str, Any]:
        """Return what a list of results tells of it, JSON-able.

        `frames`, `in_view` and `flagged` are numbers of frames, the last one those that the
        quality gate flags with its defaults; `confidence` is the median of frames in view.
        `unreadable` frames could not be decoded, `missing` ones are not in the file.
        """
        table = self.trajectory.table
        in_view = table["in_view"].to_numpy(dtype=bool)
        return {
            "frames": len(table),
            "in_view": int(in_view.sum()),
            "unreadable": int(table["flags"].str.contains(Flag.UNREADABLE.value).sum()),
            "missing": self.missing,
            "flagged": int((gate(self.trajectory).trajectory.table["flags"] != "").sum()),
            "confidence": float(table.loc[in_view, "confidence"].median())
            if in_view.any()
            else None,
            "seconds": round(self.seconds, 3),
            "device": self.device,
            "attention": self.attention,
            "video": self.video,
        }


def make_folder(folder: Path) -> None:
    """Make a folder for results.

    Raises
    ------
    ResultError
        If that cannot be, or it may not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(
            f"cannot be made a folder for results ({error.strerror}); choose another --out",
            path=folder,
        ) from error
    if not os.access(folder, os.W_OK):
        raise ResultError(
            "is a folder that may not be written to; choose another --out", path=folder.absolute()
        )


def chosen_frames(source: VideoSource, frames: slice | range) -> range:
    """Return the numbers of the frames that a slice chooses; a range as it is.

    Raises
    ------
    VideoError
        If it chooses none.
    """
    if isinstance(frames, range):
        return frames
    numbers = range(source.n_frames)[frames]
    if not numbers:
        text = ":".join("" if part is None else str(part) for part in _parts(frames))
        raise VideoError(
            f"has {source.n_frames} frames, and {text} chooses none of them", path=source.name
        )
    return numbers


def positions(
    source: VideoSource,
    steps: Steps,
    model: Model,
    runner: Runner,
    before: Trajectory | None = None,
) -> Generator[predictor.TrackEvent | Progress]:
    """Track a clip, and fuse, subtract or smooth as asked; writes nothing.

    Parameters
    ----------
    source : VideoSource
        The clip; it stays open.
    steps : Steps
        What is done with it.
    model, runner
        As `inference.predictor.track` takes them.
    before : Trajectory, optional
        An earlier result, whose rows by hand take the place of new ones before anything is fused
        or smoothed.

    Yields
    ------
    Notice, Began, TrackedBatch
        Those of `inference.predictor.track`.
    Notice, Progress
        Of each further step.
    Done of Trajectory, or Failed
        Last.
    """
    try:
        events = predictor.track(
            source,
            model,
            roi=steps.roi,
            scale=steps.scale,
            frames=chosen_frames(source, steps.frames),
            attention=steps.attention or False,
            runner=runner,
        )
        tracked = with_rows_by_hand((yield from _result_of(events)), before)
        if steps.fuse:
            from napari_deepmtj.tracking.fusion import fuse

            tracked = yield from _result_of(fuse(tracked, source))
        if steps.subtract_slip:
            from napari_deepmtj.tracking.slip import estimate, flag, subtract

            slip = yield from _result_of(estimate(source, tracked))
            tracked = subtract(flag(tracked, slip), slip)
        if steps.smooth:
            tracked = yield from smoothed(tracked, steps.smooth)
        yield Done(tracked)
    except DeepMTJError as error:
        yield Failed(error)


def track_clip(
    source: VideoSource, request: Request, model: Model, runner: Runner
) -> Generator[Notice | Progress | Done[Written] | Failed]:
    """Track a clip and write what comes of it.

    Parameters
    ----------
    source : VideoSource
        The clip; it stays open.
    request : Request
        What is done with it.
    model, runner
        As `inference.predictor.track` takes them.

    Yields
    ------
    Notice, Progress
        As it goes; progress in frames, of each step anew.
    Done of Written, or Failed
        Last. Nothing is written of a clip that fails, or whose job is closed.
    """
    try:
        yield Done((yield from _tracked(source, request, model, runner)))
    except DeepMTJError as error:
        yield Failed(error)


def _tracked(
    source: VideoSource, request: Request, model: Model, runner: Runner
) -> Generator[Notice | Progress, None, Written]:
    """Track a clip, write it, and return what was written."""
    frames = chosen_frames(source, request.frames)
    make_folder(request.result.parent)
    old = check_overwrite(request.result, frames, source.sha256, overwrite=request.overwrite)
    maps_file = attention_path(request.result)
    if request.attention and not request.overwrite and maps_file.exists():
        raise ResultError(
            "exists already, perhaps of other frames; allow overwriting (--overwrite), or "
            "choose another output folder",
            path=maps_file,
        )
    with ExitStack() as stack:
        events = stack.enter_context(closing(positions(source, request, model, runner, old)))
        writer: AttentionWriter | None = None
        seconds = 0.0
        for event in events:
            match event:
                case Notice() | Progress():
                    yield event
                case Failed(error):
                    raise error
                case predictor.Began():
                    began = event
                case predictor.TrackedBatch(attention=maps, done=done, total=total):
                    seconds = event.seconds
                    if maps is not None:
                        if writer is None:
                            writer = _attention_writer(maps_file, began, maps.shape[1:])
                            stack.enter_context(writer)
                        writer.append(maps)
                    yield Progress(done, total)
                case Done(trajectory):
                    tracked = trajectory
        if request.video:
            video = write_annotated_video(source, tracked, video_path(request.result))
            yield from _result_of(video)
        write_trajectory(tracked, request.result, overwrite=request.overwrite)
    saved = None if writer is None or began.attention is None else began.attention.map
    to_the_end = frames[-1] == source.n_frames - 1
    missing = max(0, source.promised - source.n_frames) if to_the_end else 0
    return Written(tracked, seconds, str(runner.device), saved, request.video, missing)


def require_extras(steps: Steps) -> None:
    """Raise MissingExtraError if a package that the steps need is not installed."""
    if steps.fuse or steps.subtract_slip:
        from napari_deepmtj.tracking.flow import opencv

        opencv()


def _result_of(events: Generator[Any]) -> Generator[Any, None, Any]:
    """Pass on what a job tells, and return its result."""
    with closing(events):
        for event in events:
            match event:
                case Failed(error):
                    raise error
                case Done(result):
                    return result
                case _:
                    yield event
    raise DeepMTJError("a job ended without a result; please report this")


def _parts(frames: slice) -> list[int | None]:
    return [frames.start, frames.stop] + ([] if frames.step is None else [frames.step])


def _attention_writer(
    path: Path, began: predictor.Began, shape: tuple[int, ...]
) -> AttentionWriter:
    """Return a writer for maps of this shape, which notes what they are and where they lie."""
    height, width = shape
    (step_y, step_x), (y, x) = began.pixel_map.affine_of_map(height, width)
    what = began.attention
    assert what is not None  # maps came
    info = AttentionInfo(
        began.frames,
        (float(step_y), float(step_x)),
        (float(y), float(x)),
        what.map,
        what.unit,
        what.model,
    )
    return AttentionWriter(path, info)

"""`napari-deepmtj track`: from clips to results, one clip after the other.

What tracking does is `inference.predictor`; how results are written is `io.exports`.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_deepmtj.cli._console import print_error, print_line, print_notice, progress_bar
from napari_deepmtj.cli._jobs import open_clip, run_job
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.jobs import Done, Failed, Notice
from napari_deepmtj.errors import CalibrationError, DeepMTJError, ResultError, VideoError
from napari_deepmtj.weights.store import DEFAULT_MODEL

if TYPE_CHECKING:
    from napari_deepmtj.core.trajectory import Trajectory
    from napari_deepmtj.inference.predictor import Began
    from napari_deepmtj.io.attention import AttentionWriter
    from napari_deepmtj.io.video import VideoSource
    from napari_deepmtj.weights.store import Model


def track(
    clips: Annotated[
        list[str], typer.Argument(metavar="CLIP...", help="Videos; patterns such as '*.avi' too.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for results, beside each clip by default. Clips of several folders "
            "keep their folders, counted from the one that holds them all."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="ID|FILE", help="See `napari-deepmtj models`.")
    ] = DEFAULT_MODEL,
    roi: Annotated[
        str, typer.Option(metavar="ROI", help="auto, full, preset:NAME, or X,Y,WIDTH,HEIGHT in px.")
    ] = "auto",
    scale: Annotated[
        str | None,
        typer.Option(
            metavar="MM_PER_PX", help="Millimetres per pixel, or X,Y; the file's own by default."
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="START:STOP[:STEP]", help="Which frames, as Python slices; all by default."
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="auto, cuda, cuda:N, mps or cpu.")
    ] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Frames computed at a time, at most.")] = 16,
    attention: Annotated[
        str | None,
        typer.Option(
            metavar="MAP",
            help="Also write these attention maps, as a TIFF stack: combined, level-1, gate-1 ... "
            "as `napari-deepmtj models` lists for the model.",
        ),
    ] = None,
    fuse: Annotated[
        bool,
        typer.Option(
            "--fuse", help="Fuse the network's positions with the motion of the tissue (flow)."
        ),
    ] = False,
    subtract_slip: Annotated[
        bool,
        typer.Option(
            "--subtract-slip",
            help="Subtract how far the probe slipped on the skin, and flag where it is far.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace existing results, but never what a person corrected."
        ),
    ] = False,
) -> None:
    """Track the muscle-tendon junction in clips; write <stem>.mtj.csv and <stem>.mtj.json."""
    given_scale = None if scale is None else parse_scale(scale)
    wanted = slice(None) if frames is None else parse_frames(frames)
    files = expand(clips)

    from napari_deepmtj.inference.attention import wanted_map
    from napari_deepmtj.inference.device import resolve_device
    from napari_deepmtj.io.paths import result_paths
    from napari_deepmtj.tracking.flow import opencv
    from napari_deepmtj.weights.store import load_model

    results = result_paths(files, out)
    loaded = load_model(model)
    if attention is not None:
        wanted_map(loaded.card, attention)  # an error before any clip is touched
    if fuse or subtract_slip:
        opencv()  # likewise
    if out is not None:
        _make_folder(out)
    settings = _Settings(
        loaded,
        roi,
        given_scale,
        wanted,
        str(resolve_device(device)),
        batch,
        attention,
        fuse,
        subtract_slip,
        overwrite,
    )
    failures = 0
    for clip, result in zip(files, results, strict=True):
        try:
            print_line(_track_one(clip, result, settings))
        except DeepMTJError as error:
            failures += 1
            print_error(_led_by(clip.name, str(error)))
    if failures:
        if len(files) > 1:
            print_error(f"{failures} of {len(files)} clips failed")
        raise typer.Exit(1)


_FRAMES = re.compile(r"(-?[0-9]+)?:(-?[0-9]+)?(?::([1-9][0-9]*)?)?")


@dataclass(frozen=True, slots=True)
class _Settings:
    """What is the same for every clip of a run."""

    model: Model
    roi: str
    scale: Scale | None
    frames: slice
    device: str
    batch: int
    attention: str | None
    fuse: bool
    subtract_slip: bool
    overwrite: bool


def parse_scale(text: str) -> Scale:
    """Read "MM_PER_PX" or "X,Y".

    Raises
    ------
    typer.BadParameter
        If it is neither.
    """
    parts = text.split(",")
    try:
        values = [float(part) for part in parts]
        if len(values) > 2:
            raise ValueError  # noqa: TRY301
        return Scale(values[0], values[-1], "given by hand")
    except (ValueError, CalibrationError) as error:
        raise typer.BadParameter(
            f"{text!r} is no scale; give positive millimetres per pixel, such as 0.0883, or X,Y",
            param_hint="--scale",
        ) from error


def parse_frames(text: str) -> slice:
    """Read "START:STOP[:STEP]", each part optional, as Python slices go; steps are positive.

    Raises
    ------
    typer.BadParameter
        If it is something else.
    """
    found = _FRAMES.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no range of frames; give START:STOP or START:STOP:STEP, such as 0:100",
            param_hint="--frames",
        )
    return slice(*(None if number is None else int(number) for number in found.groups()))


def expand(patterns: Iterable[str]) -> list[Path]:
    """Return the clips meant, each once, in order; patterns that the shell left are expanded.

    A pattern that matches nothing stays, to be reported as a missing file. Names that no file
    can have (too long, or "~nobody") pass through as well: `os.path` never raises, `Path` does.
    """
    clips: dict[str, Path] = {}
    for pattern in patterns:
        path = pattern if os.path.exists(pattern) else os.path.expanduser(pattern)  # noqa: PTH110, PTH111
        found = [path]
        if not os.path.exists(path) and glob.has_magic(pattern):  # noqa: PTH110
            found = sorted(glob.glob(path)) or [path]  # noqa: PTH207
        for clip in found:
            clips.setdefault(os.path.realpath(clip), Path(clip))
    return list(clips.values())


def _make_folder(folder: Path) -> None:
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


def _track_one(clip: Path, result: Path, settings: _Settings) -> str:
    """Track one clip, write its results, and return a line about it."""
    from napari_deepmtj.inference.predictor import Began, TrackedBatch
    from napari_deepmtj.inference.predictor import track as run
    from napari_deepmtj.io.exports import check_overwrite, write_trajectory
    from napari_deepmtj.io.paths import attention_path

    with ExitStack() as stack:
        source = stack.enter_context(open_clip(clip))
        frames = range(source.n_frames)[settings.frames]
        if not frames:
            raise VideoError(
                f"has {source.n_frames} frames, and --frames chooses none of them", path=clip
            )
        _make_folder(result.parent)
        check_overwrite(result, frames, source.sha256, overwrite=settings.overwrite)
        maps_file = attention_path(result)
        if settings.attention and not settings.overwrite and maps_file.exists():
            raise ResultError(
                "exists already, perhaps of other frames; allow overwriting (--overwrite), or "
                "choose another output folder",
                path=maps_file,
            )
        bar = stack.enter_context(progress_bar())
        task = bar.add_task(clip.name, total=len(frames))
        events = run(
            source,
            settings.model,
            roi=settings.roi,
            scale=settings.scale,
            frames=frames,
            device=settings.device,
            batch=settings.batch,
            attention=settings.attention or False,
        )
        stack.enter_context(closing(events))
        seconds, writer, began, trajectory = 0.0, None, None, None
        for event in events:
            match event:
                case Notice(message):
                    print_notice(_led_by(clip.name, message))
                case Began():
                    began = event
                case TrackedBatch(attention=maps, done=done, seconds=seconds):
                    bar.update(task, completed=done)
                    if maps is not None and began is not None:
                        if writer is None:
                            writer = _attention_writer(result, began, maps.shape[1:])
                            stack.enter_context(writer)
                        writer.append(maps)
                case Failed(error):
                    raise error
                case Done(finished):
                    trajectory = finished
        assert trajectory is not None  # a job ends in Done or Failed
        bar.stop()
        trajectory = _by_flow(trajectory, source, settings)
        write_trajectory(trajectory, result, overwrite=settings.overwrite)
    in_view = int(trajectory.table["in_view"].sum())
    return (
        f"{clip.name}: MTJ in view in {in_view} of {len(trajectory)} frames, "
        f"{len(trajectory) / seconds:.0f} frames/s -> {result}"
    )


def _by_flow(trajectory: Trajectory, source: VideoSource, settings: _Settings) -> Trajectory:
    """Return the trajectory after what was asked of optical flow."""
    if settings.fuse:
        from napari_deepmtj.tracking.fusion import fuse

        trajectory = run_job(fuse(trajectory, source), f"{source.name}: fuse")
    if settings.subtract_slip:
        from napari_deepmtj.tracking.slip import estimate, flag, subtract

        slip = run_job(estimate(source, trajectory), f"{source.name}: probe slip")
        trajectory = subtract(flag(trajectory, slip), slip)
    return trajectory


def _attention_writer(result: Path, began: Began, shape: tuple[int, ...]) -> AttentionWriter:
    """Return a writer for maps of this shape, which notes what they are and where they lie."""
    from napari_deepmtj.io.attention import AttentionInfo, AttentionWriter
    from napari_deepmtj.io.paths import attention_path

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
    return AttentionWriter(attention_path(result), info)


def _led_by(name: str, message: str) -> str:
    """Return a message that begins with the clip's name, once."""
    return message if message.startswith(name) else f"{name}: {message}"

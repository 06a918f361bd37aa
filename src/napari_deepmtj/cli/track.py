"""`napari-deepmtj track`: from clips to results, one clip after the other.

What is done with a clip is `pipeline.clip`; what tracking does, `inference.predictor`.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_deepmtj.cli._console import print_error, print_line
from napari_deepmtj.cli._jobs import open_clip, run_job
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.errors import CalibrationError, DeepMTJError
from napari_deepmtj.inference.backends.base import BackendName
from napari_deepmtj.weights.store import DEFAULT_MODEL

if TYPE_CHECKING:
    from napari_deepmtj.pipeline.clip import Written

#: What computes, as every command that tracks asks for it.
BackendOption = Annotated[
    BackendName,
    typer.Option(
        help="What computes on a CPU; auto: the fastest installed that gives the same positions "
        "(see docs/explanation/backends.md)."
    ),
]


def track(
    clips: Annotated[
        list[str], typer.Argument(metavar="CLIP", help="Videos; patterns such as '*.avi' too.")
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
    backend: BackendOption = BackendName.AUTO,
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
    files = _with_names(expand(clips))

    from napari_deepmtj.core.paths import led_by, result_paths, shown_names
    from napari_deepmtj.inference.attention import wanted_map
    from napari_deepmtj.inference.runner import Runner
    from napari_deepmtj.pipeline.clip import (
        Request,
        make_folder,
        require_extras,
        track_clip,
    )
    from napari_deepmtj.weights.store import load_model

    requests = [
        Request(
            result=result,
            roi=roi,
            scale=given_scale,
            frames=wanted,
            attention=attention,
            fuse=fuse,
            subtract_slip=subtract_slip,
            overwrite=overwrite,
        )
        for result in result_paths(files, out)
    ]
    loaded = load_model(model)
    if attention is not None:
        wanted_map(loaded.card, attention)  # an error before any clip is touched
    require_extras(requests[0])  # likewise
    if out is not None:
        make_folder(out)
    runner = Runner(loaded, device, batch, backend)
    failures = 0
    for clip, name, request in zip(files, shown_names(files), requests, strict=True):
        try:
            with (
                open_clip(clip) as source,
                closing(track_clip(source, request, loaded, runner)) as events,
            ):
                written = run_job(_told(events, name), name)
            print_line(_line(name, written, request.result, runner.backend.name))
        except DeepMTJError as error:
            failures += 1
            hint = (
                f"; to track every clip in it: napari-deepmtj batch {name} --out FOLDER"
                if clip.is_dir()
                else ""
            )
            print_error(led_by(name, str(error)) + hint)
    if failures:
        if len(files) > 1:
            print_error(f"{failures} of {len(files)} clips failed")
        raise typer.Exit(1)


_FRAMES = re.compile(r"(-?[0-9]+)?:(-?[0-9]+)?(?::([1-9][0-9]*)?)?")


def parse_scale(text: str) -> Scale:
    """Read "MM_PER_PX" or "X,Y".

    Raises
    ------
    typer.BadParameter
        If it is neither, or impossible.
    """
    parts = text.split(",")
    try:
        values = [float(part) for part in parts]
        if len(values) > 2:
            raise ValueError  # noqa: TRY301
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is no scale; give positive millimetres per pixel, such as 0.0883, or X,Y",
            param_hint="--scale",
        ) from error
    try:
        return Scale(values[0], values[-1], "given by hand")
    except CalibrationError as error:
        raise typer.BadParameter(error.message, param_hint="--scale") from error


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
        if not pattern.strip():
            raise typer.BadParameter("one of the names is empty; give a file")
        path = pattern if os.path.exists(pattern) else os.path.expanduser(pattern)  # noqa: PTH110, PTH111
        found = [path]
        if not os.path.exists(path) and glob.has_magic(pattern):  # noqa: PTH110
            found = sorted(glob.glob(path)) or [path]  # noqa: PTH207
        for clip in found:
            clips.setdefault(os.path.realpath(clip), Path(clip))
    return list(clips.values())


def _with_names(clips: list[Path]) -> list[Path]:
    """Return the clips, "." by the name of its folder.

    Raises
    ------
    typer.BadParameter
        If one has no name: nothing at all, or the root of a file system.
    """
    named = [clip if clip.name else Path(os.path.abspath(clip)) for clip in clips]  # noqa: PTH100
    if not all(clip.name for clip in named):
        raise typer.BadParameter("that is the whole file system; give a clip", param_hint="CLIP")
    return named


def _told(events: Iterable[Any], name: str) -> Iterator[Any]:
    """Pass on a clip's events; its notices begin with its name."""
    from napari_deepmtj.core.paths import led_by

    for event in events:
        yield Notice(led_by(name, event.message)) if isinstance(event, Notice) else event


def _line(name: str, written: Written, result: Path, backend: str) -> str:
    """Return what is printed of a clip that was tracked."""
    table = written.trajectory.table
    return (
        f"{name}: MTJ in view in {int(table['in_view'].sum())} of {len(table)} frames, "
        f"{len(table) / written.seconds:.3g} frames/s with {backend} -> {result}"
    )

"""Where results go: beside the clip, or in one folder that keeps the clips' own folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from napari_deepmtj.errors import ResultError

CSV_SUFFIX = ".mtj.csv"
JSON_SUFFIX = ".mtj.json"
ATTENTION_SUFFIX = ".mtj-attention.tif"
VIDEO_SUFFIX = "-annotated.mp4"

#: Bytes that the name of a clip without its extension may have: file systems take 255, of which
#: the longest ending of a result and the name of its temporary file need some.
MOST_NAME_BYTES = 207


def clip_stem(clip: str | Path) -> str:
    """Return the name of a clip without its extension, for the files that lie beside it.

    An ending of digits alone is no extension: scanners call files `IM.0001`, or by a UID, and
    each of these has its own scale. Nor has a folder any but `.zarr`.
    """
    clip = Path(clip)
    ending = clip.suffix.removeprefix(".")
    is_folder = os.path.isdir(clip)  # noqa: PTH112 - of a name that cannot be, it says no
    part_of_name = ending.isdecimal() or (is_folder and ending.lower() != "zarr")
    return clip.name if part_of_name else clip.stem


def result_path(clip: str | Path, out: str | Path | None = None) -> Path:
    """Return the `.mtj.csv` of one clip: beside it, or directly in `out`."""
    clip = Path(clip)
    folder = clip.parent if out is None else Path(out)
    return folder / (clip_stem(clip) + CSV_SUFFIX)


def result_paths(clips: Sequence[str | Path], out: str | Path | None = None) -> list[Path]:
    """Return the `.mtj.csv` of several clips, in their order.

    In `out`, the clips' folders below the one they have in common are kept.

    Raises
    ------
    ResultError
        If two clips would share a result, on any file system (capitals do not count), or a name
        is too long for one.
    """
    for clip in map(Path, clips):
        size = len(os.fsencode(clip_stem(clip)))
        if size > MOST_NAME_BYTES:
            raise ResultError(
                f"has a name of {size} bytes, which leaves too few for those of its results; "
                f"rename it to at most {MOST_NAME_BYTES}",
                path=clip,
            )
    absolute = [Path(os.path.abspath(clip)) for clip in clips]  # noqa: PTH100 - keeps links
    paths = [result_path(clip) for clip in clips]
    if out is not None and absolute:
        try:
            root = Path(os.path.commonpath([clip.parent for clip in absolute]))
            paths = [
                result_path(clip, Path(out) / clip.parent.relative_to(root)) for clip in absolute
            ]
        except ValueError:  # several Windows drives have no folder in common
            paths = [result_path(clip, out) for clip in absolute]
    taken: dict[str, Path] = {}
    for clip, path in zip(absolute, paths, strict=True):
        other = taken.setdefault(os.path.abspath(path).casefold(), clip)  # noqa: PTH100
        if other is not clip:
            raise ResultError(
                f"{clip.name} and {other.name} would both be saved as {path.name}; rename one, "
                "or track them in separate runs with separate output folders"
            )
    return paths


def shown_names(clips: Sequence[Path]) -> list[str]:
    """Return what messages call clips: their base names, their paths where several share one."""
    counts = Counter(clip.name.casefold() for clip in clips)
    return [
        clip.name if clip.name and counts[clip.name.casefold()] == 1 else clip.as_posix()
        for clip in clips
    ]


def led_by(name: str, message: str) -> str:
    """Return a message that begins with a clip's name as it is shown, once."""
    base = Path(name).name
    if message.startswith(name):
        return message
    if base and message.startswith((f"{base}:", f"{base},", f"{base} ")):
        return name + message.removeprefix(base)
    return f"{name}: {message}"


def json_path(csv_path: str | Path) -> Path:
    """Return the `.mtj.json` beside a `.mtj.csv`."""
    return _beside(csv_path, JSON_SUFFIX)


def attention_path(csv_path: str | Path) -> Path:
    """Return the `.mtj-attention.tif` beside a `.mtj.csv`."""
    return _beside(csv_path, ATTENTION_SUFFIX)


def video_path(csv_path: str | Path) -> Path:
    """Return the annotated video beside a `.mtj.csv`."""
    return _beside(csv_path, VIDEO_SUFFIX)


def _beside(csv_path: str | Path, suffix: str) -> Path:
    path = Path(csv_path)
    stem = path.name.removesuffix(CSV_SUFFIX) if path.name.endswith(CSV_SUFFIX) else path.stem
    return path.with_name(stem + suffix)

"""Reads clips and saved results into layers. Decoding and formats are `io`; layout is `convert`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import KEY, LayerTuple
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.viewer import clips, opening
from napari_deepmtj.errors import CalibrationError, MissingExtraError, VideoError
from napari_deepmtj.video.sidecar import read_sidecar

#: Suffix of a saved trajectory.
RESULT = ".mtj.csv"

#: Extensions that say "video", or say that the file is of a converter for ultrasound: a file
#: that is none is an error worth telling.
VIDEOS = frozenset(
    {".avi", ".mp4", ".mov", ".mkv", ".wmv", ".m4v", ".webm", ".mpg", ".mpeg", ".tvd.h5"}
)

#: Extensions that anything may have: only what can be read as a grey clip is claimed.
PICTURES = frozenset(
    {".gif", ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".dcm", ".npy", ".h5"}
)

#: Kinds of files that a folder of one clip is made of.
FOLDERS = frozenset({"dicom", "picture", "tiff"})
#: Files of a folder that are looked into before it is claimed.
FIRST_FILES = 10

Reader = Callable[[str | Sequence[str]], list[LayerTuple]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return a reader for a file, or None if it is nothing for this plugin.

    Parameters
    ----------
    path : str or sequence of str
        One file or folder; stacks of files are left to others.
    """
    if not isinstance(path, str):
        return None
    if Path(path).is_dir():
        return _read_clips if _is_folder_of_clip(Path(path)) else None
    name = Path(path).name.lower()
    if name.endswith(RESULT):
        return _read_results
    if name.endswith(tuple(VIDEOS)) or (name.endswith(tuple(PICTURES)) and _is_clip(path)):
        return _read_clips
    return None


def clip_layer(path: str | Path) -> LayerTuple:
    """Open a clip of any name by its content, as a lazy layer.

    Raises
    ------
    VideoError
        If it cannot be read.
    """
    return source_layer(opening.open_for_viewer(path))


def source_layer(source: Any) -> LayerTuple:
    """Return the lazy layer of an opened clip, telling what a person must be told."""
    from napari.utils.notifications import show_warning

    for notice in source.notices:
        show_warning(notice)
    _wake()
    made = opening.layer_of(source, clips.new_id())
    info = None if source.path is None else read_sidecar(source.path)
    if info is not None:  # scale and region are the source's by now
        made[1]["metadata"][KEY]["distal_side"] = info.distal_side
    return made


def results_layer(path: str | Path) -> LayerTuple:
    """Read a saved trajectory as Points, placed on its clip if that is open.

    Raises
    ------
    ResultError
        If it is no trajectory of ours.
    """
    from napari_deepmtj.results.trajectory_file import read_trajectory

    trajectory = read_trajectory(path)
    _wake()
    made = convert.layer_of_trajectory(trajectory, Placement.of_trajectory(trajectory), "")
    made[1]["metadata"][KEY]["file"] = str(path)  # until it is edited it is what the file holds
    return made


def _read_clips(path: str | Sequence[str]) -> list[LayerTuple]:
    return [clip_layer(one) for one in _each(path)]


def _read_results(path: str | Sequence[str]) -> list[LayerTuple]:
    return [results_layer(one) for one in _each(path)]


def _each(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str) else list(path)


def _is_clip(path: str) -> bool:
    from napari_deepmtj.video.opening import open_video

    try:
        open_video(path, background=True).close()  # not all of an hour, just to see
    except VideoError:
        return False
    except MissingExtraError:  # worth telling only where the name says that it is ours
        return path.lower().endswith(".zarr")
    except CalibrationError:  # of a side-car beside a clip: worth telling
        return True
    return True


def _is_folder_of_clip(folder: Path) -> bool:
    """Whether a folder is a clip: Zarr by its header, any other judged by its first files."""
    from napari_deepmtj.video.kinds import sniff

    try:
        if sniff(folder) == "zarr":
            return _is_clip(str(folder))
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
    except (VideoError, OSError):
        return False
    shown = [name for name in names if not name.startswith(".")]
    return any(_is_of_clip(folder / name) for name in shown[:FIRST_FILES])


def _is_of_clip(path: Path) -> bool:
    from napari_deepmtj.video.kinds import sniff

    try:
        return sniff(path) in FOLDERS
    except VideoError:  # a list, a preview: it does not count
        return False


def _wake() -> None:
    """Let the viewer's session see the layers that are about to come."""
    import napari

    from napari_deepmtj._napari.viewer.session import session_of

    if (viewer := napari.current_viewer()) is not None:
        session_of(viewer)

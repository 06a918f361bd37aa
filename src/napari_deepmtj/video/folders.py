"""Which clips a folder holds, found without opening any of them."""

from __future__ import annotations

import os
from pathlib import Path

from napari_deepmtj.core.paths import ATTENTION_SUFFIX, CSV_SUFFIX, VIDEO_SUFFIX
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.kinds import sniff

#: Extensions that files of clips have, and pictures that may be part of one.
_CLIPS = frozenset(
    (".avi", ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".wmv", ".asf", ".mpg", ".mpeg")
    + (".m2v", ".ts", ".mts", ".m2ts", ".vob", ".mj2", ".mjpeg", ".3gp", ".flv", ".ogv", ".gif")
    + (".h264", ".h265", ".hevc", ".dcm", ".dicom", ".npy", ".zarr", ".tvd", ".tif", ".tiff")
)
_PICTURES = frozenset((".png", ".jpg", ".jpeg", ".bmp"))
#: A file that is called like a clip, and of which its bytes tell nothing.
_DAMAGED = "damaged"


def find_clips(folder: str | Path) -> list[Path]:
    """Return the clips in a folder, and in those below it, opening none of them.

    Files are told by their first bytes; one of which these tell nothing is a clip if its extension
    is a clip's, so that it fails by name when it is opened. A folder that holds pictures and no
    other clip that can be told is one clip; pictures beside clips are none. Hidden files are left
    out, and what this program made: attention maps, and annotated videos beside their result.

    Raises
    ------
    VideoError
        If the folder cannot be listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VideoError("there is no such folder; check the path", path=folder)
    found: list[Path] = []

    def failed(error: OSError) -> None:
        reason = error.strerror or error
        raise VideoError(f"cannot be listed ({reason}); check its rights", path=error.filename)

    for here, folders, files in os.walk(folder, onerror=failed):
        place = Path(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        kinds = {place / name: _kind_of(place / name) for name in sorted([*folders, *files])}
        folders[:] = [name for name in folders if kinds[place / name] == "folder"]
        damaged = [path for path, kind in kinds.items() if kind == _DAMAGED]
        pictures = [path for path, kind in kinds.items() if kind == "picture"]
        other = ("", "folder", "picture", _DAMAGED)
        clips = [path for path, kind in kinds.items() if kind not in other]
        clips = clips or (pictures if len(pictures) < 2 else [place])
        # The pixels of a .tvd are read by its maker's program alone; the converted clip counts.
        stems = {path.stem for path in clips}
        damaged = [p for p in damaged if p.suffix.casefold() != ".tvd" or p.stem not in stems]
        found += sorted([*clips, *damaged])
    return found


def _kind_of(path: Path) -> str:
    """Return what kind of clip a file or folder is, by its name if need be; nothing if none."""
    if path.name.startswith(".") or path.name.endswith(ATTENTION_SUFFIX):
        return ""
    stem = path.name.removesuffix(VIDEO_SUFFIX)
    if stem != path.name and path.with_name(stem + CSV_SUFFIX).exists():
        return ""
    try:
        return sniff(path)
    except VideoError:
        suffix = path.suffix.casefold()
        return "picture" if suffix in _PICTURES else _DAMAGED if suffix in _CLIPS else ""

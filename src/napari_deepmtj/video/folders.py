"""Which clips a folder holds, found without opening any of them."""

from __future__ import annotations

import os
from pathlib import Path

from napari_deepmtj.core.paths import ATTENTION_SUFFIX, CSV_SUFFIX, VIDEO_SUFFIX
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.kinds import sniff


def find_clips(folder: str | Path) -> list[Path]:
    """Return the clips in a folder, and in those below it, opening none of them.

    Files are told by their first bytes, not by their extension. A folder that holds pictures and
    no other clip is one clip; pictures beside clips are none. Hidden files are left out, and what
    this program made: attention maps, and annotated videos that lie beside their result.

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
        clips = [path for path, kind in kinds.items() if kind not in ("", "folder", "picture")]
        pictures = [path for path, kind in kinds.items() if kind == "picture"]
        found += clips or (pictures if len(pictures) < 2 else [place])
    return found


def _kind_of(path: Path) -> str:
    """Return what kind of clip a file or folder is, nothing if none."""
    if path.name.startswith(".") or path.name.endswith(ATTENTION_SUFFIX):
        return ""
    stem = path.name.removesuffix(VIDEO_SUFFIX)
    if stem != path.name and path.with_name(stem + CSV_SUFFIX).exists():
        return ""
    try:
        return sniff(path)
    except VideoError:
        return ""

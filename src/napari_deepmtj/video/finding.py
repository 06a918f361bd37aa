"""Finding the clip that a result was made from, by its contents: names change, hashes do not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from napari_deepmtj.core.paths import ATTENTION_SUFFIX
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.kinds import sniff
from napari_deepmtj.video.opening import open_video


def find_clip(provenance: Provenance, folder: str | Path, given: str | Path | None = None) -> Path:
    """Return the clip that a result comes from.

    Parameters
    ----------
    provenance : Provenance
        Of the result.
    folder : str or Path
        Where to look: the result's own folder. The clip's old name is tried first, then every
        clip there; folders below it count as clips of several pictures only.
    given : str or Path or None
        The clip, if a person named it; it is checked all the same.

    Raises
    ------
    VideoError
        If there is no such clip, or the one given is another.
    """
    name, sha256 = provenance.clip, provenance.clip_sha256
    if not sha256:
        raise VideoError(
            f"the result of {name} does not say which clip it is of; its .mtj.json is missing"
        )
    if given is not None:
        found = _hash(Path(given))
        if found != sha256:
            raise VideoError(
                f"is not the clip that the result comes from: its content is {found[:12]}..., "
                f"that of {name} was {sha256[:12]}...; name the right one",
                path=given,
            )
        return Path(given)
    folder = Path(folder)
    for path in _candidates(folder, name):
        try:
            if _hash(path) == sha256:
                return path
        except VideoError:  # a damaged file beside the result is not the clip
            continue
    raise VideoError(
        f"the clip of the result, {name} with the content {sha256[:12]}..., is not in "
        f"{folder.absolute()}; say where it is with --clip",
    )


def _candidates(folder: Path, name: str) -> Iterator[Path]:
    """Yield what may be a clip in a folder, the one of that name first."""
    entries = sorted(folder.iterdir(), key=lambda path: (path.name != name, path.name))
    for path in entries:
        if path.name.startswith(".") or path.name.endswith(ATTENTION_SUFFIX):
            continue
        try:
            sniff(path)
        except VideoError:  # a result, a side-car, some text
            continue
        yield path


def _hash(path: Path) -> str:
    """Return the content hash as `VideoSource.sha256` has it, without opening what need not be."""
    if sniff(path) not in ("dicom", "folder", "zarr"):
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    with open_video(path) as source:
        return source.sha256

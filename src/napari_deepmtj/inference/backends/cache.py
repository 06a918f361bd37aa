"""Exports and measured speeds on disk: found by what they are of, whole or not at all.

What is exported is `backends_openvino` and `backends_onnx`, what is measured `backends_speed`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.errors import ResultError

#: Environment variable naming another folder for what can be made again.
CACHE_VARIABLE = "NAPARI_DEEPMTJ_CACHE"

#: Days after which an export that nobody used is deleted.
UNUSED_DAYS = 90.0

_ABOUT = "about.json"
#: What reading a zip archive raises when its bytes are not what was written.
_DAMAGE = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError, NotImplementedError)


@dataclass(frozen=True)
class Export:
    """A network in the form that another runtime reads.

    Parameters
    ----------
    files : mapping of str to bytes
        By name.
    about : mapping
        JSON-able: names of the outputs, figures of the gate.
    """

    files: Mapping[str, bytes]
    about: Mapping[str, Any]


def cache_folder() -> Path:
    """Return the folder of what can be made again; it need not exist.

    `NAPARI_DEEPMTJ_CACHE` if set, else the platform's folder for caches.
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("napari-deepmtj", appauthor=False)


def digest_of(key: Mapping[str, Any]) -> str:
    """Return a name for what a key says, 16 hexadecimal digits."""
    text = json.dumps(key, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def kept_export(
    name: str, key: Mapping[str, Any], make: Callable[[], Export], why: str = ""
) -> Generator[Notice, None, Export]:
    """Return the export of `key`: from the cache if it is there and whole, else made and kept.

    Two programs that make the same one at the same time both succeed; the later file stays.

    Parameters
    ----------
    name : str
        Beginning of the file's name.
    key : mapping
        JSON-able: all that the export is a function of.
    make : callable
        Makes it.
    why : str
        What is said before it is made, if anything.

    Yields
    ------
    Notice
        Also of a damaged file, and of one that could not be written.
    """
    path = cache_folder() / "exports" / f"{name}-{digest_of(key)}.zip"
    try:
        found = _read(path, key)
    except (OSError, *_DAMAGE) as error:
        reason = str(error) or type(error).__name__
        yield Notice(f"{path.name} in the cache is damaged ({reason}) and is made again")
        found = None
    if found is not None:
        with suppress(OSError):  # the time of the last use, for `_prune`
            os.utime(path)
        return found
    if why:
        yield Notice(why)
    export = make()
    try:
        atomic_write(path, _packed(export, key))
        _prune(path.parent)
    except ResultError as error:
        yield Notice(f"the export cannot be kept and is made again next time: {error}")
    return export


def stored_figures(key: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return figures that were measured before; None if not, or if their file is damaged."""
    try:
        stored = json.loads(_figures_path(key).read_text(encoding="utf-8"))
        if stored["key"] == json.loads(json.dumps(key)):
            return dict(stored["figures"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # another measurement is all that it costs
    return None


def store_figures(key: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    """Keep figures, where the folder lets us."""
    text = json.dumps({"key": dict(key), "figures": dict(figures)}, indent=1, sort_keys=True)
    with suppress(ResultError):  # another measurement is all that it costs
        atomic_write(_figures_path(key), text.encode())


def _figures_path(key: Mapping[str, Any]) -> Path:
    return cache_folder() / "speed" / f"{digest_of(key)}.json"


def _packed(export: Export, key: Mapping[str, Any]) -> bytes:
    """One archive, so that it is replaced at once; its checksums tell damage."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        about = {"key": dict(key), "about": dict(export.about), "files": sorted(export.files)}
        archive.writestr(_ABOUT, json.dumps(about, sort_keys=True, allow_nan=False))
        for name, content in export.files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _read(path: Path, key: Mapping[str, Any]) -> Export | None:
    if not path.exists():
        return None
    with zipfile.ZipFile(path) as archive:  # reading a member checks its checksum
        about = json.loads(archive.read(_ABOUT))
        if about["key"] != json.loads(json.dumps(key)):
            raise ValueError("it is of something else")
        return Export({name: archive.read(name) for name in about["files"]}, about["about"])


def _prune(folder: Path) -> None:
    """Delete exports that were not used for long: those of weights and versions long gone."""
    for old in folder.glob("*.zip"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > UNUSED_DAYS * 86400:
                old.unlink()

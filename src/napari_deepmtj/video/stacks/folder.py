"""Folders as clips: the single pictures of a sequence, in the order of their names' numbers.

A folder of DICOM files is passed on to `_dicom.py`; how one picture is read, to `_stack.py` and
`_tiff.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.kinds import kind_of
from napari_deepmtj.video.source import BaseSource
from napari_deepmtj.video.stacks.stack import StackSource, opened_picture, pillow_array
from napari_deepmtj.video.stacks.telemed import apply_mat
from napari_deepmtj.video.stacks.tiff import TiffSource, header_of

UInt8Array = npt.NDArray[np.uint8]

#: Memory for decoded frames, so that scrubbing back and forth does not decode them again.
CACHE_BYTES = 64 * 2**20

#: As much of a file's beginning as its kind can be told from.
_HEAD = 640

_MAGICS = ((b"\x89PNG", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"BM", "BMP"), (b"", "TIFF"))


def open_folder(folder: Path) -> BaseSource:
    """Open the DICOM series, or the sequence of pictures, that lies in a folder.

    Hidden files, and files that are no clips (lists, previews), do not count.

    Raises
    ------
    VideoError
        If the folder holds something else, or pictures that do not belong together.
    """
    found = _kinds(folder)
    dicom = [path for path, kind in found.items() if kind == "DICOM"]
    pictures = [path for path, kind in found.items() if kind in dict(_MAGICS).values()]
    if not dicom and not pictures:
        raise VideoError(
            "is a folder without DICOM files and pictures; give the video file itself", path=folder
        )
    if dicom and pictures:
        raise VideoError(
            f"is a folder of {len(dicom)} DICOM files and {len(pictures)} pictures; give each a "
            "folder of its own",
            path=folder,
        )
    if len(found) > len(dicom) + len(pictures):
        raise VideoError(
            "is a folder of pictures and videos; give one of its files, or a folder of pictures "
            "alone",
            path=folder,
        )
    if dicom:
        from napari_deepmtj.video.dicom.source import open_dicom_series

        return open_dicom_series(folder, dicom)
    kinds = Counter(found[path] for path in pictures)
    if len(kinds) > 1:
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        raise VideoError(
            f"is a folder of pictures of several kinds ({counts}); give each kind a folder of its "
            "own",
            path=folder,
        )
    source = SequenceSource(folder, sorted(pictures, key=natural), next(iter(kinds)))
    apply_mat(source, folder)
    return source


def natural(path: Path) -> tuple[Any, ...]:
    """Return what a name is sorted by: its numbers as numbers, so that img2 is before img10."""
    parts = re.split(r"([0-9]+)", path.stem.casefold())
    return ([int(part) if at % 2 else part for at, part in enumerate(parts)], path.name)


class SequenceSource(StackSource):
    """Single pictures of one size and kind as a clip; one is read at a time.

    Parameters
    ----------
    folder : Path
        Where they lie; the clip is called after it.
    paths : sequence of Path
        The pictures in order.
    kind : {"PNG", "JPEG", "BMP", "TIFF"}
        What they are.

    Raises
    ------
    VideoError
        If one of them is damaged, or of another size or depth than the first; it names the file.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], kind: str) -> None:
        self._paths = tuple(paths)
        self._cache: OrderedDict[int, UInt8Array] = OrderedDict()
        self._cache_lock = Lock()
        look, read = (_tiff_facts, _tiff_pixels) if kind == "TIFF" else (_facts, _pixels)
        width, height, depth = first = look(paths[0])
        for path in paths[1:]:
            facts = look(path)
            if facts != first:
                raise VideoError(
                    f"is {facts[0]} x {facts[1]} px of {facts[2]}, the first picture of the folder "
                    f"{width} x {height} of {depth}; give a folder of pictures of one size",
                    path=path,
                )

        def load(frame: int) -> npt.NDArray[Any]:
            try:
                return read(paths[frame])
            except VideoError as error:
                raise VideoError(str(error), path=folder.name, frame=frame) from error

        super().__init__(
            folder.name,
            folder,
            load,
            FrameTimes.unknown(len(paths)),
            metadata={"container": f"{kind.lower()} sequence", "pixel_format": depth},
            notices=_gaps(folder, paths),
        )
        self._capacity = max(2, CACHE_BYTES // (height * width))

    def close(self) -> None:
        """Empty the cache."""
        super().close()
        with self._cache_lock:
            self._cache.clear()

    def _read(self, frame: int) -> UInt8Array:
        with self._cache_lock:
            if frame in self._cache:
                self._cache.move_to_end(frame)
                return self._cache[frame]
        grey = super()._read(frame)
        with self._cache_lock:
            self._cache[frame] = grey
            while len(self._cache) > self._capacity:
                self._cache.popitem(last=False)
        return grey

    def _hash(self) -> str:
        """Return the hash of the pictures' hashes, in order."""
        digests = []
        for path in self._paths:
            with _reading(path), path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        return hashlib.sha256("".join(digests).encode()).hexdigest()


class _reading:  # noqa: N801 - used as a context manager
    """Turn what the system says of a file into a `VideoError` that names it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise VideoError(
                f"cannot be read ({error.strerror}); was it moved?", path=self._path
            ) from error


def _kinds(folder: Path) -> dict[Path, str]:
    """Return the files of a folder that are clips or pictures, and what they are."""
    found: dict[Path, str] = {}
    others: list[Path] = []
    with _reading(folder):
        files = sorted(path for path in folder.iterdir() if path.name[0] != "." and path.is_file())
    for path in files:
        with _reading(path), path.open("rb") as file:
            head = file.read(_HEAD)
        kind = kind_of(head)
        if kind in ("picture", "tiff"):
            found[path] = next(name for magic, name in _MAGICS if head.startswith(magic))
        elif kind is not None:
            found[path] = kind.upper()
        elif path.suffix or not head or b"\0" in head:  # README and the like are none of ours
            others.append(path)
    suffixes = {path.suffix.casefold() for path in found}
    for path in others:
        if path.suffix.casefold() in suffixes:
            raise VideoError(
                "is damaged, or none of the pictures it lies among; copy it again or remove it",
                path=path,
            )
    return found


def _facts(path: Path) -> tuple[int, int, str]:
    """Return width, height and depth of a picture, from its header."""
    with opened_picture(path) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise VideoError("is animated; give it alone, or convert it", path=path)
        deep = image.mode in ("I", "F") or image.mode.startswith("I;16")
        return image.width, image.height, "more than 8 bit" if deep else "8 bit"


def _pixels(path: Path) -> npt.NDArray[Any]:
    with opened_picture(path) as image:
        return pillow_array(image)


def _tiff_facts(path: Path) -> tuple[int, int, str]:
    """Return width, height and number type of a TIFF file with one picture."""
    n, height, width, depth = header_of(path)
    if n > 1:
        raise VideoError(f"holds {n} pictures; give it alone, not its folder", path=path)
    return width, height, depth


def _tiff_pixels(path: Path) -> npt.NDArray[Any]:
    with TiffSource(path) as source:
        return source.picture(0)


def _gaps(folder: Path, paths: Sequence[Path]) -> tuple[str, ...]:
    """Return what must be said of numbers that the names leave out."""
    keys = [natural(path)[0] for path in paths]
    if len(keys) < 3 or len({len(key) for key in keys}) > 1:
        return ()
    differ = [at for at in range(len(keys[0])) if len({key[at] for key in keys}) > 1]
    if len(differ) != 1 or differ[0] % 2 == 0:
        return ()
    steps = np.diff([float(key[differ[0]]) for key in keys])
    usual = Counter(steps.tolist()).most_common(1)[0][0]
    missing = round(sum(step / usual - 1 for step in steps if step > usual > 0))
    if not missing:
        return ()
    return (
        f"{folder.name}: the numbers of its pictures leave out {missing}; frames may be missing",
    )

"""C3D through `ezc3d`: the MTJ as one point, its third axis zero.

C3D has a rate and no times, so uneven frames are refused. A missing point is one with residual
-1, as the format has it (its coordinates are then not to be read); ezc3d reads it as NaN.
"""

from __future__ import annotations

import math
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from napari_deepmtj.core.atomic import atomic_path
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import MissingExtraError, ResultError
from napari_deepmtj.results.c3d_file import open_c3d
from napari_deepmtj.results.formats.track import (
    AXES,
    POINT,
    Options,
    Track,
    Unit,
    evenly,
    track_of,
)

HELD: tuple[Unit, ...] = ("mm", "m")
#: Most frames that the header counts (16 bits, unsigned); readers differ on how more are counted.
MOST_FRAMES = 65_535
#: Highest rate that all readers take: some read its header's word as a signed one.
MOST_HZ = 32_767.0
#: Longest text of a parameter; its length is one byte, which some read as a signed one.
MOST_CHARACTERS = 127
#: Our own group of parameters.
GROUP = "DEEPMTJ"


def write(trajectory: Trajectory, path: str | Path, options: Options) -> tuple[str, ...]:
    """Write the MTJ as one point in mm, or m, at an even rate, in single precision.

    The group of parameters DEEPMTJ has clip, hash, time of the first frame, axes and notes.

    Returns
    -------
    tuple of str
        What a person must be told.

    Raises
    ------
    ResultError
        If the frames are not even in time (resample them), there is no scale, or C3D counts
        neither so many frames nor so high a rate.
    MissingExtraError
        If ezc3d is not installed.
    """
    ezc3d = _ezc3d("writing C3D")
    track, rate = evenly(track_of(trajectory, options, HELD), "C3D")
    _require_counted(track, rate)
    missing = track.missing
    file = ezc3d.c3d()
    values = {"UNITS": [track.unit], "RATE": [rate], "LABELS": [POINT], "DESCRIPTIONS": [AXES]}
    for name, value in values.items():
        file["parameters"]["POINT"][name]["value"] = value
    points = np.ones((4, 1, len(track)))
    points[:3] = 0.0
    points[:2, 0, ~missing] = track.xy[~missing].T
    file["data"]["points"] = points
    file["data"]["meta_points"]["residuals"] = np.where(missing, -1.0, 0.0)[None, None]
    file["data"]["meta_points"]["camera_masks"] = np.zeros((7, 1, len(track)), dtype=bool)
    said = {"CLIP": [track.clip], "SHA256": [track.sha256], "AXES": [AXES]}
    said["NOTES"] = list(track.notes)
    for name, texts in said.items():
        if any(texts):
            lines = [line for text in texts for line in wrap(_ascii(text), MOST_CHARACTERS)]
            file.add_parameter(GROUP, name, lines)
    file.add_parameter(GROUP, "FIRST_TIME_S", [float(track.times[0])])
    with atomic_path(path) as temporary:
        ready = temporary.with_name(f"{temporary.name}.c3d")  # ezc3d insists on this ending
        try:
            file.write(str(ready))
            ready.replace(temporary)
        finally:
            ready.unlink(missing_ok=True)
    return track.notes


def read(path: str | Path) -> tuple[Track, ...]:
    """Read the points of a C3D, one track for each label.

    Raises
    ------
    ResultError
        If it cannot be read, has no points, or is neither in mm nor in m.
    MissingExtraError
        If ezc3d is not installed.
    """
    path = Path(path)
    _ezc3d("reading C3D")
    try:
        file = open_c3d(path)
    except (OSError, ValueError) as error:
        raise ResultError(f"cannot be read as C3D ({error})", path=path) from error
    point = {key: entry["value"] for key, entry in _entries(file, "POINT")}
    own = {key: entry["value"] for key, entry in _entries(file, GROUP)}
    xyz = file["data"]["points"]
    unit = str(point["UNITS"][0]) if len(point["UNITS"]) else ""
    if not xyz.shape[1] or unit not in HELD:
        raise ResultError("has no points in mm or m", path=path)
    rate, n = float(point["RATE"][0]), xyz.shape[2]
    first = float(own["FIRST_TIME_S"][0]) if "FIRST_TIME_S" in own else 0.0
    return tuple(
        Track(
            clip=str(own.get("CLIP", [""])[0]),
            sha256=str(own.get("SHA256", [""])[0]),
            frames=np.arange(n),
            times=first + np.arange(n) / rate,
            time_unit="s",
            xy=xyz[:2, i].T.astype(np.float64),
            confidence=np.full(n, np.nan),
            unit="mm" if unit == "mm" else "m",
            notes=tuple(str(note) for note in own.get("NOTES", ())),
        )
        for i in range(len(point["LABELS"]))
    )


def _ezc3d(what: str) -> Any:
    try:
        import ezc3d
    except ModuleNotFoundError as error:
        raise MissingExtraError(what, "c3d") from error
    return ezc3d


def _entries(file: Any, group: str) -> list[tuple[str, Any]]:
    entries = file["parameters"].get(group, {})
    return [(key, entry) for key, entry in entries.items() if not key.startswith("__")]


def _require_counted(track: Track, rate: float) -> None:
    """Raise if C3D cannot count the frames of a track, or its rate."""
    n = len(track)
    if n > MOST_FRAMES:
        seconds, lower = n / rate, rate * MOST_FRAMES / n
        raise ResultError(
            f"{track.clip} has {n} frames, and C3D counts {MOST_FRAMES}; resample with --rate "
            f"{math.floor(10 * lower * (1 - 1 / MOST_FRAMES)) / 10:g} or lower, track it in parts "
            f"of {math.floor(seconds * MOST_FRAMES / n)} s (--frames), or export .trc or .sto"
        )
    if rate > MOST_HZ:
        raise ResultError(
            f"{track.clip} has {rate:g} frames a second, and C3D counts {MOST_HZ:g}; resample with "
            "--rate, or export .trc or .sto"
        )


def _ascii(text: str) -> str:
    """Return text in ASCII, all that C3D holds; other characters become escapes."""
    return text.encode("ascii", "backslashreplace").decode("ascii")

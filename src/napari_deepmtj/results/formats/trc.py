"""`.trc`, marker positions as OpenSim reads them: one marker, its third axis zero.

The format has a rate and no times of its own to trust, so uneven frames are refused. A marker
that is missing has empty cells, which OpenSim reads as NaN. The rules of reading are those of
OpenSim's TRCFileAdapter, which counts every cell.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.results.formats.track import (
    POINT,
    Options,
    Track,
    Unit,
    cell,
    evenly,
    number,
    read_text,
    track_of,
)

KEYS = (
    "DataRate",
    "CameraRate",
    "NumFrames",
    "NumMarkers",
    "Units",
    "OrigDataRate",
    "OrigDataStartFrame",
    "OrigNumFrames",
)
HELD: tuple[Unit, ...] = ("mm", "m")


def write(trajectory: Trajectory, path: str | Path, options: Options) -> tuple[str, ...]:
    """Write the MTJ as one marker in mm, or m, at an even rate.

    Returns
    -------
    tuple of str
        What a person must be told. The first line of the file, which is free text, has it too.

    Raises
    ------
    ResultError
        If the frames are not even in time (resample them), or there is no scale.
    """
    track, rate = evenly(track_of(trajectory, options, HELD), "a .trc")
    n = len(track)
    about = "; ".join([f"clip {track.clip}", *track.notes])
    values = (rate, rate, n, 1, track.unit, rate, 1, n)
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{Path(path).name} ({' '.join(about.split())})",
        "\t".join(KEYS),
        "\t".join(f"{v:.10g}" if isinstance(v, float) else str(v) for v in values),
        f"Frame#\tTime\t{POINT}\t\t\t",
        "\t\tX1\tY1\tZ1\t",
        "",
    ]
    # A tab after every cell, as OpenSim writes itself, so that empty ones at the end count.
    for i, (t, (x, y)) in enumerate(zip(track.times.tolist(), track.xy.tolist(), strict=True)):
        position = ("", "", "") if x != x else (number(x), number(y), "0.0")
        lines.append("".join(f"{text}\t" for text in (str(i + 1), number(t), *position)))
    atomic_write(path, ("\n".join(lines) + "\n").encode())
    return track.notes


def read(path: str | Path) -> tuple[Track, ...]:
    """Read a `.trc`, one track for each marker, by the rules of OpenSim's own reader.

    Raises
    ------
    ResultError
        If it breaks one of them.
    """
    path = Path(path)
    lines = read_text(path, "a .trc")
    if len(lines) < 6 or lines[0].split()[:1] != ["PathFileType"]:
        raise ResultError("is no .trc: its first line begins with PathFileType", path=path)
    if tuple(filter(None, lines[1].split("\t"))) != KEYS:
        raise ResultError(f"line 2 must be exactly {' '.join(KEYS)}", path=path)
    values = [value for value in lines[2].split("\t") if value]
    if len(values) != len(KEYS):
        raise ResultError(f"line 3 has {len(values)} values in place of {len(KEYS)}", path=path)
    head = dict(zip(KEYS, values, strict=True))
    frame, time, *markers = (label for label in lines[3].split("\t") if label)
    if (frame, time) != ("Frame#", "Time") or len(markers) != int(head["NumMarkers"]):
        raise ResultError(f"line 4 must be Frame#, Time and {head['NumMarkers']} names", path=path)
    axes = [f"{axis}{i}" for i in range(1, len(markers) + 1) for axis in "XYZ"]
    if [label for label in lines[4].split("\t") if label] != axes:
        raise ResultError(f"line 5 must be {' '.join(axes)}", path=path)
    width = 2 + 3 * len(markers)
    rows = []
    for i, line in enumerate(lines[5:], start=6):
        if not line.strip():
            continue
        cells = line.removesuffix("\t").split("\t")
        if len(cells) != width:
            raise ResultError(f"line {i} has {len(cells)} cells in place of {width}", path=path)
        rows.append([cell(text, path, i) if text else np.nan for text in cells])
    if len(rows) != int(head["NumFrames"]):
        raise ResultError(f"has {len(rows)} rows in place of {head['NumFrames']}", path=path)
    if head["Units"] not in HELD:
        raise ResultError(f"is in {head['Units']}, not in {' or '.join(HELD)}", path=path)
    unit: Unit = "mm" if head["Units"] == "mm" else "m"
    table = np.array(rows).reshape(-1, width)
    about = re.search(r"\(clip (.*?)((?:; .*)?)\)$", lines[0])
    clip, notes = (about[1], tuple(filter(None, about[2].split("; ")))) if about else ("", ())
    return tuple(
        Track(
            clip=clip,
            sha256="",
            frames=np.arange(len(table)),
            times=table[:, 1],
            time_unit="s",
            xy=table[:, 2 + 3 * i : 4 + 3 * i],
            confidence=np.full(len(table), np.nan),
            unit=unit,
            notes=notes,
        )
        for i in range(len(markers))
    )

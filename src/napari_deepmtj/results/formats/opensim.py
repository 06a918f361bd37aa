"""OpenSim's tables over time: `.sto` and `.mot`, in the header dialect of today and the old one.

Both have a time for every row, so uneven frames stay as they are. Neither has a word for a
missing value (a reader of the old dialect stops at "nan"), so rows without a position are
refused, or left out when asked. Markers (`.trc`) are `trc`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.results.formats.track import (
    AXES,
    UNITS,
    Options,
    Track,
    Unit,
    cell,
    number,
    read_text,
    track_of,
)

#: Positions are lengths where there is a scale; the columns' names say which.
HELD: tuple[Unit, ...] = ("mm", "m", "px")
#: Before our own entries of the header, which OpenSim reads as any other key.
_OWN = "deepmtj_"
_COLUMN = re.compile(r"mtj_([xy])_(px|mm|m)")


def write(trajectory: Trajectory, path: str | Path, options: Options) -> tuple[str, ...]:
    """Write the dialect of OpenSim 3 and 4: `version=1`, `nRows=`, `nColumns=`, `inDegrees=`.

    Columns `time`, `mtj_x_UNIT`, `mtj_y_UNIT`. Where the numbers come from stands in the header.

    Returns
    -------
    tuple of str
        What a person must be told.

    Raises
    ------
    ResultError
        If rows have no position and are not to be left out, or as `track_of`.
    """
    track, left_out = _complete(trajectory, options)
    own = {"clip": track.clip, "sha256": track.sha256, "axes": AXES}
    own |= {f"note_{i}": note for i, note in enumerate((*track.notes, *left_out), start=1)}
    head = [
        _line(Path(path).stem),
        "version=1",
        f"nRows={len(track)}",
        "nColumns=3",
        "inDegrees=no",
        *(f"{_OWN}{key}={_line(value)}" for key, value in own.items() if value),
    ]
    atomic_write(path, _text(head, track))
    return (*track.notes, *left_out)


def write_old(trajectory: Trajectory, path: str | Path, options: Options) -> tuple[str, ...]:
    """Write the older dialect, `name`, `datacolumns`, `datarows`, `range`, and nothing else.

    It is what programs that take ultrasound beside OpenSim read, such as
    MuscleRedundancySolver. Parameters, returns and errors are those of `write`.
    """
    track, left_out = _complete(trajectory, options)
    head = [
        f"name {_line(Path(path).name)}",
        "datacolumns 3",
        f"datarows {len(track)}",
        f"range {number(track.times[0])} {number(track.times[-1])}",
    ]
    atomic_write(path, _text(head, track))
    return (*track.notes, *left_out)


def _complete(trajectory: Trajectory, options: Options) -> tuple[Track, tuple[str, ...]]:
    """Return a track in seconds in which every row has a position, and a word on the others."""
    track = track_of(trajectory, options, HELD)
    if track.time_unit != "s":
        raise ResultError(
            f"{track.clip} has no times, and OpenSim needs seconds; give the clip's true frames "
            "per second with --rate"
        )
    missing = track.missing
    if not missing.any():
        return track, ()
    count = f"{int(missing.sum())} of {len(track)} rows of {track.clip} have no position"
    if missing.all():
        raise ResultError(f"{count}: there is nothing to export")
    if not options.leave_gaps_out:
        raise ResultError(
            f"{count}, the first at {track.times[missing][0]:.3f} s, and OpenSim's tables hold no "
            "missing values; fill the gaps by smoothing first, or leave those rows out with "
            "--leave-gaps-out"
        )
    kept = ~missing
    track = replace(
        track,
        frames=track.frames[kept],
        times=track.times[kept],
        xy=track.xy[kept],
        confidence=track.confidence[kept],
    )
    return track, (f"{count} and are left out; OpenSim draws its splines across them",)


def _text(head: list[str], track: Track) -> bytes:
    lines = [*head, "endheader", f"time\tmtj_x_{track.unit}\tmtj_y_{track.unit}"]
    lines += [
        "\t".join(map(number, (t, x, y)))
        for t, (x, y) in zip(track.times.tolist(), track.xy.tolist(), strict=True)
    ]
    return ("\n".join(lines) + "\n").encode()


def _line(text: str) -> str:
    """Return text that stays on one line and is no key by itself."""
    return " ".join(text.replace("=", " ").split())


def read(path: str | Path) -> tuple[Track, ...]:
    """Read what `write` or `write_old` wrote, by the rules of OpenSim's own readers.

    Raises
    ------
    ResultError
        If header and table disagree, or the columns are not ours.
    """
    path = Path(path)
    lines = read_text(path, "a table of OpenSim")
    head: dict[str, str] = {}
    body = None
    for i, line in enumerate(lines):
        if line.strip() == "endheader":
            body = i + 1
            break
        key, _, value = re.sub(r"[ \t=]+", "\0", line.strip(), count=1).partition("\0")
        head[key] = value
    if body is None or body >= len(lines):
        raise ResultError("has no endheader with a table after it", path=path)
    labels = lines[body].split("\t")
    columns = [_COLUMN.fullmatch(label) for label in labels[1:]]
    if labels[0] != "time" or [c and c[1] for c in columns] != ["x", "y"]:
        raise ResultError(f"has the columns {', '.join(labels)} in place of ours", path=path)
    rows = [
        [cell(text, path, number) for text in line.split("\t")]
        for number, line in enumerate(lines[body + 1 :], start=body + 2)
        if line.strip()
    ]
    said = (
        int(head.get("nRows", head.get("datarows", "0"))),
        int(head.get("nColumns", head.get("datacolumns", "0"))),
    )
    if said != (len(rows), len(labels)) or any(len(row) != len(labels) for row in rows):
        raise ResultError(f"says {said[0]} rows and {said[1]} columns, but has others", path=path)
    table = np.array(rows)
    unit = next(unit for unit in UNITS if columns[0] is not None and columns[0][2] == unit)
    notes = tuple(value for key, value in head.items() if key.startswith(f"{_OWN}note_"))
    return (
        Track(
            clip=head.get(f"{_OWN}clip", ""),
            sha256=head.get(f"{_OWN}sha256", ""),
            frames=np.arange(len(table)),
            times=table[:, 0],
            time_unit="s",
            xy=table[:, 1:],
            confidence=np.full(len(table), np.nan),
            unit=unit,
            notes=notes,
        ),
    )

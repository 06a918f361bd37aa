"""DeepLabCut's predictions, CSV and HDF5, from a trajectory: a row for every frame of the clip.

The tables themselves are `labels.formats.deeplabcut`; hand labels go that way too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.labels.formats import deeplabcut as dlc
from napari_deepmtj.labels.formats.deeplabcut_table import read_table
from napari_deepmtj.results.formats.track import Options, Track, Unit, track_of

HELD: tuple[Unit, ...] = ("px",)
SCORER = "napari-deepmtj"


def write(trajectory: Trajectory, path: str | Path, options: Options) -> tuple[str, ...]:
    """Write x, y and likelihood of every frame, `.csv` or `.h5` by the name.

    The likelihood is the confidence, 0 where the MTJ was said to be out of view (x and y are
    then empty), and empty where the frame was not tracked.

    Returns
    -------
    tuple of str
        What the file cannot hold.

    Raises
    ------
    ResultError
        If another rate or unit is asked for: rows are frames, positions are pixels.
    LabelError
        If the name says neither `.csv` nor `.h5`.
    MissingExtraError
        If it is HDF5 and PyTables is not installed.
    """
    if options.rate is not None:
        raise ResultError("a row of DeepLabCut's is a frame of the clip; leave the rate out")
    track = track_of(trajectory, options, HELD)
    n = max(trajectory.provenance.n_frames, int(track.frames[-1]) + 1)
    values = np.full((n, 3), np.nan)
    values[track.frames] = np.column_stack([track.xy, track.confidence])
    said = dlc.write_table(
        Path(path), SCORER, None, ("x", "y", "likelihood"), range(n), values.tolist()
    )
    lost = "DeepLabCut holds neither times, standard deviations, origins, flags nor the clip's hash"
    return (lost, *said)


def read(path: str | Path) -> tuple[Track, ...]:
    """Read predictions, one track for each individual and body part, in pixels.

    Raises
    ------
    LabelError
        If the file is not DeepLabCut's.
    ResultError
        If its rows are not numbered by frame, or a point lacks x, y or likelihood.
    MissingExtraError
        If it is HDF5 and PyTables or h5py is not installed.
    """
    path = Path(path)
    table = read_table(path)
    rows = [(name, values) for _, name, values in table.rows]
    if not rows or not all(len(name) == 1 and str(name[0]).isdecimal() for name, _ in rows):
        raise ResultError("its rows are not numbered by frame, as predictions are", path=path)
    frames = np.array([int(str(name[0])) for name, _ in rows], dtype=np.int64)
    values = np.array([list(v) for _, v in rows], dtype=np.float64)
    points: dict[tuple[str, ...], dict[str, int]] = {}
    for i, column in enumerate(table.columns):
        points.setdefault(column[:-1], {})[column[-1]] = i
    tracks = []
    for name, place in points.items():
        if place.keys() != {"x", "y", "likelihood"}:
            raise ResultError(f"{'/'.join(name)} has {', '.join(place)}, no predictions", path=path)
        tracks.append(
            Track(
                clip="",
                sha256="",
                frames=frames,
                times=frames.astype(np.float64),
                time_unit="frame",
                xy=values[:, [place["x"], place["y"]]],
                confidence=values[:, place["likelihood"]],
                unit="px",
            )
        )
    return tuple(tracks)

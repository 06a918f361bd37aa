"""netCDF as `movement` opens it: one individual, one keypoint, through xarray and h5netcdf.

movement 0.15 calls its dimensions time, space, keypoints, individuals; its next version says
keypoint and individual. Both are read; what is installed is written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_deepmtj.core.atomic import atomic_path
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import MissingExtraError, ResultError
from napari_deepmtj.results.formats.track import (
    AXES,
    POINT,
    UNITS,
    Options,
    Track,
    Unit,
    track_of,
)

#: movement's picture is in pixels; lengths are written when asked for.
HELD: tuple[Unit, ...] = ("px", "mm", "m")
DIMENSIONS = ("time", "space", "keypoints", "individuals")
RENAMED = ("time", "space", "keypoint", "individual")
INDIVIDUAL = "id_0"
SOFTWARE = "napari-deepmtj"


def installed_dimensions() -> tuple[str, ...]:
    """Return the names of the dimensions that the installed movement asks for, else 0.15's."""
    try:
        from movement.validators.datasets import ValidPosesInputs
    except ImportError:
        return DIMENSIONS
    return tuple(ValidPosesInputs.DIM_NAMES)


def write(trajectory: Trajectory, path: str | Path, options: Options) -> tuple[str, ...]:
    """Write positions and confidences; missing is NaN, times are the frames' true ones.

    A frame said to be out of view has no position and the confidence 0. The whole provenance
    is an attribute, as JSON.

    Returns
    -------
    tuple of str
        What a person must be told.

    Raises
    ------
    ResultError
        As `track_of`.
    MissingExtraError
        If xarray or h5netcdf is not installed.
    """
    xarray = _xarray("writing netCDF")
    track = track_of(trajectory, options, HELD)
    time, space, keypoint, individual = dims = installed_dimensions()
    in_seconds = track.time_unit == "s"
    said = trajectory.provenance
    attributes: dict[str, Any] = {
        "source_software": SOFTWARE,
        "ds_type": "poses",
        "time_unit": "seconds" if in_seconds else "frames",
        "fps": track.rate,  # movement wants an even one or none
        "source_file": track.clip,
        "clip_sha256": track.sha256,
        "position_unit": track.unit,
        "axes": AXES,
        "notes": "\n".join(track.notes),
        "x_mm_per_px": None if said.scale is None else said.scale.x_mm,
        "y_mm_per_px": None if said.scale is None else said.scale.y_mm,
        "provenance": json.dumps(said.to_json()),
    }
    dataset = xarray.Dataset(
        {
            "position": (dims, track.xy[:, :, None, None]),
            "confidence": ((time, keypoint, individual), track.confidence[:, None, None]),
            "frame": ((time,), track.frames),
        },
        coords={
            time: track.times if in_seconds else track.frames,
            space: ["x", "y"],
            keypoint: [POINT],
            individual: [INDIVIDUAL],
        },
        attrs={name: value for name, value in attributes.items() if value not in (None, "")},
    )
    with atomic_path(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf")
    return track.notes


def read(path: str | Path) -> tuple[Track, ...]:
    """Read a file of ours or of movement, one track for each individual and keypoint.

    Raises
    ------
    ResultError
        If it cannot be read or does not hold poses in two dimensions.
    MissingExtraError
        If xarray or h5netcdf is not installed.
    """
    xarray, path = _xarray("reading netCDF"), Path(path)
    if not path.exists():
        raise ResultError("there is no such file", path=path)
    try:
        dataset = xarray.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError, RuntimeError) as error:  # HDF5 raises the last
        raise ResultError(f"cannot be read as netCDF ({error})", path=path) from error
    said = dataset.attrs
    if said.get("ds_type") != "poses" or "position" not in dataset:
        raise ResultError("does not hold poses as movement keeps them", path=path)
    position = dataset["position"]
    known = (names for names in (DIMENSIONS, RENAMED) if set(names) == set(position.dims))
    dims = next(known, None)
    if dims is None or [str(axis) for axis in dataset["space"].values] != ["x", "y"]:
        raise ResultError(
            f"has the dimensions {', '.join(map(str, position.dims))} in place of "
            f"{', '.join(DIMENSIONS)}, or a space that is not x and y",
            path=path,
        )
    time, space, keypoint, individual = dims
    xy = position.transpose(individual, keypoint, time, space).to_numpy()
    confidence = np.full(xy.shape[:3], np.nan)
    if "confidence" in dataset:
        confidence = dataset["confidence"].transpose(individual, keypoint, time).to_numpy()
    times = dataset[time].to_numpy()
    frames = dataset["frame"].to_numpy() if "frame" in dataset else np.arange(len(times))
    unit = said.get("position_unit", "px")
    notes = str(said.get("notes", ""))
    return tuple(
        Track(
            clip=str(said.get("source_file", "")),
            sha256=str(said.get("clip_sha256", "")),
            frames=frames.astype(np.int64),
            times=times.astype(np.float64),
            time_unit="s" if said.get("time_unit") == "seconds" else "frame",
            xy=xy[i, k].astype(np.float64),
            confidence=confidence[i, k].astype(np.float64),
            unit=next((u for u in UNITS if u == unit), "px"),
            notes=tuple(notes.splitlines()),
        )
        for i in range(xy.shape[0])
        for k in range(xy.shape[1])
    )


def _xarray(what: str) -> Any:
    try:
        import h5netcdf  # noqa: F401 - xarray says less clearly that it is missing
        import xarray
    except ModuleNotFoundError as error:
        raise MissingExtraError(what, "netcdf") from error
    return xarray

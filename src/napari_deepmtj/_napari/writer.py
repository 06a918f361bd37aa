"""Writes a Points layer of ours as `.mtj.csv` and `.mtj.json`; the format is `io.exports`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_deepmtj._napari import clips, convert
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError


def write_points(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Save the trajectory that a Points layer shows, with a person's corrections.

    Parameters
    ----------
    path : str
        The `.mtj.csv` to write; napari has asked before replacing one.
    data : ndarray, shape (n, 3)
        The layer's points.
    attributes : mapping
        The layer's other attributes, its metadata among them.

    Returns
    -------
    list of str
        The file written.

    Raises
    ------
    ResultError
        If the layer is none of ours or the file cannot be written.
    """
    from napari_deepmtj.io.exports import write_trajectory

    held = attributes.get("metadata", {}).get(convert.KEY, {})
    trajectory = held.get("trajectory")
    if not isinstance(trajectory, Trajectory):
        name = attributes.get("name", "this layer")
        raise ResultError(
            f"{name} holds no trajectory; track a clip first, or save plain points as .csv"
        )
    current = convert.edited(data, trajectory, clips.times_of(None, trajectory))
    return [str(write_trajectory(current, path, overwrite=True))]

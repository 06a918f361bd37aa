"""Writes a Points layer of ours as `.mtj.csv` and `.mtj.json` (`results.trajectory_file`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.viewer import clips
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
    from napari_deepmtj.results.trajectory_file import write_trajectory

    held = attributes.get("metadata", {}).get(convert.KEY, {})
    trajectory = held.get("trajectory")
    if not isinstance(trajectory, Trajectory):
        name = attributes.get("name", "this layer")
        raise ResultError(
            f"{name} holds no trajectory; track a clip first, or save plain points as .csv"
        )
    current = convert.edited(data, trajectory, clips.times_of(None, trajectory))
    return [str(write_trajectory(current, path, overwrite=True))]


def save_result(
    layer: Any, clip: Path | None, folder: Path | None, *, replace: bool = False
) -> Path:
    """Save a Points layer of ours under its clip's name.

    What a model found is replaced in an existing file, what a person made is merged.

    Parameters
    ----------
    layer : Points
        The layer.
    clip : Path or None
        The file of its clip, if it is one.
    folder : Path or None
        Where to save; None is beside the clip.
    replace : bool
        Write exactly what the layer shows: the file is known to hold an earlier state of it.

    Returns
    -------
    Path
        The `.mtj.csv`.

    Raises
    ------
    ResultError
        If there is neither a folder nor a clip on disk, the file there belongs to another clip
        of the same name, or it cannot be written.
    """
    from napari_deepmtj.core.paths import result_path
    from napari_deepmtj.results.trajectory_file import check_overwrite, write_trajectory

    trajectory = convert.trajectory_of(layer)
    name = trajectory.provenance.clip
    if clip is None and folder is None:
        raise ResultError(
            f"{name} is no file, so there is no place beside it; set a folder in "
            "File > Preferences > DeepMTJ, or save the layer"
        )
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    path = result_path(clip or name, folder)
    if replace:
        return write_trajectory(trajectory, path, merge=False)
    check_overwrite(path, [], trajectory.provenance.clip_sha256)
    return write_trajectory(trajectory, path, overwrite=True)

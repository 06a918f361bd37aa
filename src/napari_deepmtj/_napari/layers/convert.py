"""The only owner of the layer schema: what of a clip and its trajectory stands where in a layer.

Every layer of one clip has the axes (t, y, x), one pixel of t being one frame, and the same
scale, translation and units (`placement`); axes that a clip has between t and y hold 0. Nothing
here needs a viewer or Qt; looks are `styles`, and what is drawn by hand is `drawings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj._napari.layers import styles
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Origin, Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.inference.attention import AttentionMap, display_of
from napari_deepmtj.video.sidecar import ClipInfo

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

LayerTuple = tuple[Any, dict[str, Any], str]
FloatArray = npt.NDArray[np.float64]

#: Key of our part of a layer's metadata.
KEY = "deepmtj"
#: Version of what stands under that key.
SCHEMA = 1
#: Columns of a Points layer's features; positions and everything else are in the trajectory.
FEATURES = ("frame", "time_s", "confidence", "sd_mm", "origin", "flags")


class Kind(StrEnum):
    """What a layer of ours is."""

    CLIP = "clip"
    TRAJECTORY = "trajectory"
    PATH = "path"
    PREVIEW = "preview"
    BEFORE = "before"
    MARKS = "marks"
    RINGS = "rings"
    ATTENTION = "attention"
    REGION = "region"
    RULER = "ruler"
    TICKS = "ticks"
    LABELS = "labels"
    CONTRAST = "contrast"


def ours(layer: Any) -> Mapping[str, Any]:
    """Return our part of a layer's metadata, empty for layers of others."""
    found = layer.metadata.get(KEY, {})
    return found if isinstance(found, Mapping) else {}


def kind_of(layer: Any) -> Kind | None:
    """Return what a layer is to us, None for layers of others."""
    kind = ours(layer).get("kind")
    return None if kind is None else Kind(kind)


def stamp(kind: Kind, clip: str, **more: Any) -> dict[str, Any]:
    """Return layer metadata for a layer that belongs to the clip with this id."""
    return {KEY: {"schema": SCHEMA, "kind": kind.value, "clip": clip, **more}}


def facts_of(info: ClipInfo) -> dict[str, Any]:
    """Return what is said of a clip, as its layer's metadata have it."""
    return {
        "mm_per_px": None if info.scale is None else asdict(info.scale),
        "roi": None if info.roi is None else asdict(info.roi),
        "distal_side": info.distal_side,
    }


def info_of(layer: Any) -> ClipInfo:
    """Return what the metadata of a clip's layer say of it."""
    said = ours(layer)
    scale, roi, side = (said.get(name) for name in ("mm_per_px", "roi", "distal_side"))
    return ClipInfo(Scale(**scale) if scale else None, Roi(**roi) if roi else None, side)


def layer_of_clip(source: VideoSource, frames: Any, clip: str) -> LayerTuple:
    """Return the Image layer of a clip.

    Parameters
    ----------
    source : VideoSource
        The clip.
    frames : array-like of uint8, shape (n_frames, H, W)
        Its lazy frames.
    clip : str
        Id that all layers of the clip carry.
    """
    times, scale = source.times, source.scale
    facts = {
        "name": source.name,
        "n_frames": source.n_frames,
        "rate_hz": times.rate,
        "times": times.source,
        "seconds": times.seconds.tolist() if times.known and times.rate is None else None,
        **facts_of(ClipInfo(scale, source.roi)),
        "file": dict(source.metadata),
        "notices": list(source.notices),
    }
    arguments = {
        "name": source.name,
        "contrast_limits": (0, 255),
        "rgb": False,
        "colormap": "gray",
        "metadata": stamp(Kind.CLIP, clip, **facts),
        **Placement.of(times, scale).arguments(),
    }
    return frames, arguments, "image"


def points_of(trajectory: Trajectory, ndim: int = 3) -> tuple[FloatArray, dict[str, Any]]:
    """Return what a Points layer shows of a trajectory: coordinates and per-point looks.

    Parameters
    ----------
    trajectory : Trajectory
        The trajectory.
    ndim : int
        Number of axes of the layer.

    Returns
    -------
    data : ndarray, shape (n, ndim)
        (frame, ..., y_px, x_px) of the rows in view; the others have no point (napari cannot
        place NaN) and live on in the trajectory alone.
    arguments : dict
        `features`, `border_color` and `symbol` of those points.
    """
    import pandas as pd

    table = trajectory.table
    seen = table[table[["x_px", "y_px"]].notna().all(axis=1).to_numpy(dtype=bool)]
    data = widened(seen[["frame", "y_px", "x_px"]].to_numpy(dtype=np.float64), ndim)
    features = pd.DataFrame(
        {
            "frame": seen["frame"].to_numpy(dtype=np.int64),
            "time_s": seen["time_s"].to_numpy(dtype=np.float64),
            "confidence": seen["confidence"].to_numpy(dtype=np.float64),
            "sd_mm": seen["sd_mm"].to_numpy(dtype=np.float64),
            "origin": seen["origin"].to_numpy(dtype=object),
            "flags": seen["flags"].fillna("").to_numpy(dtype=object),
        },
        columns=list(FEATURES),
    )
    style = styles.POINTS
    return data, {
        "features": features,
        "border_color": style.border_color(features["confidence"].to_numpy()),
        "symbol": np.array([style.symbol(o) for o in features["origin"]], dtype=object),
    }


def widened(points: FloatArray, ndim: int) -> FloatArray:
    """Return (t, y, x) with zeros for the axes that a layer has in between."""
    wide: FloatArray = np.insert(points, [1] * (ndim - 3), 0.0, axis=1)
    return wide


#: What a point is that somebody clicks; set anew after every change of the features, because
#: napari otherwise stores the last row's values with the next click.
FEATURE_DEFAULTS: Mapping[str, Any] = {
    "frame": -1,
    "time_s": float("nan"),
    "confidence": 1.0,
    "sd_mm": float("nan"),
    "origin": Origin.MANUAL.value,
    "flags": "",
}


def layer_of_trajectory(
    trajectory: Trajectory, placement: Placement, clip: str, name: str = ""
) -> LayerTuple:
    """Return the Points layer of a trajectory; the trajectory itself is in its metadata.

    It is named after the clip's layer, `name`, else after the file.
    """
    data, looks = points_of(trajectory, placement.ndim)
    style = styles.POINTS
    arguments = {
        "name": f"MTJ {name or trajectory.provenance.clip}",
        "ndim": placement.ndim,
        "metadata": stamp(Kind.TRAJECTORY, clip, trajectory=trajectory),
        "feature_defaults": dict(FEATURE_DEFAULTS),
        "face_color": style.face_color,
        "size": style.size,
        "border_width": style.border_width,
        "canvas_size_limits": style.canvas_size_limits,
        **placement.arguments(),
        **looks,
    }
    if not len(data):  # napari takes no per-point looks of no points
        arguments |= {"features": None, "feature_defaults": None}
        arguments |= {"border_color": styles.UNKNOWN_COLOUR, "symbol": "disc"}
    return data, arguments, "points"


def show_trajectory(layer: Any, trajectory: Trajectory) -> None:
    """Bring an existing Points layer up to date with a trajectory.

    The caller keeps its own listeners from taking this for an edit.
    """
    data, looks = points_of(trajectory, layer.ndim)
    layer.metadata = layer.metadata | stamp(
        Kind.TRAJECTORY, ours(layer)["clip"], trajectory=trajectory
    )
    if not np.array_equal(layer.data, data):
        layer.selected_data = set()
        layer.data = data
    layer.features = looks["features"]
    layer.feature_defaults = dict(FEATURE_DEFAULTS)
    if len(data):
        layer.border_color = looks["border_color"]
        layer.symbol = looks["symbol"]
    layer.refresh()


def trajectory_of(layer: Any) -> Trajectory:
    """Return the trajectory that a Points layer shows.

    Raises
    ------
    ResultError
        If it is no layer of ours.
    """
    found = ours(layer).get("trajectory")
    if not isinstance(found, Trajectory):
        raise ResultError(f"the layer {layer.name} holds no trajectory; track a clip first")
    return found


def describe_frame(trajectory: Trajectory, frame: int) -> str:
    """Return "   confidence 0.75", "   MTJ not in view (0.12)", or "" of a frame not tracked."""
    frames = trajectory.frames
    row = int(np.searchsorted(frames, frame))
    if row >= len(frames) or frames[row] != frame:
        return ""
    table = trajectory.table
    by_hand = table["origin"].iat[row] in (Origin.MANUAL.value, Origin.CORRECTED.value)
    confidence = table["confidence"].to_numpy(dtype=np.float64)[row]
    if not table["in_view"].iat[row]:
        said = "set by hand" if by_hand else f"{confidence:.2f}"
        return f"   MTJ not in view ({said})"
    if by_hand:
        return "   set by hand"
    return "   MTJ in view" if np.isnan(confidence) else f"   confidence {confidence:.2f}"


def edited(
    data: npt.ArrayLike, before: Trajectory, times: FrameTimes, annotator: str = ""
) -> Trajectory:
    """Return the trajectory that a person meant by moving, adding or deleting points.

    A point moved from where the trajectory has it is CORRECTED (MANUAL if it was set by hand
    from the start), a point in a frame without a row is MANUAL, a deleted point says that the
    MTJ is not in view. Of two points in one frame the one that is new counts.

    Parameters
    ----------
    data : array-like, shape (n, ndim)
        The layer's (frame, ..., y_px, x_px).
    before : Trajectory
        What the layer showed.
    times : FrameTimes
        Those of the whole clip.
    annotator : str
        Who did it, for the log.
    """
    coordinates = np.asarray(data, dtype=np.float64)
    coordinates = coordinates[:, [0, -2, -1]] if coordinates.size else np.empty((0, 3))
    shown, _ = points_of(before)
    was = {round(t): (x, y) for t, y, x in shown.tolist()}
    now: dict[int, tuple[float, float]] = {}
    for t, y, x in coordinates.tolist():
        frame = round(t)
        if frame not in now or (x, y) != was.get(frame):
            now[frame] = (x, y)
    after = before
    origins = dict(zip(before.frames.tolist(), before.table["origin"], strict=True))
    for frame in sorted(now.keys() | was.keys()):
        point = now.get(frame)
        if point == was.get(frame) or not 0 <= frame < len(times):
            continue
        if frame not in origins:
            after = after.updated_by(_empty_row(frame, after, times))
        manual = origins.get(frame, Origin.MANUAL) == Origin.MANUAL
        after = after.corrected(frame, point, Origin.MANUAL if manual else Origin.CORRECTED)
    return _signed(after, len(before.provenance.operations), annotator) if annotator else after


def _signed(trajectory: Trajectory, since: int, annotator: str) -> Trajectory:
    """Put a name to the operations from number `since` on."""
    log = trajectory.provenance.operations
    signed = (replace(op, arguments={**op.arguments, "annotator": annotator}) for op in log[since:])
    provenance = replace(trajectory.provenance, operations=(*log[:since], *signed))
    return replace(trajectory, provenance=provenance)


def _empty_row(frame: int, like: Trajectory, times: FrameTimes) -> Trajectory:
    """Return a trajectory of one frame with nothing in view, ready to be corrected."""
    nothing = np.full((2, 2), np.nan)
    row = FramePrediction(frame, np.nan, np.nan, nothing, 0.0, in_view=False)
    return Trajectory.from_predictions([row], times, like.provenance)


def path_of(
    trajectory: Trajectory, ndim: int = 3
) -> tuple[FloatArray, dict[str, npt.NDArray[Any]]]:
    """Return Tracks data (id, frame, ..., y_px, x_px), shape (n, 1 + ndim), and its features."""
    data, looks = points_of(trajectory, ndim)
    tracks = np.column_stack([np.zeros(len(data)), data])
    return tracks, {"confidence": np.nan_to_num(looks["features"]["confidence"].to_numpy())}


def layer_of_path(
    trajectory: Trajectory, placement: Placement, clip: str, name: str = ""
) -> LayerTuple:
    """Return the Tracks layer of a trajectory with at least one point in view."""
    data, features = path_of(trajectory, placement.ndim)
    n_frames = max(2, trajectory.provenance.n_frames)
    arguments = {
        "name": f"path {name or trajectory.provenance.clip}",
        "metadata": stamp(Kind.PATH, clip),
        "features": features,
        "color_by": "confidence",
        "colormaps_dict": {"confidence": styles.confidence_colormap()},
        "tail_length": n_frames,
        "head_length": 0,
        **asdict(styles.TRACKS),
        **placement.arguments(),
    }
    return data, arguments, "tracks"


def show_path(layer: Any, trajectory: Trajectory) -> None:
    """Bring an existing Tracks layer up to date; without a point in view it is left as it is."""
    data, features = path_of(trajectory, layer.ndim)
    if len(data):
        layer.color_by = "track_id"  # new data drop the features, which must not be in use
        layer.data = data
        layer.features = features
        layer.color_by = "confidence"


def layer_of_attention(
    maps: npt.NDArray[Any],
    affine: tuple[npt.ArrayLike, npt.ArrayLike],
    name: str,
    placement: Placement,
    clip: str,
    what: AttentionMap,
) -> LayerTuple:
    """Return the Image layer of attention maps, exactly over the picture.

    Parameters
    ----------
    maps : ndarray, shape (n_frames, h, w)
        One map of the whole network input a frame, raw; zero where nothing was computed.
    affine : (step, origin)
        Where they lie in the frame, as `PixelMap.affine_of_map` gives it.
    name : str
        Name of the clip.
    placement : Placement
        That of the clip.
    clip : str
        Id of the clip.
    what : AttentionMap
        Which map it is, of which model.
    """
    step, origin = (np.asarray(part, dtype=np.float64) for part in affine)
    placed = placement.of_map(step, origin)
    data = np.expand_dims(maps, tuple(range(1, placement.ndim - 2)))
    arguments = {
        "name": f"attention {name}",
        "contrast_limits": (0.0, 1.0),
        "rgb": False,
        "colormap": styles.attention_colormap(),
        "metadata": stamp(Kind.ATTENTION, clip, attention=asdict(what)),
        **asdict(styles.ATTENTION),
        **placed.arguments(),
    }
    return data, arguments, "image"


def show_attention(layer: Any, maps: npt.NDArray[Any]) -> tuple[float, ...]:
    """Choose how a layer shows its maps, from these; return `display_shown`."""
    wanted = display_of(maps.reshape(len(maps), *maps.shape[-2:]), ours(layer)["attention"]["kind"])
    layer.contrast_limits_range = (0.0, wanted.top)
    layer.contrast_limits = (wanted.low, wanted.high)
    layer.gamma = wanted.gamma
    return display_shown(layer)


def display_shown(layer: Any) -> tuple[float, ...]:
    """Return contrast limits and gamma of an attention layer, to be compared with later ones."""
    return (*layer.contrast_limits, layer.gamma)

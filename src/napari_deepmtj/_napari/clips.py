"""Which layers are clips, what is behind them, and which layers belong to which clip."""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from napari_deepmtj._napari import convert
from napari_deepmtj._napari.convert import KEY, Kind
from napari_deepmtj._napari.placement import Placement
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import CalibrationError

if TYPE_CHECKING:
    from napari_deepmtj.io.video import VideoSource


#: Sources of adopted layers, made once for the data and placement that they have.
_ADOPTED: weakref.WeakKeyDictionary[Any, tuple[Any, Placement, VideoSource]] = (
    weakref.WeakKeyDictionary()
)


def new_id() -> str:
    """Return an id that ties the layers of one clip together."""
    return uuid.uuid4().hex


def id_of(layer: Any) -> str:
    """Return the id of the clip that a layer belongs to, empty if to none."""
    return str(convert.ours(layer).get("clip") or "")


def is_clip(layer: Any) -> bool:
    """Whether a layer is a clip: one that this plugin opened, or one that was adopted."""
    return convert.kind_of(layer) is Kind.CLIP


def can_be_clip(layer: Any) -> bool:
    """Whether a layer is a clip or could be adopted as one: grey, with axes (t, y, x)."""
    from napari.layers import Image

    if not isinstance(layer, Image):
        return False
    kind = convert.kind_of(layer)
    return kind is Kind.CLIP or (
        kind is None and layer.ndim == 3 and not layer.rgb and not layer.multiscale
    )


def adopt(layer: Any) -> None:
    """Make an Image layer that this plugin did not open a clip."""
    if not is_clip(layer):
        layer.metadata = layer.metadata | convert.stamp(Kind.CLIP, new_id(), name=layer.name)


def claim(layer: Any, clip: Any) -> None:
    """Make a result layer belong to a clip, and put it exactly where the clip is."""
    mine = dict(convert.ours(layer)) | {"clip": id_of(clip)}
    layer.metadata = layer.metadata | {KEY: mine}
    Placement.of_layer(clip).apply_to(layer)


def match(result: Any, candidates: Iterable[Any]) -> Any:
    """Return the clip among `candidates` that a read trajectory was made from, or None.

    By name and size: the content's hash is compared before anything is merged.
    """
    said = convert.trajectory_of(result).provenance
    wanted = (said.clip, said.n_frames, said.height, said.width)
    for clip in candidates:
        if (convert.ours(clip).get("name"), *clip.data.shape[:3]) == wanted:
            return clip
    return None


def source_of(layer: Any) -> VideoSource:
    """Return the clip behind an Image layer, as the core sees it.

    A clip that this plugin opened is read from its file; any other (t, y, x) array is taken as
    it is, with the layer's scale and time step where their units are known.
    """
    from napari_deepmtj.io.frames import LazyFrames

    if isinstance(layer.data, LazyFrames):
        return layer.data.source
    found = _ADOPTED.get(layer)
    if found is None or found[0] is not layer.data or found[1] != Placement.of_layer(layer):
        found = (layer.data, Placement.of_layer(layer), _array_source(layer))
        _ADOPTED[layer] = found
    return found[2]


def _array_source(layer: Any) -> VideoSource:
    from napari_deepmtj.io._stack import ArraySource

    placed = Placement.of_layer(layer)
    return ArraySource(
        layer.data,
        name=str(convert.ours(layer).get("name") or layer.name),
        times=placed.times(layer.data.shape[0]),
        scale=placed.scale_mm("napari layer"),
    )


def times_of(clip: Any, trajectory: Trajectory) -> FrameTimes:
    """Return the times of a clip's frames; unknown ones if it is not open.

    A result whose provenance was lost does not know how long its clip is: it then has as many
    frames as there are rows to the last one.
    """
    if clip is None:
        rows = int(trajectory.frames.max(initial=-1)) + 1
        return FrameTimes.unknown(max(trajectory.provenance.n_frames, rows))
    return source_of(clip).times


def drawn_region(shapes: Any, clip: Any) -> Roi:
    """Return the region of a clip that the selected (else the first) drawn shape covers.

    napari gives a new layer a placement of its own, so the two may have different pixels.

    Raises
    ------
    CalibrationError
        If nothing is drawn, or nothing over the picture.
    """
    if not len(shapes.data):
        raise CalibrationError(f"nothing is drawn in {shapes.name}; draw a rectangle in it")
    corners = shapes.data[min(shapes.selected_data, default=0)]
    own = Placement.of_layer(shapes).into(Placement.of_layer(clip), corners)
    height, width = clip.data.shape[-2:]
    return convert.roi_of(own, height, width)


def describe_frame(clip: Any, frame: int) -> str:
    """Return "frame 12 / 43   0.480 s", counted from 0 as everywhere in results."""
    times = source_of(clip).times
    text = f"frame {frame} / {len(times) - 1}"
    return f"{text}   {times.seconds[frame]:.3f} s" if times.known else text

"""Which layers are clips, what is behind them, and which layers belong to which clip."""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deepmtj._napari.layers import convert, drawings
from napari_deepmtj._napari.layers.convert import KEY, Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.video.sidecar import ClipInfo

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource


#: Entry in the metadata of a clip whose number of frames is not final.
PROVISIONAL = "provisional"

#: A Tracks layer of napari has no more axes.
MOST_AXES = 4

#: Sources of adopted layers, made once for the data and times that they have.
_ADOPTED: weakref.WeakKeyDictionary[Any, tuple[Any, FrameTimes, VideoSource]] = (
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
    """Whether a layer is a clip or could be adopted as one; looks at its shape alone.

    An Image that is neither turned, mirrored nor sheared, with axes (y, x) or (t, ..., y, x), of
    which those in between are of length 1 or colours; colours may also be last.
    """
    from napari.layers import Image

    from napari_deepmtj.video.stacks.stack import holds_clip

    if not isinstance(layer, Image):
        return False
    kind = convert.kind_of(layer)
    if kind is not None:
        return kind is Kind.CLIP
    if layer.ndim > MOST_AXES or not _upright(layer):
        return False
    return _is_colour_picture(layer) or holds_clip(_array(layer))


def adopt(layer: Any) -> Any:
    """Make an Image layer that this plugin did not open a clip, and return the clip.

    It is the layer itself, except where its last axis is of colours and napari takes that for
    an axis of the picture: then it is a new layer in its stead.
    """
    if is_clip(layer):
        return layer
    if _shows_colour_as_axis(layer):
        layer = _as_colour(layer)
    scale = Placement.of_layer(layer).scale_mm("napari layer")
    facts = {"name": layer.name, **convert.facts_of(ClipInfo(scale))}
    layer.metadata = layer.metadata | convert.stamp(Kind.CLIP, new_id(), **facts)
    return layer


def separate(clip: Any) -> None:
    """Give a clip that is the copy of another one an id of its own."""
    clip.metadata = clip.metadata | {KEY: dict(convert.ours(clip)) | {"clip": new_id()}}


def claim(layer: Any, clip: Any) -> None:
    """Make a result layer belong to a clip, and put it exactly where the clip is."""
    mine = dict(convert.ours(layer)) | {"clip": id_of(clip)}
    layer.metadata = layer.metadata | {KEY: mine}
    Placement.of_layer(clip).apply_to(layer)


def remember(clip: Any, info: ClipInfo) -> None:
    """Keep in a clip's metadata what is said of it."""
    mine = dict(convert.ours(clip)) | convert.facts_of(info)
    clip.metadata = clip.metadata | {KEY: mine}


def info_of(clip: Any) -> ClipInfo:
    """Return what is known of a clip: its scale as it is placed, its region, its distal side.

    A scale that was given to the layer in napari, past this plugin, counts as such.
    """
    said = convert.info_of(clip)
    placed = Placement.of_layer(clip).scale_mm("napari layer")
    if said.scale is not None and placed is not None:
        ours, theirs = ((scale.x_mm, scale.y_mm) for scale in (said.scale, placed))
        placed = said.scale if np.allclose(ours, theirs, rtol=1e-9) else placed
    return ClipInfo(placed, said.roi, said.distal_side)


def size_of(clip: Any) -> tuple[int, int, int]:
    """Return (frames, height, width) of a clip or of what could be one, from its shape alone."""
    shape = tuple(clip.data.shape)[: -1 if clip.rgb or _shows_colour_as_axis(clip) else None]
    frames = shape[0] if len(shape) > 2 else 1
    return frames, shape[-2], shape[-1]


def match(result: Any, candidates: Iterable[Any]) -> Any:
    """Return the clip among `candidates` that a read trajectory was made from, or None.

    By name, size and content: clips of several subjects may be called alike.
    """
    said = convert.trajectory_of(result).provenance
    wanted = (said.clip, said.n_frames, said.height, said.width)
    for clip in candidates:
        if (convert.ours(clip).get("name"), *size_of(clip)) != wanted:
            continue
        if is_provisional(clip) or source_of(clip).sha256 == said.clip_sha256:
            return clip
    return None


def long_name(clip: Any) -> str:
    """Return "folder/clip.avi" of a clip that is a file, else the name of its layer."""
    path = source_of(clip).path
    return clip.name if path is None else f"{path.resolve().parent.name}/{path.name}"


def source_of(layer: Any) -> VideoSource:
    """Return the clip behind an Image layer, as the core sees it.

    A clip that this plugin opened is read from its file; any other array is taken as it is, with
    the layer's time step where its unit is known. The scale is that of the layer in both.
    """
    from napari_deepmtj.video.frames import LazyFrames

    if isinstance(layer.data, LazyFrames):
        source: VideoSource = layer.data.source
    else:
        times = Placement.of_layer(layer).times(size_of(layer)[0])
        found = _ADOPTED.get(layer)
        if found is None or found[0] is not layer.data or not _same(found[1], times):
            found = (layer.data, times, _array_source(layer, times))
            _ADOPTED[layer] = found
        source = found[2]
    held: Any = source
    held.scale = info_of(layer).scale  # a person may change it at any time
    return source


def _array_source(layer: Any, times: FrameTimes) -> VideoSource:
    from napari_deepmtj.video.stacks.stack import ArraySource

    array = _array(layer)
    if _is_colour_picture(layer):
        array = np.asarray(array)[None]
    name = str(convert.ours(layer).get("name") or layer.name)
    return ArraySource(array, name=name, times=times)


def _array(layer: Any) -> Any:
    """Return the pixels of a layer, at full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def _is_colour_picture(layer: Any) -> bool:
    return bool(layer.rgb) and layer.ndim == 2


def _shows_colour_as_axis(layer: Any) -> bool:
    """Whether napari shows (t, y, x, colour) with x and colour as the picture."""
    shape = tuple(layer.data.shape)
    return not layer.rgb and len(shape) == 4 and shape[1] > 1 and shape[-1] in (3, 4)


def _upright(layer: Any) -> bool:
    """Whether a layer is placed by scale and translation alone, so that results can follow."""
    placed = layer._data_to_world.affine_matrix[:-1]
    own = np.column_stack([np.diag(layer.scale), layer.translate])
    return bool((layer.scale > 0).all() and np.allclose(placed, own, rtol=1e-12))


def _as_colour(layer: Any) -> Any:
    from napari.layers import Image

    return Image(
        layer.data,
        rgb=True,
        name=layer.name,
        metadata=dict(layer.metadata),
        scale=layer.scale[:-1],
        translate=layer.translate[:-1],
        units=layer.units[:-1],
        multiscale=layer.multiscale,
    )


def _same(a: FrameTimes, b: FrameTimes) -> bool:
    return a.source == b.source and np.array_equal(a.seconds, b.seconds)


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

    Raises
    ------
    CalibrationError
        If nothing is drawn, or nothing over the picture.
    """
    _, height, width = size_of(clip)
    return drawings.region_of(shapes, Placement.of_layer(clip), height, width)


def describe_frame(clip: Any, frame: int) -> str:
    """Return "frame 12 / 43   0.480 s", counted from 0 as everywhere in results."""
    times = source_of(clip).times
    text = f"frame {frame} / {len(times) - 1}"
    return f"{text}   {times.seconds[frame]:.3f} s" if times.known else text


def describe_scale(scale: Scale | None) -> str:
    """Return a scale and who says so, in one line."""
    if scale is None:
        return "no scale, positions in pixels"
    square = np.isclose(scale.x_mm, scale.y_mm, rtol=1e-6)
    numbers = f"{scale.x_mm:.5g}" if square else f"{scale.x_mm:.5g} x {scale.y_mm:.5g}"
    return f"{numbers} mm/px, {scale.source}"


def is_provisional(layer: Any) -> bool:
    """Return True if the number of frames of a clip's layer is only what its file claims."""
    return bool(convert.ours(layer).get(PROVISIONAL))


def describe_listing(clip: Any, frame: int) -> str:
    """Return how far the frames of a provisional clip are listed, and "" for any other."""
    if not is_provisional(clip):
        return ""
    source = source_of(clip)
    waits = "" if frame < source.settled else "   this frame is not listed yet"
    return (
        f"frame {frame} / about {clip.data.shape[0]}   provisional: listing frames, "
        f"{source.listed:.0%}{waits}"
    )

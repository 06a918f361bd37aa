"""`<stem>.mtj-clip.json`, the side-car of a clip: its scale, region, distal side, colours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.paths import clip_stem
from napari_deepmtj.errors import CalibrationError
from napari_deepmtj.video.grey import ColourRange  # at run time: pydantic looks at `ClipInfo`

SCHEMA = 1

SUFFIX = ".mtj-clip.json"

#: Entries that may be null or left out, and those of them that are one of two words.
_ENTRIES = frozenset({"scale", "roi", "distal_side", "colour_range"})
_SIDES = ("x", "y", "width", "height")
_CHOICES = {"distal_side": ("left", "right"), "colour_range": ("full", "limited")}

DistalSide = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """What a person, or the program that made the clip, said about it.

    Parameters
    ----------
    scale : Scale or None
        Millimetres per pixel.
    roi : Roi or None
        Where the B-mode picture is.
    distal_side : {"left", "right"} or None
        The side of the picture on which the tendon runs to the foot.
    colour_range : {"full", "limited"} or None
        The range of a video's luma, in the place of what its file states or implies.
    """

    scale: Scale | None = None
    roi: Roi | None = None
    distal_side: DistalSide | None = None
    colour_range: ColourRange | None = None


def sidecar_path(clip: str | Path) -> Path:
    """Return where the side-car of `clip` lies."""
    clip = Path(clip)
    return clip.with_name(clip_stem(clip) + SUFFIX)


def write_sidecar(clip: str | Path, info: ClipInfo) -> Path:
    """Write `info` beside `clip`, atomically, and return where."""
    scale, roi = info.scale, info.roi
    data = {
        "schema": SCHEMA,
        "scale": None
        if scale is None
        else {"x_mm_per_px": scale.x_mm, "y_mm_per_px": scale.y_mm, "source": scale.source},
        "roi": None
        if roi is None
        else {
            "x": roi.x,
            "y": roi.y,
            "width": roi.width,
            "height": roi.height,
            "source": roi.source,
        },
        "distal_side": info.distal_side,
        "colour_range": info.colour_range,
    }
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    return atomic_write(sidecar_path(clip), text.encode())


def read_sidecar(clip: str | Path) -> ClipInfo | None:
    """Return what the side-car of `clip` says, None where there is none.

    The source of scale and region is "side-car", with the original one in brackets.

    Raises
    ------
    CalibrationError
        If there is one but it is not as documented in docs/reference/sidecar.md.
    """
    path = sidecar_path(clip)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(
            f"cannot be read ({getattr(error, 'strerror', None) or error}); correct or delete it",
            path=path,
        ) from error
    try:
        data = json.loads(text)
    except ValueError as error:
        raise CalibrationError(f"is not JSON ({error}); correct or delete it", path=path) from error
    try:
        return _parse(data)
    except CalibrationError as error:
        raise CalibrationError(f"{error.message}; correct or delete it", path=path) from error


def _parse(data: Any) -> ClipInfo:
    data = _object(data, "the file", {"schema"}, _ENTRIES)
    if data["schema"] != SCHEMA:
        raise CalibrationError(f"has schema {data['schema']!r}, this version reads {SCHEMA}")
    scale = roi = None
    if data.get("scale") is not None:
        entry = _object(data["scale"], "scale", {"x_mm_per_px", "y_mm_per_px", "source"})
        for axis in ("x_mm_per_px", "y_mm_per_px"):
            if isinstance(entry[axis], bool) or not isinstance(entry[axis], int | float):
                raise CalibrationError(f"{axis} must be a number, not {entry[axis]!r}")
        if not isinstance(entry["source"], str) or not entry["source"]:
            raise CalibrationError("the scale's source must be a text that is not empty")
        scale = Scale(
            float(entry["x_mm_per_px"]),
            float(entry["y_mm_per_px"]),
            _from_sidecar(entry["source"]),
        )
    if data.get("roi") is not None:
        entry = _object(data["roi"], "roi", set(_SIDES), frozenset({"source"}))
        for name in _SIDES:
            if isinstance(entry[name], bool) or not isinstance(entry[name], int):
                raise CalibrationError(f"roi {name} must be a whole number, not {entry[name]!r}")
        source = entry.get("source", "side-car")
        if not isinstance(source, str) or not source:
            raise CalibrationError("the roi's source must be a text that is not empty")
        x, y, width, height = (entry[name] for name in _SIDES)
        roi = Roi(x, y, width, height, _from_sidecar(source))
    for name, (one, other) in _CHOICES.items():
        if data.get(name) not in (None, one, other):
            raise CalibrationError(f'{name} must be "{one}", "{other}" or null, not {data[name]!r}')
    return ClipInfo(scale, roi, data.get("distal_side"), data.get("colour_range"))


def _from_sidecar(source: str) -> str:
    """Return a source that says "side-car" once, however often it is rewritten."""
    return source if source.startswith("side-car") else f"side-car ({source})"


def _object(
    data: Any, what: str, required: set[str], optional: frozenset[str] = frozenset()
) -> Mapping[str, Any]:
    """Return `data` if it is a JSON object with just these names."""
    if not isinstance(data, dict):
        raise CalibrationError(f"{what} must be an object in braces")
    if missing := sorted(required - data.keys()):
        raise CalibrationError(f"{what} lacks {', '.join(missing)}")
    if unknown := sorted(data.keys() - required - optional):
        raise CalibrationError(f"{what} has the unknown entry {', '.join(unknown)}")
    return data

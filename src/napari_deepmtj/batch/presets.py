"""Presets: what all clips of an instrument share, by a name, in a small TOML file.

A preset says where the picture is, its millimetres and its distal side, or some of these. The
published regions (`calibration.roi.PRESETS`) are presets without a scale.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_deepmtj.calibration.roi import PRESETS
from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import CalibrationError
from napari_deepmtj.video.sidecar import DistalSide

#: Entries of a preset in the file.
_ENTRIES = ("roi", "scale", "distal_side")


@dataclass(frozen=True, slots=True)
class Preset:
    """What is said of all clips of an instrument and its setting.

    Parameters
    ----------
    name : str
        How a table or a command calls it.
    roi : Roi or None
        Where the B-mode picture is.
    scale : Scale or None
        Millimetres per pixel, in the place of the clip's own.
    distal_side : {"left", "right"} or None
        Where the tendon runs to.
    """

    name: str
    roi: Roi | None = None
    scale: Scale | None = None
    distal_side: DistalSide | None = None


def presets_path() -> Path:
    """Return where a person's own presets are kept."""
    import platformdirs

    return platformdirs.user_config_path("napari-deepmtj", appauthor=False) / "presets.toml"


def read_presets(path: str | Path | None = None) -> dict[str, Preset]:
    """Return presets by name: the published ones, then those of the file.

    Parameters
    ----------
    path : str or Path, optional
        A TOML file with one table a preset, see docs/how-to/batch.md; that of `presets_path`
        by default, which need not be there.

    Raises
    ------
    CalibrationError
        If it is missing or not as documented; the message names the preset.
    """
    known = {name: Preset(name, roi) for name, roi in PRESETS.items()}
    file = presets_path() if path is None else Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if path is None:
            return known
        raise CalibrationError("there is no such file; check the path", path=file) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CalibrationError(
            f"cannot be read ({getattr(error, 'strerror', None) or error})", path=file
        ) from error
    for name, said in data.items():
        try:
            known[name] = _preset(name, said)
        except CalibrationError as error:
            raise CalibrationError(f"preset {name!r}: {error.message}", path=file) from error
    return known


def write_presets(presets: Iterable[Preset], path: str | Path | None = None) -> Path:
    """Write presets, atomically, in the place of those that are there; return where.

    Published ones need not be written; one of the same name stands above them.
    """
    lines: list[str] = []
    for preset in presets:
        lines.append(f"[{json.dumps(preset.name, ensure_ascii=False)}]")
        if preset.roi is not None:
            lines.append(f"roi = [{', '.join(str(preset.roi).split(','))}]")
        if preset.scale is not None:
            lines.append(f"scale = [{preset.scale.x_mm!r}, {preset.scale.y_mm!r}]")
        if preset.distal_side is not None:
            lines.append(f'distal_side = "{preset.distal_side}"')
        lines.append("")
    file = presets_path() if path is None else Path(path)
    return atomic_write(file, "\n".join(lines).encode())


def preset_named(name: str, presets: Mapping[str, Preset]) -> Preset:
    """Return a preset.

    Raises
    ------
    CalibrationError
        If there is none of that name; it says which there are.
    """
    if name not in presets:
        raise CalibrationError(f"there is no preset {name!r}; there are {', '.join(presets)}")
    return presets[name]


def _preset(name: str, said: Any) -> Preset:
    if not isinstance(said, dict) or not said:
        raise CalibrationError(f"must be a table with some of {', '.join(_ENTRIES)}")
    if unknown := sorted(said.keys() - set(_ENTRIES)):
        raise CalibrationError(f"has the unknown entry {', '.join(unknown)}")
    if not name or re.search(r"[\x00-\x1f\x7f]", name):
        raise CalibrationError("has a name that no table can hold")
    source = f"preset:{name}"
    roi = scale = None
    if "roi" in said:
        numbers = said["roi"]
        if not (isinstance(numbers, list) and len(numbers) == 4 and all(map(_is_whole, numbers))):
            raise CalibrationError("roi must be [x, y, width, height] in whole pixels")
        x, y, width, height = numbers
        roi = Roi(x, y, width, height, source)
    if "scale" in said:
        given = said["scale"]
        pair = given if isinstance(given, list) else [given, given]
        if len(pair) != 2 or not all(_is_whole(v) or isinstance(v, float) for v in pair):
            raise CalibrationError("scale must be millimetres per pixel, 0.0883 or [x, y]")
        scale = Scale(float(pair[0]), float(pair[1]), source)
    side = said.get("distal_side")
    if side not in (None, "left", "right"):
        raise CalibrationError('distal_side must be "left" or "right"')
    return Preset(name, roi, scale, side)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

"""What was done to a clip, in order: an append-only log that travels with every result."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import CalibrationError, ResultError

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that was done, with what it was done with.

    Parameters
    ----------
    name : str
        "track", "correct", "smooth", ...
    arguments : mapping
        JSON-serialisable settings.
    software : str
        Program and version.
    when : str
        ISO 8601 time, UTC, to the second.
    """

    name: str
    arguments: Mapping[str, Any]
    software: str
    when: str

    @classmethod
    def now(cls, name: str, **arguments: Any) -> Operation:
        """Return an operation stamped with this version and the present time."""
        from napari_deepmtj.version import __version__

        # Finer than a clip takes, so that doing the same twice is two operations.
        when = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
        return cls(name, arguments, f"napari-deepmtj {__version__}", when)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What the confidences of a run are the probability of: being within a radius.

    Parameters
    ----------
    definition : str
        As it was asked for: "5.0 mm", or "0.063 of the region's width" without a scale.
    radius_px : tuple of float
        What that came to, along x and y, in frame pixels.
    """

    definition: str
    radius_px: tuple[float, float]

    @classmethod
    def of(cls, operation: Operation) -> Self | None:
        """Return the tolerance of a "track" operation; None if it does not say."""
        said = operation.arguments
        try:
            *_, width, height = (int(n) for n in said["roi"]["x_y_width_height"].split(","))
            radius, placed = float(said["tolerance"]["network_px"]), said["pixel_map"]
            x, y = (
                radius * width / placed["content_width"],
                radius * height / placed["content_height"],
            )
            return cls(str(said["tolerance"]["definition"]), (x, y))
        except (KeyError, TypeError, ValueError):
            return None

    def mm(self, scale: Scale) -> float:
        """Return the radius in millimetres of a scale (of an ellipse: the geometric mean)."""
        x, y = self.radius_px
        return math.sqrt(x * scale.x_mm * y * scale.y_mm)

    def describe(self, scale: Scale | None) -> str:
        """Return the radius as a person should read it under a scale: "5 mm"."""
        if not self.definition.endswith(" mm"):
            share, _, what = self.definition.partition(" ")
            return f"{float(share):.1%} {what}"
        asked = float(self.definition.removesuffix(" mm"))
        if scale is None:
            return f"{math.sqrt(math.prod(self.radius_px)):.1f} px"
        now = self.mm(scale)
        if math.isclose(now, asked, rel_tol=5e-3):
            return f"{asked:g} mm"
        return f"{now:.2f} mm ({asked:g} mm of the scale it was tracked with; track again)"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a trajectory comes from: clip, region, scale, and the operations so far.

    Parameters
    ----------
    clip : str
        Base name of the clip (or its pseudonym); never a folder.
    clip_sha256 : str
        Hash of the file's bytes, or of the frames for arrays.
    n_frames, height, width : int
        Size of the clip.
    times_source : str
        `FrameTimes.source`.
    roi : Roi or None
        The region used.
    scale : Scale or None
        The scale used; None leaves every millimetre empty.
    operations : tuple of Operation
        Oldest first.
    """

    clip: str
    clip_sha256: str
    n_frames: int
    height: int
    width: int
    times_source: str = "container"
    roi: Roi | None = None
    scale: Scale | None = None
    operations: tuple[Operation, ...] = field(default=())

    @property
    def tolerances(self) -> tuple[Tolerance, ...]:
        """What the confidences are the probability of, each once, newest first; usually one.

        Runs whose frames newer runs tracked again have left none.
        """
        found: dict[Tolerance, None] = {}
        again: set[int] = set()
        for op in reversed(self.operations):
            if op.name != "track":
                continue
            frames = set(_frames_of(op))
            tolerance = Tolerance.of(op)
            if tolerance is not None and not (frames and frames <= again):
                found[tolerance] = None
            if not op.arguments.get("stopped"):
                again |= frames
        return tuple(found)

    def and_then(self, name: str, **arguments: Any) -> Self:
        """Return a copy with one more operation at the end."""
        return replace(self, operations=(*self.operations, Operation.now(name, **arguments)))

    def to_json(self) -> dict[str, Any]:
        """Return the contents of a `.mtj.json` file, schema 1."""
        return {
            "schema": SCHEMA,
            "clip": {
                "name": self.clip,
                "sha256": self.clip_sha256,
                "n_frames": self.n_frames,
                "height": self.height,
                "width": self.width,
                "times_source": self.times_source,
            },
            "roi": None
            if self.roi is None
            else {
                "x": self.roi.x,
                "y": self.roi.y,
                "width": self.roi.width,
                "height": self.roi.height,
                "source": self.roi.source,
            },
            "scale": None
            if self.scale is None
            else {
                "x_mm_per_px": self.scale.x_mm,
                "y_mm_per_px": self.scale.y_mm,
                "source": self.scale.source,
            },
            "operations": [
                {
                    "name": op.name,
                    "arguments": dict(op.arguments),
                    "software": op.software,
                    "when": op.when,
                }
                for op in self.operations
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        ResultError
            If the schema is newer than this version knows, or something is missing. A scale that
            no B-mode picture has is left out instead, which is the last operation then.
        """
        if data.get("schema") != SCHEMA:
            raise ResultError(
                f"provenance has schema {data.get('schema')!r}, this version reads {SCHEMA}; "
                "update napari-deepmtj"
            )
        try:
            clip, roi, record = data["clip"], data["roi"], data["scale"]
            operations = tuple(Operation(**op) for op in data["operations"])
            scale, dropped = _possible_scale(record)
            return cls(
                clip=clip["name"],
                clip_sha256=clip["sha256"],
                n_frames=clip["n_frames"],
                height=clip["height"],
                width=clip["width"],
                times_source=clip["times_source"],
                roi=None if roi is None else Roi(**roi),
                scale=scale,
                operations=operations + dropped,
            )
        except (KeyError, TypeError) as error:
            raise ResultError(
                f"provenance is incomplete ({error}); track the clip again"
            ) from error


def _possible_scale(
    record: Mapping[str, Any] | None,
) -> tuple[Scale | None, tuple[Operation, ...]]:
    """Return the scale on record; an impossible one is none, and an operation tells of it."""
    if record is None:
        return None, ()
    try:
        return Scale(record["x_mm_per_px"], record["y_mm_per_px"], record["source"]), ()
    except CalibrationError as error:
        return None, (Operation.now("scale changed", old=record, new=None, why=error.message),)


def _frames_of(track: Operation) -> range:
    """Return the frames that a run was asked for; none if it does not say."""
    try:
        said = track.arguments["frames"]
        return range(said["start"], said["stop"], said["step"])
    except (KeyError, TypeError, ValueError):
        return range(0)

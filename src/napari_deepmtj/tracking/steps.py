"""Gate and smoothing by name and arguments: as the command line gives them and the log has them.

What a step does is `gate.py`, `smooth.py`, `unsmooth.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from napari_deepmtj.core.provenance import Operation
from napari_deepmtj.core.trajectory import Flag, Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.tracking.gate import Limits, gate
from napari_deepmtj.tracking.series import Duration
from napari_deepmtj.tracking.smooth import METHODS, Method, smooth
from napari_deepmtj.tracking.unsmooth import unsmooth

T = TypeVar("T")

#: Operations of the log that `replay` knows.
REPLAYED = ("gate", "smooth", "unsmooth")


def parse_method(text: str) -> Method:
    """Read "kalman", or "butterworth:cutoff_hz=4,order=2".

    Raises
    ------
    ResultError
        If there is no such method or parameter, or a value is not of its kind.
    """
    name, _, rest = text.partition(":")
    return _method(name.strip(), parse_settings(rest))


def parse_limits(text: str) -> Limits:
    """Read "max_speed_mm_s=400,edge_mm=none"; what is not named keeps its default.

    Raises
    ------
    ResultError
        As `parse_method`.
    """
    return _made(Limits, parse_settings(text), "the gate")


def parse_settings(text: str) -> dict[str, Any]:
    """Read "name=value,name=value": numbers, words, and none.

    Raises
    ------
    ResultError
        If a part is no such pair.
    """
    found: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, value = (p.strip() for p in part.partition("="))
        if not (name and equals and value):
            raise ResultError(f"{part!r} is no setting; write name=value,name=value")
        found[name] = _value(value)
    return found


def replay(trajectory: Trajectory, operation: Operation) -> Trajectory:
    """Do again what an operation of the log says was done to a trajectory.

    Parameters
    ----------
    trajectory : Trajectory
        As it was before.
    operation : Operation
        One of `REPLAYED`.

    Raises
    ------
    ResultError
        If the operation is not one of them, or its arguments make no sense.
    """
    said = operation.arguments
    if operation.name == "unsmooth":
        return unsmooth(trajectory)
    try:
        if operation.name == "gate":
            return gate(trajectory, _known(Limits, said)).trajectory
        if operation.name == "smooth":
            kind = METHODS[str(said["method"])]
            return smooth(
                trajectory,
                _known(kind, said),
                max_gap=Duration.parse(said["max_gap"]),
                exclude=[Flag(name) for name in said["excluded"]],
            ).trajectory
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"the log's {operation.name!r} is incomplete ({error})") from error
    raise ResultError(f"{operation.name!r} cannot be replayed from a trajectory alone")


def _method(name: str, settings: Mapping[str, Any]) -> Method:
    if name not in METHODS:
        raise ResultError(f"there is no smoothing {name!r}; there are {', '.join(METHODS)}")
    return _made(METHODS[name], settings, name)


def _known(kind: type[T], said: Mapping[str, Any]) -> T:
    """Make a dataclass of those of the arguments that are its fields; the log has more."""
    own = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    return _made(kind, {name: value for name, value in said.items() if name in own}, kind.__name__)


def _made(kind: type[T], settings: Mapping[str, Any], what: str) -> T:
    """Make a dataclass of parameters, every value of its kind."""
    hints = get_type_hints(kind)
    own = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in own:
            has = f"it has {', '.join(own)}" if own else "it has none"
            raise ResultError(f"{what} has no parameter {name!r}; {has}")
        hint = hints[name]
        if get_origin(hint) is Literal:
            fits = value in get_args(hint)
        else:
            kinds = get_args(hint) or (hint,)
            if Duration in kinds and isinstance(value, str):
                value = Duration.parse(value)
            if float in kinds and isinstance(value, int):
                value = float(value)
            fits = isinstance(value, kinds)
        if not fits:
            raise ResultError(f"{what}: {name} cannot be {value!r}")
        values[name] = value
    return kind(**values)


def _value(text: str) -> float | int | str | None:
    if text.lower() == "none":
        return None
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text

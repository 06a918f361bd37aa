"""The operations of a log, done again one by one: a table of steps by name.

A new operation joins by its name in `STEPS`. The whole of a log, and the comparison with what
was saved, are `reproduce.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.provenance import Operation, Provenance
from napari_deepmtj.core.trajectory import BY_HAND, FramePrediction, Origin, Trajectory
from napari_deepmtj.errors import DeviceError, ResultError, WeightsError
from napari_deepmtj.tracking.steps import REPLAYED, replay

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource
    from napari_deepmtj.weights.store import Model


@dataclass(frozen=True)
class Context:
    """What steps have beside the trajectory."""

    source: VideoSource
    saved: Trajectory
    model: str | None
    device: str | None


#: A step: trajectory so far, place in the log -> what must be told, and the trajectory then.
Step = Callable[
    [Context, Trajectory | None, int], Generator[Progress | Notice, None, Trajectory | None]
]


def _track(
    context: Context, made: Trajectory | None, place: int
) -> Generator[Progress | Notice, None, Trajectory]:
    """Track again with everything that was recorded."""
    from napari_deepmtj.inference.device import resolve_device
    from napari_deepmtj.inference.predictor import Began, TrackedBatch, track

    said, source = context.saved.provenance, context.source
    asked = said.operations[place].arguments
    try:
        loaded = _model(asked["model"], context.model)
        x, y, width, height = (int(n) for n in asked["roi"]["x_y_width_height"].split(","))
        roi = Roi(x, y, width, height, asked["roi"]["source"])
        frames = range(*(int(asked["frames"][key]) for key in ("start", "stop", "step")))
        recorded, batch = str(asked["device"]), int(asked["batch"])
        backend = str(asked.get("backend", {}).get("name", "torch")).partition(",")[0]
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"the log does not say how {said.clip} was tracked ({error})") from error
    if asked.get("stopped"):  # its rows end where it was stopped
        there = [f for f in frames if f in set(context.saved.frames.tolist())]
        frames = frames[: frames.index(there[-1]) + 1] if there else frames[:0]
    try:
        device = resolve_device(context.device or recorded)
    except DeviceError as error:
        raise DeviceError(
            f"{said.clip} was tracked on {recorded}: {error.message}; or compare with --device"
        ) from error
    if device != recorded:
        yield Notice(f"computed on {device}; the result was on {recorded}, so it may differ a bit")
    scale = _scale_at(said, place)
    if scale is None and source.scale is not None:
        raise ResultError(
            f"the clip has a scale now ({source.scale.source}), and the result had none; take the "
            "side-car away to compare",
            path=source.name,
        )
    if not frames:
        return made if made is not None else _empty(context.saved)
    events = track(
        source,
        loaded,
        roi=roi,
        scale=scale,
        frames=frames,
        device=device,
        batch=batch,
        backend=backend if device == "cpu" else "auto",
    )
    with closing(events):
        for event in events:
            match event:
                case Began(provenance=now):
                    yield from _changed_since(asked, now.operations[-1].arguments)
                case TrackedBatch():
                    yield Progress(event.done, event.total)
                case Notice():
                    yield event
                case Failed():
                    raise event.error
                case Done(fresh):
                    return fresh if made is None else made.updated_by(fresh)
    raise ResultError(f"tracking {said.clip} again ended without a result")


def _model(recorded: Mapping[str, Any], given: str | None) -> Model:
    """Load the model of a run.

    Raises
    ------
    WeightsError
        If it is not there, or its weights are others.
    """
    from napari_deepmtj.weights.store import load_model

    loaded = load_model(given or str(recorded["id"]))
    if loaded.card.sha256 != recorded["sha256"]:
        raise WeightsError(
            f"the model {loaded.card.id!r} has the weights {loaded.card.sha256[:12]}..., the "
            f"result was made with {recorded['id']!r}, {recorded['sha256'][:12]}...; give the file "
            "of those weights with --model"
        )
    return loaded


def _scale_at(said: Provenance, place: int) -> Scale | None:
    """Return the scale that was in force at a place of the log."""
    for operation in said.operations[place + 1 :]:
        if operation.name == "scale changed":
            return _scale_of(operation.arguments["old"])
    return said.scale


def _scale_of(record: Mapping[str, Any] | None) -> Scale | None:
    if record is None:
        return None
    return Scale(record["x_mm_per_px"], record["y_mm_per_px"], record["source"])


#: What is said of a backend that changes how long it takes, and no number.
_HOW_FAST = {"threads", "streams", "batch"}


def _changed_since(then: Mapping[str, Any], now: Mapping[str, Any]) -> Generator[Notice]:
    """Yield what a number can depend on and is not as it was."""
    for key in ("libraries", "backend", "clip_metadata", "decoding", "pixel_map", "tolerance"):
        was, is_ = dict(then.get(key, {})), dict(now.get(key, {}))
        for name in sorted(was.keys() & is_.keys() - _HOW_FAST):
            if was[name] != is_[name]:
                yield Notice(f"{name} was {was[name]}, is {is_[name]}")


def _correct(
    context: Context, made: Trajectory | None, place: int
) -> Generator[Progress | Notice, None, Trajectory]:
    """Carry a point over that a person set."""
    said = context.saved.provenance.operations[place].arguments
    frame = int(said["frame"])
    rows = context.saved.table[context.saved.frames == frame]
    origin = Origin(rows["origin"].iloc[0]) if len(rows) else Origin.CORRECTED
    made = _empty(context.saved) if made is None else made
    if frame not in made.frames:  # set on a frame that was not tracked
        nowhere = FramePrediction(
            frame, np.nan, np.nan, np.full((2, 2), np.nan), np.nan, in_view=False
        )
        made = made.updated_by(
            Trajectory.from_predictions([nowhere], context.source.times, made.provenance)
        )
    yield from ()
    return made.corrected(frame, said["xy_px"], origin if origin in BY_HAND else Origin.CORRECTED)


def _rescale(
    context: Context, made: Trajectory | None, place: int
) -> Generator[Progress | Notice, None, Trajectory | None]:
    """Change the scale as it was changed."""
    yield from ()
    new = _scale_of(context.saved.provenance.operations[place].arguments["new"])
    return None if made is None else made.rescaled(new)


def _replay(
    context: Context, made: Trajectory | None, place: int
) -> Generator[Progress | Notice, None, Trajectory]:
    """Do a step again that needs the trajectory alone."""
    yield from ()
    operation: Operation = context.saved.provenance.operations[place]
    return replay(_begun(made, operation.name), operation)


def _fuse(
    context: Context, made: Trajectory | None, place: int
) -> Generator[Progress | Notice, None, Trajectory]:
    """Fuse again with the motion of the tissue."""
    from napari_deepmtj.tracking.fusion import Fusion, fuse

    said = context.saved.provenance.operations[place].arguments
    try:
        own = {f.name: said[f.name] for f in fields(Fusion)}
        settings = Fusion(**own | {"method": _flow(said["method"], said["flow"])})
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"the log's 'fuse' is incomplete ({error})") from error
    done: Trajectory = yield from _result(fuse(_begun(made, "fuse"), context.source, settings))
    return done


def _reference(
    context: Context, made: Trajectory | None, place: int
) -> Generator[Progress | Notice, None, Trajectory]:
    """Follow a second point again, from where it was clicked."""
    from napari_deepmtj.tracking.reference import follow_reference

    provenance = context.saved.provenance
    said = provenance.operations[place].arguments
    try:
        x, y = said["xy_px"]
        events = follow_reference(
            context.source,
            said["reference"],
            int(said["frame"]),
            (float(x), float(y)),
            method=_flow(said["method"], said["parameters"]),
            roi=provenance.roi,
            scale=_scale_at(provenance, place),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"the log's 'follow reference' is incomplete ({error})") from error
    done: Trajectory = yield from _result(events)
    return done


def _refill(
    context: Context, made: Trajectory | None, place: int
) -> Generator[Progress | Notice, None, Trajectory]:
    """Fill the frames around a point again that a person set."""
    from napari_deepmtj.tracking.refill import refill

    yield from ()
    said = context.saved.provenance.operations[place].arguments
    method = _flow(said["method"], said.get("parameters", {}))
    return refill(_begun(made, "refill"), context.source, int(said["frame"]), method=method)


def _slip(
    context: Context, made: Trajectory | None, place: int
) -> Generator[Progress | Notice, None, Trajectory]:
    """Estimate the probe's slip again, and flag it or subtract it."""
    from napari_deepmtj.tracking import slip

    name = context.saved.provenance.operations[place].name
    begun = _begun(made, name)
    found = yield from _result(slip.estimate(context.source, begun))
    return slip.flag(begun, found) if name == "estimate slip" else slip.subtract(begun, found)


def _begun(made: Trajectory | None, name: str) -> Trajectory:
    """Return the trajectory so far, which most steps need."""
    if made is None:
        raise ResultError(f"the log begins with {name!r}, before anything was tracked")
    return made


def _flow(name: str, parameters: Mapping[str, Any]) -> Any:
    """Return the way of following tissue that a log names."""
    from napari_deepmtj.tracking import flow

    kinds: dict[str, Any] = {kind.__name__: kind for kind in (flow.LucasKanade, flow.BlockMatching)}
    return kinds[name](**{k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()})


def _result(events: Iterator[Any]) -> Generator[Progress | Notice, None, Any]:
    """Pass on what a job tells, and return its result."""
    for event in events:
        match event:
            case Progress() | Notice():
                yield event
            case Failed():
                raise event.error
            case Done():
                return event.result
    raise ResultError("a step of the log ended without a result")


def _empty(saved: Trajectory) -> Trajectory:
    """Return a trajectory without rows, for logs that do not begin with tracking."""
    return Trajectory(saved.table.iloc[:0], replace(saved.provenance, operations=()))


#: What can be done again, by its name in the log.
STEPS: dict[str, Step] = {
    "track": _track,
    "correct": _correct,
    "scale changed": _rescale,
    "fuse": _fuse,
    "refill": _refill,
    **dict.fromkeys(("estimate slip", "subtract slip"), _slip),
    "follow reference": _reference,
    **dict.fromkeys(REPLAYED, _replay),
}

"""What happens after a person dragged a point: its span is refilled in a thread, and can be undone.

What refilling is, and how far it goes, is `tracking.refill`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.tracking import saving
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.jobs import Job
from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.core.trajectory import Trajectory

if TYPE_CHECKING:
    from napari_deepmtj._napari.viewer.session import Session
    from napari_deepmtj.video.opening import VideoSource

#: Takes back the last drag with what it refilled, while the Points layer is active.
UNDO = "Ctrl-Z"

#: Edits of a layer that can be taken back.
KEPT = 20

NOTHING = "There is nothing to undo."
CHANGED = "Something else was done to the points since, so the edit cannot be taken back."

#: Opacity of the path as it was.
FAINT = 0.35


@dataclass(slots=True)
class _Edit:
    """What a layer held before an edit, what the edit left, and what its refilling made of it."""

    before: Trajectory
    left: Trajectory
    refilled: Trajectory | None = None


_EDITS: weakref.WeakKeyDictionary[Any, list[_Edit]] = weakref.WeakKeyDictionary()
_RUNS: weakref.WeakKeyDictionary[Any, Refill] = weakref.WeakKeyDictionary()


def show(session: Session, layer: Any, trajectory: Trajectory) -> None:
    """Show a trajectory in its Points layer, and its path if there is one."""
    clip = session.clip_of(layer)
    with session.updating():
        convert.show_trajectory(layer, trajectory)
        if clip is not None and (path := session.find(clip, Kind.PATH)) is not None:
            convert.show_path(path, trajectory)


def after_edit(session: Session, layer: Any, before: Trajectory) -> None:
    """Refill around what a person has just set in a layer; returns at once."""
    from napari_deepmtj.tracking.refill import frames_set

    edits, after = _EDITS.setdefault(layer, []), convert.trajectory_of(layer)
    edits.append(_Edit(before, after))
    del edits[:-KEPT]
    layer.bind_key(UNDO, lambda _: undo(session, layer), overwrite=True)
    frames, clip = frames_set(before, after), session.clip_of(layer)
    if clip is None or not frames:
        saving.autosave(session, layer)
        return
    if layer in _RUNS:
        _RUNS[layer].frames += frames
    elif session.running:
        session.tell("The frames around it are not refilled while another job runs.")
        saving.autosave(session, layer)
    else:
        _RUNS[layer] = Refill(session, layer, clip, before, frames)
        _RUNS[layer].start()


def undo(session: Session, layer: Any) -> None:
    """Take back the last edit of a layer together with what it refilled.

    Only if nothing else was done since: a result that was tracked anew, fused, gated or smoothed
    is never replaced by an old one.
    """
    edits = _EDITS.get(layer)
    if not edits:
        session.message = NOTHING
        return
    last, now = edits[-1], convert.trajectory_of(layer)
    if now is not last.left and now is not last.refilled:
        session.message = CHANGED
        return
    if layer in _RUNS:
        _RUNS[layer].cancel()
    show(session, layer, edits.pop().before)
    saving.autosave(session, layer)
    if (clip := session.clip_of(layer)) is not None:
        _forget_before(session, clip)


def refill_events(
    trajectory: Trajectory, source: VideoSource, frames: list[int]
) -> Iterator[Done[Trajectory]]:
    """Refill around frames, one after the other; runs in the worker's thread."""
    from napari_deepmtj.tracking.refill import refill

    for frame in frames:
        trajectory = refill(trajectory, source, frame)
    yield Done(trajectory)


class Refill:
    """One refilling of a layer; begins anew if a person edits on meanwhile.

    Parameters
    ----------
    session : Session
        Shows what fails.
    layer : Points
        Of the trajectory.
    clip : Image
        Its clip.
    before : Trajectory
        As it was before the edit.
    frames : list of int
        What was set.
    """

    def __init__(
        self, session: Session, layer: Any, clip: Any, before: Trajectory, frames: list[int]
    ) -> None:
        self._session, self._layer, self._clip = session, layer, clip
        self._before, self.frames = before, frames
        self._source = clips.source_of(clip)
        self._began_from: Trajectory | None = None
        self._again = False
        self._job: Job | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        self._again = False
        self._began_from = convert.trajectory_of(self._layer)
        trajectory, frames = self._began_from, list(self.frames)
        self._job = Job(
            lambda: refill_events(trajectory, self._source, frames),
            self._on_events,
            self._on_end,
            "",
        )
        self._session.take(self._job, "Following the tissue...", self._clip)
        self._job.start()

    def cancel(self) -> None:
        """Stop; what was shown stays."""
        if self._job is not None:
            self._job.cancel()

    def _on_events(self, events: list[Any]) -> None:
        last = events[-1]
        if self._job is None or self._job.cancelled or self._layer not in self._layers():
            return
        if isinstance(last, Failed):
            self._session.tell(str(last.error))
        elif convert.trajectory_of(self._layer) is not self._began_from:
            self._again = True
        else:
            show(self._session, self._layer, last.result)
            _EDITS[self._layer][-1].refilled = last.result
            self._session.tell(_describe(self._began_from, last.result, self.frames))
            self._show_before()

    def _on_end(self) -> None:
        self._session.release()
        if self._again and self._layer in self._layers():
            self.start()
        else:
            _RUNS.pop(self._layer, None)
            if self._layer in self._layers():
                saving.autosave(self._session, self._layer)

    def _layers(self) -> Any:
        viewer = self._session.viewer
        return () if viewer is None else viewer.layers

    def _show_before(self) -> None:
        """Draw the path as it was, faintly, below the points."""
        _forget_before(self._session, self._clip)
        if not len(convert.points_of(self._before)[0]):
            return
        key = clips.id_of(self._clip)
        data, looks, kind = convert.layer_of_path(self._before, Placement.of_layer(self._clip), key)
        looks |= {"name": f"before {self._clip.name}", "opacity": FAINT}
        looks["metadata"] = convert.stamp(Kind.BEFORE, key)
        self._session.add(self._clip, (data, looks, kind), below=self._layer)


def _describe(before: Trajectory | None, after: Trajectory, frames: list[int]) -> str:
    """Return how many frames were refilled around those that were set, or that none was."""
    if before is None or len(before) != len(after):
        return ""
    same = np.isclose(before.xy_px, after.xy_px, equal_nan=True).all(axis=1)
    moved = int((~same).sum())
    if moved:
        return f"Refilled {moved} frames around frame {', '.join(map(str, frames))}."
    return f"Nothing refilled around frame {', '.join(map(str, frames))}: no frames to follow."


def _forget_before(session: Session, clip: Any) -> None:
    if (layer := session.find(clip, Kind.BEFORE)) is not None:
        with session.updating():
            session.viewer.layers.remove(layer)

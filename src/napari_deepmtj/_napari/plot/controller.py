"""What is done with the trajectories of a viewer over time: gate, smoothing, undo, mechanics.

One object a viewer, like its session; the dock shows it. What is shown is computed by `tracking`
and `report`, long work in a worker beside whatever job the session has. Needs no Qt.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_deepmtj._napari.calibration import controller as calibration
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.plot.channels import Signals
from napari_deepmtj._napari.tracking import corrections as refill
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.jobs import Job
from napari_deepmtj._napari.viewer.session import Session, per_viewer
from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.mechanics.excursion import Excursion, excursion
from napari_deepmtj.report.timeline import Timeline, nearest
from napari_deepmtj.tracking.gate import Gated, Limits, gate
from napari_deepmtj.tracking.series import Duration, FloatArray
from napari_deepmtj.tracking.smooth import Kalman, Method, Result, smooth
from napari_deepmtj.tracking.unsmooth import unsmooth

if TYPE_CHECKING:
    from napari_deepmtj.video.sidecar import DistalSide


#: Changes that can be undone; older ones are forgotten, and with them what they kept in memory.
HISTORY = 20

#: Rows up to which the excursion is worked out while the window waits, for some 0.1 s.
AT_ONCE = 600

BUSY = "Wait until what runs has ended."
NOTHING = "Track a clip first, or open a result."


class PlotController:
    """The trajectories of one viewer over time.

    Attributes
    ----------
    limits : Limits
        What the gate holds rows to.
    method : Method
        How is smoothed.
    max_gap : Duration or None
        Longest gap that is filled; None is the method's.
    gated : Gated or None
        What the gate found in the result that is shown, applied or not; None is not known yet.
    overlaid : tuple of layers
        Results of other clips that are shown too.
    signals : Signals
        What other devices recorded with the clips.
    running : bool
        Whether a worker computes.
    message : str
        What a person must be told, one line each.
    """

    #: Curves, results or clips are others than before; the table of findings is; a message is.
    changed, found, told = Signal(), Signal(), Signal()

    def __init__(self, session: Session) -> None:
        self.limits = Limits()
        self.method: Method = Kalman()
        self.max_gap: Duration | None = None
        self.gated: Gated | None = None
        self.overlaid: tuple[Any, ...] = ()
        self.running = False
        self.message = ""
        self.signals = Signals(self)
        self._session = session
        self._asked: tuple[Any, Trajectory | None] = (None, None)
        self._gated_of: tuple[Any, Limits] = (None, self.limits)
        self._timelines: weakref.WeakKeyDictionary[Any, tuple[Any, Timeline]] = (
            weakref.WeakKeyDictionary()
        )
        self._excursions: weakref.WeakKeyDictionary[Any, tuple[Any, Excursion | None]] = (
            weakref.WeakKeyDictionary()
        )
        self._history: list[tuple[Any, Trajectory, Trajectory, str]] = []
        events = session.viewer.layers.events
        events.inserted.connect(self._on_inserted, position="last")
        events.removed.connect(self._on_removed, position="last")
        session.signals.result_chosen.connect(self._on_chosen)
        session.events.concealed.connect(self._on_chosen)
        session.events.active.connect(self._on_active)
        session.events.info.connect(self._on_info)
        for layer in self.results():
            layer.events.features.connect(self._on_features)

    @property
    def session(self) -> Session:
        """The session of the viewer."""
        return self._session

    # ----- what is shown ----------------------------------------------------------------------

    def results(self) -> list[Any]:
        """Return all Points layers that hold a trajectory."""
        viewer = self._session.viewer
        layers = [] if viewer is None else viewer.layers
        return [la for la in layers if convert.kind_of(la) is Kind.TRAJECTORY]

    def shown(self) -> Any:
        """Return the result of the active clip; without a clip the last result; None of none."""
        clip = self._session.active
        if self._session.concealed:
            return None
        if clip is not None:
            return self._session.find(clip, Kind.TRAJECTORY)
        found = self.results()
        return found[-1] if found else None

    def trajectory(self) -> Trajectory | None:
        """Return the trajectory that is shown."""
        layer = self.shown()
        return None if layer is None else convert.trajectory_of(layer)

    def timelines(self) -> list[Timeline]:
        """Return what is shown over time: the active clip's first, then what is overlaid."""
        first = self.shown()
        rest = [la for la in self.overlaid if la is not first and la in self.results()]
        return [] if first is None else [self._timeline(la) for la in (first, *rest)]

    def _timeline(self, layer: Any) -> Timeline:
        """Compute what is shown of a result, unless nothing has changed."""
        clip = self._session.clip_of(layer)
        side = None if clip is None else clips.info_of(clip).distal_side
        trajectory, recording = convert.trajectory_of(layer), self.signals.of(layer)
        channels = None if recording is None else recording.shown
        known = self._timelines.get(layer)
        state = (trajectory, side, channels)
        if known is None or any(a is not b for a, b in zip(known[0], state, strict=True)):
            known = (state, Timeline.of(trajectory, side, channels))
            self._timelines[layer] = known
        return known[1]

    def excursion(self) -> Excursion | None:
        """Return how far the MTJ moves in the result that is shown.

        None without a result, where it cannot be said, and for a long clip at first: `changed` is
        emitted when it is worked out.
        """
        layer = self.shown()
        if layer is None:
            return None
        clip = self._session.clip_of(layer)
        side = None if clip is None else clips.info_of(clip).distal_side
        state = (convert.trajectory_of(layer), side)
        known = self._excursions.get(layer)
        if known is not None and all(a is b for a, b in zip(known[0], state, strict=True)):
            return known[1]
        self._excursions[layer] = (state, None)
        if len(state[0]) <= AT_ONCE:
            with suppress(DeepMTJError):  # the timeline's remark says why
                self._excursions[layer] = (state, excursion(*state))
            return self._excursions[layer][1]

        def take(events: list[Any]) -> None:
            now = self._excursions.get(layer)
            for event in events:
                if isinstance(event, Done) and now is not None and now[0] is state:
                    self._excursions[layer] = (state, event.result)
                    self.changed.emit()

        Job(lambda: iter([Done(excursion(*state))]), take, lambda: None, "").start()
        return None

    def times(self) -> FloatArray:
        """Return the times of all frames of the clip that is shown, frame numbers without any."""
        layer = self.shown()
        if layer is None:
            return FrameTimes.unknown(0).seconds
        clip = self._session.clip_of(layer)
        return clips.times_of(clip, convert.trajectory_of(layer)).seconds

    def cursor(self) -> float | None:
        """Return the time of the frame that the slider is at; None of none."""
        times, frame = self.times(), self._session.frame()
        return float(times[frame]) if 0 <= frame < len(times) else None

    def jump(self, t: float) -> None:
        """Move the slider to the frame nearest to a time."""
        frame = nearest(self.times(), t)
        if frame >= 0:
            self._session.go_to(frame)

    def look_at(self, frame: int) -> None:
        """Show a frame of the clip that the findings are of."""
        clip = self._session.clip_of(self.shown())
        if clip is not None:
            self._session.activate(clip)
        self._session.go_to(frame)

    def overlay(self, layer: Any, wanted: bool) -> None:
        """Show another clip's result too, or no more."""
        rest = tuple(la for la in self.overlaid if la is not layer)
        self.overlaid = (*rest, layer) if wanted else rest
        self.changed.emit()

    def set_distal_side(self, side: DistalSide | None) -> None:
        """Say which side of the active clip's picture is distal."""
        if (clip := self._session.active) is not None:
            calibration.set_distal_side(self._session, clip, side)

    def save_plot(self, path: Path, names: Sequence[str], view: tuple[float, float]) -> None:
        """Write what is in view as a figure on paper; the suffix says the format."""
        from napari_deepmtj.report.plots import FORMATS, over_time, save_figure

        if path.suffix.lower() not in FORMATS:
            self.tell(f"{path.name}: a plot is saved as {', '.join(FORMATS)}.")
            return
        try:
            saved = save_figure(over_time(self.timelines(), names, view), path)
            self.tell(f"Saved {saved}")
        except (DeepMTJError, OSError) as error:
            self.tell(str(error))

    def export(self, path: Path, key: str) -> None:
        """Write the result that is shown in a format of `results.formats`."""
        trajectory = self._ready()

        def written() -> tuple[str, ...]:
            from napari_deepmtj.results.formats import write

            assert trajectory is not None
            return write(trajectory, path, key)

        if trajectory is not None:
            said = f"Saved {path}{self.which()}"
            self.run(written, lambda notices: self.tell(said, *notices), "Export")

    # ----- the gate ---------------------------------------------------------------------------

    def set_limits(self, limits: Limits) -> None:
        """Hold rows to other limits, and see what the gate would find."""
        self.limits = limits
        self.look()

    def look(self) -> None:
        """See what the gate finds in the result that is shown, if that is not known yet."""
        trajectory, limits = self.trajectory(), self.limits
        if self.running or self._session.running:
            return
        if trajectory is self._gated_of[0] and limits == self._gated_of[1]:
            return
        self._gated_of = (trajectory, limits)
        if trajectory is None:
            self._take_gated(None)
            return
        self.run(lambda: gate(trajectory, limits), self._take_gated, "")

    def _take_gated(self, gated: Gated | None) -> None:
        self.gated = gated
        self.found.emit()

    def apply_gate(self) -> None:
        """Write the flags into the result that is shown; positions and corrections stay."""
        trajectory, limits = self._ready(), self.limits
        if trajectory is not None:
            self.run(lambda: gate(trajectory, limits), self._put_gated, "Gate")

    def _put_gated(self, gated: Gated) -> None:
        rows = gated.findings["frame"].nunique()
        after = gated.trajectory
        self._gated_of = (after, self.limits)  # the gate finds the same in it
        if self._put(after, "the gate"):
            self._take_gated(gated)
            said = f"{rows} of {len(after)} frames are flagged{self.which()}."
            self.tell(said, *gated.notices)

    # ----- smoothing --------------------------------------------------------------------------

    def smooth(self) -> None:
        """Smooth the result that is shown, from its raw values."""
        trajectory, method, max_gap = self._ready(), self.method, self.max_gap
        if trajectory is not None:
            self.run(
                lambda: smooth(trajectory, method, max_gap=max_gap), self._put_smooth, "Smooth"
            )

    def _put_smooth(self, result: Result) -> None:
        if self._put(result.trajectory, "smoothing"):
            said = f"Smoothed: {result.filled} frames filled, {result.left} have no position."
            self.tell(said, *result.notices)

    def unsmooth(self) -> None:
        """Take the smoothing away: raw values again, corrections as they are."""
        trajectory = self._ready()
        if trajectory is not None and self._put(unsmooth(trajectory), "removing the smoothing"):
            self.tell("Raw positions are in use again.")

    # ----- changes, and taking them back ------------------------------------------------------

    def free(self) -> bool:
        """Say whether nothing else runs that what is shown depends on; tell if something does."""
        if busy := self.running or self._session.running:
            self.tell(BUSY)
        return not busy

    def _ready(self) -> Trajectory | None:
        """Return what may be changed now; None, and say why, if nothing may."""
        trajectory = self.trajectory()
        if not self.free():
            return None
        if trajectory is None or not len(trajectory):
            self.tell(NOTHING)
            return None
        self._asked = (self.shown(), trajectory)
        return trajectory

    def _put(self, after: Trajectory, what: str) -> bool:
        """Give the result that was asked about its new state, unless it has changed meanwhile."""
        layer, before = self._asked
        assert before is not None
        if layer not in self.results() or convert.trajectory_of(layer) is not before:
            self.tell("The points were changed meanwhile, so nothing was done; do it again.")
            return False
        self._history = [*self._history, (weakref.ref(layer), before, after, what)][-HISTORY:]
        refill.show(self._session, layer, after)
        return True

    def undoable(self) -> str:
        """Return what `undo` would take back, empty if nothing."""
        layer = self.shown()
        if layer is None or not self._history:
            return ""
        at, _, after, what = self._history[-1]
        return what if at() is layer and convert.trajectory_of(layer) is after else ""

    def undo(self) -> None:
        """Take back the last change of the result that is shown, exactly.

        What was changed since, by hand or by tracking, is never lost: then there is nothing to
        undo, and smoothing can be removed, the gate applied anew.
        """
        what = self.undoable()
        if not what or self.running or self._session.running:
            self.tell("There is nothing to undo.")
            return
        layer, before, _, _ = self._history.pop()
        refill.show(self._session, layer(), before)
        self.tell(f"Undone: {what}.")

    # ----- what changes -----------------------------------------------------------------------

    def _on_inserted(self, event: Any) -> None:
        if convert.kind_of(event.value) is Kind.TRAJECTORY:
            event.value.events.features.connect(self._on_features)
            self.changed.emit()

    def _on_removed(self, event: Any) -> None:
        if convert.kind_of(event.value) is Kind.TRAJECTORY:
            self.overlaid = tuple(la for la in self.overlaid if la is not event.value)
            self.changed.emit()

    def _on_features(self, event: Any = None) -> None:
        self.changed.emit()

    def which(self) -> str:
        """Return which result is shown where its clip has several, else nothing."""
        layer = self.shown()
        return "" if layer is None else self._session.which(layer)

    def _on_chosen(self, which: Any) -> None:
        self.changed.emit()

    def _on_active(self, clip: Any) -> None:
        self.tell()  # what was told is of another clip
        self.changed.emit()

    def _on_info(self, info: Any) -> None:
        self.changed.emit()

    # ----- jobs -------------------------------------------------------------------------------

    def tell(self, *messages: str) -> None:
        """Tell a person something, in place of what was told before."""
        self.message = "\n".join(filter(None, messages))
        self.told.emit()

    def run(self, work: Callable[[], Any], take: Callable[[Any], None], what: str) -> None:
        """Do work in a worker and take its result on the main thread; quietly if it has no name."""

        def events() -> Iterator[Any]:
            yield Done(work())

        def on_events(group: list[Any]) -> None:
            for event in group:
                if isinstance(event, Failed):
                    self.tell(str(event.error))
                    if not what:
                        self._take_gated(None)
                elif self._session.viewer is not None:
                    take(event.result)

        self.running = True
        if what:
            self.tell(f"{what}...")
        Job(events, on_events, self._end, what).start()

    def _end(self) -> None:
        self.running = False
        self.told.emit()
        self.look()  # limits or points may be others by now


#: What a viewer shows over time, the same object every time.
plot_controller_of = per_viewer(PlotController)

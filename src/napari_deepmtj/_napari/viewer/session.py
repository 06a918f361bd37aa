"""What a viewer knows about clips: which are open, which is active, what is running.

One session a viewer, kept as long as the viewer lives, so that hiding a dock or opening a
second one loses nothing. Widgets show a session and own no state. A session knows no feature: it
emits what happens (`Session.signals`), and `_napari.features` subscribes to it. Needs no Qt.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from napari.layers import Image, Layer, Points
from psygnal import EventedModel
from pydantic import ConfigDict, PrivateAttr

from napari_deepmtj._napari.layers import convert, drawings, styles
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.drawings import Line
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.settings import read_settings
from napari_deepmtj._napari.viewer.signals import Question as Question
from napari_deepmtj._napari.viewer.signals import SessionSignals
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.jobs import Progress
from napari_deepmtj.video.sidecar import ClipInfo

_T = TypeVar("_T")

_SESSIONS: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()

#: Called with every new session; `_napari.features` is the one that adds to it.
ON_NEW_SESSION: list[Callable[[Session], None]] = []


#: Layers that tell what a model or somebody else made of a clip.
RESULTS = (
    Kind.TRAJECTORY,
    Kind.ATTENTION,
    Kind.PATH,
    Kind.BEFORE,
    Kind.PREVIEW,
    Kind.MARKS,
    Kind.RINGS,
)
#: Why results are hidden: a label file is open, in a round that is blinded or not.
ORDINARY, BLINDED = "ordinary", "blinded"


class Session(EventedModel):
    """The state of one viewer; each field has an event of the same name in `events`.

    Parameters
    ----------
    active : Image or None
        The clip whose layers are shown and whose frames the slider steps through.
    info : ClipInfo
        What is known of the active clip: its scale, its region, its distal side.
    lines : tuple
        The last lines drawn on the active clip, two at most: ends as (x, y) in its pixels.
    proposal : Scale or None
        A scale for the active clip that a person has not applied yet.
    running : bool
        Whether a job runs.
    doing : str
        What it does as long as it tells no progress.
    progress : Progress or None
        How far it is.
    message : str
        What a person must be told about the last job, one line each; empty is nothing.
    made_model : str
        Id of the model that was trained last; whoever chooses models takes it.
    question : Question or None
        What the user is asked about the active clip.
    concealed : {"", "ordinary", "blinded"}
        Why results are hidden; empty if they are not. See `conceal`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    active: Image | None = None
    info: ClipInfo = ClipInfo()
    lines: tuple[Line, ...] = ()
    proposal: Scale | None = None
    running: bool = False
    doing: str = ""
    progress: Progress | None = None
    message: str = ""
    made_model: str = ""
    question: Question | None = None
    concealed: str = ""

    _viewer: Any = PrivateAttr()
    _frames: dict[str, int] = PrivateAttr(default_factory=dict)
    _hidden: dict[str, set[int]] = PrivateAttr(default_factory=dict)
    _chosen: dict[str, weakref.ref[Any]] = PrivateAttr(default_factory=dict)
    _names: dict[str, str] = PrivateAttr(default_factory=dict)
    _placed: dict[str, Placement] = PrivateAttr(default_factory=dict)
    _editing: bool = PrivateAttr(default=False)
    _switching: bool = PrivateAttr(default=False)
    _concealed: weakref.WeakSet[Any] = PrivateAttr(default_factory=weakref.WeakSet)
    _job: Any = PrivateAttr(default=None)
    _job_clip: str = PrivateAttr(default="")
    _signals: SessionSignals = PrivateAttr(default_factory=SessionSignals)

    @property
    def signals(self) -> SessionSignals:
        """What features connect to."""
        return self._signals

    @property
    def viewer(self) -> Any:
        """The viewer; None when it is gone."""
        return self._viewer()

    # ----- clips and their layers -------------------------------------------------------------

    def clips(self) -> list[Image]:
        """Return the clips among the layers, in their order."""
        viewer = self.viewer
        return [] if viewer is None else [la for la in viewer.layers if clips.is_clip(la)]

    def layers_of(self, clip: Image) -> list[Layer]:
        """Return a clip's Image layer and all layers that belong to it."""
        own = clips.id_of(clip)
        return [la for la in self.viewer.layers if own and clips.id_of(la) == own]

    def clip_of(self, layer: Layer | None) -> Image | None:
        """Return the clip that a layer belongs to."""
        own = None if layer is None else clips.id_of(layer)
        return next((c for c in self.clips() if own and clips.id_of(c) == own), None)

    def find(self, clip: Image, kind: Kind) -> Any:
        """Return the layer of one kind that belongs to a clip, or None.

        Of several results the one that was selected last, else the first.
        """
        found = [la for la in self.layers_of(clip) if convert.kind_of(la) is kind]
        if kind is Kind.TRAJECTORY and (ref := self._chosen.get(clips.id_of(clip))) is not None:
            found.sort(key=lambda layer: layer is not ref())
        return found[0] if found else None

    def results_of(self, clip: Image) -> list[Any]:
        """Return all results of a clip, in the order of their layers."""
        mine = self.layers_of(clip)
        return [la for la in mine if convert.kind_of(la) is Kind.TRAJECTORY]

    def which(self, layer: Any) -> str:
        """Return " (layer NAME, one of N results of this clip)"; empty where there is one."""
        clip = self.clip_of(layer)
        n = 0 if clip is None else len(self.results_of(clip))
        return f" (layer {layer.name}, one of {n} results of this clip)" if n > 1 else ""

    def adopt(self, layer: Image) -> Image:
        """Make an Image layer a clip, and return the clip, which may be put in its stead."""
        clip = clips.adopt(layer)
        if clip is not layer:
            layers = self.viewer.layers
            place = layers.index(layer)
            layers.remove(layer)
            layers.insert(place, clip)
        else:
            self._watch(clip)
            self._claim_results(clip)
        return clip

    def add(self, clip: Image, made: Any, *, above: Any = None, below: Any = None) -> Any:
        """Add a layer of a clip; nothing else moves, and a hidden clip stays hidden."""
        layer = made if isinstance(made, Layer) else Layer.create(*made)
        layers = self.viewer.layers
        selected = layers.selection.active
        if not layer.visible and (hidden := self._hidden.get(clips.id_of(clip))) is not None:
            hidden.add(id(layer))
        layer.visible = layer.visible and clip is self.active and not self._hides(layer)
        with self.updating():
            if above is not None:
                layers.insert(layers.index(above) + 1, layer)
            elif below is not None:
                layers.insert(layers.index(below), layer)
            else:
                layers.append(layer)
            layers.selection.active = selected
        return layer

    # ----- the active clip --------------------------------------------------------------------

    def activate(self, clip: Image | None) -> None:
        """Show one clip with its layers, at the frame where it was left, and hide the others."""
        viewer = self.viewer
        if clip is self.active or viewer is None or self._switching:
            return
        self._switching = True
        try:
            if self.active is not None:
                self._frames[clips.id_of(self.active)] = self.frame()
            for other in self.clips():
                if other is not clip:
                    self._hide(other)
            self.active = clip
            if clip is not None:
                self._restore(clip)
                selection = viewer.layers.selection
                if self.clip_of(selection.active) is not clip:
                    selection.active = clip
        finally:
            self._switching = False
        self.refresh()
        self.proposal = None
        self._on_range()

    def refresh(self) -> None:
        """Say anew what is known of the active clip, and show it."""
        clip, viewer = self.active, self.viewer
        self.info = ClipInfo() if clip is None else clips.info_of(clip)
        ruler = None if clip is None else self.find(clip, Kind.RULER)
        self.lines = () if ruler is None else drawings.lines_of(ruler, Placement.of_layer(clip), 2)
        if clip is not None:
            viewer.canvas.overlays.scale_bar.visible = Placement.of_layer(clip).known_mm
        self.show_status()

    def look_at(self, clip: Image) -> None:
        """Fit the view to a clip; to everything where napari cannot, another having more axes."""
        viewer = self.viewer
        viewer.reset_view(layers=[clip] if clip.ndim == viewer.dims.ndim else None)

    def frame(self) -> int:
        """Return the frame of the active clip that the slider is at."""
        dims, axis = self.viewer.dims, self._time_axis()
        return int(dims.current_step[axis]) if axis >= 0 else 0

    def go_to(self, frame: int) -> None:
        """Move the slider to a frame of the active clip."""
        if (axis := self._time_axis()) >= 0:
            self.viewer.dims.set_current_step(axis, frame)

    def _time_axis(self) -> int:
        """Return the slider's axis of the active clip's frames, negative if there is none."""
        axes = 3 if self.active is None else max(3, self.active.ndim)
        return int(self.viewer.dims.ndim - axes)

    def _hide(self, clip: Image) -> None:
        key = clips.id_of(clip)
        layers = self.layers_of(clip)
        if key not in self._hidden:
            self._hidden[key] = {id(la) for la in layers if not la.visible}
        for layer in layers:
            layer.visible = False

    def _restore(self, clip: Image) -> None:
        key = clips.id_of(clip)
        hidden = self._hidden.pop(key, None)
        if hidden is not None:
            for layer in self.layers_of(clip):
                layer.visible = id(layer) not in hidden and not self._hides(layer)
        self._on_range()
        self.go_to(self._frames.get(key, 0))
        self.look_at(clip)

    # ----- results that would lead an annotator's eye -----------------------------------------

    def conceal(self, why: str) -> None:
        """Hide the results of all clips while frames are labelled, or show them again.

        Parameters
        ----------
        why : {"ordinary", "blinded", ""}
            In an ordinary round a layer can be shown by its eye; in a blinded one it stays hidden.
            Empty shows again what was hidden here.
        """
        self.concealed = why
        if self.viewer is None:
            return
        if not why:
            for layer in [la for la in self.viewer.layers if la in self._concealed]:
                layer.visible = self.clip_of(layer) is self.active
            self._concealed.clear()
        for layer in list(self.viewer.layers) if why else ():
            self._conceal(layer)
        self.show_status()

    def _hides(self, layer: Any) -> bool:
        return bool(self.concealed) and convert.kind_of(layer) in RESULTS

    def _conceal(self, layer: Any) -> None:
        if not self._hides(layer):
            return
        if layer.visible:
            self._concealed.add(layer)
            layer.visible = False
        layer.events.visible.disconnect(self._on_shown)
        layer.events.visible.connect(self._on_shown)

    def _on_shown(self, event: Any) -> None:
        """Keep results hidden in a blinded round, whatever is clicked."""
        layer = event.source
        if layer.visible and self.concealed == BLINDED and self._hides(layer):
            layer.visible = False
            self.tell(f"{layer.name} stays hidden: this round is blinded.")

    def _on_range(self, event: Any = None) -> None:
        """Let the sliders step through the active clip, whatever else is open."""
        viewer, clip = self.viewer, self.active
        if viewer is None or clip is None or clip not in viewer.layers:
            return
        others, extent = viewer.dims.ndim - clip.ndim, clip.extent
        for axis in range(viewer.dims.ndim - 2):
            wanted = (0.0, 0.0, 1.0)  # an axis that this clip does not have
            if (own := axis - others) >= 0:
                wanted = (extent.world[0][own], extent.world[1][own], extent.step[own])
            if tuple(viewer.dims.range[axis]) != wanted:
                viewer.dims.set_range(axis, wanted)

    def show_status(self, event: Any = None) -> None:
        """Say, over the picture and in the status line, which frame of which clip is shown."""
        viewer, clip = self.viewer, self.active
        if viewer is None or self._switching:
            return
        overlay = viewer.canvas.overlays.text
        if clip is None or clip not in viewer.layers:
            overlay.visible = False
            return
        frame = self.frame()
        text = clips.describe_listing(clip, frame) or clips.describe_frame(clip, frame)
        result = self.find(clip, Kind.TRAJECTORY)
        if result is not None and result.visible:
            text += convert.describe_frame(convert.trajectory_of(result), frame)
        overlay.box = False  # its shader would be compiled anew for every frame, 10 ms and more
        overlay.position, overlay.visible, overlay.text = "top_left", True, text
        scale = self.info.scale
        said = "" if scale is None else f"   {clips.describe_scale(scale)}"
        viewer.status = f"{clip.name}: {text}{said}"

    # ----- layers that come and go ------------------------------------------------------------

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        kind = convert.kind_of(layer)
        if kind is Kind.CLIP:
            if any(clips.id_of(c) == clips.id_of(layer) for c in self.clips() if c is not layer):
                clips.separate(layer)  # napari's "Duplicate" copies metadata too
            self._watch(layer)
            self._tell_apart(layer)
            self._claim_results(layer)
            self.activate(layer)
            self._signals.clip_added.emit(layer)
        elif kind is Kind.TRAJECTORY:
            self._listen(layer)
            if (clip := clips.match(layer, self.clips())) is not None:
                self._claim(layer, clip)
        elif kind in (Kind.REGION, Kind.RULER):
            self._listen(layer)
        self._conceal(layer)
        self._on_range()

    def _on_removed(self, event: Any) -> None:
        layer, kind = event.value, convert.kind_of(event.value)
        if kind is Kind.CLIP:
            self._on_clip_removed(layer)
        elif kind in (Kind.REGION, Kind.RULER):
            self._signals.drawing_changed.emit(layer)

    def _on_clip_removed(self, clip: Image) -> None:
        """End what runs on a clip, and show another one."""
        if self._job_clip == clips.id_of(clip):
            self.cancel()
        if clip is self.active:
            self.active, self.proposal, self.question = None, None, None
        self._soon(partial(self._after_removal, clip))

    def _after_removal(self, clip: Image) -> None:
        if self.viewer is None:
            return
        if clip not in self.viewer.layers and self.layers_of(clip):
            self._signals.clip_removed.emit(clip)
        if self.active is None:
            rest = self.clips()
            self.activate(rest[-1] if rest else None)
            self.refresh()

    def _soon(self, act: Callable[[], None]) -> None:
        """Do something once napari has removed all that it is about to remove.

        A window that closes removes layer by layer, and slices no more.
        """
        if hasattr(self.viewer, "window"):
            from napari_deepmtj._napari.viewer.jobs import later

            later(act)
        else:
            act()

    def _tell_apart(self, clip: Image) -> None:
        """Name clips whose files are called alike after their folders too."""
        name = convert.ours(clip).get("name")
        alike = [c for c in self.clips() if convert.ours(c).get("name") == name]
        for one in alike if len(alike) > 1 else ():
            one.name = clips.long_name(one)

    def _on_renamed(self, event: Any) -> None:
        """Let the layers of a clip carry its new name."""
        clip = event.source
        before = self._names.get(clips.id_of(clip), clip.name)
        self._names[clips.id_of(clip)] = clip.name
        for layer in self.layers_of(clip):
            kind = convert.kind_of(layer)
            if layer is not clip and kind is not None and layer.name.endswith(f" {before}"):
                layer.name = f"{layer.name.removesuffix(before)}{clip.name}"

    def _watch(self, clip: Image) -> None:
        """Notice when a clip is renamed, or placed anew past this plugin, from the console say."""
        self._names[clips.id_of(clip)] = clip.name
        clip.events.name.connect(self._on_renamed)
        self._placed[clips.id_of(clip)] = Placement.of_layer(clip)
        for event in (clip.events.scale, clip.events.translate, clip.events.units):
            event.connect(self._on_placed)

    def _on_placed(self, event: Any) -> None:
        clip, key = event.source, clips.id_of(event.source)
        old = self._placed[key]
        self._placed[key] = Placement.of_layer(clip)
        if not self._editing and old != self._placed[key]:
            self._signals.clip_moved.emit(clip, old)

    def _on_selected(self, event: Any) -> None:
        layer = event.value
        clip = None if self._editing else self.clip_of(layer)
        if clip is None:
            return
        self.activate(clip)
        if convert.kind_of(layer) is Kind.TRAJECTORY:
            self._chosen[clips.id_of(clip)] = weakref.ref(layer)
            self.show_status()
            self._signals.result_chosen.emit(layer)

    def _claim_results(self, clip: Image) -> None:
        """Place results that were read before their clip was opened exactly on it."""
        for layer in list(self.viewer.layers):
            if convert.kind_of(layer) is Kind.TRAJECTORY and clips.match(layer, [clip]):
                self._claim(layer, clip)

    def _claim(self, layer: Points, clip: Image) -> None:
        """Place a result of no open clip on this one; in another layer if that has more axes."""
        if self.clip_of(layer) is not None:
            return
        placement, trajectory = Placement.of_layer(clip), convert.trajectory_of(layer)
        if layer.ndim != placement.ndim:
            made = convert.layer_of_trajectory(trajectory, placement, clips.id_of(clip), clip.name)
            self.viewer.layers.remove(layer)
            self.add(clip, made)
        else:
            clips.claim(layer, clip)
            if layer.name == f"MTJ {trajectory.provenance.clip}":
                layer.name = f"MTJ {clip.name}"
        self._signals.result_placed.emit(layer.name, trajectory, clip)

    # ----- a person moves points --------------------------------------------------------------

    @contextmanager
    def updating(self) -> Iterator[None]:
        """Keep changes that the program makes from counting as a person's."""
        before, self._editing = self._editing, True
        try:
            yield
        finally:
            self._editing = before

    @property
    def is_updating(self) -> bool:
        """Whether what changes now is of the program's making."""
        return self._editing

    def _listen(self, layer: Layer) -> None:
        layer.events.data.connect(self._on_edit)
        if convert.kind_of(layer) is Kind.TRAJECTORY:
            layer.events.features.connect(self.show_status)
            layer.events.visible.connect(self.show_status)
            self._fit_markers()

    def _on_edit(self, event: Any) -> None:
        if self._editing or event.action not in ("changed", "added", "removed"):
            return
        layer = event.source
        if convert.kind_of(layer) is not Kind.TRAJECTORY:
            self._signals.drawing_changed.emit(layer)
            return
        before = convert.trajectory_of(layer)
        times = clips.times_of(self.clip_of(layer), before)
        after = convert.edited(layer.data, before, times, read_settings().annotator)
        self._signals.points_edited.emit(layer, before, after)

    def _fit_markers(self, event: Any = None) -> None:
        """Keep markers at their size on the screen at any zoom."""
        viewer, clip = self.viewer, self.active
        if viewer is None or clip is None or clip not in viewer.layers:
            return
        for layer in self.layers_of(clip):
            if convert.kind_of(layer) in (Kind.TRAJECTORY, Kind.LABELS, Kind.PREVIEW):
                styles.fit_marker(layer, viewer.scene.camera.zoom)

    # ----- jobs -------------------------------------------------------------------------------

    def take(self, job: Any, doing: str, clip: Any = None) -> None:
        """Make a job the running one; there is one at a time. It ends with its clip."""
        self._job, self._job_clip = job, "" if clip is None else clips.id_of(clip)
        self.message = ""
        self.progress = None
        self.doing = doing
        self.running = True

    def tell(self, message: str) -> None:
        """Tell a person something, after what was told since the job began."""
        if message not in self.message.split("\n"):
            self.message = "\n".join(filter(None, [self.message, message]))

    def release(self) -> None:
        """Say that the running job has ended."""
        self._job, self._job_clip = None, ""
        self.running = False

    def answer(self, text: str) -> None:
        """Answer the question."""
        if (question := self.question) is not None:
            self.question = None
            dict(question.answers)[text]()

    def cancel(self) -> None:
        """Stop the running job, if any; what it has found stays."""
        if self._job is not None:
            self._job.cancel()


def session_of(viewer: Any) -> Session:
    """Return the session of a viewer, the same one every time.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
        Also as the proxy that napari hands to widgets.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _SESSIONS:
        session = Session()
        session._viewer = weakref.ref(viewer)
        for connect in ON_NEW_SESSION:
            connect(session)
        layers, dims = viewer.layers.events, viewer.dims.events
        layers.inserted.connect(session._on_inserted, position="last")
        layers.removed.connect(session._on_removed, position="last")
        viewer.layers.selection.events.active.connect(session._on_selected)
        dims.range.connect(session._on_range)
        dims.current_step.connect(session.show_status)
        viewer.scene.camera.events.zoom.connect(session._fit_markers)
        _SESSIONS[viewer] = session
        for layer in list(viewer.layers):
            if convert.kind_of(layer) in (Kind.TRAJECTORY, Kind.REGION, Kind.RULER):
                session._listen(layer)
            elif clips.is_clip(layer):
                session._watch(layer)
        if found := session.clips():
            session.activate(session.clip_of(viewer.layers.selection.active) or found[-1])
    return _SESSIONS[viewer]


def per_viewer(make: Callable[[Session], _T]) -> Callable[[Any], _T]:
    """Return a function from a viewer to what `make` makes of its session, once a viewer.

    The function takes a napari.Viewer or ViewerModel, also as the proxy that widgets are given.
    """
    made: weakref.WeakKeyDictionary[Any, _T] = weakref.WeakKeyDictionary()

    def of_viewer(viewer: Any) -> _T:
        viewer = getattr(viewer, "__wrapped__", viewer)
        if viewer not in made:
            made[viewer] = make(session_of(viewer))
        return made[viewer]

    return of_viewer

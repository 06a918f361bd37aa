"""What a viewer knows about clips: which are open, which is active, what is running.

One session a viewer, kept as long as the viewer lives, so that hiding a dock or opening a
second one loses nothing. Widgets show a session and own no state. Needs no Qt.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from napari.layers import Image, Layer, Points
from psygnal import EventedModel
from pydantic import ConfigDict, PrivateAttr

from napari_deepmtj._napari import clips, convert, opening
from napari_deepmtj._napari.convert import Kind
from napari_deepmtj._napari.placement import Placement
from napari_deepmtj._napari.settings import read_settings
from napari_deepmtj.core.jobs import Progress

_SESSIONS: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()


class Session(EventedModel):
    """The state of one viewer; each field has an event of the same name in `events`.

    Parameters
    ----------
    active : Image or None
        The clip whose layers are shown and whose frames the slider steps through.
    running : bool
        Whether a job runs.
    progress : Progress or None
        How far it is.
    message : str
        What a person must be told about the last job, one line each; empty is nothing.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    active: Image | None = None
    running: bool = False
    progress: Progress | None = None
    message: str = ""

    _viewer: Any = PrivateAttr()
    _frames: dict[str, int] = PrivateAttr(default_factory=dict)
    _hidden: dict[str, set[int]] = PrivateAttr(default_factory=dict)
    _cameras: dict[str, tuple[Any, float]] = PrivateAttr(default_factory=dict)
    _editing: bool = PrivateAttr(default=False)
    _switching: bool = PrivateAttr(default=False)
    _job: Any = PrivateAttr(default=None)

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
        """Return the first layer of one kind that belongs to a clip, or None."""
        mine = self.layers_of(clip)
        return next((la for la in mine if convert.kind_of(la) is kind), None)

    def adopt(self, layer: Image) -> Image:
        """Make any (t, y, x) Image layer a clip, and return it."""
        clips.adopt(layer)
        self._claim_results(layer)
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
                self._remember(self.active)
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
        self._on_range()
        self.show_status()

    def frame(self) -> int:
        """Return the frame of the active clip that the slider is at."""
        dims = self.viewer.dims
        return int(dims.current_step[dims.ndim - 3]) if dims.ndim >= 3 else 0

    def go_to(self, frame: int) -> None:
        """Move the slider to a frame of the active clip."""
        dims = self.viewer.dims
        if dims.ndim >= 3:
            dims.set_current_step(dims.ndim - 3, frame)

    def _remember(self, clip: Image) -> None:
        key, camera = clips.id_of(clip), self.viewer.scene.camera
        self._frames[key] = self.frame()
        self._cameras[key] = (camera.center, camera.zoom)

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
                layer.visible = id(layer) not in hidden
        self._on_range()
        self.go_to(self._frames.get(key, 0))
        if key in self._cameras:
            camera = self.viewer.scene.camera
            camera.center, camera.zoom = self._cameras[key]
        else:
            self.viewer.reset_view(layers=[clip])
        bar = self.viewer.canvas.overlays.scale_bar
        bar.visible = Placement.of_layer(clip).known_mm

    def _on_range(self, event: Any = None) -> None:
        """Let the slider step through the active clip, whatever else is open."""
        viewer, clip = self.viewer, self.active
        if viewer is None or clip is None or viewer.dims.ndim < 3 or clip not in viewer.layers:
            return
        axis, extent = viewer.dims.ndim - 3, clip.extent
        wanted = (extent.world[0][0], extent.world[1][0], extent.step[0])
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
        text = opening.describe(clip, frame) or clips.describe_frame(clip, frame)
        overlay.position, overlay.visible, overlay.text = "top_left", True, text
        viewer.status = f"{clip.name}: {text}"

    # ----- layers that come and go ------------------------------------------------------------

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        kind = convert.kind_of(layer)
        if kind is Kind.CLIP:
            self._claim_results(layer)
            self.activate(layer)
        elif kind is Kind.TRAJECTORY:
            self._listen(layer)
            if (clip := clips.match(layer, self.clips())) is not None:
                clips.claim(layer, clip)
        self._on_range()

    def _on_removed(self, event: Any) -> None:
        if event.value is self.active:
            self.active = None
            rest = self.clips()
            self.activate(rest[-1] if rest else None)
            self.show_status()

    def _on_selected(self, event: Any) -> None:
        clip = None if self._editing else self.clip_of(event.value)
        if clip is not None:
            self.activate(clip)

    def _claim_results(self, clip: Image) -> None:
        """Place results that were read before their clip was opened exactly on it."""
        for layer in list(self.viewer.layers):
            if convert.kind_of(layer) is Kind.TRAJECTORY and clips.match(layer, [clip]):
                clips.claim(layer, clip)

    # ----- a person moves points --------------------------------------------------------------

    @contextmanager
    def updating(self) -> Iterator[None]:
        """Keep changes that the program makes from counting as a person's."""
        before, self._editing = self._editing, True
        try:
            yield
        finally:
            self._editing = before

    def _listen(self, layer: Points) -> None:
        layer.events.data.connect(self._on_edit)

    def _on_edit(self, event: Any) -> None:
        if self._editing or event.action not in ("changed", "added", "removed"):
            return
        layer = event.source
        before = convert.trajectory_of(layer)
        clip = self.clip_of(layer)
        times = clips.times_of(clip, before)
        after = convert.edited(layer.data, before, times, read_settings().annotator)
        with self.updating():
            convert.show_trajectory(layer, after)
            if clip is not None and (path := self.find(clip, Kind.PATH)) is not None:
                convert.show_path(path, after)

    # ----- jobs -------------------------------------------------------------------------------

    def take(self, job: Any) -> None:
        """Make a job the running one; there is one at a time."""
        self._job = job
        self.message = ""
        self.progress = None
        self.running = True

    def tell(self, message: str) -> None:
        """Tell a person something, after what was told since the job began."""
        if message not in self.message.split("\n"):
            self.message = "\n".join(filter(None, [self.message, message]))

    def release(self) -> None:
        """Say that the running job has ended."""
        self._job = None
        self.running = False

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
        layers, dims = viewer.layers.events, viewer.dims.events
        layers.inserted.connect(session._on_inserted, position="last")
        layers.removed.connect(session._on_removed, position="last")
        viewer.layers.selection.events.active.connect(session._on_selected)
        dims.range.connect(session._on_range)
        dims.current_step.connect(session.show_status)
        _SESSIONS[viewer] = session
        for layer in list(viewer.layers):
            if convert.kind_of(layer) is Kind.TRAJECTORY:
                session._listen(layer)
        if found := session.clips():
            session.activate(session.clip_of(viewer.layers.selection.active) or found[-1])
    return _SESSIONS[viewer]

"""Annotation in one viewer: shows the frame that is to be labelled, and passes on what is done.

One annotation a viewer, like its session; widgets show it and own no state. What a click means is
`annotation.session`; the file is opened and given back by `label_file`. Needs no Qt.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image, Layer
from pydantic import PrivateAttr

from napari_deepmtj._napari.annotation import layers as label_layers
from napari_deepmtj._napari.annotation import queue_jobs as queueing
from napari_deepmtj._napari.annotation import shortcuts
from napari_deepmtj._napari.annotation.mouse import listen, on_edit
from napari_deepmtj._napari.annotation.queued_clips import QueuedClips
from napari_deepmtj._napari.annotation.state import AnnotationState
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.session import BLINDED, ORDINARY, Session, per_viewer
from napari_deepmtj.annotation.marks import Mark, Role, marks_of
from napari_deepmtj.annotation.prefetch import Ahead
from napari_deepmtj.annotation.queue import Item
from napari_deepmtj.annotation.session import AnnotationSession
from napari_deepmtj.errors import DeepMTJError, VideoError


class AnnotationController(AnnotationState):
    """The annotation of one viewer: its state, and what shows it on the layers of clips."""

    _ahead: Ahead = PrivateAttr(default_factory=Ahead)
    _release_mouse: Callable[[], None] = PrivateAttr()
    _moving: bool = PrivateAttr(default=False)
    _files: QueuedClips = PrivateAttr()
    _contrasts: dict[str, Any] = PrivateAttr(default_factory=dict)
    _later: Callable[[Callable[[], None]], None] | None = PrivateAttr(default=None)
    _hashed: Any = PrivateAttr(default_factory=weakref.WeakKeyDictionary)

    def begin(self, core: AnnotationSession) -> None:
        """Show a round and listen to keys and mouse."""
        viewer = self._session.viewer
        self.core = core
        self._session.conceal(BLINDED if core.blind else ORDINARY)
        self._ahead, self._searched = Ahead(), set()
        self._release_mouse = listen(viewer, self)
        shortcuts.bind(viewer, self)
        viewer.dims.events.current_step.connect(self._on_step)
        viewer.layers.events.removed.connect(self._on_removed, position="last")
        self._session.events.active.connect(self._on_step)
        if core.item is None:
            self._on_step()
        self.show()

    def close(self, *, keep_layers: bool = False) -> None:
        """Put everything into the label file and give it back; label layers go with it.

        Parameters
        ----------
        keep_layers : bool
            Leave the layers alone, for instance because the window is closing.
        """
        if (core := self.core) is None:
            return
        self.core = None
        self._session.conceal("")
        self._ahead.stop()
        self._files.close()
        self._session.events.active.disconnect(self._on_step, missing_ok=True)
        if (viewer := self._session.viewer) is not None:
            shortcuts.unbind(viewer)
            self._release_mouse()
            viewer.dims.events.current_step.disconnect(self._on_step)
            viewer.layers.events.removed.disconnect(self._on_removed)
            for layer in [] if keep_layers else list(viewer.layers):
                if convert.kind_of(layer) in (Kind.LABELS, Kind.CONTRAST):
                    viewer.layers.remove(layer)
        try:
            core.book.store.close()
        except DeepMTJError as error:
            self.tell(str(error))
        self.shown += 1

    # ----- what a person does -----------------------------------------------------------------

    def do_at(self, layer: Layer, frame: int, act: Callable[[AnnotationSession], Any]) -> None:
        """Do something in a frame of the clip that a layer belongs to."""
        if self.core is not None and (clip := self._session.clip_of(layer)) is not None:
            self.core.place.visit(self._item(clip, frame))
            self.do(act)

    def point_at(self, position: Any, *, go_on: bool) -> None:
        """Label the shown frame at a place on the picture, in world coordinates."""
        core, clip = self.core, self._session.active
        if core is not None and clip is not None:
            core.place.visit(self._item(clip, self._session.frame()))  # what is seen is labelled
            y, x = clip.world_to_data(position)[-2:]
            self.do(lambda s: s.click(x, y) if go_on else s.move(x, y))

    def middle(self) -> tuple[float, float] | None:
        """Return the middle of the region of the active clip, (x, y) in pixels; None without."""
        clip = self._session.active
        if clip is None:
            return None
        roi = clips.info_of(clip).roi
        if roi is not None:
            return roi.x + (roi.width - 1) / 2, roi.y + (roi.height - 1) / 2
        height, width = clip.data.shape[-2:]
        return (width - 1) / 2, (height - 1) / 2

    def may_move(self, row: int) -> bool:
        """Whether a point of the label layer may be moved, and is of the frame to be labelled."""
        mark = label_layers.marks_of(self.label_layer)[row]
        item = None if self.core is None else self.core.item
        return item is not None and mark.role is not Role.OTHER and mark.frame == item.frame

    def zoom_to_last(self) -> None:
        """Bring the newest label near."""
        label = None if self.core is None else self.core.last_label
        clip = self._session.active
        if label is None or clip is None:
            self.message = "there is no visible label in this clip to zoom to"
            return
        label_layers.bring_near(self._session, clip, label)

    # ----- what is shown ----------------------------------------------------------------------

    @property
    def label_layer(self) -> Any:
        """The label layer of the active clip, None where there is none."""
        clip = self._session.active
        return None if clip is None else self._session.find(clip, Kind.LABELS)

    @property
    def takes_clicks(self) -> bool:
        """Whether a click on the picture is for labelling, and for no tool of napari."""
        if self.label_layer is None or self.core is None or not self.label_mode:
            return False
        active = self._session.viewer.layers.selection.active
        mine = self._session.clip_of(active) is self._session.active
        return mine and active.mode == "pan_zoom"

    def show(self) -> None:
        """Show the frame to be labelled, with its labels, and have the next one read ahead."""
        if (core := self.core) is None:
            return
        item = core.item
        clip = None if item is None else self._clip_for(item)
        if item is not None and clip is not None:
            with self._by_program():
                self._session.activate(clip)
                self._show_clip(clip)
                if self._session.frame() == item.frame:
                    self._show_marks(clip)
                else:  # the marks of the frame that comes are there; those of the one left can wait
                    self._session.go_to(item.frame)
                    self.soon(partial(self._catch_up, clip))
        self._read_ahead()
        self.shown += 1

    def soon(self, act: Callable[[], None]) -> None:
        """Do something after the window has been drawn; at once where there is none."""
        if self._later is None:
            act()
        else:
            self._later(act)

    def use_clock(self, later: Callable[[Callable[[], None]], None]) -> None:
        """Let a window say when it has been drawn."""
        self._later = later

    def _catch_up(self, clip: Image) -> None:
        if self.core is not None and clip in self._session.clips():
            with self._by_program():
                self._show_marks(clip)

    def _on_step(self, event: Any = None) -> None:
        """Follow a person who moves the slider, or goes to another clip."""
        core, clip = self.core, self._session.active
        if core is None or self._moving or clip not in self._session.clips():
            return
        core.place.visit(self._item(clip, self._session.frame()))
        with self._by_program():
            self._show_clip(clip)
            self._show_marks(clip)
        self.shown += 1

    def _on_removed(self, event: Any) -> None:
        """Say what it means that the layer of labels was removed, and put it back."""
        if self.core is None or self._moving or convert.kind_of(event.value) is not Kind.LABELS:
            return
        clip = self._session.clip_of(event.value)
        if clip is None:  # the clip was removed
            return
        self.tell(
            f"{event.value.name} shows the open label file, so it was put back. No label was "
            "deleted; Shift+N deletes one, Close labels ends labelling."
        )
        self.soon(self.show)

    @contextmanager
    def _by_program(self) -> Iterator[None]:
        """Keep what the program shows from counting as where a person goes."""
        before, self._moving = self._moving, True
        try:
            yield
        finally:
            self._moving = before

    def _show_clip(self, clip: Image) -> None:
        """Have a clip's label layer, ready to be clicked, and more contrast if that is wanted."""
        session = self._session
        layer = session.find(clip, Kind.LABELS)
        if layer is None:
            placement, key = Placement.of_layer(clip), clips.id_of(clip)
            made = label_layers.layer_of_labels(self._marks(clip), clip.name, placement, key)
            layer = session.add(clip, made)
            layer.events.data.connect(self._on_edit)
        self._show_contrast(clip)
        selection = session.viewer.layers.selection
        if self.label_mode and selection.active is not layer:
            selection.active = layer
        layer.mode = "pan_zoom" if self.label_mode else "select"

    def _show_marks(self, clip: Image) -> None:
        layer = self._session.find(clip, Kind.LABELS)
        if layer is not None:
            label_layers.show_labels(layer, self._marks(clip))

    def _marks(self, clip: Image) -> list[Mark]:
        core = self.core
        assert core is not None
        core.propose = self.predictions
        if self.predictions:
            queueing.find_prediction(self, clip)
        return marks_of(core, self._item(clip, 0).clip_sha256, others=self.others)

    def _on_edit(self, event: Any) -> None:
        if self.core is not None and not self._moving:
            on_edit(self, event)

    def _show_contrast(self, clip: Image) -> None:
        layer = self._session.find(clip, Kind.CONTRAST)
        sha256 = self._item(clip, 0).clip_sha256
        if self.contrast and layer is None and clip.ndim == 3:
            made = label_layers.layer_of_contrast(
                clips.source_of(clip), clip.name, Placement.of_layer(clip), clips.id_of(clip)
            )
            self._contrasts[sha256] = made[0].source
            self._session.add(clip, made, above=clip)
        elif layer is not None and not self.contrast:
            self._contrasts.pop(sha256, None)
            self._session.viewer.layers.remove(layer)

    # ----- clips ------------------------------------------------------------------------------

    def _item(self, clip: Image, frame: int) -> Item:
        """Return a frame of a clip; the clip is then known to the round."""
        data, sha256, name = self._hashed.get(clip, (None, "", ""))
        if data is not clip.data or (self.core is not None and sha256 not in self.core.clips):
            source = clips.source_of(clip)
            sha256, name = source.sha256, source.name
            self._hashed[clip] = (clip.data, sha256, name)
            if self.core is not None:
                self.core.clips[sha256] = source
        return Item(sha256, name, frame)

    def _clip_for(self, item: Item) -> Image | None:
        """Return the clip of an item; its file is opened if need be."""
        opened = self._session.clips()
        likely = [clip for clip in opened if convert.ours(clip).get("name") == item.clip]
        for clip in [*likely, *(clip for clip in opened if clip not in likely)]:
            if self._item(clip, 0).clip_sha256 == item.clip_sha256:
                return clip
        self.forget_closed()  # so that nothing can be said of a frame that is not shown
        try:
            if (path := self._file_of(item)) is None:
                raise VideoError("is not open; open it to label it", path=item.clip)
            with self._by_program():
                clip = self._files.open(path, item.clip_sha256)
        except DeepMTJError as error:
            self.tell(str(error))
            return None
        self.forget_closed()
        return clip

    def forget_closed(self) -> None:
        """Let the round know only the clips that are still open."""
        if (core := self.core) is not None:
            opened = {self._item(clip, 0).clip_sha256 for clip in self._session.clips()}
            core.clips = {sha: source for sha, source in core.clips.items() if sha in opened}

    def _file_of(self, item: Item) -> Path | None:
        """Return where the file of an item was when it was queued, None if it had none."""
        core = self.core
        file = None if core is None else core.place.queue.files.get(item.clip_sha256)
        return None if core is None or file is None else core.root / file

    def _read_ahead(self) -> None:
        """Have the next frame read while the person looks at this one; its clip opened, too."""
        core = self.core
        if core is None:
            return
        reads: list[Callable[[], object]] = []
        for item in core.place.following():
            source, path = core.clips.get(item.clip_sha256), self._file_of(item)
            if source is not None:
                better = self._contrasts.get(item.clip_sha256, source)
                reads.append(partial(better.read, item.frame))
            elif path is not None:
                reads.append(partial(self._files.prepare, path, item.clip_sha256))
        self._ahead.want(reads)


def _annotation(session: Session) -> AnnotationController:
    annotation = AnnotationController()
    annotation._session = session
    annotation._files = QueuedClips(session)
    return annotation


#: The annotation of a viewer, the same one every time; as `session_of`.
annotation_of = per_viewer(_annotation)

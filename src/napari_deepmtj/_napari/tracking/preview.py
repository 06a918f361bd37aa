"""The live preview: the MTJ of the frame in view, in a layer of its own, while a person scrubs.

One a viewer; widgets switch it and show what it says. Finding is `inference.live`, in a worker that
keeps the model. What it finds goes into no result, and no result is touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_deepmtj._napari.calibration import controller as calibration
from napari_deepmtj._napari.layers import convert, styles
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.jobs import Job
from napari_deepmtj._napari.viewer.session import Session, per_viewer
from napari_deepmtj.core.jobs import Failed, Notice
from napari_deepmtj.errors import DeepMTJError

if TYPE_CHECKING:
    from napari_deepmtj.core.trajectory import FramePrediction
    from napari_deepmtj.inference.live import Wish, Wishes


STARTING = "Loading the model..."
NO_CLIP = "No clip is shown."
CONCEALED = "There is no live preview while frames are labelled: it would lead the eye."
HELD = "The live preview waits while a job runs."


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose in a form.

    Parameters
    ----------
    model : str
        Id or file of the network.
    device : str
        auto, cuda, mps or cpu.
    region : str or Shapes
        As `calibration.region_of` takes it.
    """

    model: str
    device: str = "auto"
    region: Any = "auto"


class LivePreview:
    """The live preview of one viewer.

    Attributes
    ----------
    on : bool
        Whether it is switched on.
    text : str
        What it says of the frame in view, one line; empty when it is off.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self.on, self.text = False, ""
        self._session = session
        self._choice: Choice | None = None
        self._wishes: Wishes | None = None
        self._wish: Wish | None = None
        self._layer: Any = None
        dims, layers = session.viewer.dims.events, session.viewer.layers.events
        dims.current_step.connect(self._look, position="last")
        layers.removed.connect(self._on_removed, position="last")
        session.events.active.connect(self._look)
        session.events.info.connect(self._look_anew)
        session.events.running.connect(self._look_anew)
        session.events.concealed.connect(self._on_concealed)

    # ----- what a person does -----------------------------------------------------------------

    def start(self, choice: Choice) -> None:
        """Switch on, or go on with another choice; a model is loaded if it is another one."""
        if self._session.concealed:
            self._session.tell(CONCEALED)
            return
        before, self._choice = self._choice, choice
        same = before and (before.model, before.device) == (choice.model, choice.device)
        if not self.on or not same:
            self._end()
            self._begin(choice)
        self._look_anew()

    def choose(self, choice: Choice) -> None:
        """Take over another choice if it is on."""
        if self.on and choice != self._choice:
            self.start(choice)

    def stop(self) -> None:
        """Switch off; the layer goes."""
        self._end()
        self.on = False
        self._hide()
        self._tell("")

    def _on_concealed(self, concealed: str) -> None:
        if concealed and self.on:
            self.stop()
            self._session.tell(CONCEALED)

    # ----- the worker -------------------------------------------------------------------------

    def _begin(self, choice: Choice) -> None:
        from napari_deepmtj.inference.live import Wishes

        self.on, self._wishes = True, (wishes := Wishes())
        self._tell(STARTING)

        def events() -> Iterator[Any]:
            from napari_deepmtj.inference.live import preview

            return preview(wishes, choice.model, device=choice.device)

        def on_events(group: list[Any]) -> None:
            if wishes is self._wishes:
                self._take(group)

        Job(events, on_events, wishes.close, "", at_once=True).start()

    def _end(self) -> None:
        if self._wishes is not None:
            self._wishes.close()
            self._wishes = None
        self._wish = None

    def _take(self, events: list[Any]) -> None:
        from napari_deepmtj.inference.live import Seen, Unseen

        if self._session.viewer is None:
            self._end()
            return
        for event in events:
            if isinstance(event, Failed):
                self.stop()
                self._session.tell(str(event.error))
            elif isinstance(event, Notice):
                self._session.tell(event.message)
            elif isinstance(event, Seen | Unseen) and event.wish is self._wish:
                self._show(event)

    # ----- the frame in view ------------------------------------------------------------------

    def _look_anew(self, *_: Any) -> None:
        """Look at the frame in view again: what is known of its clip is another, or may be."""
        self._wish = None
        self._look()

    def _look(self, *_: Any) -> None:
        """Wish for the frame in view."""
        session = self._session
        if self._wishes is None or session.viewer is None or self._choice is None:
            return
        clip = session.active
        if clip is None or clip not in session.viewer.layers:
            self._wish = None
            self._hide()
            self._tell(NO_CLIP)
        elif session.running:
            self._tell(HELD)
        else:
            try:
                self._put(clip, self._choice)
            except DeepMTJError as error:  # no such region
                self._tell(str(error))

    def _put(self, clip: Any, choice: Choice) -> None:
        from napari_deepmtj.inference.live import Wish

        assert self._wishes is not None
        source, roi = clips.source_of(clip), calibration.region_of(choice.region, clip)
        wish = Wish(source, self._session.frame(), roi, source.scale)
        if wish != self._wish:
            self._wish = wish
            self._wishes.put(wish)

    # ----- what is shown ----------------------------------------------------------------------

    def _show(self, event: Any) -> None:
        from napari_deepmtj.inference.live import Seen

        clip = self._session.active
        assert clip is not None  # whose frame was wished for
        if isinstance(event, Seen):
            self._show_point(clip, event.prediction)
            self._tell(event.describe())
            self._session.viewer.status = f"{clip.name}: {self.text}"
        else:
            self._hide()
            self._tell(str(event.error))

    def _show_point(self, clip: Any, found: FramePrediction) -> None:
        layer = self._layer
        if layer is not None and clips.id_of(layer) != clips.id_of(clip):
            self._hide()
            layer = None
        with self._session.updating():
            if layer is None:
                made = layer_of_preview(
                    clip.name, found, Placement.of_layer(clip), clips.id_of(clip)
                )
                self._layer = self._session.add(clip, made)
                self._layer.editable = False
            else:
                show_preview(layer, found)

    def _hide(self) -> None:
        layer, self._layer = self._layer, None
        viewer = self._session.viewer
        if layer is not None and viewer is not None and layer in viewer.layers:
            with self._session.updating():
                viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        if self._layer is not None and event.value is self._layer:  # by a person
            self._layer = None
            self.stop()

    def _tell(self, text: str) -> None:
        self.text = text
        self.changed.emit()


def layer_of_preview(
    name: str, found: FramePrediction, placement: Placement, clip: str
) -> convert.LayerTuple:
    """Return the Points layer of one frame's prediction; empty where the MTJ is not in view."""
    data, colour = _point(found, placement.ndim)
    arguments = {
        "name": f"live preview {name}",
        "ndim": placement.ndim,
        "metadata": convert.stamp(Kind.PREVIEW, clip),
        **asdict(styles.PREVIEW),
        **placement.arguments(),
    }
    return data, arguments | ({"border_color": colour} if len(data) else {}), "points"


def show_preview(layer: Any, found: FramePrediction) -> None:
    """Show another frame's prediction in a layer of `layer_of_preview`."""
    layer.data, colour = _point(found, layer.ndim)
    layer.editable = False  # new data make it editable again
    if len(layer.data):
        layer.border_color = colour


def _point(found: FramePrediction, ndim: int) -> tuple[convert.FloatArray, convert.FloatArray]:
    """Return coordinates, shape (0 or 1, ndim), and colours, shape (1, 4)."""
    place = [[found.frame, found.y_px, found.x_px]] if found.in_view else np.empty((0, 3))
    data = convert.widened(np.array(place, dtype=np.float64), ndim)
    return data, styles.POINTS.border_color(np.array([found.confidence]))


#: The live preview of a viewer, the same one every time.
preview_of = per_viewer(LivePreview)

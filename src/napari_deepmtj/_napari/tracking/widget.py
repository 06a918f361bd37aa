"""The Track MTJ widget: a form over the viewer's session. It owns no state and runs nothing."""

from __future__ import annotations

from typing import Any

import napari.viewer
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    Label,
    ProgressBar,
    PushButton,
    SpinBox,
)
from napari.layers import Layer, Shapes

from napari_deepmtj._napari.calibration import controller as calibration
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.tracking import saving
from napari_deepmtj._napari.tracking.preview import Choice, preview_of
from napari_deepmtj._napari.tracking.published import fetch_button
from napari_deepmtj._napari.tracking.run import (
    Request,
    TrackRun,
    removed_by_hand,
    without_rows,
)
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.forms import QuestionBox, add_lines, row
from napari_deepmtj._napari.viewer.session import Question, session_of
from napari_deepmtj._napari.viewer.settings import read_settings
from napari_deepmtj.calibration.roi import PRESETS
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.inference.predictor import TOLERANCE_MM, TOLERANCE_OF_WIDTH
from napari_deepmtj.weights.store import list_models, read_card, resolve_model

#: Value of the choice of no attention map.
NOT_SHOWN = ""
WHOLE, RANGE, ONE = "whole clip", "from frame ... to ...", "this frame only"
NO_CLIP = "Open a clip first: File > IO Utilities > Open ultrasound video..."


class TrackWidget(Container[Any]):
    """Track the muscle-tendon junction of a clip.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer it works in.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._session, self._preview = session_of(viewer), preview_of(viewer)
        self.show_attention = False
        settings = read_settings()
        model = self._session.made_model or settings.model
        self.clip = ComboBox(label="clip", choices=self._clip_choices, tooltip="What to track in.")
        self.model = ComboBox(label="model", choices=_models(model), value=model)
        self.published = fetch_button(self._session)
        self.device = ComboBox(
            label="device",
            choices=["auto", "cuda", "mps", "cpu"],
            value=settings.device,
            tooltip="auto takes a GPU if there is one.",
        )
        self.roi = ComboBox(
            label="region",
            choices=self._roi_choices,
            tooltip="Where the B-mode picture is in the frame, without the scanner's margins: the "
            "rectangle that is shown, else what is found.",
        )
        if settings.roi in self.roi.choices:
            self.roi.value = settings.roi
        self.draw = PushButton(
            text="Draw rectangle", tooltip="Drag the rectangle over the B-mode picture."
        )
        self.frames = ComboBox(label="frames", choices=[WHOLE, RANGE, ONE])
        self.first = SpinBox(label="from", min=0, max=0, tooltip="First frame, counted from 0.")
        self.last = SpinBox(label="to", min=0, max=0, tooltip="Last frame, included.")
        self.attention = ComboBox(
            label="attention",
            choices=_attention_choices(model),
            tooltip="Show where the network looked: the last two maps multiplied (combined), or "
            "one map; 1 is the finest.",
        )
        self.mode = ComboBox(
            label="positions",
            choices=[("detector", False), ("detector + flow", True)],
            tooltip="With flow, the network's positions are moved as the tissue moves: no jitter, "
            "and bad frames are bridged.",
        )
        self.path = CheckBox(text="path", value=False, tooltip="Draw the path of the MTJ.")
        self.live = CheckBox(
            text="Live preview",
            value=self._preview.on,
            tooltip="Find the MTJ of the frame in view while you scrub, without tracking the clip; "
            "nothing of it is kept.",
        )
        self.run = PushButton(text="Track")
        self.cancel = PushButton(text="Cancel", enabled=False)
        self.save = PushButton(
            text="Save",
            enabled=False,
            tooltip="Save the result as .mtj.csv, by default beside the clip.",
        )
        self.progress = ProgressBar(min=0, max=1, value=0, label="progress")
        self.status = Label(value="")
        self.seen = Label(value="")
        self.tolerance = Label(value="")
        self.message = Label(value="")
        self.range = Container(
            widgets=[self.first, self.last], layout="horizontal", labels=True, label=" "
        )
        self.buttons = row(self.run, self.cancel, self.save)
        super().__init__(
            widgets=[
                self.clip,
                self.model,
                row(self.published),
                self.mode,
                self.device,
                self.roi,
                row(self.draw),
                self.frames,
                self.range,
                self.attention,
                row(self.path, self.live, label="show"),
                self.buttons,
                self.progress,
            ]
        )
        add_lines(self, self.status, self.seen, self.tolerance, self.message)
        self.status.native.setWordWrap(False)
        self.question = QuestionBox(self._session)
        layout = self.native.layout()
        layout.insertWidget(layout.count() - 1, self.question)
        self._connect()
        self._show_clip(self._session.active)
        self._show_all()

    def show_in_panel(self) -> None:
        """Show the options alone: the panel has the clip, the buttons and what is said."""
        for widget in (self.clip, self.buttons, self.progress):
            widget.visible = False
        for native in (self.status.native, self.message.native, self.question):
            native.setFixedHeight(0)

    def _connect(self) -> None:
        self.clip.changed.connect(self._on_clip)
        self.model.changed.connect(self._on_model)
        self.device.changed.connect(self._choose_live)
        self.live.changed.connect(self._switch_live)
        self.frames.changed.connect(self._show_range)
        self.roi.changed.connect(self._on_roi)
        self.draw.changed.connect(self._draw_rectangle)
        self.run.changed.connect(self.start)
        self.cancel.changed.connect(self._session.cancel)
        self.save.changed.connect(self._save)
        events = self._session.events
        events.active.connect(self._show_clip)
        events.info.connect(self._on_info)
        events.running.connect(self._show_running)
        events.progress.connect(self._show_progress)
        events.message.connect(self._show_message)
        events.made_model.connect(self._take_model)
        self._preview.changed.connect(self._show_live)
        self.native.destroyed.connect(self._disconnect)

    def _disconnect(self) -> None:
        """Stop listening when the form is gone; the session lives on."""
        events = self._session.events
        for signal, slot in (
            (events.active, self._show_clip),
            (events.info, self._on_info),
            (events.running, self._show_running),
            (events.progress, self._show_progress),
            (events.message, self._show_message),
            (events.made_model, self._take_model),
            (self._preview.changed, self._show_live),
        ):
            signal.disconnect(slot, missing_ok=True)

    # ----- choices ----------------------------------------------------------------------------

    def _layers(self) -> list[Layer]:
        return list(self._session.viewer.layers) if self._session.viewer is not None else []

    def _clip_choices(self, combo: Any = None) -> list[tuple[str, Layer]]:
        return [(la.name, la) for la in self._layers() if clips.can_be_clip(la)]

    def _roi_choices(self, combo: Any = None) -> list[tuple[str, Any]]:
        drawn = [
            la for la in self._layers() if isinstance(la, Shapes) and convert.kind_of(la) is None
        ]
        return [
            ("as shown, else automatic", "auto"),
            ("whole picture", "full"),
            *((f"preset {name}", f"preset:{name}") for name in PRESETS),
            *((f"rectangle: {la.name}", la) for la in drawn),
        ]

    def _wanted_roi(self) -> str | Roi:
        """Return the region asked for, of a drawn rectangle its pixels."""
        return calibration.region_of(self.roi.value, self.clip.value)

    def _wanted_frames(self) -> range | None:
        if self.frames.value == WHOLE:
            return None
        if self.frames.value == ONE:
            frame = self._session.frame()
            return range(frame, frame + 1)
        return range(self.first.value, self.last.value + 1)

    # ----- actions ----------------------------------------------------------------------------

    def start(self) -> None:
        """Track as the form says; ask first what is to become of points that were deleted."""
        if self.clip.value is None or self._session.running:
            return
        try:
            clip = self._adopted()
            roi = self._wanted_roi()
            if isinstance(roi, Roi) and self.roi.value != "auto":
                calibration.show_region(self._session, clip, roi)
            request = Request(
                model=self.model.value,
                roi=roi,
                frames=self._wanted_frames(),
                device=self.device.value,
                attention=self.attention.value or False,
                path=self.path.value,
                fuse=self.mode.value,
                show_attention=self.show_attention,
                backend=read_settings().backend,
            )
            self.show_attention = False
            self._track(clip, request)
        except DeepMTJError as error:
            self._session.message = str(error)

    def _track(self, clip: Any, request: Request) -> None:
        session, layer = self._session, self._session.find(clip, Kind.TRAJECTORY)
        gone = None
        if layer is not None:
            gone = removed_by_hand(convert.trajectory_of(layer), request.frames)
        if gone is None or not len(gone):
            TrackRun(session, clip, request).start()
            return

        def go(*, forget: bool) -> None:
            if forget and layer in session.viewer.layers:
                with session.updating():
                    result = convert.trajectory_of(layer)
                    convert.show_trajectory(layer, without_rows(result, gone))
            TrackRun(session, clip, request).start()

        session.question = Question(
            f"You deleted the points of {len(gone)} frames. Keep them as not in view, or track "
            "these frames again?",
            (
                ("Keep as not in view", lambda: go(forget=False)),
                ("Track them again", lambda: go(forget=True)),
                ("Cancel", lambda: None),
            ),
        )

    def _adopted(self) -> Any:
        """Return the chosen clip, adopted and active."""
        clip = self._session.adopt(self.clip.value)
        self._session.activate(clip)
        return clip

    def _save(self) -> None:
        session = self._session
        try:
            layer = session.find(self.clip.value, Kind.TRAJECTORY)
            session.message = f"Saved {saving.save(session, layer)}{session.which(layer)}"
        except (DeepMTJError, OSError) as error:
            session.message = str(error)

    def _draw_rectangle(self) -> None:
        """Let the rectangle be dragged, from where the region is so far."""
        if self.clip.value is None:
            return
        try:
            self._adopted()
            self._show_roi()
        except DeepMTJError as error:
            self._session.message = str(error)
            return
        self.roi.value = "auto"
        calibration.edit_region(self._session, self.clip.value)

    def _switch_live(self, on: bool) -> None:
        """Switch the live preview."""
        if not on:
            self._preview.stop()
            return
        try:
            if self.clip.value is not None:
                self._adopted()
            self._preview.start(self._choice())
        except DeepMTJError as error:
            self._session.message = str(error)

    def _choice(self) -> Choice:
        return Choice(self.model.value, self.device.value, self.roi.value)

    def _choose_live(self, *_: Any) -> None:
        self._preview.choose(self._choice())

    def _on_roi(self, *_: Any) -> None:
        """Show a region that was chosen before it is used."""
        self._choose_live()
        try:
            if self.clip.value is not None and clips.is_clip(self.clip.value):
                self._show_roi()
        except DeepMTJError as error:
            self._session.message = str(error)

    def _show_roi(self) -> None:
        roi = self._wanted_roi()
        if isinstance(roi, Roi) and self.roi.value != "auto":
            calibration.show_region(self._session, self.clip.value, roi)

    def _on_info(self, info: Any) -> None:
        """Follow a rectangle that was dragged, and the scale."""
        if info.roi is not None and info.roi.source == "drawn":
            with self.roi.changed.blocked():
                self.roi.value = "auto"
        self._show_tolerance()

    def _on_model(self, model: str) -> None:
        """Offer the attention maps of another model; that none is shown stays so."""
        shown = self.attention.value != NOT_SHOWN or len(self.attention.choices) == 1
        self.attention.choices = choices = _attention_choices(model)
        self.attention.value = choices[0 if shown else -1][1]
        self._choose_live()

    def _take_model(self, model: str) -> None:
        """Offer a model that was just made, and take it."""
        self.model.choices = _models(model)
        self.model.value = model

    def _on_clip(self, clip: Any) -> None:
        if clip is not None and clips.is_clip(clip):
            self._session.activate(clip)
        self._show_all()

    # ----- what is shown ----------------------------------------------------------------------

    def reset_choices(self, *_: Any) -> None:
        """Follow the layers that came or went; napari calls this."""
        super().reset_choices()
        self._show_all()

    def _show_clip(self, active: Any) -> None:
        if active is not None:
            self.clip.reset_choices()
            self.clip.value = active
            if self.roi.value == "auto" and not self._session.running:
                calibration.look_for_region(self._session, active)

    def _show_all(self) -> None:
        self._show_range()
        self._show_running(self._session.running)
        self._show_progress(self._session.progress)
        self._show_message(self._session.message)
        self._show_tolerance()
        self._show_live()

    def _show_live(self) -> None:
        with self.live.changed.blocked():
            self.live.value = self._preview.on
        self.seen.value = self._preview.text

    def _show_tolerance(self) -> None:
        clip = self.clip.value
        points = None if clip is None else self._session.find(clip, Kind.TRAJECTORY)
        self.tolerance.value = "" if clip is None else _tolerance(clip, points)

    def _show_range(self, *_: Any) -> None:
        clip = self.clip.value
        last = 0 if clip is None else clips.size_of(clip)[0] - 1
        if self.first.max != last:
            self.first.max = self.last.max = last
            self.first.value, self.last.value = 0, last
        self.range.visible = self.frames.value == RANGE

    def _show_running(self, running: bool) -> None:
        self.run.enabled = not running and self.clip.value is not None
        self.cancel.enabled = running
        self.save.enabled = not running and self._has_result()
        if running:
            self.progress.max, self.progress.value = 1, 0
            self.status.value = self._session.doing
        elif self._session.progress is None:
            self.status.value = ""
        self._show_tolerance()

    def _has_result(self) -> bool:
        clip = self.clip.value
        return clip is not None and self._session.find(clip, Kind.TRAJECTORY) is not None

    def _show_progress(self, progress: Any) -> None:
        if progress is None:
            return
        self.progress.max, self.progress.value = progress.total, progress.done
        self.status.value = f"{progress.done} of {progress.total} {progress.unit}s, {progress.note}"

    def _show_message(self, message: str) -> None:
        self.message.value = message or ("" if self.clip.value is not None else NO_CLIP)


def _models(first: str) -> list[str]:
    """Return the ids of all models that are there, one of them first."""
    return list(dict.fromkeys([first, *(card.id for card in list_models())]))


def _attention_choices(model: str) -> list[tuple[str, str]]:
    """Return the attention maps of a model, the usual one first, and none."""
    try:
        card = read_card(resolve_model(model))
    except DeepMTJError:  # said when it is used
        return [("not shown", NOT_SHOWN)]
    names = card.attention.choices
    if not names:
        return [(f"{card.network} has no attention", NOT_SHOWN)]
    return [*((name, name) for name in names), ("not shown", NOT_SHOWN)]


def _tolerance(clip: Layer, points: Layer | None) -> str:
    """Say what the confidence is the probability of: of what is shown, else of the next run."""
    said = () if points is None else convert.trajectory_of(points).provenance.tolerances
    if said:
        scale = clips.info_of(clip).scale
        radii = "; or ".join(tolerance.describe(scale) for tolerance in said)
        start = "" if scale is not None else "No scale: positions in pixels. "
        return f"{start}Confidence: probability of being within {radii}."
    if Placement.of_layer(clip).known_mm:
        return f"Confidence: probability of being within {TOLERANCE_MM:g} mm."
    return (
        f"No scale: positions in pixels. Confidence: probability of being within "
        f"{TOLERANCE_OF_WIDTH:.1%} of the region's width."
    )

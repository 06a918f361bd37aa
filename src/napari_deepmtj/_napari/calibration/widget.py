"""The Calibrate widget: a form over the session for the scale, region and side of a clip.

It owns no state and computes nothing: `_napari.calibration.controller` does what its buttons say.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import napari.viewer
from magicgui.widgets import CheckBox, ComboBox, Container, FloatSpinBox, Label, PushButton, SpinBox
from napari.layers import Layer

from napari_deepmtj._napari.calibration import controller as calibration
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.forms import add_lines, narrow, on_hide, row, widen
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj.calibration.roi import PRESETS, resolve_roi
from napari_deepmtj.calibration.scale import (
    pixel_aspect_of,
    scale_by_hand,
    scale_from_line,
    scale_from_lines,
)
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import DeepMTJError

AS_SHOWN, WHOLE, UNKNOWN = "as shown", "whole picture", "not known"
NO_CLIP = "Open a clip first: File > IO Utilities > Open ultrasound video..."
FIRST_LINE = "Draw a line from mark to mark, with the mouse held down."
SECOND_LINE = "Draw two lines: first one across the picture, then one down."


def _told(act: Callable[..., None]) -> Callable[..., None]:
    """Adopt the clip before `act` is done to it, and tell in the message what cannot be done.

    Fields are read before: adopting shows in them what was known of the clip.
    """

    @wraps(act)
    def told(self: CalibrateWidget, *arguments: Any) -> None:
        session, clip = self._session, self.clip.value
        if clip is None:
            return
        try:
            session.activate(session.adopt(clip))
            act(self, *arguments)
        except (DeepMTJError, OSError) as error:
            session.message = str(error)
            self._show_info()

    return told


class CalibrateWidget(Container[Any]):
    """Say how many millimetres a pixel is, where the picture lies, and which side is distal.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer it works in.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._session = session_of(viewer)
        self.clip = ComboBox(label="clip", choices=self._clip_choices)
        self.scale = Label(label="scale now", value="")
        self.draw = PushButton(
            text="Draw line", tooltip="Then drag on the picture, from one mark to another."
        )
        self.mm = _spin("mm between the marks", 10.0, 500.0)
        self.second = CheckBox(
            text="and a second line",
            tooltip="Where pixels are not square: one line across, then one down.",
        )
        self.mm_down = _spin("mm of the second line, down", 10.0, 500.0)
        self.suggest = PushButton(
            text="Suggest from ruler", tooltip="Look for the depth ruler beside the picture."
        )
        self.other = ComboBox(label="or else", choices=[], visible=False)
        self.x_mm = _spin("mm per pixel across", 0.0, 10.0)
        self.y_mm = _spin("mm per pixel down", 0.0, 10.0)
        self.square = CheckBox(text="square pixels", value=True)
        self.proposed = Label(label="from", value="")
        self.apply = PushButton(text="Apply", enabled=False)
        self.preset = ComboBox(
            label="region", choices=[AS_SHOWN, WHOLE, *(f"preset {name}" for name in PRESETS)]
        )
        self.find = PushButton(text="Find picture", tooltip="Look for the B-mode picture.")
        self.rectangle = PushButton(
            text="Edit rectangle", tooltip="Drag its corners on the picture; Track uses it."
        )
        self.numbers: list[Any] = [
            SpinBox(min=0, max=0, tooltip=name) for name in ("x", "y", "width", "height")
        ]
        self.side = ComboBox(
            label="distal side",
            choices=[UNKNOWN, "left", "right"],
            tooltip="The side of the picture on which the tendon runs to the foot.",
        )
        self.save = PushButton(
            text="Save with the clip",
            tooltip="Write scale, region and side beside the clip, as .mtj-clip.json.",
        )
        self.message = Label(value="")
        self.measure = row(self.draw, self.suggest, label="measure")
        super().__init__(
            widgets=[
                self.clip,
                self.scale,
                self.measure,
                row(self.mm, label="mm between marks"),
                row(self.second, self.mm_down),
                self.other,
                row(self.x_mm, self.y_mm, label="mm/px x, y"),
                row(self.square, self.apply),
                self.proposed,
                self.preset,
                row(self.find, self.rectangle),
                row(*self.numbers[:2], label="x, y"),
                row(*self.numbers[2:], label="width, height"),
                self.side,
                row(self.save),
            ]
        )
        for label in (self.scale, self.proposed):
            widen(label)
        for combo in (self.clip, self.other):
            narrow(combo)
        add_lines(self, self.message)
        self._connect()
        self._on_active(self._session.active)

    def show_in_panel(self) -> None:
        """Show what can be given by hand alone: the panel has the clip and the first buttons."""
        for widget in (self.clip, self.scale, self.measure):
            widget.visible = False
        self.message.native.setFixedHeight(0)

    def disarm(self) -> None:
        """Give the mouse back to napari: nothing is drawn in a form that is closed."""
        calibration.disarm(self._session)

    def _connect(self) -> None:
        for button, slot in (
            (self.draw, self._draw),
            (self.suggest, self._suggest),
            (self.apply, self._apply),
            (self.find, self._find),
            (self.rectangle, self._rectangle),
            (self.save, self._save),
        ):
            button.changed.connect(slot)
        self.clip.changed.connect(self._on_clip)
        for number in (self.mm, self.mm_down):
            number.changed.connect(self._measure)
        self.second.changed.connect(self._measure)
        self.other.changed.connect(self._choose)
        self.x_mm.changed.connect(self._link)
        self.square.changed.connect(self._square)
        self.y_mm.changed.connect(self._by_hand)
        self.preset.changed.connect(self._take_preset)
        for field in self.numbers:
            field.changed.connect(self._take_numbers)
        self.side.changed.connect(self._take_side)
        events = self._session.events
        self._slots = (
            (events.active, self._on_active),
            (events.info, self._show_info),
            (events.lines, self._on_lines),
            (events.proposal, self._show_proposal),
            (events.running, self._show_running),
            (events.message, self._show_message),
        )
        for signal, listener in self._slots:
            signal.connect(listener)
        self.native.destroyed.connect(self._disconnect)
        on_hide(self.native, self.disarm)

    def _disconnect(self) -> None:
        """Stop listening when the form is gone; the session lives on."""
        for signal, listener in self._slots:
            signal.disconnect(listener, missing_ok=True)

    def _clip_choices(self, combo: Any = None) -> list[tuple[str, Layer]]:
        viewer = self._session.viewer
        layers = [] if viewer is None else list(viewer.layers)
        return [(layer.name, layer) for layer in layers if clips.can_be_clip(layer)]

    # ----- millimetres ------------------------------------------------------------------------

    @_told
    def _draw(self, *_: Any) -> None:
        self._session.message = SECOND_LINE if self.second.value else FIRST_LINE
        calibration.draw_lines(self._session, self.clip.value)

    @_told
    def _measure(self, *_: Any) -> None:
        """Propose what the drawn lines say."""
        lines, two = self._session.lines, self.second.value
        self.mm_down.enabled = two
        if len(lines) < (2 if two else 1):
            return
        if two:
            scale = scale_from_lines(lines[-2], self.mm.value, lines[-1], self.mm_down.value)
        else:
            aspect = pixel_aspect_of(clips.source_of(self.clip.value))
            scale = scale_from_line(*lines[-1], self.mm.value, aspect)
        self._propose(scale)

    def _on_lines(self, *_: Any) -> None:
        if self._session.active is self.clip.value:
            self._measure()

    @_told
    def _suggest(self, *_: Any) -> None:
        calibration.suggest(self._session, self.clip.value, self._take_suggestion)

    def _take_suggestion(self, found: Any) -> None:
        scales = [found.scale, *found.alternatives]
        with self.other.changed.blocked():
            self.other.choices = [(clips.describe_scale(scale), scale) for scale in scales]
        self._propose(found.scale)
        self._session.tell(
            f"{found.why}. Confidence {found.confidence:.0%}. Look at the dots on the ruler; "
            "nothing is changed before you press Apply."
        )

    def _choose(self, scale: Any) -> None:
        if scale is not None:
            self._propose(scale)

    def _link(self, *_: Any) -> None:
        if self.square.value and self.y_mm.value != self.x_mm.value:
            self.y_mm.value = self.x_mm.value  # goes on as if it were typed
        else:
            self._by_hand()

    def _square(self, square: bool) -> None:
        if square:
            self._link()

    def _by_hand(self, *_: Any) -> None:
        if self.x_mm.value and self.y_mm.value:
            self._propose_numbers(self.x_mm.value, self.y_mm.value)

    @_told
    def _propose_numbers(self, x_mm: float, y_mm: float) -> None:
        self._propose(scale_by_hand(x_mm, y_mm))

    def _propose(self, scale: Scale) -> None:
        self._session.proposal = scale

    @_told
    def _apply(self, *_: Any) -> None:
        scale = self._session.proposal
        if scale is not None:
            calibration.apply_scale(self._session, self.clip.value, scale)
            self._session.message = f"Applied {clips.describe_scale(scale)}; results follow."

    # ----- region, side, file -----------------------------------------------------------------

    @_told
    def _find(self, *_: Any) -> None:
        calibration.find_picture(self._session, self.clip.value, self._take_picture)

    def _take_picture(self, found: Any) -> None:
        self._session.tell(
            f"{found.why}. Confidence {found.confidence:.0%}. Drag the rectangle where it is not "
            "right."
        )

    @_told
    def _rectangle(self, *_: Any) -> None:
        calibration.edit_region(self._session, self.clip.value)

    @_told
    def _take_preset(self, chosen: str) -> None:
        if chosen != AS_SHOWN:
            spec = "full" if chosen == WHOLE else f"preset:{chosen.removeprefix('preset ')}"
            roi, _ = resolve_roi(spec, clips.source_of(self.clip.value))
            calibration.show_region(self._session, self.clip.value, roi)

    def _take_numbers(self, *_: Any) -> None:
        self._set_region(*(field.value for field in self.numbers))

    @_told
    def _set_region(self, x: int, y: int, width: int, height: int) -> None:
        roi = Roi(x, y, width, height).inside(*clips.size_of(self.clip.value)[1:])
        calibration.show_region(self._session, self.clip.value, roi)

    @_told
    def _take_side(self, side: Any) -> None:
        known = None if side == UNKNOWN else side
        calibration.set_distal_side(self._session, self.clip.value, known)

    @_told
    def _save(self, *_: Any) -> None:
        path = calibration.save(self.clip.value)
        said = f"Saved {path.name} beside the clip. {calibration.overruled(self.clip.value)}"
        self._session.message = said.strip()

    # ----- what is shown ----------------------------------------------------------------------

    def reset_choices(self, *_: Any) -> None:
        """Follow the layers that came or went; napari calls this."""
        super().reset_choices()
        self._show_info()

    def _on_clip(self, clip: Any) -> None:
        if clip is not None and clips.is_clip(clip):
            self._session.activate(clip)
        self._show_info()

    def _on_active(self, active: Any) -> None:
        self.clip.reset_choices()
        if active is not None:
            self.clip.value = active
        self._show_info()
        self._show_running(self._session.running)
        self._show_message(self._session.message)

    def _show_info(self, *_: Any) -> None:
        """Show what is known of the clip."""
        clip = self.clip.value
        info = self._session.info if clip is None else clips.info_of(clip)
        self.scale.value = "" if clip is None else clips.describe_scale(info.scale)
        with self.side.changed.blocked():
            self.side.value = info.distal_side or UNKNOWN
        roi, height, width = info.roi, 0, 0
        if clip is not None:
            height, width = clips.size_of(clip)[1:]
            roi = roi or Roi.full(height, width)
        limits = (width, height, width, height)
        values = (0, 0, 0, 0) if roi is None else (roi.x, roi.y, roi.width, roi.height)
        for field, value, limit in zip(self.numbers, values, limits, strict=True):
            with field.changed.blocked():
                field.max = limit
                field.value = value
        source = "" if info.roi is None else info.roi.source
        shown = WHOLE if source == "full" else source.replace("preset:", "preset ")
        with self.preset.changed.blocked():
            self.preset.value = shown if shown in self.preset.choices else AS_SHOWN
        self.mm_down.enabled = self.second.value
        self._show_proposal(self._session.proposal)

    def _show_proposal(self, proposal: Any) -> None:
        clip = self.clip.value
        scale = proposal or (None if clip is None else clips.info_of(clip).scale)
        x, y = (0.0, 0.0) if scale is None else (scale.x_mm, scale.y_mm)
        for field, value in ((self.x_mm, x), (self.y_mm, y)):
            with field.changed.blocked():
                field.value = value
        with self.square.changed.blocked():
            self.square.value = self.x_mm.value == self.y_mm.value
        self.proposed.value = "" if proposal is None else f"{proposal.source}, not applied yet"
        self.proposed.visible = proposal is not None
        self.other.visible = proposal in self.other.choices
        self.apply.enabled = proposal is not None and not self._session.running

    def _show_running(self, running: bool) -> None:
        for button in (self.suggest, self.find):
            button.enabled = not running
        self.apply.enabled = self._session.proposal is not None and not running
        if running:
            self._show_message(self._session.doing)

    def _show_message(self, message: str) -> None:
        self.message.value = message or ("" if self.clip.value is not None else NO_CLIP)


def _spin(tooltip: str, value: float, most: float) -> FloatSpinBox:
    spin = FloatSpinBox(min=0.0, max=most, value=value, step=0.001, tooltip=tooltip)
    spin.native.setDecimals(6 if most == 10.0 else 2)
    spin.native.setSingleStep(0.001 if most == 10.0 else 1.0)
    spin.native.setKeyboardTracking(False)  # a number counts when it is complete
    return spin

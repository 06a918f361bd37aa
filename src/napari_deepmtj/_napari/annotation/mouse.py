"""Mouse on the picture while labelling: a click labels, a point can be dragged, the rest pans.

What napari's own tools do to the label layer is followed too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from operator import methodcaller
from typing import TYPE_CHECKING, Any

from napari_deepmtj._napari.annotation import layers as label_layers
from napari_deepmtj.annotation.marks import Role

if TYPE_CHECKING:
    from napari_deepmtj._napari.annotation.state import AnnotationState

#: Screen pixels that a hand may move between press and release and still mean a click.
STILL = 4.0


def listen(viewer: Any, annotation: AnnotationState) -> Callable[[], None]:
    """Let the mouse label in a viewer, and return what gives it back.

    While it labels, napari does not zoom on a double click: it is two clicks in so short a time
    that nobody has looked at the frame between them, and the second one counts for nothing.
    """
    press, doubles = mouse_callback(annotation), viewer.mouse_double_click_callbacks
    before = list(doubles)

    def on_double_click(viewer: Any, event: Any) -> None:
        if annotation.takes_clicks:
            annotation.message = "That was a double click; its second click is not counted."
            return
        for callback in before:
            callback(viewer, event)

    viewer.mouse_drag_callbacks.append(press)
    doubles[:] = [on_double_click]

    def give_back() -> None:
        viewer.mouse_drag_callbacks.remove(press)
        doubles[:] = before

    return give_back


def mouse_callback(annotation: AnnotationState) -> Callable[[Any, Any], Iterator[None]]:
    """Return what napari is to call when the mouse is pressed on a viewer's canvas."""

    def on_press(viewer: Any, event: Any) -> Iterator[None]:
        layer = annotation.label_layer
        if not annotation.takes_clicks or event.button != 1 or event.modifiers:
            return
        start, dragged = tuple(event.pos), False
        row = layer.get_value(
            event.position,
            view_direction=event.view_direction,
            dims_displayed=event.dims_displayed,
            world=True,
        )
        held = row is not None and annotation.may_move(row)
        active = viewer.layers.selection.active
        active.mouse_pan = not held
        try:
            yield
            while event.type == "mouse_move":
                dragged = dragged or math.dist(start, event.pos) > STILL
                if held and dragged:
                    label_layers.show_drag(layer, row, event.position)
                yield
        finally:
            active.mouse_pan = True
        if held or not dragged:
            annotation.point_at(event.position, go_on=not dragged)

    return on_press


def on_edit(annotation: AnnotationState, event: Any) -> None:
    """Label as somebody did who added, moved or removed points with napari's own tools.

    Points of others, and proposals that are removed, come back.
    """
    layer, marks = event.source, label_layers.marks_of(event.source)
    if event.action == "added":
        frame, *_, y, x = layer.data[-1]
        annotation.do_at(layer, round(float(frame)), methodcaller("move", x, y))
    elif event.action in ("changed", "removed"):
        for row in event.data_indices:
            mark = marks[row]
            if mark.role is Role.OTHER:
                annotation.message = f"that is a label of {mark.who}; it stays as it is"
            elif event.action == "changed":
                *_, y, x = layer.data[row]
                annotation.do_at(layer, mark.frame, methodcaller("move", x, y))
            elif mark.role is Role.OWN:
                annotation.do_at(layer, mark.frame, methodcaller("delete"))
        annotation.show()

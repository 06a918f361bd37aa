"""Keys, mouse and marks of an annotation, as its tests use and see them."""

from types import SimpleNamespace

import numpy as np
from app_model.types import KeyBinding

from napari_deepmtj._napari.annotation import layers as label_layers


def press(viewer, key):
    viewer.keymap[KeyBinding.from_str(key)](viewer)


def mouse(annotation, viewer, *world, button=1, modifiers=()):
    """Press, move over further places, and release on the canvas."""
    callback = viewer.mouse_drag_callbacks[-1]
    event = SimpleNamespace(
        type="mouse_press",
        button=button,
        modifiers=modifiers,
        pos=(0, 0),
        position=world[0],
        view_direction=None,
        dims_displayed=[1, 2],
    )
    drag = callback(viewer, event)
    if next(drag, "over") == "over":
        return
    for i, place in enumerate(world[1:], start=1):
        event.type, event.pos, event.position = "mouse_move", (20 * i, 0), place
        next(drag)
    event.type = "mouse_release"
    assert next(drag, "over") == "over"


def points(annotation):
    """The marks that are shown, as (frame, x, y, role, origin)."""
    layer = annotation.label_layer
    marks = label_layers.marks_of(layer)
    np.testing.assert_allclose(
        layer.data, [(m.frame, m.y_px, m.x_px) for m in marks] or np.empty((0, 3))
    )
    return [
        (m.frame, round(m.x_px, 6), round(m.y_px, 6), m.role.value, m.origin.value) for m in marks
    ]


def texts(layer):
    return [text.strip(" ") for text in layer.features["text"]]

"""What a session emits to features, and what it may ask the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psygnal import Signal


@dataclass(frozen=True, slots=True)
class Question:
    """Something that only the user can decide; nothing waits for it.

    Parameters
    ----------
    text : str
        What is asked.
    answers : tuple of (str, callable)
        What may be answered, and what is then done.
    """

    text: str
    answers: tuple[tuple[str, Callable[[], Any]], ...]


class SessionSignals:
    """What happens to the layers of a session, for features to connect to."""

    #: A clip was added: its Image layer.
    clip_added = Signal(object)
    #: A clip was removed from the viewer: its Image layer.
    clip_removed = Signal(object)
    #: Another result of a clip was selected: its Points layer.
    result_chosen = Signal(object)
    #: A run has ended and its result is shown: its Points layer.
    result_finished = Signal(object)
    #: A result was written: its Points layer.
    result_saved = Signal(object)
    #: A clip was moved or rescaled past this plugin: its Image layer, its `Placement` before.
    clip_moved = Signal(object, object)
    #: A result was placed on its clip: name of its layer, `Trajectory`, the clip's Image layer.
    result_placed = Signal(str, object, object)
    #: A region or ruler was drawn on, changed or removed: its Shapes layer.
    drawing_changed = Signal(object)
    #: Points were dragged, added or removed by hand: Points layer, `Trajectory` before and after.
    points_edited = Signal(object, object, object)

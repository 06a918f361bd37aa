"""The one table of annotation's keys; none of them means anything else in napari."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_deepmtj._napari.annotation.state import AnnotationState

#: Pixels that one press moves a point, alone and with Shift. Where there is none the first press
#: puts one into the middle of the picture.
NUDGE, FINE = 1.0, 0.1

LAST = "This is the last frame of the queue."
FIRST = "This is the first frame of the queue."
DONE = "All frames from here on are labelled."


@dataclass(frozen=True, slots=True)
class Shortcut:
    """One key and what it does.

    Parameters
    ----------
    key : str
        As napari writes it.
    text : str
        What it does, for people.
    act : callable
        Does it.
    short : str
        The same for a button.
    """

    key: str
    text: str
    act: Callable[[AnnotationState], Any]
    short: str = ""


def _nudge(dx: float, dy: float) -> Callable[[AnnotationState], Any]:
    return lambda a: a.do(lambda session: session.nudge(dx, dy, a.middle()))


SHORTCUTS: tuple[Shortcut, ...] = (
    Shortcut(
        "W", "next frame of the queue", lambda a: a.do(lambda s: s.place.next(), LAST), "Next"
    ),
    Shortcut(
        "Q",
        "frame before in the queue",
        lambda a: a.do(lambda s: s.place.previous(), FIRST),
        "Previous",
    ),
    Shortcut(
        "Shift+W",
        "skip to the next unlabelled frame",
        lambda a: a.do(lambda s: s.place.skip(), DONE),
    ),
    Shortcut("N", "not visible", lambda a: a.do(lambda s: s.not_visible()), "Not visible"),
    Shortcut("Shift+N", "delete the label", lambda a: a.do(lambda s: s.delete())),
    Shortcut("G", "good: accept what is proposed", lambda a: a.accept(), "Accept"),
    Shortcut("Shift+G", "flag, or unflag", lambda a: a.do(lambda s: s.flag()), "Flag"),
    Shortcut(
        "Ctrl+Z", "undo", lambda a: a.do(lambda s: s.undo(), "There is nothing to undo."), "Undo"
    ),
    Shortcut(
        "Ctrl+Shift+Z", "redo", lambda a: a.do(lambda s: s.redo(), "There is nothing to redo.")
    ),
    Shortcut(
        "Shift+Q", "copy the label before in the clip", lambda a: a.do(lambda s: s.copy_previous())
    ),
    Shortcut("U", "1 px up", _nudge(0, -NUDGE)),
    Shortcut("J", "1 px down", _nudge(0, NUDGE)),
    Shortcut("H", "1 px left", _nudge(-NUDGE, 0)),
    Shortcut("K", "1 px right", _nudge(NUDGE, 0)),
    Shortcut("Shift+U", "0.1 px up", _nudge(0, -FINE)),
    Shortcut("Shift+J", "0.1 px down", _nudge(0, FINE)),
    Shortcut("Shift+H", "0.1 px left", _nudge(-FINE, 0)),
    Shortcut("Shift+K", "0.1 px right", _nudge(FINE, 0)),
    Shortcut("8", "zoom to the last label", lambda a: a.zoom_to_last()),
    Shortcut("9", "local contrast", lambda a: a.toggle("contrast")),
    Shortcut("0", "click to label, on or off", lambda a: a.toggle("label_mode")),
    Shortcut("Shift+O", "labels of others", lambda a: a.toggle("others")),
)


def shortcut(key: str) -> Shortcut:
    """Return the shortcut of a key."""
    return next(one for one in SHORTCUTS if one.key == key)


def by_letter(key: str, *, shift: bool) -> Shortcut | None:
    """Return the shortcut of a letter, None if it has none; numbers and Ctrl are no letters."""
    name = f"Shift+{key}" if shift else key
    return next((one for one in SHORTCUTS if one.key == name and key.isalpha()), None)


def bind(viewer: Any, annotation: AnnotationState) -> None:
    """Let the keys work in a viewer."""
    for shortcut in SHORTCUTS:

        def press(_: Any, act: Callable[[AnnotationState], Any] = shortcut.act) -> None:
            act(annotation)

        viewer.bind_key(shortcut.key, press, overwrite=True)


def unbind(viewer: Any) -> None:
    """Give the keys back."""
    for shortcut in SHORTCUTS:
        viewer.bind_key(shortcut.key, None, overwrite=True)

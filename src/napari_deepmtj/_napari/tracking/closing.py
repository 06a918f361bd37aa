"""Asks what is to become of unsaved results when the window is closed."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_deepmtj._napari.tracking import saving
from napari_deepmtj.errors import DeepMTJError

if TYPE_CHECKING:
    from napari_deepmtj._napari.viewer.session import Session

_WATCHED: weakref.WeakSet[Any] = weakref.WeakSet()

SAVE = QMessageBox.StandardButton.Save
DISCARD = QMessageBox.StandardButton.Discard
CANCEL = QMessageBox.StandardButton.Cancel


class _CloseWatch(QObject):
    """Looks at the close events of one window."""

    def __init__(self, window: QWidget, session: Session) -> None:
        super().__init__(window)
        self._session = session
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Keep a window open whose results are not to be lost."""
        if event.type() != QEvent.Type.Close or self._session.viewer is None:
            return False
        if may_close(self._session, self.parent()):
            return False
        event.ignore()
        return True


def watch(session: Session) -> None:
    """Ask before the window of a session is closed with unsaved results, from now on."""
    viewer = session.viewer
    if hasattr(viewer, "window") and viewer not in _WATCHED:
        _WATCHED.add(viewer)
        _CloseWatch(viewer.window._qt_window, session)


def may_close(session: Session, parent: Any) -> bool:
    """Return True if nothing is unsaved, or the user has decided; results are saved if wanted."""
    layers = saving.unsaved(session)
    if not layers:
        return True
    names = "\n".join(layer.name for layer in layers)
    answer = ask(parent, f"These results are not saved:\n{names}")
    if answer == SAVE:
        try:
            for layer in layers:
                saving.save(session, layer)
        except (DeepMTJError, OSError) as error:
            session.message = str(error)
            return False
    return answer in (SAVE, DISCARD)


def ask(parent: Any, text: str) -> Any:
    """Return which of `SAVE`, `DISCARD` and `CANCEL` the user chose."""
    return QMessageBox.question(parent, "DeepMTJ", text, SAVE | DISCARD | CANCEL, SAVE)

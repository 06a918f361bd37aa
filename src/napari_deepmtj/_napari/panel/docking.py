"""Where the panel and the plot over time stand in napari's window, and when the panel comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QWidget

from napari_deepmtj._napari.viewer.settings import PLUGIN, change_setting, read_settings

if TYPE_CHECKING:
    from napari_deepmtj._napari.viewer.session import Session

#: Names of the widgets in the manifest.
PANEL, PLOT, BATCH = "DeepMTJ", "MTJ over time", "Batch track"
#: Height of the plot over time in pixels, at first.
PLOT_HEIGHT = 250
#: Milliseconds from the first clip to the panel, for the clip to be drawn.
SOON = 50


def is_light(viewer: Any) -> bool:
    """Return True if napari's theme is a light one."""
    from napari.utils.theme import get_theme

    return bool(get_theme(viewer.theme).type == "light")


def dock_of(widget: QWidget) -> QDockWidget | None:
    """Return the dock that a widget lies in."""
    parent = widget.parent()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parent()
    return parent


def show_widget(viewer: Any, name: str) -> Any:
    """Show a widget of this plugin in its dock, and return the widget."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    dock.show()
    dock.raise_()
    return widget


def offer_panel(session: Session) -> None:
    """Show the panel with the first clip, unless the user has closed it before."""
    viewer = session.viewer
    if not hasattr(viewer, "window") or not read_settings().panel_on_open:
        return

    def show() -> None:  # holds the session alone: a timer must keep no window alive
        viewer = session.viewer
        if viewer is None or not session.clips():
            return
        if any(PANEL in name for name in viewer.window.dock_widgets):
            return
        show_widget(viewer, PANEL)

    QTimer.singleShot(SOON, show)


def on_shown(panel: Any) -> None:
    """Fit the active clip once the panel has its place."""
    session = panel.session

    def fit() -> None:
        if session.viewer is not None and session.active in session.clips():
            session.look_at(session.active)

    QTimer.singleShot(SOON, fit)
    if not read_settings().panel_on_open:
        change_setting("panel_on_open", value=True)


def on_hidden(panel: Any) -> None:
    """Remember that the panel was closed by the user: its dock alone, not the whole window."""
    session = panel.session

    def remember() -> None:
        viewer = session.viewer
        window = None if viewer is None else getattr(viewer.window, "_qt_window", None)
        if (
            window is not None
            and window.isVisible()
            and not window.isMinimized()
            and len(viewer.layers)
        ):
            change_setting("panel_on_open", value=False)

    QTimer.singleShot(SOON, remember)


def move_to_bottom(widget: QWidget) -> None:
    """Dock a widget below everything, over the full width of the window."""
    dock = dock_of(widget)
    window: Any = None if dock is None else dock.parent()
    if dock is None or not hasattr(window, "addDockWidget") or dock.isFloating():
        return
    for corner in (Qt.Corner.BottomLeftCorner, Qt.Corner.BottomRightCorner):
        window.setCorner(corner, Qt.DockWidgetArea.BottomDockWidgetArea)
    if window.dockWidgetArea(dock) != Qt.DockWidgetArea.BottomDockWidgetArea:
        window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
    QTimer.singleShot(
        0, dock, lambda: window.resizeDocks([dock], [PLOT_HEIGHT], Qt.Orientation.Vertical)
    )

"""The panel in a real window, driven by its buttons."""

import pytest
from qtpy.QtWidgets import QApplication

from napari_deepmtj._napari.annotation.state import AnnotationState
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.panel import docking, steps
from napari_deepmtj._napari.panel.overview import StepName
from napari_deepmtj._napari.panel.widget import WIDTH, PanelWidget
from napari_deepmtj._napari.plot import widget as plot_module
from napari_deepmtj._napari.tracking import closing
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj._napari.viewer.settings import PLUGIN, Settings
from napari_deepmtj.results.trajectory_file import read_trajectory

pytestmark = [pytest.mark.gui, pytest.mark.xdist_group("windows")]


def test_from_clip_to_result(
    make_napari_viewer_proxy, make_clip, tiny_model, monkeypatch, qtbot, tmp_path
):
    from napari_deepmtj._napari.tracking import widget as track

    monkeypatch.setattr(track, "read_settings", lambda: Settings(tiny_model, "cpu"))
    for module in (docking, steps):
        monkeypatch.setattr(module, "read_settings", Settings)
    viewer = make_napari_viewer_proxy(show=True)
    window = viewer.__wrapped__.window._qt_window
    window.resize(1280, 800)
    viewer.open(str(make_clip(n_frames=30)), plugin=PLUGIN)
    session = session_of(viewer)
    # the panel comes with the clip, narrow, and the window does not grow
    found = lambda: [w for w in QApplication.allWidgets() if isinstance(w, PanelWidget)]  # noqa: E731
    qtbot.waitUntil(lambda: bool(found()), timeout=20_000)
    (panel,) = found()
    qtbot.waitUntil(lambda: panel.steps[StepName.SCALE].is_open, timeout=5_000)
    canvas = viewer.__wrapped__.window._qt_viewer.canvas.native
    qtbot.wait(200)
    assert panel.width() == WIDTH
    assert (window.width(), window.height()) == (1280, 800)
    assert canvas.width() >= 600
    # a line tool is put down with its step
    panel.scale.draw.click()
    ruler = session.find(session.active, Kind.RULER)
    assert ruler.mode == "add_line"
    panel.scale.open(False)
    assert ruler.mode == "pan_zoom"
    # labels, by the panel's buttons alone
    panel.scale.skip.click()
    panel.label.open()
    panel.label.main.click()
    assert "name" in panel.annotation.message
    panel.label.name.setText("Ann")
    panel.label.main.click()
    qtbot.waitUntil(lambda: len(panel.label.strip.states) == 10, timeout=20_000)
    panel.label.keys["N"].click()
    qtbot.waitUntil(lambda: panel.label.strip.states[0] == "not visible", timeout=5_000)
    panel.label.strip.chosen.emit(5)
    assert panel.annotation.core.place.position == 5
    assert isinstance(panel.annotation, AnnotationState)
    panel.label.main.click()
    assert panel.annotation.core is None
    # tracking ends with a saved result
    panel.track.main.click()
    qtbot.waitUntil(lambda: session.running, timeout=5_000)
    qtbot.waitUntil(lambda: not session.running, timeout=60_000)
    qtbot.waitUntil(lambda: panel.overview.tracked == 30, timeout=5_000)
    points = session.find(session.active, Kind.TRAJECTORY)
    file = tmp_path / "clip.mtj.csv"
    assert panel.overview.saved
    assert len(read_trajectory(file)) == 30
    assert not session.find(session.active, Kind.ATTENTION).visible
    panel.track.attention.click()
    assert session.find(session.active, Kind.ATTENTION).visible
    # the marker is a thin ring of one size on the screen at any zoom
    for zoom in (2.0, 20.0):
        viewer.scene.camera.zoom = zoom
        assert points.size[0] * points.scale[-1] * zoom == pytest.approx(22, rel=0.06)
    assert points.canvas_size_limits[0] == 0
    # all points deleted: what is to become of them is asked before tracking again
    points.selected_data = set(range(len(points.data)))
    points.remove_selected()
    qtbot.waitUntil(lambda: not session.running, timeout=20_000)
    panel.track.main.click()
    assert "You deleted the points of" in session.question.text
    session.answer("Keep as not in view")
    qtbot.waitUntil(lambda: session.running, timeout=5_000)
    qtbot.waitUntil(lambda: not session.running, timeout=60_000)
    assert "were kept" in session.message
    assert len(points.data) == 0
    # the plot comes at the bottom, and the window keeps its size
    qtbot.waitUntil(panel.save.plot.isEnabled, timeout=5_000)
    panel.save.plot.click()
    shown = lambda: [  # noqa: E731
        w for w in QApplication.allWidgets() if isinstance(w, plot_module.OverTimeWidget)
    ]
    qtbot.waitUntil(lambda: bool(shown()), timeout=20_000)
    qtbot.wait(400)
    plots = shown()
    assert plots[0].height() >= 200
    assert window.height() == 800
    # what is not on disk is asked for on close
    asked = []
    monkeypatch.setattr(closing, "ask", lambda _, text: asked.append(text) or closing.CANCEL)
    with session.updating():
        convert.show_trajectory(points, convert.trajectory_of(points).corrected(2, (1, 1)))
    window.close()
    assert asked
    assert window.isVisible()

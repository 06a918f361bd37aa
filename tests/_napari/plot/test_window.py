"""The MTJ over time widget on the screen, with the mouse; `benchmarks/plot_window.py` in napari."""

import sys

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QLabel

from napari_deepmtj._napari.contributions.reader import clip_layer
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.plot import controller as over_time
from napari_deepmtj._napari.plot.widget import OverTimeWidget
from napari_deepmtj._napari.viewer import clips

pytest.importorskip("matplotlib", reason="the extra plots is not installed")
N = 36
#: Milliseconds to wait at most, on a machine that does much else.
PATIENCE = 60_000


@pytest.fixture
def window(viewer, session, make_clip, make_trajectory, scale, in_a_loop, monkeypatch, qtbot):
    """A clip, its result, and the widget."""
    monkeypatch.setattr(over_time, "Job", in_a_loop)
    clip = viewer.add_layer(Layer.create(*clip_layer(make_clip("clip.avi", N, scale=scale))))
    trajectory = make_trajectory(N, scale, sha256=clips.source_of(clip).sha256)
    for column in ("x_px", "x_raw_px"):
        trajectory.table.loc[20, column] += 34.0
    made = convert.layer_of_trajectory(trajectory, Placement.of_layer(clip), clips.id_of(clip))
    points = session.add(clip, made)
    form = OverTimeWidget(viewer)
    qtbot.addWidget(form)
    form.resize(420, 900)
    form.show()
    qtbot.waitUntil(lambda: form.over_time.gated is not None, timeout=PATIENCE)
    qtbot.wait(50)
    return viewer, session, points, form


def place(canvas, t):
    """Return where a time is on the uppermost panel, in pixels of the canvas."""
    axes = canvas.panels.axes[0]
    x, _ = axes.transData.transform((t, 0))
    y = canvas.figure.bbox.height - (axes.bbox.y0 + axes.bbox.y1) / 2
    return QPoint(round(x / canvas.device_pixel_ratio), round(y / canvas.device_pixel_ratio))


def settle(qtbot, form):
    qtbot.waitUntil(
        lambda: not (form._stale or form._redraw.isActive() or form._look.isActive()),
        timeout=PATIENCE,
    )
    qtbot.wait(20)


@pytest.mark.gui
def test_the_plot_in_a_window(window, qtbot, tmp_path, monkeypatch):
    viewer, session, points, form = window
    canvas, left = form.canvas, Qt.MouseButton.LeftButton

    # the cursor follows the slider, without drawing the rest anew
    drawings = []
    canvas.mpl_connect("draw_event", lambda event: drawings.append(1))
    session.go_to(30)
    assert [line.get_xdata()[0] for line in canvas._cursors] == pytest.approx([30 / 25] * 2)
    assert "frame 30: x 14.00 mm" in form.readout.text()
    assert not drawings

    # a click moves the slider, a drag only the view
    QTest.mouseClick(canvas, left, pos=place(canvas, 12 / 25))
    assert session.frame() == 12
    first = canvas.panels.view
    start = place(canvas, 0.8)
    QTest.mousePress(canvas, left, pos=start)
    for step in (10, 20, 40):
        QTest.mouseMove(canvas, start - QPoint(step, 0))
    QTest.mouseRelease(canvas, left, pos=start - QPoint(40, 0))
    assert session.frame() == 12
    assert canvas.panels.view[0] > first[0] + 0.05
    assert not any(artist.get_animated() for _, artist in canvas.panels.moving())
    form.all.click()
    assert canvas.panels.view == first

    # a finding jumps to its frame; applied, it is marked
    model = form.findings.model
    assert [model.frame(row) for row in range(model.rowCount())] == [3, 20]
    form.findings.table.selectRow(1)
    assert session.frame() == 20
    assert "away from the path" in form.findings.reason.text()
    form.findings.apply.click()
    settle(qtbot, form)
    assert "flagged" in form.readout.text()
    assert form.tabs.tabText(0) == "Findings (2)"

    # the side is asked for; limits change what is found
    assert "distal side" in form.motion.text()
    form.side.setCurrentText("left")
    form.side.activated.emit(1)
    form.limits.on["max_sd_mm"].setChecked(True)
    form.limits.values["max_sd_mm"].setValue(0.1)
    settle(qtbot, form)
    assert form.motion.text().startswith("excursion")
    assert canvas.panels.names == ("x", "y", "displacement", "velocity")
    assert model.rowCount() > 30

    # smoothing and back
    before = convert.trajectory_of(points)
    form.smoothing.method.setCurrentText("Hampel")
    form.smoothing.parameters["half_window"].setValue(5)
    form.smoothing.apply.click()
    settle(qtbot, form)
    done = convert.trajectory_of(points).provenance.operations[-1]
    assert (done.name, done.arguments["method"]) == ("smooth", "hampel")
    assert done.arguments["half_window"] == 5
    assert "Smoothed: hampel" in form.smoothing.state.text()
    assert "interpolated" in form.legend.text()
    form.undo.click()
    settle(qtbot, form)
    assert convert.trajectory_of(points) is before
    assert form.smoothing.state.text() == "Not smoothed."

    # what is in view is saved, on paper
    path = tmp_path / "plot.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a: (str(path), ""))
    form.export.menu().aboutToShow.emit()
    form.export.menu().actions()[0].trigger()
    assert path.stat().st_size > 5000

    # the theme of the window is the plot's
    viewer.theme = "light"
    settle(qtbot, form)
    assert canvas.figure.get_facecolor()[0] > 0.8
    assert len(canvas._cursors) == 4

    # wide docks have the forms beside the plot
    form.resize(1000, 300)
    assert form.splitter.orientation() == Qt.Orientation.Horizontal


@pytest.mark.gui
def test_a_hidden_dock_computes_nothing_and_catches_up(window, qtbot):
    _, _, points, form = window
    form.hide()
    before = form._timelines[0]
    form.over_time.smooth()
    qtbot.wait(400)
    assert form._timelines[0] is before
    form.show()
    settle(qtbot, form)
    np.testing.assert_array_equal(
        form._timelines[0].curves["x"].values,
        convert.trajectory_of(points).table["x_mm"].to_numpy(),
    )


@pytest.mark.gui
def test_without_matplotlib_the_dock_says_what_to_install(viewer, monkeypatch, qtbot, in_a_loop):
    monkeypatch.setattr(over_time, "Job", in_a_loop)
    monkeypatch.setitem(sys.modules, "napari_deepmtj._napari.plot.canvas", None)
    form = OverTimeWidget(viewer)
    qtbot.addWidget(form)
    assert form.canvas is None
    texts = [label.text() for label in form.findChildren(QLabel)]
    assert any('pip install "napari-deepmtj[plots]"' in text for text in texts)
    form.show()
    settle(qtbot, form)

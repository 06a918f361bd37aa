"""The Calibrate form on a viewer without a window, and its mouse in a real one."""

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_deepmtj._napari.calibration.widget import CalibrateWidget
from napari_deepmtj._napari.contributions.reader import clip_layer
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj._napari.viewer.settings import PLUGIN
from napari_deepmtj.calibration.scale import Suggestion
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.video.sidecar import read_sidecar

pytestmark = pytest.mark.gui


@pytest.fixture
def clip(viewer, session, make_clip):
    return viewer.add_layer(Layer.create(*clip_layer(make_clip(n_frames=4))))


@pytest.fixture
def form(qapp, viewer, clip):
    return CalibrateWidget(viewer)


def click(button):
    button.native.click()


def draw(session, clip, *lines_xy):
    """Draw lines in the ruler's layer as its mouse does, ends in pixels (x, y)."""
    ruler = session.find(clip, Kind.RULER)
    for line in lines_xy:
        ruler.add_lines([np.array(line, float)[:, ::-1]])
    return ruler


def test_a_line_is_proposed_and_applied_only_by_its_button(form, session, clip):
    assert form.scale.value == "no scale, positions in pixels"
    assert not form.apply.enabled
    click(form.draw)
    ruler = draw(session, clip, [(80, 4), (80, 44)])
    assert ruler.mode == "add_line"
    assert (form.x_mm.value, form.y_mm.value) == (0.25, 0.25)
    assert form.proposed.value == "calibration line 10 mm, not applied yet"
    form.mm.value = 20
    assert form.x_mm.value == 0.5
    assert session.info.scale is None
    click(form.apply)
    assert session.info.scale == Scale(0.5, 0.5, "calibration line 20 mm")
    assert form.scale.value == "0.5 mm/px, calibration line 20 mm"
    assert form.proposed.value == ""
    assert not form.apply.enabled
    ruler.data = [ruler.data[0] * [0.5, 1]]  # an end is dragged, in the new millimetres
    assert form.x_mm.value == 1.0
    assert session.info.scale.x_mm == 0.5


def test_two_lines_measure_pixels_that_are_not_square(form, session, clip):
    form.second.value = True
    form.mm.value, form.mm_down.value = 8, 10
    click(form.draw)
    draw(session, clip, [(10, 40), (50, 40)])
    assert not form.apply.enabled
    draw(session, clip, [(80, 4), (80, 44)])
    click(form.apply)
    assert (session.info.scale.x_mm, session.info.scale.y_mm) == pytest.approx((0.2, 0.25))
    assert not form.square.value


def test_a_line_that_cannot_be_is_told(form, session, clip):
    click(form.draw)
    draw(session, clip, [(80, 4), (80, 5)])
    assert "too short" in form.message.value
    assert not form.apply.enabled


def test_numbers_by_hand_are_linked_until_they_are_not(form, session, clip):
    form.x_mm.value = 0.1
    assert form.y_mm.value == 0.1
    form.square.value = False
    form.y_mm.value = 0.2
    assert session.proposal == Scale(0.1, 0.2, "given by hand")
    click(form.apply)
    assert clips.source_of(clip).scale == Scale(0.1, 0.2, "given by hand")
    form.square.value = True
    assert session.proposal == Scale(0.1, 0.1, "given by hand")


def test_a_ruler_is_suggested_with_what_else_it_may_be(form, session, clip, in_a_loop, monkeypatch):
    scales = [Scale(mm / 10, mm / 10, f"ruler suggestion, {mm} mm ticks") for mm in (5, 10)]
    ticks = np.array([[90.0, 5.0], [90.0, 15.0]])
    found = Suggestion(scales[0], 0.83, "2 ticks at the right", ticks, 5.0, (scales[1],))
    monkeypatch.setattr("napari_deepmtj.calibration.scale.suggest_scale", lambda *_: found)
    click(form.suggest)
    assert session.proposal == scales[0]
    assert "Confidence 83%" in form.message.value
    form.other.value = scales[1]
    assert session.info.scale is None
    click(form.apply)
    assert session.info.scale == scales[1]


def test_region_and_side_are_shown_and_saved(form, session, clip):
    assert [field.value for field in form.numbers] == [0, 0, 112, 56]
    click(form.rectangle)
    layer = session.find(clip, Kind.REGION)
    form.numbers[0].value = 6  # reaches beyond now
    assert "reaches beyond" in form.message.value
    assert session.info.roi == Roi.full(56, 112)
    layer.data = [[[4.5, 9.5], [4.5, 89.5], [44.5, 89.5], [44.5, 9.5]]]
    assert [field.value for field in form.numbers] == [10, 5, 80, 40]
    form.numbers[2].value = 60
    assert session.info.roi == Roi(10, 5, 60, 40, "given")
    form.preset.value = "preset telemed-artus"
    assert "reaches beyond" in form.message.value
    assert form.preset.value == "as shown"
    form.side.value = "left"
    click(form.save)
    assert form.message.value == "Saved clip.mtj-clip.json beside the clip."
    info = read_sidecar(clips.source_of(clip).path)
    assert (str(info.roi), info.distal_side, info.scale) == ("10,5,60,40", "left", None)


def test_what_an_array_is_said_to_be_is_kept_in_its_layer(form, viewer, session, clip):
    layer = viewer.add_image(np.zeros((4, 56, 112), np.uint8), rgb=False, name="array")
    form.reset_choices()
    form.clip.value = layer
    form.side.value = "right"
    assert session.active is layer
    form.x_mm.value = 0.1
    assert session.proposal == Scale(0.1, 0.1, "given by hand")
    assert convert.ours(layer)["distal_side"] == "right"
    click(form.save)
    assert "kept in its layer only" in form.message.value
    session.activate(clip)
    assert form.clip.value is clip
    assert form.side.value == "not known"


def test_a_line_drawn_with_the_mouse(make_napari_viewer, make_clip, qtbot):
    viewer = make_napari_viewer()
    viewer.open(str(make_clip()), plugin=PLUGIN)
    _, form = viewer.window.add_plugin_dock_widget(PLUGIN, "Calibrate")
    session = session_of(viewer)
    click(form.draw)
    qtbot.wait(50)
    canvas = viewer.window._qt_viewer.canvas.native
    camera = viewer.scene.camera
    middle = np.array([canvas.height(), canvas.width()]) / 2
    ends = [
        (np.array(yx) - camera.center[-2:]) * camera.zoom + middle for yx in ((4, 80), (44, 80))
    ]
    start, end = (QPoint(round(x), round(y)) for y, x in ends)
    QTest.mouseMove(canvas, start)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
    for share in (0.3, 0.7, 1.0):
        QTest.mouseMove(canvas, start + (end - start) * share)
        qtbot.wait(20)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=end)
    qtbot.wait(50)
    click(form.apply)
    # napari puts each end within 2 pixels of the screen
    assert session.info.scale.y_mm == pytest.approx(10 / 40, rel=4 / camera.zoom / 40)
    assert str(viewer.layers.units[-1]) == "millimeter"

"""The Batch track widget in real windows: from its buttons to results as layers."""

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_deepmtj._napari.batch import form as batch_form
from napari_deepmtj._napari.batch.controller import batch_controller_of
from napari_deepmtj._napari.batch.form import EACH, NONE, WHOLE
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj._napari.viewer.settings import PLUGIN, Settings

pytestmark = pytest.mark.gui


@pytest.fixture
def open_batch(make_napari_viewer_proxy, tiny_model, monkeypatch, tmp_path):
    """A window with the widget, set to the tiny model on the CPU; presets in a file of its own."""
    settings = Settings(tiny_model, "cpu")
    monkeypatch.setattr(batch_form, "read_settings", lambda: settings)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def make():
        viewer = make_napari_viewer_proxy()
        _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Batch track")
        widget.form.report.setChecked(False)
        return viewer, widget, batch_controller_of(viewer)

    return make


def test_layers_and_files_run_and_results_open(open_batch, make_clip, monkeypatch, tmp_path, qtbot):
    viewer, widget, controller = open_batch()
    viewer.add_image(np.full((4, 56, 112), 90, np.uint8), name="array")
    assert not widget.run.isEnabled()
    widget.add_layers.click()
    clip = make_clip(n_frames=30)
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(clip)], ""))
    widget.add_files.click()
    assert [widget.clips.item(row).text() for row in range(2)] == ["layer: array", "clip.avi"]
    # the folder is asked for before the run, and without it nothing begins
    asked = iter(["", str(tmp_path / "results")])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: next(asked))
    widget.run.click()
    assert not controller.running
    widget.run.click()
    assert controller.running
    assert widget.cancel.isEnabled()
    assert not widget.form.isEnabled()
    qtbot.waitUntil(lambda: not (controller.running or controller.showing), timeout=120_000)
    assert "2 clips tracked" in widget.message.text()
    assert widget.bar.format() == "%v of %m clips"
    assert (widget.bar.value(), widget.bar.maximum()) == (2, 2)
    assert widget.shown.currentText() == "all clips (2)"
    assert (tmp_path / "results" / "array.mtj.csv").is_file()
    session = session_of(viewer)
    kinds = [convert.kind_of(layer) for layer in viewer.layers]
    assert kinds == [Kind.CLIP, Kind.TRAJECTORY]

    widget.table.selectRow(1)
    widget.open.click()
    qtbot.waitUntil(lambda: not (controller.opening or controller.showing), timeout=60_000)
    assert session.active.name == "clip.avi"
    assert len(session.find(session.active, Kind.TRAJECTORY).data) == 30
    assert widget.flagged.count() == len(controller.results.flagged()) > 1
    widget.flagged.setCurrentRow(1)
    assert session.frame() == controller.results.flagged()[1].frame
    widget.before.click()
    assert session.frame() == controller.results.flagged()[0].frame
    widget.save.click()
    assert "no correction" in widget.message.text()
    widget.shown.setCurrentIndex(widget.shown.findData("failed"))
    assert widget.rows.rowCount() == 0
    assert not widget.open.isEnabled()


def test_a_second_dock_shows_the_same_and_a_preset_is_kept(
    open_batch, make_clip, scale, monkeypatch, tmp_path
):
    viewer, widget, controller = open_batch()
    viewer.open(str(make_clip(scale=scale)), plugin=PLUGIN)
    assert widget.form.preset.itemText(0) == EACH
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: ("our scanner", True))
    widget.form.keep.click()
    assert "Kept the preset our scanner" in widget.message.text()
    assert controller.wanted.preset == "our scanner"
    widget.form.fuse.setChecked(True)
    widget.form.attention.setCurrentText("combined")
    widget.form.out.setText(str(tmp_path / "results"))
    widget.form.out.editingFinished.emit()
    before = controller.wanted
    second = type(widget)(viewer)
    viewer.window.add_dock_widget(second, name="second")
    assert controller.wanted == before
    assert second.form.preset.currentText() == "our scanner"
    assert second.form.attention.currentText() == "combined"
    assert second.form.fuse.isChecked()
    second.form.preset.setCurrentText(WHOLE)
    second.form.attention.setCurrentText(NONE)
    assert (controller.wanted.roi, controller.wanted.preset) == ("full", "")
    assert controller.wanted.attention == ""

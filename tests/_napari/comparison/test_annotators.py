"""Comparing annotators: below Qt, and once in a real window."""

import dataclasses
import threading

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QLabel, QMessageBox

from napari_deepmtj._napari.calibration import controller as calibration
from napari_deepmtj._napari.comparison import annotators as comparing
from napari_deepmtj._napari.comparison import annotators_widget as agreement
from napari_deepmtj._napari.comparison.annotators import annotator_comparison_of
from napari_deepmtj._napari.contributions.reader import clip_layer
from napari_deepmtj._napari.layers.convert import layer_of_trajectory
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj._napari.viewer.settings import PLUGIN
from napari_deepmtj.core.labels import CONSENSUS, Label
from napari_deepmtj.errors import MissingExtraError
from napari_deepmtj.labels.table import write_labels
from napari_deepmtj.video.opening import open_video

pytest.importorskip("pingouin", reason="the extra statistics is not installed")

#: How far to the right of Ann's position Bea has each frame, in px.
AWAY = [1.0, -1.0, 5.0, 0.0, 2.0, 1.0]


@pytest.fixture
def labelled(make_clip, scale):
    """Write a clip, and a label file beside it by each of two annotators and one of a consensus."""

    def write(name="clip.avi", **arguments):
        clip = make_clip(name, scale=scale, **arguments)
        with open_video(clip) as source:
            sha256 = source.sha256
        ann = [
            Label(
                clip=clip.name,
                clip_sha256=sha256,
                frame=2 * i,
                x_px=20.0 + 4 * i,
                y_px=15.0 + i,
                annotator="Ann",
            )
            for i in range(len(AWAY))
        ]
        bea = [
            dataclasses.replace(la, annotator="Bea", x_px=la.x_px + away)
            for la, away in zip(ann, AWAY, strict=True)
        ]
        settled = [dataclasses.replace(la, annotator=CONSENSUS) for la in ann]
        for who, labels in (("a", ann), ("b", bea), ("c", settled)):
            write_labels(clip.with_name(f"{clip.stem}-{who}.mtj-labels.csv"), labels)
        return clip

    return write


@pytest.fixture
def comparison(viewer, in_a_loop, monkeypatch):
    monkeypatch.setattr(comparing, "Job", in_a_loop)
    return annotator_comparison_of(viewer)


def open_clip(viewer, path):
    data, facts, _ = clip_layer(path)
    return viewer.add_image(data, **facts)


def test_people_are_compared_and_a_model_if_wanted(
    viewer, comparison, labelled, make_trajectory, scale
):
    clip = open_clip(viewer, labelled())
    session = session_of(viewer)
    assert annotator_comparison_of(viewer) is comparison
    comparison.use(comparison.beside())
    assert [path.name[:6] for path in comparison.files] == ["clip-a", "clip-b", "clip-c"]
    assert [rater.name for rater in comparison.raters] == ["Ann", "Bea", CONSENSUS]
    assert comparison.chosen == {"Ann", "Bea"}
    comparison.compare()
    (pair,) = comparison.result.pairs
    assert (pair.unit, pair.frames) == ("mm", len(AWAY))
    assert pair.limits["x"].bias.value == pytest.approx(np.mean(AWAY) * scale.x_mm)
    assert "not independent" in comparison.message
    # the scale that is shown counts, also before it is saved
    wider = dataclasses.replace(scale, x_mm=2 * scale.x_mm)
    calibration.apply_scale(session, clip, wider)
    comparison.compare()
    assert comparison.result.pairs[0].limits["x"].bias.value == pytest.approx(
        np.mean(AWAY) * wider.x_mm
    )
    sha256 = clips.source_of(clip).sha256
    made = make_trajectory(n_frames=12, sha256=sha256)
    session.add(clip, layer_of_trajectory(made, Placement.of_layer(clip), clips.id_of(clip)))
    comparison.read()
    assert comparison.raters[-1].name == "model"
    assert comparison.chosen == {"Ann", "Bea"}
    comparison.choose("Ann", False)
    comparison.choose("model", True)
    comparison.compare()
    (pair,) = comparison.result.pairs
    assert (pair.first, pair.second) == ("Bea", "model")


def test_what_cannot_be_compared_is_told(viewer, comparison, labelled, tmp_path, monkeypatch):
    open_clip(viewer, labelled())
    files = comparison.beside()
    comparison.use(files[:1])
    comparison.compare()
    assert comparison.message == (
        "agreement needs two raters at least, and these labels are by Ann"
    )
    assert comparison.result is None
    assert not comparison.running
    broken = tmp_path / "x.mtj-labels.csv"
    broken.write_text("nothing\n")
    comparison.use([*files, broken])
    assert comparison.message.startswith("x.mtj-labels.csv: ")
    assert comparison.raters == ()

    def lacking(*_, **__):
        raise MissingExtraError("an agreement study", "statistics")

    monkeypatch.setattr("napari_deepmtj.evaluation.agreement.icc_2_1", lacking)
    comparison.use(files)
    comparison.compare()
    assert "napari-deepmtj[statistics]" in comparison.message
    comparison.running = True
    comparison.compare()
    assert comparison.message.startswith("Wait")


def test_a_frame_is_found_by_content(viewer, comparison, labelled, make_clip):
    session = session_of(viewer)
    first = open_clip(viewer, labelled())
    other = open_clip(viewer, make_clip("other.avi", n_frames=9))
    assert session.active is other
    sha256 = clips.source_of(first).sha256
    comparison.look_at("clip.avi", sha256, 6)
    assert session.active is first
    assert session.frame() == 6
    comparison.look_at("clip.avi", "of another", 2)
    assert session.frame() == 6
    assert comparison.message.startswith("clip.avi with the content that was labelled is not open")


def test_a_study_is_saved(viewer, comparison, labelled, tmp_path):
    open_clip(viewer, labelled())
    out = tmp_path / "study"
    comparison.save(out)
    assert not out.exists()
    comparison.use(comparison.beside())
    comparison.compare()
    comparison.save(out)
    assert comparison.message.startswith("Saved agreement.csv, agreement-frames.csv, bland-altman")
    assert "not independent" in comparison.message
    assert pd.read_csv(out / "agreement-frames.csv")["frame"].tolist() == [0, 2, 4, 6, 8, 10]
    assert (out / "bland-altman.svg").exists()


@pytest.mark.gui
def test_the_window_compares_shows_jumps_and_saves(
    make_napari_viewer_proxy, qtbot, labelled, tmp_path, monkeypatch
):
    viewer = make_napari_viewer_proxy(show=True)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Compare annotators")
    comparison, session = widget.comparison, session_of(viewer)

    def settle():
        qtbot.waitUntil(lambda: not comparison.running, timeout=60_000)
        qtbot.wait(50)

    def press(button):
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        settle()

    assert not widget.compare.isEnabled()
    viewer.open(str(labelled()), plugin=PLUGIN)  # its files are taken at once
    settle()
    assert widget.files.count() == 3
    threads = []
    real = comparing.importlib.import_module
    monkeypatch.setattr(
        comparing.importlib,
        "import_module",
        lambda name: threads.append(threading.current_thread()) or real(name),
    )
    press(widget.compare)
    assert threads
    assert threads[0] is not threading.main_thread()
    assert widget.pair.currentText() == "Bea minus Ann"
    figures = {
        widget.figures.item(row, 0).text(): widget.figures.item(row, 1).text()
        for row in range(widget.figures.rowCount())
    }
    limits = comparison.result.pairs[0].limits["x"]
    assert figures["bias (mean)"].startswith(f"{limits.bias.value:.2f} (")
    assert {"ICC(2,1)", "SEM", "MDC", "within 5 mm", "not looked at by Ann"} <= set(figures)
    canvas = widget.plot.layout().itemAt(0).widget()
    assert canvas.figure.axes[0].get_title() == "x, along the picture"
    widget.axis.setCurrentIndex(1)
    canvas = widget.plot.layout().itemAt(0).widget()
    assert canvas.figure.axes[0].get_title() == "y, depth"
    assert widget.plot.layout().count() == 1
    # the frame of AWAY's 5 px
    cell = widget.worst.visualItemRect(widget.worst.item(0, 1)).center()
    QTest.mouseClick(widget.worst.viewport(), Qt.MouseButton.LeftButton, pos=cell)
    QTest.mouseDClick(widget.worst.viewport(), Qt.MouseButton.LeftButton, pos=cell)
    assert session.frame() == 4
    # a third rater
    widget.raters.item(2).setCheckState(Qt.CheckState.Checked)
    press(widget.compare)
    assert widget.pair.count() == 3
    assert widget.pair.currentText() == "Bea minus Ann"
    widget.pair.setCurrentIndex(2)
    assert widget._shown().second == CONSENSUS
    # saving asks before it replaces
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "s"))
    press(widget.save)
    assert (tmp_path / "s" / "bland-altman-3.png").exists()
    before = (tmp_path / "s" / "agreement.csv").stat().st_mtime_ns
    asked = []
    monkeypatch.setattr(
        QMessageBox, "question", lambda *a: asked.append(a[2]) or QMessageBox.StandardButton.No
    )
    press(widget.save)
    assert "Replace agreement.csv" in asked[0]
    assert (tmp_path / "s" / "agreement.csv").stat().st_mtime_ns == before
    # files come and go
    widget.files.setCurrentRow(1)
    press(widget.remove)
    assert [path.name for path in comparison.files] == [
        "clip-a.mtj-labels.csv",
        "clip-c.mtj-labels.csv",
    ]
    monkeypatch.setattr(
        QFileDialog,
        "getOpenFileNames",
        lambda *_: ([str(tmp_path / "clip-b.mtj-labels.csv")], ""),
    )
    press(widget.add)
    assert widget.files.count() == 3

    def lacking(*_):
        raise MissingExtraError("the Bland-Altman plot", "plots")

    monkeypatch.setattr(agreement, "_canvas", lacking)
    widget.axis.setCurrentIndex(0)
    (said,) = widget.plot.findChildren(QLabel)
    assert "napari-deepmtj[plots]" in said.text()
    viewer.window.remove_dock_widget(widget)
    widget.deleteLater()
    qtbot.wait(50)
    comparison.tell("nobody listens, nothing breaks")

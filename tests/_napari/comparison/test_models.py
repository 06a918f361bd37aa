"""Models on the labelled frames of a clip: below Qt, and once in a real window."""

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt

from napari_deepmtj._napari.comparison import models as module
from napari_deepmtj._napari.comparison.models import LABEL, layers_of_marks, model_comparison_of
from napari_deepmtj._napari.contributions.reader import clip_layer
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.labels import Label
from napari_deepmtj.evaluation.comparison import ClipFacts, Marks
from napari_deepmtj.labels.table import labels_path, write_labels
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.weights.cards import RECORDING
from napari_deepmtj.weights.store import load_model, save_model


@pytest.fixture
def labelled(make_clip, scale):
    """Write a clip of which frames 2, 5 and 7 are labelled, the last as not visible."""
    path = make_clip(scale=scale)
    with open_video(path) as source:
        sha256 = source.sha256
    labels = [
        Label(
            clip=path.name,
            clip_sha256=sha256,
            frame=frame,
            x_px=None if frame == 7 else 20.0,
            y_px=None if frame == 7 else 15.0,
            annotator="Ann",
        )
        for frame in (2, 5, 7)
    ]
    write_labels(labels_path(path), labels)
    return path


@pytest.fixture
def comparison(viewer, in_a_loop, monkeypatch, tiny_model):
    monkeypatch.setattr(module, "Job", in_a_loop)
    return model_comparison_of(viewer)


def open_clip(viewer, path):
    clip = viewer.add_layer(Layer.create(*clip_layer(path)))
    session_of(viewer).activate(clip)
    return clip


def test_models_are_shown_beside_the_labels(comparison, viewer, labelled):
    clip = open_clip(viewer, labelled)
    assert model_comparison_of(viewer) is comparison
    comparison.compare(["tiny", "compact"], "cpu")
    assert comparison.message == "3 labelled frames compared.", comparison.message
    assert [mark.frame for mark in comparison.marks] == [2, 5, 7]
    session = session_of(viewer)
    points, rings = session.find(clip, Kind.MARKS), session.find(clip, Kind.RINGS)
    assert len(rings.data) == 2
    who = list(points.features["model"])
    assert who.count(LABEL) == 2
    first = comparison.marks[0]
    tiny = next(row for row, name in zip(points.data, who, strict=True) if name == "tiny")
    np.testing.assert_allclose(tiny, (2, *first.points["tiny"][::-1]))
    assert comparison.colour("tiny") != comparison.colour("compact") != comparison.colour(LABEL)
    before = len(viewer.layers)
    comparison.compare(["tiny"], "cpu")
    assert len(viewer.layers) == before
    comparison.look_at(5)
    assert session.frame() == 5


def test_labels_of_other_clips_are_not_in_the_way(comparison, viewer, labelled):
    absent = {"clip": "gone.avi", "clip_sha256": "ab" * 32, "x_px": 1.0, "y_px": 1.0}
    others = [Label(frame=0, annotator=who, **absent) for who in ("Ann", "Bob")]
    write_labels(labelled.with_name("gone.mtj-labels.csv"), others)
    open_clip(viewer, labelled)
    comparison.compare(["tiny"], "cpu")
    assert comparison.message == "3 labelled frames compared."


def test_a_model_that_learned_from_the_clip_is_no_test(
    comparison, viewer, labelled, tiny_model, tmp_path
):
    with open_video(labelled) as source:
        seen = {"split": {"training": {"recordings": [source.sha256[:RECORDING]]}}}
    tiny = load_model("tiny")
    own = tmp_path / "own.safetensors"
    save_model(own, tiny.network, replace(tiny.card, id="own", made_with=seen))
    open_clip(viewer, labelled)
    comparison.compare(["tiny", str(own)], "cpu")
    assert comparison.message.splitlines()[1:] == ["own learned from this clip: no test of it."]


def test_the_ring_is_5_mm_wide_on_both_axes(scale):
    facts = ClipFacts("S1", "a.avi", "ab", "", Roi.full(56, 112), scale)
    half = (5.0 / scale.x_mm, 5.0 / scale.y_mm)
    mark = Marks(facts, 4, (20.0, 15.0), {"tiny": None}, {"tiny": np.nan}, "mm", half)
    hidden = Marks(facts, 6, None, {"tiny": (1.0, 2.0)}, {"tiny": np.nan}, "mm", half)
    placement = Placement((0.04, scale.y_mm, scale.x_mm), (0, 0, 0), ("second", "mm", "mm"))
    rings, points = layers_of_marks([mark, hidden], placement, "id")
    (corners,) = np.array(rings[0])
    np.testing.assert_allclose(np.ptp(corners, axis=0) * placement.scale, (0, 10, 10))
    np.testing.assert_allclose(corners.mean(axis=0), (4, 15, 20))
    np.testing.assert_allclose(points[0], [(4, 15, 20), (6, 2, 1)])
    assert points[1]["features"]["model"] == [LABEL, "tiny"]


def test_without_labels_or_models_it_is_told(comparison, viewer, make_clip):
    comparison.compare(["tiny"], "cpu")
    assert "Open a clip" in comparison.message
    open_clip(viewer, make_clip())
    comparison.compare([], "cpu")
    assert "choose models" in comparison.message
    comparison.compare(["tiny"], "cpu")
    assert comparison.message == module.NO_LABELS
    assert comparison.result is None
    assert not comparison.running


@pytest.mark.gui
def test_the_form_lists_models_and_frames(make_napari_viewer, qtbot, labelled, tiny_model):
    viewer = make_napari_viewer()
    clip = open_clip(viewer, labelled)
    _, form = viewer.window.add_plugin_dock_widget("napari-deepmtj", "Compare models")
    assert {"tiny", "compact"} <= set(form.chosen())
    for row in range(form.models.count()):
        if form.models.item(row).text() != "tiny":
            form.models.item(row).setCheckState(Qt.CheckState.Unchecked)
    form.run.click()
    qtbot.waitUntil(lambda: not form.comparison.running, timeout=60_000)
    assert form.summary.rowCount() == 1
    assert form.summary.item(0, 0).text().endswith("tiny")
    assert form.frames.rowCount() == 3
    form.frames.cellActivated.emit(0, 0)
    assert session_of(viewer).frame() == int(form.frames.item(0, 0).text())
    assert session_of(viewer).find(clip, Kind.MARKS) is not None
    assert clips.is_clip(clip)

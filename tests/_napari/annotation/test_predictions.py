"""Predictions and local contrast beside the labels."""

import numpy as np
import pytest
from annotating_by_hand import mouse, points, press, texts

from napari_deepmtj._napari.layers import styles
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj.results.trajectory_file import write_trajectory


def test_predictions_are_shown_when_wanted_and_corrected_by_dragging(
    begin, annotation, tracked, viewer
):
    core = begin()
    assert points(annotation) == []
    annotation.toggle("predictions")
    assert points(annotation) == [
        (0, 10, 20.5, "proposed", "PREDICTED"),
        (5, 20, 20.5, "proposed", "PREDICTED"),
    ]
    layer = annotation.label_layer
    assert texts(layer) == ["model: accept? 0.00", "model: accept? 0.50"]
    assert layer.border_color[0] == pytest.approx(styles.rgba("#ff4d4d"), abs=0.01)
    press(viewer, "G")
    here = tracked.data_to_world((5, 20.5, 20))
    mouse(annotation, viewer, here, tracked.data_to_world((5, 22, 24)))
    assert points(annotation) == [
        (0, 10, 20.5, "own", "PREDICTED"),
        (5, 24, 22, "own", "CORRECTED"),
    ]
    assert texts(layer) == ["ann: predicted", "ann: corrected"]
    annotation.toggle("predictions")
    press(viewer, "Q")
    press(viewer, "Shift+N")
    assert len(points(annotation)) == 1
    press(viewer, "G")
    assert "nothing to accept" in annotation.message
    assert len(core.book.store.labels) == 1


def test_a_saved_prediction_is_found_beside_the_clip(
    begin, annotation, open_clip, make_trajectory, tmp_path
):
    clip = open_clip(n_frames=8)
    saved = make_trajectory(sha256=clips.source_of(clip).sha256)
    write_trajectory(saved, tmp_path / "clip.mtj.csv")
    begin()
    annotation.toggle("predictions")
    assert [frame for frame, *_ in points(annotation)] == [0, 5]


def test_a_prediction_of_another_content_is_none(
    begin, annotation, open_clip, make_trajectory, tmp_path
):
    open_clip(n_frames=8)
    write_trajectory(make_trajectory(sha256="ab" * 32), tmp_path / "clip.mtj.csv")
    begin()
    annotation.toggle("predictions")
    assert points(annotation) == []


# ----- contrast -----------------------------------------------------------------------------------


def test_local_contrast_is_a_layer_that_leaves_the_clip_alone(
    begin, annotation, open_clip, session, viewer
):
    clip = open_clip()
    before = np.asarray(clip.data[0:1]).copy()
    begin()
    press(viewer, "9")
    layer = session.find(clip, Kind.CONTRAST)
    assert viewer.layers.index(layer) == viewer.layers.index(clip) + 1
    assert viewer.layers.index(annotation.label_layer) > viewer.layers.index(layer)
    enhanced = np.asarray(layer.data[0:1])
    assert enhanced.shape == before.shape
    assert enhanced.std() > before.std()
    np.testing.assert_array_equal(np.asarray(clip.data[0:1]), before)
    np.testing.assert_allclose(layer.scale, clip.scale)
    press(viewer, "9")
    assert session.find(clip, Kind.CONTRAST) is None

import sys

import numpy as np
import pytest
from napari.layers import Layer

from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.tracking import corrections as refill
from napari_deepmtj._napari.viewer import clips


@pytest.fixture
def points(open_clip, viewer, make_trajectory, in_a_loop, monkeypatch):
    """The Points layer, with its path, of a clip whose spot is at (10 + 2 frame, 20)."""
    monkeypatch.setattr(refill, "Job", in_a_loop)
    clip = open_clip(n_frames=10, height=96, width=192)
    trajectory = make_trajectory(10, sha256=clips.source_of(clip).sha256, offset=6.0)
    placement, key = Placement.of_layer(clip), clips.id_of(clip)
    viewer.add_layer(Layer.create(*convert.layer_of_path(trajectory, placement, key)))
    made = convert.layer_of_trajectory(trajectory, placement, key)
    return viewer.add_layer(Layer.create(*made))


def drag(points, frame, x, y):
    (row,) = np.flatnonzero(points.data[:, 0] == frame)
    points.selected_data = {int(row)}
    points._set_drag_start({int(row)}, points.data[row])
    points._move([int(row)], [frame, y, x])


def test_dragging_refills_the_span_and_shows_before_and_after(session, points):
    drag(points, 1, 12, 20)
    before = convert.trajectory_of(points)
    drag(points, 8, 26, 20)
    after = convert.trajectory_of(points)
    assert after.table["origin"][2:8].tolist() == ["REFILLED"] * 6
    assert points.features["origin"].tolist()[2:8] == ["REFILLED"] * 6
    true = np.array([[10 + 2 * i, 20] for i in range(10)])
    assert np.abs(after.xy_px - true)[1:9].max() < 1.0
    faint, path = session.find(session.active, Kind.BEFORE), session.find(session.active, Kind.PATH)
    assert faint.opacity < 0.5
    np.testing.assert_allclose(faint.data[:, [3, 2]], before.xy_px[np.isfinite(before.xy_px[:, 0])])
    np.testing.assert_allclose(path.data[:, [3, 2]], after.xy_px)
    assert not session.running


def test_undoing_takes_back_the_drag_and_what_it_refilled(session, points):
    drag(points, 1, 12, 20)
    before = convert.trajectory_of(points)
    drag(points, 8, 26, 20)
    assert convert.trajectory_of(points) is not before
    refill.undo(session, points)
    assert convert.trajectory_of(points) is before
    assert session.find(session.active, Kind.BEFORE) is None
    refill.undo(session, points)
    assert (convert.trajectory_of(points).table["origin"] == "PREDICTED").all()
    refill.undo(session, points)
    assert session.message == "There is nothing to undo."


@pytest.mark.parametrize("refilled", [True, False])
def test_what_was_done_since_is_never_undone(session, points, monkeypatch, refilled):
    if not refilled:
        monkeypatch.setitem(sys.modules, "cv2", None)
    drag(points, 1, 12, 20)
    drag(points, 8, 26, 20)
    left = convert.trajectory_of(points)
    later = left.changed({}, "smooth")
    refill.show(session, points, later)
    refill.undo(session, points)
    assert convert.trajectory_of(points) is later
    assert session.message == refill.CHANGED
    refill.show(session, points, left)  # as `PlotController.undo` does: the edit is the last again
    refill.undo(session, points)
    assert convert.trajectory_of(points).xy_px[8].tolist() == [32, 26.5]


def test_an_edit_during_a_refill_begins_it_anew(points, monkeypatch):
    drag(points, 1, 12, 20)
    edits = iter([(5, 20, 30)])
    real = refill.refill_events

    def events(*args):
        for frame, x, y in edits:
            drag(points, frame, x, y)
        yield from real(*args)

    monkeypatch.setattr(refill, "refill_events", events)
    drag(points, 8, 26, 20)
    found = convert.trajectory_of(points)
    assert found.xy_px[5].tolist() == [20, 30]
    assert found.table["origin"].tolist()[1:9] == [
        "CORRECTED",
        *["REFILLED"] * 3,
        "CORRECTED",
        *["REFILLED"] * 2,
        "CORRECTED",
    ]


def test_without_opencv_the_correction_stays_and_the_extra_is_named(session, points, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    drag(points, 1, 12, 20)
    drag(points, 8, 26, 20)
    assert 'extra "flow"' in session.message
    assert convert.trajectory_of(points).xy_px[8].tolist() == [26, 20]
    assert not session.running

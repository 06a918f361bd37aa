"""Tracking runs without a window: the worker is replaced by a loop, everything else is real."""

import numpy as np
import pytest
from napari.layers import Layer

from napari_deepmtj._napari.contributions.reader import clip_layer
from napari_deepmtj._napari.layers import convert, drawings
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.tracking.run import Request, TrackRun
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.weights.store import load_model


@pytest.fixture
def clip(viewer, session, make_clip, scale):
    return viewer.add_layer(Layer.create(*clip_layer(make_clip(scale=scale))))


@pytest.fixture
def run(session, clip, tiny_model, in_a_loop):
    def track(roi="full", **wanted):
        TrackRun(session, clip, Request(tiny_model, roi=roi, device="cpu", **wanted)).start()
        return session.find(clip, Kind.TRAJECTORY)

    return track


def reference(clip, tiny_model, roi="full", **wanted):
    """What the core says of the same clip."""
    from napari_deepmtj.inference.predictor import track

    with open_video(clip.data.source.path) as source:
        *_, done = track(source, load_model(tiny_model), roi=roi, device="cpu", **wanted)
    return done.result


def test_the_layers_hold_what_the_core_found(run, session, clip, tiny_model):
    points = run(attention=True, path=True)
    wanted = reference(clip, tiny_model)
    found = convert.trajectory_of(points)
    np.testing.assert_allclose(found.xy_px, wanted.xy_px)
    np.testing.assert_allclose(found.table["sd_mm"], wanted.table["sd_mm"])
    assert found.provenance.clip_sha256 == wanted.provenance.clip_sha256
    assert [op.name for op in found.provenance.operations] == ["track"]
    assert found.provenance.operations[0].arguments == wanted.provenance.operations[0].arguments
    assert points.data[:, 0].tolist() == list(range(20))
    np.testing.assert_allclose(points.data[:, 1:], wanted.xy_px[:, ::-1])
    attention = session.find(clip, Kind.ATTENTION)
    assert attention.data.shape[0] == 20
    assert (attention.data.reshape(20, -1).max(axis=1) > 0).all()
    assert len(session.find(clip, Kind.PATH).data) == 20
    for layer in (points, session.find(clip, Kind.PATH)):
        assert convert.Placement.of_layer(layer) == convert.Placement.of_layer(clip)
    assert session.progress.done == session.progress.total == 20
    assert not session.running
    assert session.viewer.layers.selection.active is points
    names = [convert.kind_of(la) for la in session.viewer.layers]
    assert names == [Kind.CLIP, Kind.ATTENTION, Kind.PATH, Kind.TRAJECTORY]


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_the_backend_that_is_asked_for_computes(run, backend):
    points = run(attention=False, backend=backend)
    (operation,) = convert.trajectory_of(points).provenance.operations
    assert operation.arguments["backend"]["name"] == backend


def test_only_what_was_asked_for_is_shown(run, session, clip):
    run(attention=False, path=False)
    assert session.find(clip, Kind.ATTENTION) is None
    assert session.find(clip, Kind.PATH) is None
    assert session.find(clip, Kind.REGION) is None  # the whole picture needs no outline


def test_a_partial_run_replaces_its_rows_and_nothing_by_hand(run, session, clip, tiny_model):
    points = run(attention=False)
    whole = reference(clip, tiny_model).xy_px
    points.selected_data = {6}
    points._set_drag_start({6}, points.data[6])
    points._move([6], [6, 1, 2])
    run(attention=False, frames=range(5, 10), roi=Roi(0, 0, 50, 40))
    part = reference(clip, tiny_model, roi=Roi(0, 0, 50, 40), frames=range(5, 10)).xy_px
    found = convert.trajectory_of(points)
    assert found.frames.tolist() == list(range(20))
    assert found.xy_px[6].tolist() == [2, 1]
    np.testing.assert_allclose(found.xy_px[[5, 7, 8, 9]], part[[0, 2, 3, 4]])
    others = [*range(5), *range(10, 20)]
    np.testing.assert_allclose(found.xy_px[others], whole[others])
    assert found.table["origin"].tolist() == ["PREDICTED"] * 6 + ["CORRECTED"] + ["PREDICTED"] * 13
    names = [op.name for op in found.provenance.operations]
    assert names == ["track", "correct", "track"]
    region = session.find(clip, Kind.REGION)  # the region used is drawn
    assert str(drawings.roi_of(region.data[0], 56, 112)) == "0,0,50,40"


def test_a_correction_made_while_it_runs_is_kept(run, session, clip, in_a_loop):
    def correct_once(job):
        points = session.find(clip, Kind.TRAJECTORY)
        if points is not None and len(points.data) and points.data[0].tolist() != [0, 1, 2]:
            points._set_drag_start({0}, points.data[0])
            points._move([0], [0, 1, 2])

    in_a_loop.between = staticmethod(correct_once)
    points = run()
    found = convert.trajectory_of(points)
    assert found.xy_px[0].tolist() == [2, 1]
    assert found.by_hand.tolist() == [True] + [False] * 19


def test_cancelling_keeps_what_was_done(run, session, clip, in_a_loop):
    def cancel_after_some(job):
        if session.progress is not None:
            session.cancel()

    in_a_loop.between = staticmethod(cancel_after_some)
    points = run(path=True)
    found = convert.trajectory_of(points)
    assert 0 < len(found) < 20
    assert found.provenance.operations[-1].arguments["stopped"] is True
    assert "Stopped" in session.message
    assert not session.running
    assert len(session.find(clip, Kind.PATH).data) == len(found)


def test_removing_the_clip_stops_the_run(run, session, clip, in_a_loop):
    def remove(job):
        if clip in session.viewer.layers:
            session.viewer.layers.remove(clip)

    in_a_loop.between = staticmethod(remove)
    run()
    assert not session.running
    assert session.clips() == []


def test_a_failure_is_one_line_and_leaves_no_empty_layer(session, clip, in_a_loop, tiny_model):
    for wanted, told in (
        (Request("no-such-model"), "no model 'no-such-model'"),
        (Request(tiny_model, roi="preset:nothing"), "no preset 'nothing'"),
        (Request(tiny_model, roi=Roi(0, 0, 500, 40)), "reaches beyond"),
        (Request(tiny_model, roi="full", frames=range(15, 40)), "are not in a clip of 20"),
    ):
        TrackRun(session, clip, wanted).start()
        assert told in session.message
        assert "\n" not in session.message
        assert not session.running
        assert list(session.viewer.layers) == [clip]


def test_results_of_another_file_of_that_name_are_not_overwritten(
    run, session, clip, make_trajectory
):
    theirs = make_trajectory(n_frames=20, sha256="cd" * 32)
    made = convert.layer_of_trajectory(theirs, convert.Placement.of_layer(clip), "")
    points = session.viewer.add_layer(Layer.create(*made))
    assert session.clip_of(points) is None  # same name and size, other content
    layer = run()
    assert layer is not points
    assert convert.trajectory_of(points) is theirs


def test_a_clip_in_the_background_stays_there(run, session, clip, viewer, make_clip):
    other = viewer.add_layer(Layer.create(*clip_layer(make_clip("other.avi"))))
    points = run()
    assert session.active is other
    assert not points.visible
    assert viewer.layers.selection.active is other
    session.activate(clip)
    assert points.visible
    assert not session.find(clip, Kind.ATTENTION).visible  # one click on, as always


def test_a_stack_from_anywhere_is_tracked(session, viewer, tiny_model, in_a_loop):
    stack = np.random.default_rng(0).integers(0, 255, (4, 56, 112), np.uint8)
    layer = viewer.add_image(
        stack, rgb=False, scale=(0.02, 0.2, 0.2), units=("s", "mm", "mm"), name="stack"
    )
    TrackRun(session, layer, Request(tiny_model, device="cpu")).start()
    found = convert.trajectory_of(session.find(layer, Kind.TRAJECTORY))
    assert found.table["time_s"].tolist() == pytest.approx([0, 0.02, 0.04, 0.06])
    np.testing.assert_allclose(found.table["x_mm"], found.table["x_px"] * 0.2)


def test_notices_are_told_once_each(session):
    session.tell("shortened")
    session.tell("assumed")
    session.tell("shortened")
    assert session.message == "shortened\nassumed"


def test_with_flow_the_layers_hold_the_fused_path(run, clip, tiny_model, session):
    from napari_deepmtj.tracking.fusion import fuse

    found = convert.trajectory_of(run(fuse=True))
    with open_video(clip.data.source.path) as source:
        *_, done = fuse(reference(clip, tiny_model), source)
    np.testing.assert_allclose(found.xy_px, done.result.xy_px)
    assert [op.name for op in found.provenance.operations] == ["track", "fuse"]
    assert not session.running

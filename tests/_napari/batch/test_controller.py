"""The batch of a viewer, below Qt: layers, files, a rerun, results that are opened."""

import dataclasses

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_deepmtj._napari.batch import controller as module
from napari_deepmtj._napari.batch.controller import NO_FOLDER, NOTHING, batch_controller_of
from napari_deepmtj._napari.batch.entries import Wanted
from napari_deepmtj._napari.contributions.reader import clip_layer
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj.core.paths import attention_path
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.results.trajectory_file import read_trajectory
from napari_deepmtj.weights.store import load_model


@pytest.fixture
def controller(viewer, in_a_loop, monkeypatch, tiny_model):
    monkeypatch.setattr(module, "Job", in_a_loop)
    monkeypatch.setattr(module, "later", lambda callback: callback())
    return batch_controller_of(viewer)


@pytest.fixture
def wanted(tmp_path):
    return Wanted(out=tmp_path / "results", model="tiny", device="cpu", report=False)


@pytest.fixture
def frames():
    """Frames (t, y, x) of an array that is no file."""
    return np.random.default_rng(5).integers(0, 255, (6, 56, 112), dtype=np.uint8)


def states(controller):
    return {row.short: row.state for row in controller.rows}


def positions(source):
    """What `track` finds in a clip."""
    *_, done = track(source, load_model("tiny"), device="cpu")
    return done.result.table


def test_layers_are_tracked_as_track_would_and_get_points_attention_and_a_file(
    controller, viewer, session, make_clip, frames, scale, wanted, tmp_path
):
    video = viewer.add_layer(Layer.create(*clip_layer(make_clip(n_frames=7, scale=scale))))
    array = viewer.add_layer(Image(frames, name="array"))
    colour = np.repeat(frames[..., None], 3, axis=3)
    viewer.add_layer(Image(colour, name="colour", rgb=False))  # as napari shows it unasked
    controller.add_layers()
    assert controller.layers == (*viewer.layers,)[-3:]
    controller.choose(dataclasses.replace(wanted, attention="combined"))
    controller.start()
    assert "3 clips tracked, 0 kept, 0 failed" in controller.message
    assert set(states(controller).values()) == {"done"}
    assert controller.layers[0] is video
    assert controller.layers[1] is array
    for layer, name in zip(controller.layers, ("clip", "array", "colour"), strict=True):
        assert layer in viewer.layers
        points = session.find(layer, Kind.TRAJECTORY)
        found = convert.trajectory_of(points)
        expected = positions(clips.source_of(layer))
        np.testing.assert_allclose(found.xy_px, expected[["x_px", "y_px"]], rtol=1e-9)
        saved = read_trajectory(tmp_path / "results" / f"{name}.mtj.csv")
        np.testing.assert_array_equal(saved.xy_px, found.xy_px)
        assert (tmp_path / "results" / attention_path(f"{name}.mtj.csv")).is_file()
        attention = session.find(layer, Kind.ATTENTION)
        assert attention.data.shape[0] == len(found)
        assert attention.data.any()
    found = convert.trajectory_of(session.find(video, Kind.TRAJECTORY)).provenance.scale
    assert (found.x_mm, found.y_mm) == (scale.x_mm, scale.y_mm)


def test_layers_whose_results_are_there_already_get_them_shown(
    controller, viewer, make_clip, frames, wanted
):
    video, n_frames = make_clip(n_frames=3), 3
    for first in (True, False):
        there = viewer if first else ViewerModel()
        there.add_layer(Layer.create(*clip_layer(video)))
        there.add_layer(Image(frames[:n_frames], name="array"))
        again = controller if first else batch_controller_of(there)
        again.add_layers()
        again.choose(wanted)
        again.start()
        assert f"{2 * first} clips tracked, {2 * (not first)} kept" in again.message
        for layer in again.layers:
            points = session_of(there).find(layer, Kind.TRAJECTORY)
            assert len(convert.trajectory_of(points)) == n_frames


@pytest.fixture
def study(make_clip, tmp_path):
    """A folder of two clips of one name, and one that is none."""
    folder = tmp_path / "study"
    for subject, n_frames in (("S1", 5), ("S2", 6)):
        (folder / subject).mkdir(parents=True)
        make_clip(f"study/{subject}/rom.avi", n_frames=n_frames)
    whole = (folder / "S1" / "rom.avi").read_bytes()
    (folder / "broken.avi").write_bytes(whole[:300])
    return folder


def test_nothing_runs_without_clips_and_a_folder_for_results(controller, wanted, study):
    controller.choose(wanted)
    controller.start()
    assert controller.message == NOTHING
    controller.add_paths([study])
    controller.choose(Wanted())
    controller.look()
    assert controller.message == NO_FOLDER
    assert controller.plan is None


def test_a_folder_is_listed_run_and_done_again_only_where_it_must_be(controller, wanted, study):
    controller.add_paths([study])
    controller.choose(dataclasses.replace(wanted, pattern="(?P<subject>S[0-9]|broken)"))
    controller.look()
    assert [row.facts for row in controller.rows] == ["subject broken", "subject S1", "subject S2"]
    assert controller.rows.counts()["without a result"] == 3
    assert controller.rows.counts()["without a scale"] == 3
    controller.start()
    assert "2 clips tracked, 0 kept, 1 failed" in controller.message
    (failed,) = (row for row in controller.rows if row.failed)
    assert failed.short == "broken.avi"
    assert "broken.avi" in failed.note
    assert [row.frames for row in controller.rows if row.has_result] == [5, 6]
    controller.look()
    assert [row.state for row in controller.rows] == ["failed before", "done", "done"]
    assert controller.rows[0].note == failed.note
    assert controller.rows[1].flagged is not None
    controller.start()
    assert "0 clips tracked, 2 kept, 1 failed" in controller.message


def test_results_inside_the_folder_that_is_searched_are_no_clips(controller, wanted, study):
    controller.add_paths([study])
    controller.choose(dataclasses.replace(wanted, out=study / "out", include="*.avi"))
    (study / "out").mkdir()
    (study / "S1" / "rom.avi").replace(study / "out" / "rom.avi")
    controller.look()
    assert [row.clip.split("study/")[1] for row in controller.rows] == ["S2/rom.avi", "broken.avi"][
        ::-1
    ]


def test_a_result_opens_at_its_first_flagged_frame_and_corrections_survive_a_rerun(
    controller, viewer, session, wanted, study
):
    controller.add_paths([study / "S1", study / "S2"])
    controller.choose(wanted)
    controller.start()
    assert len(viewer.layers) == 0
    controller.open(1)  # of the same name as the other one
    assert [convert.kind_of(la) for la in viewer.layers] == [Kind.CLIP, Kind.TRAJECTORY]
    clip = session.active
    assert clips.source_of(clip).path == study / "S2" / "rom.avi"
    points = session.find(clip, Kind.TRAJECTORY)
    assert viewer.layers.selection.active is points
    flagged = [one.frame for one in controller.results.flagged()]
    assert flagged
    assert session.frame() == flagged[0]
    controller.results.step(forward=True)
    assert session.frame() == flagged[1]
    controller.results.step(forward=False)
    assert session.frame() == flagged[0]

    data = points.data.copy()
    data[2, 1:] = 11.0, 22.0
    points.data = data
    controller.open(0)
    assert session.active is not clip
    controller.open(1)  # open already: nothing is lost or doubled
    assert session.active is clip
    assert len(viewer.layers) == 4
    assert convert.trajectory_of(points).by_hand.sum() == 1

    controller.choose(dataclasses.replace(wanted, roi="10,5,80,40"))
    controller.start()
    assert "2 clips tracked" in controller.message
    saved = read_trajectory(wanted.out / "S2" / "rom.mtj.csv")
    assert saved.xy_px[2].tolist() == [22.0, 11.0]
    assert saved.by_hand.tolist() == [False, False, True, False, False, False]
    shown = convert.trajectory_of(points)
    np.testing.assert_allclose(shown.xy_px, saved.xy_px)
    assert str(saved.provenance.roi) == str(shown.provenance.roi) == "10,5,80,40"


def test_a_clip_that_was_changed_since_is_not_shown_with_its_result(
    controller, viewer, wanted, study
):
    controller.add_paths([study / "S1"])
    controller.choose(wanted)
    controller.start()
    (study / "S2" / "rom.avi").replace(study / "S1" / "rom.avi")
    controller.open(0)
    assert "has changed since it was tracked" in controller.message
    assert len(viewer.layers) == 0


def test_a_run_that_is_cancelled_keeps_what_is_done_and_goes_on(
    controller, wanted, study, monkeypatch
):
    controller.add_paths([study / "S1", study / "S2"])
    controller.choose(wanted)

    def after_the_first(job):
        if any(row.has_result for row in controller.rows):
            controller.cancel()

    with monkeypatch.context() as patch:
        patch.setattr(module.Job, "between", staticmethod(after_the_first))
        controller.start()
    assert controller.message.startswith("Stopped")
    assert not controller.running
    done = sum(row.has_result for row in controller.rows)
    controller.start()
    assert f"{2 - done} clips tracked, {done} kept" in controller.message


def test_a_run_is_held_and_goes_on(controller, wanted, study, monkeypatch):
    controller.add_paths([study / "S1"])
    controller.choose(wanted)
    seen = []

    def hold(job):
        if controller.paused:
            seen.append([row.state for row in controller.rows])
            if len(seen) > 3:
                controller.go_on()
        elif not seen and controller.rows and controller.can_pause:
            controller.pause()

    monkeypatch.setattr(module.Job, "between", staticmethod(hold))
    controller.start()
    assert len(seen) > 3
    assert seen[-1] == seen[1]  # nothing went on while it was held
    assert states(controller) == {"rom.avi": "done"}
    assert not controller.can_pause


def test_what_the_window_knows_of_a_clip_goes_with_it(
    controller, viewer, session, make_clip, frames, wanted, scale
):
    video = viewer.add_layer(Layer.create(*clip_layer(make_clip())))
    array = viewer.add_layer(
        Image(frames, name="array", scale=(1, 0.1, 0.2), units=("s", "mm", "mm"))
    )
    controller.add_layers()
    controller.choose(wanted)
    controller.look()
    assert [row.scale for row in controller.rows] == ["none", "napari layer"]
    assert controller.plan.tasks[0].request.roi == "auto"
    assert controller.plan.tasks[1].entry.source is clips.source_of(array)
    from napari_deepmtj._napari.calibration import controller as calibration

    calibration.apply_scale(session, video, scale)
    controller.look()
    assert controller.plan.tasks[0].request.scale == scale


def test_a_layer_that_was_closed_is_no_longer_part_of_it(controller, viewer, frames, wanted):
    layer = viewer.add_layer(Image(frames, name="array"))
    controller.add_layers()
    viewer.layers.remove(layer)
    assert controller.layers == ()

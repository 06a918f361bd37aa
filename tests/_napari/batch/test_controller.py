"""The batch of a viewer, below Qt: layers, files, a rerun, results that are opened."""

import dataclasses

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_deepmtj._napari.batch import controller as module
from napari_deepmtj._napari.batch.controller import NO_FOLDER, NOTHING, batching_of
from napari_deepmtj._napari.batch.entries import Wanted
from napari_deepmtj._napari.contributions.reader import clip_layer
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj.core.paths import attention_path
from napari_deepmtj.inference.backends.select import BACKEND_VARIABLE
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.results.trajectory_file import read_trajectory
from napari_deepmtj.weights.store import load_model


@pytest.fixture
def batching(viewer, in_a_loop, monkeypatch, tiny_model):
    monkeypatch.setattr(module, "Job", in_a_loop)
    monkeypatch.setattr(module, "later", lambda callback: callback())
    monkeypatch.setenv(BACKEND_VARIABLE, "torch")  # no time is spent on choosing one
    return batching_of(viewer)


@pytest.fixture
def wanted(tmp_path):
    return Wanted(out=tmp_path / "results", model="tiny", device="cpu", report=False)


@pytest.fixture
def frames():
    """Frames (t, y, x) of an array that is no file."""
    return np.random.default_rng(5).integers(0, 255, (6, 48, 96), dtype=np.uint8)


def states(batching):
    return {row.short: row.state for row in batching.rows}


def positions(source):
    """What `track` finds in a clip."""
    *_, done = track(source, load_model("tiny"), device="cpu")
    return done.result.table


def test_layers_are_tracked_as_track_would_and_get_points_attention_and_a_file(
    batching, viewer, session, make_clip, frames, scale, wanted, tmp_path
):
    video = viewer.add_layer(Layer.create(*clip_layer(make_clip(n_frames=7, scale=scale))))
    array = viewer.add_layer(Image(frames, name="array"))
    colour = np.repeat(frames[..., None], 3, axis=3)
    viewer.add_layer(Image(colour, name="colour", rgb=False))  # as napari shows it unasked
    batching.add_layers()
    assert batching.layers == (*viewer.layers,)[-3:]
    batching.choose(dataclasses.replace(wanted, attention="combined"))
    batching.start()
    assert "3 clips tracked, 0 kept, 0 failed" in batching.message
    assert set(states(batching).values()) == {"done"}
    assert batching.layers[0] is video
    assert batching.layers[1] is array
    for layer, name in zip(batching.layers, ("clip", "array", "colour"), strict=True):
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
    batching, viewer, make_clip, frames, wanted
):
    video, n_frames = make_clip(n_frames=3), 3
    for first in (True, False):
        there = viewer if first else ViewerModel()
        there.add_layer(Layer.create(*clip_layer(video)))
        there.add_layer(Image(frames[:n_frames], name="array"))
        again = batching if first else batching_of(there)
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


def test_nothing_runs_without_clips_and_a_folder_for_results(batching, wanted, study):
    batching.choose(wanted)
    batching.start()
    assert batching.message == NOTHING
    batching.add_paths([study])
    batching.choose(Wanted())
    batching.look()
    assert batching.message == NO_FOLDER
    assert batching.plan is None


def test_a_folder_is_listed_run_and_done_again_only_where_it_must_be(batching, wanted, study):
    batching.add_paths([study])
    batching.choose(dataclasses.replace(wanted, pattern="(?P<subject>S[0-9]|broken)"))
    batching.look()
    assert [row.facts for row in batching.rows] == ["subject broken", "subject S1", "subject S2"]
    assert batching.rows.counts()["without a result"] == 3
    assert batching.rows.counts()["without a scale"] == 3
    batching.start()
    assert "2 clips tracked, 0 kept, 1 failed" in batching.message
    (failed,) = (row for row in batching.rows if row.failed)
    assert failed.short == "broken.avi"
    assert "broken.avi" in failed.note
    assert [row.frames for row in batching.rows if row.has_result] == [5, 6]
    batching.look()
    assert [row.state for row in batching.rows] == ["failed before", "done", "done"]
    assert batching.rows[0].note == failed.note
    assert batching.rows[1].flagged is not None
    batching.start()
    assert "0 clips tracked, 2 kept, 1 failed" in batching.message


def test_results_inside_the_folder_that_is_searched_are_no_clips(batching, wanted, study):
    batching.add_paths([study])
    batching.choose(dataclasses.replace(wanted, out=study / "out", include="*.avi"))
    (study / "out").mkdir()
    (study / "S1" / "rom.avi").replace(study / "out" / "rom.avi")
    batching.look()
    assert [row.clip.split("study/")[1] for row in batching.rows] == ["S2/rom.avi", "broken.avi"][
        ::-1
    ]


def test_a_result_opens_at_its_first_flagged_frame_and_corrections_survive_a_rerun(
    batching, viewer, session, wanted, study
):
    batching.add_paths([study / "S1", study / "S2"])
    batching.choose(wanted)
    batching.start()
    assert len(viewer.layers) == 0
    batching.open(1)  # of the same name as the other one
    assert [convert.kind_of(la) for la in viewer.layers] == [Kind.CLIP, Kind.TRAJECTORY]
    clip = session.active
    assert clips.source_of(clip).path == study / "S2" / "rom.avi"
    points = session.find(clip, Kind.TRAJECTORY)
    assert viewer.layers.selection.active is points
    flagged = [one.frame for one in batching.results.flagged()]
    assert flagged
    assert session.frame() == flagged[0]
    batching.results.step(forward=True)
    assert session.frame() == flagged[1]
    batching.results.step(forward=False)
    assert session.frame() == flagged[0]

    data = points.data.copy()
    data[2, 1:] = 11.0, 22.0
    points.data = data
    batching.open(0)
    assert session.active is not clip
    batching.open(1)  # open already: nothing is lost or doubled
    assert session.active is clip
    assert len(viewer.layers) == 4
    assert convert.trajectory_of(points).by_hand.sum() == 1

    batching.choose(dataclasses.replace(wanted, roi="10,5,80,40"))
    batching.start()
    assert "2 clips tracked" in batching.message
    saved = read_trajectory(wanted.out / "S2" / "rom.mtj.csv")
    assert saved.xy_px[2].tolist() == [22.0, 11.0]
    assert saved.by_hand.tolist() == [False, False, True, False, False, False]
    shown = convert.trajectory_of(points)
    np.testing.assert_allclose(shown.xy_px, saved.xy_px)
    assert str(saved.provenance.roi) == str(shown.provenance.roi) == "10,5,80,40"


def test_a_clip_that_was_changed_since_is_not_shown_with_its_result(
    batching, viewer, wanted, study
):
    batching.add_paths([study / "S1"])
    batching.choose(wanted)
    batching.start()
    (study / "S2" / "rom.avi").replace(study / "S1" / "rom.avi")
    batching.open(0)
    assert "has changed since it was tracked" in batching.message
    assert len(viewer.layers) == 0


def test_a_run_that_is_cancelled_keeps_what_is_done_and_goes_on(
    batching, wanted, study, monkeypatch
):
    batching.add_paths([study / "S1", study / "S2"])
    batching.choose(wanted)

    def after_the_first(job):
        if any(row.has_result for row in batching.rows):
            batching.cancel()

    with monkeypatch.context() as patch:
        patch.setattr(module.Job, "between", staticmethod(after_the_first))
        batching.start()
    assert batching.message.startswith("Stopped")
    assert not batching.running
    done = sum(row.has_result for row in batching.rows)
    batching.start()
    assert f"{2 - done} clips tracked, {done} kept" in batching.message


def test_a_run_is_held_and_goes_on(batching, wanted, study, monkeypatch):
    batching.add_paths([study / "S1"])
    batching.choose(wanted)
    seen = []

    def hold(job):
        if batching.paused:
            seen.append([row.state for row in batching.rows])
            if len(seen) > 3:
                batching.go_on()
        elif not seen and batching.rows and batching.can_pause:
            batching.pause()

    monkeypatch.setattr(module.Job, "between", staticmethod(hold))
    batching.start()
    assert len(seen) > 3
    assert seen[-1] == seen[1]  # nothing went on while it was held
    assert states(batching) == {"rom.avi": "done"}
    assert not batching.can_pause


def test_what_the_window_knows_of_a_clip_goes_with_it(
    batching, viewer, session, make_clip, frames, wanted, scale
):
    video = viewer.add_layer(Layer.create(*clip_layer(make_clip())))
    array = viewer.add_layer(
        Image(frames, name="array", scale=(1, 0.1, 0.2), units=("s", "mm", "mm"))
    )
    batching.add_layers()
    batching.choose(wanted)
    batching.look()
    assert [row.scale for row in batching.rows] == ["none", "napari layer"]
    assert batching.plan.tasks[0].request.roi == "auto"
    assert batching.plan.tasks[1].entry.source is clips.source_of(array)
    from napari_deepmtj._napari.calibration import controller as calibration

    calibration.apply_scale(session, video, scale)
    batching.look()
    assert batching.plan.tasks[0].request.scale == scale


def test_a_layer_that_was_closed_is_no_longer_part_of_it(batching, viewer, frames, wanted):
    layer = viewer.add_layer(Image(frames, name="array"))
    batching.add_layers()
    viewer.layers.remove(layer)
    assert batching.layers == ()

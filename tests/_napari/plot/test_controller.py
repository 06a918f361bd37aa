"""The trajectories of a viewer over time, below Qt: the worker is a loop, everything else real."""

import numpy as np
import pytest
from napari.layers import Layer

from napari_deepmtj._napari.calibration import controller as calibration
from napari_deepmtj._napari.contributions.reader import clip_layer
from napari_deepmtj._napari.contributions.writer import save_result
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.plot import controller as over_time
from napari_deepmtj._napari.plot.channels import NO_DISPLACEMENT, NO_SIGNALS, NO_TIMES, WAYS
from napari_deepmtj._napari.plot.controller import BUSY, NOTHING, plot_controller_of
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.trajectory import Flag, Origin
from napari_deepmtj.results.trajectory_file import read_trajectory
from napari_deepmtj.tracking.gate import Limits, gate
from napari_deepmtj.tracking.series import Duration, flagged
from napari_deepmtj.tracking.smooth import Fill, smooth

N = 36
#: How far the point is away for a frame, in px: inside the picture still.
AWAY = 34.0


@pytest.fixture
def open_result(viewer, session, make_clip, make_trajectory, scale):
    """Open a clip and a result of it; the point is away for a frame at 20."""

    def made(name="clip.avi"):
        clip = viewer.add_layer(Layer.create(*clip_layer(make_clip(name, N, scale=scale))))
        trajectory = make_trajectory(N, scale, clip=name, sha256=clips.source_of(clip).sha256)
        table = trajectory.table
        for column in ("x_px", "x_raw_px"):
            table.loc[20, column] += AWAY
        layer = convert.layer_of_trajectory(
            type(trajectory)(table, trajectory.provenance),
            Placement.of_layer(clip),
            clips.id_of(clip),
        )
        return session.add(clip, layer)

    return made


@pytest.fixture
def state(viewer, in_a_loop, monkeypatch):
    monkeypatch.setattr(over_time, "Job", in_a_loop)
    return plot_controller_of(viewer)


def move(points, frame, y, x):
    """Correct the point of a frame, as dragging it does."""
    convert.show_trajectory(points, convert.trajectory_of(points).corrected(frame, (x, y)))


def test_what_the_gate_finds_is_listed_before_it_is_applied(viewer, state, open_result):
    points = open_result()
    before = convert.trajectory_of(points)
    state.look()
    assert plot_controller_of(viewer) is state
    wanted = gate(before)
    assert state.gated.findings.equals(wanted.findings)
    assert state.gated.findings["flag"].tolist() == ["not_in_view", "outlier"]
    assert convert.trajectory_of(points) is before
    state.set_limits(Limits(max_speed_mm_s=None, mad_factor=None))
    assert "outlier" not in state.gated.findings["flag"].tolist()


def test_the_gate_writes_flags_and_moves_nothing(state, open_result):
    points = open_result()
    move(points, 5, 20.0, 21.0)
    before, shown = convert.trajectory_of(points), points.data.copy()
    state.apply_gate()
    after = convert.trajectory_of(points)
    assert after.frames[flagged(after, [Flag.OUTLIER])].tolist() == [20]
    np.testing.assert_array_equal(points.data, shown)
    assert after.xy_px[5].tolist() == [21.0, 20.0]
    assert points.features["flags"].tolist()[19] == "outlier"  # frame 3 has no point
    assert [op.name for op in after.provenance.operations] == ["track", "correct", "gate"]
    assert state.message == f"2 of {N} frames are flagged."
    state.undo()
    assert convert.trajectory_of(points) is before
    assert state.message == "Undone: the gate."
    assert state.undoable() == ""


def test_smoothing_shows_in_the_layer_and_is_saved(state, open_result, tmp_path):
    points = open_result()
    move(points, 5, 7.0, 8.0)
    state.apply_gate()
    gated = convert.trajectory_of(points)
    state.method, state.max_gap = Fill(), Duration.frames(2)
    state.smooth()
    wanted = smooth(gated, Fill(), max_gap=Duration.frames(2)).trajectory
    after = convert.trajectory_of(points)
    np.testing.assert_array_equal(after.xy_px, wanted.xy_px)
    assert points.data[points.data[:, 0] == 20][0, 2] == pytest.approx(50.0)
    assert after.table["origin"].tolist()[3] == Origin.INTERPOLATED
    assert state.message == "Smoothed: 2 frames filled, 0 have no position."
    saved = read_trajectory(save_result(points, None, tmp_path))
    np.testing.assert_allclose(saved.xy_px, wanted.xy_px)
    assert saved.xy_px[5].tolist() == [8.0, 7.0]
    assert saved.table["x_raw_px"].tolist()[20] == pytest.approx(50 + AWAY)
    state.unsmooth()
    np.testing.assert_array_equal(convert.trajectory_of(points).xy_px, gated.xy_px)


def test_nothing_a_person_did_is_lost_by_undo(state, open_result):
    points = open_result()
    state.smooth()
    move(points, 8, 3.0, 4.0)
    corrected = convert.trajectory_of(points)
    assert state.undoable() == ""
    state.undo()
    assert convert.trajectory_of(points) is corrected
    assert state.message == "There is nothing to undo."


def test_a_result_that_changes_meanwhile_is_not_replaced(state, open_result, monkeypatch):
    points = open_result()
    before = convert.trajectory_of(points)

    class Meanwhile(over_time.Job):
        def start(self):
            if convert.trajectory_of(points) is before:
                move(points, 8, 3.0, 4.0)
            super().start()

    monkeypatch.setattr(over_time, "Job", Meanwhile)
    state.smooth()
    after = convert.trajectory_of(points)
    assert [op.name for op in after.provenance.operations] == ["track", "correct"]
    assert "changed meanwhile" in state.message


def test_nothing_is_changed_while_a_job_runs_or_nothing_is_there(state, session, open_result):
    state.smooth()
    assert state.message == NOTHING
    points = open_result()
    before = convert.trajectory_of(points)
    session.running = True
    for act in (state.smooth, state.unsmooth, state.apply_gate):
        act()
        assert state.message == BUSY
    state.look()
    assert state.gated is None
    assert convert.trajectory_of(points) is before


def test_a_failure_is_told(state, open_result):
    open_result()
    state.set_limits(Limits(mad_factor=-1.0))
    assert "impossible" in state.message
    assert not state.running


def test_slider_and_plot_show_the_same_frame(state, session, open_result):
    open_result()
    session.go_to(10)
    assert state.cursor() == pytest.approx(10 / 25)
    state.jump(0.71)
    assert session.frame() == 18


def test_a_finding_of_a_clip_shows_that_clip(state, session, open_result):
    open_result("a.avi")
    first = session.active
    open_result("b.avi")
    assert session.active is not first
    session.activate(first)
    state.look_at(20)
    assert (session.active, session.frame()) == (first, 20)


def test_several_clips_are_overlaid_the_active_one_first(state, session, open_result):
    a = open_result("a.avi")
    first = session.active
    b = open_result("b.avi")
    assert [t.clip for t in state.timelines()] == ["b.avi"]
    state.overlay(a, True)
    assert [t.clip for t in state.timelines()] == ["b.avi", "a.avi"]
    session.activate(first)
    state.overlay(b, True)
    assert [t.clip for t in state.timelines()] == ["a.avi", "b.avi"]
    state.overlay(b, False)
    session.viewer.layers.remove(a)
    assert state.timelines() == []


def test_a_result_without_its_clip_is_shown_too(viewer, state, make_trajectory, scale):
    made = convert.layer_of_trajectory(
        make_trajectory(8, scale), Placement.of_layer(viewer.add_image(np.zeros((8, 4, 4)))), ""
    )
    viewer.add_layer(Layer.create(*made))
    assert [t.clip for t in state.timelines()] == ["clip.avi"]
    assert len(state.times()) == 8


def test_curves_follow_scale_and_distal_side(state, session, open_result):
    open_result()
    changes = []
    state.changed.connect(lambda: changes.append(1))
    before = state.timelines()[0]
    assert state.timelines()[0] is before  # nothing is computed twice
    assert "displacement" not in before.curves
    state.set_distal_side("left")
    assert changes
    timeline = state.timelines()[0]
    assert timeline.curves["displacement"].values[1] == pytest.approx(0.4)
    calibration.apply_scale(session, session.active, Scale(0.4, 0.1, "by hand"))
    assert state.timelines()[0].curves["x"].values[0] == pytest.approx(4.0)


def test_a_move_by_hand_is_a_change(state, open_result):
    points = open_result()
    changes = []
    state.changed.connect(lambda: changes.append(1))
    move(points, 8, 3.0, 4.0)
    assert changes
    assert state.timelines()[0].marks_at(8) == ["corrected"]


def test_channels_are_read_and_brought_to_the_clip(state, open_result, tmp_path):
    state.signals.synchronise("shared clock", "")
    assert state.message == NO_SIGNALS
    open_result()
    path = tmp_path / "torque.csv"
    t = np.arange(0, 1.6, 0.01)
    rows = [f"{a:.2f},{int(a >= 0.5)},{3 * a:.4f}" for a in t]
    path.write_text("\n".join(["time (s),trigger (V),torque (Nm)", *rows]), encoding="utf-8")
    state.signals.read(path)
    timeline = state.timelines()[0]
    assert timeline.curves["torque"].unit == "Nm"
    assert timeline.at(10)["torque"][0] == pytest.approx(1.2)
    state.signals.synchronise("trigger", "trigger", 0.1)
    assert state.message == "trigger: shifted by -0.3950 s"
    assert state.timelines()[0].at(10)["torque"][0] == pytest.approx(3 * 0.795)
    state.signals.synchronise("cross-correlation", "torque")
    assert state.message == NO_DISPLACEMENT
    state.signals.remove()
    assert "torque" not in state.timelines()[0].curves


def test_channels_are_not_synchronised_with_frame_numbers(state, open_result, tmp_path):
    points = open_result()
    path = tmp_path / "torque.csv"
    path.write_text("time (s),torque (Nm)\n0,1\n1,2\n", encoding="utf-8")
    state.signals.read(path)
    before = convert.trajectory_of(points)
    convert.show_trajectory(points, before.changed({"time_s": np.full(N, np.nan)}, "test"))
    recording = state.signals.shown()
    for how in WAYS:
        state.signals.synchronise(how, "torque")
        assert state.message == NO_TIMES
    assert state.signals.shown() is recording


def test_a_plot_is_saved_in_three_formats_and_no_other(state, open_result, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    open_result()
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        path = tmp_path / f"plot{suffix}"
        state.save_plot(path, ("x", "y"), (0.0, 1.0))
        assert path.read_bytes().startswith(start)
        assert state.message == f"Saved {path}"
    state.save_plot(tmp_path / "plot.bmp", ("x",), (0.0, 1.0))
    assert "saved as" in state.message
    assert not (tmp_path / "plot.bmp").exists()


def test_a_result_is_exported_to_other_programs(state, open_result, tmp_path):
    open_result()
    state.export(tmp_path / "a-tidy.csv", "tidy")
    assert (tmp_path / "a-tidy.csv").exists()
    assert state.message.startswith(f"Saved {tmp_path / 'a-tidy.csv'}")
    assert convert.kind_of(state.shown()) is Kind.TRAJECTORY

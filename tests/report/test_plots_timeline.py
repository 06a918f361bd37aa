"""What is shown over time, as numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.mechanics.channels import Channels
from napari_deepmtj.mechanics.excursion import excursion
from napari_deepmtj.mechanics.motion import motion
from napari_deepmtj.report.timeline import (
    NO_SIDE,
    Mark,
    Timeline,
    describe_motion,
    nearest,
)
from napari_deepmtj.tracking.gate import Limits, gate
from napari_deepmtj.tracking.series import Duration
from napari_deepmtj.tracking.smooth import Fill, smooth


def test_curves_are_in_the_unit_of_the_scale(trajectory: Trajectory) -> None:
    timeline = Timeline.of(trajectory, "left")
    np.testing.assert_allclose(timeline.curves["x"].values[:3], [6.0, 6.3, 6.6])
    np.testing.assert_allclose(timeline.curves["y"].spread[:3], 2 * 0.2)
    assert [c.unit for c in timeline.curves.values()] == ["mm", "mm", "mm", "mm/s", ""]
    assert (timeline.time_unit, timeline.length_unit) == ("s", "mm")


def test_mechanics_are_those_of_tracking(trajectory: Trajectory) -> None:
    timeline, wanted = Timeline.of(trajectory, "right"), motion(trajectory, "right")
    np.testing.assert_array_equal(timeline.curves["displacement"].values, wanted.displacement)
    np.testing.assert_array_equal(timeline.curves["velocity"].values, wanted.velocity)
    # positive proximally, which is to the left where the right side is distal
    assert timeline.curves["displacement"].values[3] < 0


def test_the_spread_of_the_displacement_is_along_the_axis(trajectory: Trajectory) -> None:
    timeline = Timeline.of(trajectory, "left")
    a = motion(trajectory, "left").axis.direction
    mm2 = np.array([[9 * 0.1**2, 2 * 0.1 * 0.2], [2 * 0.1 * 0.2, 4 * 0.2**2]])
    np.testing.assert_allclose(timeline.curves["displacement"].spread[0], np.sqrt(a @ mm2 @ a))
    assert np.isnan(timeline.curves["displacement"].spread[timeline.frames == 15]).all()


def test_without_the_distal_side_there_is_a_question_instead(trajectory: Trajectory) -> None:
    timeline = Timeline.of(trajectory)
    assert list(timeline.curves) == ["x", "y", "confidence"]
    assert describe_motion(timeline, None) == NO_SIDE


def test_raw_values_are_there_where_they_differ(trajectory: Trajectory) -> None:
    timeline = Timeline.of(trajectory, "left")
    raw, row = timeline.curves["x"].raw, timeline.frames == 15
    assert np.isfinite(raw).tolist() == row.tolist()
    np.testing.assert_allclose(raw[row], (60 + 3 * 15) * 0.1)
    along = motion(trajectory, "left").axis.direction
    moved = timeline.curves["displacement"]
    away = np.array([(105 - 90) * 0.1, (47.5 - 60) * 0.2]) @ along
    np.testing.assert_allclose(moved.raw[row] - moved.values[row], away)


def test_rows_are_marked_by_origin_and_flag(trajectory: Trajectory) -> None:
    filled = smooth(trajectory, Fill(), max_gap=Duration.frames(1)).trajectory
    slow = gate(filled, Limits(max_sd_mm=0.1)).trajectory
    marks = Timeline.of(slow).marks
    assert slow.frames[marks[Mark.CORRECTED]].tolist() == [15]
    assert slow.frames[marks[Mark.INTERPOLATED]].tolist() == [12]
    assert set(slow.frames[marks[Mark.FLAGGED]]) >= {0, 1, 2}
    assert not marks[Mark.MANUAL].any()
    assert not marks[Mark.REFILLED].any()


def test_missing_frames_are_breaks_and_a_frame_has_its_values(trajectory: Trajectory) -> None:
    timeline = Timeline.of(trajectory, "left")
    assert timeline.frames[timeline.breaks].tolist() == [9]
    assert timeline.at(3)["x"] == (pytest.approx(6.9), "mm")
    assert timeline.at(7) == {}
    assert "x" not in timeline.at(12)
    assert timeline.marks_at(15) == [Mark.CORRECTED]
    assert timeline.marks_at(7) == []


def test_without_scale_and_times_it_says_px_and_frames(
    make_trajectory: Callable[..., Trajectory],
) -> None:
    timeline = Timeline.of(make_trajectory(None, FrameTimes.unknown(20)), "left")
    assert (timeline.time_unit, timeline.length_unit) == ("frame", "px")
    assert timeline.curves["velocity"].unit == "px/frame"
    np.testing.assert_array_equal(timeline.t, timeline.frames)


def test_channels_keep_their_times_and_names(trajectory: Trajectory) -> None:
    times = np.arange(100) / 100
    channels = Channels(times, {"torque": 2 * times, "x": times}, {"torque": "Nm", "x": ""})
    timeline = Timeline.of(trajectory, channels=channels)
    assert list(timeline.curves)[-2:] == ["torque", "x (channel)"]
    assert timeline.at(5)["torque"] == (pytest.approx(2 * 5 / 25), "Nm")


def test_motion_is_said_in_one_line(make_trajectory: Callable[..., Trajectory]) -> None:
    base = make_trajectory()
    t = np.arange(len(base)) * 0.5
    whole = base.table.assign(
        frame=np.arange(len(base)),
        time_s=t,
        x_px=100 - 10 * np.cos(t * 2),
        y_px=50.0,
        x_raw_px=100 - 10 * np.cos(t * 2),
        y_raw_px=50.0,
        origin="PREDICTED",
    )
    shown = Trajectory(whole, base.provenance)
    timeline = Timeline.of(shown, "left")
    moved = timeline.motion
    assert moved is not None
    assert describe_motion(timeline, None).startswith("excursion: working it out; ")
    said = describe_motion(timeline, excursion(shown, "left"))
    assert float(said.split()[1]) == pytest.approx(20, rel=0.05)
    assert f" px (raw {moved.excursion:.1f}" in said
    slow, fast = moved.peak_velocity
    assert said.endswith(f"peak velocity {fast:.1f} px/s proximally, {-slow:.1f} distally")
    assert "2 full cycles of" in said


def test_a_path_straight_down_says_why_it_has_no_mechanics(trajectory: Trajectory) -> None:
    down = Trajectory(trajectory.table.assign(x_px=60.0), trajectory.provenance)
    assert "straight up and down" in describe_motion(Timeline.of(down, "left"), None)


def test_the_nearest_time() -> None:
    times = np.array([0.0, 0.1, 0.4])
    assert [nearest(times, t) for t in (-1.0, 0.06, 0.3, 9.0)] == [0, 1, 2, 2]
    assert nearest(np.empty(0), 1.0) == -1

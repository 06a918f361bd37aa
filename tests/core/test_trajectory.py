from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import (
    COLUMNS,
    Flag,
    FramePrediction,
    Origin,
    Trajectory,
    join_flags,
)
from napari_deepmtj.errors import ResultError

TIMES = FrameTimes.from_rate(10, 25, "container")


def predictions(
    frames: Iterable[int], x: float = 100.0, hidden: Iterable[int] = ()
) -> list[FramePrediction]:
    cov = np.array([[4.0, 1.0], [1.0, 9.0]])
    hidden = set(hidden)
    return [
        FramePrediction(f, x + f, 50.0, cov, 0.9, f not in hidden)
        if f not in hidden
        else FramePrediction(f, 1.0, 1.0, cov, 0.1, False, (Flag.NOT_IN_VIEW,))
        for f in frames
    ]


def trajectory(
    frames: Iterable[int] = range(10),
    x: float = 100.0,
    hidden: Iterable[int] = (),
    scale: Scale | None = None,
    sha: str = "aa",
) -> Trajectory:
    provenance = Provenance("a.avi", sha, 10, 100, 300, scale=scale).and_then("track", x=x)
    return Trajectory.from_predictions(predictions(frames, x, hidden), TIMES, provenance)


def test_predictions_become_rows_in_order_of_frames() -> None:
    made = trajectory([3, 1, 2], scale=Scale(0.1, 0.2, "test"))
    assert tuple(made.table.columns) == COLUMNS
    assert made.frames.tolist() == [1, 2, 3]
    row = made.table.iloc[0]
    assert row.time_s == pytest.approx(0.04)
    assert (row.x_px, row.y_px, row.x_raw_px, row.y_raw_px) == (101, 50, 101, 50)
    assert (row.x_mm, row.y_mm) == pytest.approx((10.1, 10.0))
    assert (row.sd_x_px, row.sd_y_px, row.cov_xy_px2) == (2, 3, 1)
    # root of the covariance's trace: sqrt((2 * 0.1)^2 + (3 * 0.2)^2)
    assert row.sd_mm == pytest.approx(np.sqrt(0.04 + 0.36))
    assert row.origin == "PREDICTED"
    assert row["flags"] == ""


def test_what_is_not_in_view_is_nan_and_never_zero() -> None:
    made = trajectory(hidden=[4], scale=Scale.isotropic(0.1, "test"))
    row = made.table.iloc[4]
    numbers = ["x_px", "y_px", "x_mm", "y_mm", "sd_x_px", "sd_y_px", "cov_xy_px2", "sd_mm"]
    assert row[[*numbers, "x_raw_px", "y_raw_px"]].isna().all()
    assert not row.in_view
    assert row["flags"] == "not_in_view"
    assert np.isnan(made.xy_px[4]).all()
    assert np.isfinite(np.delete(made.xy_px, 4, axis=0)).all()


def test_without_a_scale_there_are_no_millimetres() -> None:
    table = trajectory().table
    assert table[["x_mm", "y_mm", "sd_mm"]].isna().all(axis=None)


def test_without_times_there_are_no_seconds() -> None:
    made = Trajectory.from_predictions(
        predictions(range(3)), FrameTimes.unknown(3), Provenance("a.png", "aa", 3, 9, 9)
    )
    assert made.table["time_s"].isna().all()


def test_a_trajectory_of_no_frames() -> None:
    made = trajectory([], scale=Scale.isotropic(0.1, "test"))
    assert len(made) == 0
    assert made.xy_px.shape == (0, 2)


def test_missing_columns_are_named() -> None:
    table = trajectory().table.drop(columns=["flags", "sd_mm"])
    with pytest.raises(ResultError, match="sd_mm, flags"):
        Trajectory(table, Provenance("a", "aa", 10, 1, 1))


@pytest.mark.parametrize("frames", [[0, 0, 1], [1, 0, 2]])
def test_frames_twice_or_out_of_order_are_refused(frames: list[int]) -> None:
    table = trajectory(range(3)).table.assign(frame=frames)
    with pytest.raises(ResultError, match="increase"):
        Trajectory(table, Provenance("a", "aa", 10, 1, 1))


def test_another_scale_changes_millimetres_only_and_is_logged() -> None:
    before = trajectory(hidden=[2])
    after = before.rescaled(Scale(0.1, 0.2, "calibration line"))
    np.testing.assert_allclose(after.table["x_mm"], before.table["x_px"] * 0.1)
    np.testing.assert_allclose(after.table["y_mm"], before.table["y_px"] * 0.2)
    sd_mm = np.hypot(before.table["sd_x_px"] * 0.1, before.table["sd_y_px"] * 0.2)
    np.testing.assert_allclose(after.table["sd_mm"], sd_mm)
    rest = [name for name in after.table if not str(name).endswith("_mm")]
    pd.testing.assert_frame_equal(after.table[rest], before.table[rest])
    assert after.provenance.scale == Scale(0.1, 0.2, "calibration line")
    last = after.provenance.operations[-1]
    new = {"x_mm_per_px": 0.1, "y_mm_per_px": 0.2, "source": "calibration line"}
    assert last.name == "scale changed"
    assert (last.arguments["old"], last.arguments["new"]) == (None, new)
    again = after.rescaled(None)
    assert again.table[["x_mm", "y_mm", "sd_mm"]].isna().all(axis=None)
    assert again.provenance.operations[-1].arguments["old"] == new
    assert before.table["x_mm"].isna().all()


def tracked_with(scale: Scale | None, definition: str, network_px: float) -> Trajectory:
    """The region of 200 x 100 px was 64 x 40 px in the network, so pixels are not square."""
    before = trajectory(scale=scale)
    provenance = before.provenance.and_then(
        "track",
        roi={"x_y_width_height": "10,20,200,100", "source": "drawn"},
        pixel_map={"content_width": 64, "content_height": 40},
        tolerance={"definition": definition, "network_px": network_px},
    )
    return replace(before, provenance=provenance)


def test_a_confidence_keeps_the_radius_that_it_was_computed_for() -> None:
    scale = Scale(0.1, 0.125, "DICOM region")  # 64 px are 20 mm, 40 px are 12.5 mm
    before = tracked_with(scale, "5.0 mm", 16.0)
    (tolerance,) = before.provenance.tolerances
    assert tolerance.radius_px == pytest.approx((50.0, 40.0))
    assert tolerance.mm(scale) == pytest.approx(5.0)
    assert tolerance.describe(scale) == "5 mm"
    half = Scale(0.05, 0.0625, "calibration line")
    after = before.rescaled(half)
    np.testing.assert_array_equal(after.table["confidence"], before.table["confidence"])
    (told,) = after.provenance.operations[-1].arguments["confidence"]
    assert told["tolerance_when_tracked"] == "5.0 mm"
    assert told["radius_mm"] == pytest.approx(2.5)
    assert after.provenance.tolerances == (tolerance,)
    assert tolerance.describe(half).startswith("2.50 mm (5 mm of the scale it was tracked with")
    assert tolerance.describe(None) == "44.7 px"


def test_a_share_of_the_width_is_one_under_every_scale() -> None:
    before = tracked_with(None, "0.063 of the region's width", 4.032)
    (tolerance,) = before.rescaled(Scale(0.1, 0.1, "line")).provenance.tolerances
    assert tolerance.describe(Scale(0.1, 0.1, "line")) == "6.3% of the region's width"


def test_a_tolerance_of_which_no_frame_is_left_is_forgotten() -> None:
    provenance = Provenance("a.avi", "aa", 10, 100, 300)
    radii = []
    for start, stop, radius, stopped in (
        (0, 10, 1.0, False),
        (0, 5, 2.0, False),
        (5, 10, 3.0, True),
        (5, 10, 4.0, False),
    ):
        provenance = provenance.and_then(
            "track",
            frames={"start": start, "stop": stop, "step": 1},
            roi={"x_y_width_height": "0,0,10,10"},
            pixel_map={"content_width": 10, "content_height": 10},
            tolerance={"definition": "5.0 mm", "network_px": radius},
            **({"stopped": True} if stopped else {}),
        )
        radii.append([tolerance.radius_px[0] for tolerance in provenance.tolerances])
    assert radii == [[1], [2, 1], [3, 2, 1], [4, 2]]


def test_a_log_that_does_not_say_has_no_tolerance() -> None:
    before = trajectory()
    odd = before.provenance.and_then("track", roi="everything").and_then("correct", frame=1)
    assert odd.tolerances == ()


def test_a_run_with_another_scale_brings_the_old_rows_to_it_and_says_so() -> None:
    old, new = Scale(0.1, 0.1, "side-car"), Scale(0.2, 0.3, "calibration line")
    merged = trajectory(range(6), scale=old).updated_by(trajectory(range(2, 4), scale=new))
    np.testing.assert_allclose(merged.table["x_mm"], merged.table["x_px"] * 0.2)
    assert [op.name for op in merged.provenance.operations].count("scale changed") == 1
    same = Scale(0.1, 0.1, "side-car (side-car)")
    merged = trajectory(range(6), scale=old).updated_by(trajectory(range(2, 4), scale=same))
    assert "scale changed" not in [op.name for op in merged.provenance.operations]


def test_a_later_state_of_a_result_keeps_its_log_as_it_was_made() -> None:
    before = trajectory(range(6), scale=Scale(0.1, 0.1, "side-car"))
    after = before.corrected(2, (7, 8)).rescaled(Scale(0.2, 0.3, "calibration line"))
    merged = before.updated_by(after)
    assert merged.provenance == after.provenance
    np.testing.assert_allclose(merged.table["y_mm"], merged.table["y_px"] * 0.3)


def test_a_correction_replaces_one_row_and_keeps_the_raw_value() -> None:
    before = trajectory(scale=Scale(0.1, 0.2, "test"))
    after = before.corrected(5, (7.5, 8.0))
    row = after.table.iloc[5]
    assert (row.x_px, row.y_px) == (7.5, 8.0)
    assert (row.x_mm, row.y_mm) == pytest.approx((0.75, 1.6))
    assert (row.x_raw_px, row.y_raw_px) == (105, 50)
    assert row.origin == "CORRECTED"
    assert (row.confidence, bool(row.in_view)) == (1.0, True)
    assert np.isnan(row.sd_mm)
    others = [i for i in range(10) if i != 5]
    pd.testing.assert_frame_equal(
        after.table.iloc[others], before.table.iloc[others], check_dtype=False
    )
    assert after.by_hand.tolist() == [i == 5 for i in range(10)]
    assert before.table.iloc[5].x_px == 105
    assert after.provenance.operations[-1].arguments == {"frame": 5, "xy_px": [7.5, 8.0]}


def test_a_point_can_be_said_not_to_be_in_view_and_back() -> None:
    hidden = trajectory().corrected(5, None, Origin.MANUAL)
    row = hidden.table.iloc[5]
    assert np.isnan([row.x_px, row.y_px]).all()
    assert (bool(row.in_view), row["flags"], row.origin) == (False, "not_in_view", "MANUAL")
    shown = hidden.corrected(5, (1, 2))
    assert shown.table["flags"].iloc[5] == ""
    assert bool(shown.table.iloc[5].in_view)


def test_correcting_a_frame_that_is_not_there_names_it() -> None:
    with pytest.raises(ResultError, match="frame 11"):
        trajectory().corrected(11, (1, 2))


def test_a_newer_run_replaces_its_rows_and_no_others() -> None:
    old = trajectory(range(10), x=100)
    both = old.updated_by(trajectory(range(3, 6), x=200))
    expected = [100 + f if not 3 <= f < 6 else 200 + f for f in range(10)]
    np.testing.assert_array_equal(both.table["x_px"], expected)
    assert [op.arguments["x"] for op in both.provenance.operations] == [100, 200]


def test_rows_made_by_hand_survive_every_run() -> None:
    old = trajectory().corrected(4, (7, 8)).corrected(5, None, Origin.MANUAL)
    both = old.updated_by(trajectory(x=200))
    assert both.table["x_px"].iloc[4] == 7
    assert np.isnan(both.table["x_px"].iloc[5])
    assert both.table["origin"].iloc[4] == "CORRECTED"
    assert both.table["x_px"].iloc[3] == 203
    assert len(both) == 10


def test_a_newer_run_may_bring_new_frames() -> None:
    both = trajectory([0, 2]).updated_by(trajectory([1, 3]))
    assert both.frames.tolist() == [0, 1, 2, 3]


def test_updating_an_empty_trajectory_and_by_an_empty_one() -> None:
    empty, full = trajectory([]), trajectory()
    assert len(empty.updated_by(full)) == 10
    assert len(full.updated_by(empty)) == 10


def test_kept_rows_get_the_millimetres_of_the_newer_scale() -> None:
    old = trajectory(scale=Scale.isotropic(0.1, "test")).corrected(0, (10, 20))
    both = old.updated_by(trajectory([1], scale=Scale.isotropic(0.2, "test")))
    np.testing.assert_allclose(both.table["x_mm"], both.table["x_px"] * 0.2)


def test_a_result_of_another_file_is_not_mixed_in() -> None:
    with pytest.raises(ResultError, match="another file named"):
        trajectory(sha="aa").updated_by(trajectory(sha="bb"))


def test_columns_keep_their_types_whatever_is_done() -> None:
    made = trajectory(hidden=[3], scale=Scale.isotropic(0.1, "test"))
    done = made.corrected(4, None).corrected(5, (1, 2)).updated_by(trajectory(range(6, 8)))
    for name in COLUMNS:
        expected = {"frame": "int64", "in_view": "bool"}.get(name, "float64")
        if name not in {"origin", "flags"}:
            assert str(made.table[name].dtype) == expected, name
            assert str(done.table[name].dtype) == expected, name
    assert all(isinstance(value, str) for value in done.table["flags"])


def test_flags_are_joined_by_semicolons() -> None:
    assert join_flags([Flag.NOT_IN_VIEW, Flag.OUTSIDE_ROI]) == "not_in_view;outside_roi"
    assert join_flags([]) == ""


def test_new_columns_bring_millimetres_and_the_log_with_them() -> None:
    made = trajectory(scale=Scale(0.1, 0.2, "test"))
    done = made.changed({"x_px": np.arange(10.0)}, "shift", by=3)
    assert done.table["x_mm"].to_numpy() == pytest.approx(np.arange(10) * 0.1)
    assert done.provenance.operations[-1].name == "shift"
    assert done.provenance.operations[-1].arguments == {"by": 3}
    assert made.table["x_px"][0] == 100


@pytest.mark.parametrize("column", ["x_raw_px", "y_px"])
def test_new_columns_leave_raw_values_and_what_a_person_set(column: str) -> None:
    made = trajectory().corrected(4, (1.0, 2.0))
    values = made.table[column].to_numpy(dtype=float).copy()
    values[4] += 1e-9
    with pytest.raises(ResultError, match="shift must not change"):
        made.changed({column: values}, "shift")

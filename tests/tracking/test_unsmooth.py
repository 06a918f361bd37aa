"""Smoothing can be taken away, whatever it was."""

import numpy as np
import pytest

from napari_deepmtj.core.trajectory import Flag, Origin
from napari_deepmtj.tracking.gate import gate
from napari_deepmtj.tracking.smooth import AuthorsChain, Fill, Hampel, Kalman, SavitzkyGolay, smooth
from napari_deepmtj.tracking.unsmooth import unsmooth


@pytest.fixture
def tracked(made):
    t = np.arange(60) / 25
    rng = np.random.default_rng(3)
    xy = np.column_stack([300 + 40 * np.sin(2 * t), 100 + 4 * np.sin(2 * t)])
    xy += rng.normal(0, 1, xy.shape)
    xy[30] += 200
    xy[[10, 11, 45]] = np.nan
    return made(xy, t)


@pytest.mark.parametrize("method", [Kalman(), Fill(), Hampel(), AuthorsChain()])
def test_positions_are_as_before(tracked, method):
    flagged = gate(tracked.corrected(20, (1, 2))).trajectory
    back = unsmooth(smooth(flagged, method).trajectory)
    np.testing.assert_array_equal(back.xy_px, flagged.xy_px)
    for name in ("origin", "flags", "in_view"):
        assert back.table[name].tolist() == flagged.table[name].tolist(), name
    assert [op.name for op in back.provenance.operations][-2:] == ["smooth", "unsmooth"]


def test_only_rows_that_smoothing_filled_lose_their_spread(tracked):
    flagged = gate(tracked).trajectory
    back = unsmooth(smooth(flagged, Fill()).trajectory)
    lost = back.table["sd_x_px"].isna() & flagged.table["sd_x_px"].notna()
    assert back.frames[lost].tolist() == [30]
    assert back.provenance.operations[-1].arguments == {"restored": 57, "emptied": 3}


def test_what_a_person_set_and_what_flow_refilled_stays(tracked):
    smoothed = smooth(tracked.corrected(20, (1, 2)).corrected(21, None), Kalman()).trajectory
    origin = smoothed.table["origin"].to_numpy(dtype=object).copy()
    origin[25] = Origin.REFILLED.value
    refilled = smoothed.changed({"origin": origin}, "refill")
    back = unsmooth(refilled)
    assert back.xy_px[20].tolist() == [1, 2]
    assert np.isnan(back.xy_px[21]).all()
    np.testing.assert_array_equal(back.xy_px[25], refilled.xy_px[25])
    assert back.table["origin"].iloc[25] == Origin.REFILLED


def test_smoothing_leaves_what_flow_refilled_as_it_stands(tracked):
    origin = tracked.table["origin"].to_numpy(dtype=object).copy()
    x = tracked.table["x_px"].to_numpy().copy()
    origin[20:30], x[20:30] = Origin.REFILLED.value, x[20:30] + 5
    refilled = tracked.changed({"origin": origin, "x_px": x}, "refill")
    for method in (Kalman(), SavitzkyGolay()):
        once = smooth(refilled, method).trajectory
        np.testing.assert_array_equal(once.xy_px[20:30], refilled.xy_px[20:30])
        np.testing.assert_array_equal(smooth(once, method).trajectory.xy_px, once.xy_px)
        np.testing.assert_array_equal(unsmooth(once).xy_px, refilled.xy_px)
    met = smooth(refilled, Kalman()).trajectory
    assert met.table["origin"].tolist()[20:30] == ["REFILLED"] * 10


def test_a_row_that_was_out_of_view_by_fusion_is_in_view_again(tracked):
    flags = tracked.table["flags"].to_numpy(dtype=object).copy()
    x, y, seen = (tracked.table[c].to_numpy().copy() for c in ("x_px", "y_px", "in_view"))
    flags[40], x[40], y[40], seen[40] = "low_confidence;not_in_view", np.nan, np.nan, False
    gone = tracked.changed({"flags": flags, "x_px": x, "y_px": y, "in_view": seen}, "fuse")
    back = unsmooth(gone)
    assert back.table["flags"].iloc[40] == Flag.LOW_CONFIDENCE
    assert back.table["in_view"].iloc[40]


def test_a_row_of_another_program_without_raw_values_stays(tracked):
    table = tracked.table.assign(x_raw_px=np.nan, y_raw_px=np.nan)
    other = type(tracked)(table, tracked.provenance)
    np.testing.assert_array_equal(unsmooth(other).xy_px, other.xy_px)


def test_a_gap_that_was_filled_is_not_in_view_again(tracked):
    filled = smooth(tracked, Fill()).trajectory
    assert np.isfinite(filled.xy_px[[10, 11]]).all()
    back = unsmooth(filled)
    assert back.table["flags"].iloc[10] == Flag.NOT_IN_VIEW
    assert not back.table["in_view"].iloc[10]


def test_smoothing_what_was_fused_says_that_it_begins_with_raw_positions(tracked):
    fused = tracked.changed({}, "fuse")
    said = "smoothing begins with raw positions, not with those that were fused"
    done = smooth(fused, Fill())
    assert said in done.notices
    assert said not in smooth(done.trajectory, Fill()).notices

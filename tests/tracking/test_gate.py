from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.trajectory import Flag, Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory
from napari_deepmtj.tracking.gate import COLUMNS, Gated, Limits, gate
from napari_deepmtj.tracking.series import Duration
from napari_deepmtj.tracking.smooth import smooth

Make = Callable[..., Trajectory]
MM = Scale.isotropic(0.1, "test")
T = np.arange(100) / 25


def calm(seed: int = 0) -> np.ndarray:
    """Return a path of 100 frames: 8 mm at 0.5 Hz, with 0.1 mm of jitter, at 0.1 mm a pixel."""
    rng = np.random.default_rng(seed)
    path = np.column_stack([300 + 40 * np.sin(np.pi * T), np.full(100, 200.0)])
    return path + rng.normal(0, 1, (100, 2))


def frames_of(gated: Gated, flag: Flag) -> list[int]:
    found = gated.findings
    frames: list[int] = found.loc[found["flag"] == flag.value, "frame"].tolist()
    return frames


def test_a_calm_path_passes(made: Make) -> None:
    before = made(calm(), T, scale=MM)
    done = gate(before)
    assert len(done.findings) == 0
    assert tuple(done.findings.columns) == COLUMNS
    assert done.notices == ()
    assert done.trajectory.table.equals(before.table)
    assert done.trajectory.provenance.operations[-1].arguments["max_speed_mm_s"] == 500


def test_an_excursion_and_back_is_an_outlier(made: Make) -> None:
    xy = calm()
    xy[40] += [60, 0]
    xy[70:75] += [-90, 30]
    done = gate(made(xy, T, scale=MM))
    assert frames_of(done, Flag.OUTLIER) == [40, *range(70, 75)]
    assert frames_of(done, Flag.JUMP) == []
    assert done.trajectory.xy_px == pytest.approx(xy)
    assert done.trajectory.table["flags"][40] == "outlier"
    row = done.findings.iloc[0]
    assert row["time_s"] == pytest.approx(1.6)
    # 150 mm/s beside the path, which itself goes on by a tenth of it at most
    assert row["value"] == pytest.approx(150, rel=0.1)
    assert "back at frame 41" in row["reason"]


def test_what_does_not_come_back_in_time_is_a_jump_there_and_a_jump_back(made: Make) -> None:
    xy = calm()
    xy[38:] += [120, 0]
    assert frames_of(gate(made(xy, T, scale=MM)), Flag.JUMP) == [38]
    xy[60:] -= [120, 0]
    done = gate(made(xy, T, scale=MM))
    assert frames_of(done, Flag.JUMP) == [38, 60]
    assert frames_of(done, Flag.OUTLIER) == []
    followed = smooth(done.trajectory).trajectory.xy_px
    assert np.abs(followed - xy).max() < 5


def test_the_limit_of_an_excursion_can_be_given(made: Make) -> None:
    xy = calm()
    xy[70:73] += [-90, 0]
    short = Limits(max_excursion=Duration.frames(1))
    done = gate(made(xy, T, scale=MM), short)
    assert frames_of(done, Flag.JUMP) == [70, 73]
    assert frames_of(gate(made(xy, T, scale=MM)), Flag.OUTLIER) == [70, 71, 72]


def test_the_limit_in_mm_a_second_holds_by_itself(made: Make) -> None:
    # steps of 0.5, 3, 6 and 0.5 mm over and over, 40 ms apart: up to 150 mm/s
    x = np.cumsum(np.r_[0, np.tile([5, 30, 60, 5], 5)])
    xy, t = np.column_stack([x, np.full(21, 9.0)]), np.arange(21) / 25
    slow = gate(made(xy, t, scale=MM), Limits(None, None, 160.0, None))
    assert frames_of(slow, Flag.JUMP) == []
    fast = gate(made(xy, t, scale=MM), Limits(None, None, 140.0, None))
    jumps = fast.findings[fast.findings["flag"] == "jump"]
    assert jumps["frame"].tolist() == [3, 7, 11, 15, 19]
    assert jumps["value"].to_numpy() == pytest.approx(np.full(5, 150.0))
    assert (jumps["limit"] == 140).all()


def test_fast_steps_the_same_way_are_no_excursion(made: Make) -> None:
    xy = calm()
    xy[40:] += [60, 0]
    xy[43:] += [60, 0]
    done = gate(made(xy, T, scale=MM))
    assert frames_of(done, Flag.JUMP) == [40, 43]
    assert frames_of(done, Flag.OUTLIER) == []


def test_a_fast_movement_is_none_and_what_leaves_it_is(made: Make) -> None:
    rise = 20 / (1 + np.exp(-(T - 2) / 0.06))  # 20 mm, at up to 83 mm/s, after a long rest
    xy = np.column_stack([100 + 10 * rise, np.full(100, 200.0)])
    xy += np.random.default_rng(0).normal(0, 1, (100, 2))
    assert np.diff(rise).max() > Limits().least_step_mm
    assert len(gate(made(xy, T, scale=MM)).findings) == 0
    xy[50] += [0, 40]
    assert frames_of(gate(made(xy, T, scale=MM)), Flag.OUTLIER) == [50]


def test_speed_is_by_true_times(made: Make) -> None:
    xy, t = calm(), T.copy()
    xy[50:] += [60, 0]
    t[50:] += 1.0  # a second without a frame: 6 mm in it are no jump
    assert frames_of(gate(made(xy, t, scale=MM)), Flag.JUMP) == []
    assert frames_of(gate(made(xy, T, scale=MM)), Flag.JUMP) == [50]


def test_steps_shorter_than_the_least_are_never_jumps_by_the_mad(made: Make) -> None:
    xy = np.full((100, 2), 200.0)  # at rest, MAD zero
    xy[50:] += [24, 0]
    assert frames_of(gate(made(xy, T, scale=MM)), Flag.JUMP) == []
    xy[50:] += [2, 0]
    assert frames_of(gate(made(xy, T, scale=MM)), Flag.JUMP) == [50]


def test_unsure_frames(made: Make) -> None:
    sd = np.full(100, 3.0)
    sd[20] = 60.0
    trajectory = made(calm(), T, scale=MM, sd=sd)
    done = gate(trajectory)
    assert frames_of(done, Flag.HIGH_SD) == [20]
    assert done.findings["value"][0] == pytest.approx(6 * np.sqrt(2))
    assert frames_of(gate(trajectory, Limits(max_sd_mm=9.0)), Flag.HIGH_SD) == []
    assert len(frames_of(gate(trajectory, Limits(min_confidence=0.95)), Flag.LOW_CONFIDENCE)) == 100


def test_leaving_the_field_of_view(made: Make) -> None:
    xy = calm()
    xy[:, 0] = np.linspace(300, 502, 100)
    xy[97:] = np.nan
    roi = Roi(100, 50, 400, 300)
    done = gate(made(xy, T, scale=MM, roi=roi), Limits(edge_mm=2.0))
    near = [f for f in range(97) if 499.5 - xy[f, 0] < 20]
    assert frames_of(done, Flag.AT_EDGE) == near
    assert "right border" in done.findings["reason"][0]
    assert frames_of(done, Flag.NOT_IN_VIEW) == [97, 98, 99]
    assert "did not come back" in done.findings["reason"].iloc[-1]


def test_out_of_view_says_from_when_to_when(made: Make) -> None:
    xy = calm()
    xy[:2] = xy[30:55] = np.nan
    reasons = gate(made(xy, T, scale=MM)).findings.set_index("frame")["reason"]
    assert reasons[0] == "out of view from the start (2 rows)"
    assert reasons[30] == "left the view, back at frame 55 (25 rows)"
    assert len(reasons) == 27


def test_again_gives_the_same_and_other_limits_take_flags_away(made: Make) -> None:
    xy = calm()
    xy[40] += [60, 0]
    first = gate(made(xy, T, scale=MM))
    again = gate(smooth(first.trajectory).trajectory)
    assert again.findings.equals(first.findings)
    off = gate(again.trajectory, Limits(max_speed_mm_s=None, mad_factor=None))
    assert (off.trajectory.table["flags"] == "").all()


def test_a_cut_that_fusion_saw_stays_though_the_positions_go_on(made: Make) -> None:
    path = made(calm(), T, scale=MM)
    flags = np.where(path.frames == 8, Flag.JUMP.value, "").astype(object)
    fused = path.changed({"flags": flags}, "fuse", cut_frames=[8])
    gated = gate(gate(fused).trajectory)
    assert gated.trajectory.table["flags"].tolist() == flags.tolist()
    assert gated.findings["frame"].tolist() == [8]
    other = path.changed({"flags": flags}, "fuse", cut_frames=[])
    assert not (gate(other).trajectory.table["flags"] != "").any()


def test_what_a_person_set_is_not_flagged(made: Make) -> None:
    sd = np.full(100, 80.0)
    xy = calm()
    before = made(xy, T, scale=MM, sd=sd).corrected(40, (380.0, 200.0)).corrected(60, None)
    done = gate(before, Limits(min_confidence=0.99))
    assert not {40, 60} & set(frames_of(done, Flag.HIGH_SD))
    assert frames_of(done, Flag.OUTLIER) == []
    assert 60 not in frames_of(done, Flag.NOT_IN_VIEW)
    assert done.trajectory.table["flags"][60] == "not_in_view"


def test_without_a_scale_the_width_of_the_region_stands_in_and_it_says_so(made: Make) -> None:
    sd = np.full(100, 3.0)
    sd[20] = 0.0635 * 400 / np.sqrt(2)  # a root of the trace of 6.35 % of the width: 5.03 mm
    sd[21] = 0.0625 * 400 / np.sqrt(2)
    done = gate(made(calm(), T, sd=sd, roi=Roi(100, 50, 400, 300)))
    assert frames_of(done, Flag.HIGH_SD) == [20]
    assert "no scale" in done.notices[0]


def test_without_times_the_clip_is_its_own_measure_and_it_says_so(made: Make) -> None:
    xy = calm()
    xy[40] += [60, 0]
    xy[70:] += [120, 0]
    done = gate(made(xy, scale=MM))
    assert frames_of(done, Flag.OUTLIER) == [40]
    assert frames_of(done, Flag.JUMP) == [70]
    assert "no times" in done.notices[0]
    assert done.findings["unit"].tolist() == ["mm/frame"] * 2
    assert done.findings["time_s"].isna().all()
    with pytest.raises(ResultError, match="no times"):
        gate(made(xy, scale=MM), Limits(max_excursion=Duration.seconds(0.1)))


def test_flags_and_log_read_back_from_the_file(made: Make, tmp_path: Path) -> None:
    xy = calm()
    xy[40] += [60, 0]
    xy[70:] += [120, 0]
    done = gate(made(xy, T, scale=MM), Limits(max_excursion=Duration.frames(2))).trajectory
    back = read_trajectory(write_trajectory(done, tmp_path / "a.mtj.csv"))
    assert back.table["flags"].tolist() == done.table["flags"].tolist()
    log = back.provenance.operations[-1]
    assert (log.name, log.arguments["max_excursion"]) == ("gate", "2 frames")
    assert log.arguments["flagged"]["outlier"] == log.arguments["flagged"]["jump"] == 1


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_frames(n: int, made: Make) -> None:
    assert len(gate(made(calm()[:n], T[:n], scale=MM)).findings) == 0


def test_nothing_in_view(made: Make) -> None:
    done = gate(made(np.full((10, 2), np.nan), T[:10], scale=MM))
    assert frames_of(done, Flag.NOT_IN_VIEW) == list(range(10))

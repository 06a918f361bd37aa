"""Figures of a clip and of a study, on a path whose displacement is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_deepmtj.batch.clip_figures import FIGURES, measured
from napari_deepmtj.batch.external_channels import (
    CHANNEL_COLUMNS,
    Beside,
    measured_beside,
    require_sense,
)
from napari_deepmtj.batch.study import Entry
from napari_deepmtj.batch.study_figures import excursions
from napari_deepmtj.batch.tables import CLIP_NAMES
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory
from napari_deepmtj.errors import ChannelError, ResultError
from napari_deepmtj.mechanics.positions import used_positions
from napari_deepmtj.pipeline.outputs import require_sense as require_outputs
from napari_deepmtj.pipeline.outputs import smooth_key, smoothed, with_rows_by_hand

#: Frames at 25 Hz, cycles of the movement, its half range in px, mm a pixel.
N, CYCLES, HALF, MM = 101, 2, 20.0, 0.5


def tracked(scale=True, noise=0.0, seed=0):
    """Return a path that swings along x; its excursion is 2 HALF MM = 20 mm."""
    rng = np.random.default_rng(seed)
    x = 100 - HALF * np.cos(2 * np.pi * CYCLES * np.arange(N) / (N - 1))
    x = x + rng.normal(0, noise, N)
    predictions = [
        FramePrediction(i, float(x[i]), 50.0, np.diag([1.0, 1.0]), 0.5 + i / 1000, in_view=True)
        for i in range(N)
    ]
    known = Scale(MM, MM, "test") if scale else None
    provenance = Provenance("a.avi", "aa" * 32, N, 200, 400, scale=known).and_then(
        "track", model={"id": "tiny"}
    )
    return Trajectory.from_predictions(
        predictions, FrameTimes.from_rate(N, 25, "container"), provenance
    )


def row_of(trajectory, side="right"):
    return measured(trajectory, used_positions(trajectory), side)


def test_figures_of_a_known_path():
    row = row_of(tracked())
    assert row["excursion_mm"] == pytest.approx(2 * HALF * MM, rel=0.02)
    assert set(FIGURES.values()) <= set(row)
    assert row["cycles"] == 1  # of two swings one lies between rises through the middle
    assert row["cycle_duration_s_mean"] == pytest.approx((N - 1) / CYCLES / 25, rel=0.02)
    fastest = HALF * MM * 2 * np.pi * CYCLES / ((N - 1) / 25)
    assert row["peak_proximal_velocity_mm_per_s"] == pytest.approx(fastest, rel=0.05)
    assert row["peak_distal_velocity_mm_per_s"] == pytest.approx(-fastest, rel=0.05)
    assert row["confidence_5_percent"] == pytest.approx(0.505)
    assert (row["positions"], row["model"]) == (
        "gate and kalman without outliers, from raw",
        "tiny",
    )


def test_without_a_side_there_is_the_excursion_alone():
    row = row_of(tracked(), None)
    assert row["excursion_mm"] == pytest.approx(20, rel=0.02)
    assert not {"cycles", "peak_distal_velocity_mm_per_s"} & set(row)


def test_a_clip_that_moves_straight_up_and_down_says_why_it_has_no_excursion():
    raw = tracked()
    turned = raw.changed({"x_px": raw.table["y_px"], "y_px": raw.table["x_px"]}, "turned")
    row = row_of(turned)
    assert np.isnan(row["excursion_mm"])
    assert row["excursion_reliable"] == 0
    assert row["excursion_reason"].startswith("the MTJ moves straight up and down")


def test_confidences_are_the_network_s_alone():
    raw = tracked()
    hand = raw
    for frame in range(40, 101):
        hand = hand.corrected(frame, raw.xy_px[frame])
    row = row_of(hand)
    assert row["confidence_median"] == pytest.approx(0.5195)
    assert row["confidence_5_percent"] == pytest.approx(0.50195)
    assert row["by_hand"] == 61


def test_without_a_scale_there_are_no_millimetres():
    assert not any("mm" in name for name in row_of(tracked(scale=False)) if name != "sd_mm_median")


def test_positions_that_were_smoothed_are_taken_as_they_were_saved():
    noisy = tracked(noise=2.0)
    events = smoothed(noisy, "butterworth:cutoff_hz=1.5")
    try:
        while True:
            next(events)
    except StopIteration as end:
        slow = end.value
    used = used_positions(slow)
    assert used.trajectory is slow
    assert used.how == "as saved: smooth butterworth"
    assert [op.name for op in slow.provenance.operations] == ["track", "gate", "smooth"]
    assert row_of(slow)["excursion_mm"] != pytest.approx(row_of(noisy)["excursion_mm"], rel=1e-3)
    # Tracked again, the positions are the network's.
    again = Trajectory(slow.table, slow.provenance.and_then("track", model={"id": "tiny"}))
    assert used_positions(again).how == "gate and kalman without outliers, from raw"


@pytest.mark.parametrize(
    ("operation", "how"),
    [("fuse", "as saved: fuse"), ("subtract slip", "as saved: probe slip subtracted")],
)
def test_what_flow_made_is_not_undone(operation, how):
    raw = tracked()
    made = Trajectory(raw.table, raw.provenance.and_then(operation))
    assert used_positions(made).how == how
    assert used_positions(made).trajectory is made


@pytest.mark.parametrize(
    ("method", "others", "said"),
    [
        ("nonsense", {}, "no smoothing 'nonsense'"),
        ("kalman", {"fuse": True}, "undo fusion"),
        ("kalman", {"subtract_slip": True}, "undo fusion"),
    ],
)
def test_a_smoothing_that_cannot_be_is_refused(method, others, said):
    with pytest.raises(ResultError, match=said):
        require_outputs(method, **{"fuse": False, "subtract_slip": False, **others})


def test_the_key_of_a_smoothing_has_its_parameters():
    assert smooth_key("") == ""
    assert smooth_key("butterworth") == smooth_key("butterworth:cutoff_hz=6")
    assert smooth_key("butterworth") != smooth_key("butterworth:cutoff_hz=5")


def test_a_new_run_goes_through_the_rows_that_a_person_made():
    old = tracked().corrected(7, (55.0, 56.0)).corrected(8, None)
    new = with_rows_by_hand(tracked(scale=False), old)
    assert list(new.frames) == list(range(N))
    assert list(new.xy_px[7]) == [55.0, 56.0]
    assert new.by_hand.sum() == 2
    assert new.table["x_mm"].isna().all()  # the new run has no scale
    other = Trajectory(old.table, Provenance("b.avi", "bb" * 32, N, 200, 400))
    assert not with_rows_by_hand(tracked(), other).by_hand.any()


# ---- external files ------------------------------------------------------------------------


@pytest.fixture
def channels(tmp_path):
    """A file at 100 Hz whose torque rises with the displacement, half a second ahead of it."""
    t = np.arange(0, 6, 0.01)
    phase = 2 * np.pi * CYCLES * (t - 0.5) / ((N - 1) / 25)
    torque, angle = 50 * (1 - np.cos(phase)), 10 * np.sin(phase)
    path = tmp_path / "force.csv"
    rows = "\n".join(f"{a:.2f},{b:.6f},{c:.6f}" for a, b, c in zip(t, torque, angle, strict=True))
    path.write_text(f"time (s),Torque (Nm),Angle (deg)\n{rows}\n")
    return path


def beside(path, side="left", measure="torque=Torque,moment_arm=50,ankle=Angle", **changes):
    settings = {"sync_offset_s": -0.5} | changes
    entry = Entry(clip=path.with_name("a.avi"), external_file=path, **settings)
    return measured_beside(entry, Beside(measure=measure), tracked(), side)


def test_torque_becomes_force_and_stiffness_at_the_clip_s_time(channels):
    # Distal is left, so x to the right is proximal and the displacement rises with the torque.
    row = beside(channels)
    assert "channels_problem" not in row
    assert (row["sync"], row["sync_offset_s"], row["channel_frames"]) == ("shared clock", -0.5, N)
    assert row["force_n_greatest"] == pytest.approx(100 / 0.05, rel=1e-3)
    assert row["stiffness_n_per_mm"] == pytest.approx(2000 / 20, rel=1e-3)
    assert row["stiffness_r2"] == pytest.approx(1, abs=1e-4)
    assert row["ankle_deg_greatest"] == pytest.approx(10, rel=1e-2)


def test_every_documented_column_can_be_had(channels):
    row = beside(
        channels,
        measure="torque=Torque,moment_arm=50,ankle=Angle,knee=0,shank_mm=400,rest_length_mm=200",
    )
    assert {*row, "channels_problem"} == set(CHANNEL_COLUMNS)
    assert row["strain_percent_greatest"] == pytest.approx(10, rel=1e-2)  # 20 of 200 mm
    documented = (Path(__file__).parents[2] / "docs" / "how-to" / "batch.md").read_text(
        encoding="utf-8"
    )
    assert [name for name in CLIP_NAMES if f"`{name}`" not in documented] == []


def test_a_wrong_offset_is_no_stiffness_and_says_so(channels):
    shifted = beside(channels, sync_offset_s=0.0)
    assert "stiffness_r2" not in shifted
    assert "stiffness" in shifted["channels_problem"]


def test_a_subject_s_own_lengths_stand_above_the_options(channels):
    row = beside(channels, facts={"moment_arm_mm": "25", "subject": "S1"})
    assert row["force_n_greatest"] == pytest.approx(100 / 0.025, rel=1e-3)
    wrong = beside(channels, facts={"moment_arm_mm": "long"})
    assert "column moment_arm_mm: 'long' is no length in mm" in wrong["channels_problem"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"side": None}, "distal side is not known"),
        ({"measure": "torque=Force,moment_arm=50"}, "force.csv: has no channel 'Force'"),
        ({"measure": "torque=Angle,moment_arm=50"}, "is in 'deg', but N m is needed"),
        ({"measure": "torque=Torque"}, "needs a moment arm"),
        ({"sync_offset_s": 100.0}, "nothing in common"),
    ],
)
def test_why_a_file_is_not_used_is_told(channels, changes, problem):
    row = beside(channels, **changes)
    assert problem in row["channels_problem"]
    assert "stiffness_n_per_mm" not in row


def test_a_file_that_is_not_there_is_told(tmp_path):
    row = beside(tmp_path / "gone.csv")
    assert row["channels_problem"].startswith("gone.csv: cannot be read")


def test_the_clip_s_own_shape_can_find_the_offset(channels):
    entry = Entry(clip=channels.with_name("a.avi"), external_file=channels)
    settings = Beside(sync="correlation:channel=Torque,max_shift_s=0.7")
    row = measured_beside(entry, settings, tracked(), "left")
    assert row["sync"] == "cross-correlation"
    assert row["sync_offset_s"] == pytest.approx(-0.5, abs=0.01)


def test_a_study_that_cannot_be_synchronised_is_refused():
    with_file = Entry(clip=Path("a.avi"), external_file=Path("x.csv"))
    with pytest.raises(ResultError, match=r"a\.avi has an external_file and no sync_offset_s"):
        require_sense([with_file], Beside())
    require_sense([with_file], Beside(sync="trigger:channel=T"))
    with pytest.raises(ResultError, match="has a sync_offset_s and no external_file"):
        require_sense([Entry(clip=Path("b.avi"), sync_offset_s=1.0)], Beside())


@pytest.mark.parametrize(
    "settings",
    [
        {"measure": "force=Torque"},
        {"measure": "muscle=biceps"},
        {"measure": "shank_mm=long"},
        {"measure": "ankle"},
        {"read": "rate"},
        {"sync": "clock:offset"},
    ],
)
def test_options_that_make_no_sense_are_refused(settings):
    with pytest.raises((ResultError, ChannelError)):
        Beside(**settings)


# ---- a study -------------------------------------------------------------------------------


def clip_row(subject, movement, trial, excursion, **changes):
    return {
        "subject": subject,
        "movement": movement,
        "trial": trial,
        "status": "done",
        "same_content_as": "",
        "excursion_mm": excursion,
        "excursion_raw_mm": excursion,
        "excursion_reliable": 0 if excursion == 14.0 else 1,
        "stiffness_n_per_mm": np.nan,
        "in_view_percent": 100.0,
        "confidence_median": 0.9,
        "flagged_percent": 1.0,
    } | changes


def test_excursions_are_those_of_each_subject_and_condition():
    clips = pd.DataFrame(
        [
            clip_row("S1", "mvc", "1", 10.0, stiffness_n_per_mm=100.0),
            clip_row("S1", "mvc", "2", 14.0),
            clip_row("S1", "rom", "1", 20.0),
            clip_row("S2", "mvc", "1", np.nan),
            clip_row("S2", "mvc", "2", 7.0, same_content_as="x"),
            clip_row("S2", "mvc", "3", np.nan, status="failed"),
        ]
    )
    table = excursions(clips, ("subject", "movement", "trial"))
    assert list(table["subject"]) == ["S1", "S1", "S2"]
    assert list(table["movement"]) == ["mvc", "rom", "mvc"]
    assert list(table["clips"]) == [2, 1, 2]
    assert list(table["clips_with_mm"]) == [2, 1, 1]
    assert list(table["copies"]) == [0, 0, 1]
    np.testing.assert_allclose(table["excursion_mm_mean"], [12, 20, 7])
    np.testing.assert_allclose(table["excursion_mm_sd"], [8**0.5, np.nan, np.nan])
    np.testing.assert_allclose(table["stiffness_n_per_mm_mean"], [100, np.nan, np.nan])
    assert list(table["clips_excursion_unreliable"]) == [1, 0, 0]
    assert "trial" not in table


@pytest.mark.parametrize("with_partial", [False, True])
def test_partial_clips_are_counted_and_in_no_mean_unless_asked_for(with_partial):
    clips = pd.DataFrame(
        [
            clip_row("S1", "mvc", "1", 10.0),
            clip_row("S1", "mvc", "2", 2.0, status="partial"),
            clip_row("S2", "mvc", "1", 3.0, status="partial"),
        ]
    )
    table = excursions(clips, ("subject",), with_partial=with_partial)
    assert list(table["clips_partial"]) == [1, 1]
    assert list(table["clips"]) == ([2, 1] if with_partial else [1, 0])
    wanted = [6.0, 3.0] if with_partial else [10.0, np.nan]
    np.testing.assert_allclose(table["excursion_mm_mean"], wanted)


def test_a_study_without_facts_or_results_is_one_row_or_none():
    clips = pd.DataFrame([clip_row("", "", "", 3.0)])
    assert list(excursions(clips, ())["excursion_mm_mean"]) == [3.0]
    clips["status"] = "failed"
    empty = excursions(clips, ())
    assert len(empty) == 0
    assert "excursion_mm_mean" in empty

"""`napari-deepmtj process` on results that were saved."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory
from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory
from napari_deepmtj.tracking.steps import replay

SPIKE, GAP, CORRECTED = 30, slice(50, 54), 70


@pytest.fixture
def result(tmp_path):
    """A swing with noise, a spike, a gap of four frames and a frame that a person set."""
    n = 100
    x = 200 + 60 * np.sin(np.arange(n) / 15) + np.random.default_rng(0).normal(0, 0.5, n)
    x[SPIKE] += 150
    x[GAP] = np.nan
    rows = [
        FramePrediction(i, v, 80.0, np.diag([4.0, 4.0]), 0.9, bool(np.isfinite(v)))
        for i, v in enumerate(x)
    ]
    times = FrameTimes.from_rate(n, 25, "container")
    said = Provenance("clip.avi", "aa", n, 300, 600, scale=Scale.isotropic(0.1, "test"))
    made = Trajectory.from_predictions(rows, times, said)
    made = made.corrected(CORRECTED, (123.0, 45.0))
    return write_trajectory(made, tmp_path / "clip.mtj.csv")


def test_gate_and_smooth_in_place(run, result):
    before = read_trajectory(result)
    code, out, _err = run("process", result, "--gate", "--smooth", "kalman", "--max-gap", "0.2s")
    assert code == 0
    assert out.startswith("clip.mtj.csv: ")
    assert "1 outlier" in out
    assert "5 rows filled" in out
    after = read_trajectory(result)
    raw = ["x_raw_px", "y_raw_px"]
    pd.testing.assert_frame_equal(after.table[raw], before.table[raw])
    assert after.xy_px[CORRECTED] == pytest.approx([123, 45])
    assert after.table["origin"][CORRECTED] == "CORRECTED"
    assert (after.table["origin"][GAP.start : GAP.stop] == "INTERPOLATED").all()
    assert abs(after.xy_px[SPIKE, 0] - before.xy_px[SPIKE, 0]) > 100
    names = [op.name for op in after.provenance.operations]
    assert names == ["correct", "gate", "smooth"]


def test_the_log_is_enough_to_do_it_again(run, result):
    before = read_trajectory(result)
    method = "butterworth:cutoff_hz=4,order=2"
    code, _out, _err = run(
        "process", result, "--limits", "max_speed_mm_s=300,max_excursion=3f", "--smooth", method,
        "--max-gap", "5f", "--exclude", "outlier,high_sd",
    )  # fmt: skip
    assert code == 0
    after = read_trajectory(result)
    again = before
    for operation in after.provenance.operations[len(before.provenance.operations) :]:
        again = replay(again, operation)
    pd.testing.assert_frame_equal(again.table, after.table, atol=1e-6, check_dtype=False)
    smoothed = after.provenance.operations[-1].arguments
    assert (smoothed["cutoff_hz"], smoothed["order"], smoothed["max_gap"]) == (4, 2, "5 frames")


def test_smoothing_is_taken_away(run, result):
    before = read_trajectory(result)
    run("process", result, "--smooth", "savitzky-golay:window=15")
    assert not np.allclose(read_trajectory(result).xy_px, before.xy_px, equal_nan=True)
    assert run("process", result, "--smooth", "none")[0] == 0
    assert read_trajectory(result).xy_px == pytest.approx(before.xy_px, nan_ok=True)


def test_another_folder_and_findings(run, result, tmp_path):
    content = result.read_bytes()
    words = ["process", str(result.parent / "*.mtj.csv"), "--gate", "--findings"]
    assert run(*words, "--out", tmp_path / "new")[0] == 0
    assert result.read_bytes() == content
    found = pd.read_csv(tmp_path / "new" / "clip.mtj-findings.csv")
    assert found.loc[found["flag"] == "outlier", "frame"].tolist() == [SPIKE]
    code, _out, err = run(*words, "--out", tmp_path / "new")
    assert (code, "--overwrite" in err) == (1, True)
    assert run(*words, "--out", tmp_path / "new", "--overwrite")[0] == 0


def test_what_cannot_be_done_is_said(run, result, tmp_path):
    assert run("process", result)[0] == 2
    assert run("process", result, "--smooth", "fill", "--findings")[0] == 2
    assert run("process", result, "--smooth", "fill", "--exclude", "odd")[0] == 2
    for words, said in (
        (["--smooth", "median"], "there is no smoothing 'median'"),
        (["--smooth", "fill", "--max-gap", "2"], "'2' is no duration"),
        (["--limits", "speed=3"], "no parameter 'speed'"),
        (["--smooth", "butterworth:cutoff_hz=20"], "clip.mtj.csv: a cut-off of 20 Hz"),
    ):
        code, _out, err = run("process", result, *words)
        assert code == 1
        assert f"error: {said}" in err or said in err
    assert run("process", tmp_path / "none.mtj.csv", "--gate")[0] == 1
    code, _out, err = run("process", tmp_path / "clip.avi", "--gate")
    assert "is no .mtj.csv" in err
    (tmp_path / "clip.mtj.json").unlink()
    code, _out, err = run("process", result, "--gate")
    assert (code, "lacks its clip.mtj.json" in err) == (1, True)


def test_one_name_in_two_folders(run, result, tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("clip.mtj.csv", "clip.mtj.json"):
        (tmp_path / "b" / name).write_bytes((tmp_path / name).read_bytes())
    words = ["process", result, tmp_path / "b" / "clip.mtj.csv", "--gate", "--out", tmp_path / "c"]
    code, _out, err = run(*words)
    assert (code, "several of these results" in err) == (1, True)
    assert not (tmp_path / "c").exists()


def test_a_reference_is_followed_and_never_replaced(run, clip, models):
    pytest.importorskip("cv2", reason="the extra flow is not installed")
    assert run("track", clip, "--model", "tiny", "--scale", "0.5")[0] == 0
    words = ["reference", clip, "--name", "skin", "--at", "3:60,30"]
    code, out, _err = run(*words)
    assert (code, "skin: followed in 12 of 12" in out) == (0, True)
    made = read_trajectory(clip.with_name("clip.mtj-reference-skin.csv"))
    assert made.xy_px[3] == pytest.approx([60, 30])
    # The clip's noise goes 3 px a frame to the left.
    assert np.diff(made.xy_px[:, 0]) == pytest.approx(np.full(11, -3), abs=0.2)
    assert made.table["x_mm"][3] == pytest.approx(30)
    code, _out, err = run(*words)
    assert (code, "a person made it" in err) == (1, True)
    assert run(*words[:-1], "3,60,30")[0] == 2

"""`napari-deepmtj mechanics`: a made trial whose every figure is known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory
from napari_deepmtj.results.trajectory_file import write_trajectory
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar

SCALE = Scale.isotropic(0.1, "test")
OFFSET, ARM_MM, STIFFNESS, SHANK_MM, REST_MM = 0.73, 45.0, 120.0, 400.0, 210.0
#: Passive: mm proximally for each degree of plantar flexion, and the ankle's turn in the effort.
PER_DEGREE, TURN = 0.4, 5.0


def effort(t):
    return 1 / (1 + np.exp(-3 * (t - 3))) - 1 / (1 + np.exp(-8 * (t - 6)))


def swing(t):
    return 15 * (1 - np.cos(2 * np.pi * t / 2)) / 2  # degrees of plantar flexion


def uneven(seconds=9.0):
    return np.cumsum(np.random.default_rng(2).uniform(1 / 60, 1 / 15, int(seconds * 24)))


def save(path, t, proximally_mm):
    xy = np.column_stack([400 - proximally_mm / 0.1, np.full(len(t), 90.0)])
    said = Provenance(f"{path.name[:-8]}.avi", "aa", len(t), 300, 600, "container", scale=SCALE)
    rows = [FramePrediction(i, x, y, np.diag([4.0, 4.0]), 0.9, True) for i, (x, y) in enumerate(xy)]
    write_trajectory(Trajectory.from_predictions(rows, FrameTimes(t), said), path)
    write_sidecar(path.with_name(said.clip), ClipInfo(distal_side="right"))
    return path


def channels(path, **columns):
    """Write what a dynamometer says that began OFFSET before the clip, with decimal commas."""
    t = np.arange(0, 12, 0.002)
    table = pd.DataFrame({"Zeit (s)": t} | {k: f(t - OFFSET) for k, f in columns.items()})
    table.to_csv(path, sep=";", decimal=",", index=False, float_format="%.6f", encoding="utf-16")
    return path


@pytest.fixture
def passive(tmp_path):
    t = uneven()
    made = channels(tmp_path / "passive.csv", **{"Angle (deg)": lambda t: -swing(t)})
    return save(tmp_path / "passive.mtj.csv", t, PER_DEGREE * swing(t)), made


@pytest.fixture
def mvc(tmp_path):
    """Elongation 10 mm at most, and the MTJ moved besides by the ankle's turning."""
    t = uneven()
    made = channels(
        tmp_path / "mvc.csv",
        **{
            "Torque (Nm)": lambda t: -STIFFNESS * 10 * effort(t) * ARM_MM / 1000,
            "Angle (rad)": lambda t: np.deg2rad(90 - TURN * effort(t)),
            "Sync (V)": lambda t: 5.0 * ((t > 0) & (t < 0.05)),
        },
    )
    return save(tmp_path / "mvc.mtj.csv", t, (10 + PER_DEGREE * TURN) * effort(t)), made


def figures(path):
    found = json.loads(path.read_text())
    return {f["name"]: (f["value"], f["unit"]) for f in found["figures"]}, found


def value(found, name):
    return found[name][0]


def test_kinematics_alone(run, passive):
    result, _ = passive
    code, out, _err = run("mechanics", result)
    assert code == 0
    assert "excursion" in out
    assert "mm/s" in out
    found, _ = figures(result.with_name("passive.mtj-mechanics.json"))
    assert found["excursion"] == (pytest.approx(6, rel=0.02), "mm")
    assert value(found, "cycle excursion, mean") == pytest.approx(6, rel=0.02)
    assert value(found, "cycle duration, mean") == pytest.approx(2, rel=0.02)
    assert value(found, "peak velocity, proximally") == pytest.approx(3 * np.pi, rel=0.02)
    curve = pd.read_csv(result.with_name("passive.mtj-cycles.csv"))
    assert list(curve.columns) == ["percent", "mean_mm", "sd_mm"]
    assert np.ptp(curve["mean_mm"]) == pytest.approx(6, rel=0.02)
    table = pd.read_csv(result.with_name("passive.mtj-mechanics.csv"))
    assert table["displacement_mm"].to_numpy() == pytest.approx(
        PER_DEGREE * (swing(uneven()) - swing(uneven())[0]), abs=1e-6
    )


def test_a_contraction_corrected_by_the_passive_trial(run, passive, mvc):
    result, made = passive
    lengths = ["--shank", SHANK_MM, "--knee", 0, "--rest-length", REST_MM]
    angle = ["--ankle", "Angle", "--ankle-neutral", "0"]
    code, out, _err = run(
        "mechanics", result, "--channels", made, *angle, *lengths,
        "--sync", "correlation:channel=Angle,sign=-1,max_shift_s=0.9",
    )  # fmt: skip
    assert code == 0
    assert "cross-correlation, the clip's time is the channels' -0.73" in out
    sync = pd.read_csv(result.with_name("passive.mtj-sync.csv"))
    best = sync["shift_s"][sync["correlation"].idxmax()]
    assert best == pytest.approx(-OFFSET, abs=0.01)
    found, _ = figures(result.with_name("passive.mtj-mechanics.json"))
    mtu = 0.00214 * 15 * SHANK_MM
    assert value(found, "MTU change") == pytest.approx(mtu, rel=0.02)
    assert value(found, "muscle change") == pytest.approx(6, rel=0.02)
    assert value(found, "tendon change") == pytest.approx(mtu - 6, rel=0.02)
    assert value(found, "muscle's share") == pytest.approx(100 * 6 / mtu, rel=0.02)
    assert value(found, "tendon length, mean") == pytest.approx(REST_MM - (mtu - 6) / 2, abs=2)
    table = result.with_name("passive.mtj-mechanics.csv")

    result, made = mvc
    code, out, _err = run(
        "mechanics", result, "--channels", made, "--ankle", "Angle", "--ankle-neutral", 90,
        "--torque", "Torque", "--flip", "Torque", "--moment-arm", ARM_MM, "--passive", table,
        "--rest-length", REST_MM, "--sync", "trigger:channel=Sync", "--rest", "0:20",
        "--baseline", "0:1", "--no-cycles",
    )  # fmt: skip
    assert code == 0
    found, whole = figures(result.with_name("mvc.mtj-mechanics.json"))
    assert value(found, "elongation, greatest") == pytest.approx(10, rel=0.02)
    assert value(found, "strain, greatest") == pytest.approx(100 * 10 / REST_MM, rel=0.02)
    assert value(found, "force, greatest") == pytest.approx(10 * STIFFNESS, rel=0.02)
    assert value(found, "stiffness") == pytest.approx(STIFFNESS, rel=0.02)
    assert value(found, "excursion") == pytest.approx(12, rel=0.02)
    said = whole["operations"][-1]
    assert said["name"] == "mechanics"
    assert said["arguments"]["inputs"]["channels"]["sync"]["offset_s"] == pytest.approx(
        -OFFSET, abs=0.002
    )
    assert said["arguments"]["inputs"]["passive"]["name"] == table.name
    assert said["arguments"]["force_range"] == [0.5, 1.0]
    assert not result.with_name("mvc.mtj-cycles.csv").exists()


def test_what_is_lacking_is_said(run, passive, mvc):
    result, made = mvc
    clock = ["--channels", made, "--sync", f"clock:offset_s=-{OFFSET}"]
    for words, code, said in (
        (["--channels", made], 2, "--sync"),
        (["--sync", "clock"], 2, "--channels"),
        (["--distal", "up"], 2, "left or right"),
        (["--stiffness", "80:20"], 2, "less to more"),
        (["--rest", "0.5:3"], 2, "no frames"),
        ([*clock, "--torque", "Torque"], 1, "needs a moment arm"),
        (["--torque", "Torque", "--moment-arm", "45"], 1, "no file of channels"),
        ([*clock, "--torque", "Sync", "--moment-arm", "45"], 1, "'Sync' is in 'V', but N m"),
        ([*clock, "--torque", "M", "--moment-arm", "45"], 1, "mvc.csv: has no channel 'M'"),
        (["--shank", "400"], 1, "needs the ankle's angle"),
        ([*clock, "--ankle", "Angle", "--shank", "400"], 1, "needs the knee's angle"),
        (["--passive", result], 1, "lacks ankle_deg"),
        (["--channels", made, "--sync", "guess:x=1"], 1, "there is no way 'guess'"),
        (["--channels", made, "--sync", "trigger"], 1, "trigger:channel=NAME"),
        (["--channels", made, "--sync", "clock:shift=1"], 1, "unexpected keyword"),
        (["--channels", made, "--read", "rate_hz=5", "--sync", "clock"], 1, "leave out the rate"),
        (["--reference", passive[0].with_name("no.csv")], 1, "no such file"),
    ):
        found, _out, err = run("mechanics", result, *words)
        assert (found, " ".join(err.replace("│", " ").split()).count(said) > 0) == (code, True), (
            words,
            err,
        )
    assert list(result.parent.glob("*.mtj-mechanics.*")) == []


def test_earlier_files_stay_unless_told(run, passive, tmp_path):
    result, _ = passive
    assert run("mechanics", result, "--out", tmp_path / "a")[0] == 0
    code, _out, err = run("mechanics", result, "--out", tmp_path / "a")
    assert (code, "--overwrite" in err) == (1, True)
    assert run("mechanics", result, "--out", tmp_path / "a", "--overwrite", "--no-cycles")[0] == 0
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "passive.mtj-mechanics.csv",
        "passive.mtj-mechanics.json",
    ]


def test_the_distal_side_must_be_known(run, passive):
    result, _ = passive
    result.with_name("passive.mtj-clip.json").unlink()
    assert run("mechanics", result)[0] == 2
    assert run("mechanics", result, "--distal", "right")[0] == 0

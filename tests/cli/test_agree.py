from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.labels.table import read_labels, write_labels
from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar

pytest.importorskip("pingouin", reason="the extra statistics is not installed")


@pytest.fixture
def files(clip):
    """Anna's labels of ten frames, and bert's, 2 px to the right; bert does not see frame 4."""
    with open_video(clip) as source:
        sha256 = source.sha256
    rng = np.random.default_rng(2)
    anna = [
        Label(clip=clip.name, clip_sha256=sha256, frame=f, x_px=x, y_px=y, annotator="anna")
        for f, (x, y) in enumerate(rng.uniform(20, 50, (10, 2)))
    ]
    bert = [
        dataclasses.replace(
            i,
            annotator="=bert",
            x_px=None if i.frame == 4 else i.x_px + 2,
            y_px=None if i.frame == 4 else i.y_px,
        )
        for i in anna
    ]
    return [
        write_labels(clip.with_name(f"{name}.mtj-labels.csv"), labels)
        for name, labels in (("a", anna), ("b", bert))
    ]


def test_two_raters_are_compared_and_saved(run, files, tmp_path):
    out = tmp_path / "study"
    code, said, err = run("agree", *files, "--scale", "0.1,0.2", "--out", out)
    assert code == 0
    assert "=bert minus anna (10 frames, 1 clips)" in said
    assert "ICC(2,1)" in said
    assert "frames of one clip are not independent" in err
    assert {p.name for p in out.iterdir()} == {
        "agreement.csv",
        "agreement-frames.csv",
        "bland-altman.png",
        "bland-altman.svg",
    }
    table = pd.read_csv(out / "agreement.csv").set_index("axis")
    assert table.loc["x", "bias"] == pytest.approx(0.2)
    assert table.loc["y", "bias"] == pytest.approx(0)
    assert table.loc["x", ["frames", "n", "visible_first_only"]].tolist() == [10, 9, 1]
    assert table.loc["x", "mdc"] == pytest.approx(1.96 * 0.2)
    assert set(table["unit"]) == {"mm"}
    assert set(table["second"]) == {"'=bert"}  # no formula
    frames = pd.read_csv(out / "agreement-frames.csv")
    assert frames["frame"].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    np.testing.assert_allclose(frames["dx"], 0.2, rtol=1e-8)
    code, _, err = run("agree", *files, "--out", out)
    assert (code, err) == (
        1,
        "error: agreement.csv: exists; add --overwrite or choose another --out\n",
    )
    assert run("agree", *files, "--out", out, "--overwrite")[0] == 0


def test_without_a_scale_it_is_pixels(run, files):
    code, said, err = run("agree", *files)
    assert code == 0
    assert "x [px]" in said
    assert "2.00" in said
    assert "note: not every clip has a scale" in err
    assert "within" not in said


def test_the_side_car_knows_the_scale(run, files, clip):
    write_sidecar(clip, ClipInfo(Scale(0.1, 0.1, "calibration line")))
    code, said, err = run("agree", *files)
    assert code == 0
    assert "x [mm]" in said
    assert "within 1 mm" in said
    assert "pixels" not in err


def test_a_model_is_one_more_rater(run, files, clip, tmp_path):
    track = ("track", clip, "--model", "tiny", "--device", "cpu", "--roi", "full")
    assert run(*track, "--scale", 0.1, "--out", tmp_path)[0] == 0
    result = tmp_path / "clip.mtj.csv"
    code, said, err = run("agree", *files, "--model", result, "--out", tmp_path / "s")
    assert code == 0
    assert "model tiny minus anna" in said
    assert "all raters together" in said
    assert (tmp_path / "s" / "bland-altman-3.svg").exists()
    table = pd.read_csv(tmp_path / "s" / "agreement.csv")
    assert set(table["unit"]) == {"mm"}
    row = table[(table["second"] == "model tiny") & (table["axis"] == "x")].iloc[0]
    tracked = read_trajectory(result).table.set_index("frame")["x_px"]
    frames = pd.read_csv(tmp_path / "s" / "agreement-frames.csv")
    first = frames[frames["first"] == "anna"]
    first = first[first["second"] == "model tiny"].set_index("frame")
    np.testing.assert_allclose(first["x_second"], 0.1 * tracked[first.index], rtol=1e-8)
    assert row["n"] == 10

    write_sidecar(clip, ClipInfo(Scale(0.3, 0.3, "calibration line")))
    code, _, err = run("agree", *files, "--model", result)
    assert code == 1
    assert "error: clip.avi: has two scales, 0.1 x 0.1 mm (given by hand) and 0.3 x 0.3 mm" in err
    assert run("agree", *files, "--model", result, "--scale", 0.2)[0] == 0
    again = write_trajectory(read_trajectory(result), tmp_path / "again.mtj.csv")
    code, _, err = run("agree", *files, "--model", result, "--model", again)
    assert "clip.avi: was given twice of the same model" in err


def test_clips_of_one_name_do_not_share_a_side_car(run, files, clip):
    write_sidecar(clip, ClipInfo(Scale(0.1, 0.1, "calibration line")))
    for file in files:
        labels = read_labels(file)
        write_labels(file, [*labels, dataclasses.replace(labels[0], clip_sha256="of another")])
    code, said, err = run("agree", *files)
    assert code == 0
    assert "x [px]" in said
    assert "not every clip has a scale" in err


def test_raters_are_chosen_by_name(run, files, tmp_path):
    labels = read_labels(files[0])
    second = [dataclasses.replace(found, round=2, x_px=found.x_px + 1) for found in labels]
    write_labels(files[0], [*labels, *second])
    code, said, _ = run("agree", *files)
    assert said.count("anna, round 2 minus") + said.count("minus anna, round 2") == 2
    words = ("--rater", "anna, round 2", "--rater", "=bert", "--out", tmp_path)
    (tmp_path / "bland-altman.png").write_bytes(b"an earlier plot")
    code, _, err = run("agree", *files, *words)
    assert (code, "bland-altman.png: exists" in err) == (1, True)
    code, said, _ = run("agree", *files, *words, "--overwrite")
    assert code == 0
    assert "=bert minus anna, round 2" in said
    assert "round 1" not in said
    code, _, err = run("agree", *files, "--rater", "carl")
    assert code == 1
    assert "there is no rater 'carl', only anna, round 1; anna, round 2; =bert" in err


def test_one_file_called_in_two_ways_is_one(run, files):
    code, _, err = run(
        "agree", files[0], files[0].parent / ".." / files[0].parent.name / files[0].name
    )
    assert code == 1
    assert "two raters at least" in err


def test_nothing_in_common_is_told(run, files):
    labels = [dataclasses.replace(found, frame=found.frame + 50) for found in read_labels(files[1])]
    write_labels(files[1], labels)
    code, _, err = run("agree", *files)
    assert code == 0
    assert "note: anna and =bert have no frame in common with positions" in err


def test_one_rater_is_no_study(run, files):
    code, _, err = run("agree", files[0])
    assert code == 1
    assert err == "error: agreement needs two raters at least, and these labels are by anna\n"

import ast
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import napari_deepmtj
from napari_deepmtj.cli.reproduce import DIFFERS
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.jobs import Done
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.pipeline.replay import STEPS
from napari_deepmtj.pipeline.reproduce import compare
from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.weights.store import load_model, save_model

TINY = ("--model", "tiny", "--roi", "10,4,100,50", "--scale", "0.1,0.2")


@pytest.fixture
def csv(run, clip):
    """A tracked clip: frames 1 to 10."""
    assert run("track", clip, *TINY, "--frames", "1:11", "--batch", 3)[0] == 0
    return clip.with_name("clip.mtj.csv")


@pytest.fixture
def log(csv):
    return csv.with_name("clip.mtj.json")


def test_a_result_is_made_again(run, log):
    code, out, err = run("reproduce", log)
    assert (code, err) == (0, "")
    assert out.startswith("clip.mtj.csv: identical: 10 rows, largest difference ")


def test_a_renamed_clip_is_found_by_its_content(run, clip, csv, log):
    clip.with_name("broken.avi").write_bytes(clip.read_bytes()[:5000])
    clip.rename(clip.with_name("anonymous 1.bin"))
    assert run("reproduce", csv)[:2] == run("reproduce", log)[:2]
    assert run("reproduce", log)[0] == 0


def test_a_clip_elsewhere_must_be_named_and_is_checked(run, clip, log, tmp_path):
    (tmp_path / "away").mkdir()
    there = clip.rename(tmp_path / "away" / "x.avi")
    code, _, err = run("reproduce", log)
    assert code == 1
    assert "clip.avi with the content " in err
    assert err.endswith("say where it is with --clip\n")
    assert run("reproduce", log, "--clip", there)[0] == 0
    there.write_bytes(there.read_bytes() + b"\0")
    code, _, err = run("reproduce", log, "--clip", there)
    assert code == 1
    assert err.startswith("error: x.avi: is not the clip that the result comes from")


def test_everything_done_since_is_done_again(run, csv, log):
    trajectory = read_trajectory(csv)
    edited = trajectory.corrected(4, (50.0, 20.0)).corrected(6, None).corrected(7, (3, 4))
    edited = edited.rescaled(Scale(0.2, 0.2, "line")).corrected(7, (30, 25), Origin.MANUAL)
    write_trajectory(edited, csv, overwrite=True)
    assert run("process", csv, "--gate", "--smooth", "butterworth:cutoff_hz=4")[0] == 0
    saved = read_trajectory(csv)
    names = [op.name for op in saved.provenance.operations]
    assert {"track", "correct", "scale changed", "gate", "smooth"} == set(names)
    assert np.nanmax(np.abs(saved.xy_px - trajectory.xy_px)[saved.by_hand]) > 1
    code, out, _ = run("reproduce", log)
    assert code == 0, out
    assert "identical: 10 rows" in out


def test_a_rerun_over_corrections_and_a_point_on_an_untracked_frame(run, clip, csv, log):
    trajectory = read_trajectory(csv).corrected(4, (50.0, 20.0))
    write_trajectory(trajectory, csv, overwrite=True)
    assert run("track", clip, *TINY, "--frames", "3:8", "--overwrite")[0] == 0
    said = json.loads(log.read_text())
    point = {"name": "correct", "arguments": {"frame": 0, "xy_px": [20.0, 30.0]}}
    said["operations"].append(point | {"software": "x", "when": "2026-01-01T00:00:00+00:00"})
    log.write_text(json.dumps(said))
    lines = csv.read_text().splitlines()
    lines.insert(1, "0,0,20,30,2,6,1,1,,,,,MANUAL,,,")
    csv.write_text("\n".join(lines) + "\n")
    code, out, _ = run("reproduce", log)
    assert code == 0, out
    assert "identical: 11 rows" in out


def test_a_changed_number_is_found_with_its_frame(run, csv, log):
    trajectory = read_trajectory(csv)
    table = trajectory.table.copy()
    table.loc[3, "x_px"] += 0.25
    write_trajectory(dataclasses.replace(trajectory, table=table), csv, overwrite=True)
    code, out, _ = run("reproduce", log)
    assert code == DIFFERS
    assert out == (
        "clip.mtj.csv: not identical: 1 of 10 positions differ, the most at frame 4: 0.25 px\n"
    )


def test_a_row_that_is_gone_or_empty_is_a_difference(csv):
    trajectory = read_trajectory(csv)
    fewer = dataclasses.replace(trajectory, table=trajectory.table.iloc[1:])
    assert compare(trajectory, fewer).describe() == (
        "not identical: 1 frames, the first 1, only in one"
    )
    empty = trajectory.corrected(5, None)
    found = compare(trajectory, empty)
    assert (found.frame, found.largest_px, found.marks) == (5, np.inf, 1)
    assert "at frame 5: a position in one and none in the other" in found.describe()
    assert compare(trajectory, trajectory).describe().endswith("largest difference 0 px")


def test_other_weights_of_the_same_name_are_refused(run, models, log, tmp_path, monkeypatch):
    import torch

    other = tmp_path / "models"
    shutil.copytree(models, other)
    tiny = load_model("tiny")
    with torch.no_grad():
        next(tiny.network.parameters()).add_(0.5)
    save_model(other / "tiny.safetensors", tiny.network, tiny.card)
    monkeypatch.setenv("NAPARI_DEEPMTJ_MODELS", str(other))
    code, _, err = run("reproduce", log)
    assert code == 1
    assert "the model 'tiny' has the weights " in err
    assert "give the file of those weights with --model" in err
    assert run("reproduce", log, "--model", models / "tiny.safetensors")[0] == 0


def test_a_device_that_is_not_there_is_told(run, log):
    said = json.loads(log.read_text())
    said["operations"][0]["arguments"]["device"] = "mps"
    log.write_text(json.dumps(said))
    code, _, err = run("reproduce", log)
    assert code == 1
    assert "was tracked on mps" in err
    assert "compare with --device" in err
    code, _, err = run("reproduce", log, "--device", "cpu")
    assert code == 0
    assert "computed on cpu; the result was on mps" in err


def test_what_has_changed_since_is_told(run, log):
    said = json.loads(log.read_text())
    said["operations"][0]["arguments"]["libraries"]["numpy"] = "1.0"
    log.write_text(json.dumps(said))
    code, _, err = run("reproduce", log)
    assert code == 0
    assert err.startswith("note: numpy was 1.0, is ")


def test_an_unknown_operation_and_a_log_without_tracking(run, log):
    said = json.loads(log.read_text())
    step = said["operations"][0]
    said["operations"] = [step, step | {"name": "guess"}]
    log.write_text(json.dumps(said))
    code, _, err = run("reproduce", log)
    assert code == 1
    assert "the log has 'guess', which this version cannot do again" in err
    said["operations"] = []
    log.write_text(json.dumps(said))
    assert "is empty, so nothing can be done again" in run("reproduce", log)[2]


def test_a_scale_that_came_later_is_refused(run, clip, tmp_path):
    from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar

    assert run("track", clip, "--model", "tiny", "--roi", "full")[0] == 0
    write_sidecar(clip, ClipInfo(scale=Scale(0.1, 0.2, "line")))
    code, _, err = run("reproduce", clip.with_name("clip.mtj.json"))
    assert code == 1
    assert "has a scale now" in err


def test_other_files_are_refused(run, clip, log):
    assert "neither" in run("reproduce", clip)[2]
    log.unlink()
    code, _, err = run("reproduce", log)
    assert code == 1
    assert "does not say which clip it is of" in err


def last_of(events):
    *_, last = events
    assert isinstance(last, Done), last
    return last.result


@pytest.mark.parametrize("name", ["fuse", "refill", "estimate slip", "subtract slip"])
def test_what_looks_at_pictures_is_done_again(run, clip, csv, log, name):
    pytest.importorskip("cv2", reason="the extra flow is not installed")
    from napari_deepmtj.tracking import slip
    from napari_deepmtj.tracking.fusion import Fusion, fuse
    from napari_deepmtj.tracking.refill import refill

    trajectory = read_trajectory(csv)
    with open_video(clip) as source:
        if name == "fuse":
            done = last_of(fuse(trajectory, source, Fusion(flow_noise_factor=2.0)))
        elif name == "refill":
            x, y = trajectory.xy_px[5]
            edited = trajectory.corrected(2, (x, y)).corrected(6, (x - 12, y))
            done = refill(edited, source, 6)
        else:
            found = last_of(slip.estimate(source, trajectory))
            done = (slip.flag if name == "estimate slip" else slip.subtract)(trajectory, found)
    assert done.provenance.operations[-1].name == name
    write_trajectory(done, csv, overwrite=True)
    code, out, _ = run("reproduce", log)
    assert code == 0, out
    table = done.table.copy()
    if (row := table["x_px"].first_valid_index()) is None:  # noise, which fusion calls out of view
        table["x_px"], table["y_px"], table["in_view"] = 1.0, 1.0, True
    else:
        table.loc[row, "x_px"] += 0.01
    write_trajectory(dataclasses.replace(done, table=table), csv, overwrite=True)
    assert run("reproduce", log)[0] == DIFFERS


def test_a_reference_point_is_followed_again(run, clip):
    pytest.importorskip("cv2", reason="the extra flow is not installed")
    from napari_deepmtj.tracking.reference import follow_reference

    with open_video(clip) as source:
        found = last_of(follow_reference(source, "marker", 6, (60.0, 30.0)))
    csv = clip.with_name("marker.mtj.csv")
    write_trajectory(found, csv)
    code, out, _ = run("reproduce", csv)
    assert code == 0, out
    assert "identical: 12 rows" in out


def test_every_operation_that_the_package_writes_can_be_done_again():
    """Whoever adds an operation that changes a trajectory adds its step."""
    source = Path(napari_deepmtj.__file__).parent
    written = set()
    for room in ("core", "tracking", "inference"):
        for path in (source / room).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                name = getattr(getattr(node, "func", None), "attr", "")
                place = {"and_then": 0, "changed": 1}.get(name)
                if place is not None and isinstance(node.args[place], ast.Constant):
                    written.add(node.args[place].value)
    assert {"track", "gate", "smooth", "correct", "scale changed"} <= written
    assert written <= STEPS.keys()

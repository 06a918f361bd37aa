from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from napari_deepmtj.core.labels import Label
from napari_deepmtj.evaluation.metrics import ERROR_COLUMNS
from napari_deepmtj.labels.table import labels_path, write_labels
from napari_deepmtj.networks.build import build
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.weights.store import load_model, save_model

TINY = ("--model", "tiny", "--roi", "full", "--device", "cpu", "--worst", "1")


@pytest.fixture
def labelled(clip):
    """The clip, its MTJ said to be at (40, 20) in frames 0 and 5, and hidden in frame 7."""
    with open_video(clip) as source:
        sha256 = source.sha256
    places = {0: (40.0, 20.0), 5: (40.0, 20.0), 7: (None, None)}
    write_labels(
        labels_path(clip),
        [
            Label(clip=clip.name, clip_sha256=sha256, frame=f, x_px=x, y_px=y, annotator="anna")
            for f, (x, y) in places.items()
        ],
    )
    return clip


def test_labelled_clips_are_measured_and_saved(run, labelled, tmp_path):
    code, out, err = run("evaluate", labelled, *TINY, "--out", tmp_path / "e")
    assert code == 0
    assert [line[:6] for line in err.splitlines()] == ["note: "] * 4
    errors = pd.read_csv(tmp_path / "e" / "evaluation.csv")
    assert tuple(errors.columns) == ERROR_COLUMNS
    assert errors["frame"].tolist() == [0, 5, 7]
    expected = np.hypot(errors["x_px"] - 40, errors["y_px"] - 20)[:2]
    np.testing.assert_allclose(errors["error_px"][:2], expected, rtol=1e-8)
    data = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    assert data["data"] == "real"
    assert data["summary"]["mean"] == pytest.approx(expected.mean())
    assert data["summary"]["unit"] == "px"
    assert data["summary"]["invented"] == 1
    assert data["settings"] == {"roi": "full", "labelled_only": False}
    assert "real clips" in out
    assert f"{expected.mean():.2f} px" in out
    assert "not in view but invented" in out


def test_the_phantom_is_called_a_phantom(run, tmp_path):
    words = ("--phantom", 2, "--videos", 1, "--frames", 3, "--seed", 5, "--out", tmp_path)
    code, out, err = run("evaluate", *words, *TINY, "--roi", "auto")
    assert code == 0
    assert "2 subjects: intervals over so few" in err
    assert "made-up clips (phantom)" in out
    data = json.loads((tmp_path / "evaluation.json").read_text())
    assert data["data"] == "phantom"
    made = {"subjects": 2, "videos": 1, "frames": 3, "seed": 5, "styles": "training"}
    assert data["settings"] == {"roi": "auto", "labelled_only": False, "phantom": made}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "PHANTOM: made-up clips, not patients" in page
    assert (data["summary"]["subjects"], data["summary"]["frames"]) == (2, 6)
    assert data["summary"]["unit"] == "mm"
    first = (tmp_path / "evaluation.csv").read_bytes()
    run("evaluate", *words, *TINY, "--overwrite")
    assert (tmp_path / "evaluation.csv").read_bytes() == first


def test_without_a_folder_it_makes_one(run, labelled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    assert run("evaluate", labelled, *TINY)[0] == 0
    assert set(tmp_path.iterdir()) - before == {tmp_path / "evaluation"}
    assert (tmp_path / "evaluation" / "report.html").exists()


def test_an_earlier_evaluation_is_kept(run, labelled, tmp_path):
    (tmp_path / "evaluation.json").write_text("mine")
    code, _, err = run("evaluate", labelled, *TINY, "--out", tmp_path)
    assert code == 1
    assert err == "error: evaluation.json: exists; add --overwrite or choose another --out\n"
    assert (tmp_path / "evaluation.json").read_text() == "mine"


@pytest.mark.parametrize("words", [(), ("x.avi", "--phantom", "3")])
def test_either_clips_or_phantoms(run, words):
    code, _, err = run("evaluate", *words)
    assert code == 2
    assert "either labelled clips" in " ".join(err.split())


def test_clips_without_labels_are_one_line(run, clip):
    code, _, err = run("evaluate", clip, *TINY)
    assert (code, err) == (1, "error: clip.mtj-labels.csv: there is no such label file\n")


def test_models_and_trackers_side_by_side(run, labelled, tmp_path):
    pytest.importorskip("cv2", reason="trackers need OpenCV (extra flow)")
    first = load_model("tiny")
    other = tmp_path / "other.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(1)
        card = save_model(other, build("compact", channels=(4, 4, 4)), first.card)
    words = ("--model", other, "--tracker", "block-matching", "--labelled-only")
    code, out, _ = run("evaluate", labelled, *TINY, *words, "--out", tmp_path / "e")
    assert code == 0
    data = json.loads((tmp_path / "e" / "evaluation.json").read_text())
    # Two models of one id are told by their hash, and no path is in the results.
    names = [method["name"] for method in data["methods"]]
    hashes = [first.card.sha256[:8], card.sha256[:8]]
    assert names == [f"tiny ({hashes[0]})", f"tiny ({hashes[1]})", "block-matching"]
    assert [method["kind"] for method in data["methods"]] == ["network", "network", "tracker"]
    assert [method["frames_timed"] for method in data["methods"][:2]] == [3, 3]
    assert data["paired"][0]["frames"] == 2
    errors = pd.read_csv(tmp_path / "e" / "evaluation.csv")
    assert errors["method"].unique().tolist() == names
    assert errors.query("method == 'block-matching'")["given"].tolist() == [True, False, False]
    page = (tmp_path / "e" / "report.html").read_text(encoding="utf-8")
    assert "REAL images" in page
    assert f"Where {names[1]} did worst" in page
    assert str(tmp_path) not in page
    for name in (line.strip() for line in out.splitlines()[-1].split(":")[0].split(",")):
        assert (tmp_path / "e" / name).is_file()


def test_an_unknown_tracker_is_bad_usage(run, clip):
    code, _, err = run("evaluate", clip, "--tracker", "guess")
    assert code == 2
    assert "lucas-kanade" in err

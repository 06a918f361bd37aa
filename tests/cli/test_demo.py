from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from napari_deepmtj.labels.table import labels_path, read_labels
from napari_deepmtj.phantom import demo_clip
from napari_deepmtj.results.trajectory_file import read_trajectory
from napari_deepmtj.video.opening import open_video

WORDS = ("demo", "--frames", 4, "--device", "cpu", "--model", "tiny")


@pytest.fixture(scope="module")
def truth():
    return demo_clip(4).truth


def test_the_demonstration_leaves_everything_and_says_where(run, tmp_path, truth):
    code, out, err = run(*WORDS, "--out", tmp_path)
    assert (code, err) == (0, "")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "demo.avi",
        "demo.mtj-clip.json",
        "demo.mtj-labels.csv",
        "demo.mtj.csv",
        "demo.mtj.json",
        "demo-over-time.png",
        "demo-annotated.mp4",
    }
    for name in ("demo.avi", "demo.mtj.csv", "demo-over-time.png", "demo-annotated.mp4"):
        assert str(tmp_path / name) in out

    # The error that is printed is the one of the files that are left.
    found = read_trajectory(tmp_path / "demo.mtj.csv")
    assert len(found) == 4
    labels = read_labels(labels_path(tmp_path / "demo.avi"))
    np.testing.assert_allclose([(label.x_px, label.y_px) for label in labels], truth)
    scale = found.provenance.scale
    error = np.linalg.norm((found.xy_px - truth) * [scale.x_mm, scale.y_mm], axis=1)
    assert float(re.search(r"mean error +([\d.]+) mm", out)[1]) == pytest.approx(
        error.mean(), abs=0.006
    )
    share = float(re.search(r"within 5 mm +([\d.]+) %", out)[1])
    assert share == pytest.approx(100 * (error <= 5).mean(), abs=0.06)
    assert re.search(r"time +[\d.]+ ms a frame", out)

    with open_video(tmp_path / "demo-annotated.mp4") as video:
        assert video.n_frames == 4
    with Image.open(tmp_path / "demo-over-time.png") as plot:
        assert plot.size == (1350, 750)


def test_an_earlier_demonstration_is_kept_unless_asked(run, tmp_path):
    kept = tmp_path / "demo.mtj.csv"
    kept.write_text("mine")
    code, _, err = run(*WORDS, "--out", tmp_path)
    assert code == 1
    assert err == "error: demo.mtj.csv: exists; add --overwrite or choose another --out\n"
    assert kept.read_text() == "mine"
    kept.unlink()
    assert run(*WORDS, "--out", tmp_path)[0] == 0
    assert run(*WORDS, "--out", tmp_path, "--overwrite")[0] == 0


def test_an_unknown_model_is_told_before_anything_is_drawn(run, tmp_path):
    code, out, err = run("demo", "--model", "nobody", "--out", tmp_path / "d")
    assert (code, out) == (1, "")
    assert "nobody" in err
    assert not (tmp_path / "d").exists()

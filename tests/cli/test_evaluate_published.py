"""`evaluate --data deepmtj-2021` measures on the pictures of an unpacked test set."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "set").mkdir()
    lines = ["filename,x,y"]
    for i in range(3):
        Image.fromarray(rng.integers(0, 255, (64, 128), dtype=np.uint8)).save(
            tmp_path / "set" / f"f{i:04d}.png"
        )
        lines.append(f"f{i:04d}.png,{40 + i},30")
    (tmp_path / "set" / "labels.csv").write_text("\n".join(lines))
    return tmp_path / "set"


def test_the_test_set_is_evaluated_on(run, folder, tmp_path):
    out = tmp_path / "out"
    words = ("--data", "deepmtj-2021", "--model", "tiny", "--roi", "full", "--worst", "0")
    code, _, err = run("evaluate", folder, *words, "--out", out)
    assert code == 0, err
    assert "where the published set has 1344" in err
    written = json.loads((out / "evaluation.json").read_text())
    assert written["settings"]["published"] == "deepmtj-2021"


def test_data_needs_its_folder(run):
    code, _, err = run("evaluate", "--data", "deepmtj-2021", "--phantom", "1")
    assert code == 2
    assert "--data needs the folder" in err

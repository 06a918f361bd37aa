"""`fit-confidence` on the command line: labels in, another model out, refusals in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_deepmtj.weights.store import MODELS_VARIABLE, read_card

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mine(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mine"
    shutil.copytree(models, folder)
    monkeypatch.setenv(MODELS_VARIABLE, str(folder))
    return folder


def test_from_labels_to_a_model_of_ones_own(
    run: Run, mine: Path, write_labelled: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(12):
        write_labelled(f"data/subject {number // 2}/clip {number}.npy", seed=number)
    code, out, err = run("fit-confidence", tmp_path / "data", "--model", "tiny")
    assert code == 0, err
    assert "labels: 48 in view, 0 not, of 12 clips and 6 subjects; halves that share no" in out
    assert "its coverage from now on: 95 % interval" in out
    assert f"installed as tiny-lab: {mine / 'tiny-lab.safetensors'}" in out
    before, after = (read_card(mine / f"{name}.safetensors") for name in ("tiny", "tiny-lab"))
    assert after.sha256 == before.sha256
    assert after.decoding != before.decoding

    code, _, err = run("fit-confidence", tmp_path / "data", "--model", "tiny")
    assert code == 1
    assert "there is such a model already; add --overwrite or give another --id" in err


def test_too_few_labels_are_one_line(
    run: Run, mine: Path, write_labelled: Callable[..., Path]
) -> None:
    clip = write_labelled("clip.npy", seed=1)
    code, out, err = run("fit-confidence", clip, "--model", "tiny")
    assert (code, out) == (1, "")
    assert "the confidence needs 40 labels" in err
    assert not (mine / "tiny-lab.safetensors").exists()


def test_an_offset_without_a_distal_side_is_refused(
    run: Run, mine: Path, write_labelled: Callable[..., Path], tmp_path: Path
) -> None:
    for number in range(6):
        write_labelled(f"data/clip {number}.npy", seed=number)
    code, _, err = run("fit-confidence", tmp_path / "data", "--model", "tiny", "--offset")
    assert code == 1
    assert "clips whose scale and distal side are known; these are 0 of 24" in err

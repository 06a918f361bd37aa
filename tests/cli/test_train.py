"""`train` from labels to a model that is selectable, and its refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_deepmtj.cli.app import app
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.labels.table import labels_path, write_labels
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar
from napari_deepmtj.weights.store import MODELS_VARIABLE, list_models

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs `train` with the options given, and returns what it prints."""
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)

    def call(*options: str) -> str:
        result = CliRunner().invoke(app, ["train", "--device", "cpu", "--workers", "1", *options])
        if result.exception is not None:
            raise result.exception
        return result.output

    return call


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with one labelled clip of three frames for each of two subjects."""
    for number in (1, 2):
        clip = tmp_path / "data" / f"S{number}_a.npy"
        clip.parent.mkdir(exist_ok=True)
        frames = np.random.default_rng(number).integers(0, 256, (3, 64, 128), dtype=np.uint8)
        np.save(clip, frames)
        scale = Scale.isotropic(0.4, "given by hand")
        write_sidecar(clip, ClipInfo(scale, Roi(0, 0, 128, 64)))
        with open_video(clip) as source:
            sha256 = source.sha256
        write_labels(
            labels_path(clip),
            [
                Label(clip=clip.name, clip_sha256=sha256, frame=k, x_px=60, y_px=30, annotator="A")
                for k in range(3)
            ],
        )
    return tmp_path / "data"


PATTERN = ("--subject-pattern", "(?P<subject>S[0-9])_")


def test_from_labels_to_a_model_that_is_selectable(run: Run, data: Path, tmp_path: Path) -> None:
    said = run(
        *("--recipe", "finetune", "--from", "compact", "--data", str(data), *PATTERN),
        *("--epochs", "2", "--name", "mine", "--out", str(tmp_path / "run"), "--install"),
    )
    assert "training: 3 frames, 1 clips, 1 subjects" in said
    assert "epoch 2 of 2: loss " in said
    assert "installed as mine" in said
    assert "mine" in {card.id for card in list_models()}
    lines = (tmp_path / "run" / "curves.csv").read_text().splitlines()
    assert lines[0].startswith("epoch,step,learning_rate,training_loss,loss,error_px,error_mm")
    assert len(lines) == 3
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--recipe", "finetune", "--from", "compact"), "give labels to learn from"),
        (("--recipe", "paper-vgg16", "--data", ".", "--cohort"), "give labels to learn from"),
        (("--recipe", "paper-vgg16", "--cohort", "--split", "clip"), "has its own split"),
        (("--recipe", "compact", "--epochs", "3"), "draws its own scenes"),
        (("--recipe", "compact", "--cohort"), "draws its own scenes"),
        (("--recipe", "soup"), "there is compact, compact-cpu, compact-fast"),
        (("--recipe", "finetune", "--data", "data", *PATTERN), "starts from a trained model"),
        (("--recipe", "paper-vgg16", "--data", "data"), "of 1 subject"),
        (
            ("--recipe", "paper-vgg16", "--data", "data", *PATTERN, "--subjects", "x.csv"),
            "not both",
        ),
    ],
)
def test_what_cannot_run_is_one_line(
    run: Run, data: Path, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DeepMTJError, match=message):
        run(*options)


def test_real_pictures_are_not_for_recipes_of_labelled_frames(run: Run, data: Path) -> None:
    with pytest.raises(DeepMTJError, match="--real is for recipes of scenes"):
        run("--recipe", "finetune", "--data", str(data), "--real", str(data))

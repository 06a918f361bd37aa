import numpy as np
import pytest
import torch

from napari_deepmtj.cli.app import main
from napari_deepmtj.io.encode import VideoWriter
from napari_deepmtj.networks.build import build
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import MODELS_VARIABLE, save_model

FRAMES, HEIGHT, WIDTH = 12, 60, 130


@pytest.fixture
def run(capsys):
    """Run the command line; return exit code, stdout, stderr. A traceback is a failure."""

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return left.value.code or 0, out, err

    return run


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder with one small model, "tiny", of random weights that sees an MTJ in everything."""
    folder = tmp_path_factory.mktemp("models")
    card = WeightCard(
        id="tiny",
        version="3",
        licence="BSD-3-Clause",
        network="compact",
        network_arguments={"channels": [4, 4, 4]},
        input_height=32,
        input_width=64,
        normalisation="minus-one-one",
        trained_on="nothing at all",
        label_definition="none",
        decoding={"presence_threshold": 0.0},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_model(folder / "tiny.safetensors", build("compact", channels=(4, 4, 4)), card)
    return folder


@pytest.fixture(autouse=True)
def _models(monkeypatch, models):
    monkeypatch.setenv(MODELS_VARIABLE, str(models))


@pytest.fixture(scope="session")
def clip_bytes(tmp_path_factory):
    """An AVI of moving noise."""
    path = tmp_path_factory.mktemp("clips") / "made.avi"
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH + 3 * FRAMES), dtype=np.uint8)
    with VideoWriter(path, HEIGHT, WIDTH, 25.0) as writer:
        for i in range(FRAMES):
            writer.add(np.ascontiguousarray(noise[:, 3 * i : 3 * i + WIDTH]))
    return path.read_bytes()


@pytest.fixture
def clip(tmp_path, clip_bytes):
    path = tmp_path / "clip.avi"
    path.write_bytes(clip_bytes)
    return path

import numpy as np
import pytest
from small_networks import write_tiny

from napari_deepmtj.cli.app import main
from napari_deepmtj.video.writer import VideoWriter
from napari_deepmtj.weights.store import MODELS_VARIABLE

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
    write_tiny(folder, version="3", trained_on="nothing at all")
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

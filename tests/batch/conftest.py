"""A study of small clips, and a network that knows nothing but is fast."""

import numpy as np
import pytest

from napari_deepmtj.video.writer import VideoWriter


@pytest.fixture
def make_clip(tmp_path):
    """Write an MJPEG clip of a spot that moves, below `tmp_path / "clips"`."""

    def write(name, n_frames=6, height=32, width=64):
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows, columns = np.mgrid[:height, :width]
        seed = sum(name.encode())
        with VideoWriter(path, height, width, 25.0) as writer:
            for i in range(n_frames):
                away = (columns - 10 - 2 * i - seed % 7) ** 2 + (rows - 15) ** 2
                writer.add((40 + 200 * np.exp(-away / 30)).astype(np.uint8))
        return path

    return write


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """Files of two untrained networks, "tiny" and "other", that always see the MTJ."""
    from small_networks import write_tiny  # it brings torch

    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("tiny", "other")):
        write_tiny(folder, name, seed)
    return folder


@pytest.fixture
def models(tiny_weights, monkeypatch):
    from napari_deepmtj.weights.store import MODELS_VARIABLE

    monkeypatch.setenv(MODELS_VARIABLE, str(tiny_weights))
    return tiny_weights

"""Files of the installed movement, there and back; `make interop` installs it and runs this."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.core.labels import Label
from napari_deepmtj.labels.formats import deeplabcut as dlc
from napari_deepmtj.labels.formats import sleap

REASON = "movement is not installed (dependency group interop)"
load_poses = pytest.importorskip("movement.io.load_poses", reason=REASON)
save_poses = pytest.importorskip("movement.io.save_poses", reason=REASON)

pytestmark = [
    # what movement's own dependencies warn of
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture
def position() -> np.ndarray:
    """Shape (time, space, keypoints, individuals); frame 4 has no position."""
    rng = np.random.default_rng(3)
    xy = rng.uniform(0, 59, (12, 2, 1, 1))
    xy[4] = np.nan
    return xy


@pytest.mark.parametrize("suffix", ["csv", "h5"])
@pytest.mark.parametrize("individuals", [1, 2])
def test_what_movement_wrote(
    tmp_path: Path, clip: Path, position: np.ndarray, suffix: str, individuals: int
) -> None:
    poses = load_poses.from_numpy(
        np.repeat(position, individuals, axis=3),
        np.where(np.isnan(position[:, 0]), 0.1, 0.9).repeat(individuals, axis=2),
        individual_names=["left leg", "right leg"][:individuals],
        keypoint_names=["MTJ"],
    )
    path = tmp_path / f"poses.{suffix}"
    save_poses.to_dlc_file(poses, path)
    if individuals == 1:
        path = tmp_path / f"poses_left leg.{suffix}"
    leg = "right leg" if individuals == 2 else None
    result = dlc.read(path, [clip], individual=leg)
    assert result.unmatched == ()
    assert [label.frame for label in result.labels] == list(range(12))
    assert not result.labels[4].visible
    got = np.array([[i.x_px, i.y_px] for i in result.labels], dtype=float)
    np.testing.assert_allclose(got, position[:, :, 0, 0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("suffix", ["csv", "h5"])
@pytest.mark.parametrize("individual", [None, "left leg"])
def test_movement_opens_our_predictions(
    tmp_path: Path, labels: list[Label], suffix: str, individual: str | None
) -> None:
    path = tmp_path / f"Läufer 1DLC_x.{suffix}"
    dlc.write_predictions(path, labels, n_frames=12, individual=individual)
    poses = load_poses.from_dlc_file(path)
    assert poses.sizes["time"] == 12
    wanted = np.full((12, 2), np.nan)
    for label in labels:
        wanted[label.frame] = label.x_px, label.y_px
    np.testing.assert_allclose(poses.position.to_numpy()[:, :, 0, 0], wanted, rtol=0, atol=1e-6)
    confidence = poses.confidence.to_numpy()[:, 0, 0]
    assert {f: confidence[f] for f in (0, 5, 7, 11)} == {0: 1, 5: 1, 7: 0, 11: 1}
    assert np.isnan(confidence[1])


def test_movement_opens_our_sleap_file(tmp_path: Path, clip: Path, labels: list[Label]) -> None:
    path = tmp_path / "x.slp"
    sleap.write(path, labels, [clip])
    poses = load_poses.from_sleap_file(path)
    position = poses.position.to_numpy()[:, :, 0, 0]
    for label in labels:
        wanted = [np.nan if v is None else v for v in (label.x_px, label.y_px)]
        # movement keeps SLEAP's positions in single precision
        np.testing.assert_allclose(position[label.frame], np.float32(wanted), rtol=0, atol=1e-6)

"""Our exports in the installed movement; `make interop` installs it and runs this."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.results import formats as interchange

REASON = "movement is not installed (dependency group interop)"
load_poses = pytest.importorskip("movement.io.load_poses", reason=REASON)
kinematics = pytest.importorskip("movement.kinematics", reason=REASON)
datasets = pytest.importorskip("movement.validators.datasets", reason=REASON)
xarray = pytest.importorskip("xarray", reason=REASON)

pytestmark = [
    # what movement's own dependencies warn of
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore:numpy.ndarray size changed:RuntimeWarning"),  # netCDF4
]

Make = Callable[..., Trajectory]


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_netcdf_is_a_valid_dataset(tmp_path: Path, make_trajectory: Make, engine: str) -> None:
    """As movement's own window opens netCDF: by xarray, then its validator."""
    trajectory = make_trajectory(hidden={3}, untracked={9})
    path = tmp_path / "poses.nc"
    interchange.write(trajectory, path, "netcdf")
    poses = xarray.load_dataset(path, engine=engine)
    datasets.ValidPosesInputs.validate(poses)
    assert poses.position.dims == tuple(datasets.ValidPosesInputs.DIM_NAMES)
    np.testing.assert_array_equal(poses.position.to_numpy()[:, :, 0, 0], trajectory.xy_px)
    assert poses.attrs["fps"] == pytest.approx(25)
    velocity = kinematics.compute_velocity(poses.position)
    y = velocity.sel(space="y").to_numpy()[:, 0, 0]
    np.testing.assert_allclose(y[np.isfinite(y)], 100 / 3, rtol=1e-6)


def test_what_movement_saved_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    poses = load_poses.from_numpy(
        rng.uniform(0, 9, (5, 2, 2, 3)), rng.uniform(0, 1, (5, 2, 3)), fps=25.0, source_software="x"
    )
    poses.to_netcdf(tmp_path / "a.nc")
    tracks = interchange.read(tmp_path / "a.nc", "netcdf")
    assert len(tracks) == 6
    np.testing.assert_array_equal(tracks[3].xy, poses.position.to_numpy()[:, :, 1, 1])
    np.testing.assert_allclose(tracks[3].times, np.arange(5) / 25)


@pytest.mark.parametrize("key", ["dlc-csv", "dlc-h5"])
def test_predictions_open(tmp_path: Path, make_trajectory: Make, key: str) -> None:
    trajectory = make_trajectory(hidden={3}, untracked={9})
    path = interchange.default_path(tmp_path / "a.mtj.csv", key)
    interchange.write(trajectory, path, key)
    poses = load_poses.from_dlc_file(path, fps=25)
    wanted = np.full((20, 2), np.nan)
    wanted[trajectory.frames] = trajectory.xy_px
    np.testing.assert_allclose(poses.position.to_numpy()[:, :, 0, 0], wanted, rtol=0, atol=1e-6)
    confidence = poses.confidence.to_numpy()[:, 0, 0]
    assert confidence[3] == 0
    assert np.isnan(confidence[9])
    assert confidence[5] == pytest.approx(0.55)

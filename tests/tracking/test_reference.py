"""A clicked point followed to both ends, kept as a result, and subtracted from the MTJ."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.mechanics.motion import motion
from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory
from napari_deepmtj.tracking.flow import LucasKanade
from napari_deepmtj.tracking.reference import follow_reference, reference_path
from napari_deepmtj.video.stacks.stack import ArraySource

pytest.importorskip("cv2", reason="the extra flow is not installed")
Make = Callable[..., Trajectory]

N, CLICK = 70, 60
#: What the probe does, px: far enough from frame 60 that two blocks are followed.
SLIP = np.column_stack([8 * np.sin(np.arange(N) / 12), 3 * np.cos(np.arange(N) / 9)])


@pytest.fixture(scope="module")
def slipping() -> ArraySource:
    rng = np.random.default_rng(0)
    tissue = gaussian_filter(rng.normal(size=(120, 200)), 2)
    tissue = 128 + 60 * tissue / tissue.std()
    frames = [shift(tissue, s[::-1], order=3, mode="reflect") for s in SLIP]
    frames = np.clip(np.stack(frames), 0, 255).astype(np.uint8)
    times = FrameTimes.from_rate(N, 25, "container")
    return ArraySource(frames, "a.tif", times=times, scale=Scale.isotropic(0.15, "test"))


@pytest.fixture(scope="module")
def followed(slipping: ArraySource) -> Trajectory:
    *events, last = follow_reference(slipping, "skin", CLICK, (100.0, 60.0))
    assert isinstance(last, Done)
    assert [e.done for e in events if isinstance(e, Progress)] == [9, 59, 69]
    return last.result


def test_the_point_is_followed_to_both_ends(followed: Trajectory) -> None:
    true = [100, 60] + SLIP - SLIP[CLICK]
    assert np.abs(followed.xy_px - true).max() < 0.5
    origin = followed.table["origin"]
    assert origin[CLICK] == "MANUAL"
    assert (origin.drop(CLICK) == "REFILLED").all()
    sd = followed.table["sd_x_px"]
    assert sd[0] > sd[30] > sd[59] > 0
    assert followed.provenance.operations[0].name == "follow reference"
    said = followed.provenance.operations[0].arguments["parameters"]
    assert said["window_mm"] == LucasKanade().window_mm


def test_it_is_saved_as_results_are(followed: Trajectory, tmp_path: Path) -> None:
    path = reference_path(tmp_path / "clip.mtj.csv", "skin")
    assert path == reference_path(tmp_path / "clip.avi", "skin")
    assert path.name == "clip.mtj-reference-skin.csv"
    write_trajectory(followed, path)
    again = read_trajectory(path)
    assert again.xy_px == pytest.approx(followed.xy_px)
    assert again.provenance.operations == followed.provenance.operations
    with pytest.raises(ResultError, match="no name"):
        reference_path(path, "../x")


def test_what_slips_is_subtracted(followed: Trajectory, slipping: ArraySource, made: Make) -> None:
    d = np.r_[0, np.linspace(0, 50, N - 1)]
    xy = np.column_stack([150 - d, np.full(N, 40.0)])
    said = {"scale": slipping.scale}
    mtj = made(xy + SLIP, np.arange(N) / 25, **said)
    provenance = mtj.provenance.__class__.from_json(
        mtj.provenance.to_json() | {"clip": followed.provenance.to_json()["clip"]}
    )
    mtj = Trajectory(mtj.table, provenance)
    plain, less = motion(mtj, "right"), motion(mtj, "right", reference=followed)
    assert np.abs(less.displacement - d * 0.15).max() < 0.08
    assert np.abs(plain.displacement - d * 0.15).max() > 0.5
    assert less.axis.linearity > 0.999 > plain.axis.linearity
    part = Trajectory(followed.table.iloc[10:], followed.provenance)
    some = motion(mtj, "right", reference=part)
    assert np.flatnonzero(np.isnan(some.displacement)).tolist() == list(range(10))
    with pytest.raises(ResultError, match="another clip"):
        motion(made(xy, np.arange(N) / 25), "right", reference=followed)


def test_a_point_that_is_lost_is_reported(slipping: ArraySource) -> None:
    blank = np.stack([slipping.read(i) for i in range(30)])
    blank[20:] = 0
    source = ArraySource(blank, "a.tif", times=FrameTimes.from_rate(30, 25, "container"))
    *events, last = follow_reference(source, "fascia", 5, (100.0, 60.0))
    assert isinstance(last, Done)
    assert [e.message for e in events if isinstance(e, Notice)] == ["fascia was lost at frame 20"]
    seen = np.isfinite(last.result.xy_px[:, 0])
    assert np.flatnonzero(~seen).tolist() == list(range(20, 30))
    *_, failed = follow_reference(source, "fascia", 99, (100.0, 60.0))
    assert isinstance(failed, Failed)

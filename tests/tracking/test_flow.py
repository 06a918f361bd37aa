from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import ndimage

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import MissingExtraError, VideoError
from napari_deepmtj.tracking.flow import BlockMatching, LucasKanade, Method, follow
from napari_deepmtj.video.stacks.stack import ArraySource

METHODS = pytest.mark.parametrize("method", [LucasKanade(), BlockMatching()], ids=["lk", "block"])
SCALE = Scale.isotropic(0.15, "by hand")


def speckle(seed: int = 0, height: int = 200, width: int = 500) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grain = ndimage.gaussian_filter(rng.standard_normal((height, width)), (1.5, 3))
    return 110 + 40 * grain / grain.std()


def moving(path: np.ndarray, noise: float = 3.0, tissue: np.ndarray | None = None) -> ArraySource:
    """Return a clip whose tissue follows `path`, shape (n, 2), seen through a window."""
    tissue = speckle() if tissue is None else tissue
    smooth = ndimage.spline_filter(tissue)
    rng = np.random.default_rng(1)
    pictures = []
    for x, y in path:
        picture = ndimage.shift(smooth, (y, x), mode="reflect", prefilter=False)[:, 100:400]
        pictures.append((picture + noise * rng.standard_normal(picture.shape)).clip(0, 255))
    return ArraySource(np.stack(pictures).round().astype(np.uint8), scale=SCALE)


def swing(n: int = 30) -> np.ndarray:
    """Up to 5 px a frame along x, and a little along y."""
    phase = 2 * np.pi * np.arange(n) / n
    return np.stack([25 * (1 - np.cos(phase)), 3 * np.sin(phase)], axis=1)


@METHODS
@pytest.mark.parametrize("backwards", [False, True])
def test_known_motion_is_followed_either_way(method: Method, backwards: bool) -> None:
    path = swing()
    start, stop = (29, 4) if backwards else (4, 29)
    true = path + [120.4, 90.7]
    found = follow(moving(path), true[start], start, stop, method=method)
    assert found.frames.tolist() == list(
        range(start, stop + (1 if stop > start else -1), -1 if backwards else 1)
    )
    np.testing.assert_array_equal(found.xy[0], true[start])
    error = found.xy - true[found.frames]
    steps = np.abs(np.diff(error, axis=0))
    within = 0.02 if isinstance(method, LucasKanade) else 0.15
    assert steps.mean() < within
    assert np.abs(error).max() < 10 * within
    assert found.quality.min() > 0.8


def test_the_stated_error_of_a_step_is_about_its_error() -> None:
    path = swing(60)
    true = path + [120, 90]
    found = follow(moving(path, noise=12.0), true[0], 0, 59)
    errors = np.diff(found.xy - true, axis=0)
    ratio = np.sqrt((errors**2).mean(axis=0)) / np.sqrt((found.sd[1:] ** 2).mean(axis=0))
    assert (ratio > 0.3).all()
    assert (ratio < 3).all()


def test_other_tissue_in_reach_is_outvoted() -> None:
    n, path = 10, np.stack([3.0 * np.arange(10), np.zeros(10)], axis=1)
    own, other = moving(path), moving(np.zeros((n, 2)), tissue=speckle(7))
    mixed = np.stack([own.read(i).copy() for i in range(n)])
    mixed[:, :84] = np.stack([other.read(i)[:84] for i in range(n)])
    clip = ArraySource(mixed, scale=SCALE)
    found = follow(clip, (120, 90), 0, 9)  # 6 px below what stands still, well within reach
    np.testing.assert_allclose(found.xy[-1], [147, 90], atol=0.5)


@METHODS
def test_lost_is_nan_from_there_on(method: Method) -> None:
    path = swing(12)
    pictures = np.stack([moving(path).read(i).copy() for i in range(12)])
    pictures[6:] = 0
    found = follow(ArraySource(pictures, scale=SCALE), (120, 90), 0, 11, method=method)
    assert np.isfinite(found.xy[:6]).all()
    assert np.isnan(found.xy[6:]).all()
    assert (found.quality[6:] == 0).all()


@METHODS
def test_a_cut_to_other_tissue_is_not_followed(method: Method) -> None:
    pictures = np.stack([speckle(3)[:, :300], speckle(4)[:, :300]]).clip(0, 255).astype(np.uint8)
    found = follow(ArraySource(pictures, scale=SCALE), (120, 90), 0, 1, method=method)
    assert np.isnan(found.xy[1]).all()


@METHODS
def test_a_region_changes_nothing_but_ends_the_path_at_its_border(method: Method) -> None:
    path = np.stack([4.0 * np.arange(20), np.zeros(20)], axis=1)
    clip, roi = moving(path), Roi(60, 20, 130, 150)
    whole = follow(clip, (130, 90), 0, 19, method=method)
    cut = follow(clip, (130, 90), 0, 19, method=method, roi=roi)
    np.testing.assert_allclose(cut.xy[:12], whole.xy[:12], atol=0.3)
    assert np.isnan(cut.xy[-1]).all()
    assert np.nanmax(cut.xy[:, 0]) <= roi.x + roi.width - 0.5
    assert np.isfinite(whole.xy).all()


def test_without_a_scale_lengths_are_parts_of_the_region() -> None:
    path = swing()[:5]
    clip = moving(path)
    bare = ArraySource(np.stack(list(clip.frames())))
    assert bare.scale is None
    found = follow(bare, path[0] + [120, 90], 0, 4)
    np.testing.assert_allclose(found.xy[-1], path[4] + [120, 90], atol=0.3)


def test_frames_that_are_not_there_are_refused() -> None:
    with pytest.raises(VideoError, match="frame 5: there is no such frame"):
        follow(moving(swing(5)), (120, 90), 0, 5)


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r'extra "flow"'):
        follow(moving(swing(2)), (120, 90), 0, 1)

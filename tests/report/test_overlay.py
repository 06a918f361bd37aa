from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_deepmtj.core.jobs import Failed
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.report.overlay import COLOUR, OPACITY, Overlay
from napari_deepmtj.report.video import write_annotated_video
from napari_deepmtj.results.attention_file import AttentionInfo, AttentionWriter

#: Maps of 8 x 16 over the region at (10, 20) of 140 x 70 px; frames 0, 2, 4.
STEP, ORIGIN = (70 / 8, 140 / 16), (20 - 0.5 + 70 / 16, 10 - 0.5 + 140 / 32)
FRAMES = range(0, 6, 2)


def stack(path: Path, maps: np.ndarray, frames: range = FRAMES) -> Path:
    info = AttentionInfo(frames, STEP, ORIGIN, "gate-1", "gate, 0 (closed) to 1 (open)", "tiny")
    with AttentionWriter(path, info) as writer:
        writer.append(maps)
    return path


@pytest.fixture
def maps() -> np.ndarray:
    """One hot pixel in row 2, column 11: full in frame 0, half in frame 2, none in frame 4."""
    found = np.zeros((3, 8, 16), np.float32)
    found[:, 2, 11] = 1.0, 0.5, 0.0
    found[0] += 1e-6  # so that frame 0 has a map everywhere
    return found


def densest(overlay: Overlay, frame: int, zoom: int) -> tuple[np.ndarray, float]:
    """Return where the overlay is densest, (x, y) in frame pixels, and how dense, 0 to 1."""
    black = Image.new("RGB", (160 * zoom, 96 * zoom))
    drawn = np.asarray(overlay.on(black, frame, zoom)).astype(float)[..., 0] / COLOUR[0]
    weight = drawn / max(drawn.sum(), 1e-9)
    y, x = np.indices(drawn.shape)
    middle = np.array([(weight * x).sum(), (weight * y).sum()])
    return (middle + 0.5) / zoom - 0.5, float(drawn.max())


@pytest.mark.parametrize("zoom", [1, 4])
def test_the_overlay_lies_where_the_map_does(
    tmp_path: Path, trajectory: Trajectory, maps: np.ndarray, zoom: int
) -> None:
    overlay = Overlay.read(stack(tmp_path / "a.tif", maps), trajectory)
    middle, dense = densest(overlay, 0, zoom)
    where = np.array([ORIGIN[1] + 11 * STEP[1], ORIGIN[0] + 2 * STEP[0]])
    np.testing.assert_allclose(middle, where, atol=0.3)
    assert dense == pytest.approx(OPACITY, abs=0.05)


def test_one_scale_for_all_frames(tmp_path: Path, trajectory: Trajectory, maps: np.ndarray) -> None:
    overlay = Overlay.read(stack(tmp_path / "a.tif", maps), trajectory)
    ratio = overlay.alpha(2).max() / overlay.alpha(0).max()
    assert 0.45 < ratio < 0.8  # the highest of a usual frame has the full colour
    assert overlay.alpha(4).max() == 0
    picture = Image.new("RGB", (160, 96), (9, 9, 9))
    assert overlay.alpha(3) is None
    assert overlay.on(picture, 3, 1) is picture


def test_a_stack_that_is_missing_or_of_other_frames(
    tmp_path: Path, trajectory: Trajectory, maps: np.ndarray
) -> None:
    with pytest.raises(ResultError, match="track it again with --attention"):
        Overlay.read(tmp_path / "none.tif", trajectory)
    other = stack(tmp_path / "b.tif", maps, range(100, 106, 2))
    with pytest.raises(ResultError, match="other frames"):
        Overlay.read(other, trajectory)


def test_a_video_that_cannot_have_its_overlay_is_not_written(
    tmp_path: Path, trajectory: Trajectory
) -> None:
    class Clip:
        name, sha256 = "clip.avi", "aa" * 32

    job = write_annotated_video(
        Clip(), trajectory, tmp_path / "a.avi", attention=tmp_path / "none.tif"
    )
    (event,) = job
    assert isinstance(event, Failed)
    assert list(tmp_path.iterdir()) == []

"""Moving composites follow their truth; composites on disk are read back with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.labels.table import labels_path, read_labels
from napari_deepmtj.phantom.composite_clips import CompositeClip, write_composites
from napari_deepmtj.phantom.composites import Belly, Line
from napari_deepmtj.phantom.motion import Movement
from napari_deepmtj.video.opening import open_video

HEIGHT, WIDTH, MM = 200, 300, 0.2
SUPERFICIAL, DEEP = (30, 35), (90, 97)


@pytest.fixture
def belly() -> Belly:
    """Noise between two bright lines."""
    rng = np.random.default_rng(0)
    picture = rng.normal(80, 15, (HEIGHT, WIDTH)).clip(0, 255).astype(np.uint8)
    for top, bottom in (SUPERFICIAL, DEEP):
        picture[top:bottom] = 230
    lines = (Line(*(np.full(WIDTH, float(e)) for e in edges)) for edges in (SUPERFICIAL, DEEP))
    return Belly("drawn.png", picture, *lines, MM)


@pytest.mark.parametrize("movement", list(Movement))
def test_the_truth_travels_with_the_junction(belly: Belly, movement: Movement) -> None:
    clip = CompositeClip(belly, 5, 12, movement)
    there = clip.truth[np.isfinite(clip.truth[:, 0])]
    assert len(there) >= 10
    travelled = np.ptp(there[:, 0]) * MM
    assert 2.0 < travelled < 25.0
    assert clip.read(3).shape == (clip.height, clip.width)
    assert np.array_equal(clip.read(3), CompositeClip(belly, 5, 12, movement).read(3))
    assert clip.sha256 != CompositeClip(belly, 6, 12, movement).sha256


def test_speckle_of_the_muscle_goes_along(belly: Belly) -> None:
    clip = CompositeClip(belly, 5, 40)
    step = np.diff(clip._moved_mm) / MM
    frame = int(np.argmax(np.where(np.abs(step) < 18, np.abs(step), 0)))
    before, after = clip.read(frame).astype(float), clip.read(frame + 1).astype(float)
    rows = slice(SUPERFICIAL[1] + 3, SUPERFICIAL[1] + 13)  # muscle, far proximally
    shifts = range(-20, 21)
    alike = [
        np.corrcoef(before[rows, 20:60].ravel(), after[rows, 20 + d : 60 + d].ravel())[0, 1]
        for d in shifts
    ]
    assert abs(shifts[int(np.argmax(alike))] - step[frame]) <= 1.0


def test_composites_are_written_with_scale_and_truth_and_never_over_others(
    belly: Belly, tmp_path: Path
) -> None:
    folder, out = tmp_path / "bellies", tmp_path / "out"
    folder.mkdir()
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for top, bottom in (SUPERFICIAL, DEEP):
        mask[top:bottom] = 255
    Image.fromarray(belly.picture).save(folder / "a.png")
    Image.fromarray(mask).save(folder / "a_aponeuroses.png")
    (folder / "scales.csv").write_text(f"file,mm_per_px\na.png,{MM}\n", encoding="utf-8")
    *_, done = write_composites(folder, out, stills=2, clips=1, seed=3, n_frames=4)
    assert isinstance(done, Done)
    assert [path.name for path in done.result] == [
        "composite_0001.png", "composite_0002.png", "composite_clip_0001.avi",
    ]  # fmt: skip
    for path in done.result:
        with open_video(path) as source:
            assert source.scale is not None
            assert source.scale.x_mm == pytest.approx(MM)
            labels = read_labels(labels_path(path))
            assert len(labels) == source.n_frames
            assert labels[0].clip_sha256 == source.sha256
    *_, failed = write_composites(folder, out, stills=1, clips=0, seed=3)
    assert isinstance(failed, Failed)
    assert "composites already" in str(failed.error)

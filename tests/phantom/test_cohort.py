"""Clips are videos like any other, and what is written is what was drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.core.jobs import Done
from napari_deepmtj.io.labels import labels_path, read_labels
from napari_deepmtj.io.video import VideoSource, open_video
from napari_deepmtj.phantom import demo_clip, subjects, write_cohort


def test_clip_is_a_video_source_with_exact_truth() -> None:
    clip = subjects(1, 7)[0].clip(0, n_frames=8)
    assert isinstance(clip, VideoSource)
    assert clip.truth.shape == (8, 2)
    assert clip.read(3).shape == (clip.height, clip.width)
    for number, frame in enumerate(clip.frames()):
        np.testing.assert_array_equal(frame, clip.read(number))


def test_same_seed_same_clip_and_another_one_differs() -> None:
    first, again = (subjects(2, 7)[1].clip(1, n_frames=4) for _ in range(2))
    np.testing.assert_array_equal(first.read(2), again.read(2))
    assert first.sha256 == again.sha256
    other = subjects(2, 8)[1].clip(1, n_frames=4)
    assert other.sha256 != first.sha256


@pytest.mark.parametrize("index", [0, 1])
def test_the_junction_moves_and_stays_in_the_picture(index: int) -> None:
    for subject in subjects(6, 21):
        clip = subject.clip(index, n_frames=30)
        seen = clip.truth[~np.isnan(clip.truth[:, 0])]
        assert len(seen) >= 25
        assert clip.scale is not None
        assert np.ptp(seen[:, 0]) * clip.scale.x_mm > 2.0


def test_demo_clip_is_fixed() -> None:
    assert demo_clip(5).sha256 == demo_clip(5).sha256
    assert demo_clip().n_frames == 150


def test_written_clips_carry_scale_and_truth(tmp_path: Path) -> None:
    events = list(write_cohort(2, 1, 5, tmp_path, n_frames=4))
    assert isinstance(events[-1], Done)
    paths = events[-1].result
    assert [p.parent.name for p in paths] == ["subject_001", "subject_002"]
    drawn = subjects(2, 5)[0].clip(0, n_frames=4)
    with open_video(paths[0]) as source:
        assert source.n_frames == 4
        assert source.times.rate == pytest.approx(25.0)
        assert source.scale is not None
        assert drawn.scale is not None
        assert source.scale.x_mm == pytest.approx(drawn.scale.x_mm)
        coded = source.read(1).astype(float) - drawn.read(1)
        assert np.abs(coded).mean() < 4  # what MJPEG loses
        labels = read_labels(labels_path(paths[0]))
        assert [label.frame for label in labels] == [0, 1, 2, 3]
        assert {label.clip_sha256 for label in labels} == {source.sha256}
        assert labels[2].x_px == pytest.approx(drawn.truth[2, 0])

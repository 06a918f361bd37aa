"""Clips are videos like any other, and what is written is what was drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_deepmtj.core.jobs import Done
from napari_deepmtj.labels.table import labels_path, read_labels
from napari_deepmtj.phantom import demo_clip, speckle, subjects, write_cohort
from napari_deepmtj.phantom.anatomy import LABEL_DEPTH, LABEL_THICKNESS_MM, layers, mtj_mm
from napari_deepmtj.video.opening import VideoSource, open_video


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


def test_truth_lies_where_the_muscle_is_drawn_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the muscle alone, without echoes, and measure its wedge in the picture itself."""

    def muscle_alone(*arguments: Any) -> Any:
        return 20 * torch.log10(arguments[-1][3].clamp(min=1e-9))

    monkeypatch.setattr(speckle, "echogenicity", muscle_alone)
    monkeypatch.setattr(speckle, "acoustics", lambda *_: torch.zeros(1, 1, 1))
    monkeypatch.setattr(speckle, "aponeuroses", lambda *_: torch.zeros(1, 1, 1))
    monkeypatch.setattr(speckle, "perimysium", lambda *_: 0.0)
    monkeypatch.setattr(speckle, "_envelope", lambda amplitude, *_, **__: amplitude)
    monkeypatch.setattr(speckle, "display", lambda envelope, *_, **__: envelope)
    # Soft edges of 0.12 mm (tissue.step) make a wedge of t mm weigh t / (1 - exp(-t / 0.12)) mm.
    thickness = np.linspace(1e-4, 3.0, 3000)
    weight = thickness / (1 - np.exp(-thickness / 0.12))
    sides = set()
    for subject in subjects(6, 77):
        clip = subject.clip(0, n_frames=3)
        clip.device = replace(clip.device, persistence=torch.zeros(1))
        assert clip.scale is not None
        sides.add(clip.distal_side)
        x, y = clip.truth[1]
        columns = int(x) + np.arange(2)
        share = np.array([1 - x % 1, x % 1])
        drawn = clip.read(1)[:, columns].astype(float)
        rows = np.arange(clip.height)[:, None]
        depth = (drawn * rows).sum(0) / drawn.sum(0)
        thick = np.interp(drawn.sum(0) * clip.scale.y_mm, weight, thickness)
        scene = clip.scene_at(range(1, 2))
        there = layers(scene, mtj_mm(scene)[:, :1])
        wanted = float(there.muscle_bottom - there.muscle_top)
        assert wanted == pytest.approx(LABEL_THICKNESS_MM, abs=0.02)
        assert thick @ share == pytest.approx(wanted, abs=0.004)
        # The truth lies below the middle of the wedge: half of it, and into the deep aponeurosis.
        below = (0.5 * wanted + LABEL_DEPTH * float(scene.deep_mm)) / clip.scale.y_mm
        assert depth @ share == pytest.approx(y - below, abs=0.01)
    assert sides == {"left", "right"}


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


def test_a_probe_that_slips_takes_everything_along_and_out_of_the_picture() -> None:
    subject = subjects(1, 5)[0]
    still = subject.clip(0, n_frames=3)
    slipped = subject.clip(0, n_frames=3, slip_mm=np.array([0.0, 2.0, 90.0]))
    assert still.scale is not None
    moved = (slipped.truth - still.truth) * still.scale.x_mm
    side = -1 if still.distal_side == "left" else 1
    np.testing.assert_allclose(moved[:2, 0], [0, 2 * side], atol=1e-3)
    assert np.isnan(slipped.truth[2]).all()
    np.testing.assert_allclose(slipped.course.slip_mm - still.course.slip_mm, [0, 2, 90])
    assert slipped.sha256 != still.sha256


def test_scanners_of_another_set_are_others(tmp_path: Path) -> None:
    pictures = []
    for styles in ("training", "test"):
        *_, last = write_cohort(1, 1, 3, tmp_path / styles, n_frames=2, styles=styles)
        assert isinstance(last, Done)
        with open_video(last.result[0]) as clip:
            pictures.append(clip.read(0))
    ours = subjects(1, 3, "test")[0].clip(0, n_frames=2)
    assert ours.sha256 != subjects(1, 3)[0].clip(0, n_frames=2).sha256
    assert not np.array_equal(*pictures)
    # Written as MJPEG, hence not the very same grey levels.
    assert abs(pictures[1].astype(int) - ours.read(0)).mean() < 3

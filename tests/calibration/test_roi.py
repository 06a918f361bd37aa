"""Which region a person's words mean."""

from __future__ import annotations

import re

import numpy as np
import pytest

from napari_deepmtj.calibration.picture import Detection
from napari_deepmtj.calibration.roi import CONFIDENT, PRESETS, resolve_roi
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.errors import CalibrationError
from napari_deepmtj.video.stacks.stack import ArraySource


@pytest.fixture
def source() -> ArraySource:
    return ArraySource(np.zeros((2, 500, 1000), np.uint8), "clip.avi")


def test_full_and_given(source) -> None:
    assert resolve_roi("full", source) == (Roi(0, 0, 1000, 500, "full"), ())
    assert resolve_roi(" 10, 20,300,150 ", source) == (Roi(10, 20, 300, 150, "given"), ())


def test_auto_takes_what_the_file_says_else_the_whole_picture_with_a_notice(source) -> None:
    roi, notices = resolve_roi("auto", source)
    assert roi == Roi(0, 0, 1000, 500, "full")
    assert len(notices) == 1
    assert "clip.avi" in notices[0]
    source.roi = Roi(5, 6, 70, 80, "side-car")
    assert resolve_roi("auto", source) == (source.roi, ())


def test_presets_are_the_published_crops(source) -> None:
    published = {
        (210, 130, 512, 256),
        (185, 128, 580, 290),
        (88, 120, 446, 223),
        (140, 50, 720, 360),
        (200, 261, 1000, 500),
        (113, 185, 500, 200),
        (126, 250, 490, 245),
    }
    assert {(r.x, r.y, r.width, r.height) for r in PRESETS.values()} == published
    assert all(roi.source == f"preset:{name}" for name, roi in PRESETS.items())
    assert resolve_roi("preset:telemed-artus", source) == (PRESETS["telemed-artus"], ())


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("preset:sonar", "no preset 'sonar'; there are .*esaote-mylab60.*ultrasonix-rp"),
        (
            "preset:aixplorer-v6",
            r"clip.avi: the region 200,261,1000,500 reaches beyond .*1000 x 500",
        ),
        ("1,2,3", "not understood; give auto, full"),
        ("1,2,3,4,5", "not understood"),
        ("1.5,2,3,4", "not understood"),
        ("Auto mode", "not understood"),
        ("", "not understood"),
        ("0,0,0,10", "empty"),
        ("-1,0,10,10", "reaches beyond"),
        ("0,0,1001,10", "reaches beyond"),
        ("0,491,10,10", "reaches beyond"),
    ],
)
def test_nonsense_is_refused(source, spec, what) -> None:
    with pytest.raises(CalibrationError, match=what):
        resolve_roi(spec, source)


def noise(n, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 160, (n, height, width), dtype=np.uint8)


def test_auto_uses_a_picture_that_is_detected_and_says_so() -> None:
    frames = np.full((8, 240, 320), 30, np.uint8)
    frames[:, 40:200, 60:260] = noise(8, 160, 200)
    roi, (notice,) = resolve_roi("auto", ArraySource(frames, "clip.avi"))
    assert str(roi) == "60,40,200,160"
    assert re.fullmatch(r"detected \(0\.\d\d\)", roi.source)
    assert notice.startswith("clip.avi: the B-mode picture was detected at 60,40,200,160")


def test_auto_takes_the_whole_frame_where_the_picture_fills_it() -> None:
    roi, (notice,) = resolve_roi("auto", ArraySource(noise(8, 128, 256), "clip.avi"))
    assert roi == Roi(0, 0, 256, 128, "full")
    assert "seems to fill the frame" in notice


def test_auto_does_not_use_a_detection_it_is_unsure_of(monkeypatch, source) -> None:
    doubtful = Detection(Roi(10, 20, 30, 40, "detected"), CONFIDENT - 0.01, "why")
    monkeypatch.setattr("napari_deepmtj.calibration.picture.detect_picture", lambda _: doubtful)
    roi, (notice,) = resolve_roi("auto", source)
    assert roi == Roi(0, 0, 1000, 500, "full")
    assert "is not known" in notice

"""Which region a person's words mean."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deepmtj.calibration.roi import PRESETS, resolve_roi
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.errors import CalibrationError
from napari_deepmtj.io._stack import ArraySource


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

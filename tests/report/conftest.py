"""A trajectory with a gap, a row by hand, and frames not in view."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory

HIDDEN = 12


def position(frame: int) -> tuple[float, float]:
    return 60 + 3.0 * frame, 40 + 0.5 * frame


def make(scale: Scale | None = None, times: FrameTimes | None = None) -> Trajectory:
    """Frames 0..19 without 6..8; 12 is not in view, 15 was put at (90, 60) by hand."""
    predictions = [
        FramePrediction(
            frame,
            *position(frame),
            covariance=np.array([[9.0, 2.0], [2.0, 4.0]]),
            confidence=0.9,
            in_view=frame != HIDDEN,
        )
        for frame in range(20)
        if not 6 <= frame <= 8
    ]
    provenance = Provenance(
        "clip.avi", "aa" * 32, 20, 96, 160, roi=Roi(10, 20, 140, 70, "given"), scale=scale
    )
    times = times or FrameTimes.from_rate(20, 25, "container")
    return Trajectory.from_predictions(predictions, times, provenance).corrected(15, (90, 60))


@pytest.fixture
def trajectory() -> Trajectory:
    return make(Scale(0.1, 0.2, "test"))


@pytest.fixture
def make_trajectory() -> Callable[..., Trajectory]:
    return make


@pytest.fixture
def truth() -> list[Label]:
    return [
        Label(
            clip="clip.avi",
            clip_sha256="aa" * 32,
            frame=frame,
            x_px=None if frame == HIDDEN else position(frame)[0] + 2,
            y_px=None if frame == HIDDEN else position(frame)[1],
            annotator="phantom",
        )
        for frame in range(20)
    ]

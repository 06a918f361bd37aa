"""Trajectories for export: even, uneven and unknown times, gaps, frames that were not tracked."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import pytest

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory

N, NAME, SHA256 = 20, "Läufer 1_MG.avi", "ab" * 32
SCALE = Scale(0.1, 0.2, "test")
EVEN = FrameTimes(2.0 + np.arange(N) / 25, "container")


def position(seconds: float) -> tuple[float, float]:
    """Where the point is: a parabola and a line, which a cubic spline reproduces."""
    return 60 + 30 * seconds**2, 40 + 100 / 3 * seconds


def make(
    times: FrameTimes = EVEN,
    *,
    hidden: Collection[int] = (),
    untracked: Collection[int] = (),
    scale: Scale | None = SCALE,
) -> Trajectory:
    predictions = [
        FramePrediction(
            frame,
            *position(float(times.seconds[frame])),
            covariance=np.array([[9.0, 2.0], [2.0, 4.0]]),
            confidence=0.5 + frame / 100,
            in_view=frame not in hidden,
        )
        for frame in range(len(times))
        if frame not in untracked
    ]
    provenance = Provenance(
        NAME, SHA256, len(times), 96, 160, times.source, Roi(10, 20, 140, 70, "given"), scale
    )
    provenance = provenance.and_then("track", model={"id": "compact", "version": "1"})
    return Trajectory.from_predictions(predictions, times, provenance)


@pytest.fixture
def make_trajectory() -> Callable[..., Trajectory]:
    return make


@pytest.fixture
def uneven() -> FrameTimes:
    """Steps of 20 to 60 ms."""
    steps = np.random.default_rng(1).uniform(0.02, 0.06, N - 1)
    return FrameTimes(np.r_[1.0, 1.0 + steps.cumsum()], "container")


@pytest.fixture
def true_position() -> Callable[[float], tuple[float, float]]:
    return position

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Flag, FramePrediction, Trajectory

Make = Callable[..., Trajectory]


@pytest.fixture
def made() -> Make:
    """Return a maker of trajectories from positions in px, NaN where not in view."""

    def make(
        xy: Any,
        seconds: Any = None,
        *,
        sd: Any = 2.0,
        scale: Scale | None = None,
        frames: Iterable[int] | None = None,
        confidence: float = 0.9,
        **picture: Any,
    ) -> Trajectory:
        xy = np.asarray(xy, dtype=float)
        n = len(xy)
        numbers = list(range(n)) if frames is None else list(frames)
        total = (numbers[-1] + 1) if numbers else 0
        times = FrameTimes.unknown(total)
        if seconds is not None:
            times = FrameTimes(np.interp(np.arange(total), numbers, seconds) if n else np.empty(0))
        said = Provenance("a.avi", "aa", total, 400, 600, times.source, scale=scale, **picture)
        sds = np.broadcast_to(np.asarray(sd, dtype=float), (n,))
        rows = [
            FramePrediction(f, x, y, np.diag([s**2, s**2]), confidence, True)
            if np.isfinite(x)
            else FramePrediction(f, x, y, np.eye(2), 0.1, False, (Flag.NOT_IN_VIEW,))
            for f, (x, y), s in zip(numbers, xy, sds, strict=True)
        ]
        return Trajectory.from_predictions(rows, times, said)

    return make

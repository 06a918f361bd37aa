"""Labelled clips on disk, for the tests of several rooms, and how two processes share them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Flag, FramePrediction, Trajectory
from napari_deepmtj.labels.table import labels_path, write_labels
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar

Make = Callable[..., Trajectory]

#: Height and width of the test clips, and the region that is their B-mode picture.
CLIP_SIZE = (60, 140)
PICTURE = Roi(20, 10, 100, 40)

#: The tests that open windows are here.
WINDOWS = "tests/_napari/"


def spots(seed: int, n_frames: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return frames (n, h, w) with one bright spot each, and where (n, 2)."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform([35, 18], [105, 42], (n_frames, 2))
    y, x = np.mgrid[: CLIP_SIZE[0], : CLIP_SIZE[1]]
    far = (x - xy[:, 0, None, None]) ** 2 + (y - xy[:, 1, None, None]) ** 2
    return (20 + 235 * np.exp(-far / 18)).round().astype(np.uint8), xy


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the work by the file, and all that opens windows as one: a screen has one focus."""
    from xdist.scheduler import LoadFileScheduling

    class OneForWindows(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return WINDOWS if nodeid.startswith(WINDOWS) else super()._split_scope(nodeid)

    return OneForWindows(config, log)


@pytest.fixture
def write_labelled(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a clip with a spot in each frame, and labels beside it."""

    def write(name: str, seed: int, *, annotator: str = "A", scale: float | None = 0.5) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frames, xy = spots(seed)
        np.save(path, frames)
        known = None if scale is None else Scale.isotropic(scale, "given by hand")
        write_sidecar(path, ClipInfo(known, PICTURE))
        with open_video(path) as source:
            sha256 = source.sha256
        write_labels(
            labels_path(path),
            [
                Label(clip=path.name, clip_sha256=sha256, frame=k, x_px=x, y_px=y,
                      annotator=annotator)
                for k, (x, y) in enumerate(xy)
            ],
        )  # fmt: skip
        return path

    return write


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

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Done
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Flag, Origin, Trajectory
from napari_deepmtj.errors import DeepMTJError, ResultError
from napari_deepmtj.tracking import smooth
from napari_deepmtj.tracking.flow import LucasKanade
from napari_deepmtj.tracking.fusion import fuse
from napari_deepmtj.tracking.gate import gate
from napari_deepmtj.tracking.refill import METHOD, refill
from napari_deepmtj.video.stacks.stack import ArraySource

N, MM = 60, 0.2
#: What refilling may change.
POSITION = ["x_px", "y_px", "origin"]


@pytest.fixture(scope="module")
def clip() -> ArraySource:
    rng = np.random.default_rng(0)
    grain = ndimage.gaussian_filter(rng.standard_normal((100, 420)), (1.5, 3))
    whole = ndimage.spline_filter(110 + 40 * grain / grain.std())
    shown = [
        ndimage.shift(whole, (0, x), order=2, mode="reflect", prefilter=False)[:, 60:300]
        for x in truth()[:, 0] - 80
    ]
    noisy = np.stack(shown) + 3 * rng.standard_normal((N, 100, 240))
    times = FrameTimes.from_rate(N, 25.0, "container")
    scale = Scale.isotropic(MM, "file")
    source = ArraySource(noisy.clip(0, 255).astype(np.uint8), "a.avi", times=times, scale=scale)
    source.sha256 = "aa"
    return source


def truth() -> np.ndarray:
    x = 80 + 30 * np.sin(2 * np.pi * np.arange(N) / N)
    return np.stack([x, np.full(N, 50.0)], axis=1)


@pytest.fixture
def drifted(made: Callable[..., Trajectory], clip: ArraySource) -> Trajectory:
    """Return a path that is off, and drifts on by 6 px, sure of itself."""
    path = truth() + np.outer(np.linspace(1, 2, N), [6, -3])
    return made(path, clip.times.seconds, scale=clip.scale, roi=Roi(0, 0, 240, 100))


def test_both_anchors_are_met_and_the_way_between_is_the_tissues(
    drifted: Trajectory, clip: ArraySource
) -> None:
    at = truth()
    corrected = drifted.corrected(10, at[10]).corrected(50, at[50])
    done = refill(corrected, clip, 50)
    assert done.xy_px[[10, 50]].tolist() == at[[10, 50]].tolist()
    assert np.hypot(*(done.xy_px - at)[10:51].T).max() * MM < 0.1
    origins = done.table["origin"].tolist()
    assert origins[11:50] == [Origin.REFILLED] * 39
    assert done.table["sd_x_px"][11:50].between(0.01, 5).all()
    said = done.provenance.operations[-1].arguments
    assert said["anchors"] == [10, None]
    assert LucasKanade(**said["parameters"]) == METHOD  # all that it takes to do it again


def test_an_error_of_flow_is_shared_out_between_the_anchors(
    drifted: Trajectory, clip: ArraySource
) -> None:
    at = truth()
    done = refill(drifted.corrected(10, at[10]).corrected(50, at[50] + [8, 0]), clip, 50)
    off = done.xy_px[10:51, 0] - at[10:51, 0]
    assert off[0] == 0
    assert off[-1] == pytest.approx(8)
    assert (np.diff(off) > 0).all()
    assert off[20] == pytest.approx(4, abs=0.5)
    assert np.diff(off).max() < 1.0


def test_only_the_span_between_the_neighbours_changes(
    drifted: Trajectory, clip: ArraySource
) -> None:
    at = truth()
    corrected = drifted
    for frame in (5, 20, 35, 50):
        corrected = corrected.corrected(frame, at[frame])
    done = refill(corrected, clip, 20)
    outside = [i for i in range(N) if not (5 < i < 35 and i != 20)]
    pd.testing.assert_frame_equal(
        done.table.loc[outside], corrected.table.loc[outside], check_dtype=False
    )
    assert (done.table.loc[6:19, "origin"] == Origin.REFILLED).all()
    assert (done.table.loc[21:34, "origin"] == Origin.REFILLED).all()
    raw = ["x_raw_px", "y_raw_px", "confidence"]
    assert done.table[raw].equals(corrected.table[raw])


def test_a_confident_prediction_that_the_tissue_agrees_with_is_an_anchor(
    made: Callable[..., Trajectory], clip: ArraySource
) -> None:
    path = truth()
    path[20:31] += [9, 3]
    path[22] = truth()[22]  # by chance
    trajectory = made(path, clip.times.seconds, scale=clip.scale).corrected(25, truth()[25])
    done = refill(trajectory, clip, 25)
    assert done.provenance.operations[-1].arguments["anchors"] == [19, 31]
    assert np.abs(done.xy_px - truth()).max() < 0.5
    unsure = trajectory.changed({"confidence": np.full(N, 0.5)}, "test")
    assert refill(unsure, clip, 25).table[POSITION].equals(unsure.table[POSITION])


def test_flow_does_not_pass_a_jump_or_a_frame_out_of_view(
    drifted: Trajectory, clip: ArraySource
) -> None:
    at = truth()
    flags = np.where(np.arange(N) == 30, Flag.JUMP.value, "")
    corrected = drifted.changed({"flags": flags}, "test")
    for frame in (10, 29, 40, 55):
        corrected = corrected.corrected(frame, at[frame])
    corrected = corrected.corrected(48, None)
    assert refill(corrected, clip, 29).provenance.operations[-1].arguments["anchors"] == [10, None]
    assert refill(corrected, clip, 40).provenance.operations[-1].arguments["anchors"] == [None] * 2


def test_flags_of_positions_that_are_gone_go_with_them(
    drifted: Trajectory, clip: ArraySource
) -> None:
    flags = np.full(N, "low_confidence;outside_roi;outlier", dtype=object)
    flagged = drifted.changed({"flags": flags}, "test")
    corrected = flagged.corrected(10, truth()[10]).corrected(20, truth()[20])
    done = refill(corrected, clip, 20)
    assert set(done.table["flags"][11:20]) == {"outside_roi"}


def test_refilled_rows_are_what_smoothing_begins_with(
    drifted: Trajectory, clip: ArraySource
) -> None:
    at = truth()
    done = refill(drifted.corrected(10, at[10]).corrected(50, at[50]), clip, 50)
    smoothed = smooth.smooth(done).trajectory
    assert np.abs(smoothed.xy_px - at)[10:51].max() < 1.0


@pytest.mark.parametrize("run", ["track", "gate", "smooth", "fuse", "refill"])
def test_no_later_run_touches_what_a_person_set(
    drifted: Trajectory, clip: ArraySource, run: str
) -> None:
    corrected = drifted.corrected(10, (70.5, 40.25)).corrected(12, None)
    corrected = corrected.corrected(50, (60.0, 55.0), Origin.MANUAL).corrected(40, (81.0, 51.0))
    kept = corrected.table.loc[[10, 12, 50]].drop(columns="flags")
    runs: dict[str, Callable[[Trajectory], Trajectory]] = {
        "track": lambda t: t.updated_by(drifted),
        "gate": lambda t: gate(t).trajectory,
        "smooth": lambda t: smooth.smooth(t).trajectory,
        "fuse": fused(clip),
        "refill": lambda t: refill(t, clip, 40),
    }
    later = runs[run](corrected)
    assert later.table.loc[[10, 12, 50]].drop(columns="flags").equals(kept)


def fused(clip: ArraySource) -> Callable[[Trajectory], Trajectory]:
    def run(trajectory: Trajectory) -> Trajectory:
        *_, last = fuse(trajectory, clip)
        assert isinstance(last, Done)
        return last.result

    return run


def test_what_nobody_set_is_no_beginning(drifted: Trajectory, clip: ArraySource) -> None:
    with pytest.raises(ResultError, match="frame 10: was not set by a person"):
        refill(drifted, clip, 10)


def test_another_clip_is_refused(drifted: Trajectory, clip: ArraySource) -> None:
    other = ArraySource(np.zeros((N, 100, 240), np.uint8), "a.avi")
    with pytest.raises(DeepMTJError, match="another file named"):
        refill(drifted.corrected(10, truth()[10]), other, 10)

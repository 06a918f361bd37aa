from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Flag, Origin, Trajectory
from napari_deepmtj.tracking.fusion import Fusion, fuse
from napari_deepmtj.tracking.series import flagged
from napari_deepmtj.video.stacks.stack import ArraySource

Make = Callable[..., Trajectory]
N, MM = 80, 0.2


def tissue(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grain = ndimage.gaussian_filter(rng.standard_normal((120, 620)), (1.5, 3))
    return ndimage.spline_filter(110 + 40 * grain / grain.std())


def pictures(path: np.ndarray, seed: int = 0) -> np.ndarray:
    """Frames, shape (n, 120, 300), whose tissue follows `path` along x."""
    rng, whole = np.random.default_rng(1), tissue(seed)
    shown = [
        ndimage.shift(whole, (0, x), order=2, mode="reflect", prefilter=False)[:, 160:460]
        for x in path
    ]
    return np.stack([p + 3 * rng.standard_normal(p.shape) for p in shown]).clip(0, 255)


def path(n: int = N) -> np.ndarray:
    return 40 * np.sin(2 * np.pi * np.arange(n) / n) ** 2


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return pictures(path()).astype(np.uint8)


@pytest.fixture
def setting(made: Make, frames: np.ndarray) -> Callable[..., tuple[Trajectory, ArraySource]]:
    """Return a maker of a trajectory and its clip, by default one that jitters."""

    def make(
        detected: np.ndarray, shown: np.ndarray | None = None, **options: object
    ) -> tuple[Trajectory, ArraySource]:
        shown = frames if shown is None else shown
        times = FrameTimes.from_rate(len(shown), 25.0, "container")
        source = ArraySource(shown, "a.avi", times=times, scale=Scale.isotropic(MM, "file"))
        source.sha256 = "aa"
        roi = Roi(0, 0, shown.shape[2], shown.shape[1])
        found = made(
            detected, np.arange(len(shown)) / 25, sd=8.0, scale=source.scale, roi=roi, **options
        )
        return found, source

    return make


def truth() -> np.ndarray:
    return np.stack([100 + path(), np.full(N, 60.0)], axis=1)


def jittered(seed: int = 3) -> np.ndarray:
    return truth() + 1.5 * np.random.default_rng(seed).standard_normal((N, 2))


def result(trajectory: Trajectory, source: ArraySource, **settings: object) -> Trajectory:
    *_, last = fuse(trajectory, source, Fusion(**settings))
    assert isinstance(last, Done), last
    return last.result


def test_jitter_goes_and_motion_stays(setting: Callable) -> None:
    detected = jittered()
    trajectory, source = setting(detected)
    fused = result(trajectory, source)
    left, before = fused.xy_px - truth(), detected - truth()
    assert np.sqrt((np.diff(left, axis=0) ** 2).mean()) < 0.3 * np.sqrt(
        (np.diff(before, axis=0) ** 2).mean()
    )
    assert np.sqrt((left**2).mean()) < 0.6 * np.sqrt((before**2).mean())
    assert np.ptp(fused.xy_px[:, 0]) == pytest.approx(40, rel=0.03)
    np.testing.assert_array_equal(fused.table["x_raw_px"], trajectory.table["x_raw_px"])
    assert set(fused.table["origin"]) == {Origin.PREDICTED}
    # The detector's standard deviation of 8 px is of an error that lasts: it does not go.
    assert fused.table["sd_x_px"].between(7.5, 8.5).all()
    assert fused.provenance.operations[-1].name == "fuse"


def test_the_tissue_bridges_where_the_detector_is_off_or_silent(setting: Callable) -> None:
    detected = jittered()
    detected[20:35] += [30, -12]
    detected[50:65] = np.nan
    trajectory, source = setting(detected)
    fused = result(trajectory, source)
    assert np.abs(fused.xy_px - truth()).max() < 3
    assert flagged(fused, [Flag.OUTLIER]).tolist() == [20 <= i < 35 for i in range(N)]
    carried = fused.table["origin"] == Origin.REFILLED
    assert carried.tolist() == [50 <= i < 65 for i in range(N)]
    assert not flagged(fused, [Flag.NOT_IN_VIEW]).any()


def test_unsure_frames_count_less(setting: Callable) -> None:
    detected = truth() + 0.01
    detected[::2, 0] += 4.0
    trajectory, source = setting(detected)
    unsure = np.where(np.arange(N) % 2, 0.97, 0.6)
    told = trajectory.changed({"confidence": unsure}, "test")
    alike = np.abs(result(trajectory, source, sigmas=50).xy_px - truth())[:, 0].mean()
    weighed = np.abs(result(told, source, sigmas=50).xy_px - truth())[:, 0].mean()
    assert alike > 1.5
    assert weighed < 0.2


def test_what_a_person_set_is_met_exactly_and_stays(setting: Callable) -> None:
    trajectory, source = setting(jittered())
    corrected = trajectory.corrected(40, (77.0, 55.0)).corrected(10, None)
    fused = result(corrected, source)
    assert fused.xy_px[40].tolist() == [77.0, 55.0]
    assert np.isnan(fused.xy_px[10]).all()
    kept = corrected.table.loc[[10, 40]]
    assert fused.table.loc[[10, 40]].drop(columns="flags").equals(kept.drop(columns="flags"))
    beside = fused.xy_px[39] - truth()[39]
    assert (np.sign(beside) == np.sign([77.0 - truth()[40, 0], -5.0])).all()


def test_fusing_again_changes_nothing(setting: Callable) -> None:
    detected = jittered()
    detected[50:65] = np.nan
    trajectory, source = setting(detected)
    once = result(trajectory, source)
    again = result(once, source)
    assert again.table.equals(once.table)


def test_a_cut_breaks_the_path_and_is_flagged(setting: Callable, frames: np.ndarray) -> None:
    shown = frames.copy()
    shown[40:] = frames[40:, ::-1, ::-1]
    detected = jittered()
    detected[40:] = [299, 119] - detected[40:]
    trajectory, source = setting(detected, shown)
    *events, last = fuse(trajectory, source)
    assert isinstance(last, Done)
    assert flagged(last.result, [Flag.JUMP]).nonzero()[0].tolist() == [40]
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert len(notices) == 1
    assert "frame 40" in notices[0]
    true = truth()
    true[40:] = [299, 119] - true[40:]
    assert np.abs(last.result.xy_px - true).max() < 2.5


def test_a_lifted_probe_is_out_of_view_whatever_else_is_said(
    setting: Callable, frames: np.ndarray
) -> None:
    shown, detected = frames.copy(), jittered()
    shown[30:55] = tissue(8)[:, :300].clip(0, 255).astype(np.uint8)[None]
    detected[30:55] = np.nan
    detected[41] = [20, 20]
    trajectory, source = setting(detected, shown)
    confidence = np.where(np.arange(N) == 41, 0.55, 0.95)
    fused = result(trajectory.changed({"confidence": confidence}, "test"), source)
    out = np.isnan(fused.xy_px[:, 0])
    assert out.tolist() == [30 <= i < 55 for i in range(N)]
    assert (out == flagged(fused, [Flag.NOT_IN_VIEW])).all()
    assert not fused.table["in_view"][out].any()
    assert flagged(fused, [Flag.JUMP]).nonzero()[0].tolist() == [30, 55]  # in view or not
    assert fused.provenance.operations[-1].arguments["cut_frames"] == [30, 55]


def test_a_junction_that_slides_over_the_border_is_out_though_the_detector_sees_one(
    setting: Callable,
) -> None:
    at = 100 - 60 * (1 - np.cos(2 * np.pi * np.arange(N) / N))  # down to -20
    true = np.stack([at, np.full(N, 60.0)], axis=1)
    detected = true + np.random.default_rng(4).standard_normal((N, 2))
    gone = at < 0
    detected[gone] = [150, 40]
    trajectory, source = setting(detected, pictures(at - 100).astype(np.uint8))
    confidence = np.where(gone, 0.3, 0.9)
    fused = result(trajectory.changed({"confidence": confidence}, "test"), source)
    wrong = np.isnan(fused.xy_px[:, 0]) != gone
    assert gone.sum() > 10
    assert wrong.sum() <= 2


def test_there_is_no_lag(setting: Callable) -> None:
    trajectory, source = setting(jittered())
    fused = result(trajectory, source)
    a, b = fused.xy_px[:, 0] - fused.xy_px[:, 0].mean(), truth()[:, 0] - truth()[:, 0].mean()
    assert np.correlate(a, b, "full").argmax() - (N - 1) == 0


def test_it_is_a_job(setting: Callable) -> None:
    trajectory, source = setting(jittered())
    events = list(fuse(trajectory, source))
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[-1] == Progress(N, N)
    assert isinstance(events[-1], Done)


def test_one_frame_is_enough(setting: Callable, frames: np.ndarray) -> None:
    trajectory, source = setting(jittered()[:1], frames[:1])
    np.testing.assert_allclose(result(trajectory, source).xy_px, trajectory.xy_px)


def test_another_clip_is_refused(setting: Callable) -> None:
    trajectory, source = setting(jittered())
    source.sha256 = "bb"
    (failed,) = fuse(trajectory, source)
    assert isinstance(failed, Failed)
    assert "another file named a.avi" in str(failed.error)


def test_without_any_position_there_is_nothing_to_follow(setting: Callable) -> None:
    trajectory, source = setting(np.full((N, 2), np.nan))
    (failed,) = fuse(trajectory, source)
    assert isinstance(failed, Failed)
    assert "no frame has a position" in str(failed.error)


def test_what_was_refilled_counts_as_the_network_said_it(setting: Callable) -> None:
    trajectory, source = setting(jittered())
    origin = trajectory.table["origin"].to_numpy(dtype=object).copy()
    origin[30:40] = Origin.REFILLED
    x = trajectory.table["x_px"].to_numpy().copy()
    sd = trajectory.table["sd_x_px"].to_numpy().copy()
    x[30:40], sd[30:40] = x[30:40] + 20, 0.1
    refilled = trajectory.changed({"origin": origin, "x_px": x, "sd_x_px": sd}, "test")
    once = result(refilled, source)
    np.testing.assert_allclose(once.xy_px, result(trajectory, source).xy_px, atol=1e-9)
    np.testing.assert_allclose(once.xy_px, result(once, source).xy_px, atol=1e-9)
    assert once.table["sd_x_px"].between(7.5, 8.5).all()


def test_the_confidence_of_what_a_person_set_is_not_the_detectors(setting: Callable) -> None:
    trajectory, source = setting(jittered(), confidence=0.6)
    corrected = trajectory
    for frame in range(45):
        corrected = corrected.corrected(frame, tuple(truth()[frame]))
    sure = corrected.changed({"confidence": np.full(N, 0.6)}, "test")
    np.testing.assert_allclose(
        result(corrected, source).xy_px[50:], result(sure, source).xy_px[50:], atol=1e-6
    )

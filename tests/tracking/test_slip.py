from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Done, Failed, Notice
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Flag, Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.phantom.cohort import subjects
from napari_deepmtj.tracking.series import flagged
from napari_deepmtj.tracking.slip import Slip, estimate, flag, relative, subtract
from napari_deepmtj.tracking.smooth import smooth
from napari_deepmtj.tracking.unsmooth import unsmooth
from napari_deepmtj.video.stacks.stack import ArraySource

MM = 0.2
N = 16


def layers(*ways: np.ndarray, seed: int = 0) -> ArraySource:
    """Return a clip of three layers, 50, 100 and 50 px thick, that move along x by `ways` px."""
    rng = np.random.default_rng(seed)
    thick = (50, 100, 50)
    grains = [ndimage.gaussian_filter(rng.standard_normal((h, 340)), (1.5, 3)) for h in thick]
    whole = [ndimage.spline_filter(110 + 40 * g / g.std()) for g in grains]
    shown = []
    for at in zip(*ways, strict=True):
        parts = [
            ndimage.shift(w, (0, x), order=2, mode="reflect", prefilter=False)[:, 40:300]
            for w, x in zip(whole, at, strict=True)
        ]
        shown.append(np.vstack(parts) + 3 * rng.standard_normal((200, 260)))
    times = FrameTimes.from_rate(len(shown), 25.0, "container")
    pictures = np.stack(shown).clip(0, 255).astype(np.uint8)
    return ArraySource(pictures, "a.avi", times=times, scale=Scale.isotropic(MM, "file"))


SLIPPED = 15 * np.sin(np.linspace(0, 3, N)) ** 2
MUSCLE = SLIPPED + np.linspace(0, 40, N)


@pytest.fixture
def tracked(made: Callable[..., Trajectory]) -> Trajectory:
    xy = np.stack([100 + MUSCLE, np.full(N, 100.0)], axis=1)
    return made(xy, np.arange(N) / 25, scale=Scale.isotropic(MM, "file"), roi=Roi(0, 0, 260, 200))


def slip_of(source: ArraySource, trajectory: Trajectory) -> tuple[Slip, list[str]]:
    *events, last = estimate(source, trajectory)
    assert isinstance(last, Done), last
    return last.result, [event.message for event in events if isinstance(event, Notice)]


def test_what_skin_and_fascia_do_together_is_slip(tracked: Trajectory) -> None:
    slip, notices = slip_of(layers(SLIPPED, MUSCLE, SLIPPED), tracked)
    np.testing.assert_allclose(slip.xy[:, 0], SLIPPED - SLIPPED[0], atol=0.3)
    np.testing.assert_allclose(slip.xy[:, 1], 0, atol=0.1)
    np.testing.assert_allclose(slip.steps[:, 0], np.diff(SLIPPED), atol=0.1)
    assert slip.bands == ("skin", "deep")
    assert slip.disagreement_mm < 0.1
    assert len(notices) == 1
    assert "slipped by 3.0 mm" in notices[0]


@pytest.mark.parametrize("moving", ["skin", "deep"])
def test_where_they_disagree_the_band_that_moved_less_is_believed(
    tracked: Trajectory, moving: str
) -> None:
    ways = (MUSCLE, MUSCLE, 0.2 * SLIPPED) if moving == "skin" else (0.2 * SLIPPED, MUSCLE, MUSCLE)
    slip, notices = slip_of(layers(*ways), tracked)
    assert slip.bands == ({"skin": "deep", "deep": "skin"}[moving],)
    np.testing.assert_allclose(slip.xy[:, 0], 0.2 * SLIPPED, atol=0.3)
    assert "moved differently" in notices[0]


def test_what_is_left_is_motion_seen_from_the_skin(tracked: Trajectory) -> None:
    slip, _ = slip_of(layers(SLIPPED, MUSCLE, SLIPPED), tracked)
    np.testing.assert_allclose(relative(tracked, slip)[:, 0], 100 + MUSCLE - SLIPPED, atol=0.3)
    less = subtract(tracked, slip)
    np.testing.assert_array_equal(less.xy_px, relative(tracked, slip))
    assert less.table[["x_raw_px", "y_raw_px"]].equals(tracked.table[["x_raw_px", "y_raw_px"]])
    np.testing.assert_allclose(less.table["x_mm"], less.table["x_px"] * MM)
    logged = np.array(less.provenance.operations[-1].arguments["slip_px"])
    np.testing.assert_allclose(less.xy_px + logged, tracked.xy_px, atol=1e-3)


def test_it_is_subtracted_once_and_never_from_what_a_person_set(tracked: Trajectory) -> None:
    slip, _ = slip_of(layers(SLIPPED, MUSCLE, SLIPPED), tracked)
    with pytest.raises(ResultError, match="before"):
        subtract(subtract(tracked, slip), slip)
    with pytest.raises(ResultError, match="frame 3: was set by a person"):
        subtract(tracked.corrected(3, (1, 2)), slip)


def test_frames_of_large_slip_are_flagged(tracked: Trajectory) -> None:
    slip, _ = slip_of(layers(SLIPPED, MUSCLE, SLIPPED), tracked)
    done = flag(tracked, slip)
    large = np.abs(SLIPPED * MM) > 2.0
    assert 0 < large.sum() < N
    assert (flagged(done, [Flag.PROBE_SLIP]) != large).sum() <= 1
    still = Slip(slip.frames, 0 * slip.xy, slip.mm, slip.bands, 0.0, ())
    assert not flagged(flag(done, still), [Flag.PROBE_SLIP]).any()


def test_a_change_of_the_picture_is_told(tracked: Trajectory) -> None:
    still = np.zeros(N)
    one, other = layers(still, still, still), layers(still, still, still, seed=5)
    both = [one.read(i) if i < 8 else other.read(i) for i in range(N)]
    slip, notices = slip_of(ArraySource(np.stack(both), scale=one.scale), tracked)
    assert slip.lost == (8,)
    assert "unknown at frame 8" in notices[0]
    assert np.abs(slip.xy).max() < 0.3


def test_a_phantoms_slip_is_found(made: Callable[..., Trajectory]) -> None:
    clip = subjects(1, 77)[0].clip(0, n_frames=6, slip_mm=np.linspace(0, 2.5, 6))
    assert clip.scale is not None
    xy = np.nan_to_num(clip.truth, nan=50.0)
    tracked = made(xy, clip.times.seconds, scale=clip.scale, roi=clip.roi)
    slip, _ = slip_of(clip, tracked)
    side = -1 if clip.distal_side == "left" else 1
    true = side * (clip.course.slip_mm - clip.course.slip_mm[0])
    np.testing.assert_allclose(slip.xy[:, 0] * clip.scale.x_mm, true, atol=0.15)


def test_an_empty_trajectory_is_refused(made: Callable[..., Trajectory]) -> None:
    (failed,) = estimate(layers(*np.zeros((3, 2))), made(np.empty((0, 2))))
    assert isinstance(failed, Failed)


@pytest.mark.parametrize("step", [smooth, unsmooth])
def test_what_begins_with_raw_positions_does_not_bring_the_slip_back(
    tracked: Trajectory, step: Callable
) -> None:
    less = tracked.changed({}, "subtract slip")
    with pytest.raises(ResultError, match="would bring it back"):
        step(less)

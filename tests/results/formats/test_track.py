from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import ResultError
from napari_deepmtj.results.formats.track import Options, Track, evenly, resampled, track_of

Make = Callable[..., Trajectory]
Position = Callable[[float], tuple[float, float]]


def test_units_follow_the_scale(make_trajectory: Make) -> None:
    px, mm, m = (Track.of(make_trajectory(), unit) for unit in ("px", "mm", "m"))
    np.testing.assert_allclose(mm.xy, px.xy * [0.1, 0.2])
    np.testing.assert_allclose(m.xy, mm.xy / 1000)


def test_lengths_without_a_scale_are_refused(make_trajectory: Make) -> None:
    with pytest.raises(ResultError, match="no scale, so no mm; calibrate"):
        Track.of(make_trajectory(scale=None), "mm")


def test_a_format_that_holds_pixels_takes_them_where_there_is_no_scale(
    make_trajectory: Make,
) -> None:
    bare = make_trajectory(scale=None)
    assert track_of(bare, Options(), ("mm", "m", "px")).unit == "px"
    assert track_of(make_trajectory(), Options(), ("mm", "m", "px")).unit == "mm"
    with pytest.raises(ResultError, match="no scale"):
        track_of(bare, Options(), ("mm", "m"))
    with pytest.raises(ResultError, match="holds px, not mm"):
        track_of(make_trajectory(), Options(unit="mm"), ("px",))


def test_out_of_view_is_no_position_and_no_confidence(make_trajectory: Make) -> None:
    trajectory = make_trajectory(hidden={3}).corrected(5, None)  # whose confidence is 1
    track = Track.of(trajectory, "px")
    assert np.flatnonzero(track.missing).tolist() == [3, 5]
    assert track.confidence[[3, 5]].tolist() == [0, 0]
    assert track.confidence[4] == pytest.approx(0.54)


@pytest.mark.parametrize(
    ("untracked", "rate"), [((), 25), ({4, 5, 6}, 25), ({i for i in range(20) if i % 3}, 25 / 3)]
)
def test_rate_of_even_frames(make_trajectory: Make, untracked: set[int], rate: float) -> None:
    track = Track.of(make_trajectory(untracked=untracked), "px")
    assert track.rate == pytest.approx(rate)


def test_rows_of_no_common_step_keep_their_times(make_trajectory: Make) -> None:
    tracked = {0, 2, 5}
    track = Track.of(make_trajectory(untracked=set(range(20)) - tracked), "px")
    even, rate = evenly(track, "C3D")
    assert rate == pytest.approx(25)
    assert even.times[~even.missing] == pytest.approx(track.times)
    assert even.xy[~even.missing].tolist() == track.xy.tolist()


def test_uneven_or_unknown_times_have_no_rate(make_trajectory: Make, uneven: FrameTimes) -> None:
    assert Track.of(make_trajectory(uneven), "px").rate is None
    assert Track.of(make_trajectory(FrameTimes.unknown(9)), "px").rate is None


def test_rows_left_out_come_back_empty(make_trajectory: Make) -> None:
    even, rate = evenly(Track.of(make_trajectory(untracked={4, 5, 6}), "px"), "C3D")
    assert rate == pytest.approx(25)
    assert even.frames.tolist() == list(range(20))
    assert np.flatnonzero(even.missing).tolist() == [4, 5, 6]
    assert np.isnan(even.confidence[4:7]).all()
    np.testing.assert_allclose(even.times, 2 + np.arange(20) / 25)
    assert even.notes == ("3 frames that were not tracked are rows without a position",)


def test_times_that_a_container_rounded_become_even_and_it_is_said(make_trajectory: Make) -> None:
    rounded = FrameTimes(np.round(np.arange(20) / 60, 3), "container")
    even, rate = evenly(Track.of(make_trajectory(rounded), "px"), "C3D")
    assert rate == pytest.approx(60, rel=2e-3)
    np.testing.assert_allclose(np.diff(even.times), 1 / rate)
    assert "none moved by over" in even.notes[0]


def test_uneven_times_are_refused_with_the_remedy(
    make_trajectory: Make, uneven: FrameTimes
) -> None:
    with pytest.raises(ResultError, match=r"not evenly spaced.*--rate HZ, or export \.sto"):
        evenly(Track.of(make_trajectory(uneven), "px"), "C3D")
    with pytest.raises(ResultError, match=r"no times, and C3D needs a rate; give"):
        evenly(Track.of(make_trajectory(FrameTimes.unknown(9)), "px"), "C3D")


@pytest.mark.parametrize("interpolation", ["cubic", "linear"])
def test_resampling_reads_the_curve_at_true_times(
    make_trajectory: Make, uneven: FrameTimes, true_position: Position, interpolation: str
) -> None:
    track = resampled(Track.of(make_trajectory(uneven), "px"), 100.0, interpolation)
    assert track.rate == pytest.approx(100)
    assert track.times[0] == 1.0
    assert uneven.seconds[-1] - 0.01 < track.times[-1] <= uneven.seconds[-1]
    wanted = np.array([true_position(t) for t in track.times])
    error = np.abs(track.xy - wanted).max(axis=0)
    if interpolation == "cubic":
        assert error.max() < 1e-9
    else:  # the chord of 30 t^2 over at most 60 ms lies at most 30 * 0.06^2 / 4 beside it
        assert 1e-4 < error[0] < 30 * 0.06**2 / 4 + 1e-9
        assert error[1] < 1e-9
    assert track.notes == (
        f"resampled to 100 Hz, {interpolation} between the true times of the frames",
    )


def test_resampling_never_crosses_a_gap(make_trajectory: Make, uneven: FrameTimes) -> None:
    track = Track.of(make_trajectory(uneven, hidden={5}, untracked={12}), "px")
    fine = resampled(track, 500.0)
    s = uneven.seconds
    for lower, upper in ((s[4], s[6]), (s[11], s[13])):
        inside = (fine.times > lower + 1e-6) & (fine.times < upper - 1e-6)
        assert inside.sum() > 5
        assert fine.missing[inside].all()
        assert not fine.missing[np.abs(fine.times - lower - 1e-3).argmin() - 2]
    assert not fine.missing[(fine.times > s[6]) & (fine.times < s[11])].any()


def test_a_lower_rate_says_that_nothing_was_filtered(make_trajectory: Make) -> None:
    (note,) = resampled(Track.of(make_trajectory(), "px"), 10.0).notes
    assert note.endswith("(25 Hz); not low-pass filtered before")


def test_the_own_rate_changes_nothing(make_trajectory: Make) -> None:
    track = Track.of(make_trajectory(), "px")
    assert resampled(track, 25.0) is track


def test_without_times_a_rate_is_an_assumption_that_is_told(make_trajectory: Make) -> None:
    track = resampled(Track.of(make_trajectory(FrameTimes.unknown(9)), "px"), 50.0)
    np.testing.assert_allclose(track.times, np.arange(9) / 50)
    assert track.time_unit == "s"
    assert track.notes == ("the clip has no times; 50 frames per second are assumed",)


@pytest.mark.parametrize(
    "wrong", [{"rate": 0}, {"rate": float("nan")}, {"unit": "cm"}, {"interpolation": "none"}]
)
def test_impossible_options_are_refused(wrong: dict) -> None:
    with pytest.raises(ResultError, match=r"give more|unknown"):
        Options(**wrong)

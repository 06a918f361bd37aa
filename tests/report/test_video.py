from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.jobs import Done, Failed, Progress
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.report import video
from napari_deepmtj.report.video import ellipse, write_annotated_video
from napari_deepmtj.video.opening import open_video


class Clip:
    """A VideoSource of flat grey frames."""

    name = "clip.avi"
    path = None
    scale = None
    roi: Roi | None = None
    metadata: dict[str, object] = {}  # noqa: RUF012
    notices = ()

    def __init__(self, n_frames: int = 20, height: int = 96, width: int = 160) -> None:
        self.sha256 = "aa" * 32
        self.n_frames, self.height, self.width = n_frames, height, width
        self.times = FrameTimes.from_rate(n_frames, 25, "container")

    def read(self, frame: int) -> np.ndarray:
        return np.full((self.height, self.width), 60, np.uint8)

    def numbered(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator:
        for frame in range(self.n_frames)[start:stop:step]:
            yield frame, self.read(frame)

    def close(self) -> None:
        pass


def close_to(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns, shape (n, 2), of the pixels of a colour."""
    return np.argwhere(np.abs(picture.astype(int) - colour).max(axis=-1) <= 2)


def position(frame: int) -> tuple[float, float]:
    """Where `conftest.make` puts the MTJ."""
    return 60 + 3.0 * frame, 40 + 0.5 * frame


def painter(trajectory: Trajectory, truth: list[Label] | None = None) -> video._Picture:
    return video._Picture(Clip(), trajectory, {label.frame: label for label in truth or []})


def row(trajectory: Trajectory, frame: int) -> dict:
    return trajectory.table[trajectory.table["frame"] == frame].to_dict("records")[0]


def test_the_cross_lies_on_the_junction(trajectory: Trajectory) -> None:
    picture = painter(trajectory)
    assert picture.zoom == 4
    drawn = picture.draw(Clip().read(3), 3, row(trajectory, 3))
    assert drawn.shape == (4 * 96, 4 * 160, 3)
    # Frame 3 is at (69, 41.5); the ellipse around it is symmetric, so the middle of all is it.
    found = close_to(drawn, video.MTJ_COLOUR)
    middle = (found.min(axis=0) + found.max(axis=0)) / 2
    np.testing.assert_allclose(middle[::-1], (np.array([69, 41.5]) + 0.5) * 4 - 0.5, atol=1)


def test_the_region_is_drawn_on_its_outermost_pixels(trajectory: Trajectory) -> None:
    found = close_to(painter(trajectory).draw(Clip().read(0), 0, None), video.ROI_COLOUR)
    # The region is 10, 20, 140, 70, enlarged by 4.
    assert found.min(axis=0).tolist() == [80, 40]
    assert found.max(axis=0).tolist() == [4 * 90 - 1, 4 * 150 - 1]


def test_nothing_is_marked_where_it_is_not_in_view(trajectory: Trajectory) -> None:
    drawn = painter(trajectory).draw(Clip().read(12), 12, row(trajectory, 12))
    assert len(close_to(drawn, video.MTJ_COLOUR)) == 0


def test_rows_by_hand_have_their_own_colour_and_no_ellipse(trajectory: Trajectory) -> None:
    drawn = painter(trajectory).draw(Clip().read(15), 15, row(trajectory, 15))
    found = close_to(drawn, video.BY_HAND_COLOUR)
    assert len(close_to(drawn, video.MTJ_COLOUR)) == 0
    assert np.ptp(found, axis=0).max() <= 17  # the cross alone


def test_truth_is_a_ring(trajectory: Trajectory, truth: list[Label]) -> None:
    drawn = painter(trajectory, truth).draw(Clip().read(6), 6, None)
    middle = close_to(drawn, video.TRUTH_COLOUR).mean(axis=0)
    np.testing.assert_allclose(middle[::-1], (np.array([80, 43]) + 0.5) * 4 - 0.5, atol=1)


def test_the_trail_follows_and_breaks_where_it_is_not_in_view(trajectory: Trajectory) -> None:
    picture = painter(trajectory)
    for frame in (10, 11, 12, 13):
        drawn = picture.draw(Clip().read(frame), frame, row(trajectory, frame))
    x10, y10 = (np.array([90, 45]) + 0.5) * 4 - 0.5
    near = drawn[round(y10) - 1 : round(y10) + 3, round(x10) + 2 : round(x10) + 6]
    assert (near != 60).any(), "the trail between frames 10 and 11 is gone"
    x12, y12 = (np.array([95.2, 45.85]) + 0.5) * 4 - 0.5
    gap = drawn[round(y12) - 1 : round(y12) + 2, round(x12) - 2 : round(x12) + 2]
    assert (gap == 60).all(), "the trail crosses frame 12"


def test_the_ellipse_has_the_covariance_of_the_row(trajectory: Trajectory) -> None:
    outline = ellipse(row(trajectory, 0), 3600)
    offset = outline - [60, 40]
    # Every point of it is two standard deviations away, in the metric of the covariance.
    inverse = np.linalg.inv([[9, 2], [2, 4]])
    distance = np.sqrt(np.einsum("ij,jk,ik->i", offset, inverse, offset))
    np.testing.assert_allclose(distance, 2, rtol=1e-9)
    assert offset[:, 0].max() == pytest.approx(6, rel=1e-4)
    assert ellipse(row(trajectory, 15)) is None


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_the_video_has_every_frame(
    tmp_path: Path, trajectory: Trajectory, truth: list[Label], name: str
) -> None:
    events = list(write_annotated_video(Clip(), trajectory, tmp_path / name, truth))
    assert events[-1] == Done(tmp_path / name)
    assert [e.done for e in events if isinstance(e, Progress)] == list(range(1, 21))
    with open_video(tmp_path / name) as source:
        assert (source.n_frames, source.height, source.width) == (20, 384, 640)
        assert source.times.rate == pytest.approx(25)
        moved = source.read(0).astype(int) - source.read(19)
    assert np.abs(moved).max() > 50


def test_every_second_frame_takes_as_long(tmp_path: Path, trajectory: Trajectory) -> None:
    table = trajectory.table[trajectory.table["frame"].isin([0, 2, 4])]
    half = Trajectory(table, trajectory.provenance)
    list(write_annotated_video(Clip(), half, tmp_path / "a.mp4"))
    with open_video(tmp_path / "a.mp4") as source:
        assert source.n_frames == 3
        assert source.times.rate == pytest.approx(12.5)


def test_another_clip_is_refused(tmp_path: Path, trajectory: Trajectory) -> None:
    clip = Clip()
    clip.sha256 = "bb" * 32
    (event,) = write_annotated_video(clip, trajectory, tmp_path / "a.mp4")
    assert isinstance(event, Failed)
    assert "another file" in str(event.error)
    assert not (tmp_path / "a.mp4").exists()


def test_closing_the_job_leaves_no_file(tmp_path: Path, trajectory: Trajectory) -> None:
    job = write_annotated_video(Clip(), trajectory, tmp_path / "a.mp4")
    next(job)
    job.close()
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_clip(tmp_path: Path, trajectory: Trajectory) -> None:
    job = write_annotated_video(Clip(), trajectory, tmp_path / "a.mp4")
    next(job)
    next(job)
    tracemalloc.start()
    for event in job:
        last = event
    grown, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(last, Done)
    frame = 384 * 640 * 3
    assert peak < 8 * frame
    assert grown < frame


@pytest.mark.parametrize(("frames", "reaches"), [(0, 5), (1, 5), (3, 3)])
def test_the_trail_goes_back_as_far_as_asked(
    trajectory: Trajectory, frames: int, reaches: int
) -> None:
    """Frame 5 is at 75; each earlier one lies 3 px to the left, so the trail ends at `reaches`."""
    picture = video._Picture(Clip(), trajectory, {}, trail_frames=frames)
    trajectory.table[["sd_x_px", "sd_y_px"]] = np.nan  # no ellipse
    for frame in range(6):
        drawn = picture.draw(Clip().read(frame), frame, row(trajectory, frame))
    coloured = np.argwhere((drawn != 60).any(axis=-1) & (np.ptp(drawn, axis=-1) > 30))
    left = coloured[(coloured[:, 1] > 200) & (coloured[:, 0] < 240) & (coloured[:, 0] > 120)][
        :, 1
    ].min()  # within the region's border
    ends = (position(reaches)[0] + 0.5) * 4 - 0.5
    arm = 8 if reaches == 5 else 0  # then there is only the cross
    assert left == pytest.approx(ends - arm, abs=2)

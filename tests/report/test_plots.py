from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import MissingExtraError
from napari_deepmtj.report.plots import save_figure, time_plot


def line(figure: object, axis: int, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the data of the line called `label` in one of the two plots."""
    lines = {item.get_label(): item for item in figure.axes[axis].get_lines()}
    return lines[label].get_data()


def test_lines_are_in_mm_and_seconds(trajectory: Trajectory) -> None:
    figure = time_plot(trajectory)
    time, x = line(figure, 0, "tracked")
    _, y = line(figure, 1, "tracked")
    np.testing.assert_allclose(time[:6], np.arange(6) / 25)
    np.testing.assert_allclose(x[:6], (60 + 3 * np.arange(6)) * 0.1)
    np.testing.assert_allclose(y[:6], (40 + 0.5 * np.arange(6)) * 0.2)
    assert figure.axes[0].get_title(loc="left") == "x (to the right) [mm]"
    assert figure.axes[1].get_xlabel() == "time [s]"
    assert figure.axes[1].yaxis_inverted()


def test_no_line_crosses_a_gap(trajectory: Trajectory) -> None:
    time, x = line(time_plot(trajectory), 0, "tracked")
    # One NaN between frames 5 and 9, one where frame 12 is not in view.
    assert np.flatnonzero(np.isnan(x)).tolist() == [6, 10]
    assert time[5] == pytest.approx(5 / 25)
    assert time[7] == pytest.approx(9 / 25)


def test_the_band_is_one_standard_deviation(trajectory: Trajectory) -> None:
    figure = time_plot(trajectory)
    for axis, sd_mm in enumerate((3 * 0.1, 2 * 0.2)):
        (band,) = figure.axes[axis].collections
        outline = band.get_paths()[0].vertices
        first = outline[np.isclose(outline[:, 0], 0)][:, 1]
        assert first.max() - first.min() == pytest.approx(2 * sd_mm)


def test_rows_by_hand_are_marked(trajectory: Trajectory) -> None:
    time, x = line(time_plot(trajectory), 0, "corrected")
    np.testing.assert_allclose(time, [15 / 25])
    np.testing.assert_allclose(x, [9.0])


def test_truth_is_drawn_where_it_is_visible(trajectory: Trajectory, truth: list[Label]) -> None:
    time, x = line(time_plot(trajectory, truth), 0, "truth")
    shown = ~np.isnan(x)
    np.testing.assert_allclose(x[shown], (62 + 75 * time[shown]) * 0.1)
    assert 12 / 25 not in time[shown]
    with pytest.raises(KeyError):
        line(time_plot(trajectory), 0, "truth")


def test_without_scale_and_times_it_is_pixels_over_frames(
    make_trajectory: Callable[..., Trajectory],
) -> None:
    figure = time_plot(make_trajectory(None, FrameTimes.unknown(20)))
    frames, x = line(figure, 0, "tracked")
    np.testing.assert_allclose(frames[:3], [0, 1, 2])
    np.testing.assert_allclose(x[:3], [60, 63, 66])
    assert figure.axes[0].get_title(loc="left").endswith("[px]")
    assert figure.axes[1].get_xlabel() == "frame"


def test_every_second_frame_is_joined(trajectory: Trajectory) -> None:
    table = trajectory.table[trajectory.table["frame"].isin([0, 2, 4])]
    _, x = line(time_plot(Trajectory(table, trajectory.provenance)), 0, "tracked")
    assert np.isfinite(x).all()
    assert len(x) == 3


def test_a_trajectory_of_nothing_can_be_drawn(trajectory: Trajectory) -> None:
    figure = time_plot(Trajectory(trajectory.table.iloc[:0], trajectory.provenance))
    assert len(line(figure, 0, "tracked")[0]) == 0


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_trajectory_gives_the_same_file(
    tmp_path: Path, trajectory: Trajectory, suffix: str
) -> None:
    first = save_figure(time_plot(trajectory), tmp_path / f"a{suffix}")
    assert first.stat().st_size > 5000
    if suffix != ".svg":  # ids inside an SVG are drawn at random
        again = save_figure(time_plot(trajectory), tmp_path / f"b{suffix}")
        assert first.read_bytes() == again.read_bytes()


def test_the_png_shows_the_lines(tmp_path: Path, trajectory: Trajectory) -> None:
    path = save_figure(time_plot(trajectory), tmp_path / "a.png")
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert pixels.shape == (750, 1350, 3)
    blue = (np.abs(pixels.astype(int) - (0x00, 0x72, 0xB2)).max(axis=-1) < 10).sum()
    assert blue > 500


def test_no_matplotlib_is_one_line_that_names_the_extra(
    trajectory: Trajectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"napari-deepmtj\[plots\]"):
        time_plot(trajectory)


def test_drawing_needs_neither_pyplot_nor_qt() -> None:
    code = (
        "import sys, matplotlib.figure, napari_deepmtj.report.plots\n"
        "assert not {'matplotlib.pyplot', 'qtpy', 'PySide6'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

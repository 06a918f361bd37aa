"""How curves are drawn: thinned, in common units, following the view."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.mechanics.channels import Channels
from napari_deepmtj.report.panels import TimePanels
from napari_deepmtj.report.plots import over_time
from napari_deepmtj.report.timeline import Timeline
from napari_deepmtj.report.traces import thinned


@pytest.fixture
def panels(trajectory: Trajectory) -> TimePanels:
    made = TimePanels(Figure(figsize=(4, 4)))
    made.show([Timeline.of(trajectory, "left")], ("x", "displacement"))
    return made


def drawn(panels: TimePanels, label: str, panel: int = 0) -> tuple[np.ndarray, np.ndarray]:
    lines = {line.get_label(): line for line in panels.axes[panel].get_lines()}
    return lines[label].get_data()


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 3000),
    columns=st.integers(1, 200),
    seed=st.integers(0, 10),
    view=st.tuples(st.floats(-0.5, 1.5), st.floats(0.01, 1.0)),
)
def test_no_extreme_is_lost_by_thinning(
    n: int, columns: int, seed: int, view: tuple[float, float]
) -> None:
    rng = np.random.default_rng(seed)
    t, v = np.sort(rng.uniform(0, 1, n)), rng.normal(0, 1, n)
    v[rng.uniform(size=n) < 0.1] = np.nan
    first, last = view[0], view[0] + view[1]
    seen, low, high = thinned(t, v, v, first, last, columns)
    assert len(seen) <= max(2 * columns, columns + 2)
    inside = np.isfinite(v) & (t >= first) & (t <= last)
    if inside.any():
        shown = (seen >= first) & (seen <= last) & np.isfinite(low)
        # a column begins at its first row, so all that is in view is in a column in view
        assert low[shown].min() == v[inside].min()
        assert high[shown].max() == v[inside].max()


def test_a_gap_as_wide_as_a_column_stays_a_gap() -> None:
    t = np.arange(10_000.0)
    v = np.sin(t)
    v[5000:5300] = np.nan
    seen, low, _ = thinned(t, v, v, 0, 9999, 100)
    assert np.isnan(low[(seen > 5100) & (seen < 5290)]).all()
    assert np.isfinite(low[(seen < 4900) | (seen > 5400)]).all()


def test_the_range_follows_the_view_and_y_runs_downwards(trajectory: Trajectory) -> None:
    panels = TimePanels(Figure())
    panels.show([Timeline.of(trajectory)], ("x", "y"))
    panels.look_at(0.0, 0.1)  # 6.0, 6.3 and 6.6 mm, each with an SD of 0.3 mm
    assert panels.axes[0].get_ylim() == pytest.approx((5.7 - 0.08 * 1.2, 6.9 + 0.08 * 1.2))
    assert panels.axes[1].yaxis_inverted()


def test_what_is_in_view_stays_until_all_is_asked_for(
    panels: TimePanels, make_trajectory: Callable[..., Trajectory]
) -> None:
    panels.look_at(0.1, 0.3)
    assert not panels.show([Timeline.of(make_trajectory(), "left")], ("x", "displacement"))
    assert panels.view == (0.1, 0.3)
    panels.show_all()
    first, last = panels.view
    assert first < 0
    assert last > 19 / 25


def test_zoom_keeps_its_time_and_ends_at_the_whole(panels: TimePanels) -> None:
    whole = panels.view
    panels.zoomed(0.5, 0.2)
    first, last = panels.view
    assert (0.2 - first) / (last - first) == pytest.approx((0.2 - whole[0]) / (whole[1] - whole[0]))
    panels.zoomed(100.0, 0.2)
    assert panels.view == whole


def test_a_drag_moves_time_and_no_range(panels: TimePanels) -> None:
    ranges = [axes.get_ylim() for axes in panels.axes]
    first, last = panels.view
    panels.dragged(panels.axes[0].bbox.width / 2)
    assert panels.view == pytest.approx(((first + last) / 2, last + (last - first) / 2))
    assert [axes.get_ylim() for axes in panels.axes] == ranges


def test_flagged_frames_without_a_position_are_marked_at_the_border(
    trajectory: Trajectory,
) -> None:
    table = trajectory.table.assign(flags=trajectory.table["flags"].astype(object))
    table.loc[table["frame"] == 12, "flags"] = "not_in_view"
    panels = TimePanels(Figure())
    panels.show([Timeline.of(Trajectory(table, trajectory.provenance))], ("x",))
    t, height = drawn(panels, "_rug")
    np.testing.assert_allclose(t, [12 / 25])
    assert (height < 0.05).all()
    assert len(drawn(panels, "flagged")[0]) == 0


def test_clips_of_other_units_are_left_out_and_named(
    trajectory: Trajectory, make_trajectory: Callable[..., Trajectory]
) -> None:
    panels = TimePanels(Figure())
    in_px = Timeline.of(make_trajectory(None))
    in_frames = Timeline.of(make_trajectory(None, FrameTimes.unknown(20)))
    panels.show([Timeline.of(trajectory), in_px, in_frames], ("x", "confidence"))
    assert [name for name, _ in panels.colours()] == ["clip.avi", "clip.avi"]
    assert panels.left_out == (
        "clip.avi is left out: its times are in another unit",
        "x of clip.avi is in px, not mm",
    )
    assert len(panels.axes[0].get_lines()[-1].get_xdata()) == 0


def test_each_clip_has_its_colour_and_name(trajectory: Trajectory) -> None:
    timeline = Timeline.of(trajectory)
    panels = TimePanels(Figure())
    panels.show([timeline, timeline], ("x",))
    colours = {
        line.get_color() for line in panels.axes[0].get_lines() if line.get_label() == "clip.avi"
    }
    assert len(colours) == 2


def test_channels_have_panels_of_their_own(trajectory: Trajectory) -> None:
    times = np.arange(2000) / 1000
    channels = Channels(times, {"torque": times}, {"torque": "Nm"})
    figure = over_time([Timeline.of(trajectory, "left", channels)], ("x", "torque", "nothing"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "x (to the right) [mm]",
        "torque [Nm]",
    ]
    # the view is the clip's, and there the channel is whole
    assert figure.axes[1].get_xlim()[1] < 0.8


@pytest.mark.parametrize("size", [(2.2, 1.6), (3.8, 4.6), (12, 9)])
def test_texts_lie_inside_the_figure_and_on_no_other(
    trajectory: Trajectory, size: tuple[float, float]
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = Figure(figsize=size)
    canvas = FigureCanvasAgg(figure)
    panels = TimePanels(figure)
    names = ("x", "y", "displacement", "velocity")[: 2 if size[1] < 2 else 4]
    panels.show([Timeline.of(trajectory, "left")], names)
    canvas.draw()
    renderer = canvas.get_renderer()
    titles = [axes.title for axes in panels.axes]
    boxes = [axes._left_title.get_window_extent(renderer) for axes in panels.axes]
    assert len(titles) == len(names)
    inside = figure.bbox
    for axes in panels.axes:
        for text in [*axes.get_yticklabels(), axes.xaxis.label]:
            if text.get_text() and text.get_visible():
                box = text.get_window_extent(renderer)
                assert box.x0 >= inside.x0 - 1
                assert box.y0 >= inside.y0 - 1
    for box, above in zip(boxes[1:], panels.axes, strict=False):
        assert box.y1 <= above.bbox.y0 + 1
    assert boxes[0].y1 <= inside.y1 + 1

import numpy as np
import pytest
from napari.layers import Image, Shapes

from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import CalibrationError

SCALE = Scale(0.2, 0.1, "given by hand")


def test_seconds_and_millimetres_where_they_are_known():
    times = FrameTimes(1.5 + np.arange(10) / 50)
    placed = Placement.of(times, SCALE)
    assert placed.scale == pytest.approx((0.02, 0.1, 0.2))
    assert placed.translate == (1.5, 0, 0)
    assert placed.units == ("s", "mm", "mm")
    assert placed.known_mm


@pytest.mark.parametrize(
    "times", [FrameTimes.unknown(5), FrameTimes(np.array([0, 1, 5, 6.0])), FrameTimes([0.0])]
)
def test_uneven_or_unknown_times_are_frames_on_the_axis(times):
    placed = Placement.of(times, None)
    assert placed == Placement()
    assert placed.units == ("pixel",) * 3
    assert not placed.known_mm


def test_an_image_layer_gives_its_placement_times_and_scale():
    layer = Image(
        np.zeros((4, 6, 8), np.uint8),
        rgb=False,
        scale=(40, 100, 200),
        translate=(80, 0, 0),
        units=("ms", "um", "um"),
    )
    placed = Placement.of_layer(layer)
    np.testing.assert_allclose(placed.times(4).seconds, [0.08, 0.12, 0.16, 0.2])
    assert placed.times(4).rate == pytest.approx(25)
    found = placed.scale_mm("layer")
    assert (found.x_mm, found.y_mm) == pytest.approx((0.2, 0.1))


def test_a_layer_without_units_gives_neither():
    placed = Placement.of_layer(Image(np.zeros((4, 6, 8), np.uint8), rgb=False))
    assert not placed.times(4).known
    assert placed.scale_mm("layer") is None


def test_a_trajectory_alone_is_placed_as_its_clip_would_be(make_trajectory, scale):
    placed = Placement.of_trajectory(make_trajectory(scale=scale))
    assert placed.scale == pytest.approx((0.04, 0.1, 0.2))
    partial = Placement.of_trajectory(make_trajectory(scale=scale, frames=range(2, 6)))
    assert partial.scale == (1, 0.1, 0.2)
    assert partial.units == ("pixel", "mm", "mm")


def test_a_rectangle_of_any_layer_is_a_region_in_pixels_of_the_clip():
    clip = Image(np.zeros((4, 60, 80), np.uint8), rgb=False, scale=(1, 0.1, 0.2))
    clip.translate = (0, 3, 5)
    # Pixels 10..29 across and 20..29 down, drawn in millimetres and, in 3 axes, half millimetres.
    corners = np.array([[19.5, 9.5], [19.5, 29.5], [29.5, 29.5], [29.5, 9.5]])
    world = corners * [0.1, 0.2] + [3, 5]
    flat = Shapes([world], shape_type="rectangle")
    fine = np.insert(world * 2, 0, 0, axis=1)
    deep = Shapes([fine], shape_type="rectangle", scale=(1, 0.5, 0.5))
    for shapes in (flat, deep):
        assert str(clips.drawn_region(shapes, clip)) == "10,20,20,10"


def test_an_empty_layer_of_shapes_is_no_region():
    clip = Image(np.zeros((4, 60, 80), np.uint8), rgb=False)
    with pytest.raises(CalibrationError, match="nothing is drawn in Shapes"):
        clips.drawn_region(Shapes(), clip)

import numpy as np
import pandas as pd
import pytest
from napari.layers import Image, Layer, Points, Shapes, Tracks

from napari_deepmtj._napari.layers import convert, drawings, styles
from napari_deepmtj._napari.layers.convert import KEY, Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj.core.geometry import PixelMap, Roi, Scale
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import BY_HAND, Origin
from napari_deepmtj.errors import CalibrationError, ResultError
from napari_deepmtj.inference.attention import AttentionMap

GATE = AttentionMap("gate-1", "gate", "gate", "tiny", "ab" * 32)
TIMES = FrameTimes.from_rate(8, 25.0, "container")


@pytest.fixture
def points(make_trajectory, scale):
    trajectory = make_trajectory(scale=scale)
    placement = Placement.of(TIMES, scale)
    return Layer.create(*convert.layer_of_trajectory(trajectory, placement, "id"))


def test_the_schema_of_the_points_layer(points, make_trajectory, scale):
    assert isinstance(points, Points)
    assert points.data.tolist()[:4] == [[0, 20.5, 10], [1, 20.5, 12], [2, 20.5, 14], [4, 20.5, 18]]
    assert tuple(points.features.columns) == convert.FEATURES
    row = points.features.iloc[3]  # frame 4
    assert row["frame"] == 4
    assert row["time_s"] == 4 / 25
    assert row["sd_mm"] == pytest.approx(np.hypot(2 * 0.2, 1 * 0.1))
    assert (row["origin"], row["flags"]) == ("PREDICTED", "")
    assert np.isnan(row["confidence"])
    assert points.axis_labels == ("t", "y", "x")
    assert points.scale == pytest.approx([0.04, 0.1, 0.2])
    assert [str(u) for u in points.units] == ["second", "millimeter", "millimeter"]
    assert points.metadata[KEY]["schema"] == 1
    assert convert.kind_of(points) is Kind.TRAJECTORY


def test_a_point_without_confidence_is_visible(points):
    alpha = points.border_color[:, 3]
    assert (alpha == 1).all()
    assert len({tuple(c) for c in points.border_color}) == len(points.data)  # told by colour


def test_back_conversion_is_lossless(points, make_trajectory, scale):
    before = make_trajectory(scale=scale)
    after = convert.edited(points.data, convert.trajectory_of(points), TIMES)
    pd.testing.assert_frame_equal(after.table, before.table)
    assert after.provenance.to_json()["clip"] == before.provenance.to_json()["clip"]


def test_layers_of_others_hold_no_trajectory():
    layer = Points([[0, 1, 2]], metadata={"other": 1})
    assert convert.kind_of(layer) is None
    with pytest.raises(ResultError, match="holds no trajectory"):
        convert.trajectory_of(layer)


def test_moving_a_prediction_corrects_it(points, make_trajectory):
    before = make_trajectory()
    data = points.data.copy()
    data[1] += [0, 3, -2]
    after = convert.edited(data, before, TIMES)
    row = after.table.iloc[1]
    assert (row["x_px"], row["y_px"], row["origin"]) == (10, 23.5, "CORRECTED")
    assert (row["x_raw_px"], row["y_raw_px"]) == (12, 20.5)
    assert after.by_hand.tolist() == [False, True] + [False] * 6
    assert after.provenance.operations[-1].name == "correct"
    assert "annotator" not in after.provenance.operations[-1].arguments
    signed = convert.edited(data, before, TIMES, annotator="AB")
    assert signed.provenance.operations[-1].arguments["annotator"] == "AB"
    assert signed.provenance.operations[:-1] == before.provenance.operations


def test_deleting_a_point_says_not_in_view(points, make_trajectory):
    after = convert.edited(np.delete(points.data, 0, axis=0), make_trajectory(), TIMES)
    row = after.table.iloc[0]
    assert not row["in_view"]
    assert np.isnan(row["x_px"])
    assert (row["origin"], row["flags"]) == ("CORRECTED", "not_in_view")


def test_a_click_where_nothing_was_seen_corrects_that(points, make_trajectory):
    after = convert.edited(np.vstack([points.data, [3.0000000001, 7, 8]]), make_trajectory(), TIMES)
    row = after.table.iloc[3]
    assert (row["frame"], row["x_px"], row["y_px"], row["origin"]) == (3, 8, 7, "CORRECTED")


@pytest.mark.parametrize("first", [True, False])
def test_of_two_points_in_a_frame_the_new_one_counts(points, make_trajectory, first):
    new = [[5.0, 1.0, 2.0]]
    data = np.vstack([new, points.data] if first else [points.data, new])
    after = convert.edited(data, make_trajectory(), TIMES)
    assert len(after) == 8
    assert after.xy_px[5].tolist() == [2, 1]


def test_a_point_in_a_frame_without_a_row_is_manual(make_trajectory):
    before = make_trajectory(frames=range(2))
    shown, _ = convert.points_of(before)
    after = convert.edited(np.vstack([shown, [6, 1, 2]]), before, TIMES)
    assert after.frames.tolist() == [0, 1, 6]
    row = after.table.iloc[2]
    assert (row["origin"], row["time_s"], row["x_px"]) == ("MANUAL", 6 / 25, 2)
    moved, _ = convert.points_of(after)
    moved[2, 1] += 1
    again = convert.edited(moved, after, TIMES)
    assert again.table.iloc[2]["origin"] == "MANUAL"
    outside = convert.edited(np.vstack([shown, [99, 1, 2]]), before, TIMES)
    assert outside.frames.tolist() == [0, 1]


def test_a_layer_follows_its_trajectory_and_forgets_no_default(points, make_trajectory, scale):
    longer = make_trajectory(scale=scale, offset=1.0).corrected(0, (1, 2))
    convert.show_trajectory(points, longer)
    assert points.data[0].tolist() == [0, 2, 1]
    assert points.features["origin"].tolist()[:2] == ["CORRECTED", "PREDICTED"]
    assert str(points.symbol[0]) == styles.POINTS.symbol("CORRECTED")
    assert str(points.symbol[1]) == styles.POINTS.symbol("PREDICTED")
    assert points.feature_defaults["origin"][0] == "MANUAL"
    assert convert.trajectory_of(points) is longer


def test_a_trajectory_without_a_point_in_view_is_an_empty_layer(make_trajectory):
    trajectory = make_trajectory(frames=[3])
    layer = Layer.create(*convert.layer_of_trajectory(trajectory, Placement(), "id"))
    assert (len(layer.data), layer.ndim) == (0, 3)
    convert.show_trajectory(layer, make_trajectory())
    assert len(layer.data) == 7
    assert tuple(layer.features.columns) == convert.FEATURES
    convert.show_trajectory(layer, trajectory)
    assert len(layer.data) == 0


def test_points_by_hand_are_told_from_others_by_one_symbol():
    by_hand = {styles.POINTS.symbols[origin] for origin in BY_HAND}
    others = {styles.POINTS.symbols[o] for o in Origin if o not in BY_HAND}
    assert len(by_hand) == 1
    assert not by_hand & others


def test_the_path_skips_what_is_not_in_view(make_trajectory, scale):
    placement = Placement.of(TIMES, scale)
    layer = Layer.create(*convert.layer_of_path(make_trajectory(scale=scale), placement, "id"))
    assert isinstance(layer, Tracks)
    assert layer.data[:, 1].tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert np.isfinite(layer.features["confidence"]).all()
    convert.show_path(layer, make_trajectory(scale=scale, frames=range(3)))
    assert layer.data.tolist() == [[0, 0, 20.5, 10], [0, 1, 20.5, 12], [0, 2, 20.5, 14]]
    assert layer.color_by == "confidence"


@pytest.mark.parametrize("scale", [None, Scale(0.2, 0.1, "given by hand")])
@pytest.mark.parametrize("stretch", [False, True])
@pytest.mark.parametrize("shape", [(16, 32), (8, 16), (32, 64)])
def test_attention_lies_exactly_over_the_region(scale, stretch, shape):
    """The outer edges of the padded-out map, in world units, are those of the region."""
    roi = Roi(11, 5, 70, 30)
    pixel_map = PixelMap.fit(roi, 64, 128, scale, stretch=stretch)
    placement = Placement.of(TIMES, scale)
    maps = np.zeros((8, *shape), np.float16)
    affine = pixel_map.affine_of_map(*shape)
    layer = Layer.create(*convert.layer_of_attention(maps, affine, "clip", placement, "id", GATE))
    assert isinstance(layer, Image)
    assert layer.blending == "translucent_no_depth"
    assert np.asarray(layer.colormap.colors)[0, 3] == 0
    pooled = np.array([64, 128]) / shape
    top = np.array([pixel_map.content[0].start, pixel_map.content[1].start])
    end = np.array([pixel_map.content[0].stop, pixel_map.content[1].stop])
    corners = [layer.data_to_world((2, *(edge / pooled - 0.5))) for edge in (top, end)]
    picture = Image(np.zeros((8, 56, 112), np.uint8), rgb=False, **placement.arguments())
    wanted = [
        picture.data_to_world((2, roi.y - 0.5, roi.x - 0.5)),
        picture.data_to_world((2, roi.y + roi.height - 0.5, roi.x + roi.width - 0.5)),
    ]
    np.testing.assert_allclose(corners, wanted, atol=1e-9)


def test_a_region_drawn_and_read_back_is_the_same(scale):
    roi = Roi(11, 5, 70, 30)
    made = drawings.layer_of_roi(roi, "clip", Placement.of(TIMES, scale), "id")
    layer = Layer.create(*made)
    assert isinstance(layer, Shapes)
    assert layer.ndim == 2  # shown in every frame
    again = drawings.roi_of(layer.data[0], 56, 112)
    assert (again.x, again.y, again.width, again.height) == (11, 5, 70, 30)
    assert again.source == "drawn"


def test_a_drawn_region_holds_the_pixels_whose_centres_it_covers():
    corners = [[-20, 9.4], [-20, 200], [10.9, 9.4], [10.9, 200]]
    roi = drawings.roi_of(corners, 56, 112)
    assert (roi.x, roi.y, roi.width, roi.height) == (10, 0, 102, 11)
    with pytest.raises(CalibrationError, match="outside the picture"):
        drawings.roi_of([[100, 100], [120, 120]], 56, 112)

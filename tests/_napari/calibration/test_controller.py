"""Scale, region and distal side of a clip, without a window: jobs run in a loop."""

import json

import numpy as np
import pytest
from napari.layers import Image, Layer, Shapes
from scanner_screens import draw_screen, sample_screen

from napari_deepmtj._napari.calibration import controller as calibration
from napari_deepmtj._napari.contributions.reader import clip_layer
from napari_deepmtj._napari.layers import convert, drawings
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.tracking.run import Request, TrackRun
from napari_deepmtj._napari.tracking.widget import TrackWidget
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj.calibration.picture import Detection
from napari_deepmtj.calibration.scale import Suggestion
from napari_deepmtj.core.geometry import PixelMap, Roi, Scale
from napari_deepmtj.errors import CalibrationError, VideoError
from napari_deepmtj.inference.attention import AttentionMap
from napari_deepmtj.video.sidecar import ClipInfo, read_sidecar, write_sidecar

GATE = AttentionMap("gate-1", "gate", "gate", "tiny", "ab" * 32)
NEW = Scale(0.05, 0.4, "calibration line 10 mm")
ROI = Roi(11, 5, 70, 30)


@pytest.fixture
def open_clip(viewer, session, make_clip):
    def add(info=None, name="clip.avi", n_frames=8):
        path = make_clip(name, n_frames)
        if info is not None:
            write_sidecar(path, info)
        return viewer.add_layer(Layer.create(*clip_layer(path)))

    return add


@pytest.fixture(params=[None, Scale(0.2, 0.1, "given by hand")], ids=["no scale", "millimetres"])
def dressed(request, session, open_clip, make_trajectory):
    """A clip with every kind of layer that it can have, and one that a person drew."""
    clip = open_clip(None if request.param is None else ClipInfo(scale=request.param))
    placement, key = Placement.of_layer(clip), clips.id_of(clip)
    trajectory = make_trajectory(scale=request.param)
    maps = np.zeros((8, 16, 32), np.float16)
    affine = PixelMap.fit(ROI, 64, 128, request.param).affine_of_map(16, 32)
    made = [
        convert.layer_of_trajectory(trajectory, placement, key),
        convert.layer_of_path(trajectory, placement, key),
        convert.layer_of_attention(maps, affine, "clip", placement, key, GATE),
        drawings.layer_of_ticks(np.array([[3.0, 7.0]]), "clip", placement, key),
    ]
    for layer in made:
        session.add(clip, layer)
    calibration.show_region(session, clip, ROI)
    calibration.draw_lines(session, clip)
    session.find(clip, Kind.RULER).add_lines([[[4, 10], [44, 10]]])
    # A rectangle in a layer of somebody else's units that came to be of this clip.
    theirs = Shapes([[[1, 2], [1, 8], [5, 8], [5, 2]]], shape_type="rectangle")
    theirs.scale, theirs.translate = (0.5, 3.0), (7.0, 9.0)
    theirs.metadata = convert.stamp(Kind.REGION, key)
    session.add(clip, theirs)
    return clip


def over_pixels(session, clip):
    """Pixels of the clip, (y, x), over which each layer has its pixels (0, 0) and (10, 20)."""
    placement = Placement.of_layer(clip)
    return {
        layer.name: Placement.of_layer(layer).into(placement, [[0, 0], [10, 20]])
        for layer in session.layers_of(clip)
    }


def test_a_new_scale_moves_every_layer_and_changes_every_number(session, dressed):
    before = over_pixels(session, dressed)
    assert len(before) == 8
    old = convert.trajectory_of(session.find(dressed, Kind.TRAJECTORY))
    calibration.apply_scale(session, dressed, NEW)
    after = over_pixels(session, dressed)
    for name, pixels in before.items():
        np.testing.assert_allclose(after[name], pixels, atol=1e-9)
    for layer in session.layers_of(dressed):
        assert [str(unit) for unit in layer.units[-2:]] == ["millimeter", "millimeter"]
    np.testing.assert_allclose(dressed.scale, [0.04, 0.4, 0.05])
    points = session.find(dressed, Kind.TRAJECTORY)
    result = convert.trajectory_of(points)
    np.testing.assert_allclose(result.table["x_mm"], old.table["x_px"] * 0.05)
    np.testing.assert_allclose(result.table["y_mm"], old.table["y_px"] * 0.4)
    np.testing.assert_allclose(points.features["sd_mm"], np.hypot(2 * 0.05, 1 * 0.4))
    last = result.provenance.operations[-1]
    assert last.name == "scale changed"
    assert last.arguments["new"]["source"] == "calibration line 10 mm"
    assert (last.arguments["old"] is None) == (old.provenance.scale is None)
    assert convert.ours(dressed)["mm_per_px"]["source"] == "calibration line 10 mm"
    assert session.info.scale == NEW
    assert session.viewer.canvas.overlays.scale_bar.visible
    assert session.viewer.status.endswith("0.05 x 0.4 mm/px, calibration line 10 mm")
    # the attention lies over its region, in the new millimetres
    attention = session.find(dressed, Kind.ATTENTION)
    edge = attention.data_to_world((0, -0.5, -0.5))[-2:]
    wide = PixelMap.fit(ROI, 64, 128, old.provenance.scale)
    left = ROI.x - 0.5 - wide.left / wide.factors[0]
    top = ROI.y - 0.5 - wide.top / wide.factors[1]
    np.testing.assert_allclose(edge, [top * 0.4, left * 0.05])


def test_later_runs_and_the_file_use_the_new_scale(session, open_clip, tiny_model, in_a_loop):
    clip = open_clip(ClipInfo(scale=Scale(0.2, 0.1, "given by hand")))
    calibration.apply_scale(session, clip, NEW)
    TrackRun(session, clip, Request(tiny_model, device="cpu", attention=False)).start()
    result = convert.trajectory_of(session.find(clip, Kind.TRAJECTORY))
    assert result.provenance.scale == NEW
    np.testing.assert_allclose(result.table["x_mm"], result.table["x_px"] * 0.05)
    (tolerance,) = result.provenance.tolerances
    assert tolerance.mm(NEW) == pytest.approx(5)
    calibration.apply_scale(session, clip, Scale(0.1, 0.8, "given by hand"))
    result = convert.trajectory_of(session.find(clip, Kind.TRAJECTORY))
    (told,) = result.provenance.operations[-1].arguments["confidence"]
    assert told["tolerance_when_tracked"] == "5.0 mm"
    assert told["radius_mm"] == pytest.approx(10)
    TrackRun(session, clip, Request(tiny_model, device="cpu", attention=False)).start()
    again = convert.trajectory_of(session.find(clip, Kind.TRAJECTORY))
    names = [op.name for op in again.provenance.operations]
    assert names == ["track", "scale changed", "track"]
    (tolerance,) = again.provenance.tolerances
    assert tolerance.describe(session.info.scale) == "5 mm"


def test_no_scale_is_changed_under_a_running_job(session, open_clip):
    clip = open_clip()
    session.take(object(), "Working...")
    with pytest.raises(CalibrationError, match="running"):
        calibration.apply_scale(session, clip, NEW)
    assert session.info.scale is None


def test_an_array_is_calibrated_in_its_layer_alone(session, viewer):
    layer = viewer.add_image(np.zeros((4, 56, 112), np.uint8), rgb=False, translate=(0, 6, 8))
    clip = session.adopt(layer)
    session.activate(clip)
    calibration.apply_scale(session, clip, NEW)
    assert clips.source_of(clip).scale == NEW
    np.testing.assert_allclose(clip.translate, [0, 2.4, 0.4])
    with pytest.raises(CalibrationError, match="is no file"):
        calibration.save(clip)
    layer.scale = (1, 0.5, 0.5)  # past this plugin
    assert clips.source_of(clip).scale == Scale(0.5, 0.5, "napari layer")


def test_the_region_of_a_clip_is_shown_when_it_opens(session, open_clip):
    clip = open_clip(ClipInfo(roi=ROI, distal_side="left"))
    layer = session.find(clip, Kind.REGION)
    assert session.info == ClipInfo(None, Roi(11, 5, 70, 30, "side-car (given)"), "left")
    layer.data = layer.data  # touched, not changed
    assert session.info.roi.source == "side-car (given)"
    layer.data = [layer.data[0] + [2, 3]]
    assert session.info.roi == Roi(14, 7, 70, 30, "drawn")
    session.viewer.layers.remove(layer)
    assert session.info.roi is None


def test_numbers_and_drawing_share_one_rectangle(session, open_clip):
    clip = open_clip()
    calibration.edit_region(session, clip)
    layer = session.find(clip, Kind.REGION)
    assert session.info.roi == Roi.full(56, 112)
    assert layer.mode == "select"
    calibration.show_region(session, clip, ROI)
    assert session.find(clip, Kind.REGION) is layer
    assert len(layer.data) == 1
    assert str(clips.drawn_region(layer, clip)) == str(ROI)
    assert session.info.roi == ROI


def test_what_was_said_is_saved_beside_the_clip_and_read_again(session, open_clip):
    clip = open_clip()
    calibration.apply_scale(session, clip, NEW)
    calibration.show_region(session, clip, ROI)
    calibration.set_distal_side(session, clip, "right")
    path = calibration.save(clip)
    assert path.name == "clip.mtj-clip.json"
    assert json.loads(path.read_text())["scale"]["source"] == "calibration line 10 mm"
    info = read_sidecar(clips.source_of(clip).path)
    assert (str(info.roi), info.distal_side) == (str(ROI), "right")
    again = Layer.create(*clip_layer(clips.source_of(clip).path))
    assert clips.info_of(again).scale.source == "side-car (calibration line 10 mm)"
    assert clips.info_of(again).distal_side == "right"
    assert calibration.overruled(clip) == ""


def test_a_result_with_another_scale_is_told(session, viewer, open_clip, make_trajectory):
    open_clip(ClipInfo(scale=NEW))
    trajectory = make_trajectory(scale=Scale(0.2, 0.1, "file"))
    made = convert.layer_of_trajectory(trajectory, Placement(), "")
    viewer.add_layer(Layer.create(*made))
    assert "saved with 0.2 x 0.1 mm/px, file" in session.message
    assert "the clip has 0.05 x 0.4 mm/px" in session.message


def test_a_detected_picture_is_shown_and_nothing_found_is_said(
    session, open_clip, in_a_loop, monkeypatch
):
    answers = [Detection(Roi(4, 2, 60, 40, "detected"), 0.9, "it moves"), None]
    monkeypatch.setattr(
        "napari_deepmtj.calibration.picture.detect_picture", lambda source: answers.pop(0)
    )
    clip, taken = open_clip(), []
    calibration.find_picture(session, clip, taken.append)
    assert session.info.roi == Roi(4, 2, 60, 40, "detected")
    assert taken[0].confidence == 0.9
    assert not session.running
    calibration.find_picture(session, clip, taken.append)
    assert "No picture was found" in session.message
    assert session.info.roi == Roi(4, 2, 60, 40, "detected")
    assert len(taken) == 1


def test_a_suggested_scale_is_only_shown(session, open_clip, in_a_loop, monkeypatch):
    ticks = np.array([[90.0, 5.0], [90.0, 15.0], [90.0, 25.0]])
    found = Suggestion(Scale(0.5, 0.5, "ruler suggestion, 5 mm ticks"), 0.8, "", ticks, 5.0)
    asked = []

    def suggest_scale(source, roi):
        asked.append(roi)
        return found

    monkeypatch.setattr("napari_deepmtj.calibration.scale.suggest_scale", suggest_scale)
    clip, taken = open_clip(ClipInfo(roi=ROI)), []
    for _ in range(2):
        calibration.suggest(session, clip, taken.append)
    assert [str(roi) for roi in asked] == [str(ROI)] * 2
    assert taken == [found] * 2
    layers = [la for la in session.layers_of(clip) if convert.kind_of(la) is Kind.TICKS]
    assert [la.data.tolist() for la in layers] == [[[5, 90], [15, 90], [25, 90]]]
    assert session.info.scale is None


def test_a_suggestion_is_never_proposed_for_another_clip(
    session, open_clip, in_a_loop, monkeypatch
):
    first, second = open_clip(name="a.avi"), open_clip(name="b.avi")
    session.activate(first)

    def suggest_scale(source, roi):
        session.activate(second)  # a person goes on while the search runs
        return Suggestion(Scale(0.5, 0.5, "ruler"), 0.8, "", np.zeros((2, 2)), 5.0)

    monkeypatch.setattr("napari_deepmtj.calibration.scale.suggest_scale", suggest_scale)
    taken = []
    calibration.suggest(session, first, taken.append)
    assert taken == []
    assert "A ruler was found in a.avi" in session.message
    assert session.find(first, Kind.TICKS) is not None


def test_a_rectangle_beside_the_picture_is_told(session, open_clip):
    clip = open_clip(ClipInfo(roi=ROI))
    layer = session.find(clip, Kind.REGION)
    layer.data = [layer.data[0] - 500]
    assert "outside the picture" in session.message
    assert session.info.roi is None


def test_what_only_napari_does_not_show_stays_in_the_sidecar(session, open_clip):
    clip = open_clip(ClipInfo(colour_range="limited"))
    calibration.apply_scale(session, clip, NEW)
    info = read_sidecar(calibration.save(clip).with_name("clip.avi"))
    assert info.colour_range == "limited"
    assert info.scale.same_as(NEW)


def test_a_scale_given_past_this_plugin_is_followed_everywhere(session, dressed):
    before = over_pixels(session, dressed)
    old = convert.trajectory_of(session.find(dressed, Kind.TRAJECTORY))
    dressed.units = ("s", "mm", "mm")
    dressed.scale = (0.05, 0.3, 0.6)
    dressed.translate = (0, 5, 7)
    assert session.info.scale == Scale(0.6, 0.3, "napari layer")
    after = over_pixels(session, dressed)
    for name, pixels in before.items():
        np.testing.assert_allclose(after[name], pixels, atol=1e-9)
    points = session.find(dressed, Kind.TRAJECTORY)
    np.testing.assert_allclose(points.scale, dressed.scale)
    result = convert.trajectory_of(points)
    assert result.provenance.scale == session.info.scale
    np.testing.assert_allclose(result.table["x_mm"], old.table["x_px"] * 0.6)
    np.testing.assert_allclose(points.features["sd_mm"], np.hypot(2 * 0.6, 1 * 0.3))
    operations = len(result.provenance.operations)
    dressed.scale = (0.02, 0.3, 0.6)  # time alone is no new scale
    np.testing.assert_allclose(points.scale, dressed.scale)
    assert len(convert.trajectory_of(points).provenance.operations) == operations
    dressed.units = ("s", "pixel", "pixel")
    result = convert.trajectory_of(points)
    assert result.table["x_mm"].isna().all()
    assert result.table["x_px"].equals(old.table["x_px"])


def test_a_search_that_fails_is_one_line(session, open_clip, in_a_loop, monkeypatch):
    def fail(source):
        raise VideoError("cannot be decoded; save it again", path="clip.avi", frame=3)

    monkeypatch.setattr("napari_deepmtj.calibration.picture.detect_picture", fail)
    calibration.find_picture(session, open_clip(), lambda found: None)
    assert session.message == "clip.avi, frame 3: cannot be decoded; save it again"
    assert not session.running


@pytest.fixture
def recording(viewer):
    """A recording of a whole screen, as a layer, and where the picture is in it."""
    screen = draw_screen(sample_screen("desktop", 3), n_frames=8)
    layer = Image(screen.frames, name="screen", rgb=False)
    viewer.add_layer(layer)
    return layer, screen.roi


def test_where_tracking_will_look_is_shown_before_it(session, recording, in_a_loop):
    layer, roi = recording
    clip = session.adopt(layer)
    session.activate(clip)
    calibration.look_for_region(session, clip)
    shown = clips.drawn_region(session.find(clip, Kind.REGION), clip)
    assert abs(shown.x - roi.x) + abs(shown.y - roi.y) <= 6
    assert abs(shown.width - roi.width) + abs(shown.height - roi.height) <= 12
    assert session.info.roi.source.startswith("detected (")
    session.viewer.layers.remove(session.find(clip, Kind.REGION))
    calibration.look_for_region(session, clip)  # a person took it away: once is enough
    assert session.find(clip, Kind.REGION) is None


def test_what_a_person_said_meanwhile_stands(session, recording, monkeypatch, in_a_loop):
    clip = session.adopt(recording[0])

    class Slow(in_a_loop):
        def start(self):
            calibration.show_region(session, clip, ROI)
            super().start()

    monkeypatch.setattr(calibration, "Job", Slow)
    calibration.look_for_region(session, clip)
    assert clips.info_of(clip).roi == ROI


def test_a_picture_that_fills_the_frame_gets_no_rectangle(session, recording, in_a_loop):
    layer, roi = recording
    layer.data = layer.data[:, *roi.slices]
    clip = session.adopt(layer)
    calibration.look_for_region(session, clip)
    assert clips.info_of(clip).roi is None
    assert session.find(clip, Kind.REGION) is None


@pytest.mark.gui
def test_the_track_widget_looks_for_the_region(session, recording, in_a_loop, qapp):
    clip = session.adopt(recording[0])
    session.activate(clip)
    widget = TrackWidget(session.viewer)
    assert session.find(clip, Kind.REGION) is not None
    assert widget._wanted_roi() == session.info.roi
    widget.close()

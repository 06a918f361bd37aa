import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_deepmtj._napari.calibration import controller as calibration
from napari_deepmtj._napari.contributions.reader import clip_layer
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.tracking import saving
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.results.trajectory_file import read_trajectory


@pytest.fixture
def open_clip(viewer, session, make_clip):
    def add(*args, **kwargs):
        return viewer.add_layer(Layer.create(*clip_layer(make_clip(*args, **kwargs))))

    return add


@pytest.fixture
def tracked(viewer, session, open_clip, make_trajectory, scale):
    """A clip of 8 frames with its Points and path."""
    clip = open_clip("clip.avi", 8, scale=scale)
    trajectory = make_trajectory(scale=scale)
    placement, key = Placement.of_layer(clip), clips.id_of(clip)
    path = viewer.add_layer(Layer.create(*convert.layer_of_path(trajectory, placement, key)))
    points = viewer.add_layer(
        Layer.create(*convert.layer_of_trajectory(trajectory, placement, key))
    )
    return clip, points, path


def test_a_viewer_has_one_session():
    viewer, other = ViewerModel(), ViewerModel()
    assert session_of(viewer) is session_of(viewer)
    assert session_of(viewer) is not session_of(other)


def test_a_clip_opens_lazily_in_seconds_and_millimetres(session, viewer, open_clip, scale):
    clip = open_clip(n_frames=20, scale=scale)
    assert session.active is clip
    assert not isinstance(clip.data, np.ndarray)
    assert clip.scale == pytest.approx([0.04, 0.1, 0.2])
    assert [str(u) for u in clip.units] == ["second", "millimeter", "millimeter"]
    assert clip.contrast_limits == [0, 255]
    facts = convert.ours(clip)
    assert (facts["name"], facts["n_frames"]) == ("clip.avi", 20)
    assert facts["rate_hz"] == pytest.approx(25)
    source = "side-car (given by hand)"
    assert facts["mm_per_px"] == {"x_mm": 0.2, "y_mm": 0.1, "source": source}
    assert session.frame() == 0
    assert viewer.canvas.overlays.scale_bar.visible


def test_the_status_tells_frame_and_seconds(session, viewer, open_clip):
    open_clip(n_frames=20)
    session.go_to(12)
    assert viewer.canvas.overlays.text.text == "frame 12 / 19   0.480 s"
    assert viewer.status == "clip.avi: frame 12 / 19   0.480 s"
    assert not viewer.canvas.overlays.scale_bar.visible  # no scale, no millimetres


def test_the_slider_steps_the_frames_of_the_active_clip(session, viewer, open_clip):
    """Two clips of different rate and length: every step is one frame of the one shown."""
    a, b = open_clip("a.avi", 20, rate=25.0), open_clip("b.avi", 7, rate=60.0)
    for clip, n in ((a, 20), (b, 7), (a, 20)):
        session.activate(clip)
        assert viewer.dims.nsteps[0] == n
        for frame in range(n):
            session.go_to(frame)
            assert session.frame() == frame
            shown = np.asarray(clip._slice.image.raw)
            np.testing.assert_array_equal(shown, clip.data.source.read(frame))


def test_switching_keeps_each_clips_place_and_layers(session, viewer, tracked, open_clip):
    clip, points, path = tracked
    session.go_to(5)
    path.visible = False
    other = open_clip("other.avi", 12, rate=60.0)
    assert session.active is other
    assert [la.visible for la in (clip, points, path, other)] == [False, False, False, True]
    session.go_to(11)
    viewer.layers.selection.active = points  # clicking a layer of a clip makes it active
    assert session.active is clip
    assert session.frame() == 5
    assert [la.visible for la in (clip, points, path, other)] == [True, True, False, False]
    session.activate(other)
    assert session.frame() == 11
    assert viewer.layers.selection.active is other
    viewer.layers.remove(other)
    assert session.active is clip
    assert (clip.visible, session.frame()) == (True, 5)


def test_dragging_a_point_corrects_it_and_the_path(session, viewer, tracked):
    _, points, path = tracked
    heard = []
    points.events.data.connect(lambda event: heard.append(event.action))
    points.selected_data = {1}
    points._set_drag_start({1}, points.data[1])
    points._move([1], points.data[1] + [0, 5, 7])
    assert points.data[1].tolist() == [1, 25.5, 19]
    assert points.features["origin"].tolist()[:3] == ["PREDICTED", "CORRECTED", "PREDICTED"]
    assert points.features["confidence"][1] == 1
    assert convert.trajectory_of(points).xy_px[1].tolist() == [19, 25.5]
    assert path.data[1].tolist() == [0, 1, 25.5, 19]
    assert points.feature_defaults["origin"][0] == "MANUAL"
    assert len(heard) == 1  # the answer to an edit is no edit


def test_one_point_a_frame(session, tracked):
    _, points, _ = tracked
    points.add([5.0000000001, 1, 2])
    assert len(points.data) == 7
    assert np.unique(points.data[:, 0]).tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert points.data[4].tolist() == [5, 1, 2]
    assert points.features["origin"][4] == "CORRECTED"
    points.add([3, 9, 9])  # nothing was in view there
    assert len(points.data) == 8
    points.remove([0])
    assert len(points.data) == 7
    assert not convert.trajectory_of(points).table["in_view"][0]


def test_results_read_first_are_placed_on_their_clip_when_it_opens(
    viewer, session, open_clip, make_clip, make_trajectory, scale
):
    make_clip("clip.avi", 8)
    trajectory = make_trajectory(n_frames=8)  # without a scale
    made = convert.layer_of_trajectory(trajectory, Placement.of_trajectory(trajectory), "")
    points = viewer.add_layer(Layer.create(*made))
    open_clip("other.avi", 8)
    assert session.clip_of(points) is None
    clip = open_clip("clip.avi", 8, scale=scale)
    assert session.clip_of(points) is clip
    assert session.find(clip, Kind.TRAJECTORY) is points
    assert Placement.of_layer(points) == Placement.of_layer(clip)


def test_results_read_after_their_clip_are_placed_on_it(
    viewer, session, open_clip, make_trajectory, scale
):
    clip = open_clip("clip.avi", 8, scale=scale)
    made = convert.layer_of_trajectory(make_trajectory(), Placement(), "")
    points = viewer.add_layer(Layer.create(*made))
    assert Placement.of_layer(points) == Placement.of_layer(clip)
    assert session.clip_of(points) is clip


def test_any_grey_stack_can_be_adopted(viewer, session):
    stack = viewer.add_image(
        np.random.default_rng(0).integers(0, 255, (6, 32, 40), np.uint8),
        rgb=False,
        scale=(0.02, 0.3, 0.3),
        units=("s", "mm", "mm"),
    )
    turned = viewer.add_image(np.zeros((6, 32, 40), np.uint8), rotate=10)
    assert clips.can_be_clip(stack)
    assert not clips.can_be_clip(turned)  # results could not lie on it
    assert session.clips() == []
    session.activate(session.adopt(stack))
    source = clips.source_of(stack)
    assert source.times.rate == pytest.approx(50)
    assert (source.scale.x_mm, source.scale.source) == (0.3, "napari layer")
    np.testing.assert_array_equal(source.read(4), stack.data[4])
    stack.scale = (0.02, 0.1, 0.1)  # calibrated later
    assert clips.source_of(stack).scale.x_mm == 0.1


def test_a_session_lets_its_viewer_go():
    import gc
    import weakref

    viewer = ViewerModel()
    session_of(viewer)
    gone = weakref.ref(viewer)
    del viewer
    gc.collect()
    assert gone() is None


def test_corrected_points_survive_closing_and_opening_their_clip(
    open_clip, make_trajectory, session, viewer
):
    clip = open_clip("clip.avi", 8)
    made = convert.layer_of_trajectory(make_trajectory(), Placement(), "")
    points = viewer.add_layer(Layer.create(*made))
    assert session.clip_of(points) is clip
    points.data = points.data + [0, 1, 1]  # somebody was at work
    viewer.layers.remove(clip)
    assert not viewer.layers  # the clip's layers went with it
    assert session.info.scale is None
    again = open_clip("clip.avi", 8)
    (saved,) = saving.find_saved(again)
    assert "7 set by hand" in saved.describe()
    layer = saving.open_saved(session, again, saved)
    assert session.clip_of(layer) is again
    assert saving.is_saved(layer)
    assert convert.trajectory_of(layer).xy_px[0].tolist() == [11.0, 21.5]


def test_the_selected_result_is_the_one_that_is_meant(open_clip, make_trajectory, session, viewer):
    clip = open_clip("clip.avi", 8)
    first, second = (
        session.add(
            clip, convert.layer_of_trajectory(t, Placement.of_layer(clip), clips.id_of(clip))
        )
        for t in (make_trajectory(), make_trajectory(offset=1.0))
    )
    viewer.layers.selection.active = second
    assert session.find(clip, Kind.TRAJECTORY) is second
    viewer.layers.selection.active = clip
    assert session.find(clip, Kind.TRAJECTORY) is second  # the one that was selected last
    assert f"layer {second.name}, one of 2 results" in session.which(second)
    path = saving.save(session, second)
    assert read_trajectory(path).xy_px[0].tolist() == [11.0, 21.5]
    assert not saving.is_saved(first)


def test_clips_called_alike_are_told_apart(viewer, session, make_clip, tmp_path, make_trajectory):
    layers = []
    for folder, n in (("one", 8), ("two", 8)):
        path = make_clip("clip.avi", n, rate=25.0 if folder == "one" else 50.0)
        (tmp_path / folder).mkdir()
        path = path.rename(tmp_path / folder / path.name)
        layers.append(viewer.add_layer(Layer.create(*clip_layer(path))))
    assert [la.name for la in layers] == ["one/clip.avi", "two/clip.avi"]
    sha256 = clips.source_of(layers[0]).sha256
    made = convert.layer_of_trajectory(make_trajectory(sha256=sha256), Placement(), "")
    points = viewer.add_layer(Layer.create(*made))
    assert session.clip_of(points) is layers[0]
    assert points.name == "MTJ one/clip.avi"


def test_a_copy_of_a_clip_is_a_clip_of_its_own(tracked, session, viewer):
    clip, points, _ = tracked
    copy = viewer.add_layer(Layer.create(*clip.as_layer_data_tuple()))
    assert clips.id_of(copy) != clips.id_of(clip)
    assert session.clip_of(points) is clip
    calibration.apply_scale(session, copy, Scale(0.5, 0.5, "given by hand"))
    assert clips.info_of(clip).scale.x_mm == 0.2
    assert convert.trajectory_of(points).provenance.scale.x_mm == 0.2
    assert clips.source_of(copy).scale.x_mm == 0.5

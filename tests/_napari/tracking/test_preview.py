"""The live preview in real windows: scrubbed, switched, closed."""

import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from napari_deepmtj._napari.layers import convert, styles
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.tracking import preview as live
from napari_deepmtj._napari.tracking import widget as track_module
from napari_deepmtj._napari.tracking.preview import preview_of
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.results.trajectory_file import read_trajectory
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.weights.store import load_model, save_model

pytestmark = pytest.mark.gui


@pytest.fixture
def blind(tiny_model, tmp_path):
    """The tiny model, but to it the MTJ is never in view."""
    model = load_model(tiny_model)
    card = replace(model.card, id="blind", decoding={"presence_threshold": 1.0})
    save_model(tmp_path / "models" / "blind.safetensors", model.network, card)
    return "blind"


@pytest.fixture
def open_whole(open_window, blind):
    """A window whose Track form is set to whole pictures and has a blind model, too."""
    return partial(open_window, roi="full")


@pytest.fixture
def wait(qtbot):
    def until(held):
        qtbot.waitUntil(held, timeout=180_000)

    return until


def shown(session):
    """Return (frame, y, x) of all that the preview shows; None without a layer."""
    layer = session.find(session.active, Kind.PREVIEW)
    return None if layer is None else layer.data.tolist()


def is_at(session, frame):
    return lambda: bool(shown(session)) and shown(session)[0][0] == frame


def tracked(path, roi="full"):
    """What the core says of a clip, as (frame, y, x)."""
    with open_video(path) as source:
        *_, done = track(source, load_model("tiny"), roi=roi, device="cpu", backend="torch")
    return np.column_stack([done.result.frames, done.result.xy_px[:, ::-1]])


def test_scrubbing_shows_each_frame_and_touches_no_result(
    open_whole, make_clip, make_trajectory, scale, wait, qtbot
):
    path = make_clip(scale=scale)
    _, widget, session = open_whole(path)
    clip, wanted = session.active, tracked(path)
    result = make_trajectory(n_frames=20, sha256=clips.source_of(clip).sha256)
    made = convert.layer_of_trajectory(result, Placement.of_layer(clip), clips.id_of(clip))
    points = session.add(clip, made)
    session.viewer.layers.selection.active = points
    before, held = points.data.copy(), convert.trajectory_of(points)
    widget.live.native.click()
    assert widget.seen.value == live.STARTING
    for frame in (0, 3, 4, 19, 2):
        session.go_to(frame)
        wait(is_at(session, frame))
        np.testing.assert_allclose(shown(session), wanted[[frame]], atol=1e-3)
        assert widget.seen.value.startswith(f"frame {frame}: confidence 0.")
        assert f"frame {frame}: confidence" in session.viewer.status
    layer = session.find(clip, Kind.PREVIEW)
    assert layer.name == "live preview clip.avi"
    assert Placement.of_layer(layer) == Placement.of_layer(clip)
    look = [layer.size.item(), layer.border_width.item(), str(layer.symbol[0])]
    for frame in range(20):  # faster than it can follow: the last one counts
        session.go_to(frame)
    wait(is_at(session, 19))
    np.testing.assert_allclose(shown(session), wanted[[19]], atol=1e-3)
    # not in view: no point, and said; then in view again
    widget.model.value = "blind"
    wait(lambda: "not in view" in widget.seen.value)
    assert shown(session) == []
    widget.model.value = "tiny"
    wait(is_at(session, 19))
    assert layer in session.viewer.layers
    assert [layer.size.item(), layer.border_width.item(), str(layer.symbol[0])] == look
    confidence = float(widget.seen.value.split()[3].rstrip(","))
    colour = styles.POINTS.border_color(np.array([confidence]))
    np.testing.assert_allclose(layer.border_color, colour, atol=0.01)
    assert not layer.face_color.any()
    assert not layer.editable
    # nothing of it is in the result, the selection, or what is saved
    assert session.viewer.layers.selection.active is points
    assert convert.trajectory_of(points) is held
    np.testing.assert_array_equal(points.data, before)
    widget.save.native.click()
    saved = read_trajectory(path.with_suffix(".mtj.csv"))
    assert saved.provenance == held.provenance
    assert saved.frames.tolist() == held.frames.tolist()
    np.testing.assert_allclose(saved.xy_px, held.xy_px, atol=1e-3)
    widget.live.native.click()
    assert shown(session) is None
    assert widget.seen.value == ""
    session.go_to(5)
    qtbot.wait(50)
    assert shown(session) is None


def test_it_follows_region_clip_and_job(open_whole, make_clip, wait):
    paths = [make_clip("a.avi"), make_clip("b.avi", n_frames=12)]
    viewer, widget, session = open_whole(*paths)
    second = track_module.TrackWidget(viewer)
    viewer.window.add_dock_widget(second, name="second")
    b, a = session.active, session.clips()[0]
    widget.live.native.click()
    assert second.live.value
    wait(is_at(session, 0))
    np.testing.assert_allclose(shown(session), tracked(paths[1])[[0]], atol=1e-3)
    session.activate(a)
    session.go_to(15)
    wait(is_at(session, 15))
    assert session.find(b, Kind.PREVIEW) is None
    # the region as it is dragged
    widget.draw.native.click()
    session.find(a, Kind.REGION).data = [[[4.5, 9.5], [4.5, 89.5], [44.5, 89.5], [44.5, 9.5]]]
    part = tracked(paths[0], Roi(10, 5, 80, 40))[[15]]
    wait(lambda: np.allclose(shown(session), part, atol=1e-3))
    # it waits while the clip is tracked, and goes on
    widget.attention.value = ""
    widget.run.native.click()
    assert widget.seen.value == live.HELD
    wait(lambda: not session.running)
    session.go_to(4)
    wait(is_at(session, 4))
    result = session.find(a, Kind.TRAJECTORY)
    np.testing.assert_allclose(result.data[4], shown(session)[0], atol=1e-3)
    # a layer that a person removes is not put back
    session.viewer.layers.remove(session.find(a, Kind.PREVIEW))
    assert not widget.live.value
    assert not second.live.value
    # a model that is not there switches it off, and says so
    widget.live.native.click()
    wait(is_at(session, 4))
    widget.model.choices = [*widget.model.choices, "gone"]
    widget.model.value = "gone"
    wait(lambda: not widget.live.value)
    assert "no model 'gone'" in widget.message.value
    assert shown(session) is None


def test_closing_the_window_ends_it(open_whole, make_clip, wait, capfd):
    viewer, widget, session = open_whole(make_clip())
    before = threading.active_count()
    widget.live.native.click()
    wait(is_at(session, 0))
    preview = preview_of(viewer)
    wishes = preview._wishes
    viewer.close()
    wait(lambda: wishes.closed)
    wait(lambda: threading.active_count() <= before)
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert "deleted" not in said

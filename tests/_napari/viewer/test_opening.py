"""Long videos in a real window: shown at once, provisional until their frames are listed."""

import gc
import itertools
import threading
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager

from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.tracking import widget as track_module
from napari_deepmtj._napari.viewer import opening
from napari_deepmtj._napari.viewer.clips import is_provisional
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj._napari.viewer.settings import PLUGIN, Settings
from napari_deepmtj.core.jobs import Notice, Progress
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.ffmpeg import background as _indexing
from napari_deepmtj.video.ffmpeg import packets as _index
from napari_deepmtj.video.ffmpeg import source as _av
from napari_deepmtj.video.opening import open_video, until_complete


@pytest.fixture
def go_on(monkeypatch):
    """An event without which no search for frames goes on."""
    event = threading.Event()
    real = _indexing.Indexing.scanned

    def slow(indexing, *arguments):
        while not event.wait(0.01) and not indexing._stop.is_set():
            pass
        real(indexing, *arguments)

    monkeypatch.setattr(_av, "SHORT_PATIENCE", 0.0)
    monkeypatch.setattr(_index, "_PACE", 1)
    monkeypatch.setattr(_indexing.Indexing, "scanned", slow)
    yield event
    event.set()


@pytest.fixture
def claims_more(make_clip):
    """A clip of 20 frames whose header claims 30."""
    path = make_clip(n_frames=20)
    data = bytearray(path.read_bytes())
    for tag, offset in ((b"avih", 24), (b"strh", 40)):  # dwTotalFrames, dwLength
        place = data.index(tag) + offset
        assert int.from_bytes(data[place : place + 4], "little") == 20
        data[place : place + 4] = (30).to_bytes(4, "little")
    path.write_bytes(data)
    return path


def listing():
    return [thread for thread in threading.enumerate() if thread.name.startswith("index ")]


def told():
    return [record.message for record in notification_manager.records]


@pytest.mark.gui
def test_shown_at_once_tracked_when_listed(
    make_napari_viewer_proxy, claims_more, go_on, tiny_model, monkeypatch, qtbot
):
    monkeypatch.setattr(track_module, "read_settings", lambda: Settings(tiny_model, "cpu"))
    viewer = make_napari_viewer_proxy()
    (layer,) = viewer.open(str(claims_more), plugin=PLUGIN)
    session = session_of(viewer)
    assert is_provisional(layer)
    assert layer.data.shape == (30, 56, 112)
    assert layer.data[0].max() > 150  # the picture
    replaced = []
    layer.events.data.connect(lambda event: replaced.append(layer.data.shape[0]))
    text = viewer.canvas.overlays.text
    qtbot.waitUntil(lambda: "provisional: listing frames, " in text.text)
    assert "frame 0 / about 30" in text.text
    assert "provisional" in viewer.status
    session.go_to(7)
    assert "this frame is not listed yet" in text.text
    assert set(np.unique(layer.data[7])) == {24, 40}
    qtbot.wait(150)  # no look at it replaces anything
    assert replaced == []
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Track MTJ")
    widget.run.native.click()
    qtbot.waitUntil(lambda: "begins when all frames are listed" in session.message)
    qtbot.waitUntil(lambda: "listing them" in widget.status.value)
    assert session.find(layer, Kind.TRAJECTORY) is None
    go_on.set()
    qtbot.waitUntil(lambda: not session.running, timeout=60_000)
    qtbot.waitUntil(lambda: not is_provisional(layer))
    assert replaced == [20]
    assert layer.data.shape == (20, 56, 112)
    assert layer.metadata["deepmtj"]["n_frames"] == 20
    assert session.frame() == 7
    assert text.text.startswith("frame 7 / 19   0.280 s   confidence 0.")
    assert layer.data[7].max() > 150
    assert any("claimed 30 frames, but has 20" in message for message in told())
    points = session.find(layer, Kind.TRAJECTORY)
    assert len(points.data) == 20
    np.testing.assert_allclose(points.scale, layer.scale)
    assert not opening._FOLLOWERS
    assert not listing()


@pytest.mark.gui
def test_removed_or_closed_midway_leaves_nothing(
    make_napari_viewer_proxy, claims_more, go_on, qtbot, capfd
):
    viewer = make_napari_viewer_proxy()
    (layer,) = viewer.open(str(claims_more), plugin=PLUGIN)
    qtbot.wait(250)
    assert len(opening._FOLLOWERS) == len(listing()) == 1
    forgotten = weakref.ref(layer.data.source)
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: not opening._FOLLOWERS)
    del layer
    gc.collect()
    qtbot.waitUntil(lambda: gc.collect() is not None and forgotten() is None)
    assert not listing()
    (layer,) = viewer.open(str(claims_more), plugin=PLUGIN)
    qtbot.wait(250)
    source = layer.data.source
    viewer.close()
    qtbot.wait(250)
    assert not opening._FOLLOWERS
    source.close()
    assert not listing()
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert "deleted" not in said


def test_without_a_window_all_is_listed_at_once(claims_more, go_on):
    go_on.set()
    viewer = ViewerModel()
    (layer,) = viewer.open(str(claims_more), plugin=PLUGIN)
    assert not is_provisional(layer)
    assert layer.data.shape == (20, 56, 112)


def test_a_worker_waits_and_says_so(claims_more, go_on):
    with open_video(claims_more, background=True) as source:
        events = until_complete(source)
        first, second = next(events), next(events)
        assert isinstance(first, Notice)
        assert first.message == "clip.avi: work begins when all frames are listed."
        assert (second.total, second.unit) == (30, "frame")
        go_on.set()
        assert all(isinstance(event, Progress) for event in events)
        assert source.complete
        assert list(until_complete(source)) == []


def test_a_worker_does_not_wait_for_a_clip_that_was_closed(claims_more, go_on):
    source = open_video(claims_more, background=True)
    events = until_complete(source)
    next(events)
    source.close()
    with pytest.raises(VideoError, match="closed; open it again"):
        list(itertools.islice(events, 50))

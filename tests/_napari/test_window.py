"""A handful of real windows: what needs Qt, OpenGL and a running event loop."""

import threading
import time
from contextlib import closing

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.tracking import run as tracking
from napari_deepmtj._napari.tracking import widget as track_module
from napari_deepmtj._napari.viewer.settings import Settings
from napari_deepmtj.core.jobs import Notice
from napari_deepmtj.inference.predictor import TrackedBatch
from napari_deepmtj.results.trajectory_file import read_trajectory

pytestmark = pytest.mark.gui

#: No event of the window may wait longer than this while a run goes on, in seconds of the main
#: thread's own work: the wall clock of a busy test machine says nothing about the program.
LONGEST_WAIT = 0.3


class Heartbeat:
    """Measures the longest work that the main thread did without answering, and its beats."""

    def __enter__(self):
        self._beats = [time.thread_time()]
        self._timer = QTimer()
        self._timer.timeout.connect(lambda: self._beats.append(time.thread_time()))
        self._timer.start(10)
        return self

    def __exit__(self, *_):
        self._timer.stop()
        self._beats.append(time.thread_time())

    @property
    def count(self):
        return len(self._beats)

    @property
    def longest(self):
        return float(np.diff(self._beats).max())


@pytest.fixture
def stay(monkeypatch):
    """Hold a run after a batch as long as this is true of it, however fast the machine is."""
    real = tracking.track_events
    answers = [lambda batch: False]

    def held(*arguments):
        with closing(real(*arguments)) as events:
            for event in events:
                yield event
                while isinstance(event, TrackedBatch) and answers[0](event):
                    time.sleep(0.01)
                    yield Notice("a long clip")

    monkeypatch.setattr(tracking, "track_events", held)

    def set_answer(answer):
        answers[0] = answer

    return set_answer


def wait_for_end(qtbot, session):
    qtbot.waitUntil(lambda: not session.running, timeout=60_000)
    qtbot.wait(100)


def test_open_track_and_look(open_window, make_clip, scale, qtbot, stay):
    viewer, widget, session = open_window(make_clip(n_frames=200, scale=scale))
    clip = session.active
    assert widget.clip.value is clip
    assert widget.model.value == "tiny"
    assert "within 5 mm" in widget.tolerance.value
    shown = []  # points in the layer each time that progress was reported

    def note(progress):
        if progress is not None:
            shown.append(len(session.find(clip, Kind.TRAJECTORY).data))

    session.events.progress.connect(note)
    # each batch is seen before the next one comes
    stay(lambda batch: session.progress is None or session.progress.done < batch.done)
    widget.path.value = True
    widget.run.native.click()
    assert session.running
    assert widget.cancel.enabled
    assert not widget.run.enabled
    wait_for_end(qtbot, session)
    points = session.find(clip, Kind.TRAJECTORY)
    assert len(points.data) == 200
    assert any(0 < n < 200 for n in shown)  # results appear while it runs
    assert session.find(clip, Kind.PATH) is not None
    assert session.find(clip, Kind.ATTENTION) is not None
    assert widget.progress.value == 200
    assert widget.status.value.startswith("200 of 200 frames")
    assert not widget.cancel.enabled
    assert widget.run.enabled
    assert str(viewer.layers.units[-1]) == "millimeter"
    assert viewer.canvas.overlays.scale_bar.visible
    stay(lambda batch: False)
    # again, with torch loaded and the layers made: the window answers all the time
    with Heartbeat() as heart:
        widget.run.native.click()
        wait_for_end(qtbot, session)
    assert heart.longest < LONGEST_WAIT
    assert heart.count > 10  # a main thread that only waits does no work either
    assert len(session.find(clip, Kind.TRAJECTORY).data) == 200
    widget.save.native.click()
    saved = read_trajectory(clip.data.source.path.with_suffix(".mtj.csv"))
    assert saved.provenance == convert.trajectory_of(points).provenance
    assert "Saved" in widget.message.value
    assert [convert.kind_of(la) for la in viewer.layers] == [
        Kind.CLIP,
        Kind.ATTENTION,
        Kind.PATH,
        Kind.TRAJECTORY,
    ]


def test_two_docks_share_a_session_and_either_cancels(open_window, make_clip, qtbot, stay):
    viewer, widget, session = open_window(make_clip(n_frames=60))
    stay(lambda batch: batch.done > 5)  # until it is cancelled
    assert "6.3%" in widget.tolerance.value
    second = track_module.TrackWidget(viewer)
    viewer.window.add_dock_widget(second, name="second")
    widget.native.parent().close()  # the dock's X only hides it
    widget.run.native.click()
    qtbot.waitUntil(
        lambda: session.progress is not None and session.progress.done > 5, timeout=60_000
    )
    assert second.cancel.enabled
    second.cancel.native.click()
    wait_for_end(qtbot, session)
    points = session.find(session.active, Kind.TRAJECTORY)
    assert 0 < len(points.data) < 60
    stay(lambda batch: False)
    assert "Stopped" in second.message.value
    assert second.run.enabled
    done = len(points.data)
    # this frame only, drawn region, a correction stays
    session.go_to(3)
    with session.updating():
        convert.show_trajectory(points, convert.trajectory_of(points).corrected(2, (1, 1)))
    second.draw.native.click()
    layer = session.find(session.active, Kind.REGION)
    assert layer.mode == "select"
    layer.data = [[[4.5, 9.5], [4.5, 89.5], [44.5, 89.5], [44.5, 9.5]]]
    second.frames.value = track_module.ONE
    second.run.native.click()
    wait_for_end(qtbot, session)
    found = convert.trajectory_of(points)
    assert len(found) == done
    roi = found.provenance.roi
    assert (roi.x, roi.y, roi.width, roi.height, roi.source) == (10, 5, 80, 40, "drawn")
    last = found.provenance.operations[-1]
    assert dict(last.arguments["frames"]) == {"start": 3, "stop": 4, "step": 1}
    assert found.table["origin"][2] == "CORRECTED"


def test_closing_the_window_mid_run_is_clean(open_window, make_clip, qtbot, capfd, stay):
    viewer, widget, session = open_window(make_clip(n_frames=60))
    stay(lambda batch: True)  # a window that waited for the run would never close
    widget.run.native.click()
    qtbot.waitUntil(lambda: session.progress is not None, timeout=60_000)
    worker = session._job._worker
    viewer.close()
    qtbot.waitUntil(lambda: not worker.is_running, timeout=60_000)
    qtbot.waitUntil(
        lambda: "decode" not in [thread.name for thread in threading.enumerate()], timeout=60_000
    )
    said = capfd.readouterr().err
    assert "Traceback" not in said
    assert "deleted" not in said


def test_every_menu_entry_works(open_window, make_clip, monkeypatch, qtbot, tmp_path):
    viewer, _, session = open_window()
    bare = make_clip().rename(tmp_path / "IM_0001")
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_, **__: ([str(bare)], ""))
    monkeypatch.setattr("napari_deepmtj._napari.contributions.commands.read_settings", Settings)

    def find(menu, text):
        for action in menu.actions():
            if action.menu() is not None:
                action.menu().aboutToShow.emit()
                if (found := find(action.menu(), text)) is not None:
                    return found
            elif text in action.text().replace("&", ""):
                return action
        return None

    find(viewer.window.file_menu, "Open ultrasound video...").trigger()
    assert session.active is not None
    assert session.active.name == "IM_0001"
    docks = set(viewer.window.dock_widgets)
    viewer.window.layers_menu.aboutToShow.emit()
    find(viewer.window.layers_menu, "Track MTJ").trigger()
    assert any("Track MTJ" in name for name in viewer.window.dock_widgets)
    assert len(viewer.window.dock_widgets) >= len(docks)
    samples = find(viewer.window.file_menu, "Moving phantom")
    assert samples is not None

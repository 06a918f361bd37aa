"""Clips, a network that knows nothing but is fast, and viewers without a window and with one."""

import hashlib
import os
import sys

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer

from napari_deepmtj._napari.annotation.controller import annotation_of
from napari_deepmtj._napari.annotation.label_file import Round, open_labels
from napari_deepmtj._napari.calibration import controller as calibration
from napari_deepmtj._napari.contributions.reader import clip_layer
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.panel import docking, steps
from napari_deepmtj._napari.tracking import run as tracking
from napari_deepmtj._napari.viewer import clips, jobs
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj._napari.viewer.settings import PLUGIN, Settings
from napari_deepmtj.annotation.queue import Known, Plan, Queue
from napari_deepmtj.annotation.rounds import Mode
from napari_deepmtj.annotation.selection import Every
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar
from napari_deepmtj.video.writer import VideoWriter

RATE = 25.0


def pytest_collection_modifyitems(items):
    screen = sys.platform != "linux" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if not screen:
        reason = pytest.mark.skip(reason="needs a screen; run under xvfb-run")
        for item in items:
            if item.get_closest_marker("gui"):
                item.add_marker(reason)


@pytest.fixture
def make_clip(tmp_path):
    """Write an MJPEG clip whose frame i has a bright spot at (10 + 2 i, 20)."""

    def write(name="clip.avi", n_frames=20, height=56, width=112, rate=RATE, scale=None):
        path = tmp_path / name
        rows, columns = np.mgrid[:height, :width]
        with VideoWriter(path, height, width, rate) as writer:
            for i in range(n_frames):
                away = (columns - 10 - 2 * i) ** 2 + (rows - 20) ** 2
                writer.add((40 + 200 * np.exp(-away / 30)).astype(np.uint8))
        if scale is not None:
            write_sidecar(path, ClipInfo(scale=scale))
        return path

    return write


@pytest.fixture
def scale():
    """Unequal pixel sizes, so that x and y cannot be swapped unnoticed."""
    return Scale(0.2, 0.1, "given by hand")


@pytest.fixture
def make_trajectory(tmp_path):
    """A trajectory of `n_frames` frames; frame 3 is not in view, frame 4 has no confidence.

    It is of the file of that name if there is one, else of none.
    """

    def make(n_frames=8, scale=None, clip="clip.avi", sha256=None, offset=0.0, frames=None):
        if sha256 is None:
            file = tmp_path / clip
            sha256 = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "ab" * 32
        frames = range(n_frames) if frames is None else frames
        predictions = [
            FramePrediction(
                i,
                10.0 + 2 * i + offset,
                20.5 + offset,
                np.array([[4.0, 0.5], [0.5, 1.0]]),
                float("nan") if i == 4 else 0.1 * (i % 10),
                in_view=i != 3,
            )
            for i in frames
        ]
        provenance = Provenance(clip, sha256, n_frames, 56, 112, scale=scale).and_then("track")
        times = FrameTimes.from_rate(n_frames, RATE, "container")
        return Trajectory.from_predictions(predictions, times, provenance)

    return make


@pytest.fixture
def viewer():
    """A viewer without a window."""
    return ViewerModel()


@pytest.fixture
def session(viewer):
    return session_of(viewer)


@pytest.fixture
def tiny_model(tmp_path, monkeypatch):
    """Save an untrained small network as the model "tiny"; return its id."""
    from small_networks import write_tiny  # it brings torch

    from napari_deepmtj.weights.store import MODELS_VARIABLE

    folder = tmp_path / "models"
    write_tiny(folder)
    monkeypatch.setenv(MODELS_VARIABLE, str(folder))
    return "tiny"


@pytest.fixture
def open_window(make_napari_viewer_proxy, tiny_model, monkeypatch):
    """Open a window with clips and the Track form, set to the tiny model on the CPU."""
    from napari_deepmtj._napari.tracking import widget as track

    def make(*paths, roi="auto"):
        monkeypatch.setattr(track, "read_settings", lambda: Settings(tiny_model, "cpu", roi))
        viewer = make_napari_viewer_proxy()
        for path in paths:
            viewer.open(str(path), plugin=PLUGIN)
        _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Track MTJ")
        return viewer, widget, session_of(viewer)

    return make


@pytest.fixture(autouse=True)
def no_panel(monkeypatch):
    """Keep the panel from coming with every clip, and preferences from being written."""
    monkeypatch.setattr(docking, "read_settings", lambda: Settings(panel_on_open=False))
    for module in (docking, steps):
        monkeypatch.setattr(module, "change_setting", lambda name, value: None)


class LoopJob(jobs.Job):
    """Runs to its end when started; `between` is called after every group of events."""

    between = staticmethod(lambda job: None)

    def start(self):
        for group in jobs.in_batches(self._lazily(), self._cancelled, lambda: True):
            self._on_events(group)
            self.between(self)
        self._on_end()


@pytest.fixture
def in_a_loop(monkeypatch):
    """Replace the worker by a loop; everything else of a job is real."""
    job = type("Job", (LoopJob,), {})
    for module in (tracking, calibration):
        monkeypatch.setattr(module, "Job", job)
    monkeypatch.setattr(tracking, "later", lambda callback: callback())
    return job


# ----- annotation ---------------------------------------------------------------------------------


@pytest.fixture
def open_clip(viewer, session, make_clip):
    def add(*args, **kwargs):
        return viewer.add_layer(Layer.create(*clip_layer(make_clip(*args, **kwargs))))

    return add


@pytest.fixture
def path(tmp_path):
    return tmp_path / "all.mtj-labels.csv"


@pytest.fixture
def annotation(viewer, session):
    made = annotation_of(viewer)
    yield made
    made.close()


@pytest.fixture
def begin(annotation, session, path):
    """Open the label file for a round over every fifth frame of all clips."""

    def open_(annotator="ann", number=1, mode=Mode.LABEL, of=None):
        open_labels(annotation, Round(path, annotator, number, mode, of))
        core = annotation.core
        if mode is Mode.LABEL and core is not None and not len(core.place.queue):
            sources = [clips.source_of(clip) for clip in session.clips()]
            job = Queue(Plan(Every(5))).grow(1, Known(), core.root, lambda _: None, sources)
            annotation.do(lambda s: s.place.set_queue(list(job)[-1].result))
        return core

    return open_


@pytest.fixture
def tracked(open_clip, viewer, make_trajectory):
    """A clip with the trajectory of its own content."""
    clip = open_clip(n_frames=8)
    source = clips.source_of(clip)
    trajectory = make_trajectory(sha256=source.sha256)
    made = convert.layer_of_trajectory(trajectory, Placement.of_layer(clip), clips.id_of(clip))
    viewer.add_layer(Layer.create(*made))
    return clip

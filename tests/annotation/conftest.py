"""Clips whose frames are told apart by a number, label files and predictions."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.annotation.queue import Plan, Queue
from napari_deepmtj.annotation.rounds import Mode
from napari_deepmtj.annotation.selection import Every
from napari_deepmtj.annotation.session import AnnotationSession
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.core.trajectory import FramePrediction, Trajectory
from napari_deepmtj.labels.store import LabelLocked, LabelStore
from napari_deepmtj.video.stacks.stack import ArraySource


@pytest.fixture
def make_source():
    """An array clip of four scenes: in scene s the quarter s of the picture is bright."""

    def make(name="a.avi", n_frames=40, height=32, width=64, scale=None):
        rng = np.random.default_rng(len(name))
        frames = rng.integers(0, 60, (n_frames, height, width)).astype(np.uint8)
        for i in range(n_frames):
            scene = i * 4 // n_frames
            frames[i, :, scene * width // 4 : (scene + 1) * width // 4] += 150
        frames[:, 0, 0] = np.arange(n_frames)
        frames[:, 0, 1:9] = list(name.encode().ljust(8)[:8])
        times = FrameTimes.from_rate(n_frames, 25.0, "container")
        return ArraySource(frames, name=name, times=times, scale=scale)

    return make


@pytest.fixture
def make_file(tmp_path, make_source):
    """The same clip as a NumPy file, which has neither times nor scale."""

    def make(name="a.npy", **more):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        source = make_source(Path(name).name, **more)
        np.save(path, np.stack(list(source.frames())))
        return path

    return make


@pytest.fixture
def label_of():
    """A label of a frame of a clip."""

    def make(source, frame, x=10.0, y=5.0, annotator="ann", round_=1, **more):
        return Label(
            clip=source.name,
            clip_sha256=source.sha256,
            frame=frame,
            x_px=x,
            y_px=y,
            annotator=annotator,
            round=round_,
            **more,
        )

    return make


@pytest.fixture
def predict():
    """A prediction of every frame: x = frame, confidence as given, frame 3 not in view."""

    def make(source, confidence=None):
        sure = np.full(source.n_frames, 0.5) if confidence is None else np.asarray(confidence)
        rows = [
            FramePrediction(i, float(i), 7.0, np.eye(2), float(sure[i]), in_view=i != 3)
            for i in range(source.n_frames)
        ]
        size = (source.n_frames, source.height, source.width)
        return Trajectory.from_predictions(
            rows, source.times, Provenance(source.name, source.sha256, *size)
        )

    return make


@pytest.fixture
def scale():
    return Scale(0.2, 0.1, "given by hand")


@pytest.fixture
def open_store(tmp_path):
    """Open the label file of the test; all that were opened are closed at the end."""
    opened = []

    def make(**more):
        opened.append(LabelStore.open(tmp_path / "clips.mtj-labels.csv", **more))
        return opened[-1]

    yield make
    for store in opened:
        with suppress(LabelLocked):  # one that was taken over
            store.close()


@pytest.fixture
def store(open_store):
    return open_store()


@pytest.fixture
def begin(make_source, store):
    """A session over a queue of every tenth frame of clips a and b (or of those given)."""

    def make(
        annotator="ann", round_=1, mode=Mode.LABEL, of=None, sources=None, store=store, **more
    ):
        session = AnnotationSession(store, annotator, round_, mode, of, **more)
        sources = [make_source("a.avi"), make_source("b.avi")] if sources is None else sources
        session.clips = {source.sha256: source for source in sources}
        if mode is Mode.LABEL and not len(session.place.queue):
            job = Queue(Plan(Every(10))).grow(
                1, session.known, session.root, lambda _: None, sources
            )
            session.place.set_queue(list(job)[-1].result)
        return session

    return make

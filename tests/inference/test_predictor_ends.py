"""Clips that end early or cannot be read, refusals, little memory, and threads that end."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from tracking_events import failure, finish, operation

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.jobs import Failed
from napari_deepmtj.errors import CalibrationError, DeviceError, VideoError
from napari_deepmtj.inference.predictor import Began, TrackedBatch, track
from napari_deepmtj.weights.store import Model


def decoders():
    return [thread for thread in threading.enumerate() if thread.name == "decode"]


def test_a_clip_that_ends_early_is_tracked_up_to_there(clip, model, path):
    clip.ends_at = 25
    trajectory, batches, notices = finish(track(clip, model, roi="full"))
    assert trajectory.frames.tolist() == list(range(25))
    assert np.abs(trajectory.xy_px - path[:25]).max() < 0.1
    assert batches[-1].done == 25
    assert notices == [
        "frame 25 cannot be decoded",
        "the clip ends early: 25 of 40 frames were tracked, the last one is frame 24",
    ]


def test_a_clip_without_a_readable_frame_fails(clip, model):
    clip.ends_at = 0
    error = failure(track(clip, model, roi="full"))
    assert isinstance(error, VideoError)
    assert "no frame" in str(error)


def test_an_error_while_reading_surfaces_after_the_good_frames(clip, model):
    clip.fails_at = 30
    events = list(track(clip, model, roi="full", batch=4))
    assert isinstance(events[-1], Failed)
    assert str(events[-1].error) == "clip.avi, frame 30: is torn here"
    assert events[-2].done == 30 - (30 - 2) % 4
    assert not decoders()


def test_an_unforeseen_error_while_reading_is_told_as_one_line(clip, model):
    clip.numbered = lambda *args, **kwargs: iter([(0, np.zeros((100, 240, 3), np.uint8)), (1, 1)])
    error = failure(track(clip, model, roi="full"))
    assert isinstance(error, VideoError)
    clip.numbered = lambda *args, **kwargs: iter([(0, 1)])
    error = failure(track(clip, model, roi="full"))
    assert str(error).startswith("clip.avi: reading failed (AttributeError")
    assert isinstance(error.__cause__, AttributeError)


@pytest.mark.parametrize("frames", [range(0), range(35, 45), range(-3, 3), range(40, 50)])
def test_frames_that_are_not_there(clip, model, frames):
    error = failure(track(clip, model, roi="full", frames=frames))
    assert isinstance(error, VideoError)
    assert "in a clip of 40" in str(error)


def test_a_region_outside_the_picture(clip, model):
    for roi in ("200,0,100,50", Roi(200, 0, 100, 50)):
        assert isinstance(failure(track(clip, model, roi=roi)), CalibrationError)


def test_a_device_that_is_not_there(clip, model, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert isinstance(failure(track(clip, model, roi="full", device="cuda")), DeviceError)
    assert clip.given == []


def test_little_memory_gives_the_same_result(clip, model, fakes):
    plain, _, _ = finish(track(clip, model, roi="full"))

    class Cramped(fakes.SpotNetwork):
        def forward(self, x):
            if len(x) > 3:
                raise torch.OutOfMemoryError("out of memory")
            return super().forward(x)

    trajectory, batches, notices = finish(track(clip, Model(model.card, Cramped()), roi="full"))
    assert len(notices) == 1  # 4 are too many
    assert max(len(batch.predictions) for batch in batches) == 2
    assert operation(trajectory).arguments["batch"] == 2
    assert trajectory.table.equals(plain.table)


def test_reading_and_computing_overlap(clip, model, fakes):
    class Patient(fakes.SpotNetwork):
        """Computes nothing until a frame beyond its batch has been read."""

        def forward(self, x):
            done = sum(self.calls) + len(x)
            deadline = time.monotonic() + 10
            while len(clip.given) < min(done + 1, clip.n_frames):
                assert time.monotonic() < deadline, "reading waits for the network"
                time.sleep(0.001)
            return super().forward(x)

    trajectory, _, _ = finish(track(clip, Model(model.card, Patient()), roi="full", batch=4))
    assert len(trajectory) == clip.n_frames
    assert clip.threads == {"decode"}


def test_closing_stops_reading_promptly(clip, model):
    events = track(clip, model, roi="full", batch=1)
    assert isinstance(next(events), Began)
    assert isinstance(next(events), TrackedBatch)
    assert decoders()
    began = time.perf_counter()
    events.close()
    assert time.perf_counter() - began < 2
    assert not decoders()
    assert clip.open_iterators == 0
    assert len(clip.given) < 12


def test_gradient_mode_is_untouched_between_events(clip, model):
    for _ in track(clip, model, roi="full", batch=4):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_importing_the_predictor_loads_no_torch():
    code = "import sys, napari_deepmtj.inference.predictor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

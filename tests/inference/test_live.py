"""Frames that are looked at one by one, as they are wished for."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Done, Failed, Notice
from napari_deepmtj.core.trajectory import Flag
from napari_deepmtj.errors import CalibrationError, VideoError, WeightsError
from napari_deepmtj.inference import live
from napari_deepmtj.inference.live import Finder, Idle, Seen, Unseen, Wish, Wishes, preview
from napari_deepmtj.inference.predictor import track


@pytest.fixture
def loaded(model, monkeypatch):
    """Names of the models that were loaded; all are the one that sees bright spots."""
    names = []

    def load(name):
        names.append(name)
        if name == "none":
            raise WeightsError("there is no model 'none'")
        return model

    monkeypatch.setattr("napari_deepmtj.weights.store.load_model", load)
    monkeypatch.setattr(live, "PATIENCE", 0.01)
    return names


@pytest.fixture
def run(loaded):
    """Begin a preview on the CPU; `until` advances it to an event of a kind."""

    class Run:
        def __init__(self, name="spot"):
            self.wishes = Wishes()
            self.events = preview(self.wishes, name, device="cpu")
            self.notices = []

        def until(self, kind):
            for event in self.events:
                if isinstance(event, Notice):
                    self.notices.append(event.message)
                elif isinstance(event, kind):
                    return event
                else:
                    assert isinstance(event, Idle), event
            raise AssertionError("it ended")

        def look(self, *wish, **more):
            self.wishes.put(Wish(*wish, **more))
            return self.until((Seen, Unseen))

    return Run


def seen_by(finder, wish):
    *_, seen = finder.find(wish)
    return seen.prediction


def ready(model):
    finder = Finder(model, "cpu")
    finder.runner.ready()
    return finder


@pytest.mark.parametrize("roi", ["full", "10,5,220,90", Roi(31, 8, 179, 84)])
@pytest.mark.parametrize("scale", [None, Scale(0.2, 0.3, "phantom")])
def test_a_frame_gets_the_numbers_that_tracking_gives_it(clip, model, roi, scale):
    model = model.with_card(replace(model.card, decoding={"offset_distal_mm": 2.0}))
    clip.distal_side = "left"
    clip.array[7] = 0  # not in view
    *_, done = track(clip, model, roi=roi, scale=scale, device="cpu", backend="torch")
    table = done.result.table
    finder = ready(model)
    for frame in (0, 7, 21, 39, 3):
        found, row = seen_by(finder, Wish(clip, frame, roi, scale)), table.iloc[frame]
        assert (found.frame, found.in_view) == (frame, frame != 7)
        np.testing.assert_allclose((found.x_px, found.y_px), row[["x_px", "y_px"]].astype(float))
        assert found.confidence == pytest.approx(row["confidence"], abs=1e-6)
        np.testing.assert_allclose(
            np.sqrt(np.diag(found.covariance)), row[["sd_x_px", "sd_y_px"]].astype(float)
        )
        assert ";".join(found.flags) == row["flags"]
    moved = -2.0 / (0.2 if scale is None else scale.x_mm)  # 0.2 mm/px are the clip's own
    plain = model.with_card(replace(model.card, decoding={}))
    assert seen_by(finder, Wish(clip, 3, roi, scale)).x_px == pytest.approx(
        seen_by(ready(plain), Wish(clip, 3, roi, scale)).x_px + moved
    )


def test_only_the_newest_wish_is_looked_at(clip, run):
    looked, began, go_on = [], threading.Event(), threading.Event()

    def read(frame):
        looked.append(frame)
        began.set()
        assert go_on.wait(30)
        return clip.array[frame]

    clip.read = read
    job = run()
    found = []
    for frame in range(10):  # all before it begins
        job.wishes.put(Wish(clip, frame, "full"))
    thread = threading.Thread(
        target=lambda: found.extend(job.until(Seen).wish.frame for _ in range(2))
    )
    thread.start()
    assert began.wait(30)
    for frame in (20, 21, 22):  # while it looks at one
        job.wishes.put(Wish(clip, frame, "full"))
    go_on.set()
    thread.join(60)
    assert found == looked == [9, 22]
    job.wishes.close()
    assert job.until(Done).result == 2


def test_the_model_is_loaded_once_and_nobody_waits_for_ever(clip, run, loaded):
    job = run()
    assert isinstance(next(job.events), Idle)  # the consumer gets its turn
    frames = [job.look(clip, frame, "full").prediction.frame for frame in (5, 5, 6, 2)]
    assert frames == [5, 5, 6, 2]
    assert loaded == ["spot"]
    ended = threading.Thread(target=job.wishes.close)
    ended.start()
    assert job.until(Done).result == 4
    ended.join()
    assert list(job.events) == []


def test_a_frame_that_cannot_be_looked_at_is_told_and_others_can(clip, run):
    job, read = run(), clip.read

    def torn(frame):
        if frame == 3:
            raise VideoError("is torn here", path="clip.avi", frame=3)
        return read(frame)

    clip.read = torn
    assert "torn" in str(job.look(clip, 3, "full").error)
    assert "not in a clip of 40" in str(job.look(clip, 40, "full").error)
    beyond = job.look(clip, 4, Roi(0, 0, 500, 40))
    assert isinstance(beyond, Unseen)
    assert isinstance(beyond.error, CalibrationError)
    assert job.look(clip, 4, "full").prediction.in_view


def test_what_ends_it_is_its_last_event(run):
    failed = list(run("none").events)
    assert [type(event) for event in failed] == [Failed]
    assert "no model 'none'" in str(failed[0].error)


def test_an_automatic_region_is_looked_for_once_a_clip(clip, run, fakes, monkeypatch):
    asked = []

    def resolve(spec, source):
        asked.append((spec, source))
        return Roi(10, 5, 220, 90, "detected"), (f"{source.name}: found",)

    monkeypatch.setattr(live, "resolve_roi", resolve)
    other = fakes.ArrayClip(clip.array)
    other.name = "other.avi"
    job = run()
    for source in (clip, clip, other, clip, other):
        assert job.look(source, 1).prediction.in_view
    assert asked == [("auto", clip), ("auto", other)]
    assert job.notices == ["clip.avi: found", "other.avi: found"]


def test_a_frame_of_a_provisional_clip_is_looked_at_when_all_are_listed(clip, run):
    job = run()
    clip.complete = False
    told = job.look(clip, 3, "full")
    assert "listed" in str(told.error)
    assert isinstance(next(job.events), Idle)
    clip.complete = True
    seen = job.until(Seen)
    assert seen.wish is told.wish


def test_what_is_said_of_a_frame(clip, run):
    job = run()
    clip.array[7] = 0
    seen = job.look(clip, 3, "full")
    confidence = f"{seen.prediction.confidence:.2f}"
    assert seen.seconds > 0
    line = replace(seen, seconds=0.0123).describe()
    assert line == f"frame 3: confidence {confidence} (12 ms)"
    odd = replace(seen.prediction, flags=(Flag.UNFAMILIAR, Flag.LOW_CONFIDENCE))
    assert (
        "low confidence, unlike what the model is meant for"
        in replace(seen, prediction=odd).describe()
    )
    assert job.look(clip, 7, "full").describe().startswith("frame 7: not in view, confidence 0.")

"""Clips that are open and may have no file: what a window's layers are to a batch."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from napari_deepmtj.batch.plan import Options, dry_run, make_plan
from napari_deepmtj.batch.run import ClipDone, run
from napari_deepmtj.batch.study import entry_of_source
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Done
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import ResultError
from napari_deepmtj.inference.predictor import track
from napari_deepmtj.results.trajectory_file import read_trajectory
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.stacks.stack import ArraySource
from napari_deepmtj.weights.store import load_model

pytestmark = pytest.mark.usefixtures("models")

FRAMES, HEIGHT, WIDTH = 5, 32, 64


@pytest.fixture
def options(tmp_path):
    return Options(out=tmp_path / "out", model="tiny", roi="full", device="cpu", report=False)


@pytest.fixture
def pixels():
    return np.random.default_rng(3).integers(0, 256, (FRAMES, HEIGHT, WIDTH), dtype=np.uint8)


def finished(plan):
    *events, last = run(plan)
    assert isinstance(last, Done), last
    return events, last.result


def counts(plan):
    result = finished(plan)[1]
    return result.done, result.kept, result.failed


def test_six_kinds_of_open_clips_are_tracked_as_track_does(pixels, make_clip, options, tmp_path):
    dask, zarr = pytest.importorskip("dask.array"), pytest.importorskip("zarr")
    stored = zarr.create_array(
        store=tmp_path / "z", shape=pixels.shape, chunks=(2, 32, 64), dtype="u1"
    )
    stored[:] = pixels
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, pixels, photometric="minisblack")
    sources = [
        open_video(make_clip("film.avi")),
        open_video(stack),
        ArraySource(pixels, "memory"),
        ArraySource(dask.from_array(pixels[::-1].copy(), chunks=(2, 16, 64)), "dask"),
        ArraySource(stored, "zarr"),
        ArraySource(np.stack([pixels] * 3, axis=-1), "a/b: colour?"),
    ]
    plan = make_plan([entry_of_source(source) for source in sources], options)
    names = [task.result.name for task in plan.tasks]
    assert names[2:] == ["memory.mtj.csv", "dask.mtj.csv", "zarr.mtj.csv", "a_b_ colour_.mtj.csv"]
    assert finished(plan)[1].done == 6
    model = load_model("tiny")
    for task, source in zip(plan.tasks, sources, strict=True):
        *_, done = track(source, model, roi="full", device="cpu")
        written = read_trajectory(task.result)
        pd.testing.assert_frame_equal(
            written.table, done.result.table, check_dtype=False, rtol=1e-4, atol=1e-3
        )
        assert written.provenance.clip_sha256 == source.sha256
        source.close()  # the batch left it open


def test_an_open_clip_is_known_by_its_frames_times_scale_and_region(pixels, options):
    def state(array=pixels, **facts):
        return make_plan([entry_of_source(ArraySource(array, "clip", **facts))], options)

    assert counts(state()) == (1, 0, 0)
    assert counts(state(pixels.copy())) == (0, 1, 0)
    assert list(dry_run(state())["state"]) == ["done, unless its frames changed"]
    other = pixels.copy()
    other[4, 7, 7] ^= 1
    assert counts(state(other)) == (1, 0, 0)
    assert counts(state(other)) == (0, 1, 0)
    timed = FrameTimes(np.arange(FRAMES) / 25, "test")
    assert counts(state(other, times=timed)) == (1, 0, 0)
    assert counts(state(other, times=timed, scale=Scale(0.2, 0.2, "layer"))) == (1, 0, 0)
    roi = Roi(2, 2, 50, 20, "drawn")
    assert counts(state(other, times=timed, scale=Scale(0.2, 0.2, "layer"), roi=roi)) == (1, 0, 0)


def test_what_the_layer_says_reaches_the_result(pixels, options):
    source = ArraySource(pixels, "clip", times=FrameTimes(np.arange(FRAMES) / 25, "test"))
    entry = entry_of_source(
        source,
        "Layer [1]",
        roi=Roi(4, 2, 50, 25, "drawn"),
        scale=Scale(0.2, 0.2, "napari layer"),
        distal_side="left",
        start=1,
    )
    plan = make_plan([entry], options)
    (done,) = [event for event in finished(plan)[0] if isinstance(event, ClipDone)]
    assert (done.task.clip.name, done.task.distal_side) == ("Layer [1]", "left")
    written = read_trajectory(plan.tasks[0].result)
    assert list(written.frames) == [1, 2, 3, 4]
    assert written.provenance.scale == Scale(0.2, 0.2, "napari layer")
    assert written.provenance.roi == Roi(4, 2, 50, 25, "drawn")
    row = pd.read_csv(options.out / "clips.csv").iloc[0]
    assert (row["file"], row["result"]) == ("Layer [1]", "Layer [1].mtj.csv")
    assert (row["scale_x_mm_per_px"], row["scale_source"]) == (0.2, "napari layer")


def test_open_clips_that_would_share_a_result_are_refused(pixels, options, make_clip):
    one, two = (entry_of_source(ArraySource(pixels, name)) for name in ("Clip", "clip"))
    with pytest.raises(ResultError, match="would both be saved as"):
        make_plan([one, two], options)
    with open_video(make_clip("CLIP.avi")) as film, pytest.raises(ResultError, match="both"):
        make_plan([two, entry_of_source(film)], options)


def test_an_open_clip_that_was_closed_stops_no_other(pixels, options):
    gone, there = ArraySource(pixels, "gone"), ArraySource(pixels, "there")
    gone.close()
    assert counts(make_plan([entry_of_source(s) for s in (gone, there)], options)) == (1, 0, 1)

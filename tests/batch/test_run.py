import shutil
from collections import Counter
from contextlib import closing

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_deepmtj.batch import check as opening
from napari_deepmtj.batch.ledger import NAME, Ledger
from napari_deepmtj.batch.plan import Options, dry_run, make_plan
from napari_deepmtj.batch.run import ClipBegan, ClipDone, ClipFailed, run
from napari_deepmtj.batch.study import Entry, entries_of_files
from napari_deepmtj.batch.tables import CLIPS_NAME, FRAMES_NAME
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.jobs import Done, Failed, Notice
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import ResultError, WeightsError
from napari_deepmtj.inference import predictor
from napari_deepmtj.pipeline import clip as clip_module
from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar
from napari_deepmtj.weights.store import load_model

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture
def options(tmp_path):
    return Options(out=tmp_path / "out", model="tiny", roi="full", device="cpu")


@pytest.fixture
def clips(make_clip):
    return [make_clip(name) for name in ("S1/mvc_1.avi", "S1/rom 2.avi", "S2/mvc_ä.avi")]


def planned(clips, options, pattern=None):
    return make_plan(entries_of_files(clips, pattern), options)


def events_of(plan):
    events = list(run(plan))
    assert isinstance(events[-1], Done), events[-1]
    return events


def finished(plan):
    return events_of(plan)[-1].result


def counts(result):
    return result.done, result.kept, result.failed


def test_every_clip_gets_what_track_gives(clips, options):
    events = events_of(planned(clips, options))
    assert counts(events[-1].result) == (3, 0, 0)
    for clip in clips:
        with open_video(clip) as source:
            *_, done = predictor.track(source, load_model("tiny"), roi="full", device="cpu")
        result = options.out / clip.parent.name / f"{clip.stem}.mtj.csv"
        pd.testing.assert_frame_equal(
            read_trajectory(result).table,
            done.result.table,
            check_dtype=False,
            rtol=1e-4,
            atol=1e-3,
        )


def test_what_is_done_is_kept(clips, options):
    plan = planned(clips, options)
    first = finished(plan)
    before = {p: p.stat().st_mtime_ns for p in options.out.rglob("*.mtj.*")}
    assert counts(finished(plan)) == (0, 3, 0)
    assert {p: p.stat().st_mtime_ns for p in options.out.rglob("*.mtj.*")} == before
    assert first.tables.frames.read_bytes() == (options.out / FRAMES_NAME).read_bytes()


@pytest.mark.parametrize(
    "change", ["model", "roi", "scale", "frames", "side-car", "content", "result gone"]
)
def test_what_changed_is_done_again_and_nothing_else(clips, options, change, make_clip):
    entries = entries_of_files(clips)
    finished(make_plan(entries, options))
    one = clips[1]
    changed = {
        "model": {"model": "other"},
        "roi": {"roi": "0,0,60,30"},
        "scale": {"scale": Scale(0.3, 0.3, "study table")},
        "frames": {"start": 2, "stop": 5},
    }.get(change, {})
    entries[1] = Entry(clip=one, **changed)
    if change == "side-car":
        write_sidecar(one, ClipInfo(scale=Scale(0.2, 0.2, "given by hand")))
    elif change == "content":
        make_clip("S1/rom 2.avi", n_frames=7)
    elif change == "result gone":
        (options.out / "S1" / "rom 2.mtj.csv").unlink()
    plan = make_plan(entries, options)
    (state,) = set(dry_run(plan)["state"].iloc[[1]])
    assert state == "changed"
    assert list(dry_run(plan)["state"].iloc[[0, 2]]) == ["done", "done"]
    events = events_of(plan)
    assert [e.task.clip for e in events if isinstance(e, ClipDone)] == [one]
    if change == "frames":
        # Frames of the run before, outside the new range, are still results of this clip.
        assert list(read_trajectory(plan.tasks[1].result).frames) == [0, 1, 2, 3, 4, 5]


def test_a_new_date_is_no_new_content(clips, options):
    plan = planned(clips, options)
    finished(plan)
    clips[0].touch()
    assert dry_run(plan)["state"].iloc[0] == "changed"
    assert counts(finished(plan)) == (0, 3, 0)
    assert set(dry_run(plan)["state"]) == {"done"}


def test_a_folder_of_pictures_is_looked_at_each_time_and_kept(tmp_path, options):
    folder = tmp_path / "clips" / "pictures"
    folder.mkdir(parents=True)
    for number in range(3):
        picture = np.full((32, 64), 40 * number, np.uint8)
        Image.fromarray(picture).save(folder / f"{number}.png")
    plan = planned([folder], options)
    assert counts(finished(plan)) == (1, 0, 0)
    ledger = (options.out / NAME).read_bytes()
    assert counts(finished(plan)) == (0, 1, 0)
    assert (options.out / NAME).read_bytes() == ledger
    Image.fromarray(picture + 9).save(folder / "1.png")
    assert counts(finished(plan)) == (1, 0, 0)


def test_a_clip_that_fails_stops_no_other(clips, options, tmp_path):
    clips[1].write_bytes(b"RIFF nonsense")
    missing = tmp_path / "clips" / "S3" / "gone.avi"
    plan = planned([*clips, missing], options)
    events = events_of(plan)
    assert counts(events[-1].result) == (2, 0, 2)
    failed = {e.task.clip: e.reason for e in events if isinstance(e, ClipFailed)}
    assert set(failed) == {clips[1], missing}
    assert "gone.avi" in failed[missing]
    table = pd.read_csv(options.out / CLIPS_NAME)
    assert list(table["status"]) == ["done", "failed", "done", "failed"]
    assert table["reason"].iloc[1] == failed[clips[1]]
    # Mended, only what failed is done.
    shutil.copy(clips[0], clips[1])
    assert counts(finished(plan)) == (1, 2, 1)


def test_a_bug_in_one_clip_stops_no_other(clips, options, monkeypatch):
    track = predictor.track

    def broken(source, *args, **kwargs):
        if source.name == "rom 2.avi":
            raise ZeroDivisionError("of all things")
        return track(source, *args, **kwargs)

    monkeypatch.setattr(predictor, "track", broken)
    events = events_of(planned(clips, options))
    (failed,) = [e for e in events if isinstance(e, ClipFailed)]
    assert "ZeroDivisionError: of all things" in failed.reason
    assert events[-1].result.done == 2


def test_a_full_disk_stops_the_batch_and_loses_nothing(clips, options, monkeypatch):
    plan = planned(clips, options)
    written = []

    def full(trajectory, path, **kwargs):
        if written:
            raise ResultError("cannot be written (No space left on device)") from OSError(
                28, "No space left on device"
            )
        written.append(path)
        return write_trajectory(trajectory, path, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(clip_module, "write_trajectory", full)
        *_, last = run(plan)
    assert isinstance(last, Failed)
    assert "No space left" in str(last.error)
    assert counts(finished(plan)) == (2, 1, 0)


def test_what_a_person_corrected_survives_every_rerun(clips, options):
    plan = planned(clips, options)
    finished(plan)
    result = plan.tasks[0].result
    write_trajectory(read_trajectory(result).corrected(2, (11.0, 12.0)), result, overwrite=True)
    other = planned(clips, Options(out=options.out, model="other", roi="full", device="cpu"))
    assert counts(finished(other)) == (3, 0, 0)
    row = read_trajectory(result).table.iloc[2]
    assert (row["x_px"], row["y_px"], row["origin"]) == (11.0, 12.0, Origin.CORRECTED)


def test_cancelling_keeps_what_is_finished_and_closes_every_clip(clips, options, monkeypatch):
    sources = []

    def spy(path):
        sources.append(open_video(path))
        return sources[-1]

    monkeypatch.setattr(opening, "open_video", spy)
    plan = planned(clips, options)
    with closing(run(plan)) as job:
        for event in job:
            if isinstance(event, ClipDone):
                break
    assert sources
    for source in sources:
        with pytest.raises(Exception, match="closed"):
            source.read(0)
    assert counts(finished(plan)) == (2, 1, 0)


def test_clips_are_decoded_side_by_side_for_one_network(make_clip, options):
    clips = [make_clip(f"{i}.avi", n_frames=40) for i in range(3)]
    plan = planned(clips, options)
    order = [
        (type(e).__name__, e.task.clip.name)
        for e in run(plan)
        if isinstance(e, ClipBegan | ClipDone)
    ]
    assert order[:2] == [("ClipBegan", "0.avi"), ("ClipBegan", "1.avi")]
    assert Counter(order).total() == 6


def test_one_batch_at_a_time(clips, options):
    plan = planned(clips, options)
    with closing(run(plan)) as job:
        next(job)
        *_, last = run(plan)
        assert isinstance(last, Failed)
        assert "another batch writes to this folder" in str(last.error)


def test_a_model_that_is_not_there_is_told_before_anything_runs(clips, options):
    entries = [*entries_of_files(clips[:2]), Entry(clip=clips[2], model="nobody's")]
    plan = make_plan(entries, options)
    with pytest.raises(WeightsError, match="nobody's"):
        dry_run(plan)
    events = list(run(plan))
    assert isinstance(events[-1], Failed)
    assert not any(isinstance(e, ClipBegan) for e in events)


def test_two_clips_that_would_share_a_result_are_refused(make_clip, options):
    clips = [make_clip("a.avi"), make_clip("a.mp4")]
    with pytest.raises(ResultError, match="would both be saved"):
        planned(clips, options)


def test_notices_are_told_and_kept(clips, options):
    write_sidecar(clips[0], ClipInfo(scale=Scale(0.1, 0.1, "given by hand")))
    with clips[1].open("rb+") as file:
        file.truncate(clips[1].stat().st_size * 2 // 3)
    events = events_of(planned(clips, options))
    told = [e.message for e in events if isinstance(e, Notice)]
    assert any("rom 2.avi" in message for message in told)
    line = Ledger.of(options.out).line("S1/rom 2.mtj.csv")
    assert line.facts["notices"]
    assert (options.out / NAME).read_text().count("\n") == 3


def test_tables_put_facts_beside_results(clips, options):
    for clip in clips[:2]:
        write_sidecar(clip, ClipInfo(Scale(0.5, 0.5, "given by hand"), distal_side="right"))
    pattern = r"(?P<subject>S\d)/(?P<movement>mvc|rom)"
    result = finished(planned(clips, options, pattern))
    frames = pd.read_csv(result.tables.frames)
    assert len(frames) == 18
    assert list(frames.columns[:4]) == ["file", "subject", "movement", "frame"]
    one = frames[frames["file"].str.endswith("rom 2.avi")]
    assert set(one["subject"]) == {"S1"}
    expected = read_trajectory(options.out / "S1" / "rom 2.mtj.csv").table
    np.testing.assert_allclose(one["x_px"], expected["x_px"], rtol=1e-9)
    table = pd.read_csv(result.tables.clips)
    assert list(table["subject"]) == ["S1", "S1", "S2"]
    assert list(table["scale_x_mm_per_px"].notna()) == [True, True, False]
    excursions = pd.read_csv(result.tables.excursions)
    assert list(excursions["subject"]) == ["S1", "S1", "S2"]
    assert list(excursions["movement"]) == ["mvc", "rom", "mvc"]
    assert list(excursions["clips_with_mm"]) == [1, 1, 0]


def test_copies_of_a_clip_are_told(make_clip, options):
    clips = [make_clip("a/one.avi"), make_clip("b/two.avi")]
    shutil.copy(clips[0], clips[1])
    finished(planned(clips, options))
    table = pd.read_csv(options.out / CLIPS_NAME, keep_default_na=False)
    assert list(table["same_content_as"]) == ["", "a/one.mtj.csv"]


def spoil(path, *numbers):
    """Fill frames of a clip with zeros."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    for number in numbers:
        place = data.index(packets[number])
        data[place : place + len(packets[number])] = bytes(len(packets[number]))
    path.write_bytes(data)


def test_frames_that_cannot_be_decoded_are_rows_and_make_a_clip_partial(make_clip, options):
    names = ("good.avi", "one.avi", "many.avi", "cut.avi", "none.avi")
    good, one, many, cut, none = (make_clip(name, n_frames=20) for name in names)
    spoil(one, 7)
    spoil(many, 3, 4, 12)
    spoil(none, *range(1, 20))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    events = events_of(planned([good, one, many, cut, none], options))
    clips = pd.read_csv(options.out / CLIPS_NAME, keep_default_na=False)
    reasons = clips.set_index(clips["file"].str.rpartition("/")[2])["reason"]
    assert list(clips["status"]) == ["done", "done", "partial", "partial", "partial"]
    assert reasons["many.avi"] == "17 of 20 frames could be read"
    assert reasons["cut.avi"].endswith("of 20 frames could be read")
    table = read_trajectory(options.out / "many.mtj.csv").table
    assert list(table["frame"]) == list(range(20))
    lost = table["flags"] == "unreadable"
    assert list(table.loc[lost, "frame"]) == [3, 4, 12]
    assert table.loc[lost, ["x_px", "y_px", "confidence"]].isna().all(axis=None)
    assert not table.loc[lost, "in_view"].any()
    told = [event.message for event in events if isinstance(event, Notice)]
    assert any("3 of 20 frames cannot be read (frames 3 to 4, 12: damaged" in text for text in told)
    assert any("3 of 5 clips are partial" in text for text in told)

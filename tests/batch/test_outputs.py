"""What a batch makes on request beside trajectories, and the page at its end."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from napari_deepmtj.batch.plan import Options, make_plan
from napari_deepmtj.batch.run import ClipDone, run
from napari_deepmtj.batch.study import Entry, entries_of_files
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.core.paths import attention_path, video_path
from napari_deepmtj.results.attention_file import read_attention
from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar
from napari_deepmtj.video.writer import VideoWriter
from napari_deepmtj.weights.store import load_model

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture
def options(tmp_path):
    return Options(out=tmp_path / "out", model="tiny", roi="full", device="cpu", report=False)


def tracked(clips, options):
    """Run a batch; return its plan and the names of the clips that were tracked now."""
    plan = make_plan(entries_of_files(clips), options)
    events = list(run(plan))
    assert isinstance(events[-1], Done), events[-1]
    return plan, [event.task.clip.name for event in events if isinstance(event, ClipDone)]


def test_maps_and_videos_are_made_kept_and_made_again(make_clip, options):
    clips = [make_clip("a.avi"), make_clip("b.avi")]
    name = load_model("tiny").card.attention.choices[0]
    asked = replace(options, attention=name, video=True)
    plan, now = tracked(clips, options)
    assert now == ["a.avi", "b.avi"]
    _, now = tracked(clips, asked)
    assert now == ["a.avi", "b.avi"]  # the maps were not there
    for task in plan.tasks:
        maps, info = read_attention(attention_path(task.result))
        assert (len(maps), info.map) == (6, name)
        with open_video(video_path(task.result)) as video:
            assert video.n_frames == 6
    assert tracked(clips, asked)[1] == []
    video_path(plan.tasks[1].result).unlink()
    assert tracked(clips, asked)[1] == ["b.avi"]
    # Not asked for, they stay as long as the positions that they show.
    assert tracked(clips, options)[1] == []
    assert video_path(plan.tasks[0].result).is_file()
    assert tracked(clips, replace(options, model="other"))[1] == ["a.avi", "b.avi"]
    for task in plan.tasks:
        assert not video_path(task.result).exists()
        assert not attention_path(task.result).exists()


def test_smoothing_is_in_the_log_and_in_the_key(make_clip, options):
    clips = [make_clip("a.avi", n_frames=12)]
    plan, _ = tracked(clips, options)
    result = plan.tasks[0].result
    write_trajectory(read_trajectory(result).corrected(5, (30.0, 12.0)), result, overwrite=True)
    slow = replace(options, smooth="savitzky-golay:window=5,order=2")
    assert tracked(clips, slow)[1] == ["a.avi"]
    assert tracked(clips, slow)[1] == []
    saved = read_trajectory(result)
    names = [op.name for op in saved.provenance.operations]
    assert names == ["track", "correct", "track", "gate", "smooth"]
    assert saved.provenance.operations[-1].arguments["window"] == 5
    row = saved.table.iloc[5]
    assert (row["x_px"], row["y_px"], row["origin"]) == (30.0, 12.0, "CORRECTED")
    assert tracked(clips, replace(options, smooth="savitzky-golay:window=7"))[1] == ["a.avi"]


def test_a_map_that_the_model_lacks_is_told_before_anything_runs(make_clip, options):
    plan = make_plan(entries_of_files([make_clip("a.avi")]), replace(options, attention="aura"))
    events = list(run(plan))
    assert isinstance(events[-1], Failed)
    assert "no attention map 'aura'" in str(events[-1].error)
    assert not list(options.out.rglob("*.mtj.csv"))


def test_the_page_and_the_documented_program_read_what_a_batch_wrote(
    make_clip, options, monkeypatch, capsys
):
    scale = Scale(0.5, 0.5, "study table")
    entries = [
        Entry(
            clip=make_clip(f"{subject}/{movement}.avi", n_frames=6 + number),
            facts={"subject": subject, "group": "healthy", "movement": movement, "frames": "x"},
            scale=scale,
        )
        for number, (subject, movement) in enumerate(product(("S1", "S2"), ("mvc", "rom")))
    ]
    entries.append(Entry(clip=entries[0].clip.with_name("gone.avi"), facts={"subject": "S1"}))
    out = options.out.with_name("results")
    *_, done = run(make_plan(entries, replace(options, out=out, report=True)))
    page = done.result.tables.report.read_text(encoding="utf-8")
    assert "there is no such file" in page
    assert page.count("data:image/jpeg") == 4
    clips = pd.read_csv(out / "clips.csv")
    assert list(clips["study_frames"].iloc[:4]) == ["x"] * 4
    assert list(clips["frames"].iloc[:4]) == [6, 7, 8, 9]

    documented = (Path(__file__).parents[2] / "docs" / "how-to" / "batch.md").read_text(
        encoding="utf-8"
    )
    programs = re.findall(r"```python\n(.*?)```", documented, re.DOTALL)
    (program,) = [text for text in programs if "clips.csv" in text]
    monkeypatch.chdir(out.parent)
    exec(compile(program, "docs/how-to/batch.md", "exec"), {})
    told = capsys.readouterr().out
    # an untrained network's positions agree nowhere, so that the clips have no excursion
    assert clips["excursion_reason"].iloc[0] == "no 3 consecutive positions agree"
    assert re.search(r"healthy\s+mvc\s+0", told)


#: Pixels that the whole picture of `drifting` moves to the right from frame to frame.
STEP = 2


@pytest.fixture
def drifting(tmp_path):
    """A clip of speckle that moves as a whole, as when the probe slips, with its scale."""
    path, (n, height, width) = tmp_path / "drifting.avi", (8, 96, 192)
    speckle = gaussian_filter(np.random.default_rng(0).normal(size=(height, width + STEP * n)), 1.5)
    grey = (110 + 40 * speckle / speckle.std()).clip(0, 255).astype(np.uint8)
    with VideoWriter(path, height, width, 25.0) as writer:
        for k in range(n):
            start = STEP * (n - k)
            writer.add(np.ascontiguousarray(grey[:, start : start + width]))
    write_sidecar(path, ClipInfo(Scale(0.2, 0.2, "made up")))
    return path


def by_flow(clip, options, **asked):
    """Track without and with flow; return both results and how `clips.csv` says it was done."""
    plan, _ = tracked([clip], options)
    result = plan.tasks[0].result
    plain = read_trajectory(result)
    asked = replace(options, **asked)
    assert tracked([clip], asked)[1] == [clip.name]  # what it was made by is part of the key
    assert tracked([clip], asked)[1] == []
    (how,) = pd.read_csv(options.out / "clips.csv")["positions"]
    return plain, read_trajectory(result), how


def test_the_slip_of_the_probe_is_subtracted(drifting, options):
    pytest.importorskip("cv2")
    plain, still, how = by_flow(drifting, options, subtract_slip=True)
    names = [op.name for op in still.provenance.operations]
    assert names[-3:] == ["track", "estimate slip", "subtract slip"]
    assert how == "as saved: probe slip subtracted"
    slipped = plain.xy_px - still.xy_px
    np.testing.assert_allclose(slipped[:, 0], STEP * np.arange(8), atol=0.1)
    np.testing.assert_allclose(slipped[:, 1], 0, atol=0.1)


def test_positions_are_fused_with_the_motion_of_the_tissue(drifting, options):
    pytest.importorskip("cv2")
    plain, fused, how = by_flow(drifting, options, fuse=True)
    assert [op.name for op in fused.provenance.operations][-2:] == ["track", "fuse"]
    assert how == "as saved: fuse"
    np.testing.assert_array_equal(fused.table["x_raw_px"], plain.table["x_raw_px"])
    off = [np.diff(each.xy_px, axis=0) - (STEP, 0) for each in (plain, fused)]
    assert np.sqrt((off[1] ** 2).mean()) < 0.5 * np.sqrt((off[0] ** 2).mean())

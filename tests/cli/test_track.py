import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer

from napari_deepmtj.cli.track import expand, parse_frames, parse_scale
from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.jobs import Done
from napari_deepmtj.inference import predictor
from napari_deepmtj.results.trajectory_file import read_trajectory, write_trajectory
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.writer import VideoWriter
from napari_deepmtj.weights.store import load_model

FRAMES, HEIGHT, WIDTH = 12, 60, 130
TINY = ("--model", "tiny", "--roi", "full")


@pytest.fixture
def result(clip):
    return clip.with_name("clip.mtj.csv")


def test_a_clip_becomes_a_csv_and_a_json(run, clip, result):
    code, out, err = run("track", clip, *TINY)
    assert (code, err) == (0, "")
    assert out.startswith("clip.avi: MTJ in view in 12 of 12 frames, ")
    assert out.endswith(f"frames/s with onnxruntime -> {result}\n")
    written = read_trajectory(result)
    with open_video(clip) as source:
        *_, last = predictor.track(source, load_model("tiny"), roi="full")
    assert isinstance(last, Done)
    np.testing.assert_allclose(written.xy_px, last.result.xy_px, rtol=1e-6)
    assert written.table[["x_mm", "y_mm"]].isna().all(axis=None)
    said = json.loads(clip.with_name("clip.mtj.json").read_text())
    assert said["clip"]["name"] == "clip.avi"
    assert said["operations"][0]["arguments"]["model"]["id"] == "tiny"
    assert str(clip.parent) not in json.dumps(said)


def test_auto_says_that_it_took_the_whole_picture(run, clip):
    code, _, err = run("track", clip, "--model", "tiny")
    assert code == 0
    assert err.startswith("note: clip.avi: ")
    assert "whole picture" in err
    assert err.count("clip.avi") == 1


def test_scale_frames_roi_and_batch_reach_the_result(run, clip, result):
    words = ("--scale", "0.1,0.2", "--frames", "2:11:3", "--roi", "10,4,100,50", "--batch", 1)
    assert run("track", clip, "--model", "tiny", *words)[0] == 0
    written = read_trajectory(result)
    assert written.frames.tolist() == [2, 5, 8]
    np.testing.assert_allclose(written.table[["x_mm", "y_mm"]], written.xy_px * [0.1, 0.2])
    assert written.provenance.scale == Scale(0.1, 0.2, "given by hand")
    assert str(written.provenance.roi) == "10,4,100,50"
    assert written.provenance.operations[0].arguments["batch"] == 1


def test_attention_is_a_stack_that_knows_its_place(run, clip):
    assert run("track", clip, *TINY, "--attention", "combined", "--frames", "3:9:2")[0] == 0
    with tifffile.TiffFile(clip.with_name("clip.mtj-attention.tif")) as tiff:
        maps = tiff.asarray()
        info = json.loads(tiff.pages[0].description)
    assert maps.shape == (3, 8, 16)
    assert 0 < maps.max() < 1  # a product of gates
    assert (info["schema"], info["map"], info["model"]) == (2, "combined", "tiny")
    assert info["unit"] == "product of two gates, 0 to 1"
    assert info["frames"] == {"start": 3, "stop": 9, "step": 2}
    step, first = info["frame_px_per_map_px"], info["first_map_px_in_frame_px"]
    assert step["x"] == pytest.approx(WIDTH / 16, rel=0.01)
    assert first["x"] + 15 * step["x"] / 2 == pytest.approx((WIDTH - 1) / 2, abs=0.01)


def test_a_map_that_the_model_lacks_is_an_error_before_any_clip(run, clip):
    code, _, err = run("track", clip, clip, *TINY, "--attention", "level-1")
    assert (code, err.count("\n")) == (1, 1)
    assert "'tiny' has no attention map 'level-1'; there is: combined, gate-1, gate-2" in err
    assert list(clip.parent.iterdir()) == [clip]


def test_attention_of_other_frames_is_not_replaced_unasked(run, clip):
    maps = clip.with_name("clip.mtj-attention.tif")
    run("track", clip, *TINY, "--attention", "gate-2", "--frames", ":3")
    before = maps.read_bytes()
    code, _, err = run("track", clip, *TINY, "--attention", "gate-2", "--frames", "3:6")
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("error: clip.avi: clip.mtj-attention.tif: exists already")
    assert maps.read_bytes() == before
    again = ("--attention", "gate-2", "--frames", "3:6", "--overwrite")
    assert run("track", clip, *TINY, *again)[0] == 0
    assert maps.read_bytes() != before


def test_out_keeps_the_clips_own_folders(run, clip, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(clip, tmp_path / folder / "clip.avi")
    out = tmp_path / "out" / "deep"
    code, _, _ = run("track", tmp_path / "a/clip.avi", tmp_path / "b/clip.avi", "--out", out, *TINY)
    assert code == 0
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.csv")) == [
        "a/clip.mtj.csv",
        "b/clip.mtj.csv",
    ]
    assert not list((tmp_path / "a").glob("*.mtj.*"))


def text_as_avi(path):
    path.write_text("this is no video\n" * 20)


def header_only(path):
    path.write_bytes(path.read_bytes()[:300])


BAD_CLIPS = {
    "missing": (lambda path: path.unlink(), "no such file"),
    "text": (text_as_avi, "text"),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "folder"),
    "header only": (header_only, ""),
}


@pytest.mark.parametrize("case", BAD_CLIPS)
def test_a_bad_clip_is_one_line_and_the_others_are_done(run, clip, result, tmp_path, case):
    spoil, said = BAD_CLIPS[case]
    bad = tmp_path / "bad.avi"
    shutil.copy(clip, bad)
    spoil(bad)
    code, out, err = run("track", bad, *TINY)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("error: bad.avi: ")
    assert said in err
    assert str(tmp_path) not in err
    assert not bad.with_name("bad.mtj.csv").exists()
    code, out, err = run("track", bad, clip, *TINY)
    assert code == 1
    assert out.startswith("clip.avi: ")
    assert [line.split(":")[0] for line in err.splitlines()] == ["error", "error"]
    assert err.endswith("error: 1 of 2 clips failed\n")
    assert len(read_trajectory(result)) == FRAMES


def test_a_truncated_clip_is_tracked_up_to_where_it_ends(run, clip, result):
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 6 // 10])
    code, _, err = run("track", clip, *TINY)
    assert code == 0
    assert err.startswith("note: clip.avi ends after ")
    assert err.count("\n") == 1
    assert 4 <= len(read_trajectory(result)) <= 8


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--roi", "100,0,100,50"), 1, "reaches beyond the 130 x 60 px picture"),
        (("--roi", "somewhere"), 1, "somewhere"),
        (("--roi", "preset:nobody"), 1, "no preset 'nobody'"),
        (("--model", "nobody"), 1, "no model 'nobody'; there are: "),
        (("--model", "folder/no.safetensors"), 1, "no.safetensors: there is no such weights file"),
        (("--device", "gpu"), 1, "'gpu' is unknown"),
        (("--frames", "50:60"), 1, "has 12 frames, and 50:60 chooses none"),
        (("--frames", "5"), 2, "'5' is no range of frames"),
        (("--frames", "0:5:0"), 2, "no range of frames"),
        (("--scale", "0"), 2, "0.0 mm per px is impossible"),
        (("--scale", "nan"), 2, "nan mm per px is impossible"),
        (("--scale", "155"), 2, "77.5 m wide; did you mean 0.155?"),
        (("--scale", "11.3"), 2, "did you mean 0.0885 (11.3 px per mm)?"),
        (("--scale", "wide"), 2, "'wide' is no scale"),
        (("--scale", "1,2,3"), 2, "'1,2,3' is no scale"),
        (("--batch", "0"), 2, "--batch"),
    ],
)
def test_arguments_that_make_no_sense(run, clip, result, words, code, said):
    got, out, err = run("track", clip, *TINY, *words)
    assert (got, out) == (code, "")
    assert said in " ".join(err.split())
    if code == 1:
        assert err.startswith("error: ")
        assert err.count("\n") == 1
    assert not result.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps({"weights": 1}), "is a pickle"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
        (b"nothing", "no safetensors file"),
    ],
)
def test_a_wrong_weights_file(run, clip, tmp_path, content, said):
    weights = tmp_path / "net.pt"
    weights.write_bytes(content)
    code, _, err = run("track", clip, "--model", weights)
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("error: net.pt: ")
    assert said in err


def test_clips_that_would_share_a_result_are_refused_before_anything_runs(run, clip, tmp_path):
    shutil.copy(clip, tmp_path / "CLIP.mp4")
    code, out, err = run("track", clip, tmp_path / "CLIP.mp4", *TINY)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "clip.avi" in err
    assert "CLIP.mp4" in err
    assert not list(tmp_path.glob("*.mtj.*"))


def test_a_file_in_place_of_the_output_folder(run, clip, tmp_path):
    (tmp_path / "out").write_text("")
    code, _, err = run("track", clip, "--out", tmp_path / "out", *TINY)
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("error: out: cannot be made a folder")


def test_a_read_only_folder_is_told_before_any_work(run, clip, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    # Patched, not chmod: the superuser may write anywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr(predictor, "track", lambda *args, **kwargs: pytest.fail("work was done"))
    for words, name in (((), tmp_path.name), (("--out", tmp_path / "out"), "out")):
        code, _, err = run("track", clip, *TINY, *words)
        assert (code, err.count("\n")) == (1, 1)
        assert f"{name}: is a folder that may not be written to; choose another --out" in err


def test_existing_results_need_overwrite_before_any_work(run, clip, result, monkeypatch):
    run("track", clip, *TINY)
    before = result.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(predictor, "track", lambda *args, **kwargs: pytest.fail("work was done"))
        code, _, err = run("track", clip, *TINY)
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("error: clip.avi: clip.mtj.csv: exists already")
    assert "--overwrite" in err
    assert result.read_bytes() == before
    assert run("track", clip, *TINY, "--overwrite", "--roi", "10,10,100,50")[0] == 0
    assert str(read_trajectory(result).provenance.roi) == "10,10,100,50"


def test_what_a_person_corrected_always_survives(run, clip, result):
    run("track", clip, *TINY)
    corrected = read_trajectory(result).corrected(4, (11.5, 12.5)).corrected(6, None)
    result.unlink()
    write_trajectory(corrected, result)
    assert run("track", clip, *TINY, "--overwrite", "--roi", "10,10,100,50")[0] == 0
    table = read_trajectory(result).table.set_index("frame")
    assert table.loc[4, ["x_px", "y_px"]].tolist() == [11.5, 12.5]
    assert table.loc[6, ["x_px", "y_px"]].isna().all()
    assert table["origin"].tolist().count("CORRECTED") == 2
    assert table.loc[5, "x_px"] != corrected.table.loc[5, "x_px"]


def test_new_frames_join_a_result_without_overwriting(run, clip, result):
    run("track", clip, *TINY, "--frames", ":4")
    assert run("track", clip, *TINY, "--frames", "4:")[0] == 0
    assert read_trajectory(result).frames.tolist() == list(range(FRAMES))


def test_a_corrected_result_of_another_clip_is_never_replaced(run, clip, result):
    run("track", clip, *TINY)
    corrected = read_trajectory(result).corrected(4, (1.0, 2.0))
    result.unlink()
    write_trajectory(corrected, result)
    before = result.read_bytes()
    with VideoWriter(clip, HEIGHT, WIDTH, 25.0) as writer:
        for _ in range(FRAMES):
            writer.add(np.full((HEIGHT, WIDTH), 60, np.uint8))
    code, _, err = run("track", clip, *TINY, "--overwrite")
    assert code == 1
    assert "belongs to another file" in err
    assert result.read_bytes() == before


def test_ctrl_c_keeps_what_is_finished(run, clip, tmp_path, monkeypatch):
    shutil.copy(clip, tmp_path / "second.avi")
    whole = predictor.track

    def interrupted(source, *args, **kwargs):
        for event in whole(source, *args, **kwargs):
            yield event
            if source.name == "second.avi" and isinstance(event, predictor.TrackedBatch):
                raise KeyboardInterrupt

    monkeypatch.setattr(predictor, "track", interrupted)
    code, out, _ = run("track", clip, tmp_path / "second.avi", *TINY, "--attention", "gate-1")
    assert code == 130
    assert out.startswith("clip.avi: ")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "clip.avi",
        "clip.mtj-attention.tif",
        "clip.mtj.csv",
        "clip.mtj.json",
        "second.avi",
    ]


@pytest.mark.parametrize("name", ["~nobody.avi", "n" * 300 + ".avi"])
def test_names_that_no_file_can_have_are_one_line(run, name):
    code, _, err = run("track", name, *TINY)
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith(f"error: {name}: ")


def test_a_clip_whose_name_begins_with_a_tilde(run, clip, monkeypatch):
    clip.rename(clip.with_name("~clip.avi"))
    monkeypatch.chdir(clip.parent)
    code, out, _ = run("track", "~clip.avi", *TINY, "--frames", ":2")
    assert code == 0
    assert out.startswith("~clip.avi: ")


def test_names_that_the_terminal_cannot_show(clip):
    clip = clip.rename(clip.with_name("été Ż.avi"))
    words = ["track", str(clip), *TINY, "--frames", ":2"]
    program = [sys.executable, "-m", "napari_deepmtj.cli.app", *words]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=ascii_only)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(r"\xe9t\xe9 \u017b.avi: MTJ in view in 2 of 2 frames")


def test_the_installed_program(clip, result):
    words = ["track", str(clip), "--model", "tiny", "--frames", ":3"]
    program = [sys.executable, "-m", "napari_deepmtj.cli.app", *words]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("clip.avi: MTJ in view in 3 of 3 frames")
    assert [line[:6] for line in done.stderr.splitlines()] == ["note: "]
    assert result.exists()


def test_patterns_that_the_shell_left_are_expanded(tmp_path, monkeypatch):
    for name in ("b.avi", "a.avi", "c.mp4", "x[1].avi"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert expand(["*.avi"]) == [Path("a.avi"), Path("b.avi"), Path("x[1].avi")]
    assert expand([str(tmp_path / "?.mp4")]) == [tmp_path / "c.mp4"]
    assert expand(["x[1].avi"]) == [Path("x[1].avi")]
    assert expand(["no*.avi", "no.avi"]) == [Path("no*.avi"), Path("no.avi")]
    assert expand(["b.avi", "*.avi", str(tmp_path / "a.avi")])[0] == Path("b.avi")
    assert len(expand(["b.avi", "*.avi", str(tmp_path / "a.avi")])) == 3


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0:10", range(10)),
        (":", range(100)),
        ("90:", range(90, 100)),
        ("-5:", range(95, 100)),
        ("::7", range(0, 100, 7)),
        ("2:9:2", range(2, 9, 2)),
        ("5:1000", range(5, 100)),
    ],
)
def test_ranges_of_frames_are_python_slices(text, numbers):
    assert range(100)[parse_frames(text)] == numbers


@pytest.mark.parametrize("text", ["", "5", "a:b", "1:2:3:4", "1:2:-1", "1.5:3", "0:5:0"])
def test_what_is_no_range_of_frames(text):
    with pytest.raises(typer.BadParameter, match="range of frames"):
        parse_frames(text)


@pytest.mark.parametrize(
    ("text", "x", "y"), [("0.0883", 0.0883, 0.0883), ("0.1,0.2", 0.1, 0.2), ("1e-1", 0.1, 0.1)]
)
def test_scales_have_one_number_or_two(text, x, y):
    assert parse_scale(text) == Scale(x, y, "given by hand")


def test_flow_is_asked_for_by_words(run, clip, result):
    assert run("track", clip, *TINY, "--fuse", "--subtract-slip")[0] == 0
    done = [op.name for op in read_trajectory(result).provenance.operations]
    assert done == ["track", "fuse", "estimate slip", "subtract slip"]


def test_without_opencv_nothing_is_tracked_before_it_is_said(run, clip, result, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    code, _, err = run("track", clip, *TINY, "--fuse")
    assert code == 1
    assert 'extra "flow"' in err
    assert not result.exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("",), 2, "one of the names is empty"),
        (("  ",), 2, "one of the names is empty"),
        (("/",), 2, "whole file system"),
        ((".",), 1, "to track every clip in it: napari-deepmtj batch"),
        (("x" * 240 + ".avi",), 1, "has a name of 240 bytes"),
    ],
)
def test_what_is_no_clip_is_one_line(run, clip, tmp_path, monkeypatch, words, code, said):
    monkeypatch.chdir(tmp_path)
    got, out, err = run("track", *words, *TINY)
    assert (got, out) == (code, "")
    assert said in " ".join(err.split())
    assert code == 2 or err.count("\n") == 1


def test_a_folder_of_videos_names_batch(run, clip):
    code, _, err = run("track", clip.parent, *TINY)
    assert code == 1
    assert f"napari-deepmtj batch {clip.parent.name} --out FOLDER" in err

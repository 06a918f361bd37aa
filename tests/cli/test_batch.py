"""The command over a few clips; what a batch does is tested in tests/batch."""

import pandas as pd
import pytest

from napari_deepmtj.phantom.cohort import Subject
from napari_deepmtj.video.writer import VideoWriter


@pytest.fixture
def study(tmp_path):
    clip = Subject(7).clip(0, n_frames=4)
    for name in ("S1/mvc.avi", "S2/mvc.avi", "S2/notes.mov"):
        path = tmp_path / "study" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".avi":
            with VideoWriter(path, clip.height, clip.width, 25.0) as writer:
                for frame in clip.frames():
                    writer.add(frame)
        else:
            path.write_text("no video")
    return tmp_path / "study"


def test_a_study_is_tracked_told_and_gone_on_with(run, study, tmp_path):
    out = tmp_path / "out"
    options = (
        "--out",
        str(out),
        "--roi",
        "full",
        "--pattern",
        r"(?P<subject>S\d)",
        "--scale",
        "0.1",
        "--include",
        "*.avi",
    )
    code, told, _ = run("batch", study, *options, "--dry-run")
    assert (code, "state: 2 to do" in told) == (0, True)
    assert list(pd.read_csv(out / "plan.csv")["scale"]) == ["options", "options"]
    assert not list(out.rglob("*.mtj.csv"))

    code, told, _ = run("batch", study, *options)
    assert (code, "2 clips tracked, 0 kept, 0 failed" in told) == (0, True)
    assert list(pd.read_csv(out / "excursions.csv")["subject"]) == ["S1", "S2"]

    table = tmp_path / "study.csv"
    table.write_text(
        "file,subject\nstudy/S1/mvc.avi,S1\nstudy/S2/mvc.avi,S2\nstudy/S2/notes.mov,S2\n"
    )
    again = ("--out", out, "--roi", "full", "--scale", "0.1")
    code, told, errors = run("batch", "--study", table, *again)
    assert (code, "0 clips tracked, 2 kept, 1 failed" in told) == (1, True)
    assert "error: notes.mov: is text" in errors


def test_what_is_called_like_a_clip_and_is_none_has_failed(run, study, tmp_path):
    """In folders too: a recorder that crashed, a bad disk, a pointer in place of the file."""
    out = tmp_path / "out"
    (study / "S1" / "mvc.avi").write_bytes(bytes(4096))
    (study / "S2" / "mvc.avi").unlink()
    (study / "S2" / "empty.mp4").touch()
    (study / "S3").mkdir()
    (study / "S3" / "mvc.avi").write_text("version https://git-lfs.github.com/spec/v1\n")
    (study / "S3" / "cut.dcm").write_bytes(b"DIC")
    code, told, errors = run("batch", study, "--out", out, "--roi", "full")
    assert (code, "0 clips tracked, 0 kept, 5 failed" in told) == (1, True)
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in lines] == [
        f"{study.as_posix()}/S1/mvc.avi",  # whose name another one has
        "empty.mp4",
        "notes.mov",
        "cut.dcm",
        f"{study.as_posix()}/S3/mvc.avi",
    ]
    clips = pd.read_csv(out / "clips.csv")
    assert list(clips["status"]) == ["failed"] * 5
    assert clips["reason"].notna().all()

    code, _, errors = run("batch", study, "--out", out, "--include", "*.wmv")
    assert code == 1
    assert "study: has 5 clips, none of them called like *.wmv" in errors


def test_nothing_to_do_is_bad_usage(run, tmp_path):
    assert run("batch", "--out", tmp_path)[0] == 2
    assert run("batch", "--out", tmp_path, tmp_path / "x.avi", "--pattern", "(")[0] == 1

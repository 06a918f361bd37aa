"""A reader sees the old file or the new one whole; results never share a name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_deepmtj.core.atomic import STALE_SECONDS, atomic_write
from napari_deepmtj.core.paths import attention_path, json_path, result_path, result_paths
from napari_deepmtj.errors import ResultError


def test_writes_bytes_and_by_function(tmp_path) -> None:
    path = atomic_write(tmp_path / "new" / "a.csv", b"one")
    atomic_write(path, lambda file: file.write(b"two"))
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["a.csv"]


def test_a_failing_writer_leaves_the_old_file(tmp_path) -> None:
    path = atomic_write(tmp_path / "a.csv", b"old")

    def fail(file) -> None:
        file.write(b"half")
        raise KeyError("bug")

    with pytest.raises(KeyError):
        atomic_write(path, fail)

    def full(file) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ResultError, match=r"a.csv: cannot be written \(No space left"):
        atomic_write(path, full)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_a_locked_target_keeps_the_new_file_beside_it(tmp_path, monkeypatch) -> None:
    path = atomic_write(tmp_path / "a.mtj.csv", b"old")
    real = Path.replace

    def locked(self: Path, target: Path) -> Path:
        if Path(target) == path:
            raise PermissionError(13, "The process cannot access the file")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", locked)
    with pytest.raises(ResultError, match=r"locked .* stays as a.mtj.new.csv: close"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert (tmp_path / "a.mtj.new.csv").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_unwritable_folder_is_one_clear_line(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match=r"a.csv: cannot be written .*writable folder"):
        atomic_write(tmp_path / "file" / "a.csv", b"x")


def test_stale_temporaries_are_cleaned_and_fresh_ones_left(tmp_path) -> None:
    stale, fresh, other = (
        tmp_path / name for name in (".a[1].csv.1-a.tmp", ".a[1].csv.2-b.tmp", ".b.csv.1-a.tmp")
    )
    for file in (stale, fresh, other):
        file.write_text("")
    old = time.time() - STALE_SECONDS - 10
    for file in (stale, other):
        os.utime(file, (old, old))
    atomic_write(tmp_path / "a[1].csv", b"x")
    assert (stale.exists(), fresh.exists(), other.exists()) == (False, True, True)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of POSIX")
def test_killed_while_saving_the_file_is_whole(tmp_path) -> None:
    path = tmp_path / "a.csv"
    code = (
        "import sys; from napari_deepmtj.core.atomic import atomic_write\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1; atomic_write(sys.argv[1], bytes([n % 251]) * 300_000)\n"
    )
    for pause in (0.02, 0.05, 0.09):
        with subprocess.Popen([sys.executable, "-c", code, str(path)]) as process:
            while not path.exists():
                time.sleep(0.005)
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
        content = path.read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1
        path.unlink()


def test_result_lies_beside_the_clip_or_in_out() -> None:
    assert result_path("a/MG_1.avi") == Path("a/MG_1.mtj.csv")
    assert result_path("a/MG_1.avi", "out") == Path("out/MG_1.mtj.csv")
    assert json_path("a/MG_1.mtj.csv") == Path("a/MG_1.mtj.json")
    assert attention_path("a/MG_1.mtj.csv") == Path("a/MG_1.mtj-attention.tif")
    assert json_path("a/mine.csv") == Path("a/mine.mtj.json")


def test_folders_of_the_clips_are_kept_in_out() -> None:
    clips = ["data/s1/MG.avi", "data/s2/MG.avi", "data/s2/deep/MG.avi"]
    assert result_paths(clips) == [Path(clip).with_name("MG.mtj.csv") for clip in clips]
    assert result_paths(clips, "out") == [
        Path(p) for p in ("out/s1/MG.mtj.csv", "out/s2/MG.mtj.csv", "out/s2/deep/MG.mtj.csv")
    ]
    assert result_paths(["data/s1/MG.avi"], "out") == [Path("out/MG.mtj.csv")]
    assert result_paths([], "out") == []


@pytest.mark.parametrize("out", [None, "out"])
@pytest.mark.parametrize("clips", [["a/x.avi", "a/x.mp4"], ["a/x.avi", "a/X.avi"], ["x.avi"] * 2])
def test_clips_that_would_share_a_result_are_refused(clips, out) -> None:
    with pytest.raises(ResultError, match="would both be saved as"):
        result_paths(clips, out)

"""A file that is written, replaced or removed while it is open never gives a wrong frame."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video import stamp as _stamp
from napari_deepmtj.video.ffmpeg import scan as _examine
from napari_deepmtj.video.ffmpeg import source as _av
from napari_deepmtj.video.opening import open_video

CHANGED = r"^a\.mp4(, frame \d+)?: was changed since it was opened; open it again"


@pytest.fixture
def path(clip_folder, tmp_path) -> Path:
    """A clip of its own, last written an hour ago."""
    copy = tmp_path / "a.mp4"
    shutil.copy(clip_folder / "h264_long_gop.mp4", copy)
    hour_ago = copy.stat().st_mtime - 3600
    os.utime(copy, (hour_ago, hour_ago))
    return copy


def replace(path: Path, by: Path) -> None:
    """Replace a file as programs do that write safely: by renaming."""
    new = path.with_suffix(".new")
    shutil.copy(by, new)
    new.replace(path)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be replaced there")
def test_a_replaced_file_is_refused_where_it_would_be_read_anew(
    path, clip_folder, show_number, monkeypatch
) -> None:
    monkeypatch.setattr(_av, "CACHE_BYTES", 1)
    with open_video(path) as source:
        assert show_number(source.read(100)) == 100
        replace(path, clip_folder / "h264_variable.mp4")
        assert show_number(source.read(101)) == 101  # still the file that was opened
        with pytest.raises(VideoError, match=CHANGED):
            source.read(0)
        with pytest.raises(VideoError, match=CHANGED):
            next(source.frames())
        with pytest.raises(VideoError, match=CHANGED):
            source.sha256  # noqa: B018
    with open_video(path) as source:
        assert source.n_frames == 60
        assert show_number(source.read(59)) == 59


def test_a_file_that_grows_is_refused(path) -> None:
    with open_video(path) as source:
        with path.open("ab") as file:
            file.write(bytes(10))
        with pytest.raises(VideoError, match=CHANGED):
            source.read(0)


def test_a_file_written_while_it_is_listed_is_refused(path, monkeypatch) -> None:
    real = _examine._search

    def search(seen, *arguments):
        os.utime(path)
        return real(seen, *arguments)

    monkeypatch.setattr(_examine, "_search", search)
    with pytest.raises(VideoError, match=CHANGED):
        open_video(path)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
def test_a_file_removed_while_open_can_be_read_to_its_end(path, show_number) -> None:
    with open_video(path) as source:
        source.read(10)
        path.unlink()
        assert show_number(source.read(110)) == 110


def test_another_file_of_the_same_size_and_time_has_a_table_of_its_own(
    path, clip_folder, monkeypatch
) -> None:
    monkeypatch.setattr(_stamp, "SETTLED_FILE", -1.0)
    with open_video(path) as first:
        old = path.stat()
        data = bytearray((clip_folder / "h264_variable.mp4").read_bytes())
        data += bytes(old.st_size - len(data))
        path.write_bytes(data)
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (old.st_size, old.st_mtime_ns)
        with open_video(path) as second:
            assert (first.n_frames, second.n_frames) == (120, 60)


def test_two_sources_of_one_file_share_a_table_and_nothing_else(
    path, monkeypatch, show_number
) -> None:
    monkeypatch.setattr(_stamp, "SETTLED_FILE", -1.0)
    wrong: list[int] = []

    def read(seed: int) -> None:
        with open_video(path) as source:
            order = np.random.default_rng(seed).integers(0, 120, 40).tolist()
            wrong.extend(n for n in order if show_number(source.read(n)) != n)

    with open_video(path) as kept:
        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert show_number(kept.read(119)) == 119


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks Linux which files are open")
@pytest.mark.parametrize("background", [False, True])
def test_a_closed_clip_holds_no_handle(path, background) -> None:
    def held() -> int:
        return sum(link.resolve() == path for link in Path("/proc/self/fd").iterdir())

    source = open_video(path, background=background)
    source.read(50)
    frames = source.frames()
    next(frames)
    assert held() == 2
    frames.close()
    source.close()
    assert held() == 0
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(VideoError):
        open_video(path, background=background)
    assert held() == 0

"""A slice of the matrix of timestamps: frame n is the n-th that FFmpeg decodes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import av
import pytest

from napari_deepmtj.video.opening import open_video

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load() -> ModuleType:
    """Return the script of the whole matrix as a module."""
    path = BENCHMARKS / "timestamp_clips.py"
    spec = importlib.util.spec_from_file_location("timestamp_clips", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


matrix = load()
CASES = {case.file: case for case in matrix.cases()}
#: One or two kinds of video for everything that is done to files and timestamps.
SLICE = [
    name
    for name in CASES
    if name.rpartition(".")[0].endswith(("_b", "videos", "ticks", "mpeg2"))
    or name in ("all_keys_mpeg4_no_b.avi", "plain_vp8.mkv", "plain_refresh.ts", "swapped_mjpeg.mkv")
    or name.startswith(("joined_", "edited_again", "begun_late_open"))
]


@pytest.mark.parametrize("name", SLICE)
def test_random_access_is_what_ffmpeg_decodes_in_order(name, tmp_path) -> None:
    case, path = CASES[name], tmp_path / name
    try:
        case.make(path)
    except av.error.EncoderNotFoundError as error:
        pytest.skip(f"this build of FFmpeg lacks an encoder: {error}")
    reading = matrix.read(path, case, reads=15)
    assert reading.wrong == []
    assert not any("cut off" in notice for notice in reading.notices)


@pytest.mark.parametrize(
    ("name", "notices"),
    [
        ("late_b.mkv", []),
        ("last_b.mkv", []),
        ("empty_middle_b.avi", []),
        ("edited_end_b.mp4", []),
        ("swapped_b.mp4", ["25 frames per second are assumed"]),
        ("empty_last_b.avi", ["its header says 52 frames, 48 hold a picture"]),
        ("repeated_b.mp4", ["repeat, go back or are missing in part", "25 frames per second"]),
        ("joined_back_b.ts", ["repeat, go back or are missing in part", "are assumed"]),
        ("cover_b.mkv", []),
        ("two_videos.mp4", ["holds 2 videos; the one of 208 x 48 px is read"]),
    ],
)
def test_what_is_said_of_timestamps(name, notices, tmp_path) -> None:
    path = tmp_path / name
    CASES[name].make(path)
    with open_video(path) as source:
        for _ in source.frames():
            pass
        assert len(source.notices) == len(notices), source.notices
        for notice, text in zip(source.notices, notices, strict=True):
            assert text in notice


def test_times_begin_at_zero_and_are_the_files(tmp_path) -> None:
    for name in ("late_b.mkv", "late_b.mp4", "negative_b.mp4", "wrapped_b.ts"):
        CASES[name].make(tmp_path / name)
        with open_video(tmp_path / name) as source:
            assert source.times.source == "container"
            assert source.times.seconds[0] == 0
            assert source.times.interval == pytest.approx(0.04, abs=0.001)

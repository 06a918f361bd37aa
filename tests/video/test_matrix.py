"""A slice of the reader's matrix: small clips of the codecs that other tests do not write."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

SLICE = [
    "mjpeg_limited.avi",
    "xvid_packed.avi",
    "mpeg4_anamorphic.mp4",
    "msmpeg4v2.avi",
    "msmpeg4v3_div3.avi",
    "wmv2_variable.wmv",
    "mpeg2_interlaced.mpg",
    "h264_edited_variable.mov",
    "h264_full_tagged.mov",
    "h264_gray_tagged.mp4",
    "h264_10_bit_full.mkv",
    "h264_rgb_limited_tag.mkv",
    "h264_turned_90.mp4",
    "h264_turned_270.mp4",
    "h264_mirrored.mov",
    "hevc_10_bit.mp4",
    "utvideo.avi",
    "png_palette.mov",
    "msvideo1.avi",
    "animation_15_bit.mov",
    "raw_rgb555.avi",
    "v210.mov",
    "variable.gif",
]


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    """The script of the whole matrix, as a module."""
    path = BENCHMARKS / "reader_matrix.py"
    spec = importlib.util.spec_from_file_location("reader_matrix", path)
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


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the reference is the ffmpeg program")
@pytest.mark.parametrize("name", SLICE)
def test_frames_times_and_grey_are_exact(name, matrix, tmp_path) -> None:
    [case] = [case for case in matrix.CASES if case.file == name]
    if (why := case.missing()) is not None:
        pytest.skip(why)
    small = case
    if case.tool == "pyav":  # how many frames libxvid keeps to itself depends on all of them
        small = replace(case, n=21 + 6 * (case.hidden > 0))
    if case.tool == "pyav" and case.aspect is None:  # MPEG-2 keeps the shape of the whole picture
        small = replace(small, width=192, height=176)
    small.write(tmp_path / name)
    result = matrix.measure(small, tmp_path / name, seed=0)
    assert result.wrong == []
    assert result.frames >= 18


def test_the_matrix_can_tell_wrong_from_right(matrix, tmp_path) -> None:
    [case] = [case for case in matrix.CASES if case.file == "raw_gray.avi"]
    small = replace(case, width=192, height=128, n=20)
    small.write(tmp_path / "a.avi")
    for wrong, why in (
        (replace(small, n=21), "20 frames instead of 21"),
        (replace(small, hidden=1), "shows 0 instead of 1"),
        (replace(small, rate=2 * small.rate), "times are off by"),
        (replace(small, colour="limited"), "levels off"),
        (replace(small, interlaced=True), "interlaced False"),
    ):
        found = matrix.measure(wrong, tmp_path / "a.avi", seed=0).wrong
        assert any(why in line for line in found), found

"""Attention stacks are written in one piece, say what they are, and are read back; old ones too."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_deepmtj.errors import ResultError
from napari_deepmtj.results.attention_file import AttentionInfo, AttentionWriter, read_attention

INFO = AttentionInfo(
    range(3, 21, 2), (4.5, 2.25), (10.5, -3.0), "level-2", "share of the attention", "vgg"
)


def test_maps_are_streamed_to_a_stack_and_read_back(tmp_path) -> None:
    maps = np.random.default_rng(0).random((9, 16, 32)).astype(np.float32) * 1e-7
    path = tmp_path / "a.mtj-attention.tif"
    with AttentionWriter(path, INFO) as writer:
        writer.append(maps[:4])
        assert not path.exists()
        writer.append(maps[4])
        writer.append(maps[5:])
        assert writer.written == 9
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 9
        assert not tiff.is_bigtiff
    found, info = read_attention(path)
    np.testing.assert_array_equal(found, maps)
    assert info == INFO
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_clip_that_ended_early_has_fewer_frames(tmp_path) -> None:
    with AttentionWriter(tmp_path / "a.tif", INFO) as writer:
        writer.append(np.ones((4, 2, 4)))
    _, info = read_attention(tmp_path / "a.tif")
    assert info == replace(INFO, frames=range(3, 11, 2))


def test_a_stack_of_the_first_schema_is_read(tmp_path) -> None:
    note = {
        "frames": {"start": 0, "stop": 2, "step": 1},
        "frame_px_per_map_px": {"x": 8.0, "y": 4.0},
        "first_map_px_in_frame_px": {"x": 3.5, "y": 1.5},
    }
    with tifffile.TiffWriter(tmp_path / "old.tif") as tiff:
        for description in (json.dumps(note), None):
            page = np.ones((8, 16), np.float32)
            tiff.write(page, photometric="minisblack", metadata=None, description=description)
    maps, info = read_attention(tmp_path / "old.tif")
    assert maps.shape == (2, 8, 16)
    unit = "share of each frame's own maximum"
    assert info == AttentionInfo(range(2), (4.0, 8.0), (1.5, 3.5), "combined", unit)


@pytest.mark.parametrize(
    ("description", "said"),
    [
        ("a picture", "no stack of attention maps"),
        ('{"frames": 3}', "no stack of attention maps"),
        (INFO.to_json().replace('"schema": 2', '"schema": 3'), "update napari-deepmtj"),
        (replace(INFO, frames=range(1)).to_json(), "2 pages"),
    ],
)
def test_other_stacks_are_refused(tmp_path, description, said) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        for text in (description, None):
            tiff.write(np.ones((2, 4), np.float32), metadata=None, description=text)
    with pytest.raises(ResultError, match=rf"^a\.tif: .*{said}"):
        read_attention(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ResultError, match=r"^a\.tif: "):
        read_attention(path)
    with pytest.raises(ResultError, match=r"^b\.tif: cannot be read"):
        read_attention(tmp_path / "b.tif")


def test_a_stack_too_large_for_classic_tiff_is_bigtiff(tmp_path) -> None:
    with AttentionWriter(tmp_path / "a.tif", replace(INFO, frames=range(10**9))) as writer:
        writer.append(np.zeros((2, 16, 32)))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_bigtiff


def test_a_stack_that_fails_leaves_nothing(tmp_path) -> None:
    path = tmp_path / "a.tif"

    def write(*maps: object) -> None:
        with AttentionWriter(path, INFO) as writer:
            for each in maps:
                writer.append(each)

    with pytest.raises(ValueError, match="convert"):
        write(np.zeros((4, 4)), "no map")
    with pytest.raises(ResultError, match="no map to save"):
        write()
    with pytest.raises(ResultError, match="do not follow"):
        write(np.zeros((4, 4)), np.zeros((5, 4)))
    assert list(tmp_path.iterdir()) == []

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.errors import ResultError
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.writer import VideoWriter


def ramp(height: int, width: int, shift: int) -> np.ndarray:
    """A smooth picture that codecs keep well, another one for every `shift`."""
    return (np.add.outer(np.arange(height), np.arange(width)) * 0.5 + 12 * shift).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.avi", "a.mp4"])
@pytest.mark.parametrize("size", [(64, 96), (63, 97)])
def test_grey_frames_come_back(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    frames = [ramp(*size, shift) for shift in range(6)]
    with VideoWriter(tmp_path / name, *size, rate=25) as writer:
        for frame in frames:
            writer.add(frame)
    with open_video(tmp_path / name) as source:
        assert source.n_frames == 6
        assert source.times.rate == pytest.approx(25)
        assert (source.height, source.width) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
        for made, seen in zip(frames, source.frames(), strict=True):
            difference = made.astype(int) - seen[: size[0], : size[1]]
            assert np.abs(difference).mean() < 1.5
            assert np.abs(difference).max() <= 10


def test_a_rate_that_is_no_whole_number(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 32, 32, rate=30000 / 1001) as writer:
        for shift in range(5):
            writer.add(ramp(32, 32, shift))
    with open_video(tmp_path / "a.mp4") as source:
        assert source.times.rate == pytest.approx(29.97, rel=1e-3)


def test_colours_are_kept(tmp_path: Path) -> None:
    import av

    red = np.zeros((32, 48, 3), np.uint8)
    red[..., 0] = 200
    with VideoWriter(tmp_path / "a.mp4", 32, 48, rate=10) as writer:
        writer.add(red)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        seen = next(container.decode(stream)).to_ndarray(format="rgb24")
    assert np.abs(seen.astype(int) - red).max() <= 8


def test_an_error_inside_leaves_no_file(tmp_path: Path) -> None:
    def write_one_and_stop() -> None:
        with VideoWriter(tmp_path / "a.mp4", 32, 32, 10) as writer:
            writer.add(ramp(32, 32, 0))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_one_and_stop()
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_size_or_type_are_refused(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.avi", 32, 32, 10) as writer:
        writer.add(ramp(32, 32, 0))
        with pytest.raises(ResultError, match="does not fit"):
            writer.add(ramp(32, 34, 0))
        with pytest.raises(ResultError, match="does not fit"):
            writer.add(np.zeros((32, 32)))


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultError, match="cannot be written"):
        VideoWriter(tmp_path / "file" / "a.mp4", 32, 32, 10)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]

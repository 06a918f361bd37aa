"""Video containers: the right frame, the right grey, the right time, whatever happens."""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.errors import CalibrationError, VideoError
from napari_deepmtj.video.ffmpeg import source as _av
from napari_deepmtj.video.grey import luma, luma_table
from napari_deepmtj.video.opening import VideoSource, open_video


def test_sequential_frames_are_all_there_in_order(clip, clip_folder, show_number) -> None:
    with open_video(clip_folder / clip.file) as source:
        assert isinstance(source, VideoSource)
        frames = list(source.frames())
        assert [show_number(frame) for frame in frames] == list(range(clip.n))
        assert source.n_frames == clip.n
        assert {frame.shape for frame in frames} == {clip.size} == {(source.height, source.width)}
        assert all("frame" in n for n in source.notices) or not source.notices


def test_random_access_equals_sequential(clip, clip_folder, monkeypatch) -> None:
    monkeypatch.setattr(_av, "CACHE_BYTES", 0)  # two frames: nearly every read decodes
    with open_video(clip_folder / clip.file) as source:
        expected = list(source.frames())
        order = np.random.default_rng(1).permutation(clip.n)
        for n in order:
            np.testing.assert_array_equal(source.read(int(n)), expected[n], err_msg=f"frame {n}")


def test_backward_scrubbing_within_a_group_decodes_once(clip_folder, clips, monkeypatch) -> None:
    decoded = []
    real = _av.grey_of
    monkeypatch.setattr(_av, "grey_of", lambda *a: decoded.append(1) or real(*a))
    n = clips["h264_long_gop.mp4"].n
    with open_video(clip_folder / "h264_long_gop.mp4") as source:
        for frame in reversed(range(n)):
            source.read(frame)
    assert len(decoded) == n


def test_times_are_those_of_the_file(clip, clip_folder) -> None:
    with open_video(clip_folder / clip.file) as source:
        # Containers round to 1 ms (Matroska, WMV) or 10 ms (GIF: 40 ms is exact).
        np.testing.assert_allclose(source.times.seconds, clip.seconds, atol=0.00051)
        assert source.times.source == ("container" if clip.timed else "assumed 25 Hz")
        assert bool(source.notices) != clip.timed
        assert source.times.uniform == (clip.milliseconds is None)


def test_lossless_grey_is_the_grey_written(clip_folder, clips, make_picture) -> None:
    lossless = [clip for clip in clips.values() if clip.lossless]
    assert len(lossless) > 8
    for clip in lossless:
        with open_video(clip_folder / clip.file) as source:
            for number, frame in enumerate(source.frames()):
                np.testing.assert_array_equal(frame, make_picture(number, *clip.size), clip.file)


def test_grey_agrees_with_ffmpeg_in_full_range(clip, clip_folder) -> None:
    path = clip_folder / clip.file
    with av.open(str(path)) as container, open_video(path) as source:
        for ours, theirs in zip(source.frames(), container.decode(video=0), strict=True):
            span = "JPEG" if source.metadata["colour_range"] == "full" else "MPEG"
            reference = theirs.to_ndarray(
                format="gray", src_color_range=span, dst_color_range="JPEG"
            )
            difference = np.abs(ours.astype(int) - reference)
            assert difference.max() <= 2
            assert difference.mean() <= 0.6


def test_lossy_grey_is_near_the_grey_written(clip, clip_folder, make_picture) -> None:
    with open_video(clip_folder / clip.file) as source:
        errors = [
            frame.astype(float) - make_picture(n, *clip.size)
            for n, frame in enumerate(source.frames())
        ]
        assert abs(np.mean(errors)) < 1.0  # a range taken for the other errs by 9


def test_colour_range_can_be_overridden(clip_folder) -> None:
    path = clip_folder / "h264_long_gop.mp4"
    with open_video(path) as plain, open_video(path, colour_range="full") as full:
        assert plain.metadata["colour_range"] == "limited"
        assert full.metadata["colour_range"] == "full"
        assert full.metadata["colour_range_from"] == "override"
        np.testing.assert_array_equal(luma_table("limited")[full.read(3)], plain.read(3))


def test_luma_tables() -> None:
    np.testing.assert_array_equal(luma_table("full"), np.arange(256))
    limited = luma_table("limited")
    assert [limited[0], limited[16], limited[17], limited[235], limited[255]] == [0, 0, 1, 255, 255]
    np.testing.assert_array_equal(luma_table("limited", 10)[::4][16:236], limited[16:236])


def test_grey_colours_come_back_exactly() -> None:
    grey = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(luma(np.stack([grey] * 3, axis=-1)), grey)
    assert luma(np.array([255, 0, 0], np.uint8)) == 76  # BT.601: 0.299 * 255 = 76.2


def test_frames_crop_at_the_source_and_step(clip_folder, show_number) -> None:
    with open_video(clip_folder / "xvid_b_frames.avi") as source:
        whole = list(source.frames(5, 50, 7))
        assert [show_number(frame) for frame in whole] == list(range(5, 50, 7))
        roi = Roi(33, 10, 71, 41)
        for cut, frame in zip(source.frames(5, 50, 7, roi), whole, strict=True):
            np.testing.assert_array_equal(cut, frame[10:51, 33:104])
        with pytest.raises(CalibrationError, match="reaches beyond"):
            source.frames(roi=Roi(100, 0, 100, 10))
        with pytest.raises(VideoError, match="step"):
            source.frames(step=0)


def test_tracking_does_not_disturb_scrubbing(clip_folder, show_number) -> None:
    with open_video(clip_folder / "h264_long_gop.mp4") as source:
        for n, frame in enumerate(source.frames(0, 60)):
            assert show_number(frame) == n
            assert show_number(source.read(119 - n)) == 119 - n


def test_three_threads_share_one_source(clip_folder, show_number, monkeypatch) -> None:
    monkeypatch.setattr(_av, "CACHE_BYTES", 0)
    wrong: list[object] = []

    def reader(seed: int) -> None:
        try:
            order = np.random.default_rng(seed).integers(0, 60, 80).tolist()
            wrong.extend(n for n in order if show_number(source.read(n)) != n)
            wrong.extend(n for n, f in enumerate(source.frames()) if show_number(f) != n)
        except BaseException as error:
            wrong.append(error)

    with open_video(clip_folder / "xvid_b_frames.avi") as source:
        threads = [threading.Thread(target=reader, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert wrong == []


def test_reading_after_closing_and_outside(clip_folder) -> None:
    source = open_video(clip_folder / "mjpeg.avi")
    for frame in (-1, 60, 10**9):
        with pytest.raises(VideoError, match=r"mjpeg.avi, frame .*60, numbered from 0"):
            source.read(frame)
    source.close()
    source.close()
    with pytest.raises(VideoError, match="closed"):
        source.read(0)
    with pytest.raises(VideoError, match="closed"):
        source.frames()
    assert source.metadata["codec"] == "mjpeg"  # facts survive


def test_frames_are_read_only(clip_folder) -> None:
    with (
        open_video(clip_folder / "mjpeg.avi") as source,
        pytest.raises(ValueError, match="read-only"),
    ):
        source.read(0)[0, 0] = 1


@pytest.mark.parametrize(
    "name",
    [
        "mjpeg.avi",
        "h264_long_gop.mp4",
        "h264_b_frames.avi",
        "xvid_b_frames.avi",
        "wmv2.wmv",
        "vp9.webm",
        "h264.ts",
        "raw_bgr.avi",
        "ffv1.mkv",
        "loop.gif",
    ],
)
def test_truncated_anywhere_gives_whole_frames_or_a_video_error(
    name, clip_folder, tmp_path, show_number
) -> None:
    data = (clip_folder / name).read_bytes()
    opened, errors = 0, []
    for cut in (1, 7, 40, 300, *(int(len(data) * f) for f in np.linspace(0.03, 0.9995, 14))):
        path = tmp_path / name
        path.write_bytes(data[:cut])
        try:
            with open_video(path) as source:
                numbers = [show_number(frame) for frame in source.frames()]
                if name.endswith((".ts", ".wmv")) and cut < len(data):
                    numbers = numbers[:-1]  # nothing in these says that the last one is half
                assert numbers == list(range(len(numbers)))
                assert len(numbers) <= source.n_frames
                opened += 1
                for n in {0, len(numbers) - 1, len(numbers) // 2} & set(range(len(numbers))):
                    assert show_number(source.read(n)) == n
        except VideoError as error:
            errors.append(str(error))
    assert opened >= 5
    assert all(message.startswith(name) and "\n" not in message for message in errors)


@pytest.mark.parametrize("name", ["mjpeg.avi", "h264_long_gop.mp4", "raw_gray.avi"])
def test_truncated_clip_says_where_it_ends(name, clip_folder, clips, tmp_path) -> None:
    data = (clip_folder / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 6 // 10])
    with open_video(tmp_path / name) as source, open_video(clip_folder / name) as whole:
        assert 10 < source.n_frames < whole.n_frames
        assert f"ends after {source.n_frames} of {whole.n_frames} frames" in source.notices[0]
        for ours, theirs in zip(source.frames(), whole.frames(0, source.n_frames), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_lost_frame_in_the_middle_is_left_out_with_a_notice(clip_folder, tmp_path) -> None:
    data = bytearray((clip_folder / "mjpeg.avi").read_bytes())
    with av.open(str(clip_folder / "mjpeg.avi")) as container:
        packet = [p for p in container.demux(video=0) if p.size][30]
        place = data.index(bytes(packet))
        data[place : place + packet.size] = bytes(packet.size)
    path = tmp_path / "damaged.avi"
    path.write_bytes(data)
    with open_video(path) as source:
        assert source.n_frames == 60
        assert [frame for frame, picture in source.numbered() if picture is None] == [30]
        assert "1 of 60 frames cannot be read (frame 30: damaged in the file)" in source.notices[0]
        with pytest.raises(VideoError, match=r"damaged.avi, frame 30: .*export"):
            source.read(30)
        with open_video(clip_folder / "mjpeg.avi") as whole:
            np.testing.assert_array_equal(source.read(31), whole.read(31))


def test_random_damage_never_raises_anything_else(clip_folder, tmp_path) -> None:
    rng = np.random.default_rng(3)
    for name in ("mjpeg.avi", "h264_long_gop.mp4", "wmv2.wmv", "vp9.webm", "h264.ts", "loop.gif"):
        original = np.frombuffer((clip_folder / name).read_bytes(), np.uint8)
        for _ in range(6):
            data = original.copy()
            data[rng.integers(0, len(data), 25)] = rng.integers(0, 256, 25)
            path = tmp_path / name
            path.write_bytes(data.tobytes())
            try:
                with open_video(path) as source:
                    for frame in source.frames():
                        assert frame.shape == (source.height, source.width)
                    source.read(source.n_frames - 1)
            except VideoError as error:
                assert name in str(error)  # noqa: PT017


def test_decoding_in_threads_shows_damage_as_tracking_does(
    clip_folder, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(_av.os, "cpu_count", lambda: 4)
    whole = np.frombuffer((clip_folder / "h264_long_gop.mp4").read_bytes(), np.uint8)
    path, rng = tmp_path / "damaged.mp4", np.random.default_rng(5)
    for _ in range(4):
        data = whole.copy()
        data[rng.integers(3000, len(data), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(data.tobytes())
        with open_video(path) as source:
            expected = dict(source.numbered())
            assert source._decoder.threads == 4
            for n in rng.permutation(len(expected)).tolist():
                if expected[n] is not None:
                    np.testing.assert_array_equal(source.read(n), expected[n], f"frame {n}")
                    continue
                with pytest.raises(VideoError, match=rf"frame {n}: is damaged or missing"):
                    source.read(n)
            assert 0 < len(source.unreadable) < len(expected)


def test_nothing_stays_open(clip_folder, tmp_path, clips) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes((clip_folder / "h264_long_gop.mp4").read_bytes()[:200])

    def work() -> None:
        for name in clips:
            with open_video(clip_folder / name) as source:
                source.read(20)
                unfinished = source.frames()
                next(unfinished)
                unfinished.close()
        with pytest.raises(VideoError):
            open_video(broken)

    work()
    ours = {str(tmp_path), str(clip_folder)}
    left = [file.path for file in psutil.Process().open_files()]
    assert not [path for path in left if str(Path(path).parent) in ours]


@pytest.mark.skipif(sys.platform == "win32", reason="no file can be called so there")
def test_a_path_that_looks_like_a_protocol_is_a_file(clip_folder, tmp_path, monkeypatch) -> None:
    shutil.copy(clip_folder / "mjpeg.avi", tmp_path / "concat:a|b.avi")
    monkeypatch.chdir(tmp_path)
    with open_video(Path("concat:a|b.avi")) as source:
        assert source.n_frames == 60


def test_the_last_frame_that_is_missing_is_told(clip_folder, tmp_path) -> None:
    """Matroska's last frame, and the end of a GIF's last picture, are missed by no demuxer."""
    for name, cut in (("ffv1.mkv", 3000), ("loop.gif", 40)):
        data = (clip_folder / name).read_bytes()
        (tmp_path / name).write_bytes(data[:-cut])
        with open_video(tmp_path / name) as source, open_video(clip_folder / name) as whole:
            assert whole.notices == ()
            assert 55 <= source.n_frames < 60
            assert "the file was cut off" in source.notices[0]
            last = source.n_frames - 1
            np.testing.assert_array_equal(source.read(last), whole.read(last))


def test_a_leap_leaves_out_frames_that_none_refers_to(clip_folder, clips, show_number) -> None:
    n = clips["h264_unreferred.mp4"].n
    with open_video(clip_folder / "h264_unreferred.mp4") as source:
        assert isinstance(source, _av.AvSource)
        source._decoder.threads = 2
        assert show_number(source.read(n - 10)) == n - 10
        assert len(source._cache) < n / 2
        for frame in (n - 1, n - 12, n - 11, 3, n - 30, n - 29):
            assert show_number(source.read(frame)) == frame

"""Opening by content, plain errors, and the side-car."""

from __future__ import annotations

import hashlib
import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.paths import clip_stem, result_path
from napari_deepmtj.errors import CalibrationError, VideoError
from napari_deepmtj.video.kinds import sniff
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, read_sidecar, sidecar_path, write_sidecar

KINDS = {"avi": "avi", "mp4": "mov", "mov": "mov", "mkv": "matroska", "webm": "matroska"} | {
    "wmv": "asf",
    "ts": "mpegts",
    "mpg": "mpeg",
    "264": "h264",
    "gif": "gif",
}


def test_kind_is_told_by_content_never_by_extension(clip, clip_folder, tmp_path) -> None:
    path = tmp_path / "export.txt"
    shutil.copy(clip_folder / clip.file, path)
    assert sniff(path) == KINDS[clip.file.rpartition(".")[2]]
    with open_video(str(path)) as source:
        assert (source.n_frames, source.name, source.path) == (clip.n, "export.txt", path)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("notes.avi", b"these are not the frames you are looking for\n" * 9, "is text"),
        ("empty.mp4", b"", "is empty"),
        ("noise.avi", bytes(range(3, 251)) * 4, "of no kind"),
        ("sound.avi", b"RIFF\x24\0\0\0WAVEfmt " + bytes(600), "of no kind"),
        ("scan.avi", bytes(128) + b"DICM" + bytes(100), "DICOM"),
        ("both.tif", b"II*\0" + bytes(124) + b"DICM" + bytes(100), "DICOM"),
        ("header.avi", b"RIFF\xff\xff\0\0AVI LIST" + bytes(50), "cannot be|holds no"),
        ("nothing.mp4", b"\0\0\0\x18ftypmp42" + bytes(200), "cannot be opened"),
        ("half.tif", b"II*\0\x08\0\0\0\x10", "TIFF"),
        ("half.png", b"\x89PNG\r\n\x1a\n\0\0\0", "picture"),
    ],
)
def test_what_is_no_video_is_one_clear_line(tmp_path, name, content, what) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(VideoError, match=what) as caught:
        open_video(path)
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    assert str(tmp_path) not in message


def test_missing_file_and_folder(tmp_path) -> None:
    with pytest.raises(VideoError, match=r"gone.avi: there is no such file; check"):
        open_video(tmp_path / "gone.avi")
    with pytest.raises(VideoError, match="is a folder without DICOM files and pictures; give"):
        open_video(tmp_path)


def test_hash_is_that_of_the_bytes(clip_folder) -> None:
    path = clip_folder / "mjpeg.avi"
    with open_video(path) as source:
        assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_picture_is_a_clip_of_one_frame(tmp_path, mode, make_picture) -> None:
    grey = make_picture(5)
    if mode == "1":
        grey = np.where(grey > 128, 255, 0).astype(np.uint8)
    image = Image.fromarray(grey)
    if mode == "P":
        image.putpalette([v for v in range(256) for _ in range(3)])
    path = tmp_path / "still.dat"
    image.convert(mode).save(path, format="PNG")
    with open_video(path) as source:
        assert (source.n_frames, source.times.known) == (1, False)
        np.testing.assert_array_equal(source.read(0), grey)


def test_jpeg_and_bmp(tmp_path, make_picture) -> None:
    grey = make_picture(9)
    Image.fromarray(grey).convert("RGB").save(tmp_path / "still.bmp")
    with open_video(tmp_path / "still.bmp") as source:
        np.testing.assert_array_equal(source.read(0), grey)
    for mode in ("L", "RGB"):
        Image.fromarray(grey).convert(mode).save(tmp_path / "still.jpg", quality=98)
        with open_video(tmp_path / "still.jpg") as source:
            assert np.abs(source.read(0).astype(int) - grey).max() <= 6


def test_sidecar_comes_with_the_clip(clip_folder, tmp_path) -> None:
    clip = shutil.copy(clip_folder / "mjpeg.avi", tmp_path / "a.avi")
    assert read_sidecar(clip) is None
    with open_video(clip) as source:
        assert (source.scale, source.roi) == (None, None)
    info = ClipInfo(
        Scale(0.07, 0.08, "calibration line"), Roi(10, 12, 80, 40, "detected (0.72)"), "left"
    )
    assert write_sidecar(clip, info) == tmp_path / "a.mtj-clip.json" == sidecar_path(clip)
    with open_video(clip) as source:
        assert source.scale == Scale(0.07, 0.08, "side-car (calibration line)")
        assert source.roi == Roi(10, 12, 80, 40, "side-car (detected (0.72))")
    read = read_sidecar(clip)
    assert read is not None
    assert read.distal_side == "left"
    write_sidecar(clip, read)
    assert read_sidecar(clip) == read  # the source does not grow
    assert json.loads(sidecar_path(clip).read_text())["schema"] == 1


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{", "is not JSON"),
        ("[]", "must be an object"),
        ('{"scale": null}', "lacks schema"),
        ('{"schema": 2}', "schema 2"),
        ('{"schema": 1, "colour": 3}', "unknown entry colour"),
        ('{"schema": 1, "roi": {"x": 1, "y": 2, "width": 3}}', "roi lacks height"),
        ('{"schema": 1, "roi": {"x": 1.5, "y": 2, "width": 3, "height": 4}}', "roi x must be"),
        ('{"schema": 1, "roi": {"x": 1, "y": 2, "width": 0, "height": 4}}', "empty"),
        (
            '{"schema": 1, "roi": {"x": 1, "y": 2, "width": 3, "height": 4, "source": 5}}',
            "the roi's source must be",
        ),
        (
            '{"schema": 1, "scale": {"x_mm_per_px": "a", "y_mm_per_px": 1, "source": "s"}}',
            "x_mm_per_px must be a number",
        ),
        (
            '{"schema": 1, "scale": {"x_mm_per_px": -1, "y_mm_per_px": 1, "source": "s"}}',
            "impossible",
        ),
        (
            '{"schema": 1, "scale": {"x_mm_per_px": 1, "y_mm_per_px": 1, "source": ""}}',
            "source must be",
        ),
        ('{"schema": 1, "distal_side": "up"}', "distal_side"),
        ('{"schema": 1, "colour_range": "tv"}', 'colour_range must be "full", "limited" or null'),
    ],
)
def test_malformed_sidecar_is_refused_by_name(clip_folder, tmp_path, content, what) -> None:
    clip = shutil.copy(clip_folder / "mjpeg.avi", tmp_path / "a.avi")
    sidecar_path(clip).write_text(content)
    with pytest.raises(CalibrationError, match=what) as caught:
        open_video(clip)
    assert str(caught.value).startswith("a.mtj-clip.json: ")
    assert "correct or delete it" in str(caught.value)


def test_a_region_may_leave_out_its_source(clip_folder, tmp_path) -> None:
    clip = shutil.copy(clip_folder / "mjpeg.avi", tmp_path / "a.avi")
    text = '{"schema": 1, "roi": {"x": 1, "y": 2, "width": 3, "height": 4}}'
    sidecar_path(clip).write_text(text)
    with open_video(clip) as source:
        assert source.roi == Roi(1, 2, 3, 4, "side-car")


@pytest.mark.parametrize("colour_range", ["full", "limited"])
def test_the_colour_range_of_the_sidecar_overrides_that_of_the_file(
    clip_folder, tmp_path, colour_range
) -> None:
    other = {"full": "limited", "limited": "full"}[colour_range]
    clip = shutil.copy(clip_folder / "mjpeg.avi", tmp_path / "a.avi")
    with open_video(clip, colour_range=colour_range) as source:
        expected = source.read(0)
    write_sidecar(clip, ClipInfo(colour_range=colour_range))
    with open_video(clip) as source:
        assert source.metadata["colour_range"] == colour_range
        assert source.metadata["colour_range_from"] == "override"
        np.testing.assert_array_equal(source.read(0), expected)
        np.testing.assert_array_equal(next(source.frames()), expected)
    with open_video(clip, colour_range=other) as source:  # what is asked for stands above it
        assert source.metadata["colour_range"] == other
        assert (source.read(0) != expected).any()


def test_a_colour_range_of_what_is_no_video_is_not_passed_over_in_silence(tmp_path) -> None:
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "still.png")
    write_sidecar(tmp_path / "still.png", ClipInfo(colour_range="limited"))
    with open_video(tmp_path / "still.png") as source:
        assert "colour range of its side-car" in source.notices[0]


def test_files_numbered_in_their_endings_share_no_sidecar(clip_folder, tmp_path) -> None:
    names = ["IM.0001", "IM.0002", "1.2.840.7"]
    for number, name in enumerate(names, start=1):
        clip = shutil.copy(clip_folder / "mjpeg.avi", tmp_path / name)
        write_sidecar(clip, ClipInfo(Scale.isotropic(number / 10, "given by hand")))
    for number, name in enumerate(names, start=1):
        with open_video(tmp_path / name) as source:
            assert source.scale.x_mm == number / 10
        assert result_path(tmp_path / name).name == f"{name}.mtj.csv"
    for folder in ("P1.rest", "P1.max", "a.zarr"):
        (tmp_path / folder).mkdir()
    stems = [clip_stem(tmp_path / folder) for folder in ("P1.rest", "P1.max", "a.zarr")]
    assert stems == ["P1.rest", "P1.max", "a"]


def test_sidecar_region_must_fit(clip_folder, tmp_path) -> None:
    clip = shutil.copy(clip_folder / "mjpeg.avi", tmp_path / "a.avi")
    write_sidecar(clip, ClipInfo(roi=Roi(100, 0, 200, 40)))
    with pytest.raises(CalibrationError, match="reaches beyond the 160 x 64 px"):
        open_video(clip)


def test_a_region_beyond_the_picture_names_the_sidecar(clip_folder, tmp_path) -> None:
    clip = Path(shutil.copy(next(clip_folder.glob("*.gif")), tmp_path))
    write_sidecar(clip, ClipInfo(roi=Roi(0, 0, 9000, 40)))
    with pytest.raises(CalibrationError, match=rf"{clip.stem}\.mtj-clip\.json.*reaches beyond"):
        open_video(clip)


def test_pixels_that_are_not_square_are_told(tmp_path) -> None:
    clip = tmp_path / "wide.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for _ in range(3):
            grey = np.full((48, 64), 90, np.uint8)
            picture = av.VideoFrame.from_ndarray(grey, format="gray")
            container.mux(stream.encode(picture.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    with open_video(clip) as source:
        assert any("4/3 times as wide as high" in notice for notice in source.notices)

"""DICOM: how frames are wrapped, damage, files without preamble, times, and videos inside."""

from __future__ import annotations

import hashlib
import re
import struct
import zlib

import numpy as np
import pytest
from dicom_clips import (
    HEIGHT,
    LOSSLESS,
    NATIVE,
    US,
    WIDTH,
    N,
    opened,
    ramps,
    rle,
    write,
)
from pydicom.uid import (
    HEVCMP51,
    MPEG2MPML,
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.dicom import streams as _part
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar


@pytest.mark.parametrize("table", [True, False], ids=["offset table", "no table"])
def test_frames_in_several_fragments(tmp_path, table) -> None:
    grey = ramps()
    pictures = [LOSSLESS[JPEGLSLossless](g) for g in grey]
    path = write(
        tmp_path / "a",
        pictures,
        "MONOCHROME2",
        JPEGLSLossless,
        shape=grey.shape,
        fragments=3,
        table=table,
    )
    opened(path, grey)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - len(pictures[-1]) // 2])
    assert "ends after 3 of 4 frames" in opened(path, grey[:3]).notices[0]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_a_file_that_was_cut_off_is_used_up_to_its_end(tmp_path, syntax) -> None:
    grey = ramps()
    pixels = grey if syntax == ExplicitVRLittleEndian else [rle(g) for g in grey]
    path = write(tmp_path / "a", pixels, syntax=syntax, shape=grey.shape, FrameTime=20)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - HEIGHT * WIDTH - 100])
    source = opened(path, grey[:2])
    assert "ends after 2 of 4 frames: the file was cut off" in source.notices[0]
    assert source.times.rate == pytest.approx(50)
    path.write_bytes(whole[: whole.rindex(b"OB") + 100])
    with pytest.raises(VideoError, match=r"^a: holds no complete picture"):
        open_video(path)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.keyword)
def test_header_and_picture_must_agree(tmp_path, syntax) -> None:
    pictures = [LOSSLESS[syntax](g) for g in ramps()]
    for height in (HEIGHT + 1, 60000):
        shape = (N, height, WIDTH)
        path = write(tmp_path / "a", pictures, "MONOCHROME2", syntax, shape=shape)
        with pytest.raises(VideoError, match=r"the header says 40 x|smaller than its header") as e:
            open_video(path)
        assert str(e.value).startswith("a, frame 0: is a picture ")


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, JPEGLossless])
def test_a_picture_that_says_it_is_huge_is_not_decoded(tmp_path, syntax) -> None:
    picture = LOSSLESS[syntax](ramps()[0])
    at = picture.find(struct.pack(">LL", WIDTH, HEIGHT)) + 1
    if syntax != JPEG2000Lossless:
        at = picture.find(struct.pack(">HH", HEIGHT, WIDTH))
    huge = picture[:at] + b"\xff\xff" + picture[at + 2 :]
    path = write(tmp_path / "a", [huge], "MONOCHROME2", syntax, shape=(1, HEIGHT, WIDTH))
    with pytest.raises(VideoError, match="the header says 40 x 24"):
        open_video(path)


def test_an_unreadable_frame_is_named_and_left_out(tmp_path) -> None:
    grey = ramps()
    pictures = [LOSSLESS[JPEGLSLossless](g) for g in grey]
    pictures[2] = pictures[2][:40] + bytes(len(pictures[2]) - 40)
    path = write(tmp_path / "a", pictures, "MONOCHROME2", JPEGLSLossless, shape=grey.shape)
    with open_video(path) as source:
        with pytest.raises(VideoError, match=rf"^{source.name}, frame 2: is a damaged picture"):
            source.read(2)
        numbered = list(source.numbered())
        assert [frame for frame, picture in numbered if picture is None] == [2]
        for frame in (0, 1, *range(3, len(grey))):
            np.testing.assert_array_equal(numbered[frame][1], grey[frame])
        assert f"1 of {len(grey)} frames cannot be read (frame 2: is a" in source.notices[-1]


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "1 samples of 32 in 32 bits"),
        ({"SamplesPerPixel": 4}, "4 samples of 8 in 8 bits"),
        ({"PhotometricInterpretation": "CMYK"}, "8 or 16 bits of grey, palette, RGB or YBR"),
        ({"HighBit": 9}, "8 or 16 bits of grey"),
        ({"Rows": 0}, "DICOM without a picture"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "structure is damaged"),
    ],
)
def test_what_is_not_read_is_one_clear_line(tmp_path, tags, what) -> None:
    path = write(tmp_path / "a.dcm", ramps(), **tags)
    with pytest.raises(VideoError, match=what) as caught:
        open_video(path)
    assert str(caught.value).startswith("a.dcm: ")


def test_a_deflated_file_is_inflated_only_as_far_as_needed(tmp_path, monkeypatch) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (40, HEIGHT, WIDTH), np.uint8)
    path = write(tmp_path / "a", grey, syntax=DeflatedExplicitVRLittleEndian)
    monkeypatch.setattr(_part, "_CHECKPOINT", 2000)
    monkeypatch.setattr(_part, "_BLOCK", 700)
    monkeypatch.setattr(_part, "_PACKED", 90)
    source = opened(path, grey)
    assert source.metadata["codec"] == "Deflated Explicit VR Little Endian"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with open_video(path) as source:
        assert 10 < source.n_frames < 30
        assert f"ends after {source.n_frames} of 40 frames" in source.notices[0]
        np.testing.assert_array_equal(list(source.frames()), grey[: source.n_frames])


def test_a_deflated_bomb_is_refused_before_it_goes_off(tmp_path) -> None:
    path = write(
        tmp_path / "a", ramps(), syntax=DeflatedExplicitVRLittleEndian, NumberOfFrames=10**7
    )
    with open_video(path) as source:
        assert source.n_frames == N  # what is promised is not there
    body = path.read_bytes()
    start = body.index(b"UL\4\0") + 8
    start += int.from_bytes(body[start - 4 : start], "little")
    header = zlib.decompress(body[start:], -zlib.MAX_WBITS)
    at = header.rindex(b"OB") + 4  # the length of the pixel data
    header = header[:at] + (2**31).to_bytes(4, "little") + header[at + 4 :]
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path.write_bytes(body[:start] + squeeze.compress(header) + squeeze.flush())
    with pytest.raises(VideoError, match="deflated, and larger than 1 GiB"):
        open_video(path)


@pytest.mark.parametrize("meta", [True, False])
@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.keyword)
def test_files_without_preamble(tmp_path, syntax, meta) -> None:
    grey = ramps()
    path = write(tmp_path / "a", grey, syntax=syntax, SOPClassUID=US, SOPInstanceUID="1.2.3")
    body = path.read_bytes()[132:]
    path.write_bytes(body if meta else body[12 + int.from_bytes(body[8:12], "little") :])
    if meta or syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        opened(path, grey)
    else:
        with pytest.raises(VideoError, match="of no kind that is known"):
            open_video(path)


def test_what_only_begins_like_dicom_is_none(tmp_path) -> None:
    for content in (
        bytes(1000),
        b"\x08\0\5\0" * 200,  # tags that do not increase
        b"\x08\0\5\0CS\7\0" + bytes(900),  # an odd length
        b"\x02\0\1\0" + bytes(900),  # no representation
        b"\x08\0\5\0\2\0\0\0AB\x08\0\6\0\2\0\0\0AB\x11\0\6\0\2\0\0\0AB" + bytes(900),
    ):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(VideoError, match="of no kind that is known"):
            open_video(tmp_path / "a")


def test_pictureless_files(tmp_path) -> None:
    path = write(tmp_path / "a", ramps())
    path.write_bytes(path.read_bytes().partition(b"\xe0\x7f\x10\0OB")[0])
    with pytest.raises(VideoError, match="DICOM without a picture"):
        open_video(path)


@pytest.mark.parametrize(
    ("tags", "seconds", "source", "notice"),
    [
        (
            {"FrameTimeVector": [0, 40, 30, 50], "FrameTime": 40, "CineRate": 24},
            [0, 0.04, 0.07, 0.12],
            "DICOM frame time vector",
            None,
        ),
        ({"FrameTime": 40, "CineRate": 26}, [0, 0.04, 0.08, 0.12], "DICOM frame time", None),
        (
            {"FrameTime": 40, "CineRate": 10},
            [0, 0.04, 0.08, 0.12],
            "DICOM frame time",
            "frame time says 25 frames per second, its cine rate 10; the frame time is used",
        ),
        (
            {"FrameTime": "0.04", "CineRate": 25},
            [0, 0.04, 0.08, 0.12],
            "DICOM cine rate",
            r"frame time says 25000 frames per second, its cine rate 25; the cine rate is used",
        ),
        (
            {"FrameTimeVector": [0, 0.04, 0.04, 0.04], "CineRate": 25},
            [0, 0.04, 0.08, 0.12],
            "DICOM cine rate",
            "frame time vector says .* the cine rate is used",
        ),
        (
            {"FrameTime": 40000, "CineRate": 25},
            [0, 0.04, 0.08, 0.12],
            "DICOM cine rate",
            "frame time says 0.025 frames per second, its cine rate 25; the cine rate is used",
        ),
        (
            {"FrameTime": 40, "CineRate": 25000},
            [0, 0.04, 0.08, 0.12],
            "DICOM frame time",
            "the frame time is used: check it",
        ),
        (
            {"FrameTime": "0.04"},
            [0, 0.00004, 0.00008, 0.00012],
            "DICOM frame time",
            r"25000 frames per second, which no scanner makes; check the times",
        ),
        ({"CineRate": 10}, [0, 0.1, 0.2, 0.3], "DICOM cine rate", None),
        ({"FrameTime": 0, "CineRate": 10}, [0, 0.1, 0.2, 0.3], "DICOM cine rate", None),
        ({}, [0, 1, 2, 3], "none", "nothing of when its frames were taken"),
        (
            {"FrameTimeVector": [0, 40, 30], "FrameTime": 40},
            [0, 0.04, 0.08, 0.12],
            "DICOM frame time",
            r"cut off \(3 of 4\) and is not used",
        ),
        (
            {"FrameTimeVector": [0, 40, 0, 40], "CineRate": 10},
            [0, 0.1, 0.2, 0.3],
            "DICOM cine rate",
            "does not increase and is not used",
        ),
    ],
)
def test_times(tmp_path, tags, seconds, source, notice) -> None:
    grey = ramps()
    clip = opened(write(tmp_path / "a", grey, **tags), grey)
    assert clip.times.source == source
    np.testing.assert_allclose(clip.times.seconds, seconds)
    if notice is None:
        assert clip.notices == ()
    else:
        assert re.search(notice, clip.notices[0])


@pytest.mark.parametrize(
    ("syntax", "file", "codec", "kind"),
    [
        (MPEG2MPML, "mpeg2.mpg", "mpeg2video", "mpeg"),
        (MPEG4HP41, "h264_long_gop.mp4", "h264", "mov"),
        (MPEG4HP41, "h264.ts", "h264", "mpegts"),
        (MPEG4HP41, "h264.264", "h264", "h264"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 3])
def test_video_inside(tmp_path, clip_folder, clips, syntax, file, codec, kind, pieces) -> None:
    clip = clips[file]
    stream = (clip_folder / file).read_bytes()
    path = write(
        tmp_path / "a",
        [stream + bytes(len(stream) % 2)],
        "YBR_PARTIAL_420",
        syntax,
        shape=(clip.n, *clip.size),
        fragments=pieces,
        FrameTime=40,
    )
    with open_video(path) as source, open_video(clip_folder / file) as plain:
        assert source.metadata["codec"] == codec
        assert source.metadata["container"] == f"dicom ({kind})"
        assert source.name == f"dicom-{hashlib.sha256(path.read_bytes()).hexdigest()[:10]}"
        assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert source.path == path
        assert source.times.source == "DICOM frame time"
        assert source.times.rate == pytest.approx(25)
        assert source.notices == ()
        assert source.n_frames == plain.n_frames == clip.n
        for frame in (0, clip.n - 1, clip.n // 2, 3):
            np.testing.assert_array_equal(source.read(frame), plain.read(frame))
        assert len(list(source.frames())) == clip.n
    write_sidecar(path, ClipInfo(colour_range="full"))
    with open_video(path) as source, open_video(clip_folder / file, colour_range="full") as plain:
        assert source.metadata["colour_range_from"] == "override"
        np.testing.assert_array_equal(source.read(3), plain.read(3))


@pytest.mark.parametrize(
    ("codec", "container", "syntax", "options"),
    [
        ("libx265", "hevc", HEVCMP51, {"x265-params": "log-level=none"}),
        ("mpeg2video", "mpeg2video", MPEG2MPML, {"b:v": "2M"}),
    ],
)
def test_bare_stream_inside(
    tmp_path, clips, show_number, codec, container, syntax, options
) -> None:
    clip = type(clips["h264.264"])(
        "bare", codec, "yuv420p", n=30, b_frames=2, options=options, container=container
    )
    clip.write(tmp_path / "bare")
    stream = (tmp_path / "bare").read_bytes()
    path = write(
        tmp_path / "a",
        [stream + bytes(len(stream) % 2)],
        "YBR_PARTIAL_420",
        syntax,
        shape=(30, *clip.size),
        CineRate=20,
    )
    with open_video(path) as source:
        assert [show_number(source.read(n)) for n in (29, 0, 7)] == [29, 0, 7]
        assert [show_number(frame) for frame in source.frames()] == list(range(30))
        assert (source.times.source, source.notices) == ("DICOM cine rate", ())


def test_video_inside_without_times_has_those_of_its_container(tmp_path, clip_folder) -> None:
    stream = (clip_folder / "h264_variable.mp4").read_bytes()
    path = write(
        tmp_path / "a",
        [stream + bytes(len(stream) % 2)],
        "YBR_PARTIAL_420",
        HEVCMP51,
        shape=(70, 64, 160),
    )
    with open_video(path) as source, open_video(clip_folder / "h264_variable.mp4") as plain:
        np.testing.assert_array_equal(source.times.seconds, plain.times.seconds)
        assert source.notices == (f"{source.name}: the header says 70 frames, there are 60",)
    path.write_bytes(path.read_bytes().replace(b"ftyp", b"fyyp").replace(b"moov", b"mmmv"))
    with pytest.raises(VideoError, match=r"^a: "):
        open_video(path)

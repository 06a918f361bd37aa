"""DICOM files that hold other pictures than they say: more of them, or of other colours."""

from __future__ import annotations

import re

import imagecodecs
import numpy as np
import pytest
from dicom_clips import HEIGHT, LOSSLESS, NATIVE, WIDTH, colours, jpeg, opened, ramps, write
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.video.opening import open_video

N = 6


@pytest.mark.parametrize("said", [4, 1, ""])
@pytest.mark.parametrize("syntax", NATIVE)
def test_all_native_pictures_are_read_and_told(syntax, said, tmp_path) -> None:
    grey = ramps(N, 23, 41)  # an odd number of bytes a picture
    clip = opened(write(tmp_path / "a", grey, syntax=syntax, NumberOfFrames=said), grey)
    says = f"says {said}" if said else "does not say how many"
    assert f"{N} pictures are there, the file {says}; all are read" in clip.notices[0]


@pytest.mark.parametrize("said", [4, 1, ""])
@pytest.mark.parametrize(
    ("syntax", "table", "fragments"),
    [
        (syntax, *how)
        for syntax in (RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)
        for how in ((True, 1), (False, 1), (True, 2))
        if syntax != RLELossless or how[1] == 1  # run-length encoding never parts a picture
    ],
)
def test_all_compressed_pictures_are_read_and_told(
    syntax, table, fragments, said, tmp_path
) -> None:
    grey = ramps(N)
    pictures = [LOSSLESS[syntax](picture) for picture in grey]
    path = write(
        tmp_path / "a",
        pictures,
        syntax=syntax,
        shape=grey.shape,
        table=table,
        fragments=fragments,
        NumberOfFrames=said,
    )
    clip = opened(path, grey)
    says = f"says {said}" if said else "does not say how many"
    assert f"{N} pictures are there, the file {says}; all are read" in clip.notices[0]


def test_a_rest_that_is_no_whole_picture_is_not_taken_for_one(tmp_path) -> None:
    grey = ramps(N)
    path = write(tmp_path / "a", grey, NumberOfFrames=4)
    data = path.read_bytes()
    more = grey.nbytes + 100
    at = data.index(b"\xe0\x7f\x10\0OB")
    path.write_bytes(data[: at + 8] + more.to_bytes(4, "little") + data[at + 12 :] + bytes(100))
    with open_video(path) as source:
        assert source.n_frames == 4


def test_one_picture_in_several_fragments_is_one(tmp_path) -> None:
    grey = ramps(1)
    pictures = [LOSSLESS[JPEGLSLossless](grey[0])]
    for said in (1, ""):
        path = write(
            tmp_path / "a",
            pictures,
            syntax=JPEGLSLossless,
            shape=grey.shape,
            fragments=3,
            NumberOfFrames=said,
        )
        assert opened(path, grey).n_frames == 1


def jpegs_of(pictures, **options) -> list[bytes]:
    return [jpeg(picture, **options) for picture in pictures]


def adobe_rgb(picture) -> bytes:
    """Return a JPEG picture whose Adobe segment says that it is RGB."""
    plain = jpeg(picture, colorspace="RGB", outcolorspace="RGB")
    segment = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
    return plain if b"Adobe" in plain else plain[:2] + segment + plain[2:]


@pytest.mark.parametrize(
    ("photometric", "syntax", "encode", "told"),
    [
        ("RGB", JPEGBaseline8Bit, jpeg, "say that their colours are YBR, the header says RGB"),
        ("YBR_FULL_422", JPEGBaseline8Bit, adobe_rgb, "colours are RGB, the header says YBR_FULL"),
        ("YBR_FULL", JPEGBaseline8Bit, adobe_rgb, "colours are RGB, the header says YBR_FULL"),
        ("MONOCHROME2", JPEGBaseline8Bit, jpeg, "have 3 samples a pixel, the header says 1"),
        (
            "RGB",
            JPEGBaseline8Bit,
            lambda p: jpeg(p[..., 1].copy()),
            "have 1 samples a pixel, the header says 3",
        ),
        (
            "YBR_FULL_422",
            JPEGBaseline8Bit,
            lambda p: jpeg(p[..., 1].copy()),
            "have 1 samples a pixel, the header says 3",
        ),
        (
            "RGB",
            JPEGLSLossless,
            lambda p: imagecodecs.jpegls_encode(p[..., 1].copy()),
            "have 1 samples a pixel, the header says 3",
        ),
    ],
)
def test_jpeg_pictures_that_contradict_the_header_are_told(
    photometric, syntax, encode, told, tmp_path
) -> None:
    pictures = [encode(np.repeat(picture[..., None], 3, axis=2)) for picture in ramps()]
    path = write(
        tmp_path / "a", pictures, photometric, syntax, shape=(len(pictures), HEIGHT, WIDTH)
    )
    with open_video(path) as source:
        assert any(told in notice for notice in source.notices), source.notices
        assert np.abs(source.read(1).astype(int) - ramps()[1]).mean() < 20


@pytest.mark.parametrize(
    ("photometric", "pictures"),
    [
        ("YBR_FULL_422", jpegs_of(colours())),
        ("RGB", [jpeg(p, colorspace="RGB", outcolorspace="RGB") for p in colours()]),
        ("MONOCHROME2", jpegs_of(ramps())),
    ],
)
def test_jpeg_pictures_that_are_as_the_header_says_are_not_told(
    photometric, pictures, tmp_path
) -> None:
    path = write(
        tmp_path / "a",
        pictures,
        photometric,
        JPEGBaseline8Bit,
        shape=(len(pictures), HEIGHT, WIDTH),
        FrameTime=40,
    )
    with open_video(path) as source:
        assert source.notices == ()


def region(mm: float) -> list:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0 = item.RegionLocationMinY0 = 0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = 39, 29
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = mm / 10
    return [item]


@pytest.mark.parametrize(
    ("tags", "scale", "told"),
    [
        (
            {"PixelSpacing": [0.3, 0.2]},
            None,
            r"0.2 x 0.3 mm \(x, y\), but .* give the scale 0.2,0.3",
        ),
        (
            {"PixelSpacing": [0.3, 0.3], "SequenceOfUltrasoundRegions": region(0.2)},
            0.2,
            r"0.3 x 0.3 mm \(x, y\), its ultrasound region says 0.2 x 0.2; the region is used",
        ),
        ({"PixelSpacing": [0.2, 0.2], "SequenceOfUltrasoundRegions": region(0.2)}, 0.2, None),
        ({"PixelSpacing": [0, 0]}, None, None),
        ({"PixelSpacing": ""}, None, None),
    ],
)
def test_pixel_spacing_is_offered_and_never_taken(tags, scale, told, tmp_path) -> None:
    pixels = ramps(height=30, width=40)  # 6 x 8 mm
    path = write(tmp_path / "a", pixels, syntax=ExplicitVRLittleEndian, FrameTime=40, **tags)
    with open_video(path) as source:
        wanted = None if scale is None else Scale.isotropic(scale, "DICOM region")
        assert source.scale == wanted or source.scale.same_as(wanted)
        assert len(source.notices) == (told is not None)
        assert told is None or re.search(told, source.notices[0])

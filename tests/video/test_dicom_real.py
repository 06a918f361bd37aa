"""Real recordings in DICOM, held against other decoders and against what is known of each."""

from __future__ import annotations

import io
import re
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.pixels import pixel_array

from napari_deepmtj.video.opening import open_video

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "real" / "dicom"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real recordings at {REAL}")


def frames_of(name: str) -> np.ndarray:
    with open_video(REAL / name) as source:
        return np.array(list(source.frames()))


def test_real_files_that_show_the_same_give_the_same() -> None:
    def same(one: str, other: str) -> None:
        np.testing.assert_array_equal(frames_of(one), frames_of(other))

    same("US1_J2KR.dcm", "US1_UNCR.dcm")
    same("US1_J2KI.dcm", "US1_UNCI.dcm")
    same("OBXXXX1A_rle_2frame.dcm", "OBXXXX1A_2frame.dcm")
    same("gdcm-US-ALOKA-16_big.dcm", "gdcm-US-ALOKA-16.dcm")


def test_real_palettes_and_codecs_against_other_decoders() -> None:
    for name in ("0020.DCM", "examples_palette.dcm", "OBXXXX1A.dcm"):
        dataset = pydicom.dcmread(REAL / name)
        tables = [
            np.frombuffer(dataset[f"{colour}PaletteColorLookupTableData"].value, "<u2") >> 8
            for colour in ("Red", "Green", "Blue")
        ]
        stored = pixel_array(REAL / name).reshape(-1, dataset.Rows, dataset.Columns)
        red, green, blue = (table[stored].astype(float) for table in tables)
        expected = 0.299 * red + 0.587 * green + 0.114 * blue
        assert np.abs(frames_of(name) - expected).max() < 0.501
    dataset = pydicom.dcmread(REAL / "examples_ybr_color.dcm")
    frames = frames_of("examples_ybr_color.dcm")
    assert len(frames) == 30
    for n, data in enumerate(generate_frames(dataset.PixelData, number_of_frames=30)):
        image = Image.open(io.BytesIO(data))
        image.draft("L", image.size)
        np.testing.assert_array_equal(frames[n], np.array(image))
    dataset = pydicom.dcmread(REAL / "JPGLosslessP14SV1_1s_1f_8b.dcm")
    data = next(generate_frames(dataset.PixelData, number_of_frames=1))
    lossless = frames_of("JPGLosslessP14SV1_1s_1f_8b.dcm")[0]
    np.testing.assert_array_equal(lossless, imagecodecs.ljpeg_decode(data))


@pytest.mark.parametrize(
    ("name", "roi", "mm", "notice"),
    [
        ("examples_ybr_color.dcm", None, None, "84,31 to 595,414 does not fit .* 320 x 240"),
        ("examples_palette.dcm", None, None, "does not fit the picture of 800 x 350"),
        ("OBXXXX1A_2frame.dcm", "120,60,680,459", 0.262288, None),
        ("OBXXXX1A_rle_2frame.dcm", "120,60,680,459", 0.262288, None),
        ("JPGLosslessP14SV1_1s_1f_8b.dcm", "14,38,997,721", 0.254767, None),
        ("gdcm-US-ALOKA-16.dcm", None, 0.382653, "2 ultrasound regions of like size"),
        ("0020.DCM", None, None, None),
        ("US1_UNCI.dcm", None, None, None),
    ],
)
def test_traps_of_real_files(name, roi, mm, notice) -> None:
    with open_video(REAL / name) as source:
        assert (None if source.roi is None else str(source.roi)) == roi
        assert (source.scale is None) == (mm is None)
        assert mm is None or source.scale.x_mm == pytest.approx(mm, rel=1e-5)
        told = [n for n in source.notices if "region" in n]
        assert bool(told) == (notice is not None)
        assert notice is None or re.search(notice, told[0])


@pytest.mark.parametrize(
    ("name", "n", "rate"),
    [("0020.DCM", 11, 1000 / 62.727272), ("examples_ybr_color.dcm", 30, 1000 / 33.333)],
)
def test_real_frame_times(name, n, rate) -> None:
    with open_video(REAL / name) as source:
        assert source.n_frames == n
        assert source.times.source == "DICOM frame time"
        assert source.times.rate == pytest.approx(rate)

"""Ultrasound DICOM: every photometric kind and codec, windows and tables, to the grey level."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np
import pytest
from dicom_clips import (
    HEIGHT,
    LOSSLESS,
    NATIVE,
    WIDTH,
    N,
    bt601,
    colours,
    jpeg,
    opened,
    ramps,
    rle,
    write,
)
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.opening import open_video


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (5, 7)], ids=["even", "odd"])
def test_grey_of_8_bit(tmp_path, syntax, size) -> None:
    grey = ramps(N, *size)
    source = opened(write(tmp_path / "a", grey, syntax=syntax), grey)
    assert source.metadata["container"] == "dicom"
    opened(write(tmp_path / "b", grey, "MONOCHROME1", syntax), 255 - grey)


def test_grey_of_8_bit_in_big_endian_words(tmp_path) -> None:
    grey = ramps(N, 5, 7)
    words = np.append(grey.ravel(), np.zeros(grey.size % 2, np.uint8)).reshape(-1, 2)[:, ::-1]
    path = write(tmp_path / "a", grey, syntax=ExplicitVRBigEndian)
    data = path.read_bytes()
    at = data.rindex(b"OB")
    path.write_bytes(data[:at] + b"OW" + data[at + 2 : -words.size] + words.tobytes())
    opened(path, grey)


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.keyword)
@pytest.mark.parametrize("bits", [12, 16])
def test_window_of_the_file_for_deep_grey(tmp_path, syntax, bits) -> None:
    values = ramps(bits=bits)
    window = {"WindowCenter": [2000, 7], "WindowWidth": [3001, 8]}
    expected = np.floor(np.clip((values - 1999.5) / 3000 + 0.5, 0, 1) * 255 + 0.5).astype(np.uint8)
    path = write(tmp_path / "a", values, syntax=syntax, bits=bits, **window)
    source = opened(path, expected)
    assert source.metadata["grey_window"] == [499.5, 3500.5]
    path = write(tmp_path / "a", values, "MONOCHROME1", syntax, bits=bits, **window)
    inverse = np.clip(1 - ((values - 1999.5) / 3000 + 0.5), 0, 1)
    opened(path, np.floor(inverse * 255 + 0.5).astype(np.uint8))


@pytest.mark.parametrize(
    ("function", "level"),
    [
        ("LINEAR_EXACT", lambda v: (v - 300) / 800 + 0.5),
        ("SIGMOID", lambda v: 1 / (1 + np.exp(-4 * (v - 300) / 800))),
    ],
)
def test_other_windows_on_rescaled_signed_numbers(tmp_path, function, level) -> None:
    values = ramps(bits=12).astype(np.int16) - 2048
    tags = {"WindowCenter": 300, "WindowWidth": 800, "VOILUTFunction": function}
    tags |= {"RescaleSlope": "0.5", "RescaleIntercept": "100", "PixelRepresentation": 1}
    expected = np.clip(level(values * 0.5 + 100), 0, 1)
    path = write(tmp_path / "a", values, bits=12, **tags)
    opened(path, np.floor(expected * 255 + 0.5).astype(np.uint8))


def test_without_a_window_deep_grey_gets_one_for_the_whole_clip(tmp_path) -> None:
    values = (ramps(bits=12) // 4 + 100).astype(np.uint16)
    values[2] //= 2
    with open_video(write(tmp_path / "a", values, bits=12)) as source:
        low, high = source.metadata["grey_window"]
        expected = np.clip(np.floor((values - low) * 255 / (high - low) + 0.5), 0, 255)
        np.testing.assert_array_equal(list(source.frames()), expected.astype(np.uint8))
        assert "deeper than 8 bit" in source.notices[-1]
    with open_video(write(tmp_path / "a", values, "MONOCHROME1", bits=12)) as source:
        assert source.metadata["grey_window"] == pytest.approx([4095 - high, 4095 - low])


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda syntax: syntax.keyword)
def test_grey_of_colours(tmp_path, syntax) -> None:
    rgb = colours()
    opened(write(tmp_path / "a", rgb, "RGB", syntax), bt601(rgb))
    planes = np.ascontiguousarray(np.moveaxis(rgb, -1, 1)).reshape(rgb.shape)
    opened(write(tmp_path / "a", planes, "RGB", syntax, PlanarConfiguration=1), bt601(rgb))
    opened(write(tmp_path / "a", rgb, "YBR_FULL", syntax), rgb[..., 0])


def test_grey_of_halved_colours(tmp_path) -> None:
    grey = ramps()
    samples = np.full((N, HEIGHT, WIDTH // 2, 4), 90, np.uint8)
    samples[..., :2] = grey.reshape(N, HEIGHT, -1, 2)
    path = write(tmp_path / "a", samples, "YBR_FULL_422", Columns=WIDTH)
    opened(path, grey)
    limited = np.clip((grey.astype(float) - 16) * 255 / 219 + 0.5, 0, 255).astype(np.uint8)
    opened(write(tmp_path / "a", samples, "YBR_PARTIAL_422", Columns=WIDTH), limited)


@pytest.mark.parametrize("syntax", [*NATIVE, RLELossless])
@pytest.mark.parametrize(("bits", "depth"), [(8, 8), (8, 16), (16, 16)])
def test_grey_of_palettes(tmp_path, syntax, bits, depth) -> None:
    stored = ramps(bits=bits)
    palette = np.random.default_rng(5).integers(0, 256, (2**bits, 3), np.uint8)
    tags: dict[str, Any] = {}
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        entries = palette[:, channel].astype(np.uint16)
        data = (entries * 256 + 255 - entries if depth == 16 else entries).astype(
            "<u2" if depth == 16 else "u1"
        )
        if syntax == ExplicitVRBigEndian:
            data = data.astype(">u2") if depth == 16 else data.reshape(-1, 2)[:, ::-1]
        name = f"{colour}PaletteColorLookupTable"
        tags |= {f"{name}Descriptor": [2**bits % 65536, 0, depth], f"{name}Data": data.tobytes()}
    pixels = [rle(frame) for frame in stored] if syntax == RLELossless else stored
    path = write(
        tmp_path / "a", pixels, "PALETTE COLOR", syntax, bits=bits, shape=stored.shape, **tags
    )
    opened(path, bt601(palette[stored]))


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.keyword)
def test_lossless_codecs(tmp_path, syntax) -> None:
    encode = LOSSLESS[syntax]
    grey = ramps()
    opened(
        write(tmp_path / "a", [encode(g) for g in grey], "MONOCHROME2", syntax, shape=grey.shape),
        grey,
    )
    deep = ramps(bits=12)
    path = write(
        tmp_path / "a",
        [encode(g) for g in deep],
        "MONOCHROME2",
        syntax,
        shape=deep.shape,
        bits=12,
        WindowCenter=2048,
        WindowWidth=4096,
        VOILUTFunction="LINEAR_EXACT",
    )
    opened(path, np.floor(deep / 4096 * 255 + 0.5).astype(np.uint8))
    rgb = colours()
    opened(
        write(tmp_path / "a", [encode(c) for c in rgb], "RGB", syntax, shape=rgb.shape[:3]),
        bt601(rgb),
    )
    if "2K" not in syntax.keyword and "2000" not in syntax.keyword:
        path = write(
            tmp_path / "a", [encode(c) for c in rgb], "YBR_FULL", syntax, shape=rgb.shape[:3]
        )
        opened(path, rgb[..., 0])


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "YBR_FULL", "RGB"])
def test_lossy_jpeg_gives_its_luma(tmp_path, photometric) -> None:
    rgb = np.repeat(ramps(N, 64, 96)[..., None] // 2 + 60, 3, axis=-1)
    pictures = [jpeg(c) for c in rgb]
    luma = np.array([imagecodecs.jpeg8_decode(p, outcolorspace="YCBCR")[..., 0] for p in pictures])
    opened(write(tmp_path / "a", pictures, photometric, JPEGBaseline8Bit, shape=luma.shape), luma)


def test_jpeg_of_rgb_that_does_not_say_so_is_believed_to_be_what_the_header_says(tmp_path) -> None:
    rgb = np.ascontiguousarray(np.broadcast_to(np.uint8([200, 40, 90]), (N, 64, 96, 3)))
    pictures = [jpeg(c, colorspace="YCBCR", outcolorspace="YCBCR") for c in rgb]
    assert all(picture[2:4] == b"\xff\xe0" for picture in pictures)
    bare = [p[:2] + p[4 + int.from_bytes(p[4:6], "big") :] for p in pictures]
    path = write(tmp_path / "a", bare, "RGB", JPEGBaseline8Bit, shape=rgb.shape[:3])
    with open_video(path) as source:
        assert np.abs(source.read(1).astype(int) - bt601(rgb)[1]).max() <= 2


def test_lossy_jpeg_of_12_bit(tmp_path) -> None:
    deep = np.sort(ramps(bits=12), axis=-1)
    pictures = [jpeg(g, bitspersample=12) for g in deep]
    path = write(
        tmp_path / "a",
        pictures,
        "MONOCHROME2",
        JPEGExtended12Bit,
        shape=deep.shape,
        bits=12,
        WindowCenter=2048,
        WindowWidth=4096,
    )
    with open_video(path) as source:
        assert np.abs(source.read(2) - deep[2] / 4095 * 255).max() < 4


def table(values: np.ndarray, first: int, bits: int, kind: str) -> Dataset:
    """An item of a sequence of look-up tables; `kind` is the representation of its numbers."""
    item = Dataset()
    item.add_new("LUTDescriptor", kind, [len(values) % 65536, first, bits])
    item.add_new("LUTExplanation", "LO", "as Mrs DOEBERMANN likes it")
    if kind == "SS":  # one that a converter wrote as bytes
        item.add_new("LUTData", "OW", values.astype("<u2").tobytes())
    else:
        item.add_new("LUTData", "US", values.tolist())
    return item


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("kind", ["US", "SS"])
def test_look_up_tables_of_deep_grey(tmp_path, photometric, kind) -> None:
    values = ramps(bits=12).astype(np.int16) - 2048
    first = -1000 if kind == "SS" else 64536  # the same bits
    curve = (np.sqrt(np.arange(2000) / 1999) * 1023).astype(np.uint16)
    tags = {"VOILUTSequence": [table(curve, first, 10, kind)], "PixelRepresentation": 1}
    tags |= {"WindowCenter": 0, "WindowWidth": 10}  # the alternative
    path = write(tmp_path / "a", values, photometric, bits=12, **tags)
    grey = curve[np.clip(values + 1000, 0, 1999)] / 1023
    grey = 1 - grey if photometric == "MONOCHROME1" else grey
    source = opened(path, np.floor(grey * 255 + 0.5).astype(np.uint8))
    assert source.metadata["grey_lut"] == "VOI"
    assert "grey_window" not in source.metadata
    assert "DOEBERMANN" not in repr((source.metadata, source.notices))


def test_modality_table_comes_before_the_window(tmp_path) -> None:
    values = ramps(bits=12)
    curve = (np.arange(4096) ** 2 >> 8).astype(np.uint16)
    tags: dict[str, Any] = {"ModalityLUTSequence": [table(curve, 0, 16, "US")]}
    path = write(tmp_path / "a", values, bits=12, WindowCenter=20000, WindowWidth=30000, **tags)
    expected = np.clip((curve[values] - 19999.5) / 29999 + 0.5, 0, 1)
    source = opened(path, np.floor(expected * 255 + 0.5).astype(np.uint8))
    assert source.metadata["grey_lut"] == "modality"
    with open_video(write(tmp_path / "a", values, bits=12, **tags)) as source:
        low, high = source.metadata["grey_window"]
        expected = np.clip(np.floor((curve[values] - low) * 255 / (high - low) + 0.5), 0, 255)
        np.testing.assert_array_equal(list(source.frames()), expected)
    tags = {"ModalityLUTSequence": [table(curve[:9], 0, 99, "US")]}
    with pytest.raises(VideoError, match="a: has a table of grey levels of an impossible size"):
        open_video(write(tmp_path / "a", values, bits=12, **tags))

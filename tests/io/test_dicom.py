"""Ultrasound DICOM: every photometric kind and codec to the grey level, times, and damage."""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HEVCMP51,
    MPEG2MPML,
    MPEG4HP41,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from napari_deepmtj.errors import VideoError
from napari_deepmtj.io import _part
from napari_deepmtj.io.sidecar import ClipInfo, write_sidecar
from napari_deepmtj.io.video import VideoSource, open_video

N, HEIGHT, WIDTH = 4, 24, 40
US = "1.2.840.10008.5.1.4.1.1.3.1"
NATIVE = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def ramps(n: int = N, height: int = HEIGHT, width: int = WIDTH, bits: int = 8) -> np.ndarray:
    """Frames with every level somewhere, each different, shape (n, height, width)."""
    level = np.arange(n * height * width) * 37 % 2**bits
    return level.reshape(n, height, width).astype(np.uint8 if bits <= 8 else np.uint16)


def colours(n: int = N) -> np.ndarray:
    """Colour frames, shape (n, HEIGHT, WIDTH, 3)."""
    return np.random.default_rng(3).integers(0, 256, (n, HEIGHT, WIDTH, 3), np.uint8)


def bt601(rgb: np.ndarray) -> np.ndarray:
    """Luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, rounded; exact in thousandths."""
    thousandths = rgb.astype(np.int64) @ np.array([299, 587, 114])
    return ((thousandths + 500) // 1000).astype(np.uint8)


def write(
    path: Path,
    pixels: np.ndarray | list[bytes],
    photometric: str = "MONOCHROME2",
    syntax: Any = ExplicitVRLittleEndian,
    *,
    shape: tuple[int, int, int] | None = None,
    bits: int = 8,
    table: bool = True,
    fragments: int = 1,
    **tags: Any,
) -> Path:
    """Write frames, as an array or each already encoded, to a DICOM file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = US
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    n, height, width = pixels.shape[:3] if isinstance(pixels, np.ndarray) else shape or (0, 0, 0)
    colour = photometric == "RGB" or photometric.startswith("YBR")
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = height, width, n
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = 8 if bits <= 8 else 16
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = 0
    if colour:
        dataset.PlanarConfiguration = 0
    for name, value in tags.items():
        setattr(dataset, name, value)
    if isinstance(pixels, np.ndarray):
        big = syntax == ExplicitVRBigEndian
        data = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).tobytes()
        dataset.PixelData = data + bytes(len(data) % 2)
        dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    else:
        dataset.PixelData = encapsulate(pixels, fragments_per_frame=fragments, has_bot=table)
        dataset["PixelData"].VR = "OB"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def opened(path: Path, expected: np.ndarray) -> VideoSource:
    """Open a clip, hold every frame against `expected`, out of order and in it."""
    with open_video(path) as source:
        assert (source.n_frames, source.height, source.width) == expected.shape
        for frame in reversed(range(source.n_frames)):
            np.testing.assert_array_equal(source.read(frame), expected[frame])
        np.testing.assert_array_equal(list(source.frames()), expected)
    return source


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


def rle(picture: np.ndarray) -> bytes:
    """One picture as DICOM's run-length encoding: literal runs, most significant bytes first."""
    cells = picture.reshape(*picture.shape[:2], -1)
    planes = [
        (cells[..., channel] >> shift & 255).astype(np.uint8).tobytes()
        for channel in range(cells.shape[-1])
        for shift in range(8 * picture.itemsize - 8, -1, -8)
    ]
    segments = [imagecodecs.packbits_encode(plane) for plane in planes]
    segments = [segment + bytes(len(segment) % 2) for segment in segments]
    starts = 64 + np.cumsum([0] + [len(segment) for segment in segments[:-1]])
    header = np.zeros(16, "<u4")
    header[0], header[1 : 1 + len(starts)] = len(starts), starts
    return header.tobytes() + b"".join(segments)


def jpeg(picture: np.ndarray, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(picture, level=95, **options))


LOSSLESS = {
    RLELossless: rle,
    JPEGLossless: lambda p: jpeg(p, lossless=True, bitspersample=12 if p.itemsize == 2 else None),
    JPEGLosslessSV1: lambda p: jpeg(
        p, lossless=True, bitspersample=12 if p.itemsize == 2 else None
    ),
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEG2000Lossless: lambda p: imagecodecs.jpeg2k_encode(p, reversible=True, level=0),
    HTJ2KLossless: lambda p: imagecodecs.htj2k_encode(p, reversible=True),
}


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


def test_an_unreadable_frame_is_named_and_ends_the_clip(tmp_path) -> None:
    grey = ramps()
    pictures = [LOSSLESS[JPEGLSLossless](g) for g in grey]
    pictures[2] = pictures[2][:40] + bytes(len(pictures[2]) - 40)
    path = write(tmp_path / "a", pictures, "MONOCHROME2", JPEGLSLossless, shape=grey.shape)
    with open_video(path) as source:
        with pytest.raises(VideoError, match=rf"^{source.name}, frame 2: is a damaged picture"):
            source.read(2)
        np.testing.assert_array_equal(list(source.frames()), grey[:2])
        assert "frame 2 cannot be read" in source.notices[-1]


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


def test_pictureless_files(tmp_path) -> None:
    path = write(tmp_path / "a", ramps())
    path.write_bytes(path.read_bytes().partition(b"\xe0\x7f\x10\0OB")[0])
    with pytest.raises(VideoError, match="DICOM without a picture"):
        open_video(path)


@pytest.mark.parametrize(
    ("tags", "seconds", "source", "notice"),
    [
        (
            {"FrameTimeVector": [0, 40, 30, 50], "FrameTime": 40, "CineRate": 10},
            [0, 0.04, 0.07, 0.12],
            "DICOM frame time vector",
            None,
        ),
        ({"FrameTime": 40, "CineRate": 10}, [0, 0.04, 0.08, 0.12], "DICOM frame time", None),
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

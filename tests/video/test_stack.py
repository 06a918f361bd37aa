"""TIFF stacks and arrays: grey, windows, times and scale; one picture at a time."""

from __future__ import annotations

import gc

import numpy as np
import psutil
import pytest
import tifffile
from PIL import Image

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.opening import VideoSource, open_video
from napari_deepmtj.video.stacks.stack import ArraySource


@pytest.fixture(scope="module")
def stack(make_picture) -> np.ndarray:
    return np.stack([make_picture(n) for n in range(12)])


def test_pages_of_a_tiff_are_frames(tmp_path, stack) -> None:
    path = tmp_path / "stack.dat"
    tifffile.imwrite(path, stack, photometric="minisblack")
    with open_video(path) as source:
        assert isinstance(source, VideoSource)
        assert (source.n_frames, source.height, source.width) == stack.shape
        assert not source.times.known
        assert source.scale is None
        for n in (11, 0, 5):
            np.testing.assert_array_equal(source.read(n), stack[n])
        np.testing.assert_array_equal(np.stack(list(source.frames(2, 9, 3))), stack[2:9:3])


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib"},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"imagej": True},
        {"metadata": None},
        {"contiguous": False, "rowsperstrip": 7},
    ],
)
def test_tiff_flavours(tmp_path, stack, options) -> None:
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack", **options)
    with open_video(tmp_path / "s.tif") as source:
        np.testing.assert_array_equal(np.stack(list(source.frames())), stack)


def test_colour_white_is_zero_palette_and_foreign_compression(tmp_path, stack) -> None:
    rgb = np.repeat(stack[..., None], 3, axis=-1)
    tifffile.imwrite(tmp_path / "rgb.tif", rgb, photometric="rgb")
    tifffile.imwrite(tmp_path / "planar.tif", rgb[0].transpose(2, 0, 1), photometric="rgb")
    tifffile.imwrite(tmp_path / "white.tif", 255 - stack, photometric="miniswhite")
    pages = [Image.fromarray(frame) for frame in stack]
    pages[0].save(
        tmp_path / "lzw.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw"
    )
    for page in pages:
        page.putpalette([v for v in range(256) for _ in range(3)])
    pages[0].save(tmp_path / "palette.tif", save_all=True, append_images=pages[1:])
    for name in ("rgb", "planar", "white", "lzw", "palette"):
        with open_video(tmp_path / f"{name}.tif") as source:
            for n in {0, source.n_frames - 1}:
                np.testing.assert_array_equal(source.read(n), stack[n], err_msg=name)


@pytest.mark.parametrize("shape", [(1, 40), (2, 40), (40, 2)])
def test_tiff_pages_of_few_rows_or_columns(tmp_path, shape) -> None:
    pages = np.arange(3 * 40 * max(1, min(shape)), dtype=np.uint8).reshape(3, *shape)
    for compression in (None, "zlib"):
        tifffile.imwrite(
            tmp_path / "a.tif", pages, photometric="minisblack", compression=compression
        )
        with open_video(tmp_path / "a.tif") as source:
            np.testing.assert_array_equal(list(source.frames()), pages)


def test_transparency_of_grey_is_left_out(tmp_path, stack) -> None:
    pair = np.stack([stack[0], 255 - stack[0]], axis=-1)
    options = {
        "photometric": "minisblack",
        "planarconfig": "contig",
        "extrasamples": ["unassalpha"],
    }
    tifffile.imwrite(tmp_path / "a.tif", pair, **options)
    with open_video(tmp_path / "a.tif") as source:
        np.testing.assert_array_equal(source.read(0), stack[0])


def test_what_tifffile_doubts_is_a_notice_and_not_on_the_screen(tmp_path, stack, caplog) -> None:
    imagej = "ImageJ=1.11a\nimages=99\nframes=99\n"
    tifffile.imwrite(tmp_path / "a.tif", stack, description=imagej, metadata=None)
    with open_video(tmp_path / "a.tif") as source:
        assert source.n_frames == len(stack)
        assert source.notices == (
            "a.tif is not quite as it should be: ImageJ series metadata invalid or corrupted file",
        )
    assert caplog.records == []


def test_sizes_that_cannot_be_are_refused_before_memory_is_asked_for(tmp_path, stack) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stack[0], metadata=None)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    for tag in (256, 257):
        at = data.index(tag.to_bytes(2, "little") + b"\4\0\1\0\0\0")
        data[at + 8 : at + 12] = (2**30).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(VideoError, match=r"^a.tif: says that it has 1 frame of 1073741824 x 1073"):
        open_video(tmp_path / "a.tif")
    png = tmp_path / "a.png"
    Image.new("L", (20000, 4000)).save(png)
    with pytest.raises(VideoError, match=r"^a.png: says that it has 1 frame of 20000 x 4000 px"):
        open_video(png)


def test_deep_pictures_get_one_window_for_the_whole_clip(tmp_path) -> None:
    values = np.random.default_rng(0).integers(100, 5000, (40, 20, 30)).astype(np.uint16)
    values[7] //= 10  # a dark frame stays dark
    tifffile.imwrite(tmp_path / "deep.tif", values, photometric="minisblack")
    with open_video(tmp_path / "deep.tif") as source:
        low, high = source.metadata["grey_window"]
        assert 0 <= low < 130
        assert 4900 < high < 5000
        assert "deeper than 8 bit" in source.notices[0]
        expected = np.clip(np.floor((values - low) * 255 / (high - low) + 0.5), 0, 255)
        for n in (0, 7, 39):
            np.testing.assert_array_equal(source.read(n), expected[n])


def test_times_and_scale_of_imagej(tmp_path, stack) -> None:
    tifffile.imwrite(
        tmp_path / "ij.tif",
        stack,
        imagej=True,
        resolution=(1 / 0.07, 1 / 0.08),
        metadata={"axes": "TYX", "unit": "mm", "finterval": 0.04, "fps": 7.0},
    )
    with open_video(tmp_path / "ij.tif") as source:
        np.testing.assert_allclose(source.times.seconds, np.arange(12) * 0.04)
        assert source.times.known
        assert source.scale is not None
        assert (source.scale.x_mm, source.scale.y_mm) == pytest.approx((0.07, 0.08), rel=1e-5)
        assert source.scale.source == "file"


def test_a_printers_resolution_is_no_scale(tmp_path, stack) -> None:
    tifffile.imwrite(tmp_path / "dpi.tif", stack, resolution=(300, 300), resolutionunit="INCH")
    tifffile.imwrite(
        tmp_path / "ij.tif", stack, imagej=True, resolution=(300, 300), metadata={"unit": "inch"}
    )
    for name in ("dpi.tif", "ij.tif"):
        with open_video(tmp_path / name) as source:
            assert source.scale is None
            assert not source.times.known


def test_times_and_scale_of_ome(tmp_path, stack) -> None:
    facts = {"axes": "TYX", "PhysicalSizeX": 70.0, "PhysicalSizeXUnit": "µm"}
    facts |= {"PhysicalSizeY": 0.08, "PhysicalSizeYUnit": "mm"}
    facts |= {"TimeIncrement": 40.0, "TimeIncrementUnit": "ms"}
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, photometric="minisblack", metadata=facts)
    with open_video(tmp_path / "a.ome.tif") as source:
        assert source.times.rate == pytest.approx(25)
        assert source.scale == Scale(0.07, 0.08, "file")


def test_several_axes_are_refused(tmp_path, stack) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", stack.reshape(6, 2, 64, 160), imagej=True, metadata={"axes": "TCYX"}
    )
    with pytest.raises(VideoError, match=r"a.tif: has the axes TCYX"):
        open_video(tmp_path / "a.tif")


def test_truncated_tiff_gives_frames_or_a_video_error(tmp_path, stack) -> None:
    for options in ({"compression": "zlib"}, {"metadata": None, "contiguous": False}):
        tifffile.imwrite(tmp_path / "whole.tif", stack, photometric="minisblack", **options)
        data = (tmp_path / "whole.tif").read_bytes()
        path = tmp_path / "cut.tif"
        for cut in (5, 9, 100, *(int(len(data) * f) for f in np.linspace(0.05, 0.99, 9))):
            path.write_bytes(data[:cut])
            try:
                with open_video(path) as source:
                    for ours, theirs in zip(source.frames(), stack, strict=False):
                        np.testing.assert_array_equal(ours, theirs)
            except VideoError as error:
                assert "cut.tif" in str(error)  # noqa: PT017


class Recorded:
    """An array that notes what is taken from it."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype, self.taken = data, data.shape, data.dtype, []

    def __getitem__(self, key):
        self.taken.append(key)
        return self.data[key]


def test_array_is_sliced_one_frame_at_a_time(stack) -> None:
    array = Recorded(stack)
    with ArraySource(array, "lazy", times=FrameTimes.from_rate(12, 50, "given")) as source:
        assert isinstance(source, VideoSource)
        array.taken.clear()
        np.testing.assert_array_equal(np.stack(list(source.frames(4, 7))), stack[4:7])
        assert array.taken == [4, 5, 6]
        assert source.times.rate == pytest.approx(50)
        assert source.path is None


def test_array_hash_is_that_of_its_frames(stack) -> None:
    first = ArraySource(stack).sha256
    assert first == ArraySource(stack.copy(), "another name").sha256
    assert first == ArraySource(np.repeat(stack[..., None], 3, axis=-1)).sha256
    changed = stack.copy()
    changed[3, 4, 5] ^= 1
    assert ArraySource(changed).sha256 != first
    assert ArraySource(stack.reshape(6, 128, 160)).sha256 != first


def test_array_shapes_and_types(stack) -> None:
    np.testing.assert_array_equal(ArraySource(stack[0]).read(0), stack[0])
    np.testing.assert_array_equal(ArraySource(stack > 99).read(0), (stack[0] > 99) * 255)
    floats = ArraySource(stack / 255.0, roi=Roi(0, 0, 10, 10))
    assert floats.read(0).max() == 255
    assert floats.roi == Roi(0, 0, 10, 10)
    source = ArraySource(stack)
    source.read(0)
    stack.copy()[0] = 0
    assert stack.flags.writeable  # reading never locks the owner's array
    for bad in (stack.reshape(2, 6, 64, 160), np.zeros((64, 160, 3)), np.zeros(5), stack[:0]):
        with pytest.raises(VideoError, match="array of shape"):
            ArraySource(bad)
    with pytest.raises(VideoError, match="12 frames but 3 times"):
        ArraySource(stack, times=FrameTimes.unknown(3))


def test_a_forgotten_tiff_is_closed(tmp_path) -> None:
    tifffile.imwrite(
        tmp_path / "stack.tif", np.zeros((3, 20, 30), np.uint8), photometric="minisblack"
    )

    def held() -> int:
        return sum(
            file.path == str(tmp_path / "stack.tif") for file in psutil.Process().open_files()
        )

    source = open_video(tmp_path / "stack.tif")
    source.read(1)
    assert held() == 1
    del source  # a ResourceWarning would be an error here
    gc.collect()
    assert held() == 0


@pytest.mark.parametrize(
    ("interval", "unit", "seconds"),
    [
        (0.04, None, 0.04),
        (0.04, "sec", 0.04),
        (40, "msec", 0.04),
        (40, "ms", 0.04),
        (0.04 / 60, "min", 0.04),
        (40000, "\\u00b5s", 0.04),
        (40000, "usec", 0.04),
        (0.002, "hour", 7.2),
        (3, "frames", None),
        (1, "pixel", None),
    ],
)
def test_the_frame_interval_of_imagej_has_its_unit_or_is_refused(
    interval, unit, seconds, tmp_path
) -> None:
    path = tmp_path / "stack.tif"
    more = {} if unit is None else {"tunit": unit}
    tifffile.imwrite(
        path,
        np.zeros((4, 20, 30), np.uint8),
        imagej=True,
        metadata={"axes": "TYX", "finterval": interval, **more},
    )
    with open_video(path) as source:
        if seconds is None:
            assert source.times.source == "none"
            assert f"frame interval of {interval} {unit!r} is in no known unit" in source.notices[0]
        else:
            assert source.notices == ()
            np.testing.assert_allclose(source.times.seconds, np.arange(4) * seconds)


@pytest.mark.parametrize(
    ("unit", "seconds"), [("ms", 0.04), ("s", 40), ("µs", 4e-5), ("ns", 4e-8), ("reference", None)]
)
def test_the_time_increment_of_ome_has_its_unit_or_is_refused(unit, seconds, tmp_path) -> None:
    path = tmp_path / "stack.ome.tif"
    metadata = {"axes": "TYX", "TimeIncrement": 40, "TimeIncrementUnit": unit}
    tifffile.imwrite(path, np.zeros((4, 20, 30), np.uint8), ome=True, metadata=metadata)
    with open_video(path) as source:
        assert len(source.notices) == (seconds is None)
        assert source.times.known == (seconds is not None)
        if seconds is not None:
            np.testing.assert_allclose(source.times.seconds, np.arange(4) * seconds)


@pytest.mark.parametrize(
    ("delays", "source", "told"),
    [
        (None, "assumed 10 Hz", "its pictures do not say how long they are shown; 0.1 s"),
        ([0] * 5, "assumed 10 Hz", "its pictures do not say"),
        ([10] * 5, "container", None),
        ([40, 40, 0, 40, 40], "assumed 10 Hz", "1 of its 5 pictures do not say"),
        ([40] * 5, "container", None),
        ([20, 50, 40, 30, 100], "container", None),
    ],
)
def test_a_gif_without_delays_says_that_its_times_are_assumed(
    delays, source, told, tmp_path
) -> None:
    pictures = [Image.fromarray(np.full((20, 30), 20 * n, np.uint8)) for n in range(5)]
    more = {} if delays is None else {"duration": delays}
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], loop=0, **more)
    with open_video(path) as clip:
        assert clip.times.source == source
        assert len(clip.notices) == (told is not None)
        assert told is None or told in clip.notices[0]
        if told is None:
            steps = np.array(delays[:-1]) / 1000
            np.testing.assert_allclose(np.diff(clip.times.seconds), steps)

"""Arrays in memory and on disk: which axes are what, and the units they come with."""

from __future__ import annotations

import hashlib
import sys

import dask.array
import numpy as np
import pytest

from napari_deepmtj.errors import MissingExtraError, VideoError
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.stacks.stack import ArraySource

GREY = np.arange(5 * 20 * 30).reshape(5, 20, 30).astype(np.uint8)
#: Grey stored as colour, so that its luma is exactly itself.
COLOUR = np.repeat(GREY[..., None], 3, axis=-1)


def shows(source, expected: np.ndarray = GREY) -> None:
    """Hold every frame of `source` against `expected`, last one first."""
    with source:
        assert (source.n_frames, source.height, source.width) == expected.shape
        for frame in reversed(range(len(expected))):
            np.testing.assert_array_equal(source.read(frame), expected[frame])


@pytest.mark.parametrize("kind", ["numpy", "dask"])
@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GREY, GREY),
        (GREY[2], GREY[2:3]),
        (COLOUR, GREY),
        (np.concatenate([COLOUR, 255 - GREY[..., None]], axis=-1), GREY),
        (np.moveaxis(COLOUR, -1, 1), GREY),
        (GREY[:, None], GREY),
        (GREY[:, None, None], GREY),
        (np.moveaxis(COLOUR, -1, 1)[:, :, None], GREY),
        (COLOUR[:1], GREY[:1]),
        (GREY[:1, None], GREY[:1]),
    ],
    ids=lambda value: str(value.shape),
)
def test_axes(kind, array, expected) -> None:
    if kind == "dask":
        array = dask.array.from_array(array, chunks=(1,) * (array.ndim - 2) + array.shape[-2:])
    shows(ArraySource(array), expected)


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ((30,), "holds no picture"),
        ((0, 20, 30), "holds no picture"),
        ((20, 30, 3), "looks like one colour picture"),
        ((5, 2, 20, 30), "is no clip"),
        ((5, 3, 2, 20, 30), "is no clip"),
        ((5, 3, 20, 3), "colours first or last"),
        ((5, 1, 20, 4), "colours first or last"),
    ],
)
def test_axes_that_are_not_known_are_refused(shape, why) -> None:
    with pytest.raises(VideoError, match=why) as caught:
        ArraySource(np.zeros(shape, np.uint8), "layer")
    assert str(caught.value).startswith("layer: an array of shape (")


def test_one_frame_of_a_lazy_array_is_touched_at_a_time() -> None:
    touched = []

    def block(block_id: tuple[int, ...]) -> np.ndarray:
        touched.append(block_id[0])
        return GREY[block_id[0]][None]

    array = dask.array.map_blocks(block, chunks=((1,) * 5, (20,), (30,)), dtype=np.uint8)
    source = ArraySource(array, "lazy")
    touched.clear()
    np.testing.assert_array_equal(source.read(3), GREY[3])
    assert touched == [3]


def test_one_chunk_of_a_zarr_array_is_read_at_a_time(tmp_path, monkeypatch) -> None:
    zarr = pytest.importorskip("zarr")
    from zarr.storage import LocalStore

    array = zarr.create_array(
        tmp_path / "a", shape=(9, 1, 20, 30), chunks=(1, 1, 20, 30), dtype="u1"
    )
    array[:] = np.arange(1, 10, dtype=np.uint8)[:, None, None, None]
    touched = []
    get = LocalStore.get

    async def recorded(self, key, *args, **kwargs):
        touched.append(key)
        return await get(self, key, *args, **kwargs)

    source = open_video(tmp_path / "a")
    monkeypatch.setattr(LocalStore, "get", recorded)
    assert (source.read(7) == 8).all()
    assert touched == ["c/7/0/0/0"]


@pytest.mark.parametrize("kind", ["numpy", "dask"])
@pytest.mark.parametrize(
    "values",
    [
        (GREY.astype(np.float32) - 40) / 7,
        GREY.astype(np.float16),
        GREY.astype(np.int16) - 100,
        GREY.astype(np.uint64) << 40,
        np.repeat(GREY[..., None].astype(np.uint16) * 200, 3, axis=-1),
    ],
    ids=lambda value: f"{value.dtype} {value.ndim}",
)
def test_deep_arrays_are_shown_through_one_window(kind, values) -> None:
    array = (
        dask.array.from_array(values, chunks=(1, *values.shape[1:])) if kind == "dask" else values
    )
    source = ArraySource(array, "layer")
    grey = values[..., 0] if values.ndim == 4 else values
    low, high = source.metadata["grey_window"]
    expected = np.clip((grey.astype(float) - low) * 255 / (high - low), 0, 255)
    assert np.abs(np.array(list(source.frames())) - expected).max() < 0.5001
    assert expected.min() == 0
    assert "the same for all frames" in source.notices[0]


def test_what_is_no_number_is_black_and_moves_no_window() -> None:
    values = GREY.astype(np.float64)
    expected = ArraySource(values).read(1).copy()
    holes = values.copy()
    holes[:, 0, 1] = np.nan
    holes[:, 0, 3] = np.inf
    source = ArraySource(holes)
    assert source.read(1)[0, 1] == 0
    assert source.read(1)[0, 3] == 255
    expected[0, [1, 3]] = 0, 255
    np.testing.assert_array_equal(source.read(1), expected)
    with pytest.raises(VideoError, match="holds no finite value"):
        ArraySource(holes * np.nan)


@pytest.mark.parametrize("dtype", [complex, object, "U3", "M8[s]"])
def test_arrays_that_hold_no_grey_are_refused(dtype) -> None:
    with pytest.raises(VideoError, match=r"^layer: is an array of .*, not of grey levels"):
        ArraySource(np.zeros((2, 20, 30), dtype), "layer")


def test_lazy_arrays_of_unknown_or_impossible_size_are_refused() -> None:
    array = dask.array.from_array(GREY.ravel())
    with pytest.raises(VideoError, match="whose shape is not known"):
        ArraySource(array[array > 3], "layer")
    for shape in ((10**9, 20, 30), (5, 2**20, 2**20), (2**31, 2**31)):
        with pytest.raises(VideoError, match="its header is damaged"):
            ArraySource(dask.array.zeros(shape, dtype=np.uint8), "layer")


def test_a_lazy_frame_that_fails_is_named() -> None:
    def block(block_id: tuple[int, ...]) -> np.ndarray:
        if block_id[0] == 3:
            raise RuntimeError("the disk is gone")
        return GREY[block_id[0]][None]

    source = ArraySource(
        dask.array.map_blocks(block, chunks=((1,) * 5, (20,), (30,)), dtype=np.uint8), "layer"
    )
    with pytest.raises(VideoError, match=r"^layer, frame 3: cannot be decoded \(the disk is gone"):
        source.read(3)
    assert [frame for frame, picture in source.numbered() if picture is None] == [3]
    assert len(list(source.frames())) == 4
    assert source.unreadable == {3}


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_mapped_and_hashed_by_its_bytes(tmp_path, order) -> None:
    path = tmp_path / "clip.anything"
    with path.open("wb") as file:
        np.save(file, np.asarray(GREY, order=order))
    source = open_video(path)
    assert (source.name, source.path, source.metadata["container"]) == (path.name, path, "npy")
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    shows(source)


def test_npy_of_objects_or_cut_off_is_one_clear_line(tmp_path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(VideoError, match=r"^a.npy: cannot be opened as a NumPy array"):
        open_video(path)
    np.save(path, GREY)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(VideoError, match=r"^a.npy: cannot be opened as a NumPy array"):
        open_video(path)


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_array_and_group_of_one(tmp_path, version) -> None:
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(
        tmp_path / "a", shape=GREY.shape, chunks=(1, 20, 30), dtype="u1", zarr_format=version
    )
    array[:] = GREY
    shows(open_video(tmp_path / "a"))
    group = zarr.open_group(tmp_path / "g", mode="w", zarr_format=version)
    group.create_array("frames", data=GREY[:, None])
    with open_video(tmp_path / "g") as source:
        assert (source.scale, source.times.known, source.path) == (None, False, tmp_path / "g")
        assert source.metadata["container"] == "zarr"
    shows(open_video(tmp_path / "g"))
    group.create_array("more", data=GREY)
    with pytest.raises(VideoError, match="g: is a Zarr group of 2 arrays; give the folder"):
        open_video(tmp_path / "g")


def ome(path, units: tuple, axes: str = "tczyx", array: np.ndarray = GREY[:, None, None]) -> None:
    """Write an OME-Zarr 0.4 image; `units` are those of t, y and x."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=array)
    group.create_array("1", data=array[..., ::2, ::2])
    unit = dict(zip("tyx", units, strict=True))
    scale = {"t": 20.0, "c": 1.0, "z": 1.0, "y": 150.0, "x": 100.0}
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [
                {"name": name, **({"unit": unit[name]} if unit.get(name) else {})} for name in axes
            ],
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [scale[name] for name in axes]}
                    ],
                },
                {"path": "1"},
            ],
            "coordinateTransformations": [{"type": "scale", "scale": [2.0] * len(axes)}],
        }
    ]


def test_ome_zarr_has_millimetres_and_seconds_if_its_axes_have_units(tmp_path) -> None:
    pytest.importorskip("zarr")
    ome(tmp_path / "a", ("millisecond", "micrometer", "micrometer"))
    with open_video(tmp_path / "a") as source:
        assert source.scale is not None
        assert (source.scale.x_mm, source.scale.y_mm) == pytest.approx((0.2, 0.3))
        assert source.times.rate == pytest.approx(25)
    shows(open_video(tmp_path / "a"))
    ome(tmp_path / "b", (None, "micrometer", "pixel"))
    with open_video(tmp_path / "b") as source:
        assert (source.scale, source.times.known) == (None, False)
    ome(tmp_path / "c", (None, None, None), "zyx", GREY)
    with pytest.raises(VideoError, match=r"c: has the axes zyx .*; write a stack along t"):
        open_video(tmp_path / "c")


def test_without_zarr_one_line_names_the_extra(tmp_path, monkeypatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "zarr.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r"napari-deepmtj\[zarr\]"):
        open_video(tmp_path / "a")


def test_damaged_zarr_is_one_clear_line(tmp_path) -> None:
    pytest.importorskip("zarr")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "zarr.json").write_text("{")
    with pytest.raises(VideoError, match=r"^a: cannot be opened as Zarr"):
        open_video(tmp_path / "a")


def test_blocks_of_zarr_that_are_not_there_are_told(tmp_path) -> None:
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(tmp_path / "a", shape=GREY.shape, chunks=(1, 20, 30), dtype="u1")
    array[:] = GREY + 1
    (tmp_path / "a" / "c" / "2" / "0" / "0").unlink()
    with open_video(tmp_path / "a") as source:
        assert source.notices == (
            "a: 1 of its 5 blocks are not there; they are read as 0, which may be how it was saved",
        )
        assert not source.read(2).any()
        np.testing.assert_array_equal(source.read(3), GREY[3] + 1)


def test_a_block_of_several_frames_is_decoded_once() -> None:
    touched = []

    def block(block_id: tuple[int, ...]) -> np.ndarray:
        touched.append(block_id[0])
        return GREY[2 * block_id[0] : 2 * block_id[0] + 2]

    source = ArraySource(
        dask.array.map_blocks(block, chunks=((2, 2, 1), (20,), (30,)), dtype=np.uint8), "lazy"
    )
    touched.clear()
    np.testing.assert_array_equal(list(source.frames()), GREY)
    assert touched in ([0, 1, 2], [1, 2])  # the first may still be there from opening
    touched.clear()
    np.testing.assert_array_equal([source.read(n) for n in (3, 2, 1)], GREY[[3, 2, 1]])
    assert touched == [0]  # frames 2 and 3 were still there


def test_blocks_larger_than_memory_are_refused(tmp_path) -> None:
    zarr = pytest.importorskip("zarr")
    h5py = pytest.importorskip("h5py")
    zarr.create_array(tmp_path / "a", shape=(9, 20, 30), chunks=(10**7, 20, 30), dtype="u1")
    with pytest.raises(VideoError, match=r"^a: is stored in blocks of 5.59 GiB, at most 1 are"):
        open_video(tmp_path / "a")
    with h5py.File(tmp_path / "b.tvd.h5", "w") as file:
        file.create_dataset("frames/gray", (10**6, 20, 30), "u1", chunks=(10**6, 20, 30))
    with pytest.raises(VideoError, match=r"^b.tvd.h5: is stored in blocks of 0.559 GiB"):
        open_video(tmp_path / "b.tvd.h5")

"""Folders of single pictures as clips: their order, their sizes, and what else lies there."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.io import savemat

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.opening import VideoSource, open_video
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar
from napari_deepmtj.video.stacks import folder as _sequence


@pytest.fixture
def folder(tmp_path, make_picture):
    """Call it to write pictures 8 to 11, whose names a plain sort would put in another order."""

    def write(ending: str = "png", numbers=(8, 9, 10, 11), name: str = "trial"):
        (tmp_path / name).mkdir(exist_ok=True)
        for number in numbers:
            Image.fromarray(make_picture(number)).save(tmp_path / name / f"img{number}.{ending}")
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("ending", "container"),
    [("png", "png"), ("jpg", "jpeg"), ("bmp", "bmp"), ("tif", "tiff")],
)
def test_pictures_are_frames_in_the_order_of_their_numbers(
    folder, make_picture, show_number, ending, container
) -> None:
    path = folder(ending)
    shutil.copy(path / f"img8.{ending}", path / f"._img8.{ending}")  # hidden
    (path / "Thumbs.db").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(800))
    (path / "notes.txt").write_text("a note")
    (path / "empty folder").mkdir()
    with open_video(path) as source:
        assert isinstance(source, VideoSource)
        assert (source.name, source.path, source.n_frames) == ("trial", path, 4)
        assert [show_number(source.read(n)) for n in (3, 0, 2, 1)] == [11, 8, 10, 9]
        assert [show_number(frame) for frame in source.frames()] == [8, 9, 10, 11]
        if ending != "jpg":
            np.testing.assert_array_equal(source.read(2), make_picture(10))
        assert source.metadata["container"] == f"{container} sequence"
        assert (source.times.known, source.scale, source.notices) == (False, None, ())
        digests = [
            hashlib.sha256((path / f"img{n}.{ending}").read_bytes()).hexdigest()
            for n in (8, 9, 10, 11)
        ]
        assert source.sha256 == hashlib.sha256("".join(digests).encode()).hexdigest()


def test_pictures_are_read_when_asked_for_and_kept_within_bounds(folder, monkeypatch) -> None:
    path = folder(numbers=range(8, 28))
    read = []
    pixels = _sequence.pillow_array
    monkeypatch.setattr(_sequence, "pillow_array", lambda image: read.append(1) or pixels(image))
    monkeypatch.setattr(_sequence, "CACHE_BYTES", 5 * 64 * 160)
    with open_video(path) as source:
        assert len(read) == 1
        for frame in (7, 8, 7, 8):
            source.read(frame)
        assert len(read) == 3
        list(source.frames())
        assert len(source._cache) == 5
    assert len(source._cache) == 0


def test_deep_pictures_get_one_window(tmp_path) -> None:
    values = np.random.default_rng(0).integers(0, 4000, (5, 20, 30)).astype(np.uint16)
    for kind in ("png", "tif"):
        (tmp_path / kind).mkdir()
        for n, value in enumerate(values):
            if kind == "png":
                Image.fromarray(value).save(tmp_path / kind / f"{n}.png")
            else:
                tifffile.imwrite(tmp_path / kind / f"{n}.tif", value)
        with open_video(tmp_path / kind) as source:
            low, high = source.metadata["grey_window"]
            expected = np.clip(np.floor((values - low) * 255 / (high - low) + 0.5), 0, 255)
            np.testing.assert_array_equal(list(source.frames()), expected)
            assert "the same for all frames" in source.notices[0]


def test_numbers_that_are_left_out_are_told(folder) -> None:
    with open_video(folder(numbers=(1, 2, 3, 5, 9))) as source:
        assert source.notices == (
            "trial: the numbers of its pictures leave out 4; frames may be missing",
        )
    with open_video(folder(numbers=(5, 10, 15), name="every fifth")) as source:
        assert source.notices == ()


def test_sidecars_stand_beside_the_folder(folder) -> None:
    path = folder()
    write_sidecar(path, ClipInfo(Scale(0.1, 0.2, "by hand"), Roi(1, 2, 30, 40)))
    savemat(
        path.with_suffix(".mat"),
        {"TVDdata": {"Time": [0.0, 0.1, 0.3, 0.4], "Width": 160.0, "Height": 64.0}},
    )
    with open_video(path) as source:
        assert source.scale == Scale(0.1, 0.2, "side-car (by hand)")
        assert source.roi == Roi(1, 2, 30, 40, "side-car (given)")
        np.testing.assert_allclose(source.times.seconds, [0, 0.1, 0.3, 0.4])


def test_what_does_not_belong_together_is_one_clear_line(folder, clip_folder, tmp_path) -> None:
    def refused(path, why: str) -> None:
        with pytest.raises(VideoError, match=why) as caught:
            open_video(path)
        assert "\n" not in str(caught.value)

    odd = folder(name="a")
    Image.new("L", (160, 65)).save(odd / "img9.png")
    refused(odd, r"^img9.png: is 160 x 65 px of 8 bit, the first picture .* 160 x 64 of 8 bit")
    deep = folder(name="b")
    Image.new("I;16", (160, 64)).save(deep / "img10.png")
    refused(deep, r"^img10.png: is 160 x 64 px of more than 8 bit")
    both = folder(name="c")
    folder("bmp", (12,), "c")
    refused(both, r"^c: is a folder of pictures of several kinds \(4 PNG, 1 BMP\)")
    film = folder(name="d")
    shutil.copy(clip_folder / "mjpeg.avi", film)
    refused(film, r"^d: is a folder of pictures and videos; give one of its files")
    empty = folder(name="e")
    (empty / "img9.png").write_bytes(b"")
    refused(empty, r"^img9.png: is damaged, or none of the pictures it lies among")
    stacks = tmp_path / "f"
    stacks.mkdir()
    for n in range(2):
        tifffile.imwrite(
            stacks / f"{n}.tif", np.zeros((3, 20, 30), np.uint8), photometric="minisblack"
        )
    refused(stacks, r"^0.tif: holds 3 pictures; give it alone, not its folder")


def test_a_damaged_picture_is_named_and_left_out(folder, show_number) -> None:
    path = folder()
    whole = (path / "img10.png").read_bytes()
    (path / "img10.png").write_bytes(whole[: len(whole) // 2])
    with open_video(path) as source:
        with pytest.raises(VideoError, match=r"^trial, frame 2: img10.png: cannot be opened"):
            source.read(2)
        assert [show_number(frame) for frame in source.frames()] == [8, 9, 11]
        assert "1 of 4 frames cannot be read (frame 2: img10.png" in source.notices[-1]


def test_names_are_sorted_as_a_person_would(tmp_path) -> None:
    names = ["B2.png", "a10b1.png", "a10b10.png", "a9b2.png", "a.png", "7.png", "10.png"]
    ordered = sorted((tmp_path / name for name in names), key=_sequence.natural)
    assert [path.name for path in ordered] == [
        "7.png",
        "10.png",
        "a.png",
        "a9b2.png",
        "a10b1.png",
        "a10b10.png",
        "B2.png",
    ]

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_deepmtj.errors import VideoError
from napari_deepmtj.video.folders import find_clips
from napari_deepmtj.video.opening import open_video


@pytest.fixture
def make_file(tmp_path):
    def make(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.zeros((2, 8, 8), np.uint8))
        return path

    return make


def names(folder):
    return [path.relative_to(folder).as_posix() for path in find_clips(folder)]


def test_a_folder_is_searched_by_content(make_file, tmp_path):
    hidden = make_file("a.npy")
    hidden.rename(tmp_path / ".hidden.npy")
    make_file("b.npy").rename(tmp_path / "B_without_extension")
    (tmp_path / "notes.txt").write_text("this is no video")
    (tmp_path / "empty").touch()
    make_file("sub/deeper/c.npy")
    make_file(".git/d.npy")
    stack = tmp_path / "stack.zarr"
    stack.mkdir()
    (stack / "zarr.json").write_text("{}")
    make_file("stack.zarr/inside.npy")
    assert names(tmp_path) == [
        "B_without_extension",
        "stack.zarr",
        "sub/deeper/c.npy",
    ]
    with pytest.raises(VideoError, match="no such folder"):
        find_clips(tmp_path / "nowhere")


def test_pictures_are_a_clip_together_and_none_beside_clips(make_file, tmp_path):
    def picture(name):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
        return path

    for name in ("series/1.png", "series/2.png", "one/only.png", "study/plot.png"):
        picture(name)
    make_file("study/clip.npy")
    tifffile.imwrite(tmp_path / "study" / "clip.mtj-attention.tif", np.zeros((4, 4), np.float32))
    (tmp_path / "study" / "clip.mtj.csv").write_text("frame\n")
    assert names(tmp_path) == [
        "one/only.png",
        "series",
        "study/clip.npy",
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.avi", b""),
        ("x.mp4", bytes(4096)),
        ("x.MOV", b"version https://git-lfs.github.com/spec/v1\n"),
        ("x.dcm", b"<html>not found</html>"),
        ("x.npy", b"\x93NUM"),
        ("sub/x.tif", b"PK\3\4"),
        ("x.tvd", b"TVD file of EchoWave"),
    ],
)
def test_a_file_called_like_a_clip_is_one_whatever_is_in_it(make_file, tmp_path, name, content):
    make_file("clip.npy")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    assert names(tmp_path) == sorted(["clip.npy", name], key=lambda n: ("/" in n, n))
    with pytest.raises(VideoError, match=rf"^{path.name}: "):
        open_video(path)


def test_a_link_to_nowhere_is_a_clip_that_fails(make_file, tmp_path):
    (tmp_path / "gone.avi").symlink_to(tmp_path / "moved away.avi")
    assert names(tmp_path) == ["gone.avi"]


def test_damaged_clips_do_not_hide_a_folder_of_pictures(tmp_path):
    for number in range(3):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "b.avi").touch()
    assert names(tmp_path) == [".", "b.avi"]
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(VideoError, match=r"^1\.png: is damaged"):
        open_video(tmp_path)


def test_a_tvd_beside_its_converted_clip_is_none(make_file, tmp_path):
    make_file("clip.npy")
    (tmp_path / "clip.tvd").write_bytes(b"TVD")
    assert names(tmp_path) == ["clip.npy"]


def test_annotated_videos_are_none_beside_their_result(make_file, tmp_path):
    """Or a batch that is run again would track what it made."""
    for name in ("results/clip.npy", "others/clip.npy"):
        clip = make_file(name)
        clip.rename(clip.with_name("clip-annotated.mp4"))
    (tmp_path / "results" / "clip.mtj.csv").write_text("frame\n")
    assert names(tmp_path) == ["others/clip-annotated.mp4"]

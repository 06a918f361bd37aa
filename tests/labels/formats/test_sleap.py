from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError, MissingExtraError
from napari_deepmtj.labels.formats import sleap

MakeClip = Callable[..., Path]


@pytest.fixture
def sio() -> Any:
    return pytest.importorskip("sleap_io", reason="the extra sleap is not installed")


def test_round_trip(
    tmp_path: Path,
    clip: Path,
    labels: list[Label],
    same_places: Callable[..., None],
    sio: Any,
) -> None:
    path = tmp_path / "Läufer 1.slp"
    sleap.write(path, labels, [clip])
    back = sleap.read(path, [clip.parent], annotator="Ännä B")
    same_places(back.labels, labels, abs=0)
    assert back.unmatched == ()
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [path.name]
    project = sio.load_slp(str(path), open_videos=False)
    assert project.video.filename == clip.name
    assert tuple(project.video.shape) == (12, 60, 130, 1)
    with clip.open("wb") as file:  # another recording of the same name
        np.save(file, np.zeros((12, 50, 128), np.uint8))
    back = sleap.read(path, [clip], annotator="Ännä B")
    assert back.labels == ()
    assert "its picture has 130 x 60 px, the clip 128 x 50" in str(back.unmatched[0])


def test_every_kind_of_frame_that_sleap_io_writes(
    tmp_path: Path, make_clip: MakeClip, sio: Any
) -> None:
    skeleton = sio.Skeleton(nodes=["heel", "MTJ"])
    video = sio.Video(r"C:\study\Läufer 1.avi", open_backend=False)
    other = sio.Video("/study/b.mp4", open_backend=False)
    names = [tmp_path / "a" / name for name in ("img003.png", "photo.png")]
    names[0].parent.mkdir()
    for name in names:
        Image.new("L", (130, 60)).save(name)
    pictures = sio.Video.from_filename([str(name) for name in names])

    def person(x: float, y: float, **more: Any) -> Any:
        return sio.Instance.from_numpy(np.array([[9, 9], [x, y]], float), skeleton, **more)

    guess = sio.PredictedInstance.from_numpy(
        np.array([[9, 9], [5, 6]], float), skeleton, point_scores=np.array([1, 0.5]), score=0.5
    )
    hidden = person(7, 8)
    hidden.points["visible"] = [True, False]
    frames = [
        sio.LabeledFrame(video, 0, [person(1 / 3, 2)]),
        sio.LabeledFrame(video, 1, [person(np.nan, np.nan)]),
        sio.LabeledFrame(video, 2, [hidden]),
        sio.LabeledFrame(video, 3, [guess]),
        sio.LabeledFrame(video, 4, [guess, person(3, 4, from_predicted=guess)]),
        sio.LabeledFrame(video, 5, [], is_negative=True),
        sio.LabeledFrame(video, 6, []),
        sio.LabeledFrame(video, 7, [person(1, 2), person(3, 4)]),
        sio.LabeledFrame(other, 0, [person(1, 2)]),
        sio.LabeledFrame(pictures, 0, [person(1, 2)]),
        sio.LabeledFrame(pictures, 1, [person(1, 2)]),
    ]
    path = tmp_path / "labels.slp"
    sio.save_slp(sio.Labels(frames), str(path), embed=False, verbose=False)
    clips = [make_clip("Läufer 1.avi"), make_clip("a.avi")]
    result = sleap.read(path, clips, annotator="anna")
    assert [(i.clip, i.frame, i.x_px, i.y_px, i.origin) for i in result.labels] == [
        ("Läufer 1.avi", 0, 1 / 3, 2.0, Origin.MANUAL),
        ("Läufer 1.avi", 1, None, None, Origin.MANUAL),
        ("Läufer 1.avi", 2, None, None, Origin.MANUAL),
        ("Läufer 1.avi", 3, 5.0, 6.0, Origin.PREDICTED),
        ("Läufer 1.avi", 4, 3.0, 4.0, Origin.CORRECTED),
        ("Läufer 1.avi", 5, None, None, Origin.MANUAL),
        ("a.avi", 3, 1.0, 2.0, Origin.MANUAL),
    ]
    assert [str(u) for u in result.unmatched] == [
        "row 8, Läufer 1.avi: frame 7 has 2 instances; keep one",
        "row 9, b.mp4: no clip of this name was given",
        f"row 11, {names[1]}: the name says no clip and frame",
    ]
    heel = sleap.read(path, clips, annotator="anna", point="heel")
    assert {(i.x_px, i.y_px) for i in heel.labels} == {(9.0, 9.0), (None, None)}


def test_what_is_no_slp_is_one_line(tmp_path: Path, sio: Any) -> None:
    path = tmp_path / "x.slp"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(LabelError, match=r"^x.slp: cannot be read as SLEAP's \("):
        sleap.read(path, [], annotator="anna")
    with pytest.raises(LabelError, match="no such label file"):
        sleap.read(tmp_path / "y.slp", [], annotator="anna")


def test_without_sleap_io_the_extra_is_named(
    tmp_path: Path, labels: list[Label], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sleap_io", None)
    with pytest.raises(MissingExtraError, match=r"napari-deepmtj\[sleap\]"):
        sleap.read(tmp_path / "x.slp", [], annotator="anna")
    with pytest.raises(MissingExtraError, match=r"napari-deepmtj\[sleap\]"):
        sleap.write(tmp_path / "x.slp", labels)


@pytest.mark.parametrize("folder", ["imgs", "a/b", "/nowhere"])
def test_a_project_of_pictures_that_are_not_there_is_refused_in_plain_words(
    folder: str, tmp_path: Path, clip: Path, sio: Any
) -> None:
    skeleton = sio.Skeleton(["MTJ"])
    names = [f"{folder}/trial_{number:05}.png" for number in (5, 9)]
    video = sio.Video(filename=names, open_backend=False)
    instance = sio.Instance.from_numpy(np.array([[20.0, 30.0]]), skeleton=skeleton)
    frame = sio.LabeledFrame(video=video, frame_idx=0, instances=[instance])
    path = tmp_path / "t.slp"
    sio.save_file(sio.Labels([frame]), str(path))
    with pytest.raises(LabelError, match=r"^t\.slp: its video is a list of pictures, and sleap-io"):
        sleap.read(path, [clip], annotator="A")

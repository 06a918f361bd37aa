from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_deepmtj.core.labels import Label
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.formats import images

MakeClip = Callable[..., Path]


def saved(tmp_path: Path, data: object) -> Path:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def sleap_labels(sio: Any, labels: list[Label]) -> Any:
    """The labels as sleap-io holds them, with the video's size."""
    skeleton = sio.Skeleton(nodes=["MTJ"])
    video = sio.Video(labels[0].clip, open_backend=False)
    video.backend_metadata["shape"] = (12, 60, 130, 1)
    return sio.Labels(
        [
            sio.LabeledFrame(
                video,
                label.frame,
                [
                    sio.Instance.from_numpy(
                        np.array([[label.x_px, label.y_px]], dtype=float), skeleton
                    )
                ],
            )
            for label in labels
        ]
    )


def test_coco_round_trip(
    tmp_path: Path, clip: Path, labels: list[Label], same_places: Callable[..., None]
) -> None:
    path = tmp_path / "coco.json"
    images.write_coco(path, labels, [clip])
    back = images.read_coco(path, [clip], annotator="anna")
    same_places(back.labels, labels, abs=0)
    assert back.unmatched == ()
    image = json.loads(path.read_text(encoding="utf-8"))["images"][1]
    assert image == {
        "id": 2,
        "file_name": f"{clip.stem}_frame_000005.png",
        "width": 130,
        "height": 60,
    }
    images.write_coco(path, labels)
    same_places(images.read_coco(path, [clip], annotator="anna").labels, labels, abs=0)


def test_coco_that_sleap_io_wrote(
    tmp_path: Path, clip: Path, labels: list[Label], same_places: Callable[..., None]
) -> None:
    sio = pytest.importorskip("sleap_io", reason="the extra sleap is not installed")
    path = tmp_path / "coco.json"
    sio.save_coco(sleap_labels(sio, labels), str(path))
    same_places(images.read_coco(path, [clip], annotator="anna").labels, labels)


def test_sleap_io_opens_our_coco(tmp_path: Path, clip: Path, labels: list[Label]) -> None:
    sio = pytest.importorskip("sleap_io", reason="the extra sleap is not installed")
    images.write_coco(tmp_path / "coco.json", labels, [clip])
    for label in labels:  # it reads only pictures that are there
        name = f"{clip.stem}_frame_{label.frame:06d}.png"
        Image.new("L", (130, 60)).save(tmp_path / name)
    project = sio.load_coco(str(tmp_path / "coco.json"), grayscale=True)
    got = np.array([frame.instances[0].numpy()[0] for frame in project])
    wanted = np.array([[label.x_px, label.y_px] for label in labels], dtype=float)
    np.testing.assert_allclose(got, wanted, atol=1e-5)  # sleap-io keeps single precision


def test_coco_visibility(tmp_path: Path, make_clip: MakeClip) -> None:
    points = [[1, 2, 2], [3, 4, 1], [0, 0, 0]]
    data = {
        "images": [{"id": n, "file_name": f"a_frame_{n:06d}.png"} for n in range(4)],
        "categories": [{"id": 7, "keypoints": ["heel", "MTJ"]}],
        "annotations": [
            {"image_id": n, "category_id": 7, "keypoints": [9, 9, 2, *p]}
            for n, p in enumerate(points)
        ],
    }
    clips = [make_clip("a.avi")]
    result = images.read_coco(saved(tmp_path, data), clips, annotator="anna")
    assert [(i.frame, i.x_px) for i in result.labels] == [(0, 1), (1, 3), (2, None)]
    assert result.notices == ("1 points marked 1 (occluded) are taken with their position",)
    heel = images.read_coco(saved(tmp_path, data), clips, annotator="anna", point="heel")
    assert [i.x_px for i in heel.labels] == [9, 9, 9]
    data["images"][0]["file_name"] = "photo.png"
    result = images.read_coco(saved(tmp_path, data), clips, annotator="anna")
    assert str(result.unmatched[0]) == "row 1, photo.png: the name says no clip and frame"


def test_pictures_of_another_size_are_listed(
    tmp_path: Path, clip: Path, labels: list[Label]
) -> None:
    """A position in a smaller copy of the picture is another place in the clip."""
    path = tmp_path / "x.json"
    images.write_coco(path, labels[:2], [clip])
    data = json.loads(path.read_text(encoding="utf-8"))
    data["images"][1] |= {"width": 65, "height": 30}
    result = images.read_coco(saved(tmp_path, data), [clip], annotator="anna")
    assert [label.frame for label in result.labels] == [0]
    assert "its picture has 65 x 30 px, the clip 130 x 60" in str(result.unmatched[0])
    images.write_label_studio(path, labels[:2], [clip])
    tasks = json.loads(path.read_text(encoding="utf-8"))
    for task_, size in zip(tasks, [(65, 30), (100, 100)], strict=True):
        (found,) = task_["annotations"][0]["result"]
        found |= {"original_width": size[0], "original_height": size[1]}
        found["value"] |= {"x": 10, "y": 20}
    result = images.read_label_studio(saved(tmp_path, tasks), [clip], annotator="anna")
    assert "its picture has 65 x 30 px" in str(result.unmatched[0])
    (label,) = result.labels  # sleap-io: 100 x 100 stands for a size that it does not know
    assert (label.x_px, label.y_px) == (10, 20)
    tasks[0]["annotations"][0]["result"][0]["image_rotation"] = 90
    with pytest.raises(LabelError, match="task 1: its picture was turned by 90 degrees"):
        images.read_label_studio(saved(tmp_path, tasks), [clip], annotator="anna")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"images": None}, "is not COCO"),
        ({"images": 2 * [{"id": 1, "file_name": "a_frame_000001.png"}]}, "images share an id"),
        ({"categories": [{"id": 1}]}, "has no key points"),
        ({"categories": [{"id": 1, "keypoints": ["a", "b"]}]}, r"several points \(a, b\)"),
        ({"annotations": [{"image_id": 1, "category_id": 1}]}, "annotation 1: lacks 'keypoints'"),
        (
            {"annotations": [{"image_id": 5, "category_id": 1, "keypoints": [1, 2, 2]}]},
            "annotation 1: lacks 5",
        ),
        (
            {"annotations": [{"image_id": 1, "category_id": 1, "keypoints": [1, "x", 2]}]},
            "annotation 1: could not convert",
        ),
        (
            {"annotations": [{"image_id": 1, "category_id": 1, "keypoints": [1, 10**400, 2]}]},
            "annotation 1: int too large",
        ),
        (
            {"annotations": [{"image_id": 1, "category_id": 1, "keypoints": [1]}]},
            "annotation 1: not enough values",
        ),
    ],
)
def test_malformed_coco_is_one_line(
    tmp_path: Path, make_clip: MakeClip, change: dict[str, object], complaint: str
) -> None:
    data: dict[str, object] = {
        "images": [{"id": 1, "file_name": "a_frame_000001.png"}],
        "categories": [{"id": 1, "keypoints": ["MTJ"]}],
        "annotations": [],
    }
    with pytest.raises(LabelError, match=complaint) as caught:
        images.read_coco(saved(tmp_path, data | change), [make_clip("a.avi")], annotator="anna")
    assert str(caught.value).startswith("labels.json: ")


def test_what_is_no_json_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text('{"images": [\n1,,2]}')
    with pytest.raises(LabelError, match=r"labels.json: line 2 is not JSON"):
        images.read_coco(path, [], annotator="anna")
    with pytest.raises(LabelError, match="no such label file"):
        images.read_label_studio(tmp_path / "none.json", [], annotator="anna")
    with pytest.raises(LabelError, match="must be a list of tasks"):
        images.read_label_studio(saved(tmp_path, {}), [], annotator="anna")


def test_label_studio_round_trip(
    tmp_path: Path, clip: Path, labels: list[Label], same_places: Callable[..., None]
) -> None:
    path = tmp_path / "tasks.json"
    images.write_label_studio(path, labels, [clip])
    back = images.read_label_studio(path, [clip], annotator="anna")
    same_places(back.labels, labels, abs=1e-12)
    assert back.notices == ("1 submitted tasks without a point are taken as 'not visible'",)
    partly = images.read_label_studio(path, [clip], annotator="anna", empty="not labelled")
    assert len(partly.labels) == 3


def test_label_studio_that_sleap_io_wrote(
    tmp_path: Path, clip: Path, labels: list[Label], same_places: Callable[..., None]
) -> None:
    sio = pytest.importorskip("sleap_io", reason="the extra sleap is not installed")
    path = tmp_path / "tasks.json"
    sio.save_labelstudio(sleap_labels(sio, labels), str(path))
    same_places(images.read_label_studio(path, [clip], annotator="anna").labels, labels)


def test_sleap_io_opens_our_label_studio(tmp_path: Path, clip: Path, labels: list[Label]) -> None:
    sio = pytest.importorskip("sleap_io", reason="the extra sleap is not installed")
    images.write_label_studio(tmp_path / "tasks.json", labels, [clip])
    project = sio.load_labelstudio(str(tmp_path / "tasks.json"))
    got = {f.frame_idx: [i.numpy()[0].tolist() for i in f.instances] for f in project}
    assert got[7] == []
    assert got[5] == [[pytest.approx(127.123456789), pytest.approx(1 / 7)]]


def task(image: str, *points: tuple[str, float, float], **entry: object) -> dict[str, object]:
    """A task as Label Studio exports it, of a picture of 130 x 60 px."""
    result = [
        {
            "type": "keypointlabels",
            "original_width": 130,
            "original_height": 60,
            "value": {"x": x, "y": y, "keypointlabels": [name]},
        }
        for name, x, y in points
    ]
    return {"data": {"img": image}, "annotations": [{"result": result, **entry}]}


def test_label_studio_tasks(tmp_path: Path, make_clip: MakeClip) -> None:
    tasks = [
        task("/data/upload/3/0a1b2c3d-a_frame_000001.png", ("MTJ", 50, 25), ("heel", 1, 1)),
        task("/data/local-files/?d=study/a/00002.png", ("MTJ", 1, 2)),
        task("a_frame_000003.png", was_cancelled=True),
        {"data": {"img": "a_frame_000004.png"}, "annotations": []},
        task("a_frame_000005.png"),
        task("photo.png", ("MTJ", 1, 2)),
        task("a_frame_000006.png", ("MTJ", 1, 2), ("MTJ", 1, 3)),
    ]
    result = images.read_label_studio(
        saved(tmp_path, tasks), [make_clip("a.avi")], annotator="anna"
    )
    assert [(i.frame, i.x_px, i.y_px) for i in result.labels] == [
        (1, 65, 15),
        (2, 1.3, 1.2),
        (5, None, None),
    ]
    assert [str(u) for u in result.unmatched] == [
        "row 6, photo.png: the name says no clip and frame",
        "row 7, a: has 2 points of one frame; keep one",
    ]
    with pytest.raises(LabelError, match="task 1: lacks 'completions'"):
        images.read_label_studio(saved(tmp_path, [{"data": {}}]), [], annotator="anna")


def test_sizes_come_from_the_clips_that_were_labelled(
    tmp_path: Path, clip: Path, labels: list[Label]
) -> None:
    with pytest.raises(LabelError, match=r"no clip of this name was given; its size is needed"):
        images.write_label_studio(tmp_path / "x.json", labels, [])
    with clip.open("wb") as file:
        np.save(file, np.zeros((12, 50, 50), np.uint8))
    with pytest.raises(LabelError, match="belong to another file of this name"):
        images.write_label_studio(tmp_path / "x.json", labels, [clip])

"""JSON of COCO (keypoints) and of Label Studio, in which a frame is a picture named after its clip.

Both are written so that `sleap-io` opens them, but read here: it leaves out COCO pictures that are
not on the disk, rounds their positions to single precision, and cannot read Label Studio's tasks
without a point. `NAME_frame_000005.png` is frame 5 of the clip NAME, from 0; positions are taken
as they stand.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.labels import Label
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.formats.deeplabcut import POINT, Empty
from napari_deepmtj.labels.formats.match import (
    ClipIndex,
    Found,
    Imported,
    Unmatched,
    base_name,
    match,
    one_a_frame,
    picture_place,
    sizes,
    stems,
)

#: What sleap-io writes for the height and width of a picture that it does not know.
_UNKNOWN_SIZE = (100, 100)
_LOST = "neither annotator, round, origin, time and timestamp nor the clip's hash"


def load_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    LabelError
        If it is none; the message names the line.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise LabelError("there is no such label file", path=path) from None
    except json.JSONDecodeError as error:
        raise LabelError(f"line {error.lineno} is not JSON ({error.msg})", path=path) from error
    except (OSError, ValueError, RecursionError) as error:
        raise LabelError(f"cannot be read as JSON ({error})", path=path) from error


def read_coco(
    path: str | Path,
    clips: ClipIndex | Iterable[str | Path],
    *,
    annotator: str,
    round: int = 1,  # noqa: A002 - the label's own word
    point: str | None = None,
) -> Imported:
    """Read COCO keypoints; a picture without an annotation is not labelled.

    Visibility 0 is "not visible". A point marked 1 (occluded; in files with 0 and 1 only: visible)
    keeps its position. Entries count from 1, in the order of `annotations`.

    Raises
    ------
    LabelError
        If the file is malformed, or which point to take is not clear.
    """
    path = Path(path)
    data = load_json(path)
    try:
        images = {image["id"]: str(image["file_name"]) for image in data["images"]}
        names = {kind["id"]: list(kind.get("keypoints", [])) for kind in data["categories"]}
        sizes_of = {image["id"]: _size(image, "height", "width") for image in data["images"]}
        annotations = list(data["annotations"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise LabelError(f"is not COCO: {_said(error)}", path=path) from error
    if len(images) < len(data["images"]):
        raise LabelError("two of its images share an id", path=path)
    wanted = chosen_point({str(n) for kind in names.values() for n in kind}, point, path)
    notices: list[str] = []

    def rows() -> Iterator[Found | Unmatched]:
        occluded = 0
        for number, annotation in enumerate(annotations, start=1):
            try:
                points = names[annotation["category_id"]]
                if wanted not in points:
                    continue
                at = 3 * points.index(wanted)
                x, y, visibility = (float(v) for v in annotation["keypoints"][at : at + 3])
                picture = images[annotation["image_id"]]
            except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
                raise LabelError(f"annotation {number}: {_said(error)}", path=path) from error
            xy = _finite(x, y, f"annotation {number}", path) if visibility else None
            occluded += visibility == 1
            place = picture_place(picture)
            if place is None:
                yield Unmatched(number, picture, "the name says no clip and frame")
            else:
                yield Found(number, *place, xy, size=sizes_of[annotation["image_id"]])
        if occluded:
            notices.append(f"{occluded} points marked 1 (occluded) are taken with their position")

    found = list(rows())
    return match(found, clips, path=path, annotator=annotator, round=round, notices=notices)


def write_coco(
    path: str | Path, labels: Iterable[Label], clips: ClipIndex | Iterable[str | Path] = ()
) -> tuple[str, ...]:
    """Write COCO keypoints, atomically; the pictures themselves are not written.

    Parameters
    ----------
    path : str or Path
        The `.json`.
    labels : iterable of Label
        One a frame.
    clips : ClipIndex, or iterable of str or Path, optional
        The clips, for the size of the pictures; 0 x 0 without them.

    Returns
    -------
    tuple of str
        What the file could not hold.
    """
    labels = one_a_frame(labels, "COCO")
    stem = stems(labels, "COCO")
    size = sizes(labels, clips) if _any(clips) else {}
    images, annotations = [], []
    for number, label in enumerate(labels, start=1):
        height, width = size.get(label.clip, (0, 0))
        name = f"{stem[label.clip]}_frame_{label.frame:06d}.png"
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        x, y = (0.0, 0.0) if label.x_px is None or label.y_px is None else (label.x_px, label.y_px)
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "keypoints": [x, y, 2 if label.visible else 0],
                "num_keypoints": int(label.visible),
                "bbox": [x, y, 0.0, 0.0],
                "area": 0.0,
                "iscrowd": 0,
            }
        )
    kind = {"id": 1, "name": POINT, "keypoints": [POINT], "skeleton": []}
    _save(path, {"images": images, "annotations": annotations, "categories": [kind]})
    return (f"COCO holds {_LOST} and extension",)


def read_label_studio(
    path: str | Path,
    clips: ClipIndex | Iterable[str | Path],
    *,
    annotator: str,
    round: int = 1,  # noqa: A002 - the label's own word
    point: str | None = None,
    empty: Empty = "not visible",
) -> Imported:
    """Read Label Studio's JSON export with key points.

    Positions are percentages there, made pixels by the size that the task says the picture has.
    The frame is what `meta.video` says (as `sleap-io` writes it), else the picture's name. Tasks
    count from 1. One that was skipped or has no annotation is not labelled; a submitted one
    without the point is, as `empty` says, "not visible".

    Raises
    ------
    LabelError
        If the file is malformed, or which point to take is not clear.
    """
    path = Path(path)
    tasks = load_json(path)
    if not isinstance(tasks, list):
        raise LabelError("is not Label Studio's: it must be a list of tasks", path=path)
    parsed = []
    for number, task in enumerate(tasks, start=1):
        try:
            done = task["annotations"] if "annotations" in task else task["completions"]
            done = [entry for entry in done if not entry.get("was_cancelled")]
            parsed.append((number, _task_place(task), [_key_points(entry) for entry in done]))
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise LabelError(f"task {number}: {_said(error)}", path=path) from error
    names = {name for _, _, entries in parsed for points in entries for name, *_ in points}
    wanted = chosen_point(names, point, path) if names else POINT
    blank = 0
    rows: list[Found | Unmatched] = []
    for number, place, entries in parsed:
        if not entries:
            continue
        points = [(xy, size) for name, xy, size in entries[0] if name == wanted]
        if len(entries) > 1 or len(points) > 1:
            many = f"{len(entries)} annotations" if len(entries) > 1 else f"{len(points)} points"
            rows.append(Unmatched(number, place[0], f"has {many} of one frame; keep one"))
            continue
        if not points:
            blank += 1
            if empty == "not labelled":
                continue
        if place[1] is None:
            rows.append(Unmatched(number, place[0], "the name says no clip and frame"))
            continue
        point_xy, size = points[0] if points else (None, None)
        if point_xy is not None:
            _finite(*point_xy, f"task {number}", path)
        if size == _UNKNOWN_SIZE and "video" in (tasks[number - 1].get("meta") or {}):
            size = None
        rows.append(Found(number, place[0], place[1], point_xy, size=size))
    said = "not visible" if empty == "not visible" else "not labelled"
    notices = [f"{blank} submitted tasks without a point are taken as '{said}'"] if blank else []
    return match(rows, clips, path=path, annotator=annotator, round=round, notices=notices)


def write_label_studio(
    path: str | Path, labels: Iterable[Label], clips: ClipIndex | Iterable[str | Path]
) -> tuple[str, ...]:
    """Write Label Studio tasks, atomically; the pictures themselves are not written.

    Positions are percentages of the picture there, so the clips are needed for their sizes.

    Returns
    -------
    tuple of str
        What the file could not hold.

    Raises
    ------
    LabelError
        If a clip is not among those given, or has other contents.
    """
    labels = one_a_frame(labels, "Label Studio")
    stem = stems(labels, "Label Studio")
    size = sizes(labels, clips)
    tasks = []
    for number, label in enumerate(labels, start=1):
        height, width = size[label.clip]
        result = []
        if label.x_px is not None and label.y_px is not None:
            place = {"x": 100 * label.x_px / width, "y": 100 * label.y_px / height}
            result.append(
                {
                    "id": f"mtj{number}",
                    "type": "keypointlabels",
                    "from_name": "keypoint-label",
                    "to_name": "image",
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "value": place | {"width": 0.5, "keypointlabels": [POINT]},
                }
            )
        video = {"filename": label.clip, "frame_idx": label.frame, "shape": None}
        tasks.append(
            {
                "data": {"image": f"{stem[label.clip]}_frame_{label.frame:06d}.png"},
                "meta": {"video": video},
                "annotations": [
                    {"result": result, "was_cancelled": False, "created_at": label.timestamp}
                ],
            }
        )
    _save(path, tasks)
    return (f"Label Studio's tasks hold {_LOST}",)


def chosen_point(names: Iterable[str], point: str | None, path: Path) -> str:
    """Return the name of the point to read: the one asked for, else "MTJ", else the only one.

    Raises
    ------
    LabelError
        If that leaves none or several.
    """
    names = sorted(names)
    if point is not None:
        if point not in names:
            raise LabelError(f"has no point {point!r}, only {', '.join(names)}", path=path)
        return point
    if len(names) == 1:
        return names[0]
    if not names:
        raise LabelError("has no key points", path=path)
    for name in names:
        if name.casefold() == POINT.casefold():
            return name
    raise LabelError(f"has several points ({', '.join(names[:8])}); name the one", path=path)


def _task_place(task: Mapping[str, Any]) -> tuple[str, int | None]:
    video = (task.get("meta") or {}).get("video")
    if video:
        return base_name(str(video["filename"])), int(video["frame_idx"])
    pictures = [str(value) for value in task["data"].values() if isinstance(value, str)]
    for picture in pictures:
        # What was uploaded got eight hexadecimal digits in front.
        plain = re.sub(r"(/upload/(?:\d+/)?)[0-9a-f]{8}-", r"\1", picture)
        if place := picture_place(re.sub(r"^.*[?&]d=", "", plain)):
            return place
    return ", ".join(map(base_name, pictures)) or "?", None


def _key_points(
    annotation: Mapping[str, Any],
) -> list[tuple[str, tuple[float, float], tuple[int, int] | None]]:
    """Return name, (x, y) in px and the picture's (height, width) of each point."""
    points = []
    for item in annotation["result"]:
        if item.get("type") != "keypointlabels":
            continue
        if item.get("image_rotation"):
            raise ValueError(f"its picture was turned by {item['image_rotation']} degrees")
        width, height = float(item["original_width"]), float(item["original_height"])
        xy = float(item["value"]["x"]) * width / 100, float(item["value"]["y"]) * height / 100
        size = _size(item, "original_height", "original_width")
        points.append((str(item["value"]["keypointlabels"][0]), xy, size))
    return points


def _size(said: Mapping[str, Any], height: str, width: str) -> tuple[int, int] | None:
    """Return the height and width of a picture, None where they are left out or 0."""
    size = int(said.get(height) or 0), int(said.get(width) or 0)
    return size if all(size) else None


def _finite(x: float, y: float, where: str, path: Path) -> tuple[float, float]:
    if not (math.isfinite(x) and math.isfinite(y)):
        raise LabelError(f"{where}: a position that is no number", path=path)
    return x, y


def _any(clips: ClipIndex | Iterable[str | Path]) -> bool:
    return isinstance(clips, ClipIndex) or (not isinstance(clips, Sequence) or len(clips) > 0)


def _said(error: Exception) -> str:
    return f"lacks {error}" if isinstance(error, KeyError) else str(error)


def _save(path: str | Path, data: object) -> None:
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    atomic_write(path, text.encode("utf-8"))

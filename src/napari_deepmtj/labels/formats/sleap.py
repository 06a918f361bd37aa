"""SLEAP's `.slp`, through `sleap-io` (extra `sleap`). Videos are never opened by it.

Frames count from 0 and positions are frame pixels, taken as they stand. A point without a position
or flagged invisible, and a negative frame, is "not visible".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from napari_deepmtj.core.atomic import atomic_path
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError, MissingExtraError
from napari_deepmtj.labels.formats.deeplabcut import POINT
from napari_deepmtj.labels.formats.images import chosen_point
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
)


def read(
    path: str | Path,
    clips: ClipIndex | Iterable[str | Path],
    *,
    annotator: str,
    round: int = 1,  # noqa: A002 - the label's own word
    point: str | None = None,
) -> Imported:
    """Read a `.slp` file; labelled frames count from 1.

    A person's instance goes before a prediction of the same frame, as in SLEAP. Predictions
    become PREDICTED labels, persons' instances made from one CORRECTED, others MANUAL.

    Raises
    ------
    LabelError
        If the file cannot be read, or which point to take is not clear.
    MissingExtraError
        If sleap-io is not installed.
    """
    path = Path(path)
    sleap_io = _sleap_io("reading SLEAP's files")
    if not path.is_file():
        raise LabelError("there is no such label file", path=path)
    try:
        project = sleap_io.load_slp(str(path), open_videos=False)
    except Exception as error:  # sleap-io and h5py raise many things on damaged files
        if _is_of_pictures(path):
            raise LabelError(
                "its video is a list of pictures, and sleap-io cannot read this one; give a "
                "project of the clip itself (in SLEAP: File, Replace Videos)",
                path=path,
            ) from error
        raise LabelError(f"cannot be read as SLEAP's ({error})", path=path) from error
    names = {node for skeleton in project.skeletons for node in skeleton.node_names}
    wanted = chosen_point(names, point, path)
    rows = list(_rows(project, wanted, path))
    return match(rows, clips, path=path, annotator=annotator, round=round)


def _is_of_pictures(path: Path) -> bool:
    """Return True if a video of a project is a list of pictures, not a file."""
    import h5py

    try:
        with h5py.File(path) as file:
            videos = [json.loads(text) for text in file["videos_json"][:]]
        return any(isinstance(video["backend"]["filename"], list) for video in videos)
    except Exception:  # it is damaged in other ways
        return False


def write(
    path: str | Path, labels: Iterable[Label], clips: ClipIndex | Iterable[str | Path] = ()
) -> tuple[str, ...]:
    """Write a `.slp` file, atomically, with one instance a frame.

    Parameters
    ----------
    path : str or Path
        The `.slp`.
    labels : iterable of Label
        One a frame.
    clips : ClipIndex, or iterable of str or Path, optional
        The clips, for the size of the pictures. Videos are named without their folder: SLEAP
        finds those that lie beside the file.

    Returns
    -------
    tuple of str
        What the file could not hold.

    Raises
    ------
    LabelError
        If a frame has several labels.
    MissingExtraError
        If sleap-io is not installed.
    """
    import numpy as np

    path = Path(path)
    sleap_io = _sleap_io("writing SLEAP's files")
    labels = one_a_frame(labels, "SLEAP")
    given = clips if isinstance(clips, ClipIndex) else list(clips)
    size = sizes(labels, given) if given else {}
    skeleton = sleap_io.Skeleton(nodes=[POINT], name=POINT)
    videos = {}
    for clip in dict.fromkeys(label.clip for label in labels):
        videos[clip] = sleap_io.Video(clip, open_backend=False)
        if clip in size:
            last = max(label.frame for label in labels if label.clip == clip)
            videos[clip].backend_metadata["shape"] = (last + 1, *size[clip], 1)
    frames = []
    for label in labels:
        xy = (math.nan, math.nan) if label.x_px is None else (label.x_px, label.y_px)
        instance = sleap_io.Instance.from_numpy(np.array([xy], dtype=float), skeleton)
        frames.append(sleap_io.LabeledFrame(videos[label.clip], label.frame, [instance]))
    with atomic_path(path) as temporary:
        # sleap-io chooses the format by the extension, which a temporary file has not.
        shown = temporary.with_suffix(".slp")
        try:
            sleap_io.save_slp(sleap_io.Labels(frames), str(shown), embed=False, verbose=False)
            shown.replace(temporary)
        finally:
            shown.unlink(missing_ok=True)
    return (
        "SLEAP holds neither annotator, round, origin, time and timestamp nor the clip's hash; a "
        "label 'not visible' becomes an instance without a position",
    )


def _rows(project: Any, wanted: str, path: Path) -> Iterator[Found | Unmatched]:
    for number, frame in enumerate(project.labeled_frames, start=1):
        video = frame.video.source_video or frame.video
        name, index = video.filename, int(frame.frame_idx)
        if isinstance(name, list):
            if index >= len(name):
                yield Unmatched(number, f"picture {index}", "the file does not name it")
                continue
            picture = str(name[index])
            place = picture_place(picture)
            if place is None:
                yield Unmatched(number, picture, "the name says no clip and frame")
                continue
            name, index = place
        name = base_name(str(name))
        shape = video.shape  # (frames, height, width, channels) as the file says; nothing is opened
        size = None if shape is None else (int(shape[1]), int(shape[2]))
        people, predicted = (
            [i for i in instances if wanted in i.skeleton.node_names]
            for instances in (frame.user_instances, frame.predicted_instances)
        )
        instances = people or predicted
        if len(instances) > 1:
            yield Unmatched(number, name, f"frame {index} has {len(instances)} instances; keep one")
            continue
        if not instances:
            if frame.is_negative:
                yield Found(number, name, index, None)
            continue
        point = instances[0][wanted]
        x, y = (float(v) for v in point["xy"])
        seen = bool(point["visible"]) and math.isfinite(x) and math.isfinite(y)
        origin = Origin.MANUAL
        if not people:
            origin = Origin.PREDICTED
        elif instances[0].from_predicted is not None:
            origin = Origin.CORRECTED
        yield Found(number, name, index, (x, y) if seen else None, origin, size)


def _sleap_io(feature: str) -> ModuleType:
    try:
        import sleap_io
    except ModuleNotFoundError as error:
        raise MissingExtraError(feature, "sleap") from error
    module: ModuleType = sleap_io
    return module

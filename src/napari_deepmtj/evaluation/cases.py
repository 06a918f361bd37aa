"""What a method is evaluated on: clips, or single pictures, with labels and whose they are.

A labelled clip on disk has `<stem>.mtj-labels.csv` beside it; its subject is the name of its
folder. Other collections, made up or published, make their own `Case`s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_deepmtj.core.labels import Label
from napari_deepmtj.errors import LabelError
from napari_deepmtj.io.labels import SUFFIX, labels_path
from napari_deepmtj.io.sidecar import read_sidecar
from napari_deepmtj.io.video import open_video
from napari_deepmtj.io.written import read_written

if TYPE_CHECKING:
    from napari_deepmtj.io.video import VideoSource
    from napari_deepmtj.tracking.mechanics import Side

#: Annotator of the truth of made-up clips.
PHANTOM_ANNOTATOR = "phantom"


@dataclass(frozen=True, slots=True)
class Case:
    """A clip, or a single picture as a clip of one frame, with its labels.

    Parameters
    ----------
    name : str
        What it is called in progress and notices.
    labels : tuple of Label
        What people (or the phantom) say, one a frame; each carries the clip's hash.
    subject : str
        Whose it is.
    open : callable
        Opens the clip anew each time; whoever calls closes it.
    distal : {"left", "right"} or None
        The side of the picture on which the tendon runs to the heel; with None the bias along
        the tendon has no sign.
    group : str
        What else subjects differ in, as "healthy"; empty for no groups.
    """

    name: str
    labels: tuple[Label, ...]
    subject: str
    open: Callable[[], VideoSource]
    distal: Side | None = None
    group: str = ""

    @classmethod
    def of_clip(cls, clip: Path, labels: Iterable[Label], subject: str) -> Case:
        """Return the case of a clip on disk; its side-car says which side is distal."""
        info = read_sidecar(clip)
        return cls(
            clip.name,
            tuple(labels),
            subject,
            partial(open_video, clip, background=True),
            None if info is None else info.distal_side,
        )


def data_of(cases: Sequence[Case]) -> str:
    """Return what is measured on: "phantom" (made-up clips) or "real".

    Raises
    ------
    LabelError
        If there are both, which are never put into one figure, or nothing.
    """
    made_up = {label.annotator == PHANTOM_ANNOTATOR for case in cases for label in case.labels}
    if not made_up:
        raise LabelError("there is no labelled clip to evaluate on")
    if len(made_up) > 1:
        raise LabelError(
            "made-up (phantom) and real clips are never put into one figure; evaluate them apart"
        )
    return "phantom" if made_up.pop() else "real"


def find_cases(paths: Iterable[str | Path]) -> list[Case]:
    """Return the labelled clips meant: those given, and all inside folders given.

    Raises
    ------
    LabelError
        If there is none, labels lie beside no clip, or a clip has no labels.
    """
    cases: dict[Path, Case] = {}
    for path in map(Path, paths):
        if path.is_dir():
            files = sorted(path.rglob(f"*{SUFFIX}"))
            if not files:
                raise LabelError(f"has no clip with *{SUFFIX} beside it", path=path.resolve())
            found = [_case(file) for file in files]
        else:
            found = [_case(labels_path(path), path)]
        for clip, case in found:
            cases.setdefault(clip.resolve(), case)
    return _subjects_apart(cases)


def _subjects_apart(cases: Mapping[Path, Case]) -> list[Case]:
    """Name subjects by as many of their folders as tell them all apart ("site_a/s01")."""
    folders = {clip.parent.parts for clip in cases}
    depth = 1
    while len({parts[-depth:] for parts in folders}) < len(folders):
        depth += 1
    return [
        replace(case, subject="/".join(clip.parent.parts[-depth:])) for clip, case in cases.items()
    ]


def _case(labels_file: Path, clip: Path | None = None) -> tuple[Path, Case]:
    labels = read_written(labels_file)
    names = sorted({label.clip for label in labels})
    if len(names) != 1:
        said = ", ".join(names) or "none"
        raise LabelError(f"must hold the labels of one clip, not of {said}", path=labels_file)
    if clip is None:
        clip = labels_file.with_name(names[0])
        if not clip.is_file():
            raise LabelError(f"its clip {names[0]} is not beside it", path=labels_file)
    return clip, Case.of_clip(clip, labels, clip.resolve().parent.name)

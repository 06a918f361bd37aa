"""Clips with labels, as training and evaluation see them, found on disk. No frame is read here.

Whose clip it is says a rule of `subjects.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from napari_deepmtj.core.labels import CONSENSUS, PHANTOM, Label
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.subjects import SubjectRule, by_folder
from napari_deepmtj.labels.table import SUFFIX, labels_path
from napari_deepmtj.labels.written import read_written
from napari_deepmtj.video.opening import VideoSource, open_video


@dataclass(frozen=True)
class LabelledClip:
    """A clip, whose it is, and one label for each of some of its frames.

    Parameters
    ----------
    name : str
        Base name of the clip.
    sha256 : str
        Hash of its bytes, which is what it is known by.
    subject : str
        Whose it is.
    labels : tuple of Label
        At least one, at most one a frame, in the order of the frames.
    open : callable
        Returns the clip, opened. One that processes are to share the work on must be picklable.
    roi : str
        Where its B-mode picture is, as `calibration.roi.resolve_roi` takes it.
    path : Path or None
        Its file; None for one that is drawn as it is read.

    Raises
    ------
    LabelError
        If the labels are none, or several of one frame.
    """

    name: str
    sha256: str
    subject: str
    labels: tuple[Label, ...]
    open: Callable[[], VideoSource]
    roi: str = "auto"
    path: Path | None = None

    def __post_init__(self) -> None:
        frames = [label.frame for label in self.labels]
        if not frames:
            raise LabelError("has no labels", path=self.name)
        if any(b <= a for a, b in pairwise(frames)):
            raise LabelError("its labels are not one a frame in order", path=self.name)

    @property
    def made_up(self) -> bool:
        """Whether its labels are a phantom's own truth."""
        return all(label.annotator == PHANTOM for label in self.labels)

    @property
    def frames(self) -> tuple[int, ...]:
        """The labelled frames, ascending."""
        return tuple(label.frame for label in self.labels)


def find_labelled(
    paths: Iterable[str | Path],
    subjects: SubjectRule = by_folder,
    *,
    roi: str = "auto",
    annotator: str | None = None,
) -> list[LabelledClip]:
    """Return the labelled clips meant by files and folders.

    Parameters
    ----------
    paths : iterable of str or Path
        Folders, searched for label files with their subfolders; label files, of one clip or of
        several; clips with a label file beside them.
    subjects : SubjectRule
        Names the subjects.
    roi : str
        As in `LabelledClip`.
    annotator : str, optional
        Whose labels to take. Without it, what was settled between annotators comes first, and a
        frame that several labelled differently is an error. Of several rounds the last counts.

    Raises
    ------
    LabelError
        If there is none, or labels lie beside no clip, beside another clip of that name, or
        cannot be chosen from.
    """
    found: dict[str, tuple[Path, tuple[Label, ...]]] = {}
    for path in map(Path, paths):
        for file, only in _label_files(path):
            for clip, labels in _of_file(file, only):
                sha256 = labels[0].clip_sha256
                before = found.setdefault(sha256, (clip, labels))
                if before[0].resolve() != clip.resolve() or before[1] != labels:
                    raise LabelError(
                        f"{clip.name} and {before[0].name} are one recording, labelled twice; "
                        "leave one of them out",
                        path=file,
                    )
    chosen = [(clip, _one_a_frame(labels, annotator)) for clip, labels in found.values()]
    chosen = [(clip, labels) for clip, labels in chosen if labels]
    if not chosen:
        whose = f" of {annotator}" if annotator else ""
        raise LabelError(f"there are no labels{whose} in what was given")
    names = subjects([clip for clip, _ in chosen])
    return [
        LabelledClip(
            clip.name, labels[0].clip_sha256, subject, labels, partial(open_video, clip), roi, clip
        )
        for (clip, labels), subject in zip(chosen, names, strict=True)
    ]


def _label_files(path: Path) -> list[tuple[Path, Path | None]]:
    """Return label files, each with the one clip that is meant, if not all in it are."""
    if path.is_dir() and path.suffix != ".zarr":
        files = sorted(path.rglob(f"*{SUFFIX}"))
        if not files:
            raise LabelError(f"has no *{SUFFIX} in it", path=path.resolve())
        return [(file, None) for file in files]
    if path.name.endswith(SUFFIX):
        return [(path, None)]
    if not path.exists():
        raise LabelError("there is no such clip, label file or folder", path=path)
    return [(labels_path(path), path)]


def _of_file(file: Path, only: Path | None) -> list[tuple[Path, tuple[Label, ...]]]:
    """Return the clips of one label file, each with all of its labels."""
    by_clip: dict[tuple[str, str], list[Label]] = {}
    for label in read_written(file):
        by_clip.setdefault((label.clip, label.clip_sha256), []).append(label)
    if only is not None:
        by_clip = {key: labels for key, labels in by_clip.items() if key[0] == only.name}
        if not by_clip:
            raise LabelError(f"has no labels of {only.name}", path=file)
    pairs = [
        (_beside(file, name, sha256) if only is None else _checked(only, sha256, file), labels)
        for (name, sha256), labels in by_clip.items()
    ]
    n_frames = {}
    for clip, labels in pairs:
        with open_video(clip) as source:
            n_frames[labels[0].clip_sha256] = source.n_frames
    read_written(file, n_frames=n_frames)  # once more: names the row of a frame beyond the end
    return [(clip, tuple(labels)) for clip, labels in pairs]


def _beside(file: Path, name: str, sha256: str) -> Path:
    """Return the clip of a name and content beside a label file, or in a folder beside it."""
    near = file.with_name(name)
    if near.exists():
        return _checked(near, sha256, file)
    further = sorted(clip for clip in file.parent.rglob("*") if clip.name == name)
    if not further:
        raise LabelError(f"its clip {name} is not beside it; put it there", path=file)
    for clip in further:
        if _hash(clip) == sha256:
            return clip
    return _checked(further[0], sha256, file)


def _checked(clip: Path, sha256: str, file: Path) -> Path:
    if _hash(clip) != sha256:
        raise LabelError(
            f"its labels belong to another file called {clip.name}; the contents of the one "
            "beside it differ",
            path=file,
        )
    return clip


def _hash(clip: Path) -> str:
    with open_video(clip) as source:
        return source.sha256


def _one_a_frame(labels: Sequence[Label], annotator: str | None) -> tuple[Label, ...]:
    """Choose the label of each frame, or say what a person must choose."""
    latest: dict[tuple[int, str], Label] = {}
    for label in labels:
        if annotator is None or label.annotator == annotator:
            key = label.frame, label.annotator
            if key not in latest or latest[key].round < label.round:
                latest[key] = label
    frames: dict[int, list[Label]] = {}
    for (frame, _), label in latest.items():
        frames.setdefault(frame, []).append(label)
    chosen = []
    for frame, said in sorted(frames.items()):
        settled = [label for label in said if label.annotator == CONSENSUS] or said
        if len(settled) > 1:
            who = ", ".join(sorted(label.annotator for label in settled))
            raise LabelError(
                f"was labelled by {who}, and nothing was settled between them; say whose labels "
                "to learn from",
                path=settled[0].clip,
                frame=frame,
            )
        chosen.append(settled[0])
    return tuple(chosen)

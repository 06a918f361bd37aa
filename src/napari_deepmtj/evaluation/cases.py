"""What a method is evaluated on: clips, or single pictures, with labels and whose they are.

Labelled clips on disk are found by `labels.labelled`. Other collections, made up or published, make
their own `Case`s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from napari_deepmtj.core.labels import PHANTOM, Label
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.labelled import LabelledClip, find_labelled
from napari_deepmtj.labels.subjects import SubjectRule, by_folder
from napari_deepmtj.video.sidecar import read_sidecar

if TYPE_CHECKING:
    from napari_deepmtj.mechanics.motion import Side
    from napari_deepmtj.video.opening import VideoSource


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
    def of_clip(cls, clip: LabelledClip) -> Self:
        """Return the case of a labelled clip; its side-car says which side is distal."""
        info = None if clip.path is None else read_sidecar(clip.path)
        return cls(
            clip.name,
            clip.labels,
            clip.subject,
            clip.open,
            None if info is None else info.distal_side,
        )


def data_of(cases: Sequence[Case]) -> str:
    """Return what is measured on: "phantom" (made-up clips) or "real".

    Raises
    ------
    LabelError
        If there are both, which are never put into one figure, or nothing.
    """
    made_up = {label.annotator == PHANTOM for case in cases for label in case.labels}
    if not made_up:
        raise LabelError("there is no labelled clip to evaluate on")
    if len(made_up) > 1:
        raise LabelError(
            "made-up (phantom) and real clips are never put into one figure; evaluate them apart"
        )
    return "phantom" if made_up.pop() else "real"


def find_cases(
    paths: Iterable[str | Path],
    subjects: SubjectRule = by_folder,
    *,
    annotator: str | None = None,
) -> list[Case]:
    """Return the labelled clips meant, as `labels.labelled.find_labelled` finds them.

    Raises
    ------
    LabelError
        If there is none, or it is not clear which labels are meant or what they belong to.
    """
    return [Case.of_clip(clip) for clip in find_labelled(paths, subjects, annotator=annotator)]

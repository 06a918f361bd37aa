"""The phantom cohort as labelled clips, split as the study says; who it is, `phantom.study`."""

from __future__ import annotations

from collections.abc import Generator

from napari_deepmtj.core.jobs import Done, Progress
from napari_deepmtj.labels.labelled import LabelledClip
from napari_deepmtj.phantom.study import Part, Study, StudyClip
from napari_deepmtj.training.split import Split


def labelled(clip: StudyClip) -> LabelledClip:
    """Return one clip of the study with the truth of its annotated frames."""
    labels = tuple(clip.labels())
    return LabelledClip(clip.name, labels[0].clip_sha256, clip.subject, labels, clip.source)


def study_split(study: Study) -> Generator[Progress | Done[Split]]:
    """Bring a study into the form that training takes.

    Yields
    ------
    Progress
        In clips.
    Done of Split
        Last. As in P20, the test is apart by subject, the validation by clip.
    """
    sides: dict[str, list[LabelledClip]] = {part: [] for part in Part}
    for number, clip in enumerate(study.clips, start=1):
        sides[clip.split].append(labelled(clip))
        yield Progress(number, len(study.clips), "clip")
    yield Done(
        Split(
            tuple(sides[Part.TRAIN]),
            tuple(sides[Part.VALIDATION]),
            tuple(sides[Part.TEST]),
            f"phantom cohort of seed {study.seed}: test by subject, training and validation by "
            "clip (P20)",
            shares_subjects=True,
        )
    )

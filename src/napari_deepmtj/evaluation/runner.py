"""The job that tracks labelled clips and compares the result with their labels.

A labelled clip has `<stem>.mtj-labels.csv` beside it; its subject is the name of its folder.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import DeepMTJError, LabelError
from napari_deepmtj.evaluation.metrics import Summary, compare, summarise
from napari_deepmtj.inference.predictor import TrackedBatch, track
from napari_deepmtj.io.labels import SUFFIX, labels_path
from napari_deepmtj.io.video import open_video, until_complete
from napari_deepmtj.io.written import read_written

if TYPE_CHECKING:
    from napari_deepmtj.weights.store import Model

#: Annotator of the truth of made-up clips.
PHANTOM_ANNOTATOR = "phantom"


@dataclass(frozen=True, slots=True)
class Case:
    """A clip with its labels.

    Parameters
    ----------
    clip : Path
        The video.
    labels : tuple of Label
        What people (or the phantom) say.
    subject : str
        Whose it is: the name of the clip's folder, led by those above where names recur.
    """

    clip: Path
    labels: tuple[Label, ...]
    subject: str


@dataclass(frozen=True, slots=True)
class CaseDone:
    """One clip is tracked and compared."""

    case: Case
    trajectory: Trajectory
    errors: pd.DataFrame
    seconds: float
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a model does on a set of labelled clips.

    Parameters
    ----------
    errors : pandas.DataFrame
        `metrics.ERROR_COLUMNS`, one row a labelled frame.
    summary : Summary
        What they come to.
    model : mapping
        Id, version and sha256 of the weights.
    annotators : tuple of str
        Who labelled.
    ms_per_frame : float
        Wall time of tracking per tracked frame, decoding included, in milliseconds.
    """

    errors: pd.DataFrame
    summary: Summary
    model: dict[str, str]
    annotators: tuple[str, ...]
    ms_per_frame: float

    @property
    def data(self) -> str:
        """What was measured on: "phantom" (made-up clips), "real", or "phantom and real"."""
        made_up = PHANTOM_ANNOTATOR in self.annotators
        real = any(name != PHANTOM_ANNOTATOR for name in self.annotators)
        return " and ".join(["phantom"] * made_up + ["real"] * real)

    def to_json(self) -> dict[str, Any]:
        """Return what `evaluation.json` holds."""
        from napari_deepmtj import __version__

        return {
            "schema": 1,
            "software": f"napari-deepmtj {__version__}",
            "data": self.data,
            "model": self.model,
            "annotators": list(self.annotators),
            "ms_per_frame": self.ms_per_frame,
            "summary": self.summary.to_json(),
        }


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
        for case in found:
            cases.setdefault(case.clip.resolve(), case)
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


def _case(labels_file: Path, clip: Path | None = None) -> Case:
    labels = tuple(read_written(labels_file))
    names = sorted({label.clip for label in labels})
    if len(names) != 1:
        said = ", ".join(names) or "none"
        raise LabelError(f"must hold the labels of one clip, not of {said}", path=labels_file)
    if clip is None:
        clip = labels_file.with_name(names[0])
        if not clip.is_file():
            raise LabelError(f"its clip {names[0]} is not beside it", path=labels_file)
    return Case(clip, labels, clip.resolve().parent.name)


def evaluate(
    cases: Sequence[Case], model: Model, *, roi: str = "auto", device: str = "auto"
) -> Generator[Notice | Progress | CaseDone | Done[Evaluation] | Failed]:
    """Track labelled clips and compare.

    A clip that cannot be tracked or compared ends the job: leaving it out would change the
    figures without a word.

    Yields
    ------
    Notice
        What a person must be told, led by the clip's name.
    Progress
        In frames of one clip; its name is the note.
    CaseDone
        A clip's result.
    Done of Evaluation, or Failed
        Last.
    """
    tables: list[pd.DataFrame] = []
    seconds, frames = 0.0, 0
    try:
        for case in cases:
            trajectory = None
            spent = 0.0
            with (
                open_video(case.clip, background=True) as source,
                closing(track(source, model, roi=roi, device=device)) as events,
            ):
                yield from until_complete(source)
                for event in events:
                    match event:
                        case TrackedBatch(done=done, total=total):
                            spent = event.seconds
                            yield Progress(done, total, note=case.clip.name)
                        case Notice(message):
                            yield Notice(f"{case.clip.name}: {message}")
                        case Failed():
                            yield event
                            return
                        case Done(result):
                            trajectory = result
            assert trajectory is not None  # a job ends in Done or Failed
            errors = compare(trajectory, case.labels, case.subject)
            tables.append(errors)
            seconds, frames = seconds + spent, frames + len(trajectory)
            yield CaseDone(case, trajectory, errors, spent, len(tables), len(cases))
        if not tables:
            raise LabelError("there is no labelled clip to evaluate on")
        table = pd.concat(tables, ignore_index=True)
        card = model.card
        annotators = {label.annotator for case in cases for label in case.labels}
        yield Done(
            Evaluation(
                table,
                summarise(table),
                {"id": card.id, "version": card.version, "sha256": card.sha256},
                tuple(sorted(annotators)),
                1000 * seconds / frames,
            )
        )
    except DeepMTJError as error:
        yield Failed(error)

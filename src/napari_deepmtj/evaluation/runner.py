"""The job that has methods find the MTJ in labelled clips and compares the result with the labels.

One clip at a time is open, and of its frames nothing is kept. What the errors come to is `summary`,
what methods come to beside each other `comparison`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from napari_deepmtj.calibration.roi import resolve_roi
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import DeepMTJError, LabelError
from napari_deepmtj.evaluation.cases import Case, data_of
from napari_deepmtj.evaluation.comparison import ClipFacts, Comparison, Evaluation
from napari_deepmtj.evaluation.methods import Found, Method
from napari_deepmtj.evaluation.metrics import compare
from napari_deepmtj.evaluation.summary import Unit, summarise
from napari_deepmtj.video.opening import until_complete

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource


@dataclass(frozen=True, slots=True)
class CaseDone:
    """One clip is tracked by one method, and compared."""

    case: Case
    method: str
    trajectory: Trajectory
    errors: pd.DataFrame
    seconds: float
    done: int
    total: int


EvaluateEvent = Notice | Progress | CaseDone | Done[Comparison] | Failed


@dataclass
class _Tally:
    """What one method has come to so far."""

    tables: list[pd.DataFrame] = field(default_factory=list)
    seconds: float = 0.0
    frames: int = 0
    devices: set[str] = field(default_factory=set)


def evaluate(
    cases: Sequence[Case],
    methods: Sequence[Method],
    *,
    roi: str = "auto",
    labelled_only: bool = False,
) -> Generator[EvaluateEvent]:
    """Let methods find the MTJ in labelled clips, and compare them with the labels.

    A clip that cannot be tracked or compared ends the job: leaving it out would change the
    figures without a word.

    Parameters
    ----------
    cases : sequence of Case
        Clips or single pictures; made-up and real ones are refused together.
    methods : sequence of Method
        All see the same region of the same clips, one after the other, each opening the clip
        anew, so that none profits from what another has read.
    roi : str
        As `calibration.roi.resolve_roi` takes it.
    labelled_only : bool
        Whether networks look at the labelled frames only. Trackers need every frame.

    Yields
    ------
    Notice
        What a person must be told, led by the clip's name.
    Progress
        In frames of one clip; its name is the note.
    CaseDone
        A clip's result, for each method.
    Done of Comparison, or Failed
        Last.
    """
    try:
        data = data_of(cases)
        names = [method.name for method in methods]
        if len(set(names)) < len(names) or not names:
            raise LabelError(f"methods need names that differ, not {', '.join(names) or 'none'}")
        tallies = {name: _Tally() for name in names}
        facts: dict[tuple[str, str, str], ClipFacts] = {}
        done, total = 0, len(cases) * len(methods)
        for case in cases:
            told: set[str] = set()
            for method in methods:
                found = yield from _found(case, method, roi, labelled_only, told)
                if found is None:
                    return
                errors = compare(
                    found.trajectory,
                    case.labels,
                    case.subject,
                    distal=case.distal,
                    given=found.given,
                ).assign(group=case.group, method=method.name)
                fact = ClipFacts.of(found.trajectory.provenance, case.subject, case.group)
                if method is methods[0] and fact.key in facts:
                    raise LabelError(
                        f"the same clip is there twice for {case.subject}; give it once",
                        path=case.name,
                    )
                facts[fact.key] = fact
                tally = tallies[method.name]
                tally.tables.append(errors)
                tally.seconds += found.seconds
                tally.frames += found.frames
                tally.devices.add(found.device)
                done += 1
                yield CaseDone(
                    case, method.name, found.trajectory, errors, found.seconds, done, total
                )
        annotators = sorted({label.annotator for case in cases for label in case.labels})
        unit: Unit = "mm" if all(fact.scale is not None for fact in facts.values()) else "px"
        evaluations = []
        for method in methods:
            tally = tallies[method.name]
            table = pd.concat(tally.tables, ignore_index=True)
            evaluations.append(
                Evaluation(
                    method.name,
                    method.kind,
                    method.about,
                    table,
                    summarise(table, unit),
                    tally.seconds,
                    tally.frames,
                    ", ".join(sorted(tally.devices)),
                    sum(method.knows(case) for case in cases),
                )
            )
        yield Done(Comparison(tuple(evaluations), data, tuple(annotators), facts, labelled_only))
    except DeepMTJError as error:
        yield Failed(error)


def _found(
    case: Case, method: Method, roi: str, labelled_only: bool, told: set[str]
) -> Generator[Notice | Progress | Failed, None, Found | None]:
    """Open a clip and let a method at it; what was told of the clip before is not told again."""
    with case.open() as source:
        yield from until_complete(source)
        region, notices = resolve_roi(roi, source)
        _warm(source)
        for message in notices:
            if message not in told:
                told.add(message)
                yield Notice(f"{case.name}: {message}")
        events = method.find(source, case.labels, region, labelled_only=labelled_only)
        with closing(events):
            while True:
                try:
                    event = next(events)
                except StopIteration as end:
                    found: Found | None = end.value
                    return found
                match event:
                    case Progress(done, total):
                        yield Progress(done, total, note=case.name)
                    case Notice(message):
                        if message not in told:
                            told.add(message)
                            yield Notice(f"{case.name}: {message}")
                    case Failed():
                        yield event
                        return None


def _warm(source: VideoSource) -> None:
    """Have the file's hash taken, which reads all of it, before any time is measured."""
    assert source.sha256

"""Opening, pausing and giving back the label file of a viewer's annotation; asking about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_deepmtj._napari.annotation.state import AnnotationState
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.session import Question
from napari_deepmtj.annotation.rounds import Mode
from napari_deepmtj.annotation.session import AnnotationSession
from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.labels.store import LabelLocked, LabelStore
from napari_deepmtj.labels.table import SUFFIX


@dataclass(frozen=True, slots=True)
class Round:
    """What a person asks for when opening a label file.

    Parameters
    ----------
    path : Path
        The label file.
    annotator : str
        Who labels.
    number : int
        Which round.
    mode : Mode
        What it is for.
    of : (annotator, round) or None
        What is reviewed or labelled again.
    seed : int
        Of the order of a blinded round.
    """

    path: Path
    annotator: str
    number: int = 1
    mode: Mode = Mode.LABEL
    of: tuple[str, int] | None = None
    seed: int = 0


def open_labels(annotation: AnnotationState, asked: Round, *, take_over: bool = False) -> None:
    """Open a label file and go on where this annotator and round were left.

    One that another program edits is asked about.
    """
    annotation.close()
    annotation.message = ""
    annotation.question = None
    try:
        store = LabelStore.open(asked.path, take_over=take_over)
    except LabelLocked as error:
        annotation.question = Question(
            str(error),
            (
                ("Take over", lambda: open_labels(annotation, asked, take_over=True)),
                ("Leave it", lambda: None),
            ),
        )
        return
    except DeepMTJError as error:
        annotation.message = str(error)
        return
    try:
        core = AnnotationSession(
            store, asked.annotator, asked.number, asked.mode, asked.of, asked.seed
        )
    except DeepMTJError as error:
        store.close()
        annotation.message = str(error)
        return
    annotation.tell(*store.notices)
    annotation.begin(core)


def files_at_hand(annotation: AnnotationState) -> list[Path]:
    """Return the label file that is being edited, else those beside the active clip."""
    core, clip = annotation.core, annotation.session.active
    if core is not None:
        return [Path(core.book.store.path)]
    path = None if clip is None else clips.source_of(clip).path
    return [] if path is None else sorted(path.parent.glob(f"*{SUFFIX}"))


def pause(annotation: AnnotationState) -> None:
    """Write the label file, now that a person pauses, or take up what changed outside.

    Where both changed the same labels, the person is asked.
    """
    core = annotation.core
    if core is None or annotation.question is not None:
        return
    book, store = core.book, core.book.store
    try:
        change = store.outside_change()
        if change is None:
            store.compact()
            return
        said = f"{store.path.name} was changed by another program: {change}"
        if not change.conflicts:
            store.merge(change)
            book.refresh()
            annotation.tell(f"{said}; merged.")
            annotation.show()
            return
    except DeepMTJError as error:
        annotation.tell(str(error))
        return

    def take(prefer: Literal["ours", "theirs"]) -> None:
        store.merge(change, prefer)
        book.refresh()

    annotation.question = Question(
        f"{said}.",
        (
            ("Keep mine", lambda: annotation.do(lambda _: take("ours"))),
            ("Take theirs", lambda: annotation.do(lambda _: take("theirs"))),
        ),
    )

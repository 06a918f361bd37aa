"""What a view shows of a clip's labels: own ones, proposals and those of others, as one list."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from napari_deepmtj.annotation.queue import Item
from napari_deepmtj.core.trajectory import Origin

if TYPE_CHECKING:
    from napari_deepmtj.annotation.session import AnnotationSession


class Role(StrEnum):
    """Whose a mark is, for the annotator who looks at it."""

    OWN = "own"
    PROPOSED = "proposed"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Mark:
    """One point to show.

    Parameters
    ----------
    frame : int
        Number in the clip, from 0.
    x_px, y_px : float
        Position in frame pixels.
    role : Role
        Own points and proposals may be moved, those of others may not.
    origin : Origin
        Of the label, or of what is proposed.
    who : str
        The annotator, or "model".
    round : int or None
        Of a label.
    confidence : float or None
        Of a prediction, where it is known.
    """

    frame: int
    x_px: float
    y_px: float
    role: Role
    origin: Origin
    who: str
    round: int | None = None
    confidence: float | None = None

    @property
    def text(self) -> str:
        """What is written beside it: whose it is, and how it came about."""
        if self.role is Role.PROPOSED:
            sure = "" if self.confidence is None else f" {self.confidence:.2f}"
            return f"{self.who}: accept?{sure}"
        round_ = f" {self.round}" if self.role is Role.OTHER and (self.round or 1) > 1 else ""
        return f"{self.who}{round_}: {self.origin.value.lower()}"


def marks_of(session: AnnotationSession, clip_sha256: str, *, others: bool) -> list[Mark]:
    """Return what there is to show of a clip, by frame, own marks last in each.

    Parameters
    ----------
    session : AnnotationSession
        Decides what may be seen; in a blinded round that is its own labels alone.
    clip_sha256 : str
        The clip.
    others : bool
        Whether the labels of others, and earlier ones of one's own, are wanted. Adjudicating
        always shows them.
    """
    labels = session.book.of_clip(clip_sha256)
    labelled = {label.frame for label in labels if session.is_own(label)}
    seen = not session.blind and (others or session.settles)
    marks: list[Mark] = []
    for label in labels:
        own = session.is_own(label)
        proposed = session.reviews(label) and label.frame not in labelled  # shown as such below
        if label.x_px is None or label.y_px is None or not (own or (seen and not proposed)):
            continue
        role = Role.OWN if own else Role.OTHER
        at = (label.frame, label.x_px, label.y_px)
        marks.append(Mark(*at, role, label.origin, label.annotator, label.round))
    for item in _may_be_proposed(session, clip_sha256):
        proposal = None if item.frame in labelled else session.proposal_of(item)
        if proposal is None or proposal.x_px is None or proposal.y_px is None:
            continue
        at = (item.frame, proposal.x_px, proposal.y_px)
        sure = proposal.confidence
        marks.append(Mark(*at, Role.PROPOSED, proposal.origin, proposal.by, None, sure))
    order = (Role.OTHER, Role.PROPOSED, Role.OWN)
    return sorted(marks, key=lambda mark: (mark.frame, order.index(mark.role)))


def _may_be_proposed(session: AnnotationSession, clip_sha256: str) -> list[Item]:
    """Return the frames of a clip that are in the queue, and the one that is looked at."""
    items = dict.fromkeys(i for i in session.place.queue.items if i.clip_sha256 == clip_sha256)
    if (here := session.item) is not None and here.clip_sha256 == clip_sha256:
        items[here] = None
    return list(items)

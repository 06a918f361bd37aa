"""A label file while one person edits it: labels by frame, flags, and every edit with its undo.

What is edited, and where a person is, is decided by `session` and `place`; the file is
`labels.store`.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from napari_deepmtj.core.labels import Edit, Label, StateEdit
from napari_deepmtj.errors import LabelError

if TYPE_CHECKING:
    from napari_deepmtj.annotation.queue import Item
    from napari_deepmtj.core.labels import Json
    from napari_deepmtj.labels.store import LabelStore

AnyEdit = Edit | StateEdit
Whose = tuple[str, int]  #: An annotator and a round.


class Frame(Protocol):
    """Whatever tells which frame of which clip is meant."""

    @property
    def clip_sha256(self) -> str:
        """Content hash of the clip."""

    @property
    def frame(self) -> int:
        """Number in the clip, from 0."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What one action changed, and in which frame."""

    edits: tuple[AnyEdit, ...]
    item: Item


class _Index:
    """Labels by clip, frame and whose they are; frames by whose labels they have."""

    def __init__(self) -> None:
        self.clips: dict[str, dict[int, dict[Whose, Label]]] = {}
        self.frames: dict[Whose, set[tuple[str, int]]] = {}

    def at(self, clip_sha256: str, frame: int) -> dict[Whose, Label]:
        return self.clips.get(clip_sha256, {}).get(frame, {})

    def put(self, label: Label) -> None:
        whose, frames = (label.annotator, label.round), self.clips.setdefault(label.clip_sha256, {})
        frames.setdefault(label.frame, {})[whose] = label
        self.frames.setdefault(whose, set()).add((label.clip_sha256, label.frame))

    def take(self, label: Label) -> None:
        whose = label.annotator, label.round
        del self.clips[label.clip_sha256][label.frame][whose]
        self.frames[whose].remove((label.clip_sha256, label.frame))


class Book:
    """The labels of a store by frame, with undo.

    Parameters
    ----------
    store : LabelStore
        Puts every edit on disk; whoever opened it closes it.
    """

    def __init__(self, store: LabelStore) -> None:
        self.store = store
        self._undo: list[_Step] = []
        self._redo: list[_Step] = []
        self.refresh()

    def refresh(self) -> None:
        """Take over the labels of the store."""
        self._merges = self.store.merges
        self._index = _Index()
        for label in self.store.labels:
            self._index.put(label)

    @property
    def _known(self) -> _Index:
        """The labels by frame; taken over anew where the store was merged by itself."""
        if self._merges != self.store.merges:
            self.refresh()
        return self._index

    # ----- looking ----------------------------------------------------------------------------

    def at(self, frame: Frame) -> tuple[Label, ...]:
        """Return all labels of a frame."""
        return tuple(self._known.at(frame.clip_sha256, frame.frame).values())

    def get(self, frame: Frame, annotator: str, round_: int) -> Label | None:
        """Return one annotator's label of a frame in one round, None where there is none."""
        return self._known.at(frame.clip_sha256, frame.frame).get((annotator, round_))

    def of_clip(self, clip_sha256: str) -> list[Label]:
        """Return all labels of a clip, by frame, annotator and round."""
        frames = self._known.clips.get(clip_sha256, {})
        found = [label for here in frames.values() for label in here.values()]
        return sorted(found, key=lambda la: (la.frame, la.annotator, la.round))

    def labelled(self, annotator: str, round_: int) -> AbstractSet[tuple[str, int]]:
        """Return (clip_sha256, frame) of all frames that an annotator labelled in a round."""
        return self._known.frames.get((annotator, round_), set())

    def state(self, name: str) -> Json:
        """Return an entry of the state, None where there is none."""
        return self.store.state.get(name)

    def set_state(self, name: str, value: Json) -> StateEdit:
        """Return the edit that sets an entry of the state."""
        return StateEdit(name, self.state(name), value)

    def flagged(self) -> frozenset[tuple[str, int]]:
        """Return (clip_sha256, frame) of all frames that somebody flagged."""
        names = (re.fullmatch(r"flag/(.+)/([0-9]+)", name) for name in self.store.state)
        return frozenset((name[1], int(name[2])) for name in names if name)

    def is_flagged(self, frame: Frame) -> bool:
        """Whether somebody flagged a frame."""
        return self.state(flag_name(frame)) is not None

    # ----- editing ----------------------------------------------------------------------------

    def apply(self, *edits: AnyEdit) -> None:
        """Put edits on disk, all or none, without a way back."""
        if not edits:
            return
        self.store.apply(*edits)
        if self._merges != self.store.merges:
            self.refresh()
            return
        for edit in edits:
            if isinstance(edit, Edit):
                if edit.before is not None:
                    self._index.take(edit.before)
                if edit.after is not None:
                    self._index.put(edit.after)

    def commit(self, item: Item, edits: list[AnyEdit], *moves: AnyEdit) -> None:
        """Put edits of one frame on disk, with moves that undo leaves alone."""
        self.apply(*edits, *moves)
        self._undo.append(_Step(tuple(edits), item))
        self._redo.clear()

    def undo(self) -> Item | None:
        """Take the last edit back and return where it was; None if there is none."""
        return self._revert(self._undo, self._redo, "undone")

    def redo(self) -> Item | None:
        """Make the edit again that was taken back last; None if there is none."""
        return self._revert(self._redo, self._undo, "redone")

    def _revert(self, these: list[_Step], those: list[_Step], what: str) -> Item | None:
        if not these:
            return None
        step = these[-1]
        edits = tuple(edit.inverse() for edit in reversed(step.edits))
        if any(self._present(edit) != edit.before for edit in edits):
            these.pop()
            raise LabelError(
                f"was changed by another program since, so the edit is not {what}",
                path=step.item.clip,
                frame=step.item.frame,
            )
        self.apply(*edits)
        these.pop()
        those.append(_Step(edits, step.item))
        return step.item

    def _present(self, edit: AnyEdit) -> Any:
        return self.state(edit.name) if isinstance(edit, StateEdit) else self.store.get(*edit.key)


def flag_name(frame: Frame) -> str:
    """Return the name of the state's entry that flags a frame."""
    return f"flag/{frame.clip_sha256}/{frame.frame}"

"""Three sides of a label file: as it was, ours, and what another program made of it.

How it was is known without keeping it: what we did not edit is as we read it, and of what we did
the journal has every value before and after. Reading and writing is `labels.store`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from napari_deepmtj.core.labels import Edit, Json, Label, LabelKey, StateEdit

#: Positions (px) and times (s) that differ by less are the same: spreadsheets save ten digits.
TOLERANCE = 1e-5

#: What is edited: a label, by its key, or an entry of the state, by its name.
Key: TypeAlias = LabelKey | str
Value: TypeAlias = "Label | Json"


@dataclass(frozen=True)
class OutsideChange:
    """What another program changed in the files since they were read.

    Parameters
    ----------
    edits : tuple of Edit or StateEdit
        From ours to theirs, where only theirs changed.
    conflicts : tuple of Edit or StateEdit
        From ours to theirs, where both changed, differently: a person must be asked.
    """

    edits: tuple[Edit | StateEdit, ...]
    conflicts: tuple[Edit | StateEdit, ...]

    @property
    def added(self) -> tuple[Label, ...]:
        """Labels that only the file has."""
        return tuple(e.after for e in self._labels if e.before is None and e.after is not None)

    @property
    def changed(self) -> tuple[Edit, ...]:
        """Labels that the file has otherwise: from ours to theirs."""
        return tuple(e for e in self._labels if e.before is not None and e.after is not None)

    @property
    def removed(self) -> tuple[Label, ...]:
        """Labels that the file no longer has."""
        return tuple(e.before for e in self._labels if e.before is not None and e.after is None)

    @property
    def _labels(self) -> Iterable[Edit]:
        return (edit for edit in self.edits if isinstance(edit, Edit))

    def __bool__(self) -> bool:
        return bool(self.edits or self.conflicts)

    def __str__(self) -> str:
        counts = {
            "added": len(self.added),
            "changed": len(self.changed),
            "removed": len(self.removed),
            "in conflict with edits made here": len(self.conflicts),
        }
        said = [f"{count} {what}" for what, count in counts.items() if count]
        return ", ".join(said) or "only the state of annotation"


class Said:
    """Every value that the edits since the files were last written speak of, by key."""

    def __init__(self) -> None:
        self._values: dict[Key, list[Value]] = {}

    def add(self, edits: Iterable[Edit | StateEdit]) -> None:
        """Take note of edits, oldest first."""
        for edit in edits:
            self._values.setdefault(key_of(edit), []).extend((edit.before, edit.after))

    def clear(self) -> None:
        """Forget all, as the files hold it."""
        self._values.clear()

    def __len__(self) -> int:
        return len(self._values)

    def edited_first(self) -> Iterable[Key]:
        """Return the keys of what was there before the first edit of it."""
        return (key for key, values in self._values.items() if values[0] is not None)

    def newest(self) -> Iterable[tuple[Key, Value]]:
        """Return each key with its value after the last edit."""
        return ((key, values[-1]) for key, values in self._values.items())

    def settle(self, key: Key, ours: Value, theirs: Value) -> bool | None:
        """Return whether theirs is to be taken; None if a person must be asked.

        What the file says and we once said too is an older value of ours: the journal was not yet
        emptied when the file was written. Values that we edited and edited back are theirs.
        """
        values = self._values.get(key)
        if values is None:
            return True
        if any(same(theirs, value) for value in values):
            return False
        return True if same(ours, values[0]) else None


def compare(ours: Mapping[Key, Value], theirs: Mapping[Key, Value], said: Said) -> OutsideChange:
    """Return what leads from ours to theirs, without what is only older there."""
    edits: list[Edit | StateEdit] = []
    conflicts: list[Edit | StateEdit] = []
    for key in dict.fromkeys([*ours, *theirs]):
        mine, other = ours.get(key), theirs.get(key)
        if mine is other or same(mine, other):
            continue
        taken = said.settle(key, mine, other)
        if taken is not False:
            (conflicts if taken is None else edits).append(edit_of(key, mine, other))
    return OutsideChange(tuple(edits), tuple(conflicts))


def key_of(edit: Edit | StateEdit) -> Key:
    """Return the key of what is edited."""
    return edit.name if isinstance(edit, StateEdit) else edit.key


def edit_of(key: Key, before: Value, after: Value) -> Edit | StateEdit:
    """Return the edit of what has this key."""
    if isinstance(key, str):
        return StateEdit(key, before, after)  # type: ignore[arg-type]
    return Edit(before, after)  # type: ignore[arg-type]


def same(one: Value, other: Value) -> bool:
    """Whether two values say the same, positions and times to `TOLERANCE`."""
    if not (isinstance(one, Label) and isinstance(other, Label)):
        return one == other
    if one == other:
        return True
    for name in ("time_s", "x_px", "y_px"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if (mine is None) != (theirs is None):
            return False
        if mine is not None and not math.isclose(mine, theirs, rel_tol=0, abs_tol=TOLERANCE):
            return False
    numbers = {name: getattr(one, name) for name in ("time_s", "x_px", "y_px")}
    return replace(other, **numbers) == one

"""A label: where a person, or a phantom's truth, says the MTJ is in one frame; and its edits.

Reading and writing label files is `labels.table`; keeping edits on disk is `labels.store`.
"""

from __future__ import annotations

import datetime as dt
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError

#: Columns of `*.mtj-labels.csv`, in order.
LABEL_COLUMNS: tuple[str, ...] = (
    "clip",
    "clip_sha256",
    "frame",
    "time_s",
    "x_px",
    "y_px",
    "visible",
    "annotator",
    "round",
    "origin",
    "timestamp",
)

#: What no two labels of one file share: hash of the clip, frame, annotator, round.
LabelKey: TypeAlias = tuple[str, int, str, int]

#: Annotator of labels that were settled between annotators.
CONSENSUS = "consensus"
#: Annotator of the truth of made-up clips.
PHANTOM = "phantom"

#: Longest text of a label; names of files have up to 255.
MAX_TEXT = 1000

#: What JSON can say. None stands for "nothing there".
Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


def now() -> str:
    """Return the present time as labels carry it: ISO 8601, UTC, to the second."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The MTJ of one frame, or that it is not visible there.

    Parameters
    ----------
    clip : str
        Base name of the clip; never a folder.
    clip_sha256 : str
        Hash of the clip's bytes, which tells two clips of one name apart.
    frame : int
        Zero-based index in the clip.
    time_s : float or None
        The frame's time in seconds, where the clip has times.
    x_px, y_px : float or None
        Position in frame pixels (pixel centres at integers); both None where not visible.
    annotator : str
        Who says so ("phantom" for the truth of a made-up clip).
    round : int
        Round of annotation, from 1.
    origin : Origin
        MANUAL for a point set by hand, CORRECTED for a prediction that was moved, PREDICTED for
        one that was looked at and accepted.
    timestamp : str
        When, in ISO 8601.

    Raises
    ------
    LabelError
        If a value is impossible.
    """

    clip: str
    clip_sha256: str
    frame: int
    time_s: float | None = None
    x_px: float | None
    y_px: float | None
    annotator: str
    round: int = 1
    origin: Origin = Origin.MANUAL
    timestamp: str = field(default_factory=now)

    def __post_init__(self) -> None:
        self._make_plain()
        if not self.clip or "/" in self.clip or "\\" in self.clip:
            raise LabelError(f"clip {self.clip!r} is not a file name without folders")
        for name in ("clip_sha256", "annotator"):
            if not getattr(self, name):
                raise LabelError(f"{name} is empty")
        if self.frame < 0:
            raise LabelError(f"frame {self.frame} is negative; frames count from 0")
        if self.round < 1:
            raise LabelError(f"round {self.round} is impossible; rounds count from 1")
        if (self.x_px is None) != (self.y_px is None):
            raise LabelError("x_px and y_px belong together: give both, or neither if not visible")
        for name in ("time_s", "x_px", "y_px"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise LabelError(f"{name} is {value}; leave it out where there is none")
        try:
            dt.datetime.fromisoformat(self.timestamp)
        except ValueError:
            raise LabelError(f"timestamp {self.timestamp!r} is not an ISO 8601 time") from None

    @property
    def visible(self) -> bool:
        """Whether the MTJ can be seen in the frame."""
        return self.x_px is not None

    @property
    def key(self) -> LabelKey:
        """What no two labels of one file share: clip, frame, annotator and round."""
        return self.clip_sha256, self.frame, self.annotator, self.round

    def _make_plain(self) -> None:
        """Turn numpy's numbers into Python's, and refuse what no file could hold."""
        for name in ("frame", "round"):
            value = getattr(self, name)
            if type(value) is not int:
                try:
                    object.__setattr__(self, name, operator.index(value))
                except TypeError:
                    raise LabelError(f"{name} {value!r} is not a whole number") from None
        for name in ("time_s", "x_px", "y_px"):
            value = getattr(self, name)
            if value is not None and type(value) is not float:
                object.__setattr__(self, name, float(value))
        if type(self.origin) is not Origin:
            try:
                object.__setattr__(self, "origin", Origin(self.origin))
            except ValueError:
                wanted = ", ".join(Origin)
                raise LabelError(f"origin {self.origin!r} is not one of {wanted}") from None
        for name in ("clip", "clip_sha256", "annotator"):
            text = getattr(self, name)
            if len(text) > MAX_TEXT:
                raise LabelError(f"{name} is longer than {MAX_TEXT} characters")
            if not text.isascii() or "\0" in text:
                _check_text(name, text)


def _check_text(name: str, text: str) -> None:
    """Refuse text that cannot be written as UTF-8 or would end elsewhere."""
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise LabelError(f"{name} {text!a} is not valid text; rename it")


@dataclass(frozen=True, slots=True)
class Edit:
    """A label set, moved or taken away.

    Parameters
    ----------
    before : Label or None
        The label as it was, None where there was none.
    after : Label or None
        The label as it is to be, None to take it away. Its key is that of `before`.

    Raises
    ------
    LabelError
        If both are None or their keys differ.
    """

    before: Label | None
    after: Label | None

    def __post_init__(self) -> None:
        if self.before is None and self.after is None:
            raise LabelError("an edit needs a label before or after it")
        if self.before is not None and self.after is not None and self.before.key != self.after.key:
            raise LabelError(
                "an edit keeps clip, frame, annotator and round; remove one and set another"
            )

    @property
    def key(self) -> LabelKey:
        """The key of the label that is edited."""
        label = self.before if self.after is None else self.after
        assert label is not None
        return label.key

    def inverse(self) -> Edit:
        """Return the edit that undoes this one."""
        return Edit(self.after, self.before)


@dataclass(frozen=True, slots=True)
class StateEdit:
    """One entry of the state of annotation (queue, position, flags, rounds) set or taken away.

    Parameters
    ----------
    name : str
        Name of the entry.
    before, after : JSON
        The entry as it was and as it is to be; None where there is none.

    Raises
    ------
    LabelError
        If the name is empty.
    """

    name: str
    before: Json
    after: Json

    def __post_init__(self) -> None:
        if not self.name:
            raise LabelError("an entry of the annotation's state needs a name")

    def inverse(self) -> StateEdit:
        """Return the edit that undoes this one."""
        return StateEdit(self.name, self.after, self.before)

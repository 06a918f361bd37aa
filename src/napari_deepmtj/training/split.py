"""Which labelled clips are learned from, chosen on and tested on; no subject on both sides.

The one exception is the split of P20 (Leitner et al. 2020, doi:10.1109/EMBC44109.2020.9176145),
whose validation shares subjects with its training; it says so wherever it is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.labelled import LabelledClip

Sides = tuple[LabelledClip, ...]
By = Literal["subject", "clip", "paper"]

#: P20: 12 of 107 subjects are the test set; of the other clips 10 % are for validation.
P20_TEST = 12 / 107
P20_VALIDATION = 0.1

#: What is told wherever training and validation are apart by clip only.
SHARED = (
    "validation shares subjects with training, so that its errors are those of clips from people "
    "already seen, not of new ones"
)


@dataclass(frozen=True)
class Split:
    """Labelled clips by what they are for.

    Parameters
    ----------
    training, validation, test : tuple of LabelledClip
        To learn from; to choose weights and fit the confidence on; never looked at by training.
    how : str
        The rule, as cards and reports state it.
    shares_subjects : bool
        Whether validation may hold subjects of the training; the test set never may.

    Raises
    ------
    LabelError
        If a subject or a recording is on two sides, or a side that is needed is empty.
    """

    training: Sides
    validation: Sides
    test: Sides
    how: str
    shares_subjects: bool = False

    def __post_init__(self) -> None:
        for name in ("training", "validation"):
            if not getattr(self, name):
                raise LabelError(f"no clip is left for {name}; label clips of more subjects")
        seen: dict[str, str] = {}
        for name, side in self.sides.items():
            for clip in side:
                if seen.setdefault(clip.sha256, name) != name:
                    raise LabelError(
                        f"is in {seen[clip.sha256]} and in {name}; a recording has one side",
                        path=clip.name,
                    )
        kept_apart = [("training", "test"), ("validation", "test")]
        if not self.shares_subjects:
            kept_apart.append(("training", "validation"))
        for one, other in kept_apart:
            both = self.subjects(one) & self.subjects(other)
            if both:
                raise LabelError(
                    f"the subject {min(both)} is in {one} and in {other}; a subject has one side"
                )

    @property
    def sides(self) -> dict[str, Sides]:
        """The sides by name."""
        return {"training": self.training, "validation": self.validation, "test": self.test}

    def subjects(self, side: str) -> set[str]:
        """Return the subjects of a side."""
        return {clip.subject for clip in self.sides[side]}

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person must be told."""
        return (f"{self.how}: {SHARED}",) if self.shares_subjects else ()

    @property
    def doubts(self) -> tuple[str, ...]:
        """What may be one person under two names: folders of one folder, on two sides."""
        found: dict[str, dict[str, str]] = {}
        for name in self.sides:
            for subject in sorted(self.subjects(name)):
                above, inner, _ = subject.rpartition("/")
                if inner:
                    found.setdefault(above, {}).setdefault(name, subject)
        return tuple(
            f"{' and '.join(by_side.values())} count as subjects of their own, on "
            f"{' and '.join(by_side)}; if they are of one person, say whose clip is whose (by "
            "pattern or table)"
            for by_side in found.values()
            if len(by_side) > 1
        )


@dataclass(frozen=True)
class SplitRule:
    """How to split.

    Parameters
    ----------
    by : {"subject", "clip", "paper"}
        What is kept apart: subjects on all sides; clips only (a choice to be made knowingly, say
        for the labels of one subject); or, as in P20, subjects for the test and clips for the
        validation.
    validation, test : float
        Shares, of subjects or of clips. At least one goes to a side whose share is not 0.
    seed : int
        Of the choice; it does not depend on the order in which clips are given.
    """

    by: By = "subject"
    validation: float = 0.2
    test: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.by not in ("subject", "clip", "paper"):
            raise LabelError(f"a split by {self.by!r} is unknown; choose subject, clip or paper")
        if not (0 < self.validation < 1 and 0 <= self.test < 1 - self.validation):
            raise LabelError(
                f"shares of {self.validation:g} for validation and {self.test:g} for the test "
                "leave nothing to learn from"
            )

    def keeping_apart(self, by: By | None) -> SplitRule:
        """Return the rule that keeps something else apart, with these shares where they fit.

        The split of P20 has its own shares, and one by clip has no test set.
        """
        if by is None or by == self.by:
            return self
        if by == "paper":
            return PAPER
        return replace(self, by=by, test=0.0 if by == "clip" else self.test)

    def __call__(self, clips: Sequence[LabelledClip]) -> Split:
        """Split the clips.

        Raises
        ------
        LabelError
            If they are of too few subjects, or too few.
        """
        if self.by == "clip":
            return self._by_clip(clips)
        subjects = self._shuffled({clip.subject for clip in clips})
        needed = 1 + (self.by == "subject") + (self.test > 0)
        if len(subjects) < needed:
            raise LabelError(
                f"the labels are of {_few(subjects)}, and {needed} are needed to keep subjects "
                "apart; label clips of another subject, say whose clip is whose (by folder, "
                "pattern or table), or split by clip, which tells nothing about new people"
            )
        n_test = _share(self.test, len(subjects))
        tested = set(subjects[:n_test])
        test = tuple(clip for clip in clips if clip.subject in tested)
        rest = [clip for clip in clips if clip.subject not in tested]
        if self.by == "paper":
            inner = SplitRule("clip", self.validation, 0.0, self.seed)._by_clip(rest)
            how = "test by subject, training and validation by clip (P20)"
            return Split(inner.training, inner.validation, test, how, shares_subjects=True)
        chosen = set(subjects[n_test : n_test + _share(self.validation, len(subjects))])
        return Split(
            tuple(clip for clip in rest if clip.subject not in chosen),
            tuple(clip for clip in rest if clip.subject in chosen),
            test,
            "by subject",
        )

    def _by_clip(self, clips: Sequence[LabelledClip]) -> Split:
        if self.test:
            raise LabelError("a test set is kept apart by subject; split so, or leave it out")
        if len(clips) < 2:
            raise LabelError("one labelled clip cannot be split; label frames of another")
        order = self._shuffled({clip.sha256 for clip in clips})
        validation = set(order[: _share(self.validation, len(order))])
        return Split(
            tuple(clip for clip in clips if clip.sha256 not in validation),
            tuple(clip for clip in clips if clip.sha256 in validation),
            (),
            "by clip",
            shares_subjects=True,
        )

    def _shuffled(self, names: set[str]) -> list[str]:
        """Return the names in an order that only they and the seed decide."""
        drawn = np.random.default_rng([self.seed, _number(names)])
        return [str(name) for name in drawn.permutation(sorted(names))]


#: The split that P20 published.
PAPER = SplitRule("paper", P20_VALIDATION, P20_TEST)


def _share(share: float, n: int) -> int:
    return max(1, round(share * n)) if share else 0


def _number(names: set[str]) -> int:
    text = "\0".join(sorted(names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def _few(subjects: Sequence[str]) -> str:
    return f"{len(subjects)} subject{'s' * (len(subjects) != 1)} ({', '.join(subjects[:3])})"

"""Several annotators and rounds: who disagrees, what is reviewed, in which order, and the mean.

What a click does in a round is `session`; figures of agreement are `evaluation.agreement`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Any

import numpy as np

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.labels import CONSENSUS, Json, Label
from napari_deepmtj.errors import LabelError


class Mode(StrEnum):
    """What a round is for."""

    LABEL = "label"
    REVIEW = "review"
    BLINDED = "blinded"
    ADJUDICATE = "adjudicate"


@dataclass(frozen=True, slots=True)
class Begun:
    """How a round was begun.

    Parameters
    ----------
    mode : Mode
        What it is for.
    of : (annotator, round) or None
        What is reviewed or labelled again.
    seed : int
        Of the order of a blinded round.
    """

    mode: Mode
    of: tuple[str, int] | None
    seed: int

    def to_json(self) -> Json:
        """Return it as it is stored."""
        of: Json = None if self.of is None else list(self.of)
        return {"mode": self.mode.value, "of": of, "seed": self.seed}

    @classmethod
    def from_json(cls, data: Any) -> Begun | None:
        """Return what was stored, None if that is not as this version stores it."""
        try:
            of = None if data["of"] is None else (str(data["of"][0]), int(data["of"][1]))
            return cls(Mode(data["mode"]), of, int(data["seed"]))
        except (KeyError, TypeError, ValueError, IndexError):
            return None

    def __str__(self) -> str:
        return self.mode.value + (" of {}, round {}".format(*self.of) if self.of else "")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two annotators may be apart without disagreeing.

    Parameters
    ----------
    value : float
        Largest Euclidean distance that is still agreement.
    unit : {"px", "mm"}
        Of what; "mm" needs the clip's scale.
    """

    value: float = 10.0
    unit: str = "px"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value >= 0):
            raise LabelError(f"a tolerance of {self.value} is impossible; give 0 or more")
        if self.unit not in ("px", "mm"):
            raise LabelError(f"a tolerance in {self.unit!r} is unknown; give px or mm")


def latest(labels: Iterable[Label]) -> list[Label]:
    """Return of each clip, frame and annotator the label of the highest round, by annotator."""
    found: dict[tuple[str, int, str], Label] = {}
    for label in labels:
        key = label.clip_sha256, label.frame, label.annotator
        if key not in found or found[key].round < label.round:
            found[key] = label
    return sorted(found.values(), key=lambda la: (la.annotator, la.clip_sha256, la.frame))


def disagree(labels: Iterable[Label], tolerance: Tolerance, scale: Scale | None) -> bool:
    """Whether annotators differ on one frame: in position, or on whether the MTJ is visible.

    Of each annotator the highest round counts. A frame with a consensus is settled.

    Raises
    ------
    LabelError
        If the tolerance is in mm and the clip has no scale.
    """
    said = latest(labels)
    if any(label.annotator == CONSENSUS for label in said):
        return False
    if len({label.visible for label in said}) > 1:
        return True
    seen = [(la.x_px, la.y_px) for la in said if la.x_px is not None and la.y_px is not None]
    if len(seen) < 2:
        return False
    points = np.array(seen, dtype=np.float64)
    if tolerance.unit == "mm":
        if scale is None:
            raise LabelError(
                "a tolerance in mm needs the clip's scale; give it in px, or calibrate the clip",
                path=said[0].clip,
            )
        points = scale.to_mm(points)
    return any(math.dist(a, b) > tolerance.value for a, b in combinations(points.tolist(), 2))


def frames_of(
    labels: Sequence[Label], mode: Mode, of: tuple[str, int] | None, seed: int
) -> list[Label]:
    """Return one label of each frame that a round is about, in the order of the round.

    Parameters
    ----------
    labels : sequence of Label
        All there are.
    mode : Mode
        A review has the frames of `of` by clip and frame. A blinded round has the same in a
        random order, in which neither clip nor frame tells what comes next. Adjudicating has the
        frames that two annotators or more have labelled.
    of : (annotator, round) or None
        Whose labels are reviewed or made again.
    seed : int
        Of the random order.

    Raises
    ------
    LabelError
        If the mode has no frames by itself.
    """
    if mode is Mode.ADJUDICATE:
        frames: dict[tuple[str, int], list[Label]] = {}
        for label in latest(la for la in labels if la.annotator != CONSENSUS):
            frames.setdefault((label.clip_sha256, label.frame), []).append(label)
        chosen = [said[0] for said in frames.values() if len(said) > 1]
    elif of is not None:
        chosen = [la for la in labels if (la.annotator, la.round) == of]
    else:
        raise LabelError("this round has no frames by itself; choose how they are chosen")
    chosen.sort(key=lambda la: (la.clip, la.clip_sha256, la.frame))
    if mode is Mode.BLINDED:
        order = np.random.default_rng(seed).permutation(len(chosen))
        chosen = [chosen[i] for i in order.tolist()]
    return chosen


def mean_position(labels: Sequence[Label]) -> tuple[float, float]:
    """Return the mean (x, y) in frame pixels of several annotators' labels of one frame.

    Raises
    ------
    LabelError
        If they do not agree that the MTJ is visible, or are fewer than two.
    """
    seen = [(la.x_px, la.y_px) for la in labels if la.x_px is not None and la.y_px is not None]
    if len(labels) < 2 or len(seen) < len(labels):
        raise LabelError(
            "a mean needs the positions of two annotators or more, and one of them says that the "
            "MTJ is not visible; accept one of them, or click the position"
            if len(labels) >= 2
            else "a mean needs the positions of two annotators or more"
        )
    x, y = np.mean(np.array(seen, dtype=np.float64), axis=0).tolist()
    return x, y

"""Ways to choose frames of one clip for labelling; which frames may be chosen is `queue`'s."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_deepmtj.annotation.thumbnails import most_different, thumbnails
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import LabelError

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

IntArray = npt.NDArray[np.int64]

#: Frames annotated in each video by Leitner et al. 2020, doi:10.1109/EMBC44109.2020.9176145.
PAPER_FRAMES = 10

#: Frames of a clip that are looked at to find the most diverse ones, evenly spread over it.
LOOKED_AT = 200

#: Frames in one range of a list; a slip of the finger must not fill the memory.
LONGEST_RANGE = 1_000_000


class Strategy(Protocol):
    """A way to choose frames of a clip."""

    def choose(
        self, candidates: IntArray, source: VideoSource, prediction: Trajectory | None
    ) -> list[int]:
        """Choose among `candidates`, increasing frame numbers, in the order of labelling.

        Raises
        ------
        LabelError
            If it cannot, for instance for want of a prediction.
        """


@dataclass(frozen=True, slots=True)
class Evenly:
    """`n` frames spread evenly: the middles of `n` equal parts."""

    n: int = PAPER_FRAMES

    def __post_init__(self) -> None:
        _at_least_one(self.n)

    def choose(
        self, candidates: IntArray, source: VideoSource, prediction: Trajectory | None
    ) -> list[int]:
        """Choose frames, increasing."""
        return _numbers(spread(candidates, self.n))


@dataclass(frozen=True, slots=True)
class Every:
    """Every `n`-th frame, from the first on."""

    n: int = 1

    def __post_init__(self) -> None:
        _at_least_one(self.n)

    def choose(
        self, candidates: IntArray, source: VideoSource, prediction: Trajectory | None
    ) -> list[int]:
        """Choose frames, increasing."""
        return _numbers(candidates[:: self.n])


@dataclass(frozen=True, slots=True)
class Random:
    """`n` frames drawn at random, the same ones for the same clip and seed."""

    n: int = PAPER_FRAMES
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least_one(self.n)

    def choose(
        self, candidates: IntArray, source: VideoSource, prediction: Trajectory | None
    ) -> list[int]:
        """Choose frames, increasing."""
        rng = np.random.default_rng([self.seed, int(source.sha256[:16], 16)])
        drawn = rng.choice(candidates, min(self.n, len(candidates)), replace=False)
        return sorted(_numbers(drawn))


@dataclass(frozen=True, slots=True)
class LowestConfidence:
    """The `n` frames of which an existing prediction is least sure.

    Frames without a confidence come first, frames that a person made are left out.
    """

    n: int = PAPER_FRAMES

    def __post_init__(self) -> None:
        _at_least_one(self.n)

    def choose(
        self, candidates: IntArray, source: VideoSource, prediction: Trajectory | None
    ) -> list[int]:
        """Choose frames, the least sure first."""
        if prediction is None:
            raise LabelError(
                "there is no prediction whose confidence could be used; track the clip first",
                path=source.name,
            )
        may = np.isin(prediction.frames, candidates) & ~prediction.by_hand
        frames = prediction.frames[may]
        confidence = prediction.table["confidence"].to_numpy(dtype=np.float64)[may]
        order = np.argsort(np.nan_to_num(confidence, nan=-1.0), kind="stable")
        return _numbers(frames[order[: self.n]])


@dataclass(frozen=True, slots=True)
class MostDiverse:
    """`n` frames that look different: k-means over thumbnails, the frame nearest each centre."""

    n: int = PAPER_FRAMES
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least_one(self.n)

    def choose(
        self, candidates: IntArray, source: VideoSource, prediction: Trajectory | None
    ) -> list[int]:
        """Choose frames, increasing; `LOOKED_AT` of the candidates are looked at."""
        looked = spread(candidates, LOOKED_AT)
        if len(looked) <= self.n:
            return _numbers(looked)
        rows = most_different(thumbnails(source, _numbers(looked)), self.n, self.seed)
        return _numbers(looked[rows])


@dataclass(frozen=True, slots=True)
class ByHand:
    """The frames that somebody listed, in that order; the same ones in each clip."""

    frames: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ByHand:
        """Read a list such as "3, 10-20, 40"; a range has both its ends.

        Raises
        ------
        LabelError
            If it is no such list.
        """
        frames: dict[int, None] = {}
        for part in filter(None, re.split(r"[,;\s]+", text.strip())):
            found = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
            if found is None:
                raise LabelError(f"{part!r} is no frame; write a list such as 3, 10-20, 40")
            first, last = int(found[1]), int(found[2] or found[1])
            if not first <= last < first + LONGEST_RANGE:
                raise LabelError(f"{part!r} is no range; write the smaller frame first")
            frames |= dict.fromkeys(range(first, last + 1))
        if not frames:
            raise LabelError("no frames are listed; write a list such as 3, 10-20, 40")
        return cls(tuple(frames))

    def choose(
        self, candidates: IntArray, source: VideoSource, prediction: Trajectory | None
    ) -> list[int]:
        """Choose the listed frames that are candidates.

        Raises
        ------
        LabelError
            If the clip does not have one of the frames.
        """
        for frame in self.frames:
            if frame >= source.n_frames:
                raise LabelError(
                    f"there is no such frame; the clip has {source.n_frames}, numbered from 0",
                    path=source.name,
                    frame=frame,
                )
        may = set(candidates.tolist())
        return [frame for frame in self.frames if frame in may]


#: Name -> strategy, as they are stored and offered.
STRATEGIES: Mapping[str, type[Any]] = {
    "evenly": Evenly,
    "every": Every,
    "random": Random,
    "lowest confidence": LowestConfidence,
    "most diverse": MostDiverse,
    "by hand": ByHand,
}


def to_json(strategy: Any) -> dict[str, Any]:
    """Return a strategy as it is stored."""
    name = next(name for name, kind in STRATEGIES.items() if type(strategy) is kind)
    return {"name": name, **asdict(strategy)}


def from_json(data: Mapping[str, Any]) -> Strategy:
    """Return the strategy that was stored.

    Raises
    ------
    LabelError
        If it is none that is known.
    """
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    name = arguments.pop("name", None)
    try:
        made: Strategy = STRATEGIES[str(name)](**arguments)
    except (KeyError, TypeError):
        raise LabelError(f"{dict(data)} is no way to choose frames that is known") from None
    return made


def _at_least_one(n: int) -> None:
    if n < 1:
        raise LabelError(f"{n} frames are impossible; choose 1 or more")


def _numbers(frames: IntArray) -> list[int]:
    return [int(frame) for frame in frames]


def spread(candidates: IntArray, n: int) -> IntArray:
    """Return the middles of `n` equal parts of the candidates; all of them if there are fewer."""
    if len(candidates) <= n:
        return candidates
    middles = (np.arange(n) + 0.5) * len(candidates) / n
    return candidates[middles.astype(np.intp)]

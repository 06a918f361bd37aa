"""Making a saved result again from its log, and saying whether it is the same.

What an operation does is its own module's, and how it is done again `redo.py`'s; here it is all
done in the order of the log.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.trajectory import Trajectory
from napari_deepmtj.errors import DeepMTJError, ResultError
from napari_deepmtj.pipeline.replay import STEPS, Context

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource

#: Largest difference of a position, in px, that still counts as the same.
SAME_PX = 1e-3


@dataclass(frozen=True)
class Reproduction:
    """A result made again, beside the one that was saved.

    Attributes
    ----------
    trajectory : Trajectory
        Made again.
    largest_px : float
        Largest distance of a position, or raw position, from the saved one; infinite where one
        has a position and the other none, 0 where neither has any.
    frame : int or None
        Where; None if there is no difference at all.
    differing : int
        Rows whose positions are not within `SAME_PX`.
    marks : int
        Rows whose origin or flags are others.
    frames : tuple of int
        Frames that only one of the two has.
    """

    trajectory: Trajectory
    largest_px: float
    frame: int | None
    differing: int
    marks: int
    frames: tuple[int, ...]

    @property
    def identical(self) -> bool:
        """Whether it is the same result, positions to `SAME_PX`."""
        return not (self.differing or self.marks or self.frames)

    def describe(self) -> str:
        """Return the verdict in one line."""
        if self.identical:
            return (
                f"identical: {len(self.trajectory)} rows, largest difference "
                f"{self.largest_px:.1g} px"
            )
        said = []
        if self.frames:
            said.append(f"{len(self.frames)} frames, the first {self.frames[0]}, only in one")
        if self.differing:
            how = f"{self.largest_px:.3g} px"
            if np.isinf(self.largest_px):
                how = "a position in one and none in the other"
            said.append(
                f"{self.differing} of {len(self.trajectory)} positions differ, the most at frame "
                f"{self.frame}: {how}"
            )
        if self.marks:
            said.append(f"{self.marks} rows have another origin or other flags")
        return f"not identical: {'; '.join(said)}"


def reproduce(
    source: VideoSource,
    saved: Trajectory,
    *,
    model: str | None = None,
    device: str | None = None,
) -> Generator[Progress | Notice | Done[Reproduction] | Failed]:
    """Do again what the log of a result says, and compare.

    Points that a person set are taken as they are recorded.

    Parameters
    ----------
    source : VideoSource
        The clip, as `open_recorded` opens it.
    saved : Trajectory
        The result.
    model : str or None
        A model, or its file, in place of the one that the log names; its hash must be the same.
    device : str or None
        Where to compute; None is where the result was computed.

    Yields
    ------
    Progress, Notice
        As it goes; a notice says what differs between then and now.
    Done of Reproduction, or Failed
        Last.
    """
    try:
        said = saved.provenance
        if source.sha256 != said.clip_sha256:
            raise ResultError(f"is not the clip of the result, {said.clip}", path=source.name)
        if unknown := sorted({op.name for op in said.operations} - STEPS.keys()):
            raise ResultError(
                f"the log has {', '.join(map(repr, unknown))}, which this version cannot do again"
            )
        context = Context(source, saved, model, device)
        made: Trajectory | None = None
        for place, operation in enumerate(said.operations):
            made = yield from STEPS[operation.name](context, made, place)
        if made is None:
            raise ResultError(f"the log of {said.clip} is empty, so nothing can be done again")
        yield Done(compare(saved, made))
    except DeepMTJError as error:
        yield Failed(error)


def open_recorded(path: str | Path, provenance: Provenance) -> VideoSource:
    """Open the clip of a result with the colour range that was forced upon it, if one was."""
    from napari_deepmtj.video.opening import open_video

    for operation in provenance.operations:
        facts = operation.arguments.get("clip_metadata", {})
        if facts.get("colour_range_from") == "override":
            return open_video(path, colour_range=facts["colour_range"])
    return open_video(path)


def compare(saved: Trajectory, made: Trajectory) -> Reproduction:
    """Return how two results of a clip differ, row by row."""
    ours, theirs = saved.frames, made.frames
    common = np.intersect1d(ours, theirs)
    a = saved.table[np.isin(ours, common)].reset_index(drop=True)
    b = made.table[np.isin(theirs, common)].reset_index(drop=True)
    apart = np.zeros(len(common))
    for pair in (["x_px", "y_px"], ["x_raw_px", "y_raw_px"]):
        apart = np.maximum(apart, _apart(a[pair].to_numpy(float), b[pair].to_numpy(float)))
    marks = (a["origin"] != b["origin"]) | (a["flags"].fillna("") != b["flags"].fillna(""))
    worst = int(apart.argmax()) if len(apart) else 0
    return Reproduction(
        trajectory=made,
        largest_px=float(apart[worst]) if len(apart) else 0.0,
        frame=int(common[worst]) if len(apart) and apart[worst] > 0 else None,
        differing=int((apart > SAME_PX).sum()),
        marks=int(marks.sum()),
        frames=tuple(np.setxor1d(ours, theirs).tolist()),
    )


def _apart(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return distances, 0 where both are missing and infinite where one is."""
    distance = np.hypot(*(a - b).T)
    missing = np.isnan(a[:, 0]), np.isnan(b[:, 0])
    distance[missing[0] & missing[1]] = 0.0
    distance[missing[0] ^ missing[1]] = np.inf
    return np.asarray(distance, dtype=np.float64)

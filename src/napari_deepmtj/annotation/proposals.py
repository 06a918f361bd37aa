"""What is shown in a frame to accept or to move: a model's prediction, or an earlier label."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.paths import result_path
from napari_deepmtj.core.trajectory import Origin, Trajectory
from napari_deepmtj.results.trajectory_file import read_trajectory

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource


@dataclass(frozen=True, slots=True)
class Proposal:
    """A position, or "not visible", that a person accepts or changes.

    Parameters
    ----------
    x_px, y_px : float or None
        Position in frame pixels; both None where the MTJ is said not to be visible.
    origin : Origin
        What a label that accepts it has.
    confidence : float or None
        Of a prediction, 0..1, where it is known.
    by : str
        Who proposes: "model", or an annotator.
    """

    x_px: float | None
    y_px: float | None
    origin: Origin
    confidence: float | None
    by: str

    @classmethod
    def of(cls, label: Label) -> Proposal:
        """Propose an earlier label."""
        return cls(label.x_px, label.y_px, label.origin, None, label.annotator)

    @property
    def visible(self) -> bool:
        """Whether a position is proposed."""
        return self.x_px is not None


def moved(origin: Origin) -> Origin:
    """Return the origin of a point after a person moved it: only a machine's is CORRECTED."""
    return Origin.MANUAL if origin is Origin.MANUAL else Origin.CORRECTED


def saved_prediction(source: VideoSource) -> Trajectory | None:
    """Return the trajectory saved beside a clip, if there is one and it is of this content.

    Raises
    ------
    ResultError
        If there is one but it cannot be read.
    """
    if source.path is None or not (path := result_path(source.path)).is_file():
        return None
    found = read_trajectory(path)
    return found if found.provenance.clip_sha256 == source.sha256 else None


def proposals_of(trajectory: Trajectory) -> Mapping[int, Proposal]:
    """Return what a trajectory proposes for each of its frames."""
    table = trajectory.table
    columns = ("frame", "x_px", "y_px", "origin", "confidence")
    found: dict[int, Proposal] = {}
    for frame, x, y, origin, sure in zip(*(table[name].tolist() for name in columns), strict=True):
        seen = not (math.isnan(x) or math.isnan(y))
        found[int(frame)] = Proposal(
            float(x) if seen else None,
            float(y) if seen else None,
            Origin(origin),
            None if math.isnan(sure) else float(sure),
            "model",
        )
    return found

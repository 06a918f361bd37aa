"""What is known of the active clip, step by step, and which step comes next. Needs no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import Kind
from napari_deepmtj._napari.tracking import saving
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj.core.trajectory import Flag, Trajectory

if TYPE_CHECKING:
    from napari_deepmtj._napari.annotation.state import AnnotationState
    from napari_deepmtj._napari.viewer.session import Session
    from napari_deepmtj.core.geometry import Roi, Scale


class StepName(StrEnum):
    """The steps of the panel, in order."""

    SCALE = "Scale and region"
    LABEL = "Label"
    TRACK = "Track"
    CHECK = "Check and correct"
    SAVE = "Save and export"


@dataclass(frozen=True, slots=True)
class Overview:
    """What is known of the active clip.

    Parameters
    ----------
    n_frames : int
        Of the clip; 0 without a clip.
    scale, roi : Scale, Roi or None
        Its scale and region.
    labelling : bool
        Whether a label file is open.
    labelled, queued : int
        Labelled frames of the queue, and all of it.
    tracked, in_view, corrected : int
        Frames of the result, those with an MTJ, and those set by hand; all 0 without a result.
    doubtful : tuple of int
        Frames of the result that should be looked at.
    saved : bool
        Whether the result is on disk.
    """

    n_frames: int = 0
    scale: Scale | None = None
    roi: Roi | None = None
    labelling: bool = False
    labelled: int = 0
    queued: int = 0
    tracked: int = 0
    in_view: int = 0
    corrected: int = 0
    doubtful: tuple[int, ...] = ()
    saved: bool = False

    @classmethod
    def of(cls, session: Session, annotation: AnnotationState) -> Overview:
        """Return what is known of a session's active clip."""
        clip, core = session.active, annotation.core
        if clip is None or session.viewer is None or clip not in session.viewer.layers:
            return cls()
        info = clips.info_of(clip)
        facts: dict[str, Any] = {}
        if core is not None:
            batch = core.place.batch
            facts |= {"labelled": batch.queue_done, "queued": batch.queue_total}
        layer = session.find(clip, Kind.TRAJECTORY)
        if layer is not None and not session.concealed:
            result = convert.trajectory_of(layer)
            facts |= {
                "tracked": len(result),
                "in_view": int(result.table["in_view"].sum()),
                "corrected": int(result.by_hand.sum()),
            }
            facts |= {"doubtful": doubtful_frames(result), "saved": saving.is_saved(layer)}
        return cls(
            clips.size_of(clip)[0],
            info.scale,
            info.roi,
            core is not None,
            **facts,
        )

    def next_step(self, *, skipped_scale: bool) -> StepName | None:
        """Return the step that makes most sense now, None without a clip."""
        if not self.n_frames:
            return None
        if self.labelling and self.labelled < self.queued:
            return StepName.LABEL
        if self.scale is None and not self.tracked and not skipped_scale:
            return StepName.SCALE
        if not self.tracked:
            return StepName.TRACK
        return StepName.CHECK if self.doubtful else StepName.SAVE

    def chips(self) -> list[str]:
        """Return short facts for the head of the panel."""
        if not self.n_frames:
            return []
        return [
            "no scale" if self.scale is None else f"{self.scale.x_mm:.3g} mm/px",
            "region set" if self.roi is not None else "whole picture",
            *([f"labels {self.labelled}"] if self.labelling else []),
            f"tracked {self.tracked} of {self.n_frames}" if self.tracked else "not tracked",
            *([("saved" if self.saved else "unsaved")] if self.tracked else []),
        ]

    def status(self, step: StepName) -> str:
        """Return one line on how far a step is."""
        if not self.n_frames:
            return "open a clip first"
        if step is StepName.SCALE:
            return clips.describe_scale(self.scale)
        if step is StepName.LABEL:
            if not self.labelling:
                return "optional: to train or to test a model"
            if self.queued and self.labelled >= self.queued:
                return f"queue finished: {self.labelled} of {self.queued} frames labelled"
            return f"{self.labelled} of {self.queued} frames labelled"
        if not self.tracked:
            return "not tracked yet" if step is StepName.TRACK else "track first"
        if step is StepName.TRACK:
            return (
                f"{self.in_view} in view, {self.tracked - self.in_view} not, "
                f"{len(self.doubtful)} doubtful"
            )
        if step is StepName.CHECK:
            hand = f", {self.corrected} set by hand" if self.corrected else ""
            return f"{len(self.doubtful)} doubtful frames{hand}"
        return "saved" if self.saved else "unsaved"


def doubtful_frames(result: Trajectory) -> tuple[int, ...]:
    """Return the frames of a result that carry a flag other than "not in view", ascending."""
    flags = result.table["flags"].fillna("").to_numpy(dtype=object)
    quiet = {"", Flag.NOT_IN_VIEW.value}
    doubt = np.array([bool(set(str(text).split(";")) - quiet) for text in flags], dtype=bool)
    return tuple(int(f) for f in result.frames[doubt & ~result.by_hand])


def title_of(clip: Any) -> str:
    """Return "folder / clip.avi" of a clip that is a file, else the name of its layer."""
    return clips.long_name(clip).replace("/", " / ")

"""Where the B-mode picture is in a recording of a scanner's screen: `detect_picture`.

What is then done with the region, and what a person may say instead, is in `roi.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deepmtj.core.geometry import Roi

if TYPE_CHECKING:
    from napari_deepmtj.io.video import VideoSource


@dataclass(frozen=True, slots=True)
class Detection:
    """Where the picture seems to be.

    Parameters
    ----------
    roi : Roi
        The region, source "detected"; the whole frame where the clip is the picture already.
    confidence : float
        0 to 1.
    why : str
        What speaks for it, in one line.
    """

    roi: Roi
    confidence: float
    why: str


def detect_picture(source: VideoSource, n_frames: int = 12) -> Detection | None:
    """Find the B-mode picture in a recording of a scanner's screen.

    Parameters
    ----------
    source : VideoSource
        The clip; a still will do, with less confidence.
    n_frames : int
        How many frames, spread over the clip, are looked at.

    Returns
    -------
    Detection or None
        None where nothing looks like a picture.
    """
    return None

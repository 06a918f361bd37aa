"""How far from where a network points a laboratory clicks, brought into frame pixels.

A network points at one definition of the MTJ, its card's; a laboratory may label a little before
or beyond it. The offset is fitted by `training.fit_confidence` and is 0 in the bundled models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_deepmtj.video.sidecar import DistalSide, read_sidecar

if TYPE_CHECKING:
    from napari_deepmtj.core.geometry import Scale
    from napari_deepmtj.video.opening import VideoSource

FloatArray = npt.NDArray[np.float64]


def distal_side_of(source: VideoSource) -> DistalSide | None:
    """Return which side of a clip's picture is distal, if it or its side-car says so."""
    if source.path is not None:
        info = read_sidecar(source.path)
        return None if info is None else info.distal_side
    side: DistalSide | None = getattr(source, "distal_side", None)  # a phantom knows its own
    return side


def offset_of(
    decoding: Mapping[str, float], scale: Scale | None, source: VideoSource
) -> tuple[FloatArray, tuple[str, ...]]:
    """Return what to add to a network's positions, and what a person must be told.

    Parameters
    ----------
    decoding : mapping
        The weight card's numbers, see `decode.Decoding`.
    scale : Scale or None
        Of the clip.
    source : VideoSource
        The clip.

    Returns
    -------
    offset : ndarray, shape (2,)
        (x, y) in frame pixels. Where the scale or the distal side is not known it cannot be
        drawn: it is left out, and said so.
    notices : tuple of str
    """
    distal, deep = (decoding.get(f"offset_{part}_mm", 0.0) for part in ("distal", "deep"))
    if not (distal or deep):
        return np.zeros(2), ()
    side = distal_side_of(source)
    if scale is None or side is None:
        known = (("its scale", scale), ("which side is distal", side))
        lacking = " and ".join(what for what, found in known if found is None)
        return np.zeros(2), (
            f"the model's label offset, {distal:+.1f} mm distally, is left out, because {lacking} "
            "is not known; state it in the clip's side-car",
        )
    towards = 1.0 if side == "right" else -1.0
    return np.array([towards * distal / scale.x_mm, deep / scale.y_mm]), ()

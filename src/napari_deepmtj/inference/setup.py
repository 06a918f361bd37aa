"""What is fixed before a clip's first frame is tracked, and its record.

Tracking itself is `predictor`.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.calibration.roi import resolve_roi
from napari_deepmtj.core.geometry import PixelMap, Roi, Scale
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.errors import VideoError
from napari_deepmtj.inference.offset import offset_of
from napari_deepmtj.inference.out_of_distribution import Familiar, colour_notice

if TYPE_CHECKING:
    from napari_deepmtj.inference.runner import Runner
    from napari_deepmtj.video.opening import VideoSource
    from napari_deepmtj.weights.store import Model

#: Tolerance radius behind "valid" and the confidence (P20, Leitner et al. 2020,
#: doi:10.1109/EMBC44109.2020.9176145).
TOLERANCE_MM = 5.0

#: The same where no scale is known, as a fraction of the region's width: P20's 5 mm are 32.3 px
#: of its 512 px wide crop.
TOLERANCE_OF_WIDTH = 0.063


@dataclass(frozen=True)
class Setup:
    """Everything that is fixed before the first frame.

    `offset`, (x, y) in frame pixels, is what the model's positions are moved by; `familiar` tells
    pictures that the model is not meant for, None if it cannot.
    """

    model: Model
    pixel_map: PixelMap
    scale: Scale | None
    frames: range
    notices: tuple[str, ...]
    offset: npt.NDArray[np.float64]
    familiar: Familiar | None = None

    @property
    def roi(self) -> Roi:
        """The region of the clip."""
        return self.pixel_map.roi

    @property
    def tolerance_px(self) -> float:
        """Radius in network pixels, as a circle there (an ellipse only if stretched)."""
        if self.scale is None:
            return TOLERANCE_OF_WIDTH * self.pixel_map.content_width
        x, y = self.pixel_map.factors / [self.scale.x_mm, self.scale.y_mm]
        return TOLERANCE_MM * float(np.sqrt(x * y))


def prepare(
    source: VideoSource, model: Model, roi: str | Roi, scale: Scale | None, frames: range | None
) -> Setup:
    """Settle what `predictor.track` is asked for.

    Raises
    ------
    VideoError, CalibrationError, WeightsError
        If there are no such frames, or no such region, or the model has something unknown.
    """
    region, notices = (roi, ()) if isinstance(roi, Roi) else resolve_roi(roi, source)
    region.inside(source.height, source.width)
    wanted = range(source.n_frames) if frames is None else frames
    if wanted.step < 0:
        wanted = wanted[::-1]
    if not wanted or wanted[0] < 0 or wanted[-1] >= source.n_frames:
        raise VideoError(
            f"the frames {wanted.start} to {wanted.stop} are not in a clip of {source.n_frames}",
            path=source.name,
        )
    scale = source.scale if scale is None else scale
    if scale is not None:
        scale.for_picture(source.height, source.width, region)
    card = model.card
    pixel_map = PixelMap.fit(
        region, card.input_height, card.input_width, scale, stretch=card.stretch
    )
    offset, told = offset_of(card.decoding, scale, source)
    coloured = colour_notice(source)
    said = (*notices, *told, *((coloured,) if coloured else ()))
    return Setup(model, pixel_map, scale, wanted, said, offset, Familiar.of(model))


def provenance_of(source: VideoSource, setup: Setup, runner: Runner) -> Provenance:
    """Return all that the numbers depend on, as far as it is settled."""
    card, pixel_map, scale = setup.model.card, setup.pixel_map, setup.scale
    start = Provenance(
        clip=source.name,
        clip_sha256=source.sha256,
        n_frames=source.n_frames,
        height=source.height,
        width=source.width,
        times_source=source.times.source,
        roi=setup.roi,
        scale=scale,
    )
    numbers = setup.frames
    return start.and_then(
        "track",
        model={
            "id": card.id,
            "version": card.version,
            "sha256": card.sha256,
            "licence": card.licence,
        },
        frames={"start": numbers.start, "stop": numbers.stop, "step": numbers.step},
        roi={"x_y_width_height": str(setup.roi), "source": setup.roi.source},
        pixel_map={
            "out_height": pixel_map.out_height,
            "out_width": pixel_map.out_width,
            "content_height": pixel_map.content_height,
            "content_width": pixel_map.content_width,
            "top": pixel_map.top,
            "left": pixel_map.left,
        },
        normalisation=card.normalisation,
        decoding=dict(card.decoding),
        unfamiliar="not told" if setup.familiar is None else dict(setup.familiar.summary()),
        label_offset_px=[round(float(value), 6) for value in setup.offset],
        tolerance={
            "definition": f"{TOLERANCE_OF_WIDTH} of the region's width"
            if scale is None
            else f"{TOLERANCE_MM} mm",
            "network_px": round(setup.tolerance_px, 6),
        },
        clip_metadata=dict(source.metadata),  # how its grey levels came about
        device=runner.device,
        backend=dict(runner.backend.about),
        batch=runner.batch,
        libraries=dict(_libraries()),
    )


@cache
def _libraries() -> Mapping[str, str]:
    """Return the versions that a number can depend on; finding them takes longer than a batch."""
    versions: dict[str, Any] = {"python": platform.python_version()}
    for name in ("numpy", "pillow", "av"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return versions

"""Connects features to what a viewer's session emits, so that the session knows none of them."""

from __future__ import annotations

from typing import Any

from napari_deepmtj._napari.calibration import controller as calibration
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.tracking import corrections
from napari_deepmtj._napari.viewer.session import ON_NEW_SESSION, Session
from napari_deepmtj.core.trajectory import Trajectory


def connect(session: Session) -> None:
    """Subscribe calibration and corrections to a session."""

    def show_region(clip: Any) -> None:
        if (roi := convert.info_of(clip).roi) is not None:
            calibration.show_region(session, clip, roi)

    def follow(clip: Any, old: Placement) -> None:
        calibration.follow(session, clip, old)

    def compare_scales(name: str, result: Trajectory, clip: Any) -> None:
        calibration.compare_scales(session, name, result, clip)

    def take_over(layer: Any) -> None:
        calibration.take_over(session, layer)

    def correct(layer: Any, before: Trajectory, after: Trajectory) -> None:
        corrections.show(session, layer, after)
        corrections.after_edit(session, layer, before)

    signals = session.signals
    for signal, slot in (
        (signals.clip_added, show_region),
        (signals.clip_moved, follow),
        (signals.result_placed, compare_scales),
        (signals.drawing_changed, take_over),
        (signals.points_edited, correct),
    ):
        signal.connect(slot)


ON_NEW_SESSION.append(connect)

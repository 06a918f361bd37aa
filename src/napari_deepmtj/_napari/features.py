"""Connects features to what a viewer's session emits, so that the session knows none of them."""

from __future__ import annotations

from typing import Any

from napari_deepmtj._napari.calibration import controller as calibration
from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.panel import docking
from napari_deepmtj._napari.tracking import closing, corrections, saving
from napari_deepmtj._napari.viewer.jobs import later_in_window
from napari_deepmtj._napari.viewer.session import ON_NEW_SESSION, Session
from napari_deepmtj.core.trajectory import Trajectory


def connect(session: Session) -> None:
    """Subscribe calibration, corrections and saving to a session."""

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

    def know_as_saved(name: str, result: Trajectory, clip: Any) -> None:
        for layer in session.results_of(clip):
            saving.remember_file(layer)

    def begin_with(clip: Any) -> None:
        docking.offer_panel(session)
        later_in_window(session.viewer, lambda: saving.offer_saved(session, clip))

    def watch_window(clip: Any) -> None:
        closing.watch(session)

    def close_clip(clip: Any) -> None:
        saving.close_clip(session, clip)

    signals = session.signals
    for signal, slot in (
        (signals.clip_added, show_region),
        (signals.clip_added, begin_with),
        (signals.clip_added, watch_window),
        (signals.clip_moved, follow),
        (signals.clip_removed, close_clip),
        (signals.result_placed, compare_scales),
        (signals.result_placed, know_as_saved),
        (signals.drawing_changed, take_over),
        (signals.points_edited, correct),
    ):
        signal.connect(slot)


ON_NEW_SESSION.append(connect)

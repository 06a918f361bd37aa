"""Menu commands that are no widgets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import napari.viewer
from napari.layers import Layer

from napari_deepmtj._napari.contributions.reader import RESULT, clip_layer, results_layer
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj._napari.viewer.settings import read_settings
from napari_deepmtj.errors import DeepMTJError


def open_clips(viewer: napari.viewer.Viewer, paths: Iterable[str | Path]) -> list[Layer]:
    """Open clips and saved results of any name by their content.

    A file that cannot be read is reported by name and reason; the others are opened.
    """
    from napari.utils.notifications import show_error

    session_of(viewer)
    added = []
    for path in paths:
        try:
            made = (results_layer if str(path).lower().endswith(RESULT) else clip_layer)(path)
        except DeepMTJError as error:
            show_error(str(error))
        else:
            added.append(viewer.add_layer(Layer.create(*made)))
    return added


def choose_folder(viewer: napari.viewer.Viewer) -> None:
    """Ask for a folder that is one clip - a DICOM series, a Zarr array, pictures - and open it."""
    from napari.utils.history import get_open_history, update_open_history
    from qtpy.QtWidgets import QFileDialog

    start = read_settings().output_folder or next(iter(get_open_history()), "")
    chosen = QFileDialog.getExistingDirectory(None, "Open ultrasound video folder", start)
    if chosen:
        update_open_history(chosen)
        open_clips(viewer, [chosen])


def choose_clips(viewer: napari.viewer.Viewer) -> None:
    """Ask for ultrasound videos, pictures or saved results, and open them."""
    from napari.utils.history import get_open_history, update_open_history
    from qtpy.QtWidgets import QFileDialog

    start = read_settings().output_folder or next(iter(get_open_history()), "")
    chosen, _ = QFileDialog.getOpenFileNames(
        None, "Open ultrasound video", start, "All files, opened by content (*)"
    )
    if chosen:
        update_open_history(chosen[0])
        open_clips(viewer, chosen)

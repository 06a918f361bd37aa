"""The files of a queue that come as clips into a viewer when they are due, and go again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.layers import Image, Layer

from napari_deepmtj._napari.contributions.reader import source_layer
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.opening import open_for_viewer
from napari_deepmtj._napari.viewer.session import Session
from napari_deepmtj.errors import LabelError

#: Clips that the queue opened by itself and that stay open.
KEPT = 2


class QueuedClips:
    """Opens files for a viewer, the next one ahead of time.

    Parameters
    ----------
    session : Session
        Where the clips go.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._opened: list[Image] = []
        self._ready: dict[str, Any] = {}

    def prepare(self, path: Path, sha256: str) -> None:
        """Open a file that is due soon, in whatever thread; one at a time is ready."""
        if sha256 not in self._ready:
            source = open_for_viewer(path)
            if source.sha256 == sha256:
                self.close()
                self._ready[sha256] = source
            else:  # told when it is due
                source.close()

    def open(self, path: Path, sha256: str) -> Image:
        """Add a file as a clip, and take those away that were opened so long before.

        Raises
        ------
        VideoError
            If it cannot be opened.
        LabelError
            If its content is not that which was queued.
        """
        source = self._ready.pop(sha256, None) or open_for_viewer(path)
        if source.sha256 != sha256:
            source.close()
            raise LabelError("is not the file that was put into the queue", path=path)
        clip = Layer.create(*source_layer(source))
        layers = self._session.viewer.layers
        layers.append(clip)
        self._opened = [c for c in (*self._opened, clip) if c in layers]
        for old in self._opened[:-KEPT]:
            source = clips.source_of(old)
            for layer in reversed(self._session.layers_of(old)):
                if layer in layers:
                    layers.remove(layer)
            source.close()
        return clip

    def close(self) -> None:
        """Close what was opened ahead of time and not needed."""
        while self._ready:
            self._ready.popitem()[1].close()

"""Long videos in the viewer: shown at once, marked as provisional, replaced when all is listed.

How frames are listed is `io`. A provisional clip's length is what its file claims; frames that
are not listed yet are shown as a chequered picture, and come up as soon as they are.
"""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deepmtj._napari.layers import convert
from napari_deepmtj._napari.layers.convert import KEY, Kind, LayerTuple
from napari_deepmtj._napari.layers.placement import Placement
from napari_deepmtj._napari.viewer import clips
from napari_deepmtj._napari.viewer.clips import PROVISIONAL
from napari_deepmtj._napari.viewer.session import session_of
from napari_deepmtj.errors import DeepMTJError

if TYPE_CHECKING:
    from napari_deepmtj.video.frames import LazyFrames
    from napari_deepmtj.video.opening import VideoSource

#: Milliseconds between two looks at how far the listing is.
INTERVAL = 100

#: Facts about a clip that are final only when all of its frames are listed.
_FACTS = ("n_frames", "rate_hz", "times", "seconds", "file", "notices")

#: Who is followed; nothing else keeps a follower alive.
_FOLLOWERS: set[Follower] = set()


def open_for_viewer(path: str | Path) -> VideoSource:
    """Open a clip; a long one provisionally, where there is a window that can follow it.

    Raises
    ------
    DeepMTJError
        As `open_video`.
    """
    import napari

    from napari_deepmtj.video.opening import open_video

    return open_video(path, background=napari.current_viewer() is not None)


def layer_of(source: VideoSource, clip: str) -> LayerTuple:
    """Return the Image layer of a clip, followed until all frames are listed.

    Parameters
    ----------
    source : VideoSource
        The clip, complete or not.
    clip : str
        Id that all its layers carry.
    """
    import napari

    from napari_deepmtj.video.frames import LazyFrames

    frames = LazyFrames(source, waits=source.complete)
    made = convert.layer_of_clip(source, frames, clip)
    viewer = napari.current_viewer()
    if source.complete or viewer is None:
        return made
    made[1]["metadata"][KEY][PROVISIONAL] = True
    _FOLLOWERS.add(Follower(viewer, frames))
    return made


class Follower:
    """Follows one provisional clip in one viewer, on the main thread.

    Parameters
    ----------
    viewer : napari.Viewer
        Where its layer is going to be.
    frames : LazyFrames
        The data of that layer; when nobody holds them any more, nothing is followed.
    """

    def __init__(self, viewer: Any, frames: LazyFrames) -> None:
        from napari.utils import progress
        from qtpy.QtCore import QTimer

        self._viewer = weakref.ref(viewer)
        self._frames = weakref.ref(frames)
        self._seen = False
        self._told = frames.source.notices
        self._listed = threading.Event()
        frames.source.when_complete(self._listed.set)
        self._bar = progress(total=100, desc=f"List the frames of {frames.source.name}")
        window = viewer.window._qt_window
        self._timer = QTimer(window)
        self._timer.timeout.connect(self._look)
        window.destroyed.connect(self._end)
        self._timer.start(INTERVAL)

    def _look(self) -> None:
        viewer, frames = self._viewer(), self._frames()
        if viewer is None or frames is None:
            self._end()
            return
        layers = [layer for layer in viewer.layers if layer.data is frames]
        if not layers:
            if self._seen:  # a person has removed it
                self._end()
            return
        self._seen = True
        if self._listed.is_set():
            self._end()
            self._finish(viewer, frames.source, layers)
            return
        self._bar.update(int(100 * frames.source.listed) - self._bar.n)
        if frames.missed is not None and frames.missed < frames.source.settled:
            frames.missed = None
            for layer in layers:
                layer.refresh()
        session_of(viewer).show_status()

    def _finish(self, viewer: Any, source: VideoSource, layers: list[Any]) -> None:
        """Replace the data of the layers, once, and tell what differs from the claim."""
        from napari.utils.notifications import show_error, show_warning

        try:
            source.wait()
        except DeepMTJError as error:
            show_error(str(error))
            return
        for layer in layers:
            _replace(viewer, source, layer)
        for notice in source.notices:
            if notice not in self._told:
                show_warning(notice)

    def _end(self) -> None:
        if self in _FOLLOWERS:
            _FOLLOWERS.remove(self)
            self._bar.close()
            if self._viewer() is not None:
                self._timer.stop()


def _replace(viewer: Any, source: VideoSource, layer: Any) -> None:
    """Give a provisional layer its final frames, facts and times; what a person set stays."""
    from napari_deepmtj.video.frames import LazyFrames

    session = session_of(viewer)
    active = session.active is layer
    frame = min(session.frame(), source.n_frames - 1) if active else 0
    frames = LazyFrames(source)
    _, arguments, _ = convert.layer_of_clip(source, frames, clips.id_of(layer))
    final = arguments["metadata"][KEY]
    facts = {name: value for name, value in convert.ours(layer).items() if name != PROVISIONAL}
    facts |= {name: final[name] for name in _FACTS if name in final}
    layer.data = frames
    layer.metadata = layer.metadata | {KEY: facts}
    placed = Placement.of(source.times, source.scale)
    for own in session.layers_of(layer):
        if own.ndim == 3 and convert.kind_of(own) is not Kind.REGION:
            own.scale = (placed.scale[0], *own.scale[1:])
            own.translate = (placed.translate[0], *own.translate[1:])
            own.units = (placed.units[0], *own.units[1:])
    if active:
        session.go_to(frame)
        session.show_status()

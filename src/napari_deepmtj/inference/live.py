"""The MTJ of the frame in view, found while a person scrubs: the newest wish counts.

The steps are those of `predictor`, so a frame gets the numbers that tracking the clip gives it. Who
wishes and what is shown is elsewhere; nothing here is kept or saved.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deepmtj.calibration.roi import resolve_roi
from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.jobs import Done, Failed, Notice
from napari_deepmtj.core.trajectory import Flag, FramePrediction
from napari_deepmtj.errors import CalibrationError, DeepMTJError, VideoError
from napari_deepmtj.inference.predictor import Step, columns_of
from napari_deepmtj.inference.preprocess import require_region, to_network_input
from napari_deepmtj.inference.runner import Runner
from napari_deepmtj.inference.setup import Setup, prepare

if TYPE_CHECKING:
    from napari_deepmtj.video.opening import VideoSource
    from napari_deepmtj.weights.store import Model

#: Seconds after which `preview` says that nobody wishes anything, so that its consumer can end it.
PATIENCE = 0.2

#: What a person is told of a frame's flags.
_REMARKS = {
    Flag.LOW_CONFIDENCE: "low confidence",
    Flag.OUTSIDE_ROI: "outside the region",
    Flag.UNFAMILIAR: "unlike what the model is meant for",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """A frame that somebody looks at.

    Parameters
    ----------
    source : VideoSource
        The clip; the frame is taken by its `read`, from what the viewer has decoded already.
    frame : int
        Which one.
    roi : str or Roi
        As `predictor.track` takes it; what "auto" comes to is found once a clip.
    scale : Scale or None
        Millimetres per pixel; those of the clip by default.
    """

    source: VideoSource
    frame: int
    roi: str | Roi = "auto"
    scale: Scale | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the network says of a frame that was wished for, `seconds` after it was begun with."""

    wish: Wish
    prediction: FramePrediction
    seconds: float

    def describe(self) -> str:
        """Return in one line whether the MTJ is in view, how sure that is, and what is odd."""
        found = self.prediction
        said = "" if found.in_view else "not in view, "
        remarks = [text for flag, text in _REMARKS.items() if flag in found.flags]
        line = f"frame {found.frame}: {said}confidence {found.confidence:.2f}"
        return f"{', '.join([line, *remarks])} ({1000 * self.seconds:.0f} ms)"


@dataclass(frozen=True, slots=True)
class Unseen:
    """A frame that was wished for and cannot be looked at, and why; others may be."""

    wish: Wish
    error: DeepMTJError


@dataclass(frozen=True, slots=True)
class Idle:
    """Nobody wishes anything."""


class Wishes:
    """The last wish of another thread; those before it are dropped."""

    def __init__(self) -> None:
        self._wish: Wish | None = None
        self._closed = False
        self._change = threading.Condition()

    @property
    def closed(self) -> bool:
        """Whether nothing more is wished."""
        return self._closed

    def put(self, wish: Wish) -> None:
        """Wish this and nothing else. Returns at once."""
        with self._change:
            self._wish = wish
            self._change.notify_all()

    def close(self) -> None:
        """Wish nothing more; who waits for a wish stops."""
        with self._change:
            self._wish, self._closed = None, True
            self._change.notify_all()

    def take(self, seconds: float) -> Wish | None:
        """Return the wish, which then is no more; None if none comes in so many seconds."""
        with self._change:
            self._change.wait_for(lambda: self._closed or self._wish is not None, seconds)
            wish, self._wish = self._wish, None
            return wish


Event = Notice | Seen | Unseen | Idle | Done[int] | Failed


def preview(wishes: Wishes, model: str, *, device: str = "auto") -> Generator[Event]:
    """Find the MTJ in frames as they are wished for, until the wishes are closed.

    Parameters
    ----------
    wishes : Wishes
        Filled by another thread.
    model : str
        Id or file of the network, loaded once.
    device : str
        As `device.resolve_device` takes it.

    Yields
    ------
    Notice
        What a person must be told, each once.
    Seen or Unseen
        One for each wish that is taken.
    Idle
        When there is none for `PATIENCE` seconds.
    Done of int, or Failed
        Last: how many frames were seen, or why there are no more.
    """
    from napari_deepmtj.weights.store import load_model

    told: set[str] = set()
    try:
        finder = Finder(load_model(model), device)
        seen = 0
        finder.runner.ready()
        waiting: Wish | None = None  # for the listing of its clip's frames
        while not wishes.closed:
            wish = wishes.take(PATIENCE) or waiting
            if wish is None:
                yield Idle()
                continue
            if not wish.source.complete:
                listed = VideoError("its frames are being listed", path=wish.source.name)
                yield Idle() if wish is waiting else Unseen(wish, listed)
                waiting = wish
                continue
            waiting = None
            try:
                for event in finder.find(wish):
                    seen += isinstance(event, Seen)
                    if not isinstance(event, Notice) or event.message not in told:
                        yield event
                    if isinstance(event, Notice):
                        told.add(event.message)
            except (VideoError, CalibrationError) as error:  # of this frame, or region
                yield Unseen(wish, error)
        yield Done(seen)
    except DeepMTJError as error:
        yield Failed(error)


class Finder:
    """A model that is ready for single frames.

    Parameters
    ----------
    model : Model
        The network.
    device : str
        As `device.resolve_device` takes it.
    """

    def __init__(self, model: Model, device: str = "auto") -> None:
        self.runner = Runner(model, device, batch=1)
        self._model = model
        self._regions: dict[tuple[VideoSource, str], Roi] = {}

    def find(self, wish: Wish) -> Generator[Notice | Seen]:
        """Look at one frame; its result comes last.

        Raises
        ------
        VideoError, CalibrationError
            If there is no such frame or region.
        """
        began = time.perf_counter()
        setup = yield from self._setup(wish)
        region = wish.source.read(wish.frame)[setup.roi.slices]
        require_region(region, setup.roi)
        buffer = getattr(self.runner.backend, "buffer", None)
        if buffer is None:
            pictures = to_network_input(region, setup.pixel_map)[None]
        else:
            pictures = buffer((1, *region.shape))
            pictures[0] = region
        for event in self.runner.run([pictures], Step(setup, None, regions=buffer is not None)):
            if isinstance(event, Notice):
                yield event
                continue
            (found,) = columns_of(event[0], setup.frames, setup).rows()
            yield Seen(wish, found, time.perf_counter() - began)

    def _setup(self, wish: Wish) -> Generator[Notice, None, Setup]:
        """Settle what `track` would, every time anew: a person may change all of it."""
        source, roi = wish.source, wish.roi
        if isinstance(roi, str):
            if (source, roi) not in self._regions:
                self._regions[source, roi], notices = resolve_roi(roi, source)
                yield from (Notice(text) for text in notices)
            roi = self._regions[source, roi]
        frames = range(wish.frame, wish.frame + 1)
        setup = prepare(source, self._model, roi, wish.scale, frames)
        yield from (Notice(text) for text in setup.notices)
        return setup

"""The one pipeline: decode, map, network, decode of the maps; reading and computing overlap.

Batch processing, backends, widgets and commands feed or consume `track`; none writes it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_deepmtj.core.geometry import PixelMap, Roi, Scale
from napari_deepmtj.core.jobs import Done, Failed, Notice
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.trajectory import (
    Flag,
    FramePrediction,
    PredictionColumns,
    Trajectory,
    join_flags,
)
from napari_deepmtj.errors import DeepMTJError, VideoError
from napari_deepmtj.inference.attention import AttentionMap, select, wanted_map
from napari_deepmtj.inference.out_of_distribution import notice_of
from napari_deepmtj.inference.preprocess import to_network_inputs
from napari_deepmtj.inference.reading import Allocate, even, read_inputs, read_regions
from napari_deepmtj.inference.runner import Runner
from napari_deepmtj.inference.setup import TOLERANCE_MM as TOLERANCE_MM
from napari_deepmtj.inference.setup import TOLERANCE_OF_WIDTH as TOLERANCE_OF_WIDTH
from napari_deepmtj.inference.setup import Setup, prepare, provenance_of

if TYPE_CHECKING:
    from napari_deepmtj.inference.backends.base import Backend
    from napari_deepmtj.inference.decode import Decoded
    from napari_deepmtj.networks.interface import NetworkOutput
    from napari_deepmtj.video.opening import VideoSource
    from napari_deepmtj.weights.store import Model

UInt8Array = npt.NDArray[np.uint8]

#: A position whose confidence is lower is flagged `LOW_CONFIDENCE`.
CONFIDENT = 0.5

#: What comes of one batch: its positions in the network's input, and attention maps.
Result = tuple["Decoded", npt.NDArray[np.float32] | None]


@dataclass(frozen=True, slots=True)
class Began:
    """What is settled before the first frame.

    Parameters
    ----------
    provenance : Provenance
        That of the result, should the device not fall back; a run that is cancelled has no
        other.
    pixel_map : PixelMap
        Where the region lies in the network's input, and so attention maps in the frame.
    frames : range
        Which frames follow, ascending.
    attention : AttentionMap or None
        The attention map that comes with them.
    """

    provenance: Provenance
    pixel_map: PixelMap
    frames: range
    attention: AttentionMap | None = None


@dataclass(frozen=True)
class TrackedBatch:
    """Results of consecutive frames.

    Parameters
    ----------
    predictions : tuple of FramePrediction
        In the order of the clip.
    attention : ndarray of float32, shape (n, h, w), or None
        An attention map of each frame over the whole network input, raw values
        (`networks.maps.MapNames.unit`); where it lies in the frame says
        `Began.pixel_map.affine_of_map`. None unless asked for.
    done, total : int
        Frames so far, this batch included, and frames asked for.
    seconds : float
        Time since the first frame was asked for: loading and choosing what computes are not in it.
    """

    predictions: tuple[FramePrediction, ...]
    attention: npt.NDArray[np.float32] | None
    done: int
    total: int
    seconds: float


TrackEvent = Notice | Began | TrackedBatch | Done[Trajectory] | Failed


def track(
    source: VideoSource,
    model: Model,
    *,
    roi: str | Roi = "auto",
    scale: Scale | None = None,
    frames: range | None = None,
    device: str = "auto",
    backend: str = "auto",
    batch: int = 16,
    attention: str | bool = False,
    runner: Runner | None = None,
) -> Generator[TrackEvent]:
    """Find the MTJ in the frames of a clip.

    Parameters
    ----------
    source : VideoSource
        The clip. It stays open; reading goes through its `numbered`, in a thread of its own.
    model : Model
        What to find it with; left as it is.
    roi : str or Roi
        The B-mode picture: a region, or "auto", "full", "preset:NAME", "x,y,w,h".
    scale : Scale, optional
        Millimetres per pixel; those of the clip by default.
    frames : range, optional
        Which frames; all by default.
    device : str
        As `resolve_device` takes it.
    backend : str
        What computes there; as `backends.open_backend` takes it.
    batch : int
        Frames that the network sees at a time, at most.
    attention : str or bool
        Which attention map to return: one of `model.card.attention.choices`, or True for the
        first of them. A network without any is a notice with True, an error with a name.
    runner : Runner, optional
        Of the model, where several clips share one; `device`, `backend` and `batch` are its own
        then.

    Yields
    ------
    Notice
        What a person must be told.
    Began
        Once, before the first frame.
    TrackedBatch
        Results, as they come.
    Done of Trajectory, or Failed
        Last. Frames that cannot be decoded have rows without a position, and the flag
        `UNREADABLE`.
    """
    try:
        setup = prepare(source, model, roi, scale, frames)
        if runner is None:
            runner = Runner(model, device, batch, backend)
        runner.ready()
        told = source.notices
        yield from (Notice(text) for text in (*told, *setup.notices))
        which = wanted_map(model.card, attention)
        if attention is True and which is None:
            yield Notice(f"the network {model.card.network!r} has no attention maps")
        yield Began(provenance_of(source, setup, runner), setup.pixel_map, setup.frames, which)
        began = time.perf_counter()
        found: list[PredictionColumns] = []
        done, total = 0, len(setup.frames)
        buffer = getattr(runner.backend, "buffer", None)
        step = Step(setup, which, regions=buffer is not None)
        with closing(_pictures(source, setup, runner.batch, buffer)) as pictures:
            for event in runner.run(pictures, step):
                if isinstance(event, Notice):
                    yield event
                    continue
                decoded, maps = event
                numbers = setup.frames[done : done + len(decoded.xy)]
                found.append(columns_of(decoded, numbers, setup).without(source.unreadable))
                done += len(numbers)
                seconds = time.perf_counter() - began
                yield TrackedBatch(tuple(found[-1].rows()), maps, done, total, seconds)
        if not found or len(source.unreadable.intersection(setup.frames)) == total:
            raise VideoError("no frame of it can be read", path=source.name)
        yield from (Notice(text) for text in source.notices if text not in told)
        if done < total:
            yield Notice(
                f"the clip ends early: {done} of {total} frames were tracked, the last one "
                f"is frame {setup.frames[done - 1]}"
            )
        columns = PredictionColumns.joined(found)
        odd = np.array([Flag.UNFAMILIAR in text.split(";") for text in columns.flags])
        if warning := notice_of(odd, setup.frames):
            yield Notice(warning)
        provenance = provenance_of(source, setup, runner)
        yield Done(Trajectory.from_columns(columns, source.times, provenance))
    except DeepMTJError as error:
        yield Failed(error)


def _pictures(
    source: VideoSource, setup: Setup, size: int, buffer: Allocate | None
) -> Generator[UInt8Array]:
    """Read ahead regions into an accelerator's buffers, where it has any, else inputs."""
    if buffer is None:
        return read_inputs(source, setup.frames, setup.pixel_map, size)
    sizes = even(len(setup.frames), size)
    return read_regions(source, setup.frames, setup.roi, sizes, buffer)


@dataclass(frozen=True)
class Step:
    """What is done with the pictures of one batch: `regions`, else network inputs."""

    setup: Setup
    attention: AttentionMap | None
    regions: bool

    def __call__(self, backend: Backend, pictures: UInt8Array) -> Callable[[], Result]:
        """Begin with the pictures; what is returned waits for their result."""
        pixel_map = self.setup.pixel_map
        launch = getattr(backend, "launch", None)
        if launch is not None:
            finish = launch(pictures, pixel_map, attention=self.attention is not None)
            return partial(finish, self._read)
        if self.regions:  # read for an accelerator that failed
            pictures = to_network_inputs(pictures, pixel_map)
        result = self._read(backend.infer(pictures, content=pixel_map.content))
        return lambda: result

    def _read(self, output: NetworkOutput) -> Result:
        from napari_deepmtj.inference.decode import decode

        card = self.setup.model.card
        decoded = decode(
            output,
            card.decoding,
            height=card.input_height,
            width=card.input_width,
            tolerance_px=self.setup.tolerance_px,
        )
        if self.setup.familiar is not None and output.features is not None:
            strange = self.setup.familiar.strange(np.asarray(output.features, dtype=np.float32))
            decoded = replace(decoded, unfamiliar=strange)
        if self.attention is None:
            return decoded, None
        return decoded, select(output.attention, card.attention, self.attention.map)


def columns_of(decoded: Decoded, numbers: range, setup: Setup) -> PredictionColumns:
    """Bring positions and covariances of one batch back into frame pixels, and flag them."""
    pixel_map, roi = setup.pixel_map, setup.roi
    positions = pixel_map.to_frame(decoded.xy) + setup.offset
    beyond = (positions - [roi.x, roi.y] + 0.5) / [roi.width, roi.height]
    outside = np.asarray(((beyond < 0) | (beyond > 1)).any(axis=1), dtype=np.bool_)
    odd = np.zeros(len(outside), np.bool_) if decoded.unfamiliar is None else decoded.unfamiliar
    flags = []
    rows = zip(decoded.in_view, decoded.confidence, outside, odd, strict=True)
    for seen, confidence, out, strange in rows:
        doubts = ((Flag.LOW_CONFIDENCE, confidence < CONFIDENT), (Flag.OUTSIDE_ROI, out))
        remarks = [flag for flag, holds in doubts if holds] if seen else [Flag.NOT_IN_VIEW]
        flags.append(join_flags([*remarks, *([Flag.UNFAMILIAR] if strange else [])]))
    return PredictionColumns(
        np.arange(numbers.start, numbers.stop, numbers.step),
        positions,
        pixel_map.covariance_to_frame(decoded.covariance),
        decoded.confidence,
        decoded.in_view,
        flags,
    )

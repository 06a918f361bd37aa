"""The one pipeline: decode, map, network, decode of the maps; reading and computing overlap.

Batch processing, backends, widgets and commands feed or consume `track`; none writes it again.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deepmtj.calibration.roi import resolve_roi
from napari_deepmtj.core.geometry import PixelMap, Roi, Scale
from napari_deepmtj.core.jobs import Done, Failed, Notice
from napari_deepmtj.core.provenance import Provenance
from napari_deepmtj.core.trajectory import Flag, FramePrediction, Trajectory
from napari_deepmtj.errors import DeepMTJError, VideoError
from napari_deepmtj.inference.attention import AttentionMap, select, wanted_map
from napari_deepmtj.inference.device import Runner, resolve_device
from napari_deepmtj.inference.prefetch import prefetch
from napari_deepmtj.inference.preprocess import normalise, to_network_input

if TYPE_CHECKING:
    import torch
    from torch import nn

    from napari_deepmtj.inference.decode import Decoded
    from napari_deepmtj.io.video import VideoSource
    from napari_deepmtj.networks.interface import NetworkOutput
    from napari_deepmtj.weights.store import Model

UInt8Array = npt.NDArray[np.uint8]

#: Tolerance radius behind "valid" and the confidence (P20, Leitner et al. 2020,
#: doi:10.1109/EMBC44109.2020.9176145).
TOLERANCE_MM = 5.0

#: The same where no scale is known, as a fraction of the region's width: P20's 5 mm are 32.3 px
#: of its 512 px wide crop.
TOLERANCE_OF_WIDTH = 0.063

#: A position whose confidence is lower is flagged `LOW_CONFIDENCE`.
CONFIDENT = 0.5

#: Frames of the first batch; few, so that the first result appears early.
FIRST_BATCH = 2

#: Batches that the reading thread may be ahead.
BATCHES_AHEAD = 4


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
        Time since the job began.
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
    batch: int = 16,
    attention: str | bool = False,
    runner: Runner | None = None,
) -> Generator[TrackEvent]:
    """Find the MTJ in the frames of a clip.

    Parameters
    ----------
    source : VideoSource
        The clip. It stays open; reading goes through its `frames`, in a thread of its own.
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
    batch : int
        Frames that the network sees at a time, at most.
    attention : str or bool
        Which attention map to return: one of `model.card.attention.choices`, or True for the
        first of them. A network without any is a notice with True, an error with a name.

    runner : Runner, optional
        Of the model's network, on its device already, where several clips share one; `device` and
        `batch` are its own then.

    Yields
    ------
    Notice
        What a person must be told.
    Began
        Once, before the first frame.
    TrackedBatch
        Results, as they come.
    Done of Trajectory, or Failed
        Last. A clip that ends early is Done with the frames it has, after a Notice.
    """
    began = time.perf_counter()
    try:
        setup = _prepare(source, model, roi, scale, frames)
        if runner is None:
            runner = Runner(model.network, resolve_device(device), batch)
        told = source.notices
        yield from (Notice(text) for text in (*told, *setup.notices))
        which = wanted_map(model.card, attention)
        if attention is True and which is None:
            yield Notice(f"the network {model.card.network!r} has no attention maps")
        yield Began(_provenance(source, setup, runner), setup.pixel_map, setup.frames, which)
        step = _Step(setup, which)
        found: list[FramePrediction] = []
        total = len(setup.frames)
        with closing(
            prefetch(_batches(source, setup, runner.batch), BATCHES_AHEAD, "decode")
        ) as batches:
            for pictures in batches:
                for event in runner.run(pictures, step):
                    if isinstance(event, Notice):
                        yield event
                        continue
                    decoded, maps = event
                    numbers = setup.frames[len(found) : len(found) + len(decoded.xy)]
                    new = tuple(_predictions(decoded, numbers, setup.pixel_map))
                    found.extend(new)
                    seconds = time.perf_counter() - began
                    yield TrackedBatch(new, maps, len(found), total, seconds)
        if not found:
            raise VideoError("no frame of it can be read", path=source.name)
        if len(found) < total:
            yield from (Notice(text) for text in source.notices[len(told) :])
            yield Notice(
                f"the clip ends early: {len(found)} of {total} frames were tracked, the last one "
                f"is frame {found[-1].frame}"
            )
        provenance = _provenance(source, setup, runner)
        yield Done(Trajectory.from_predictions(found, source.times, provenance))
    except DeepMTJError as error:
        yield Failed(error)


@dataclass(frozen=True)
class _Setup:
    """Everything that is fixed before the first frame."""

    model: Model
    pixel_map: PixelMap
    scale: Scale | None
    frames: range
    notices: tuple[str, ...]

    @property
    def roi(self) -> Roi:
        return self.pixel_map.roi

    @property
    def tolerance_px(self) -> float:
        """Radius in network pixels, as a circle there (an ellipse only if stretched)."""
        if self.scale is None:
            return TOLERANCE_OF_WIDTH * self.pixel_map.content_width
        x, y = self.pixel_map.factors / [self.scale.x_mm, self.scale.y_mm]
        return TOLERANCE_MM * float(np.sqrt(x * y))


def _prepare(
    source: VideoSource, model: Model, roi: str | Roi, scale: Scale | None, frames: range | None
) -> _Setup:
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
    card = model.card
    pixel_map = PixelMap.fit(
        region, card.input_height, card.input_width, scale, stretch=card.stretch
    )
    return _Setup(model, pixel_map, scale, wanted, tuple(notices))


def _batches(source: VideoSource, setup: _Setup, size: int) -> Iterator[UInt8Array]:
    """Yield network inputs, shape (n, H, W); runs in the reading thread."""
    wanted = setup.frames
    waiting: list[UInt8Array] = []
    limit = min(size, FIRST_BATCH)
    try:
        for picture in source.frames(wanted.start, wanted.stop, wanted.step, roi=setup.roi):
            waiting.append(to_network_input(picture, setup.pixel_map))
            if len(waiting) == limit:
                yield np.stack(waiting)
                waiting, limit = [], size
    except DeepMTJError:
        raise
    except Exception as error:
        raise VideoError(
            f"reading failed ({type(error).__name__}: {error})", path=source.name
        ) from error
    if waiting:
        yield np.stack(waiting)


@dataclass(frozen=True)
class _Step:
    """What happens on the device to the pictures of one batch."""

    setup: _Setup
    attention: AttentionMap | None

    def __call__(
        self, network: nn.Module, pictures: UInt8Array, device: torch.device
    ) -> tuple[Decoded, npt.NDArray[np.float32] | None]:
        from napari_deepmtj.inference.decode import decode

        card, pixel_map = self.setup.model.card, self.setup.pixel_map
        inputs = normalise(pictures, card.normalisation, content=pixel_map.content, device=device)
        output = network(inputs)
        if device.type == "mps":  # it has no float64, in which decoding takes moments
            output = _on_host(output)
        decoded = decode(
            output,
            card.decoding,
            height=card.input_height,
            width=card.input_width,
            tolerance_px=self.setup.tolerance_px,
        )
        if self.attention is None:
            return decoded, None
        return decoded, select(output.attention, card.attention, self.attention.map)


def _on_host(output: NetworkOutput) -> NetworkOutput:
    heatmap, xy, presence = (
        None if part is None else part.cpu()
        for part in (output.heatmap, output.xy, output.presence)
    )
    maps = tuple(part.cpu() for part in output.attention)
    return type(output)(heatmap, xy, presence, maps)


def _predictions(
    decoded: Decoded, numbers: range, pixel_map: PixelMap
) -> Iterator[FramePrediction]:
    """Bring positions and covariances of one batch back into frame pixels."""
    roi = pixel_map.roi
    positions = pixel_map.to_frame(decoded.xy)
    covariances = pixel_map.covariance_to_frame(decoded.covariance)
    for i, frame in enumerate(numbers):
        in_view = bool(decoded.in_view[i])
        confidence = float(decoded.confidence[i])
        flags: list[Flag] = []
        if not in_view:
            position, covariance = np.full(2, np.nan), np.full((2, 2), np.nan)
            flags.append(Flag.NOT_IN_VIEW)
        else:
            position, covariance = positions[i], covariances[i]
            beyond = (position - [roi.x, roi.y] + 0.5) / [roi.width, roi.height]
            if confidence < CONFIDENT:
                flags.append(Flag.LOW_CONFIDENCE)
            if (beyond < 0).any() or (beyond > 1).any():
                flags.append(Flag.OUTSIDE_ROI)
        x, y = (float(value) for value in position)
        yield FramePrediction(frame, x, y, covariance, confidence, in_view, tuple(flags))


def _provenance(source: VideoSource, setup: _Setup, runner: Runner) -> Provenance:
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
        tolerance={
            "definition": f"{TOLERANCE_OF_WIDTH} of the region's width"
            if scale is None
            else f"{TOLERANCE_MM} mm",
            "network_px": round(setup.tolerance_px, 6),
        },
        clip_metadata=dict(source.metadata),  # how its grey levels came about
        device=str(runner.device),
        batch=runner.batch,
        libraries=_libraries(),
    )


def _libraries() -> dict[str, str]:
    """Return the versions that a number can depend on."""
    versions: dict[str, Any] = {"python": platform.python_version()}
    for name in ("torch", "numpy", "pillow", "av"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return versions

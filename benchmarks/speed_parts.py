"""The parts of tracking, each timed alone, and what a person would write instead.

Every function returns seconds. How often, in which order and what becomes of it is `run.py`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from napari_deepmtj.core.geometry import PixelMap
from napari_deepmtj.core.jobs import Done, Failed
from napari_deepmtj.inference.backends.base import Backend
from napari_deepmtj.inference.backends.select import open_backend
from napari_deepmtj.inference.backends.threads import Threads
from napari_deepmtj.inference.predictor import TrackedBatch, track
from napari_deepmtj.inference.preprocess import to_network_inputs
from napari_deepmtj.inference.runner import Runner
from napari_deepmtj.tracking.flow import follow
from napari_deepmtj.video.opening import VideoSource
from napari_deepmtj.weights.store import Model
from speed_clips import ROI

UInt8Array = npt.NDArray[np.uint8]
T = TypeVar("T")

#: Frames that a program computes at a time unless told otherwise.
BATCH = 16


def alone(model: Model, name: str) -> Backend:
    """Return a backend that computes with one thread."""
    return open_backend(model, name, "cpu", how=Threads(1))


def runner(model: Model, name: str, device: str = "cpu", batch: int = BATCH) -> Runner:
    """Return what `track` computes with, ready."""
    opened = Runner(model, device, batch, name)
    opened.ready()
    return opened


def pixel_map(model: Model) -> PixelMap:
    """Return how the region of the clips comes into a network."""
    card = model.card
    return PixelMap.fit(ROI, card.input_height, card.input_width, stretch=card.stretch)


def inputs_of(source: VideoSource, model: Model) -> UInt8Array:
    """Return all network inputs of a clip."""
    return to_network_inputs(np.stack(list(source.frames(roi=ROI))), pixel_map(model))


def decode_s(source: VideoSource) -> float:
    """Read every frame's region, in this thread."""
    began = time.perf_counter()
    n = sum(1 for _ in source.frames(roi=ROI))
    assert n == source.n_frames
    return time.perf_counter() - began


def network_s(backend: Backend, pixels: UInt8Array, content: tuple[slice, slice]) -> float:
    """Compute every network input, of whose pictures the rows and columns are given."""
    began = time.perf_counter()
    for start in range(0, len(pixels), BATCH):
        backend.infer(pixels[start : start + BATCH], content=content)
    return time.perf_counter() - began


def track_s(source: VideoSource, model: Model, with_: Runner) -> tuple[float, float]:
    """Track every frame; return how long that takes, and until the first result."""
    began, first = time.perf_counter(), 0.0
    last: object = None
    for last in track(source, model, roi=ROI, runner=with_):
        if isinstance(last, Failed):
            raise last.error
        if isinstance(last, TrackedBatch) and not first:
            first = time.perf_counter() - began
    assert isinstance(last, Done)
    assert len(last.result) == source.n_frames
    return time.perf_counter() - began, first


def by_hand_s(path: Path, model: Model) -> float:
    """Track as somebody would who has the network and OpenCV: frame by frame, in eager torch."""
    import cv2

    where = pixel_map(model)
    size = (where.content_width, where.content_height)
    rows, columns = ROI.slices
    n, found = 0, []
    began = time.perf_counter()
    video = cv2.VideoCapture(str(path))
    while True:
        there, frame = video.read()
        if not there:
            break
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)[rows, columns]
        picture = np.zeros((where.out_height, where.out_width), dtype=np.float32)
        picture[where.content] = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        with torch.no_grad():
            output = model.network(torch.from_numpy(picture / 127.5 - 1)[None, None])
        heat = output.heatmap[0].numpy()
        found.append(np.unravel_index(heat.argmax(), heat.shape))
        n += 1
    video.release()
    assert n == len(found) > 0
    return time.perf_counter() - began


def flow_s(source: VideoSource, start_xy: npt.NDArray[np.float64]) -> float:
    """Follow one point by the pyramidal method of Lucas and Kanade, as OpenCV has it."""
    began = time.perf_counter()
    followed = follow(source, start_xy, 0, source.n_frames - 1, roi=ROI)
    assert len(followed.frames) == source.n_frames
    return time.perf_counter() - began

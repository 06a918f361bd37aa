"""A clip that is an array, a network that sees bright spots, and its decoding."""

import threading
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from napari_deepmtj.core.geometry import Roi, Scale
from napari_deepmtj.core.timebase import FrameTimes
from napari_deepmtj.errors import VideoError
from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.networks.maps import MapNames
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import Model

HEIGHT, WIDTH = 100, 240


def spot(x, y, height=HEIGHT, width=WIDTH, sd=6.0):
    """A Gaussian spot on black, peak 250, its centre at (x, y)."""
    rows, columns = np.mgrid[:height, :width]
    return np.round(250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sd**2))).astype(
        np.uint8
    )


class ArrayClip:
    """A VideoSource over an array; can end early, fail, or wait at a frame."""

    path: Path | None = None
    sha256 = "ab" * 32
    roi: Roi | None = None
    metadata: dict = {}  # noqa: RUF012

    def __init__(self, array, *, scale=None, ends_at=None, fails_at=None, notices=()):
        self.array, self.scale, self.notices = array, scale, tuple(notices)
        self.name = "clip.avi"
        self.n_frames, self.height, self.width = array.shape
        self.times = FrameTimes.from_rate(self.n_frames, 25.0, "container")
        self.ends_at, self.fails_at = ends_at, fails_at
        self.given: list[int] = []
        self.threads: set[str] = set()
        self.open_iterators = 0

    def read(self, frame):
        return self.array[frame]

    unreadable: frozenset[int] = frozenset()

    def numbered(self, start=0, stop=None, step=1, roi=None):
        self.open_iterators += 1
        try:
            for i in range(*slice(start, stop, step).indices(self.n_frames)):
                self.threads.add(threading.current_thread().name)
                if self.ends_at is not None and i >= self.ends_at:
                    self.notices = (*self.notices, f"frame {i} cannot be decoded")
                    return
                if i == self.fails_at:
                    raise VideoError("is torn here", path=self.name, frame=i)
                self.given.append(i)
                yield i, self.array[i] if roi is None else self.array[i][roi.slices]
        finally:
            self.open_iterators -= 1

    complete = True

    def wait(self, progress: object = None) -> None:
        """All frames are known."""

    def close(self):
        pass


class SpotNetwork(nn.Module):
    """Says that the MTJ is where the light is; not in view in the dark.

    Attention is the picture itself. `calls` are the batch sizes seen, also by copies.
    """

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
        self.calls: list[int] = []

    def __deepcopy__(self, memo):
        other = type(self)()
        other.calls = self.calls
        return other

    def forward(self, x):
        self.calls.append(len(x))
        grey = (x[:, 0] + 1) * 127.5 * self.gain
        presence = grey.amax(dim=(1, 2)) - 100.0
        return NetworkOutput(torch.log(grey.clamp(min=1e-20)), None, presence, (grey,))


@dataclass(frozen=True)
class FakeDecoded:
    xy: np.ndarray
    covariance: np.ndarray
    confidence: np.ndarray
    in_view: np.ndarray
    unfamiliar: np.ndarray | None = None


def centroid_decode(output, decoding, *, height, width, tolerance_px):
    """Mean and covariance of the softmax; confidence is its mass within the tolerance."""
    b, h, w = output.heatmap.shape
    p = torch.softmax(torch.from_numpy(output.heatmap).double().reshape(b, -1), 1)
    p = p.reshape(b, h, w).numpy()
    rows, columns = np.mgrid[:h, :w]
    grid = np.stack([columns, rows], -1) * [width / w, height / h]
    xy = np.einsum("bij,ijk->bk", p, grid)
    off = grid[None] - xy[:, None, None]
    covariance = np.einsum("bij,bijk,bijl->bkl", p, off, off)
    confidence = (p * (np.linalg.norm(off, axis=-1) <= tolerance_px)).sum((1, 2))
    in_view = output.presence > 0
    return FakeDecoded(xy, covariance, confidence, in_view)


@pytest.fixture
def card():
    return WeightCard(
        id="spot",
        version="1",
        licence="BSD-3-Clause",
        network="spot",
        input_height=64,
        input_width=128,
        normalisation="minus-one-one",
        trained_on="nothing",
        label_definition="the brightest spot",
        decoding={"presence": 0.5},
        sha256="cd" * 32,
    )


@pytest.fixture
def model(card, monkeypatch):
    monkeypatch.setattr("napari_deepmtj.inference.decode.decode", centroid_decode)
    names = MapNames(("gate-1",), "gate")
    monkeypatch.setattr("napari_deepmtj.weights.cards.maps_of", lambda network, arguments: names)
    return Model(card, SpotNetwork().eval())


@pytest.fixture
def path():
    """Where the spot is in each of 40 frames, shape (40, 2)."""
    t = np.linspace(0, 2 * np.pi, 40)
    return np.stack([120 + 70 * np.sin(t), 50 + 15 * np.cos(2 * t)], axis=1)


@pytest.fixture
def clip(path):
    return ArrayClip(np.stack([spot(x, y) for x, y in path]), scale=Scale(0.2, 0.2, "phantom"))


@pytest.fixture
def fakes():
    """What is above, for tests that vary it."""
    return SimpleNamespace(
        spot=spot, ArrayClip=ArrayClip, SpotNetwork=SpotNetwork, centroid_decode=centroid_decode
    )

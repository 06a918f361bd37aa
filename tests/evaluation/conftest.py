"""Labelled clips of a bright spot on disk, and a network that finds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_deepmtj.core.geometry import Scale
from napari_deepmtj.core.labels import Label
from napari_deepmtj.labels.table import labels_path, write_labels
from napari_deepmtj.networks.interface import NetworkOutput
from napari_deepmtj.video.opening import open_video
from napari_deepmtj.video.sidecar import ClipInfo, write_sidecar
from napari_deepmtj.video.writer import VideoWriter
from napari_deepmtj.weights.cards import WeightCard
from napari_deepmtj.weights.store import Model

MM_PER_PX = 0.25
Point = tuple[float, float] | None
MakeClip = Callable[..., Path]


class SpotNetwork(nn.Module):
    """Draws its heat map around the brightest place; not in view in the dark."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> NetworkOutput:
        grey = nn.functional.avg_pool2d((x + 1) / 2 * self.gain, 2)[:, 0]
        return NetworkOutput(grey * 30, None, (grey.amax(dim=(1, 2)) - 0.3) * 50, ())


@pytest.fixture
def model() -> Model:
    card = WeightCard(
        id="spot",
        version="1",
        licence="BSD-3-Clause",
        network="spot",
        input_height=64,
        input_width=128,
        normalisation="minus-one-one",
        trained_on="nothing",
        label_definition="the brightest spot",
        sha256="cd" * 32,
    )
    return Model(card, SpotNetwork().eval())


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Write a clip, 128 x 64 px, with a spot at each of `points`, and labels beside it.

    Labels say where the spot is, `offset` px further right; `seen` replaces what is drawn.
    """

    def make(
        name: str,
        points: Sequence[Point],
        *,
        offset: float = 0.0,
        seen: Sequence[Point] | None = None,
        annotator: str = "anna",
        scale: bool = True,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows, columns = np.mgrid[:64, :128]
        with VideoWriter(path, 64, 128, 25) as writer:
            for point in seen or points:
                x, y = point or (-1e3, -1e3)
                spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 32)
                writer.add((250 * spot).astype(np.uint8))
        if scale:
            write_sidecar(path, ClipInfo(Scale.isotropic(MM_PER_PX, "test"), None, None))
        with open_video(path) as source:
            sha256 = source.sha256
        labels = [
            Label(
                clip=path.name,
                clip_sha256=sha256,
                frame=frame,
                x_px=None if point is None else point[0] + offset,
                y_px=None if point is None else point[1],
                annotator=annotator,
            )
            for frame, point in enumerate(points)
        ]
        write_labels(labels_path(path), labels)
        return path

    return make

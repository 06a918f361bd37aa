"""Batches of labelled frames: as inference sees them, and augmented; a function of seeds alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_deepmtj.core.geometry import PixelMap, Roi
from napari_deepmtj.inference.preprocess import normalise, to_network_input
from napari_deepmtj.training.affine import affine_matrices, warp, warped_label
from napari_deepmtj.training.augment import Batch, augment
from napari_deepmtj.training.frames import FrameStore
from napari_deepmtj.training.settings import (
    Affine,
    Augmentation,
    Loss,
    Network,
    Scanner,
    SoftLabel,
)

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FrameSet:
    """Some rows of a store, brought to the input of a network.

    Parameters
    ----------
    store : FrameStore
        The frames.
    rows : ndarray of int
        Which of them.
    network : Network
        Whose input.
    """

    store: FrameStore
    rows: Rows
    network: Network

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input."""
        return self.network.height, self.network.width

    @property
    def pixel_map(self) -> PixelMap:
        """From the stored frame to the input."""
        return PixelMap.fit(Roi.full(*self.store.size), *self.size, stretch=self.network.stretch)

    def plain(self, which: Rows) -> Batch:
        """Return the frames at places of `rows` as inference sees them."""
        rows = self.rows[which]
        pixel_map = self.pixel_map
        grey = np.stack([to_network_input(p, pixel_map) for p in self.store.pictures(rows)])
        pictures = torch.cat(
            [
                normalise(picture[None], self.network.normalisation, content=self._content(row))
                for picture, row in zip(grey, rows, strict=True)
            ]
        )
        xy = pixel_map.to_network(self.store.xy[rows])
        inside = ((xy >= -0.5) & (xy <= np.array(self.size[::-1]) - 0.5)).all(axis=1)
        visible = self.store.visible[rows]
        return Batch(
            pictures=pictures,
            xy=torch.from_numpy(np.nan_to_num(xy)).float(),
            present=torch.from_numpy(visible & inside).float(),
            decided=torch.ones(len(rows)),
            mm_per_px=torch.from_numpy(self.store.mm_per_px[rows] / pixel_map.factors),
        )

    def augmented(self, which: Rows, how: Augmentation, loss: Loss, rng: torch.Generator) -> Batch:
        """Return the frames at places of `rows`, each changed at random."""
        rows = self.rows[which]
        stored = torch.from_numpy(self.store.pictures(rows))
        visible = torch.from_numpy(self.store.visible[rows])
        xy = torch.from_numpy(np.nan_to_num(self.store.xy[rows])).float()
        if isinstance(how, Scanner):
            mm = torch.from_numpy(self.store.mm_per_px[rows].mean(axis=1)).float()
            batch = augment(stored, xy, visible, mm, self.size, rng, strength=how.strength)
            if self.network.normalisation == "standardise":
                batch = Batch(
                    _standardised(batch.pictures[:, 0], torch.ones_like(batch.pictures[:, 0])),
                    *(batch.xy, batch.present, batch.decided, batch.mm_per_px),
                )
            return batch
        return self._warped(rows, stored.float(), xy, visible, how, loss, rng)

    def _warped(
        self,
        rows: Rows,
        stored: Tensor,
        xy: Tensor,
        visible: Tensor,
        how: Affine,
        loss: Loss,
        rng: torch.Generator,
    ) -> Batch:
        matrices = affine_matrices(how, len(rows), self.store.size, rng)
        pictures, places = warp(stored, matrices, self.size)
        height, width = self.store.size
        step = torch.tensor([width / self.size[1], height / self.size[0]])
        middle = torch.tensor([(width - 1) / 2, (height - 1) / 2])
        linear, offset = matrices[:, :, :2], matrices[:, :, 2]
        centred = torch.linalg.solve(linear, (xy - middle - offset)[:, :, None])[:, :, 0]
        size = torch.tensor([self.size[1], self.size[0]])
        here = centred / step + size / 2 - 0.5
        inside = ((here >= -0.5) & (here <= size - 0.5)).all(dim=1)
        target = None
        if isinstance(loss, SoftLabel):
            sigma = loss.sigma_px * float(step[0])
            target = warped_label(places, xy, visible.float(), sigma)
        if self.network.normalisation == "standardise":
            pictures = _standardised(pictures, self._inside(rows, places))
        else:
            pictures = (pictures / 127.5 - 1.0)[:, None]
        mm_per_px = torch.from_numpy(self.store.mm_per_px[rows]) * step * linear.norm(dim=1)
        return Batch(
            pictures, here, (visible & inside).float(), torch.ones(len(rows)), mm_per_px, target
        )

    def _content(self, row: int) -> tuple[slice, slice]:
        """Rows and columns of the picture itself in the input."""
        top, left, height, width = self.store.content[row]
        y, x = self.pixel_map.factors[::-1]
        return (
            slice(round(top * y), max(round(top * y) + 1, round((top + height) * y))),
            slice(round(left * x), max(round(left * x) + 1, round((left + width) * x))),
        )

    def _inside(self, rows: Rows, places: Tensor) -> Tensor:
        """1 where a place lies in the picture itself, 0 in the black around it, (B, H, W)."""
        box = torch.from_numpy(self.store.content[rows])[:, :, None, None]
        x, y = places[..., 0] + 0.5, places[..., 1] + 0.5
        top, left, height, width = box.unbind(dim=1)
        within = (x >= left) & (x <= left + width) & (y >= top) & (y <= top + height)
        return within.float()


def _standardised(pictures: Tensor, weight: Tensor) -> Tensor:
    """Bring pictures (B, H, W) to mean 0 and deviation 1 where `weight` is 1; (B, 1, H, W)."""
    n = weight.sum(dim=(1, 2), keepdim=True).clamp(min=1.0)
    mean = (pictures * weight).sum(dim=(1, 2), keepdim=True) / n
    variance = (weight * (pictures - mean) ** 2).sum(dim=(1, 2), keepdim=True) / n
    sd = variance.sqrt()
    return ((pictures - mean) / torch.where(sd > 0, sd, torch.ones_like(sd)))[:, None]

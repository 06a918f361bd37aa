"""Pictures of several sources as one set to learn from, each source with its share of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from napari_deepmtj.errors import DeepMTJError
from napari_deepmtj.phantom.anatomy import LABEL, LabelDefinition


class Pictures(Protocol):
    """Stored pictures of one size, with the truth."""

    @property
    def present(self) -> Tensor:
        """Whether the MTJ is in the picture, bool (n,)."""

    @property
    def mm_per_px(self) -> Tensor:
        """Millimetres per stored pixel, float32 (n,)."""

    def __len__(self) -> int: ...

    def pictures(self, indices: Tensor) -> Tensor:
        """Return the pictures at `indices` (B,) as uint8 (B, H, W)."""

    def positions(self, label: LabelDefinition = LABEL) -> Tensor:
        """Return the MTJ of every picture (n, 2), stored pixels; meaningless where absent."""


@dataclass(frozen=True)
class StoredPictures:
    """Pictures with the truth in memory, as one `.npz` file keeps them.

    Parameters
    ----------
    stored : Tensor, uint8, shape (n, H, W)
        Grey levels.
    xy : Tensor, float32, shape (n, 2)
        The MTJ in pixels, by the label definition that they were made with.
    present : Tensor, bool, shape (n,)
        Whether the MTJ is in the picture.
    mm_per_px : Tensor, float32, shape (n,)
        Millimetres a pixel.
    cluster : Tensor, int64, shape (n,), or None
        Number of the cluster of sources that each was made of.
    """

    stored: Tensor
    xy: Tensor
    present: Tensor
    mm_per_px: Tensor
    cluster: Tensor | None = None

    def __len__(self) -> int:
        return len(self.present)

    def pictures(self, indices: Tensor) -> Tensor:
        """Return the pictures at `indices` (B,) as uint8 (B, H, W)."""
        return self.stored[indices]

    def positions(self, label: LabelDefinition = LABEL) -> Tensor:
        """Return the positions; the definition is that of the making."""
        return self.xy

    def save(self, path: Path) -> None:
        """Write to a `.npz` file."""
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            there = {name: value for name, value in vars(self).items() if value is not None}
            np.savez(file, **{name: value.numpy() for name, value in there.items()})
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> StoredPictures:
        """Read what `save` wrote."""
        with np.load(path) as file:
            return cls(**{name: torch.from_numpy(file[name]) for name in file.files})


@dataclass(frozen=True)
class Source:
    """One source of a mixture: its name, its share of the pictures drawn, and the pictures."""

    name: str
    share: float
    pictures: Pictures


class Mixture:
    """Several sources as one set; numbers of pictures run through all of them.

    Parameters
    ----------
    sources : sequence of Source
        Of which a picture is drawn, with the source's share; shares need not add up to 1.

    Raises
    ------
    DeepMTJError
        If there is no source, or one without pictures.
    """

    def __init__(self, sources: list[Source]) -> None:
        empty = [source.name for source in sources if not len(source.pictures)]
        if empty or not sources:
            raise DeepMTJError(f"nothing to learn from in {', '.join(empty) or 'the mixture'}")
        self.sources = sources
        self._starts = np.cumsum([0, *(len(source.pictures) for source in sources)])
        self._shares = torch.tensor([source.share for source in sources])
        self.present = torch.cat([source.pictures.present for source in sources])
        self.mm_per_px = torch.cat([source.pictures.mm_per_px for source in sources])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """Return the numbers of `n` pictures: a source by its share, then any of its pictures."""
        of = torch.multinomial(self._shares, n, replacement=True, generator=rng)
        sizes = torch.tensor([len(source.pictures) for source in self.sources])[of]
        place = (torch.rand(n, generator=rng) * sizes).long()
        return torch.from_numpy(self._starts[:-1])[of] + place.minimum(sizes - 1)

    def pictures(self, indices: Tensor) -> Tensor:
        """Return the pictures at `indices` (B,) as uint8 (B, H, W)."""
        of = np.searchsorted(self._starts, indices.numpy(), side="right") - 1
        each = [
            self.sources[k].pictures.pictures(torch.tensor([int(i) - int(self._starts[k])]))
            for k, i in zip(of, indices.tolist(), strict=True)
        ]
        return torch.cat(each)

    def positions(self, label: LabelDefinition = LABEL) -> Tensor:
        """Return the MTJ of every picture (n, 2), stored pixels; meaningless where absent."""
        return torch.cat([source.pictures.positions(label) for source in self.sources])

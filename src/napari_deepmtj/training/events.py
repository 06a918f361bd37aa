"""What training tells as it goes; together with those of `core.jobs`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.jobs import Done, Failed, Notice, Progress
from napari_deepmtj.weights.cards import WeightCard

#: Name of the table of a run's curves, in its folder.
CURVES = "curves.csv"


@dataclass(frozen=True, slots=True)
class Learned:
    """Mean loss of the last few steps, and the rate at which pictures are learned from."""

    step: int
    steps: int
    loss: float
    pictures_per_s: float


@dataclass(frozen=True, slots=True)
class Validated:
    """An epoch is done, and its weights were tried on the validation.

    Parameters
    ----------
    epoch, epochs : int
        Epochs done, and of the whole run.
    step : int
        Steps done.
    learning_rate : float
        Of its last step.
    training_loss, loss : float
        Mean over the pictures of the epoch as they were learned from, and over the validation.
    error_px : float
        Mean distance on the validation in pixels of the network's input.
    error_mm : float or None
        The same in mm, where every clip has a scale.
    best : bool
        Whether no epoch before was better (in mm, or else in px).
    """

    epoch: int
    epochs: int
    step: int
    learning_rate: float
    training_loss: float
    loss: float
    error_px: float
    error_mm: float | None
    best: bool

    @property
    def score(self) -> float:
        """What the best epoch has the least of."""
        return self.error_px if self.error_mm is None else self.error_mm


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run.

    Parameters
    ----------
    path : Path
        The weights.
    card : WeightCard
        Their card.
    curves : tuple of Validated
        One an epoch; none for rendered scenes.
    last : Path or None
        The weights of the last epoch, where those of an earlier one are the result.
    """

    path: Path
    card: WeightCard
    curves: tuple[Validated, ...] = ()
    last: Path | None = None


def curves_table(curves: Iterable[Validated]) -> pd.DataFrame:
    """Return one row an epoch: the columns of `Validated`, without what is the same for all."""
    return pd.DataFrame([asdict(row) for row in curves]).drop(columns="epochs")


def write_curves(folder: Path, curves: Iterable[Validated]) -> Path:
    """Write `curves.csv` into the folder of a run."""
    text = curves_table(curves).to_csv(index=False, lineterminator="\n")
    return atomic_write(folder / CURVES, text.encode())


TrainingEvent: TypeAlias = Progress | Notice | Learned | Validated | Done[Trained] | Failed

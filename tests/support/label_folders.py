"""Label files in a folder, as the tests of their store make them and leave them behind."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from napari_deepmtj.core.labels import Edit, Label
from napari_deepmtj.labels.store import LabelStore

NAME = "a.mtj-labels.csv"


def label(frame: int, x: float | None = 1.0, **changes: Any) -> Label:
    base = Label(
        clip="Läufer =1.avi",
        clip_sha256="ff",
        frame=frame,
        x_px=x,
        y_px=None if x is None else x / 3,
        annotator="anna",
        timestamp="2026-01-02T03:04:05+00:00",
    )
    return dataclasses.replace(base, **changes)


def new(frame: int, x: float | None = 1.0) -> Edit:
    return Edit(None, label(frame, x))


def journal_of(folder: Path) -> Path:
    (path,) = folder.glob("*.journal")
    return path


def killed(store: LabelStore) -> None:
    """Let a store be as after its program was killed."""
    store._journal.close()


def reopened(folder: Path) -> LabelStore:
    """Open the folder as it lies there, as after its program was killed."""
    for lock in folder.glob("*.lock"):
        lock.unlink()
    return LabelStore.open(folder / NAME)

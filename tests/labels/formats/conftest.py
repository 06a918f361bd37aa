from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_deepmtj.core.labels import Label

FRAMES, HEIGHT, WIDTH = 12, 60, 130
#: A name that is hard on every format: capitals, spaces, umlauts, underscores and digits.
NAME = "Läufer 1_MG_012.avi"


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """Make a clip of any name (its contents, not its name, say that it is an array)."""

    def make(name: str = NAME, frames: int = FRAMES, folder: str = "clips") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        with path.open("wb") as file:
            np.save(file, np.full((frames, HEIGHT, WIDTH), sum(map(ord, name)) % 256, np.uint8))
        return path

    return make


@pytest.fixture
def clip(make_clip: Callable[..., Path]) -> Path:
    return make_clip()


@pytest.fixture
def labels(clip: Path) -> list[Label]:
    """Positions that no short decimal holds, one frame not visible, one at the last frame."""
    sha256 = hashlib.sha256(clip.read_bytes()).hexdigest()
    places = {0: (100 / 3, 20.0), 5: (127.123456789, 1 / 7), 7: (None, None), 11: (3.0, 59.25)}
    return [
        Label(clip=clip.name, clip_sha256=sha256, frame=f, x_px=x, y_px=y, annotator="Ännä B")
        for f, (x, y) in places.items()
    ]


def places(labels: object) -> dict[tuple[str, int], tuple[float | None, float | None]]:
    """What every format must keep: clip, frame, and position or None."""
    return {(label.clip, label.frame): (label.x_px, label.y_px) for label in labels}


@pytest.fixture
def same_places() -> Callable[[object, object], None]:
    def check(got: object, wanted: object, abs: float = 1e-6) -> None:  # noqa: A002
        got, wanted = places(got), places(wanted)
        assert got.keys() == wanted.keys()
        for key, (x, y) in wanted.items():
            if x is None:
                assert got[key] == (None, None)
            else:
                assert got[key] == (pytest.approx(x, abs=abs), pytest.approx(y, abs=abs))

    return check

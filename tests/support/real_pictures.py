"""Made-up pictures of bellies with masks of both aponeuroses, on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def smooth_noise(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    small = np.random.default_rng(seed).uniform(0, 255, (6, 8)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def write_belly(folder: Path, name: str, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    picture, mask = smooth_noise(seed).copy(), np.zeros((120, 160), np.uint8)
    for top in (20, 70):
        mask[top : top + 5] = 255
        picture[top : top + 5] = 240
    Image.fromarray(picture).save(folder / f"{name}.png")
    Image.fromarray(mask).save(folder / f"{name}_aponeuroses.png")

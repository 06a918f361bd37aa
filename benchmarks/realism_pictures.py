"""Real and phantom pictures brought to one form: cropped, at one scale, through one codec.

The real ones stay where they are; only their names, rectangles and scales are written here. What
is computed from either is `realism_stats`, who tells them apart `realism_critic`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from napari_deepmtj.phantom.anatomy import Scene, sample_scenes
from napari_deepmtj.phantom.materials import sample_materials
from napari_deepmtj.phantom.speckle import render

#: Scale that both sides are brought to, in px/mm: what the default model sees of a 64 mm picture.
PX_PER_MM = 4.0
#: Pixels in which a phantom is drawn, as for training, and the widest that is looked at.
HEIGHT, WIDTH = 192, 384
WIDEST_MM = 64.0
#: Real pictures are used down to the depth that a phantom of that width has.
DEEPEST_MM = WIDEST_MM * HEIGHT / WIDTH
#: Side of a patch in pixels, and the step between patches of the few real and many phantoms.
PATCH, REAL_STEP, PHANTOM_STEP = 64, 32, 64
#: Both sides go through JPEG once, however they were stored before.
QUALITY = 90
#: Scenes drawn at a time.
_AT_ONCE = 4


@dataclass(frozen=True)
class Real:
    """A real picture: its file, the rectangle of B-mode in it, its scale and its device.

    Scales come from rulers, not all of them labelled; where there is none
    (`ruler` false) from the usual width of such a probe, to perhaps 20 %.
    """

    name: str
    box: tuple[int, int, int, int]
    px_per_mm: float
    device: str
    ruler: bool = True


#: Left, top, right, bottom of what is B-mode and nothing else, in pixels of the file.
REAL = (
    Real("dltrack_img_00001.tif", (54, 136, 594, 596), 11.8, "black frame"),
    Real("dltrack_img_00146.tif", (112, 136, 535, 596), 9.4, "black frame"),
    Real("dltrack_img_00025.tif", (178, 80, 632, 500), 10.0, "steered", ruler=False),
    Real("dltrack_img_00345.tif", (125, 75, 558, 548), 7.6, "grey frame"),
    Real("dltrack_img_00497.tif", (125, 75, 558, 548), 7.6, "grey frame"),
    Real("timtrack_example_ultrasound_image2.png", (66, 62, 1004, 1000), 19.9, "grey frame"),
    Real("timtrack_example_ultrasound_image3.png", (70, 62, 1004, 1222), 19.9, "grey frame"),
    Real("timtrack_example_ultrasound_image4.png", (114, 66, 686, 517), 11.55, "Logiq E9"),
    Real("timtrack_S2_R20_step_025.png", (4, 6, 510, 415), 12.9, "S2", ruler=False),
    Real("rf_rawim_001.tif", (212, 92, 908, 880), 15.6, "trapezoid", ruler=False),
    Real("rf_rawim_002.tif", (212, 92, 908, 880), 15.6, "trapezoid", ruler=False),
)


@dataclass(frozen=True)
class Picture:
    """Grey levels, uint8 (H, W) at `PX_PER_MM`, and where they are from."""

    source: str
    device: str
    grey: NDArray[np.uint8]

    def patches(self, step: int) -> Iterator[NDArray[np.uint8]]:
        """Square patches (PATCH, PATCH), about `step` pixels apart, that are not black."""
        height, width = self.grey.shape
        for top in _starts(height, step):
            for left in _starts(width, step):
                patch = self.grey[top : top + PATCH, left : left + PATCH]
                if (patch > 4).mean() > 0.25:
                    yield patch


def _starts(length: int, step: int) -> list[int]:
    """Where patches begin: evenly spread, from one end to the other."""
    if length < PATCH:
        return []
    count = 1 + round((length - PATCH) / step)
    return sorted({round(at) for at in np.linspace(0, length - PATCH, count)})


def common(image: Image.Image, px_per_mm: float) -> NDArray[np.uint8]:
    """Bring a grey picture to `PX_PER_MM` and through the codec; shape (H, W)."""
    factor = PX_PER_MM / px_per_mm
    size = (round(image.width * factor), round(image.height * factor))
    small = image.convert("L").resize(size, Image.Resampling.LANCZOS)
    coded = io.BytesIO()
    small.save(coded, "JPEG", quality=QUALITY)
    return np.asarray(Image.open(coded), dtype=np.uint8)


def real_pictures(folder: Path) -> list[Picture]:
    """Read the real pictures below `folder`.

    Raises
    ------
    SystemExit
        If one of them is not there.
    """
    pictures = []
    for real in REAL:
        path = folder / "muscle_still" / real.name
        if not path.is_file():
            raise SystemExit(f"{path} is missing; --real is the folder that holds muscle_still")
        left, top, right, bottom = real.box
        bottom = min(bottom, top + round(DEEPEST_MM * real.px_per_mm))
        with Image.open(path) as image:
            grey = image.convert("RGB").convert("L").crop((left, top, right, bottom))
        pictures.append(Picture(real.name, real.device, common(grey, real.px_per_mm)))
    return pictures


def render_phantoms(n: int, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw `n` training pictures no wider than `WIDEST_MM`: uint8 (n, H, W), and px/mm (n,)."""
    tables: list[torch.Tensor] = []
    while sum(map(len, tables)) < n:
        table = sample_scenes(4 * n, rng, aspect=HEIGHT / WIDTH).to_table()
        tables.append(table[Scene.from_table(table).width_mm <= WIDEST_MM])
    scene = Scene.from_table(torch.cat(tables)[:n])
    drawn = []
    for start in range(0, n, _AT_ONCE):
        part = Scene.from_table(scene.to_table()[start : start + _AT_ONCE])
        materials = sample_materials(len(part), HEIGHT, WIDTH, rng)
        drawn.append(render(part, materials, HEIGHT, WIDTH))
    return torch.cat(drawn), WIDTH / scene.width_mm


def phantom_pictures(n: int, seed: int) -> list[Picture]:
    """Draw `n` phantoms from a seed."""
    drawn, px_per_mm = render_phantoms(n, torch.Generator().manual_seed(seed))
    return [
        Picture(f"phantom {i}", "phantom", common(Image.fromarray(grey.numpy()), float(scale)))
        for i, (grey, scale) in enumerate(zip(drawn, px_per_mm, strict=True))
    ]

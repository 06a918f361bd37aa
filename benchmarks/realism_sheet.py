"""A contact sheet of phantoms, and real pictures beside them where they are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from realism_pictures import DEEPEST_MM, PX_PER_MM, WIDEST_MM, Picture, Real, common

#: Stills with a junction, shown beside phantoms and used for nothing else.
STILLS = (
    Real("still_a.png", (0, 0, 244, 121), 3.1, "figure"),
    Real("still_b.png", (0, 0, 512, 256), 6.5, "figure"),
    Real("still_c.png", (0, 0, 512, 256), 6.5, "figure"),
)
#: Height and width of a tile.
_TALL, _WIDE = round(DEEPEST_MM * PX_PER_MM), round(WIDEST_MM * PX_PER_MM)
#: Pixels between tiles, and the grey of the ground.
_GAP, _GROUND = 4, 60


def stills(folder: Path) -> list[Picture]:
    """Read the stills with a junction below `folder`, those that are there."""
    pictures = []
    for still in STILLS:
        path = folder / "mtj" / still.name
        if path.is_file():
            with Image.open(path) as image:
                grey = common(image.crop(still.box), still.px_per_mm)
            pictures.append(Picture(still.name, still.device, grey))
    return pictures


def sheet(columns: list[list[Picture]]) -> NDArray[np.uint8]:
    """Lay out columns of pictures at one scale, each from the top left corner of its tile."""
    rows = max(map(len, columns))
    tall, wide = _TALL + _GAP, _WIDE + _GAP
    paper = np.full((rows * tall + _GAP, len(columns) * wide + _GAP), _GROUND, np.uint8)
    for c, column in enumerate(columns):
        for r, picture in enumerate(column):
            grey = picture.grey[:_TALL, :_WIDE]
            top, left = r * tall + _GAP, c * wide + _GAP
            paper[top : top + grey.shape[0], left : left + grey.shape[1]] = grey
    return paper

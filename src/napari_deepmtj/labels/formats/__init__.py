"""Label files of other programs, read into and written from `core.labels.Label`.

`authors` is the original programs' `labels.csv`, `dlc` DeepLabCut, `sleap` SLEAP, `images` the
JSON of COCO and Label Studio; `convert` recognises a file. Our own `*.mtj-labels.csv` is
`labels.table`.
"""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """A label file of another program."""

    AUTHORS = "authors"
    DEEPLABCUT = "deeplabcut"
    DEEPLABCUT_PREDICTIONS = "deeplabcut-predictions"
    SLEAP = "sleap"
    COCO = "coco"
    LABEL_STUDIO = "label-studio"

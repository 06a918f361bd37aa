"""Published collections as cases; how their files are read is `labels.formats`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from napari_deepmtj.core.labels import Label
from napari_deepmtj.evaluation.cases import Case
from napari_deepmtj.labels.formats.deepmtj2021 import read_test_set
from napari_deepmtj.video.opening import open_video

#: Who labelled the test set of P21.
SPECIALISTS = "mean of four specialists (P21)"


def deepmtj_2021(folder: str | Path) -> tuple[list[Case], tuple[str, ...]]:
    """Return the test set of P21, each picture a clip of one frame.

    Its files do not say whose pictures they are, so all are of one subject, and no interval over
    subjects can be given; nor do they have a scale, so errors are in pixels.

    Parameters
    ----------
    folder : str or Path
        Of the unpacked set.

    Returns
    -------
    cases : list of Case
    notices : tuple of str
        What a person must be told.

    Raises
    ------
    LabelError, VideoError
        If it is not clear which labels belong to which pictures, or one cannot be read.
    """
    found = read_test_set(folder)
    cases = []
    for picture in found.pictures:
        with open_video(picture.path) as source:
            label = Label(
                clip=source.name,
                clip_sha256=source.sha256,
                frame=0,
                x_px=picture.x_px,
                y_px=picture.y_px,
                annotator=SPECIALISTS,
            )
        cases.append(
            Case(picture.path.name, (label,), "deepmtj-2021", partial(open_video, picture.path))
        )
    return cases, found.notices

"""DeepLabCut's tables, CSV and HDF5: hand labels (`CollectedData_<scorer>`) and predictions.

A table has the column levels scorer, (individuals,) bodyparts, coords. Rows of labels are named by
picture, `labeled-data/<clip>/img005.png` being frame 5; rows of predictions by the frame's number.
Frames count from 0. Positions are frame pixels, taken as they stand.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.formats.deeplabcut_table import LEVELS, Table, read_table
from napari_deepmtj.labels.formats.hdf import write_hdf
from napari_deepmtj.labels.formats.match import (
    ClipIndex,
    Found,
    Imported,
    Unmatched,
    facts_of,
    match,
    one_a_frame,
    picture_place,
    stems,
)
from napari_deepmtj.labels.table import guarded

#: Body part under which the MTJ is written, and looked for where a file has several.
POINT = "MTJ"
#: DeepLabCut calls what it writes `<clip>DLC_<network><project>shuffle...`.
_PREDICTED_NAME = re.compile(r"(?P<clip>.+?)DLC_.+")

Empty = Literal["not visible", "not labelled"]


def read(
    path: str | Path,
    clips: ClipIndex | Iterable[str | Path],
    *,
    annotator: str | None = None,
    round: int = 1,  # noqa: A002 - the label's own word
    point: str | None = None,
    individual: str | None = None,
    empty: Empty = "not visible",
    min_likelihood: float = 0.0,
) -> Imported:
    """Read DeepLabCut labels or predictions, `.csv` or `.h5`.

    Parameters
    ----------
    path : str or Path
        The file.
    clips : ClipIndex, or iterable of str or Path
        Clips, or folders of them, that it may speak of. Predictions are of the clip that the
        file's name says (`<clip>DLC_...`), else of the one clip given, else of the clip that is
        named as the file is.
    annotator : str, optional
        Whose labels these are; the file's scorer by default.
    round : int
        Round of annotation.
    point, individual : str, optional
        Which body part and animal to take, where the file has several and none is "MTJ".
    empty : {"not visible", "not labelled"}
        What a row of labels without a position means; DeepLabCut itself does not say.
    min_likelihood : float
        Predictions that are less likely become no labels.

    Raises
    ------
    LabelError
        If the file is not DeepLabCut's, is malformed, or what to take is not clear.
    MissingExtraError
        If it is HDF5 and PyTables or h5py is not installed.
    """
    path = Path(path)
    table = read_table(path)
    scorer, columns = _choose(table, path, point, individual)
    index = clips if isinstance(clips, ClipIndex) else ClipIndex(clips)
    predicted = _PREDICTED_NAME.fullmatch(path.stem)
    clip = predicted["clip"] if predicted else "" if index.one_file else path.stem
    notices: list[str] = []
    rows = list(_found(table, columns, path, clip, empty, min_likelihood, notices))
    return match(
        rows, index, path=path, annotator=annotator or scorer, round=round, notices=notices
    )


def write(
    path: str | Path,
    labels: Iterable[Label],
    *,
    scorer: str | None = None,
    individual: str | None = None,
    clips: ClipIndex | Iterable[str | Path] | None = None,
) -> tuple[str, ...]:
    """Write hand labels as DeepLabCut does, `.csv` or `.h5` by the name, atomically.

    Parameters
    ----------
    path : str or Path
        `CollectedData_<scorer>.csv` or `.h5`; DeepLabCut finds it by that name.
    labels : iterable of Label
        One a frame.
    scorer : str, optional
        By default what the file's name says, else the one annotator.
    individual : str, optional
        Name of the animal: the file is then that of a multi-animal project.
    clips : ClipIndex, or iterable of str or Path, optional
        The clips: by their lengths the pictures get as many digits as those that DeepLabCut
        extracts, `ceil(log10(frames))`; else three, or as many as are needed.

    Returns
    -------
    tuple of str
        What the file could not hold.

    Raises
    ------
    LabelError
        If a frame has several labels, or the file is neither `.csv` nor `.h5`.
    MissingExtraError
        If it is HDF5 and PyTables is not installed.
    """
    path = Path(path)
    labels = one_a_frame(labels, "DeepLabCut")
    named = re.fullmatch(r"CollectedData_(.+)", path.stem)
    scorer = scorer or (named[1] if named else _annotator(labels))
    stem = stems(labels, "DeepLabCut")
    digits: dict[str, int] = {}
    if clips is not None:
        lengths = {clip: facts.n_frames for clip, facts in facts_of(labels, clips).items()}
        digits = {clip: math.ceil(math.log10(n_frames)) for clip, n_frames in lengths.items()}
    else:
        for label in labels:
            digits[label.clip] = max(3, digits.get(label.clip, 0), len(str(label.frame)))
    index = [
        f"labeled-data/{stem[label.clip]}/img{label.frame:0{digits[label.clip]}d}.png"
        for label in labels
    ]
    values = [_xy(label) for label in labels]
    said = write_table(path, scorer, individual, ("x", "y"), index, values)
    return (
        "DeepLabCut holds neither round, origin, time and timestamp nor the clip's hash and "
        "extension; a label 'not visible' becomes a row without a position, as one not yet made",
        *said,
    )


def write_predictions(
    path: str | Path,
    labels: Iterable[Label],
    *,
    n_frames: int | None = None,
    scorer: str | None = None,
    individual: str | None = None,
) -> tuple[str, ...]:
    """Write labels of one clip in the layout of DeepLabCut's predictions: a row for every frame.

    This is what `movement` reads. The likelihood is 1 for a position, 0 for "not visible", and
    empty, as x and y are, where a frame has no label.

    Parameters
    ----------
    n_frames : int, optional
        Frames of the clip; up to the last labelled one by default.
    path, labels, scorer, individual
        As `write` has them.

    Raises
    ------
    LabelError
        If the labels are of several clips, or as `write` does.
    """
    labels = one_a_frame(labels, "DeepLabCut")
    if len({label.clip for label in labels}) > 1:
        raise LabelError("a file of predictions is of one clip; write one for each")
    last = labels[-1].frame
    if n_frames is not None and n_frames <= last:
        raise LabelError(f"is labelled, but the clip has only {n_frames} frames", frame=last)
    values = [(math.nan, math.nan, math.nan)] * (last + 1 if n_frames is None else n_frames)
    for label in labels:
        values[label.frame] = (*_xy(label), 1.0 if label.visible else 0.0)
    said = write_table(
        Path(path),
        scorer or _annotator(labels),
        individual,
        ("x", "y", "likelihood"),
        range(len(values)),
        values,
    )
    lost = "DeepLabCut holds neither round, origin, time and timestamp nor the clip's name and hash"
    return (lost, *said)


def write_table(
    path: Path,
    scorer: str,
    individual: str | None,
    coords: Sequence[str],
    index: Sequence[str] | Sequence[int],
    values: Sequence[Sequence[float]],
) -> tuple[str, ...]:
    """Write a table of one point, `.csv` or `.h5` by the name, atomically.

    Parameters
    ----------
    path : Path
        The file.
    scorer : str
        Who, or what, set the points.
    individual : str or None
        Name of the animal; None for a file of one animal.
    coords : sequence of str
        "x", "y" and, for predictions, "likelihood".
    index : sequence of str or int
        Pictures' names, or the frames' numbers for predictions.
    values : sequence of sequence of float
        One row for each entry of `index`; NaN becomes an empty cell.

    Returns
    -------
    tuple of str
        Names that were changed.
    """
    levels = tuple(name for name in LEVELS if individual is not None or name != "individuals")
    owner = (scorer,) if individual is None else (scorer, individual)
    columns = [(*owner, POINT, coord) for coord in coords]
    if path.suffix.lower() == ".h5":
        write_hdf(path, levels, columns, index, values)
        return ()
    if path.suffix.lower() != ".csv":
        raise LabelError("DeepLabCut reads .csv and .h5 only; choose one of these", path=path)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for number, level in enumerate(levels):
        writer.writerow([level, *(guarded(column[number]) for column in columns)])
    for name, row in zip(index, values, strict=True):
        writer.writerow([name, *("" if math.isnan(v) else repr(float(v)) for v in row)])
    atomic_write(path, text.getvalue().encode("utf-8"))
    formulas = [name for name in owner if guarded(name) != name]
    return tuple(
        f"{name} would be a formula in a spreadsheet and got an apostrophe in front"
        for name in formulas
    )


def _annotator(labels: Sequence[Label]) -> str:
    names = sorted({label.annotator for label in labels})
    if len(names) > 1:
        raise LabelError(
            f"DeepLabCut holds one scorer a file, and these labels are by {', '.join(names)}; "
            "choose an annotator or name the scorer"
        )
    return names[0]


def _xy(label: Label) -> tuple[float, float]:
    if label.x_px is None or label.y_px is None:
        return math.nan, math.nan
    return label.x_px, label.y_px


def _choose(
    table: Table, path: Path, point: str | None, individual: str | None
) -> tuple[str, dict[str, int]]:
    """Return scorer and coordinate -> column of the point to read."""
    columns = [dict(zip(table.levels, column, strict=True)) for column in table.columns]
    places = list(enumerate(columns))
    for level, wanted, option in (
        ("individuals", individual, "individual"),
        ("bodyparts", point, "point"),
        ("scorer", None, "scorer"),
    ):
        if level not in table.levels:
            if wanted is not None:
                raise LabelError(f"has no {level}, so no {wanted!r} among them", path=path)
            continue
        names = list(dict.fromkeys(column[level] for _, column in places))
        if wanted is None and len(names) > 1 and level == "bodyparts":
            wanted = next((name for name in names if name.casefold() == POINT.casefold()), None)
        if wanted is None and len(names) > 1:
            raise LabelError(
                f"has several {level} ({', '.join(names[:8])}); name the {option} to take",
                path=path,
            )
        if wanted is not None and wanted not in names:
            raise LabelError(f"has no {wanted!r} in {level}, only {', '.join(names)}", path=path)
        places = [(i, c) for i, c in places if c[level] == (names[0] if wanted is None else wanted)]
    chosen = {column["coords"]: i for i, column in places}
    if not {"x", "y"} <= chosen.keys() or not chosen.keys() <= {"x", "y", "likelihood"}:
        raise LabelError(
            f"has the coords {', '.join(chosen) or 'none'} in place of x, y (, likelihood)",
            path=path,
        )
    if len(chosen) != len(places):
        raise LabelError("has the columns of a point twice", path=path)
    return places[0][1]["scorer"], chosen


def _found(
    table: Table,
    columns: dict[str, int],
    path: Path,
    clip: str,
    empty: Empty,
    min_likelihood: float,
    notices: list[str],
) -> Iterator[Found | Unmatched]:
    predicted = "likelihood" in columns
    blank = unlikely = 0
    for number, name, values in table.rows:
        x, y = values[columns["x"]], values[columns["y"]]
        if math.isinf(x) or math.isinf(y) or math.isnan(x) != math.isnan(y):
            raise LabelError(f"row {number}: x and y belong together and are finite", path=path)
        likelihood = values[columns["likelihood"]] if predicted else math.nan
        xy = None if math.isnan(x) else (x, y)
        if xy is None:
            if math.isnan(likelihood) if predicted else empty == "not labelled":
                continue
            blank += 1
        elif min_likelihood and not likelihood >= min_likelihood:  # one without any, too
            unlikely += 1
            continue
        place = _place(name, clip)
        if place is None:
            yield Unmatched(number, "/".join(map(str, name)), "the name says no clip and frame")
            continue
        origin = Origin.PREDICTED if predicted else Origin.MANUAL
        yield Found(number, place[0], place[1], xy, origin)
    if blank and not predicted:
        notices.append(
            f"{blank} rows without a position are taken as 'not visible'; DeepLabCut has the same "
            "for frames not labelled yet"
        )
    if unlikely:
        notices.append(f"{unlikely} rows less likely than {min_likelihood:g} are left out")


def _place(name: tuple[object, ...], clip: str) -> tuple[str, int] | None:
    """Return clip and frame of a row's name: a frame's number, or the path of a picture."""
    if len(name) == 1 and re.fullmatch(r"[0-9]{1,9}", str(name[0])):
        return clip, int(str(name[0]))
    return picture_place("/".join(map(str, name)))

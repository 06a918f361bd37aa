"""Files of the original programs of Leitner et al.: labels, and the predictions of both versions.

`labels.csv` has `<clip>_<frame>,x,y` and no header. Their first version reads the name in small
letters and without `.avi`, the second keeps it as it is; both are understood. Positions are frame
pixels, taken as they stand.

Predictions of 2022 (P21) have the columns `file, frame_num, x, y`, in frame pixels, NaN where no
MTJ was found. Those of 2020 (P20) are one `x,y` a frame in the network's 128 x 64 pixels, after one
row of whatever was in memory; they name no clip, and count in the clip's region.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.geometry import Roi
from napari_deepmtj.core.labels import Label
from napari_deepmtj.core.trajectory import Origin
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.formats.match import (
    ClipIndex,
    Found,
    Imported,
    base_name,
    match,
    one_a_frame,
)
from napari_deepmtj.labels.table import guarded, unguarded
from napari_deepmtj.video.sidecar import read_sidecar

#: Name, underscore, frame from 0 in five digits or more.
_PLACE = re.compile(r"(?P<name>.+)_(?P<frame>[0-9]{5,9})", re.DOTALL)
#: Header of the predictions of P21; a table may have a column of row numbers before it.
_PREDICTED = ["file", "frame_num", "x", "y"]
#: Width and height of the pictures that positions of P20 count in.
_P20 = (128, 64)


def read(
    path: str | Path,
    clips: ClipIndex | Iterable[str | Path],
    *,
    annotator: str,
    round: int = 1,  # noqa: A002 - the label's own word
) -> Imported:
    """Read the authors' `labels.csv`, or a CSV of predictions of either version.

    Parameters
    ----------
    path : str or Path
        The file.
    clips : ClipIndex, or iterable of str or Path
        Clips, or folders of them, that it may speak of.
    annotator, round
        Whose labels these are; the file does not say.

    Raises
    ------
    LabelError
        If the file cannot be read or a row is malformed; the message names the row.
    """
    path = Path(path)
    rows = list(csv_rows(path))
    index = clips if isinstance(clips, ClipIndex) else ClipIndex(clips)
    header = [cell.strip() for cell in rows[0][1]] if rows else []
    if header[-4:] == _PREDICTED and header[:-4] in ([], [""]):
        labelled = _predicted(rows[1:], len(header), path)
    elif header == ["x", "y"] or all(len(row) == 2 for _, row in rows):
        labelled = _predicted_2020(rows, index, path)
    else:
        labelled = _rows(rows, path)
    return match(labelled, index, path=path, annotator=annotator, round=round)


def write(path: str | Path, labels: Iterable[Label]) -> tuple[str, ...]:
    """Write labels atomically for the authors' programs.

    Returns
    -------
    tuple of str
        What the file could not hold.

    Raises
    ------
    LabelError
        If a frame has several labels.
    """
    labels = one_a_frame(labels, "the authors' labels.csv")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for label in labels:
        if label.x_px is not None and label.y_px is not None:
            place = guarded(f"{label.clip}_{label.frame:05d}")
            writer.writerow([place, _number(label.x_px), _number(label.y_px)])
    atomic_write(path, text.getvalue().encode("utf-8"))
    said = [
        "the authors' labels.csv holds neither annotator, round, origin, time and timestamp nor "
        "the clip's hash"
    ]
    if hidden := sum(not label.visible for label in labels):
        said.append(f"{hidden} labels 'not visible' are left out; labels.csv cannot hold them")
    if formulas := sorted({label.clip for label in labels if guarded(label.clip) != label.clip}):
        said.append(
            f"{', '.join(formulas)} would be a formula in a spreadsheet and got an apostrophe in "
            "front; the authors' programs will not find the clip unless it is renamed"
        )
    return tuple(said)


def _rows(rows: Iterable[tuple[int, list[str]]], path: Path) -> Iterator[Found]:
    for number, row in rows:
        if len(row) != 3:
            raise LabelError(
                f"row {number} has {len(row)} cells in place of 3: <clip>_<frame>,x,y", path=path
            )
        place = _PLACE.fullmatch(unguarded(row[0]))
        if place is None:
            raise LabelError(
                f"row {number}: {row[0]!r} is not <clip>_<frame of five digits>", path=path
            )
        xy = tuple(cell_number(cell, path, number) for cell in row[1:])
        if not all(math.isfinite(value) for value in xy):
            raise LabelError(f"row {number}: a position that is no number", path=path)
        yield Found(number, place["name"], int(place["frame"]), (xy[0], xy[1]))


def _predicted(rows: Iterable[tuple[int, list[str]]], width: int, path: Path) -> Iterator[Found]:
    for number, row in rows:
        if len(row) != width:
            raise LabelError(f"row {number} has {len(row)} cells, the header {width}", path=path)
        name, frame, *xy = row[-4:]
        at = cell_number(frame, path, number)
        if not (math.isfinite(at) and at == int(at) and at >= 0):
            raise LabelError(f"row {number}: {frame!r} is no frame number", path=path)
        yield Found(
            number, base_name(unguarded(name)), int(at), _seen(xy, path, number), Origin.PREDICTED
        )


def _predicted_2020(
    rows: Sequence[tuple[int, list[str]]], index: ClipIndex, path: Path
) -> Iterator[Found]:
    """Yield positions in frame pixels; the first row of numbers was never written to."""
    region = _region(index, path)
    numbers = [(n, row) for n, row in rows if [cell.strip() for cell in row] != ["x", "y"]]
    for frame, (number, row) in enumerate(numbers[1:]):
        if len(row) != 2:
            raise LabelError(f"row {number} has {len(row)} cells in place of 2: x,y", path=path)
        xy = _seen(row, path, number)
        if xy is not None:
            xy = (
                region.x + (xy[0] + 0.5) * region.width / _P20[0] - 0.5,
                region.y + (xy[1] + 0.5) * region.height / _P20[1] - 0.5,
            )
        yield Found(number, "", frame, xy, Origin.PREDICTED)


def _region(index: ClipIndex, path: Path) -> Roi:
    """Return the region of the one clip that predictions of P20 are of."""
    if not index.one_file:
        raise LabelError("names no clip; give the one clip that it is of", path=path)
    clip = index.find("")
    info = read_sidecar(clip)
    if info is None or info.roi is None:
        raise LabelError(
            f"counts in {_P20[0]} x {_P20[1]} pixels of a region that it does not say; give "
            f"{clip.name} its region first (Calibrate, or a side-car)",
            path=path,
        )
    return info.roi


def _seen(cells: Sequence[str], path: Path, number: int) -> tuple[float, float] | None:
    """Return a position; None where both numbers are missing."""
    x, y = (math.nan if not cell.strip() else cell_number(cell, path, number) for cell in cells)
    if math.isnan(x) and math.isnan(y):
        return None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise LabelError(f"row {number}: a position that is no number", path=path)
    return x, y


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of each row that is not empty; rows count from 1.

    Raises
    ------
    LabelError
        If the file is no comma-separated UTF-8 text, or is empty.
    """
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.reader(file, strict=True), start=1):
                if len(row) == 1 and ";" in row[0]:
                    raise LabelError(
                        f"row {number}: cells are separated by semicolons; save with commas",
                        path=path,
                    )
                if any(cell.strip() for cell in row):
                    yield number, row
    except FileNotFoundError:
        raise LabelError("there is no such label file", path=path) from None
    except UnicodeDecodeError as error:
        raise LabelError(
            f"not a UTF-8 text file after row {number} ({error.reason})", path=path
        ) from error
    except (csv.Error, OSError) as error:
        raise LabelError(f"row {number + 1} cannot be read as CSV ({error})", path=path) from error
    if not number:
        raise LabelError("the file is empty", path=path)


def cell_number(cell: str, path: Path, row: int) -> float:
    """Return the number in a cell, NaN for an empty one.

    Raises
    ------
    LabelError
        If it is neither.
    """
    if not cell.strip():
        return math.nan
    try:
        return float(cell)
    except ValueError:
        raise LabelError(f"row {row}: {cell!r} is not a number", path=path) from None


def _number(value: float) -> str:
    """Write a number so that reading it gives the same bits, whole ones as the authors do."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))

"""The `labels.csv` of the original programs of Leitner et al.: `<clip>_<frame>,x,y`, no header.

Their first version reads the name in small letters and without `.avi`, the second keeps it as it
is; both are understood. Positions are frame pixels, taken as they stand.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from napari_deepmtj.core.atomic import atomic_write
from napari_deepmtj.core.labels import Label
from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.formats.match import (
    ClipIndex,
    Found,
    Imported,
    match,
    one_a_frame,
)
from napari_deepmtj.labels.table import guarded, unguarded

#: Name, underscore, frame from 0 in five digits or more.
_PLACE = re.compile(r"(?P<name>.+)_(?P<frame>[0-9]{5,9})", re.DOTALL)


def read(
    path: str | Path,
    clips: ClipIndex | Iterable[str | Path],
    *,
    annotator: str,
    round: int = 1,  # noqa: A002 - the label's own word
) -> Imported:
    """Read the authors' `labels.csv`.

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
    return match(_rows(path), clips, path=path, annotator=annotator, round=round)


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


def _rows(path: Path) -> Iterator[Found]:
    for number, row in csv_rows(path):
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

"""Reading DeepLabCut's tables, CSV or HDF5, into one form. What they mean is `dlc`'s."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_deepmtj.errors import LabelError
from napari_deepmtj.labels.formats.authors import cell_number, csv_rows
from napari_deepmtj.labels.formats.hdf import read_hdf
from napari_deepmtj.labels.table import unguarded

#: Levels of the columns, outermost first; files of one animal have no "individuals".
LEVELS = ("scorer", "individuals", "bodyparts", "coords")


@dataclass(frozen=True, slots=True)
class Table:
    """What a CSV and an HDF5 file of DeepLabCut have in common.

    Parameters
    ----------
    levels : tuple of str
        Names of the column levels, those of `LEVELS` that the file has.
    columns : list of tuple of str
        One entry a column, as long as `levels`.
    rows : iterator of (int, tuple, sequence of float)
        Row number as a spreadsheet counts, parts of the index, values (NaN where empty).
    """

    levels: tuple[str, ...]
    columns: list[tuple[str, ...]]
    rows: Iterator[tuple[int, tuple[object, ...], Sequence[float]]]


def read_table(path: Path) -> Table:
    """Read a table, whichever of the two kinds of file it is.

    Raises
    ------
    LabelError
        If it cannot be read or has not the levels of DeepLabCut.
    MissingExtraError
        If it is HDF5 and PyTables or h5py is not installed.
    """
    return _read_h5(path) if _is_hdf5(path) else _read_csv(path)


def _is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    except FileNotFoundError:
        raise LabelError("there is no such label file", path=path) from None
    except OSError as error:
        raise LabelError(f"cannot be read ({error.strerror or error})", path=path) from error


def _read_h5(path: Path) -> Table:
    frame = read_hdf(path)
    levels = tuple(str(name) for name in frame.columns.names)
    _check_levels(levels, path)
    return Table(
        levels,
        [tuple(map(str, column)) for column in frame.columns],
        (
            (number, name if isinstance(name, tuple) else (name,), [float(v) for v in values])
            for number, (name, values) in enumerate(
                zip(frame.index, frame.to_numpy(dtype=float), strict=True), start=len(levels) + 1
            )
        ),
    )


def _read_csv(path: Path) -> Table:
    rows = csv_rows(path)
    head: list[list[str]] = []
    for _, row in rows:
        head.append([unguarded(cell) for cell in row])
        if row[0] == "coords" or len(head) == len(LEVELS):
            break
    levels = tuple(row[0] for row in head)
    _check_levels(levels, path)
    width = len(head[0])
    if any(len(row) != width for row in head):
        raise LabelError(f"the {len(head)} header rows differ in length", path=path)
    # Newer files name a picture in three cells; their header cells are empty.
    named_by = 1
    while named_by < width and not any(row[named_by] for row in head):
        named_by += 1

    def values() -> Iterator[tuple[int, tuple[object, ...], Sequence[float]]]:
        for number, row in rows:
            if len(row) != width:
                raise LabelError(
                    f"row {number} has {len(row)} cells in place of {width}", path=path
                )
            numbers = [cell_number(cell, path, number) for cell in row[named_by:]]
            yield number, tuple(row[:named_by]), numbers

    columns = list(zip(*(row[named_by:] for row in head), strict=True))
    return Table(levels, columns, values())


def _check_levels(levels: tuple[str, ...], path: Path) -> None:
    if levels not in (LEVELS, tuple(name for name in LEVELS if name != "individuals")):
        raise LabelError(
            f"is not DeepLabCut's: its header says {', '.join(levels)} in place of scorer, "
            "(individuals,) bodyparts, coords",
            path=path,
        )
